//! Which routes a key may see and change.

use arizuko_proto::{
    v1::route_service_client::RouteServiceClient,
    v1::{
        ApplyRoutesRequest, DeleteRouteRequest, ExplainRouteRequest, ListRoutesRequest,
        SetRouteRequest,
    },
};
use arizuko_tests::prelude::*;
use tonic::Status;

/// A client of RouteService with a key.
pub(super) struct Routes(RouteServiceClient<Channel>);

impl Routes {
    pub(super) async fn of(stack: &Stack, key: &str, control: Instance) -> Self {
        Self(RouteServiceClient::new(connect(&stack.control(control), Some(key)).await))
    }

    pub(super) async fn set(&mut self, route: Route) -> Result<Route, Status> {
        let request = SetRouteRequest { route: Some(route), update_mask: None };
        let set = within("SetRoute", self.0.set_route(request)).await?;
        Ok(set.into_inner().route.expect("the response holds the route"))
    }

    pub(super) async fn delete(&mut self, prefix: &str) -> Result<Option<Route>, Status> {
        let prefix = prefix.to_owned();
        let deleted = self.0.delete_route(DeleteRouteRequest { prefix });
        Ok(within("DeleteRoute", deleted).await?.into_inner().deleted)
    }

    /// Returns the folder of a JID's link, and the persona of the JID's route.
    pub(super) async fn explain(&mut self, jid: &str) -> Result<(String, String), Status> {
        let jid = jid.to_owned();
        let explained = self.0.explain_route(ExplainRouteRequest { jid });
        let explained = within("ExplainRoute", explained).await?.into_inner();
        let route = explained.route.unwrap_or_default();
        Ok((explained.folder, route.persona.unwrap_or_default()))
    }

    pub(super) async fn list(&mut self, folder: &str) -> Result<Vec<String>, Status> {
        // Asks for pages of one route each.
        let folder = folder.to_owned();
        let mut request = ListRoutesRequest { folder, page_size: 1, ..Default::default() };
        let mut prefixes = Vec::new();
        loop {
            let listed = within("ListRoutes", self.0.list_routes(request.clone())).await?;
            let page = listed.into_inner();
            assert!(page.routes.len() <= 1);
            prefixes.extend(page.routes.into_iter().map(|route| route.prefix));
            if page.next_page_token.is_empty() {
                return Ok(prefixes);
            }
            request.page_token = page.next_page_token;
        }
    }

    pub(super) async fn apply(
        &mut self,
        folder: &str,
        routes: Vec<Route>,
    ) -> Result<usize, Status> {
        let request = ApplyRoutesRequest { folder: folder.to_owned(), routes, dry_run: false };
        let applied = within("ApplyRoutes", self.0.apply_routes(request)).await?;
        Ok(applied.into_inner().changes.len())
    }
}

pub(super) fn persona(prefix: &str, persona: &str) -> Route {
    Route { persona: Some(persona.to_owned()), ..route(prefix) }
}

/// Returns the reason of a refusal, or `OK`.
pub(super) fn outcome<T>(made: Result<T, Status>) -> String {
    made.map_or_else(|status| reason(&status).word().to_owned(), |_| "OK".to_owned())
}

pub(super) async fn agent(stack: &Stack, folder: &str, reach: KeyReach) -> String {
    stack.key(KeyKind::Agent, folder, reach, true).await.key
}

const PREFIXES: [&str; 14] = [
    "web:acme",
    "hook:acme",
    "web:acme/eng",
    "web:acme/eng/support",
    "hook:acme/eng",
    "hook:acme/eng/github",
    "hook:acme/eng/github/x",
    "web:acme/eng/a/b",
    "hook:acme/eng/a/b/c",
    "web:acme/sales",
    "web:acme/english",
    "web:acmex",
    "web:other",
    "hook:other/eng",
];

#[apply(every_stack)]
async fn a_key_reaches_the_prefixes_of_its_folder(stack: Stack) {
    let operator = stack.operator_key().to_owned();
    let gateway = stack.key(KeyKind::Gateway, "", KeyReach::Unspecified, false).await.key;
    let own = agent(&stack, "acme/eng", KeyReach::Self_).await;
    let below = agent(&stack, "acme/eng", KeyReach::Subtree).await;
    let root = agent(&stack, "acme", KeyReach::Subtree).await;
    for (who, key, reached) in [
        ("operator", &operator, &PREFIXES[..]),
        ("gateway", &gateway, &[]),
        ("acme/eng alone", &own, &PREFIXES[2..7]),
        ("acme/eng and below", &below, &PREFIXES[2..9]),
        ("acme and below", &root, &PREFIXES[..11]),
    ] {
        for (number, prefix) in PREFIXES.into_iter().enumerate() {
            let mut routes = Routes::of(&stack, key, BOTH[number % 2]).await;
            let expected = if reached.contains(&prefix) { "OK" } else { "NOT_ALLOWED" };
            let set = outcome(routes.set(persona(prefix, who)).await);
            assert_eq!(set, expected, "{who} sets {prefix}");
            let deleted = outcome(routes.delete(prefix).await);
            assert_eq!(deleted, expected, "{who} deletes {prefix}");
        }
    }
}

