//! `arizuko event`: subscribes your own systems to a folder's events.

use crate::{
    calls::Calls,
    console::{Console, note, quoted},
    control::Control,
    folder,
    table::Spare,
    time,
    watch::Watch,
};
use arizuko_proto::v1::{
    CreateSubscriptionRequest, DeleteSubscriptionRequest, EventSubscription, ListEventsRequest,
    ListEventsResponse, ListSubscriptionsRequest, ListSubscriptionsResponse, OutgoingEvent,
    ReplayEventsRequest, ResumeSubscriptionRequest,
};
use clap::Subcommand;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko event subscribe acme --url https://acme.com/events     # prints the signing secret
  arizuko event subscribe acme/eng --url https://acme.com/eng --events turn.failed,escalated
  arizuko event subscriptions acme       # where events go
  arizuko event list sub_…               # what waits; --parked: what could not be delivered
  arizuko event replay sub_…             # sends again what is parked, or only the evt_… that you name
  arizuko event resume sub_…             # after the receiver had answered 410 Gone
  arizuko event unsubscribe sub_…
")]
pub(crate) enum Command {
    /// From now on, post a folder's events to a URL, and print the secret that signs them, which is
    /// shown only this once
    Subscribe(Subscribe),
    /// List where events go
    Subscriptions {
        /// Only those of this folder and the folders below it
        #[arg(value_parser = folder::parse)]
        folder: Option<String>,
    },
    /// List the events that are not delivered, the oldest first
    List(List),
    /// Send parked events again
    Replay {
        /// Id of the subscription
        #[arg(value_name = "sub_…", allow_hyphen_values = true)]
        subscription_id: String,
        /// Ids of the events [default: all that are parked]
        #[arg(value_name = "evt_…", allow_hyphen_values = true)]
        event_ids: Vec<String>,
    },
    /// Continue a subscription that was paused because the receiver answered 410 Gone
    Resume {
        /// Id of the subscription
        #[arg(value_name = "sub_…", allow_hyphen_values = true)]
        subscription_id: String,
    },
    /// End subscriptions and delete their events
    Unsubscribe {
        /// Ids of the subscriptions
        #[arg(value_name = "sub_…", required = true, allow_hyphen_values = true)]
        subscription_ids: Vec<String>,
    },
}

#[derive(clap::Args)]
pub(crate) struct Subscribe {
    /// Folder whose events are posted, with those of the folders below it
    #[arg(value_parser = folder::parse)]
    folder: String,
    /// URL to post to: https, at a public address
    #[arg(long)]
    url: String,
    /// What to post: turn.done, turn.failed, turn.cancelled, turn.expired, escalated,
    /// conversation.deleted [default: all]
    #[arg(long, value_name = "EVENT", value_delimiter = ',')]
    events: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct List {
    /// Id of the subscription
    #[arg(value_name = "sub_…", allow_hyphen_values = true)]
    subscription_id: String,
    /// List parked events, which control no longer tries to deliver
    #[arg(long)]
    parked: bool,
    /// How many to list, at most
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Continue an earlier list from the page token that it printed
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    page: String,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let (json, flags) = (args.format.json, args.connection.flags());
    match args.command {
        Command::Subscribe(subscribe) => subscribe.run(&control, json, &flags, console).await,
        Command::Subscriptions { folder } => {
            let listed = subscriptions(&control, folder.unwrap_or_default()).await?;
            if json { console.message(&listed) } else { show(listed.subscriptions, console) }
        }
        Command::List(list) => list.run(&control, json, &flags, console).await,
        Command::Replay { subscription_id, event_ids } => {
            let request = ReplayEventsRequest { subscription_id, event_ids };
            let replayed = control.answer(control.events().await?.replay_events(request).await)?;
            match (json, replayed.replayed) {
                (true, _) => console.message(&replayed),
                (false, 1) => console.line("1 event is sent again"),
                (false, count) => console.line(&format!("{count} events are sent again")),
            }
        }
        Command::Resume { subscription_id } => {
            let request = ResumeSubscriptionRequest { subscription_id: subscription_id.clone() };
            let events = control.events().await?.resume_subscription(request).await;
            let resumed = control.answer(events)?;
            if json {
                return console.message(&resumed);
            }
            console.line(&format!("resumed {subscription_id}"))?;
            let replay = console.command(&format!("event replay {subscription_id}{flags}"));
            note(&format!("what was parked meanwhile is sent again by: {replay}"));
            Ok(())
        }
        Command::Unsubscribe { subscription_ids } => {
            for subscription_id in subscription_ids {
                unsubscribe(&control, subscription_id, json, console).await?;
            }
            Ok(())
        }
    }
}

/// Lists subscriptions, all pages of them.
pub(crate) async fn subscriptions(
    control: &Control,
    folder: String,
) -> anyhow::Result<ListSubscriptionsResponse> {
    let mut request = ListSubscriptionsRequest { folder, ..ListSubscriptionsRequest::default() };
    let mut client = control.events().await?;
    let mut all = ListSubscriptionsResponse::default();
    loop {
        let page = control.answer(client.list_subscriptions(request.clone()).await)?;
        all.subscriptions.extend(page.subscriptions);
        if page.next_page_token.is_empty() {
            return Ok(all);
        }
        request.page_token = page.next_page_token;
    }
}

impl Subscribe {
    async fn run(
        self,
        control: &Control,
        json: bool,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let Self { folder, url, events: kinds } = self;
        let request = CreateSubscriptionRequest { folder, url, kinds };
        let created = control.events().await?.create_subscription(request).await;
        let created = control.answer(created)?;
        if json {
            return console.message(&created);
        }
        console.line(&created.secret)?;
        let id = created.subscription.unwrap_or_default().subscription_id;
        let end = console.command(&format!("event unsubscribe {id}{flags}"));
        note(&format!(
            "{id}: the receiver checks signatures with this secret, shown this once. Unsubscribe with: \
             {end}"
        ));
        Ok(())
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
        let Self { subscription_id, parked, limit: page_size, page: page_token, watch } = self;
        let request = ListEventsRequest { subscription_id, parked, page_size, page_token };
        let look =
            async || control.answer(control.events().await?.list_events(request.clone()).await);
        let show = |listed, console: &mut Console<'_>| match json {
            true => console.message(&listed),
            false => Self::print(listed, &request, flags, console),
        };
        watch.show(json, console, look, show).await
    }

