//! An agent that uses the crate in examples/rust and takes the steps that a test sends it.
//! module.py lists the steps.
//!
//! Usage: `module <host:port> <concurrency> [--plain]`. With --plain, its handlers don't end with
//! their turn.

use arizuko_agent::{
    Agent, Control, ControlError, Failure, Handoff, Header, HttpResponse, LinkOptions, Reply, Turn,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use std::{env, process, sync::Arc, thread, time::Duration};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
    sync::OnceCell,
};

static CONTROL: OnceCell<Arc<Control>> = OnceCell::const_new();

fn started(turn: &Turn) -> String {
    let environment =
        json!({"ARIZUKO_TURN": turn.turn_id, "ARIZUKO_JID": turn.jid, "attempt": turn.attempt});
    let input = BASE64_STANDARD.encode(&turn.content);
    json!({"pid": process::id(), "environment": environment, "input": input}).to_string()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn response(of: &Value) -> HttpResponse {
    let header =
        |(name, value): (&String, &Value)| Header { name: name.clone(), value: text(value).into() };
    let headers = of["headers"].as_object().into_iter().flatten().map(header).collect();
    let body = match &of["body"] {
        Value::String(body) => body.clone(),
        body => body.to_string(),
    };
    HttpResponse {
        status: u32::try_from(of["status"].as_u64().unwrap_or(200)).unwrap_or(200),
        content_type: text(&of["content_type"]),
        body: body.into(),
        headers,
    }
}

/// Takes a step. If it is the last step, returns what the handler is to return.
async fn take(step: &Value, turn: &Turn, reply: &Reply) -> Result<Option<String>, Failure> {
    let control = CONTROL.get().ok_or_else(|| Failure::new("there is no control"))?;
    if let Some(out) = step["out"].as_str() {
        let out = BASE64_STANDARD.decode(out)?;
        reply.write(String::from_utf8(out)?).await?;
    }
    if let Some(text) = step["status"].as_str() {
        reply.status(text).await?;
    }
    if let Some(content) = step["message"].as_str() {
        reply.message(content).await?;
    }
    if let [Some(input), Some(output)] = [0, 1].map(|at| step["usage"][at].as_u64()) {
        reply.usage(input, output);
    }
    if let Some(folder) = step["handoff"].as_str() {
        let (folder, note) = (folder.to_owned(), text(&step["note"]));
        reply.hand_off(Handoff { folder, note, conversation: false }).await?;
    }
    if step["respond"].is_object() {
        reply.respond(response(&step["respond"])).await?;
    }
    if let Some(content) = step["speak"].as_str() {
        control.send_message(&turn.conversation, content).await?;
    }
    if let Some(folder) = step["issue"].as_str() {
        let issued = control.issue_chat_link(folder, "", LinkOptions::default()).await;
        let told = issued.map_or_else(refused, |issued| issued.jid);
        reply.write(format!("{told}\n")).await?;
    }
    if let Some(seconds) = step["block"].as_u64() {
        thread::sleep(Duration::from_secs(seconds));
    }
    match step["exit"].as_u64() {
        Some(1) => Err(Failure::telling("That is beyond me.")),
        Some(2) => Err(Failure::new("a secret of the agent's")),
        Some(_) => Ok(Some(String::new())),
        None => returned(&step["return"], reply).await,
    }
}

fn refused(error: ControlError) -> String {
    let reason = error.reason.map_or("", |reason| reason.word());
    format!("{reason} {}", error.retry_after.is_some())
}

/// Writes all of these texts except the last one, which it returns.
async fn returned(texts: &Value, reply: &Reply) -> Result<Option<String>, Failure> {
    let texts = match texts {
        Value::Null => return Ok(None),
        Value::Array(texts) => texts.as_slice(),
        text => std::slice::from_ref(text),
    };
    let mut last = String::new();
    for text in texts {
        let text = text.as_str().ok_or_else(|| Failure::new("this is no text"))?;
        reply.write(std::mem::replace(&mut last, text.to_owned())).await?;
    }
    Ok(Some(last))
}

async fn answer(address: String, turn: Turn, reply: Reply) -> Result<String, Failure> {
    let mut test = BufStream::new(TcpStream::connect(address).await?);
    let mut told = started(&turn);
    loop {
        told.push('\n');
        test.write_all(told.as_bytes()).await?;
        test.flush().await?;
        let mut line = String::new();
        test.read_line(&mut line).await?;
        let step = serde_json::from_str(&line)?;
        if let Some(last) = take(&step, &turn, &reply).await? {
            return Ok(last);
        }
        told = "{}".to_owned();
    }
}

#[tokio::main]
async fn main() -> Result<(), ControlError> {
    let arguments: Vec<_> = env::args().collect();
    let (address, is_plain) = (arguments[1].clone(), arguments.len() > 3);
    let handler = move |turn, reply| {
        let work = answer(address.clone(), turn, reply);
        async move {
            match is_plain {
                true => tokio::spawn(work).await?,
                false => work.await,
            }
        }
    };
    let agent = Agent::new(handler)?.name("module");
    let agent = agent.concurrency(arguments[2].parse().expect("a number"));
    CONTROL.set(agent.control()).unwrap_or_else(|_| unreachable!("it is set once"));
    agent.run().await
}