#[apply(every_stack)]
async fn an_agents_key_does_not_reach_a_link_of_the_folder_above(stack: Stack) {
    let link = stack.issue_with("acme", "x", Default::default()).await;
    assert_eq!(link.jid, "web:acme/x");
    let hook = stack.issue_hook("acme", "x", "y").await;
    for reach in [KeyReach::Self_, KeyReach::Subtree] {
        let key = agent(&stack, "acme/x", reach).await;
        let mut routes = Routes::of(&stack, &key, B).await;
        for jid in [&link.jid, &hook.jid] {
            for made in [
                outcome(routes.set(persona(jid, "mine")).await),
                outcome(routes.apply("", vec![persona(jid, "mine")]).await),
                outcome(routes.delete(jid).await),
                outcome(routes.explain(jid).await),
            ] {
                assert_eq!(made, "NOT_ALLOWED", "{jid}");
            }
        }
    }
    let mut operator = Routes::of(&stack, stack.operator_key(), A).await;
    let found = operator.explain(&link.jid).await.expect("operators may");
    assert_eq!(found, ("acme".to_owned(), String::new()));
}

#[apply(every_stack)]
async fn list_and_apply_cover_what_the_key_reaches(stack: Stack) {
    let mut operator = Routes::of(&stack, stack.operator_key(), A).await;
    for prefix in PREFIXES {
        operator.set(persona(prefix, "x")).await.expect("operators may");
    }
    let mut all = PREFIXES.map(str::to_owned);
    all.sort();
    assert_eq!(operator.list("").await.expect("operators may"), all);
    let within_folder = |folder: &'static str| {
        let of = move |prefix: &&String| {
            let path = prefix.split(':').next_back().unwrap_or_default();
            path == folder || path.starts_with(&format!("{folder}/"))
        };
        all.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    for folder in ["acme", "acme/eng", "other", "nobody"] {
        let listed = operator.list(folder).await.expect("operators may");
        assert_eq!(listed, within_folder(folder), "{folder}");
    }
    let below = agent(&stack, "acme/eng", KeyReach::Subtree).await;
    let mut below = Routes::of(&stack, &below, B).await;
    for folder in ["", "acme/eng"] {
        let listed = below.list(folder).await.expect("its own");
        assert_eq!(listed, within_folder("acme/eng"));
    }
    for folder in ["acme", "acme/english", "other"] {
        assert_eq!(outcome(below.list(folder).await), "NOT_ALLOWED", "{folder}");
        let applied = below.apply(folder, vec![]).await;
        assert_eq!(outcome(applied), "NOT_ALLOWED", "{folder}");
    }
    let foreign = below.apply("", vec![persona("web:acme", "x")]).await;
    assert_eq!(outcome(foreign), "INVALID");
    let operators = below.apply("", vec![]).await;
    assert_eq!(outcome(operators), "NOT_ALLOWED");
    let root = agent(&stack, "acme", KeyReach::Subtree).await;
    let mut root = Routes::of(&stack, &root, A).await;
    let count = within_folder("acme").len();
    assert_eq!(root.apply("", vec![]).await.expect("its own"), count);
    let left = operator.list("").await.expect("operators may");
    assert_eq!(left.len(), all.len() - count);
    let nameless = operator.apply("", vec![]).await;
    assert_eq!(outcome(nameless), "INVALID", "with an operator's key the folder is required");
}

#[apply(every_stack)]
async fn every_change_is_in_the_audit_log(stack: Stack) {
    let key = stack.key(KeyKind::Agent, "acme", KeyReach::Subtree, true).await;
    let mut agent = Routes::of(&stack, &key.key, B).await;
    agent.set(persona("web:acme/x", "a")).await.expect("its own");
    agent.apply("acme", vec![persona("web:acme/y", "b")]).await.expect("its own");
    agent.delete("web:acme/y").await.expect("its own");
    agent.delete("web:acme/y").await.expect("there is none");
    let audit = stack.arizuko(&["audit", "--json"]).await.expect(0).json();
    let entries = audit["entries"].as_array().expect("a list").iter();
    let entries = entries.filter(|entry| entry["actor"] == key.key_id);
    let mut entries: Vec<_> = entries
        .map(|entry| ["action", "subject", "detail"].map(|field| entry[field].to_string()))
        .collect();
    // The two changes of one apply have no order.
    entries[1..3].sort();
    let text = |words: [&str; 3]| words.map(|word| json!(word).to_string());
    let expected = [
        ["route.set", "web:acme/x", "persona"],
        ["route.delete", "web:acme/x", ""],
        ["route.set", "web:acme/y", "persona"],
        ["route.delete", "web:acme/y", ""],
    ];
    assert_eq!(entries, expected.map(text));
}
