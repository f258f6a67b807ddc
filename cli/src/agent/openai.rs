//! `arizuko agent openai`: answers with a model at any endpoint that speaks OpenAI's chat
//! completions.

mod body;
mod completion;
mod prompt;
mod surrogates;
mod thoughts;

use self::completion::Completion;
use super::{
    endpoint::{self, AskError, Endpoint},
    metrics::Metrics,
    serve::Place,
};
use crate::attach::{Failure, Gone, Reply, Turn};
use anyhow::{Context as _, anyhow};
use reqwest::{
    Response, Url,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use serde_json::{Map, Value, json};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// URL of the endpoint without /chat/completions, for example https://model.example/v1
    #[arg(long, value_name = "URL", value_parser = endpoint::url)]
    base_url: Url,
    /// Name of the model at the endpoint
    #[arg(long)]
    model: String,
    /// File with instructions for the model; they go before the route's persona and topic, and the
    /// link's context
    #[arg(long, value_name = "FILE")]
    system_file: Option<PathBuf>,
    /// File with the endpoint's key [env: ARIZUKO_OPENAI_KEY or OPENAI_API_KEY has the key itself]
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// The header that carries the bare key instead of Authorization: Bearer, for example api-key
    #[arg(long, value_name = "NAME")]
    api_key_header: Option<HeaderName>,
    /// A header to send with each request, for example OpenAI-Organization=org-1; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Send the instructions as a first message of the user, for models without a system role
    #[arg(long)]
    no_system_role: bool,
    /// A field to add to each request, for example temperature=0.2 or max_tokens=800; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = param)]
    param: Vec<(String, Value)>,
    /// Show the visitor the model's reasoning, line by line, and not only that it is thinking
    #[arg(long)]
    show_reasoning: bool,
    #[command(flatten)]
    limits: endpoint::Limits,
}

/// A model, and how to ask it.
struct Model {
    endpoint: Endpoint,
    /// A request without its messages.
    request: Map<String, Value>,
    instructions: String,
    has_system_role: bool,
    show_reasoning: bool,
    metrics: Metrics,
    /// Whether requests ask for the token usage. False once the endpoint has refused that.
    reports_usage: AtomicBool,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut url = args.base_url;
    url.path_segments_mut()
        .map_err(|()| anyhow!("the base URL has no path"))?
        .pop_if_empty()
        .extend(["chat", "completions"]);
    let variables = ["ARIZUKO_OPENAI_KEY", "OPENAI_API_KEY"];
    let key = endpoint::secret(args.api_key_file.as_deref(), &variables)?;
    let instructions = args.system_file.map(|path| {
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    });
    let mut request = Map::from_iter([("stream".into(), true.into())]);
    request.extend(args.param);
    request.insert("model".into(), args.model.clone().into());
    let metrics = Metrics::new();
    let model = Arc::new(Model {
        endpoint: Endpoint::new(url, key, &args.limits)?
            .with_headers(args.api_key_header, args.header.into_iter().collect()),
        request,
        instructions: instructions.transpose()?.unwrap_or_default(),
        has_system_role: !args.no_system_role,
        show_reasoning: args.show_reasoning,
        metrics: metrics.clone(),
        reports_usage: AtomicBool::new(true),
    });
    let (concurrency, history) = (args.limits.concurrency, args.limits.history);
    let answer = move |turn, reply| answer(Arc::clone(&model), turn, reply);
    args.place.serve(&args.model, concurrency, history, metrics, answer).await
}

/// Asks until the model has answered, no retry is left, or the turn is cancelled.
async fn answer(model: Arc<Model>, turn: Turn, reply: Reply) -> Result<(), Failure> {
    let messages = prompt::messages(&model.instructions, &turn, model.has_system_role);
    let mut retries = model.endpoint.retries();
    let answering = async {
        while let Err(error) = model.complete(&turn, &messages, &reply).await {
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

impl Model {
    /// Asks for one completion and passes it on to the visitor.
    async fn complete(
        &self,
        turn: &Turn,
        messages: &[Value],
        reply: &Reply,
    ) -> Result<(), AskError> {
        let response = self.ask(turn, messages).await?;
        let mut completion = Completion::new(reply, self.show_reasoning);
        let read = body::read(response, &mut completion).await;
        if completion.is_whole() {
            let tokens = |name: &str| completion.usage[name].as_u64();
            let (prompt, written) = (tokens("prompt_tokens"), tokens("completion_tokens"));
            self.metrics.used(prompt, written);
            if prompt.is_some() || written.is_some() {
                reply.usage(prompt.unwrap_or(0), written.unwrap_or(0));
            }
            tracing::info!(
                model = self.request["model"].as_str(),
                prompt_tokens = prompt,
                completion_tokens = written,
                finish_reason = completion.finish_reason,
                "answered"
            );
        }
        let has_begun = completion.has_begun;
        let finished = match read {
            Ok(()) => completion.finish().await,
            Err(error) => Err(error),
        };
        finished.map_err(|error| if has_begun { error.halfway() } else { error })
    }

    /// Sends a request that asks for the token usage, unless a parameter sets `stream_options` or
    /// the endpoint has refused such a request before. If the endpoint refuses it now, sends the
    /// request again without `stream_options`.
    async fn ask(&self, turn: &Turn, messages: &[Value]) -> Result<Response, AskError> {
        let mut body = self.request.clone();
        body.insert("messages".into(), messages.into());
        let send = |body: &Map<String, Value>| {
            let request = self.endpoint.request(turn);
            let request = request.header(ACCEPT, "text/event-stream, application/json");
            self.endpoint.send(request.json(body))
        };
        if body.contains_key("stream_options") || !self.reports_usage.load(Relaxed) {
            return send(&body).await;
        }
        body.insert("stream_options".into(), json!({"include_usage": true}));
        match send(&body).await {
            Err(error) if error.names("stream_options") => {
                self.reports_usage.store(false, Relaxed);
                body.remove("stream_options");
                send(&body).await
            }
            answer => answer,
        }
    }
}

/// Reads a parameter such as `temperature=0.2`. A value that is not JSON is text.
fn param(text: &str) -> Result<(String, Value), String> {
    let (name, value) =
        text.split_once('=').ok_or("write a name and a value, for example temperature=0.2")?;
    if name == "messages" {
        return Err("the messages come from the conversation".into());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.into(), value))
}

/// Reads a header such as `OpenAI-Organization=org-1`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) =
        text.split_once('=').ok_or("write a name and a value, for example api-version=2")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} can't be a header's name"))?;
    let value =
        value.trim().parse().map_err(|_| "the value has characters that no header can have");
    Ok((name, value?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn params_are_json_or_text() {
        let read = |text| param(text).unwrap().1;
        assert_eq!(read("temperature=0.2"), json!(0.2));
        assert_eq!(read("stop=[\"a=b\"]"), json!(["a=b"]));
        assert_eq!(read("reasoning_effort=low"), json!("low"));
        assert!(param("temperature").is_err() && param("messages=[]").is_err());
    }
}
