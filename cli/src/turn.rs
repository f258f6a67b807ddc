//! `arizuko turn`: shows what became of one message.

use crate::{
    calls::Calls,
    console::{Console, word},
    control::Control,
    conversation::show::{by, field, place, show_course, verified},
    time,
};
use arizuko_proto::{
    public_id,
    v1::{EscalationStep, Header, HttpResponse, ShowTurnRequest, ShowTurnResponse, TurnDetail},
};
use clap::Subcommand;
use prost_types::Timestamp;

#[derive(Subcommand)]
#[command(before_help = "\
Examples:
  arizuko turn show trn_…     # times, attempts, agent, route, trace, error
")]
pub(crate) enum Command {
    /// Show a turn: times, attempts, agent, route, trace, error and its detail
    Show {
        /// Id of the turn, as the log, `tail` and `conversation show` print it
        #[arg(value_name = "trn_…", value_parser = id, allow_hyphen_values = true)]
        turn_id: String,
    },
}

pub(crate) async fn run(args: Calls<Command>, console: &mut Console<'_>) -> anyhow::Result<()> {
    let control = args.connection.find()?;
    let Command::Show { turn_id } = args.command;
    read(turn_id, &control, args.format.json, console).await
}

/// Reads a turn, and shows it.
pub(crate) async fn read(
    turn_id: String,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let request = ShowTurnRequest { turn_id };
    let found = control.answer(control.conversations().await?.show_turn(request).await)?;
    if json { console.message(&found) } else { show(found, console) }
}

/// Reads a turn's public id, or makes it from the turn's own id. The own id gives access, so it is
/// not sent.
pub(crate) fn id(text: &str) -> Result<String, String> {
    match text {
        own if public_id::is_own(own) => Ok(public_id::turn(own)),
        public if public.starts_with(public_id::TURN) => Ok(public.into()),
        _ => Err("a turn's id looks like trn_…, as `conversation show` shows it".into()),
    }
}

fn show(found: ShowTurnResponse, console: &mut Console<'_>) -> anyhow::Result<()> {
    let (conversation, turn) =
        (found.conversation.unwrap_or_default(), found.turn.unwrap_or_default());
    let since = turn.created_at;
    field("turn", &turn.turn_id, console)?;
    field("conversation", &conversation.conversation_id, console)?;
    field("address", &conversation.jid, console)?;
    field("status", &word(turn.status().as_str_name()), console)?;
    field("visitor", &turn.identity.as_ref().map(verified).unwrap_or_default(), console)?;
    field("unverified", &turn.page.as_ref().map(place).unwrap_or_default(), console)?;
    field("sent", &time::brief(since), console)?;
    field("delivered", &after(since, turn.delivered_at), console)?;
    field("first frame", &after(since, turn.first_frame_at), console)?;
    field("ended", &after(since, turn.ended_at), console)?;
    if turn.ended_at.is_none() {
        field("deadline", &time::brief(turn.deadline), console)?;
    }
    let strikes = match turn.strikes {
        0 => String::new(),
        strikes => format!(", lost {strikes} times by agents"),
    };
    field("attempt", &format!("{}{strikes}", turn.attempt), console)?;
    field("folder", &turn.folder, console)?;
    field("agent", &turn.agent.as_ref().map(by).unwrap_or_default(), console)?;
    show_route(&turn, console)?;
    field("trace", &turn.trace_id, console)?;
    field("error", &turn.error, console)?;
    field("detail", &turn.detail, console)?;
    if let Some(request) = &turn.request {
        field("request", &format!("{} {}", request.method, request.url), console)?;
    }
    show_headers("header", &turn.headers, console)?;
    if let Some(response) = &turn.response {
        let HttpResponse { status, content_type, headers, body } = response;
        field("response", &format!("{status} {content_type}"), console)?;
        show_headers("", headers, console)?;
        field("", &String::from_utf8_lossy(body), console)?;
    }
    console.line("")?;
    show_course(&turn, console)
}

fn show_headers(name: &str, headers: &[Header], console: &mut Console<'_>) -> anyhow::Result<()> {
    for header in headers {
        let value = String::from_utf8_lossy(&header.value);
        field(name, &format!("{}: {value}", header.name), console)?;
    }
    Ok(())
}

/// Shows what the turn's route said when the turn began.
fn show_route(turn: &TurnDetail, console: &mut Console<'_>) -> anyhow::Result<()> {
    field("route to", &turn.home, console)?;
    field("persona", &turn.persona, console)?;
    field("topic", &turn.topic, console)?;
    for EscalationStep { after, unfinished_after, to, .. } in &turn.escalation {
        let times = [("after", after), ("unfinished after", unfinished_after)];
        let times = times
            .iter()
            .filter_map(|(word, time)| time.map(|time| format!("{word} {}", time::print(time))));
        let times = times.collect::<Vec<_>>().join(" or ");
        field("escalation", &format!("to {to} {times}"), console)?;
    }
    Ok(())
}

/// Says when something happened, and how long after the message; empty if it has not happened.
fn after(since: Option<Timestamp>, at: Option<Timestamp>) -> String {
    let millis = |at: Timestamp| at.seconds * 1_000 + i64::from(at.nanos) / 1_000_000;
    match (since, at) {
        (Some(since), Some(end)) => {
            let seconds = (millis(end) - millis(since)) as f64 / 1_000.0;
            format!("{}, {seconds} s after it was sent", time::brief(at))
        }
        _ => time::brief(at),
    }
}
