//! Visitors, who send messages and compare what they read.

use crate::{Counts, Dice};
use arizuko_tests::prelude::*;
use tokio::sync::watch;

/// What a visitor has done in a conversation.
#[derive(Default)]
struct Talk {
    conversation: String,
    /// The messages that were taken.
    taken: Vec<String>,
}

/// Sends messages in one conversation after another, and reads the replies, until the end.
pub(crate) async fn visit(
    number: usize,
    visitors: [Visitor; 2],
    mut dice: Dice,
    ending: watch::Receiver<bool>,
    counts: Counts,
) {
    for message in 0.. {
        let mut talk = Talk::default();
        let messages = 1 + dice.roll(8);
        for part in 0..messages {
            let content = format!("{number}.{message}.{part} ");
            let may_abandon = part > 0 && dice.roll(2) == 0;
            let Some(posted) = say(&visitors, &talk.conversation, &content, may_abandon).await
            else {
                counts.add("messages abandoned after a 503", 1);
                continue;
            };
            talk.conversation.clone_from(&posted.conversation);
            talk.taken.push(content.clone());
            counts.add("messages", 1);
            let is_cancelled = dice.roll(8) == 0;
            if is_cancelled {
                let (visitors, turn) = (visitors.clone(), posted.turn.clone());
                sleep(dice.millis(200)).await;
                tokio::spawn(async move { cancel(&visitors, &turn).await });
                counts.add("cancels", 1);
            }
            read(&visitors, &posted, &content, is_cancelled).await;
        }
        check(&visitors, &talk, &counts).await;
        if *ending.borrow() {
            return;
        }
    }
}

/// Repeats a message with one idempotency key until it is taken. `None`: the first answer was 503,
/// and the visitor gives up.
async fn say(
    visitors: &[Visitor; 2],
    conversation: &str,
    content: &str,
    may_abandon: bool,
) -> Option<Posted> {
    let key = random_id();
    let message = match conversation {
        "" => json!({"content": content}),
        conversation => json!({"content": content, "conversation": conversation}),
    };
    for (attempt, visitor) in visitors.iter().cycle().enumerate() {
        let request = visitor.request(Method::POST, "");
        let request = request.header("idempotency-key", &key).json(&message);
        match try_send(request).await {
            Ok(answer) if answer.status == 202 => return Some(answer.posted()),
            Ok(answer) if answer.status == 503 && attempt == 0 && may_abandon => return None,
            Ok(answer) => assert!(
                [429, 503, 504].contains(&answer.status.as_u16()),
                "{}: {}",
                answer.status,
                answer.text()
            ),
            Err(_) => {}
        }
        sleep(Duration::from_millis(200)).await;
    }
    unreachable!("there are visitors")
}

/// Cancels a turn, however long it takes.
async fn cancel(visitors: &[Visitor; 2], turn: &str) {
    for visitor in visitors.iter().cycle() {
        let request = visitor.request(Method::POST, &format!("{turn}/cancel"));
        match try_send(request).await {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => assert!([503, 504].contains(&answer.status.as_u16()), "{answer:?}"),
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Reads a reply at both gateways. Asserts that both have read the same, whole reply.
async fn read(visitors: &[Visitor; 2], posted: &Posted, content: &str, is_cancelled: bool) {
    let (here, there) = tokio::join!(
        read_to_the_end(&visitors[0], &posted.turn),
        read_to_the_end(&visitors[1], &posted.turn),
    );
    assert_eq!(here, there, "both have read the same");
    let (said, whole) = (text(&here), content.repeat(5));
    let end = here.last().expect("a reply has an end");
    match end.data["status"].as_str() {
        Some("cancelled") if is_cancelled => assert!(whole.starts_with(&said), "{said:?}"),
        status => assert!(status == Some("done") && said == whole, "{status:?} {said:?}"),
    }
    let ends = names(&here).iter().filter(|name| **name == "turn_done").count();
    assert_eq!(ends, 1, "{:?}", names(&here));
    let numbers = here.iter().filter_map(|event| event.data["n"].as_u64());
    assert!(numbers.eq(1..=here.len() as u64), "{here:?}");
}

/// Reads a whole conversation again at both gateways: its frames have no gaps, and its messages are
/// those that were taken, in order.
async fn check(visitors: &[Visitor; 2], talk: &Talk, counts: &Counts) {
    let (here, there) = tokio::join!(
        replay(&visitors[0], &talk.conversation, talk.taken.len()),
        replay(&visitors[1], &talk.conversation, talk.taken.len()),
    );
    assert_eq!(here, there, "both have read the same");
    let seqs = ids(&here).into_iter().filter_map(|id| id.split_once('-')?.0.parse::<u64>().ok());
    assert!(seqs.eq(1..=here.len() as u64), "the conversation has gaps: {here:?}");
    let said = here.iter().filter(|event| event.name == "user");
    let said: Vec<_> = said.filter_map(|event| event.data["content"].as_str()).collect();
    assert_eq!(said, talk.taken, "the messages are those that were taken");
    counts.add("conversations", 1);
    counts.add("frames", here.len());
}

/// Reads a conversation from its first frame to the end of its last turn.
async fn replay(visitor: &Visitor, conversation: &str, turns: usize) -> Vec<Event> {
    let path = format!("c/{conversation}/sse");
    let mut seen: Vec<Event> = Vec::new();
    let begun = Instant::now();
    while names(&seen).iter().filter(|name| **name == "turn_done").count() < turns {
        assert!(begun.elapsed() < Duration::from_secs(120), "no end after {seen:?}");
        let last = seen.last().and_then(|event| event.id.clone());
        let cursor = last.as_deref().map_or(Cursor::Start, Cursor::After);
        let Some(mut events) = visitor.try_open(&path, cursor).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        while let Ok(Some(event)) =
            tokio::time::timeout(Duration::from_secs(5), events.next()).await
        {
            let is_end = event.name == "turn_done";
            seen.push(event);
            let ends = names(&seen).iter().filter(|name| **name == "turn_done").count();
            if is_end && ends == turns {
                break;
            }
        }
    }
    seen
}
