//! `arizuko agent http`: posts each turn to an endpoint, whose response is the reply.
//!
//! The request's body is the turn with its history, the document of `agent exec --json`, but with
//! public ids. The `Idempotency-Key` is made of the turn's id and the attempt, so that only retries
//! of an attempt share a key. The response's Content-Type says how its body is read:
//! - `text/plain` or `text/markdown`: the reply;
//! - `application/x-ndjson`, `text/event-stream` or `application/json`: [`ReplyPart`]s, one in each
//!   line, in each event's data, or a single one.
//!
//! A response without a body is an empty reply. One that is cut off within its body fails the turn.

mod parts;
mod signer;

use self::{
    parts::{PartReader, PartUsage, ReplyPart},
    signer::Signer,
};
use super::{
    document,
    endpoint::{self, AskError, Endpoint, charset, media_type},
    metrics::Metrics,
    serve::Place,
    text::Whole,
};
use crate::attach::{Failure, Gone, Reply, Turn};
use arizuko_proto::{public_id, v1::Handoff};
use reqwest::{
    Url,
    header::{ACCEPT, CONTENT_TYPE},
};
use std::{path::PathBuf, sync::Arc};

const ACCEPTED: &str =
    "application/x-ndjson, text/event-stream, application/json, text/markdown, text/plain";

