//! An agent that repeats each message, word by word. It issues a chat link and prints its URL.

use arizuko_agent::{Agent, Gone, LinkOptions, Reply, Turn};
use std::time::Duration;
use tokio::time::sleep;

async fn answer(turn: Turn, reply: Reply) -> Result<(), Gone> {
    reply.status("listening").await?;
    for word in String::from_utf8_lossy(&turn.content).split_whitespace() {
        reply.write(format!("{word} ")).await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the link is for whoever runs this")]
async fn main() -> anyhow::Result<()> {
    let agent = Agent::new(answer)?.concurrency(10);
    let link = agent.control().issue_chat_link("", "", LinkOptions::default()).await?;
    println!("{}", link.url);
    Ok(agent.run().await?)
}
