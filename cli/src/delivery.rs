//! `arizuko delivery`: what webhooks' senders have delivered, and what became of it. Each delivery
//! is a turn.

use crate::{
    calls::Calls,
    console::{Console, quoted, word},
    control::Control,
    conversation::list::{self, Progress},
    folder,
    table::Spare,
    time, turn,
    watch::Watch,
};
use arizuko_proto::v1::{
    Conversation, ConversationStatus, ListConversationsRequest, ReplayDeliveryRequest, TokenKind,
};
use clap::Subcommand;
use prost_types::Duration;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko delivery list acme                           # the newest first
  arizuko delivery list hook:acme/github --failed --since 2d
  arizuko delivery show trn_…                          # headers, body, attempts, response, error
  arizuko delivery replay trn_…                        # the same body and headers, as a new turn
")]
pub(crate) enum Command {
    /// List deliveries to webhooks, the newest first
    List(List),
    /// Show a delivery, and what became of it
    Show {
        /// Id of its turn
        #[arg(value_name = "trn_…", value_parser = turn::id, allow_hyphen_values = true)]
        turn_id: String,
    },
    /// Take deliveries again, each as a new turn
    Replay {
        /// Ids of their turns
        #[arg(value_name = "trn_…", value_parser = turn::id, required = true, allow_hyphen_values = true)]
        turn_ids: Vec<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Only deliveries to webhooks of this folder and the folders below it, or of this address
    /// [default: the key's folder]
    #[arg(value_name = "FOLDER|hook:…", value_parser = place)]
    place: Option<Place>,
    /// Only those that no agent could handle: they failed or were not answered in time
    #[arg(long)]
    failed: bool,
    /// Only those that came or ended within this time before now, for example 2d
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    since: Option<Duration>,
    /// How many to list, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Continue an earlier list from the page token that it printed
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Clone)]
enum Place {
    Folder(String),
    Address(String),
}

fn place(text: &str) -> Result<Place, String> {
    match text.starts_with("hook:") {
        true => Ok(Place::Address(text.to_owned())),
        false => folder::parse(text).map(Place::Folder),
    }
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let json = args.format.json;
    match args.command {
        Command::List(list) => list.run(&control, json, &args.connection.flags(), console).await,
        Command::Show { turn_id } => turn::read(turn_id, &control, json, console).await,
        Command::Replay { turn_ids } => {
            let mut conversations = control.conversations().await?;
            for turn_id in turn_ids {
                let request = ReplayDeliveryRequest { turn_id: turn_id.clone() };
                let new = control.answer(conversations.replay_delivery(request).await)?;
                match json {
                    true => console.message(&new)?,
                    false => console.line(&format!("{turn_id} again as {}", new.turn_id))?,
                }
            }
            Ok(())
        }
    }
}

impl List {
    async fn run(
        self,
        control: &Control,
        json: bool,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let look =
            async || list::pages(control, self.request(), self.limit, Progress::default()).await;
        let next = |page: &str| format!("{}{flags}", self.words(page));
        let show = |listed, console: &mut Console<'_>| match json {
            true => console.message(&listed),
            false => list::print(listed, "no such deliveries", show, next, console),
        };
        self.watch.show(json, console, look, show).await
    }

    fn request(&self) -> ListConversationsRequest {
        let (mut folder, mut jid) = Default::default();
        match self.place.clone() {
            Some(Place::Folder(name)) => folder = name,
            Some(Place::Address(address)) => jid = address,
            None => {}
        }
        let status = match self.failed {
            true => ConversationStatus::Failed,
            false => ConversationStatus::Unspecified,
        };
        ListConversationsRequest {
            folder,
            jid,
            active_since: self.since.map(time::before_now),
            status: status.into(),
            page_token: self.page.clone(),
            kind: TokenKind::Hook.into(),
            ..ListConversationsRequest::default()
        }
    }

    /// Returns the command that lists the next page.
    fn words(&self, page: &str) -> String {
        let place = match &self.place {
            Some(Place::Folder(place) | Place::Address(place)) => format!(" {}", quoted(place)),
            None => String::new(),
        };
        let failed = if self.failed { " --failed" } else { "" };
        let since = self.since.map(|since| format!(" --since {}", time::print(since)));
        let (since, limit) = (since.unwrap_or_default(), self.limit);
        format!("delivery list{place}{failed}{since} --limit {limit} --page {}", quoted(page))
    }
}

fn show(deliveries: Vec<Conversation>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let rows = deliveries.into_iter().map(|conversation| {
        let status = word(conversation.status().as_str_name());
        let Conversation { turn_id, jid, created_at, delivery, .. } = conversation;
        [turn_id, jid, status, time::shown(created_at), delivery]
    });
    let head = ["TURN", "ADDRESS", "STATUS", "CAME", "DELIVERY"];
    console.table(head, rows.collect(), Spare::default())
}
