//! `arizuko agent http`: asks an endpoint about each turn, with one POST.
//!
//! The request's body is the turn with its history, the document that `agent exec --json` gives.
//! Its `Idempotency-Key` is the turn's id and the attempt: only a repeat of the same request has
//! the same. The answer is the reply, by its Content-Type:
//! - `text/plain` or `text/markdown`: the reply, shown as it comes;
//! - `application/x-ndjson`, `text/event-stream` or `application/json`: objects, see [`Said`], one
//!   a line, one an event's data, or a single one;
//! - no content: there is nothing to say.
//!
//! The reply ends where the answer ends. One that is cut off fails the turn.

mod said;

use self::said::{Format, Said};
use super::{
    document,
    endpoint::{self, Endpoint, Trouble, media_type},
    metrics::Metrics,
    serve::Place,
    text::Whole,
};
use crate::attach::{Failure, Gone, Reply, Turn, check_handoff};
use arizuko_proto::v1::Handoff;
use reqwest::{
    Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use std::{path::PathBuf, sync::Arc};

const ACCEPTED: &str =
    "application/x-ndjson, text/event-stream, application/json, text/markdown, text/plain";

#[derive(clap::Args)]
#[command(after_help = "\
The request has the turn with its history as one JSON document, and an Idempotency-Key that a
repeat of it has, too. The answer is the reply, by its Content-Type: as text (text/plain), or in
objects, one a line (application/x-ndjson), one an event's data (text/event-stream), or a single
one (application/json):
  {\"delta\": \"some more text\"}
  {\"message\": \"a whole message, or the finished form of its deltas\"}
  {\"status\": \"what the agent is doing\"}
  {\"error\": \"a sentence for the visitor\", \"detail\": \"for the operator\"}
  {\"handoff\": \"acme/people\", \"note\": \"for who goes on\", \"conversation\": false}")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Where to ask
    #[arg(long, value_parser = endpoint::url)]
    url: Url,
    /// The file that has the token for the endpoint, sent as Authorization: Bearer
    /// [env: ARIZUKO_HTTP_TOKEN, the token]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    limits: endpoint::Limits,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let token = endpoint::secret(args.token_file.as_deref(), &["ARIZUKO_HTTP_TOKEN"])?;
    let name = args.url.host_str().unwrap_or_default().to_owned();
    let endpoint = Arc::new(Endpoint::new(args.url, token, &args.limits)?);
    let (concurrency, history) = (args.limits.concurrency, args.limits.history);
    let answer = move |turn, reply| answer(Arc::clone(&endpoint), turn, reply);
    args.place.serve(&name, concurrency, history, Metrics::new(), answer).await
}

/// Asks until the endpoint has answered, or the turn's patience is at its end.
async fn answer(endpoint: Arc<Endpoint>, turn: Turn, reply: Reply) -> Result<(), Failure> {
    let document = document::of(turn.clone()).to_string();
    let mut patience = endpoint.patience();
    let answering = async {
        while let Err(trouble) = ask(&endpoint, &turn, &document, &reply).await {
            patience.wait(trouble, &reply).await?;
        }
        Ok(())
    };
    tokio::select! {
        outcome = answering => outcome,
        // The request goes with its connection.
        () = reply.cancelled() => Err(Gone.into()),
    }
}

/// One request, and what comes of it.
async fn ask(
    endpoint: &Endpoint,
    turn: &Turn,
    document: &str,
    reply: &Reply,
) -> Result<(), Trouble> {
    let key = format!("{}.{}", turn.turn_id, turn.attempt);
    let request = endpoint.request(turn).header("idempotency-key", key);
    let request = request.header(ACCEPT, ACCEPTED);
    let request = request.header(CONTENT_TYPE, "application/json");
    let mut response = endpoint.send(request.body(document.to_owned())).await?;
    let mut answer =
        Answer { reply, folder: &turn.folder, whole: Whole::default(), handed_off: false };
    // An answer without a body needs no type.
    let kind = media_type(&response);
    let mut format = None;
    while !answer.handed_off {
        let bytes = response.chunk().await.map_err(|error| match format {
            Some(_) => Trouble::broken(error).halfway(),
            None => Trouble::broken(error),
        })?;
        let Some(bytes) = bytes else { break };
        let format = match &mut format {
            Some(format) => format,
            None => format.insert(Format::of(&kind)?),
        };
        answer.take(format.push(&bytes)?).await?;
    }
    if let Some(format) = format {
        answer.take(format.finish()?).await?;
    }
    Ok(answer.end_message().await?)
}

/// An answer as it comes.
struct Answer<'a> {
    reply: &'a Reply,
    folder: &'a str,
    whole: Whole,
    handed_off: bool,
}

impl Answer<'_> {
    /// Passes on what the endpoint says. After a handoff it has no more to say.
    async fn take(&mut self, said: Vec<Said>) -> Result<(), Failure> {
        for said in said {
            if self.handed_off {
                break;
            }
            if let Some(text) = said.status {
                self.reply.status(text).await?;
            }
            if let Some(text) = said.delta {
                self.whole.push(&text);
                self.reply.delta(text).await?;
            }
            if let Some(text) = said.message {
                self.whole = Whole::default();
                self.reply.message(text).await?;
            }
            if let Some(error) = said.error {
                let detail = said.detail.unwrap_or_else(|| error.clone());
                return Err(Failure { error, detail });
            }
            if let Some(folder) = said.handoff {
                if !folder.is_empty() {
                    check_handoff(self.folder, &folder).map_err(Failure::new)?;
                }
                self.end_message().await?;
                let handoff = Handoff { folder, note: said.note, conversation: said.conversation };
                self.reply.hand_off(handoff).await?;
                self.handed_off = true;
            }
        }
        Ok(())
    }

    /// Deltas without a finished form get theirs.
    async fn end_message(&mut self) -> Result<(), Gone> {
        match self.whole.take() {
            Some(text) => self.reply.message(text).await,
            None => Ok(()),
        }
    }
}
