//! The longest prefix wins, field by field. The outcome of random changes, in any order and at any
//! control, is compared with that of a simple resolver.

mod cases;
mod table;

use arizuko_proto::{
    v1::route_service_client::RouteServiceClient,
    v1::{ApplyRoutesRequest, DeleteRouteRequest, ExplainRouteRequest, SetRouteRequest},
};
use arizuko_tests::prelude::*;
use cases::{Step, step};
use futures_util::future::select_all;
use proptest::{
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner},
};
use prost_types::FieldMask;
use std::sync::mpsc as answers;
use table::{FIELDS, Table};
use tokio::{sync::mpsc, task::spawn_blocking};

/// The folders with an agent.
const FOLDERS: [&str; 4] = ["acme", "acme/eng", "acme/sup", "acmex"];

/// A stack with links, and an agent in every folder that a message can go to.
struct World {
    stack: Stack,
    /// Links, each with its folder.
    links: Vec<(&'static str, Link)>,
    agents: Vec<Session>,
    routes: [RouteServiceClient<Channel>; 2],
}

impl World {
    async fn new(kind: Kind) -> Self {
        let settings = [("ARIZUKO_ADDRESS_RATE", "100000"), ("ARIZUKO_LINK_RATE", "100000")];
        let stack = Stack::with(kind, &settings).await;
        let mut links = Vec::new();
        for (folder, suffix) in [
            ("acme", ""),
            ("acme", "support"),
            ("acme/sup", ""),
            ("acme/eng", ""),
            ("acme/eng", "linear"),
            ("acmex", ""),
        ] {
            links.push((folder, stack.issue_with(folder, suffix, Default::default()).await));
        }
        links.push(("acme/eng", stack.issue_hook("acme/eng", "linear", "").await));
        links.push(("acme/eng", stack.issue_hook("acme/eng", "linear", "x").await));
        let mut agents = Vec::new();
        for (number, folder) in FOLDERS.into_iter().enumerate() {
            agents.push(stack.attach(folder, BOTH[number % 2]).await);
        }
        let routes = [
            RouteServiceClient::new(stack.operator(A).await),
            RouteServiceClient::new(stack.operator(B).await),
        ];
        Self { stack, links, agents, routes }
    }

    /// Deletes all routes and makes the changes at alternating controls. Then posts a message to
    /// each link and checks that what happens to it is what the resolver says.
    async fn check(&mut self, steps: &[Step]) -> Result<(), String> {
        for folder in ["acme", "acmex", "acm"] {
            let nothing =
                ApplyRoutesRequest { folder: folder.to_owned(), ..ApplyRoutesRequest::default() };
            let applied = self.routes[0].apply_routes(nothing).await;
            applied.map_err(|status| format!("{status:?}"))?;
        }
        let mut table = Table::default();
        for (number, step) in steps.iter().enumerate() {
            self.change(number % 2, step, &mut table).await?;
        }
        for number in 0..self.links.len() {
            let (folder, link) = self.links[number].clone();
            let (route, sources) = table.resolve(&link.jid, folder);
            self.explained(steps.len() % 2, &route, &sources).await?;
            self.posted(BOTH[(steps.len() + number + 1) % 2], &link, &route).await?;
        }
        Ok(())
    }

    async fn change(
        &mut self,
        control: usize,
        step: &Step,
        table: &mut Table,
    ) -> Result<(), String> {
        let routes = &mut self.routes[control];
        match step {
            Step::Set(route, fields) => {
                let paths = fields.iter().map(|&field| field.to_owned()).collect();
                let request = SetRouteRequest {
                    route: Some((**route).clone()),
                    update_mask: Some(FieldMask { paths }),
                };
                let set = within("SetRoute", routes.set_route(request)).await;
                let set = set.map(|set| set.into_inner().route).map_err(|s| reason(&s));
                let expected = match table.set(route, fields) {
                    true => {
                        let standing = table.0.get(&route.prefix);
                        let none = arizuko_tests::routes::route(&route.prefix);
                        Ok(Some(standing.cloned().unwrap_or(none)))
                    }
                    false => Err(ErrorReason::Invalid),
                };
                same("SetRoute", &set, &expected)
            }
            Step::Delete(prefix) => {
                let prefix = (*prefix).to_owned();
                let before = table.0.remove(&prefix);
                let deleted = routes.delete_route(DeleteRouteRequest { prefix });
                let deleted = within("DeleteRoute", deleted).await;
                let deleted = deleted.map(|d| d.into_inner().deleted).map_err(|s| reason(&s));
                same("DeleteRoute", &deleted, &Ok(before))
            }
        }
    }