#[derive(clap::Args)]
#[command(after_help = "\
The request's body is the turn with its history as one JSON document. Its ids give no access to the
conversation. Retries have the same Idempotency-Key. The response is the reply: text (text/plain),
or objects, one in each line (application/x-ndjson), in each event's data (text/event-stream), or a
single one (application/json):
  {\"delta\": \"some more text\"}
  {\"message\": \"a whole message, or the finished form of its deltas\"}
  {\"status\": \"what the agent is doing\"}
  {\"title\": \"the conversation's title\"}
  {\"error\": \"a sentence for the visitor\", \"detail\": \"for the operator\"}
  {\"usage\": {\"input_tokens\": 900, \"output_tokens\": 60}}
  {\"handoff\": \"acme/people\", \"note\": \"for whoever continues\", \"conversation\": false}
  {\"response\": {\"status\": 200, \"content_type\": \"text/xml\", \"body\": \"<Response/>\"}}
The last one answers a webhook's sender, if the link waits; its body may be any JSON value.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// URL to post to
    #[arg(long, value_parser = endpoint::url)]
    url: Url,
    /// File with the token for the endpoint, sent as Authorization: Bearer
    /// [env: ARIZUKO_HTTP_TOKEN has the token itself]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// File with the secret that signs each request by Standard Webhooks, such as whsec_…
    /// [env: ARIZUKO_HTTP_SIGNING_SECRET has the secret itself]
    #[arg(long, value_name = "FILE")]
    signing_secret_file: Option<PathBuf>,
    #[command(flatten)]
    limits: endpoint::Limits,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let token = endpoint::secret(args.token_file.as_deref(), &["ARIZUKO_HTTP_TOKEN"])?;
    let signing = args.signing_secret_file.as_deref();
    let signing = endpoint::secret(signing, &["ARIZUKO_HTTP_SIGNING_SECRET"])?;
    let signer = Arc::new(signing.as_deref().map(Signer::new).transpose()?);
    let name = args.url.host_str().unwrap_or_default().to_owned();
    let endpoint = Arc::new(Endpoint::new(args.url, token, &args.limits)?);
    let (concurrency, history) = (args.limits.concurrency, args.limits.history);
    let answer = move |turn, reply| answer(Arc::clone(&endpoint), Arc::clone(&signer), turn, reply);
    args.place.serve(&name, concurrency, history, Metrics::new(), answer).await
}

/// Asks until the endpoint has answered, no retry is left, or the turn is cancelled.
async fn answer(
    endpoint: Arc<Endpoint>,
    signer: Arc<Option<Signer>>,
    turn: Turn,
    reply: Reply,
) -> Result<(), Failure> {
    let turn = with_public_ids(turn);
    let document = document::of(&turn).to_string();
    let mut retries = endpoint.retries();
    let answering = async {
        while let Err(error) = ask(&endpoint, &signer, &turn, &document, &reply).await {
            retries.wait(error, &reply).await?;
        }
        Ok(())
    };
    tokio::select! {
        outcome = answering => outcome,
        // Dropping the request closes its connection.
        () = reply.cancelled() => Err(Gone.into()),
    }
}

/// Gives the turn public ids, since whoever runs the endpoint, or reads its log, needs no access to
/// the conversation.
fn with_public_ids(mut turn: Turn) -> Turn {
    turn.turn_id = public_id::turn(&turn.turn_id);
    turn.conversation = public_id::conversation(&turn.conversation);
    let hide = |id: &mut String| {
        if !id.is_empty() {
            *id = public_id::turn(id);
        }
    };
    hide(&mut turn.supersedes);
    for message in turn.history.iter_mut().chain(&mut turn.said) {
        let public = public_id::turn(&message.turn_id);
        message.id = message.id.replace(&message.turn_id, &public);
        message.turn_id = public;
        hide(&mut message.supersedes);
    }
    turn
}

/// Sends one request and passes its response on to the visitor.
async fn ask(
    endpoint: &Endpoint,
    signer: &Option<Signer>,
    turn: &Turn,
    document: &str,
    reply: &Reply,
) -> Result<(), AskError> {
    let key = format!("{}.{}", turn.turn_id, turn.attempt);
    let mut request = endpoint.request(turn).header("idempotency-key", &key);
    for (name, value) in signer.iter().flat_map(|signer| signer.headers(&key, document)) {
        request = request.header(name, value);
    }
    let request = request.header(ACCEPT, ACCEPTED);
    let request = request.header(CONTENT_TYPE, "application/json");
    let mut response = endpoint.send(request.body(document.to_owned())).await?;
    let mut answer = Answer { reply, whole: Whole::default(), is_handed_off: false };
    let (kind, charset) = (media_type(&response), charset(&response));
    // The reader is chosen when the first bytes come: without a body, no Content-Type is needed.
    let mut reader = None;
    while !answer.is_handed_off {
        let bytes = response.chunk().await.map_err(|error| match reader {
            Some(_) => AskError::broken(error).halfway(),
            None => AskError::broken(error),
        })?;
        let Some(bytes) = bytes else { break };
        let reader = match &mut reader {
            Some(reader) => reader,
            None => reader.insert(PartReader::of(&kind, &charset)?),
        };
        answer.pass_on(reader.push(&bytes)?).await?;
    }
    if let Some(reader) = reader {
        answer.pass_on(reader.finish()?).await?;
    }
    Ok(answer.end_message().await?)
}

/// A response that is passed on to the visitor while it comes.
struct Answer<'a> {
    reply: &'a Reply,
    whole: Whole,
    is_handed_off: bool,
}

impl Answer<'_> {
    /// Passes parts on to the visitor, up to a handoff. Fails at the first part with an error.
    async fn pass_on(&mut self, parts: Vec<ReplyPart>) -> Result<(), Failure> {
        for part in parts {
            if self.is_handed_off {
                break;
            }
            if let Some(response) = part.response {
                self.reply.respond(response.into()).await?;
            }
            if let Some(text) = part.status {
                self.reply.status(text).await?;
            }
            if let Some(text) = part.title {
                self.reply.title(text).await?;
            }
            if let Some(text) = part.delta {
                self.whole.push(&text);
                self.reply.write(text).await?;
            }
            if let Some(text) = part.message {
                self.whole = Whole::default();
                self.reply.message(text).await?;
            }
            if let Some(PartUsage { input_tokens, output_tokens }) = part.usage {
                self.reply.usage(input_tokens, output_tokens);
            }
            if let Some(error) = part.error {
                let detail = part.detail.unwrap_or_else(|| error.clone());
                return Err(Failure { error, detail });
            }
            if let Some(folder) = part.handoff {
                self.end_message().await?;
                let handoff = Handoff {
                    folder,
                    note: part.note.unwrap_or_default(),
                    conversation: part.conversation.unwrap_or_default(),
                };
                self.reply.hand_off(handoff).await?;
                self.is_handed_off = true;
            }
        }
        Ok(())
    }

    /// Sends the finished form of a message of which only deltas were sent, unless it is too long.
    async fn end_message(&mut self) -> Result<(), Gone> {
        match self.whole.take() {
            Some(text) => self.reply.message(text).await,
            None => Ok(()),
        }
    }
}
