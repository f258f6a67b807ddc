//! `arizuko conversation list`: lists conversations, and searches their messages.

use crate::{
    console::{Console, note, quoted, word},
    control::Control,
    folder,
    table::Spare,
    time,
    watch::Watch,
};
use arizuko_proto::v1::{
    Conversation, ConversationStatus, ListConversationsRequest, ListConversationsResponse,
};
use prost_types::Duration;
use std::io::{self, IsTerminal as _, Write as _};

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only conversations in which this folder, or one below it, has a part [default: the key's
    /// folder]
    #[arg(value_parser = folder::parse)]
    folder: Option<String>,
    /// Only conversations of this address
    #[arg(long)]
    jid: Option<String>,
    /// Only conversations that were active within this time before now, for example 1d
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    since: Option<Duration>,
    /// Only conversations of this status: open (waiting or being answered), waiting (for an agent)
    /// or failed
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Only conversations with a message that has all of these words
    #[arg(long, value_name = "WORDS", default_value = "", hide_default_value = true)]
    search: String,
    /// How many conversations to list, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Continue an earlier list from the page token that it printed
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Status {
    Open,
    Waiting,
    Failed,
}

impl From<Status> for ConversationStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Waiting => Self::Waiting,
            Status::Failed => Self::Failed,
        }
    }
}

impl List {
    pub(super) async fn run(
        self,
        control: &Control,
        json: bool,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let look = async || pages(control, self.request(), self.limit, Progress::default()).await;
        let next = |page: &str| format!("{}{flags}", self.words(page));
        let show = |listed, console: &mut Console<'_>| match json {
            true => console.message(&listed),
            false => print(listed, "no such conversations", show, next, console),
        };
        self.watch.show(json, console, look, show).await
    }

    fn request(&self) -> ListConversationsRequest {
        ListConversationsRequest {
            folder: self.folder.clone().unwrap_or_default(),
            jid: self.jid.clone().unwrap_or_default(),
            active_since: self.since.map(time::before_now),
            status: self.status.map_or(ConversationStatus::Unspecified, Into::into).into(),
            search: self.search.clone(),
            page_token: self.page.clone(),
            ..ListConversationsRequest::default()
        }
    }

    /// Returns the command that lists the next page.
    fn words(&self, page: &str) -> String {
        let mut words = "conversation list".to_owned();
        let mut add = |flag: &str, value: &str| {
            words += &format!(" {flag}{}", quoted(value));
        };
        if let Some(folder) = &self.folder {
            add("", folder);
        }
        if let Some(jid) = &self.jid {
            add("--jid ", jid);
        }
        if let Some(since) = self.since {
            add("--since ", &time::print(since));
        }
        match self.status {
            Some(Status::Open) => add("--status ", "open"),
            Some(Status::Waiting) => add("--status ", "waiting"),
            Some(Status::Failed) => add("--status ", "failed"),
            None => {}
        }
        if !self.search.is_empty() {
            add("--search ", &self.search);
        }
        add("--limit ", &self.limit.to_string());
        add("--page ", page);
        words
    }
}

/// Reads pages until there are as many conversations as wanted, or no more.
pub(crate) async fn pages(
    control: &Control,
    mut request: ListConversationsRequest,
    wanted: u32,
    mut progress: Progress,
) -> anyhow::Result<ListConversationsResponse> {
    let mut conversations = control.conversations().await?;
    let mut all = ListConversationsResponse::default();
    loop {
        let left = wanted - u32::try_from(all.conversations.len()).unwrap_or(wanted);
        request.page_size = left.min(200);
        let page = control.answer(conversations.list_conversations(request.clone()).await)?;
        all.conversations.extend(page.conversations);
        all.next_page_token.clone_from(&page.next_page_token);
        all.looked_at += page.looked_at;
        all.reached = page.reached.or(all.reached);
        let is_full = all.conversations.len() >= wanted as usize;
        if all.next_page_token.is_empty() || is_full {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
        progress.show(&all);
    }
}

/// Prints a list with `show`, or `nothing` if it is empty. If there is another page, prints the
/// command that lists it, which `next` makes from the page's token.
pub(crate) fn print(
    listed: ListConversationsResponse,
    nothing: &str,
    show: impl FnOnce(Vec<Conversation>, &mut Console<'_>) -> anyhow::Result<()>,
    next: impl FnOnce(&str) -> String,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    if listed.conversations.is_empty() {
        note(nothing);
    } else {
        show(listed.conversations, console)?;
    }
    if !listed.next_page_token.is_empty() {
        let more = console.command(&next(&listed.next_page_token));
        note(&format!("there are more: {more}"));
    }
    Ok(())
}

fn show(conversations: Vec<Conversation>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let rows = conversations.into_iter().map(|conversation| {
        let status = word(conversation.status().as_str_name());
        let Conversation { conversation_id, jid, active_at, excerpt, .. } = conversation;
        [conversation_id, jid, status, time::age(active_at), excerpt]
    });
    let head = ["CONVERSATION", "ADDRESS", "STATUS", "ACTIVE", "LAST MESSAGE"];
    console.table(head, rows.collect(), Spare { cut: Some("LAST MESSAGE"), drop: &["ACTIVE"] })
}

/// Shows on a terminal how far a long search is, on one line.
#[derive(Default)]
pub(crate) struct Progress {
    is_shown: bool,
    is_hidden: bool,
}

impl Progress {
    /// Shows nothing: the terminal is used for something else.
    pub(crate) fn hidden() -> Self {
        Self { is_shown: false, is_hidden: true }
    }

    fn show(&mut self, so_far: &ListConversationsResponse) {
        let mut terminal = io::stderr();
        if terminal.is_terminal() && !self.is_hidden {
            self.is_shown = true;
            let (count, reached) = (so_far.looked_at, time::brief(so_far.reached));
            // If this can't be shown, nothing is lost.
            let _ = write!(terminal, "\r\x1b[Klooked at {count} conversations, back to {reached}");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