    async fn explained(
        &mut self,
        control: usize,
        route: &Route,
        sources: &[String],
    ) -> Result<(), String> {
        let jid = route.prefix.clone();
        let explained = self.routes[control].explain_route(ExplainRouteRequest { jid });
        let explained = within("ExplainRoute", explained).await;
        let explained = explained.map_err(|status| format!("{status:?}"))?.into_inner();
        same("route", &explained.route.as_ref(), &Some(route))?;
        let fields: Vec<_> = explained.fields.iter().map(|f| (&*f.field, &f.prefix)).collect();
        let expected: Vec<_> = FIELDS.into_iter().zip(sources).collect();
        same("sources", &fields, &expected)
    }

    /// Posts a message and compares what happens to it with the route.
    async fn posted(
        &mut self,
        gateway: Instance,
        link: &Link,
        route: &Route,
    ) -> Result<(), String> {
        let jid = &link.jid;
        let answer = if jid.starts_with("web:") {
            let visitor = self.stack.visitor(link, gateway);
            visitor.post_json(&json!({"content": "hello"})).await
        } else {
            let caller = self.stack.caller(link, gateway);
            caller.post("text/plain", "hello").await
        };
        let status = answer.expect(202).json()["status"].clone();
        let expected = match route.mode() {
            RouteMode::Observe => "observed",
            RouteMode::Drop => "dropped",
            _ => {
                same("mode", &RouteMode::Trigger, &route.mode())?;
                return self.delivered(jid, route).await;
            }
        };
        same(jid, &status.as_str(), &Some(expected))
    }

    async fn delivered(&mut self, jid: &str, route: &Route) -> Result<(), String> {
        let offers = self.agents.iter_mut().map(|agent| Box::pin(agent.offered()));
        let (turn, number, _) = within("a turn anywhere", select_all(offers)).await;
        let found = (FOLDERS[number], &*turn.jid, &*turn.persona, &*turn.topic);
        let expected = (
            route.target.as_deref().unwrap_or_default(),
            jid,
            route.persona.as_deref().unwrap_or_default(),
            route.topic.as_deref().unwrap_or_default(),
        );
        let as_expected = same("turn", &found, &expected);
        let agent = &mut self.agents[number];
        agent.answer(Held { turn, seq: 1 }, "ok").await;
        agent.credit(1).await;
        as_expected
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: found {found:?}, not {expected:?}")),
    }
}

#[apply(every_stack)]
async fn a_message_gets_each_field_from_the_longest_prefix_that_sets_it(kind: Kind) {
    let mut world = World::new(kind).await;
    // proptest chooses and shrinks the cases in its own thread, and waits for each answer.
    let (ask, mut asked) = mpsc::channel::<(Vec<Step>, answers::Sender<_>)>(1);
    let choosing = spawn_blocking(move || {
        let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
        let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(config, random).run(&vec(step(), 0..16), |steps| {
            let (tell, told) = answers::channel::<Result<(), String>>();
            let gone = || TestCaseError::fail("the test has ended");
            ask.blocking_send((steps, tell)).map_err(|_| gone())?;
            told.recv().map_err(|_| gone())?.map_err(TestCaseError::fail)
        })
    });
    while let Some((steps, tell)) = asked.recv().await {
        let outcome = world.check(&steps).await;
        tell.send(outcome).expect("the thread waits for it");
    }
    let held = choosing.await.expect("the thread doesn't panic");
    held.unwrap_or_else(|failure| panic!("{failure}"));
}
