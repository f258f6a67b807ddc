//! Calls about conversations, by agents and by those who look at what was said.

use super::Facts;
use arizuko_proto::{
    v1::agent_service_client::AgentServiceClient,
    v1::conversation_service_client::ConversationServiceClient,
    v1::{
        AssignConversationRequest, DeleteConversationsRequest, ExportConversationsRequest,
        FollowConversationRequest, ListConversationsRequest, NoteConversationRequest,
        ReadConversationRequest, ReplayDeliveryRequest, SendMessageRequest,
        ShowConversationRequest, ShowTurnRequest,
    },
};
use arizuko_tests::prelude::*;
use tonic::Status;

pub(super) async fn speech(
    call: &str,
    folder: &str,
    channel: Channel,
    facts: &Facts,
) -> Result<(), Status> {
    let mut agents = AgentServiceClient::new(channel);
    let folder = folder.to_owned();
    let conversation = facts.posted.conversation.clone();
    match call {
        "SendMessage" => {
            let request = SendMessageRequest {
                folder,
                conversation,
                content: "hello".to_owned(),
                ..SendMessageRequest::default()
            };
            agents.send_message(request).await.map(drop)
        }
        "AssignConversation" => {
            let request = AssignConversationRequest {
                folder,
                conversation,
                ..AssignConversationRequest::default()
            };
            agents.assign_conversation(request).await.map(drop)
        }
        "FollowConversation" => {
            let request = FollowConversationRequest { folder, conversation, limit: 1 };
            agents.follow_conversation(request).await.map(drop)
        }
        "NoteConversation" => {
            let (name, text) = ("Ann".to_owned(), "a note".to_owned());
            let request = NoteConversationRequest { folder, conversation, name, text };
            agents.note_conversation(request).await.map(drop)
        }
        _ => {
            let request = ReadConversationRequest { folder, conversation, limit: 1 };
            agents.read_conversation(request).await.map(drop)
        }
    }
}

pub(super) async fn shows(
    call: &str,
    folder: &str,
    channel: Channel,
    facts: &Facts,
) -> Result<(), Status> {
    let mut conversations = ConversationServiceClient::new(channel);
    match call {
        "ListConversations" => {
            let folder = folder.to_owned();
            let request =
                ListConversationsRequest { folder, ..ListConversationsRequest::default() };
            conversations.list_conversations(request).await.map(drop)
        }
        "ExportConversations" => {
            let request = ExportConversationsRequest {
                folder: folder.to_owned(),
                ..ExportConversationsRequest::default()
            };
            conversations.export_conversations(request).await.map(drop)
        }
        "DeleteConversations" => {
            let request = DeleteConversationsRequest {
                folder: folder.to_owned(),
                ..DeleteConversationsRequest::default()
            };
            conversations.delete_conversations(request).await.map(drop)
        }
        "ReplayDelivery" => {
            let turn_id = public_id::turn(&facts.delivery.turn);
            conversations.replay_delivery(ReplayDeliveryRequest { turn_id }).await.map(drop)
        }
        "ShowConversation" => {
            let conversation_id = public_id::conversation(&facts.posted.conversation);
            let request =
                ShowConversationRequest { conversation_id, ..ShowConversationRequest::default() };
            conversations.show_conversation(request).await.map(drop)
        }
        _ => {
            let turn_id = public_id::turn(&facts.posted.turn);
            conversations.show_turn(ShowTurnRequest { turn_id }).await.map(drop)
        }
    }
}
