//! Reads the body of a response: the chunks of a stream, or one completion. If the first bytes
//! contradict the Content-Type, the bytes decide.

use super::completion::Completion;
use crate::{
    agent::endpoint::{AskError, clip, media_type},
    attach::Failure,
    sse::SseReader,
};
use reqwest::Response;
use std::time::Duration;
use tokio::time::timeout;

/// How long to wait for the usage, which may follow the end of the reply.
const USAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many bytes are kept, at most, of an incomplete event or an unstreamed completion.
const MAX_KEPT_BYTES: usize = 16 << 20;
/// How many bytes are enough to tell the format: the length of the longest field name of an event,
/// with its colon.
const TELLING_BYTES: usize = "retry:".len();

enum Body {
    Unknown(Vec<u8>),
    Whole(Vec<u8>),
    Events(SseReader),
}

impl Body {
    /// Recognises the format by the first bytes and the media type. `None` if there are too few
    /// bytes, or if they are of neither format.
    fn tell(kind: &str, bytes: &[u8]) -> Option<Self> {
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii_start();
        let first = text.first()?;
        let is_field = || {
            let fields: [&[u8]; 5] = [b":", b"data", b"event", b"id", b"retry"];
            fields.iter().any(|field| text.starts_with(field))
        };
        if *first == b'{' {
            Some(Self::Whole(text.to_owned()))
        } else if kind == "text/event-stream" || is_field() {
            Some(Self::Events(SseReader::default()))
        } else {
            None
        }
    }
}

/// Reads a response until it ends or the completion is done.
pub(super) async fn read(
    mut response: Response,
    completion: &mut Completion<'_>,
) -> Result<(), AskError> {
    let kind = media_type(&response);
    let mut body = Body::Unknown(Vec::new());
    while !completion.is_done {
        let next = response.chunk();
        let bytes = match completion.is_whole() {
            // Only the usage can still be missing.
            true => timeout(USAGE_TIMEOUT, next).await.ok().and_then(Result::ok).flatten(),
            false => next.await.map_err(AskError::broken)?,
        };
        let Some(bytes) = bytes else { break };
        let mut bytes = bytes.to_vec();
        if let Body::Unknown(begun) = &mut body {
            begun.append(&mut bytes);
            match Body::tell(&kind, begun) {
                Some(Body::Whole(begun)) => body = Body::Whole(begun),
                Some(events) => {
                    bytes = std::mem::take(begun);
                    body = events;
                }
                None if begun.trim_ascii_start().len() < TELLING_BYTES => {}
                None => return Err(no_completion(&kind, begun)),
            }
        }
        let kept = match &mut body {
            Body::Unknown(begun) => begun.len(),
            Body::Whole(whole) => {
                whole.append(&mut bytes);
                whole.len()
            }
            Body::Events(events) => {
                for event in events.push(&bytes) {
                    completion.take_event(&event).await?;
                }
                events.waiting()
            }
        };
        if kept > MAX_KEPT_BYTES {
            let detail = "the endpoint sends an event or completion of more than 16 MiB";
            return Err(Failure::new(detail).into());
        }
    }
    match body {
        Body::Whole(whole) => completion.take(&String::from_utf8_lossy(&whole)).await,
        Body::Events(mut events) => match events.finish() {
            Some(event) if !completion.is_done => completion.take_event(&event).await,
            _ => Ok(()),
        },
        Body::Unknown(begun) if begun.trim_ascii().is_empty() => Ok(()),
        Body::Unknown(begun) => Err(no_completion(&kind, &begun)),
    }
}

fn no_completion(kind: &str, begun: &[u8]) -> AskError {
    let begun = clip(&String::from_utf8_lossy(begun));
    Failure::new(format!("the endpoint answers with {kind:?}, which is not a completion: {begun}"))
        .into()
}
