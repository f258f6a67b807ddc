//! `arizuko conversation delete`: deletes one conversation, or all of a folder or JID.

use crate::{
    console::{Console, confirmed, note},
    control::Control,
    folder, time,
};
use anyhow::bail;
use arizuko_proto::v1::{DeleteConversationsRequest, DeleteConversationsResponse};
use prost_types::Duration;
use std::io::{self, IsTerminal as _};

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["target", "jid"]))]
pub(crate) struct Delete {
    /// Id of a conversation; or a folder, to delete all conversations of this folder and the
    /// folders below it
    #[arg(value_name = "cnv_…|FOLDER", value_parser = target, allow_hyphen_values = true)]
    target: Option<Target>,
    /// Delete the conversations of this address
    #[arg(long)]
    jid: Option<String>,
    /// Only conversations that were not active for this long, for example 90d
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    before: Option<Duration>,
    /// Don't ask for confirmation
    #[arg(long)]
    yes: bool,
}

#[derive(Clone)]
enum Target {
    Conversation(String),
    Folder(String),
}

/// Reads the id of a conversation, or else a folder.
fn target(text: &str) -> Result<Target, String> {
    match super::id(text) {
        Ok(id) => Ok(Target::Conversation(id)),
        Err(_) => folder::parse(text).map(Target::Folder).map_err(|_| {
            "name a conversation, cnv_…, or a folder, such as acme or acme/people".into()
        }),
    }
}

impl Delete {
    pub(super) async fn run(
        self,
        control: &Control,
        json: bool,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        if matches!(self.target, Some(Target::Conversation(_))) && self.before.is_some() {
            bail!("--before goes with a folder or --jid: a single conversation is named by its id");
        }
        let request = self.request();
        if !self.yes && io::stdin().is_terminal() && !is_confirmed(&request, self.before)? {
            bail!("nothing was deleted");
        }
        let deleted = delete(control, request).await?;
        if json {
            return console.message(&deleted);
        }
        let DeleteConversationsResponse { conversations, turns, .. } = deleted;
        let plural = |count: u32| if count == 1 { "" } else { "s" };
        console.line(&format!(
            "deleted {conversations} conversation{} with {turns} message{} and their replies",
            plural(conversations),
            plural(turns)
        ))
    }

    fn request(&self) -> DeleteConversationsRequest {
        let (conversation_id, folder) = match self.target.clone() {
            Some(Target::Conversation(id)) => (id, String::new()),
            Some(Target::Folder(folder)) => (String::new(), folder),
            None => Default::default(),
        };
        DeleteConversationsRequest {
            conversation_id,
            folder,
            jid: self.jid.clone().unwrap_or_default(),
            inactive_since: self.before.map(time::before_now),
            page_token: String::new(),
        }
    }
}

/// Deletes page by page. If a page fails, notes how many conversations were deleted before.
async fn delete(
    control: &Control,
    mut request: DeleteConversationsRequest,
) -> anyhow::Result<DeleteConversationsResponse> {
    let mut conversations = control.conversations().await?;
    let mut all = DeleteConversationsResponse::default();
    loop {
        let page = conversations.delete_conversations(request.clone()).await;
        let page = control.answer(page).inspect_err(|_| {
            if all.conversations > 0 {
                note(&format!("conversations deleted so far: {}", all.conversations));
            }
        })?;
        all.conversations += page.conversations;
        all.turns += page.turns;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(all);
        }
    }
}

/// Asks for confirmation at the terminal.
fn is_confirmed(
    request: &DeleteConversationsRequest,
    before: Option<Duration>,
) -> anyhow::Result<bool> {
    let DeleteConversationsRequest { conversation_id, folder, jid, .. } = request;
    let mut what = match (conversation_id.as_str(), folder.as_str(), jid.as_str()) {
        ("", "", jid) => format!("all conversations of {jid}"),
        ("", folder, "") => format!("all conversations of {folder} and the folders below it"),
        ("", folder, jid) => format!("all conversations of {jid} in {folder}"),
        (id, ..) => format!("the conversation {id}"),
    };
    if let Some(before) = before {
        what += &format!(" that were not active for {}", time::print(before));
    }
    confirmed(&format!("Delete {what}, for good?"))
}
