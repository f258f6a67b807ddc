//! A key can't see or name folders, override routes or revoke links beyond its reach.

use arizuko_proto::{
    v1::route_service_client::RouteServiceClient,
    v1::token_service_client::TokenServiceClient,
    v1::{
        DeleteRouteRequest, ExplainRouteRequest, ExplainRouteResponse, IssueChatLinkRequest,
        ListRoutesRequest, RevokeTokenRequest, SetRouteRequest, revoke_token_request::Target,
    },
};
use arizuko_tests::prelude::*;
use tonic::Status;

/// The clients with which the holder of a key calls control.
struct Holder {
    routes: RouteServiceClient<Channel>,
    tokens: TokenServiceClient<Channel>,
}

impl Holder {
    async fn of(stack: &Stack, key: &str) -> Self {
        let channel = connect(&stack.control(A), Some(key)).await;
        Self {
            routes: RouteServiceClient::new(channel.clone()),
            tokens: TokenServiceClient::new(channel),
        }
    }

    async fn set(&mut self, route: Route) -> Result<(), ErrorReason> {
        let request = SetRouteRequest { route: Some(route), update_mask: None };
        self.routes.set_route(request).await.map(drop).map_err(|status| reason(&status))
    }

    async fn explain(&mut self, jid: &str) -> Result<ExplainRouteResponse, Status> {
        let request = ExplainRouteRequest { jid: jid.to_owned() };
        self.routes.explain_route(request).await.map(tonic::Response::into_inner)
    }

    async fn list(&mut self) -> Vec<Route> {
        let listed = self.routes.list_routes(ListRoutesRequest::default()).await;
        listed.expect("every key may list").into_inner().routes
    }

    async fn issue(&mut self, suffix: &str) -> Result<String, ErrorReason> {
        let request = IssueChatLinkRequest { jid_suffix: suffix.to_owned(), ..Default::default() };
        let issued = self.tokens.issue_chat_link(request).await;
        issued.map(|issued| issued.into_inner().jid).map_err(|status| reason(&status))
    }

    async fn revoke(&mut self, target: Target) -> usize {
        let revoked = self
            .tokens
            .revoke_token(RevokeTokenRequest { target: Some(target), dry_run: false })
            .await;
        revoked.expect("what is not the caller's is none").into_inner().revoked.len()
    }
}

fn target(prefix: &str, folder: &str) -> Route {
    Route { target: Some(folder.to_owned()), ..route(prefix) }
}

#[apply(embedded)]
async fn folders_beyond_the_reach_are_not_shown(stack: Stack) {
    stack.issue("acme/eng").await;
    stack.route(escalation("web:acme/eng", Duration::from_secs(60), "acme/people", "Wait.")).await;
    stack.route(target("web:acme/eng/x", "acme/people")).await;
    let _ann = stack.session(A, person("acme/people", "Ann Private")).await;
    let mut eng = Holder::of(&stack, &stack.agent_key("acme/eng").await).await;
    for jid in ["web:acme/eng", "web:acme/eng/x"] {
        let told = eng.explain(jid).await.expect("it is its own");
        assert_eq!(told.folder, "acme/eng");
        assert!(!format!("{told:?}").contains("people"), "{told:?}");
        assert!(!format!("{told:?}").contains("Ann"), "{told:?}");
    }
    let listed = eng.list().await;
    assert!(listed.len() == 2 && !format!("{listed:?}").contains("people"), "{listed:?}");
    let mut operator = Holder::of(&stack, stack.operator_key()).await;
    let told = operator.explain("web:acme/eng").await.expect("operators may");
    assert!(format!("{told:?}").contains("Ann Private"), "{told:?}");
}

#[apply(embedded)]
async fn a_key_names_no_folder_and_no_address_beyond_its_reach(stack: Stack) {
    let mut below = Holder::of(&stack, &stack.agent_key("acme/eng").await).await;
    let mut own = Holder::of(&stack, &stack.agent_key("acme").await).await;
    below.set(target("web:acme/eng", "acme/eng")).await.expect("its own");
    for wrong in [
        target("web:acme/eng", "acme"),
        target("web:acme", "acme/eng"),
        escalation("web:acme", Duration::from_secs(60), "acme/people", ""),
    ] {
        assert_eq!(own.set(wrong.clone()).await, Err(ErrorReason::NotAllowed), "{wrong:?}");
    }
    let deleted = own.routes.delete_route(DeleteRouteRequest { prefix: "web:acme/eng".into() });
    let refused = deleted.await.map_err(|status| reason(&status)).err();
    assert_eq!(refused, Some(ErrorReason::NotAllowed));
    assert_eq!(own.list().await, []);
    own.set(target("web:acme", "acme")).await.expect("its own");
}

#[apply(embedded)]
async fn nobody_keeps_a_later_folder_from_its_own_address(stack: Stack) {
    let mut above = Holder::of(&stack, &stack.agent_key("acme").await).await;
    assert_eq!(above.issue("later").await, Ok("web:acme/later".to_owned()));
    let topic = |topic: &str| Route { topic: Some(topic.into()), ..route("web:acme/later") };
    above.set(topic("mine")).await.expect("it is a suffix of its own");
    let mut later = Holder::of(&stack, &stack.agent_key("acme/later").await).await;
    assert_eq!(later.issue("").await, Ok("web:acme/later".to_owned()));
    later.set(topic("ours")).await.expect("it is the folder's own address");
    let told = later.explain("web:acme/later").await.expect("its own");
    assert_eq!(told.route.and_then(|route| route.topic).as_deref(), Some("ours"));
    assert_eq!(above.issue("later").await, Err(ErrorReason::JidTaken));
    assert_eq!(above.set(topic("mine")).await, Err(ErrorReason::NotAllowed));
}

#[apply(embedded)]
async fn an_agents_key_drops_no_link_of_an_operators(stack: Stack) {
    let link = stack.issue("acme").await;
    let mut agent = Holder::of(&stack, &stack.agent_key("acme").await).await;
    agent.issue("").await.expect("it may issue links");
    assert_eq!(agent.revoke(Target::Jid("web:acme".into())).await, 1, "its own");
    assert_eq!(agent.revoke(Target::TokenId(link.token_id.clone())).await, 0);
    stack.visitor(&link, A).get("config").await.expect(200);
}
