//! gRPC calls about routes and, outside of any turn, about conversations.

use crate::{
    Instance::{A, B},
    Stack, within,
};
use arizuko_proto::v1::{
    AssignConversationRequest, Escalation, EscalationStep, GiveUp, Message, ObserveFor,
    ReadConversationRequest, Route, RouteMode, SendMessageRequest, SetRouteRequest,
    agent_service_client::AgentServiceClient, route_service_client::RouteServiceClient,
};
use std::time::Duration;

/// Returns a route of `prefix` that sets nothing.
pub fn route(prefix: &str) -> Route {
    Route { prefix: prefix.to_owned(), ..Route::default() }
}

/// Returns a route with a mode.
pub fn mode(prefix: &str, mode: RouteMode) -> Route {
    Route { mode: mode.into(), ..route(prefix) }
}

/// Returns a route that keeps webhooks as context for the folder's next turn, even if the turn is a
/// visitor's.
pub fn observe_for_visitors(prefix: &str) -> Route {
    Route { observe_for: ObserveFor::Visitors.into(), ..mode(prefix, RouteMode::Observe) }
}

/// Returns a route that moves a turn to the folder `to` if no frame of its reply comes in time.
pub fn escalation(prefix: &str, after: Duration, to: &str, say: &str) -> Route {
    let step = EscalationStep {
        after: after.try_into().ok(),
        to: to.to_owned(),
        say: say.to_owned(),
        ..EscalationStep::default()
    };
    Route { escalation: Some(Escalation { steps: vec![step] }), ..route(prefix) }
}

/// Returns a route that gives up on a turn that has not ended in time.
pub fn give_up(prefix: &str, after: Duration, say: &str) -> Route {
    let give_up = GiveUp { after: after.try_into().ok(), say: say.to_owned() };
    Route { give_up: Some(give_up), ..route(prefix) }
}

impl Stack {
    /// Sets a route, at control B.
    pub async fn route(&self, route: Route) {
        let mut routes = RouteServiceClient::new(self.operator(B).await);
        let request = SetRouteRequest { route: Some(route), update_mask: None };
        let set = within("a route", routes.set_route(request)).await;
        set.expect("operators set routes");
    }

    /// Sends an unprompted message as `folder`, and returns the turn's id.
    pub async fn speak(&self, folder: &str, conversation: &str, content: &str) -> String {
        let request = SendMessageRequest {
            folder: folder.to_owned(),
            conversation: conversation.to_owned(),
            content: content.to_owned(),
            ..SendMessageRequest::default()
        };
        let mut agents = AgentServiceClient::new(self.operator(B).await);
        let sent = within("a message", agents.send_message(request)).await;
        sent.expect("operators speak").into_inner().turn_id
    }

    /// Assigns a conversation to the folder `to`, as `folder`. An empty `to` means the route's
    /// folder.
    pub async fn assign(&self, folder: &str, conversation: &str, to: &str, note: &str) {
        let request = AssignConversationRequest {
            folder: folder.to_owned(),
            conversation: conversation.to_owned(),
            to: to.to_owned(),
            note: note.to_owned(),
            ..AssignConversationRequest::default()
        };
        let mut agents = AgentServiceClient::new(self.operator(A).await);
        let assigned = within("an assignment", agents.assign_conversation(request)).await;
        assigned.expect("operators assign");
    }

    /// Reads a conversation as `folder`.
    pub async fn read(&self, folder: &str, conversation: &str) -> Vec<Message> {
        let request = ReadConversationRequest {
            folder: folder.to_owned(),
            conversation: conversation.to_owned(),
            limit: 0,
        };
        let mut agents = AgentServiceClient::new(self.operator(B).await);
        let read = within("a conversation", agents.read_conversation(request)).await;
        read.expect("operators read").into_inner().messages
    }
}