    fn print(
        listed: ListEventsResponse,
        asked: &ListEventsRequest,
        flags: &str,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let ListEventsRequest { subscription_id: id, parked, page_size: limit, .. } = asked;
        if listed.events.is_empty() {
            note(if *parked { "no event is parked" } else { "no event waits" });
            return Ok(());
        }
        if !listed.next_page_token.is_empty() {
            let parked = if *parked { " --parked" } else { "" };
            let page = quoted(&listed.next_page_token);
            let words = format!("event list {id}{parked} --limit {limit} --page {page}{flags}");
            note(&format!("there are more: {}", console.command(&words)));
        }
        let rows = listed.events.into_iter().map(|event| {
            let OutgoingEvent { event_id, kind, conversation_id, attempts, last_error, .. } = event;
            let next = event.parked_at.or(event.next_attempt_at);
            let (at, next) = (time::shown(event.happened_at), time::shown(next));
            [event_id, kind, at, conversation_id, attempts.to_string(), next, last_error]
        });
        let next = if *parked { "PARKED" } else { "NEXT" };
        let head = ["EVENT", "KIND", "HAPPENED", "CONVERSATION", "FAILED", next, "WHY"];
        let drop = &["HAPPENED", "CONVERSATION"];
        console.table(head, rows.collect(), Spare { cut: None, drop })
    }
}

fn show(subscriptions: Vec<EventSubscription>, console: &mut Console<'_>) -> anyhow::Result<()> {
    if subscriptions.is_empty() {
        note("no subscriptions");
        return Ok(());
    }
    let rows = subscriptions.into_iter().map(|subscription| {
        let state = match (subscription.paused_at, subscription.full_since) {
            (Some(at), _) => format!("paused {}", time::shown(Some(at))),
            (None, Some(at)) => format!("full {}", time::shown(Some(at))),
            (None, None) => "active".to_owned(),
        };
        let EventSubscription { subscription_id, folder, url, kinds, created_at, .. } =
            subscription;
        [subscription_id, folder, url, kinds.join(","), time::shown(created_at), state]
    });
    let head = ["SUBSCRIPTION", "FOLDER", "URL", "EVENTS", "CREATED", "STATE"];
    console.table(head, rows.collect(), Spare { cut: None, drop: &["CREATED"] })
}

async fn unsubscribe(
    control: &Control,
    subscription_id: String,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let request = DeleteSubscriptionRequest { subscription_id: subscription_id.clone() };
    let ended = control.answer(control.events().await?.delete_subscription(request).await)?;
    if json {
        return console.message(&ended);
    }
    if ended.deleted.is_some() {
        return console.line(&format!("unsubscribed {subscription_id}"));
    }
    // This is no error: an earlier call may have ended the subscription.
    let list = console.command("event subscriptions");
    note(&format!("{subscription_id} is no subscription: nothing to end. See {list}"));
    Ok(())
}
