//! Renders messages. Long ones are rendered on threads of their own, only some at a time, so that
//! they don't hold up other requests. The results are kept, because many readers ask for the same
//! messages.

use crate::markdown;
use arizuko_proto::v1::{Author, ConversationTurn};
use lru::LruCache;
use sha2::{Digest as _, Sha256};
use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

/// Rendering this much takes less time than handing it to another thread.
const SMALL_BYTES: usize = 2 * 1024;
/// About how many bytes of memory a kept message takes besides its HTML.
const ENTRY_BYTES: usize = 128;

/// The HTML of a message's blocks.
pub(crate) type Rendered = Arc<[String]>;

/// Renders messages.
pub(crate) struct Renderer {
    /// The longest message that is rendered as Markdown.
    pub(crate) max_bytes: usize,
    kept: Mutex<Kept>,
    /// One for every two processors, so that requests go on while all permits are taken.
    permits: Arc<Semaphore>,
}

/// The messages that were last asked for, by the hash of their text.
struct Kept {
    messages: LruCache<[u8; 32], Rendered>,
    bytes: usize,
    max_bytes: usize,
}

impl Renderer {
    /// `max_bytes` is the longest message to render, `kept_bytes` how much HTML to keep.
    pub(crate) fn new(max_bytes: usize, kept_bytes: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let kept = Kept { messages: LruCache::unbounded(), bytes: 0, max_bytes: kept_bytes };
        let permits = Arc::new(Semaphore::new(processors.div_ceil(2)));
        Self { max_bytes, kept: Mutex::new(kept), permits }
    }

    /// Renders a whole message: an agent's as Markdown, and a person's words as they are.
    pub(crate) async fn render(&self, author: Author, text: &str) -> Rendered {
        let is_plain = matches!(author, Author::Person | Author::User);
        let hash = Sha256::new().chain_update([u8::from(is_plain)]).chain_update(text);
        let hash = hash.finalize().into();
        if let Some(rendered) = self.known(&hash) {
            return rendered;
        }
        let permit = self.permit(text.len()).await;
        // The permit's last holder may have rendered the same message.
        if let Some(rendered) = self.known(&hash) {
            return rendered;
        }
        let (text, max_bytes) = (text.to_owned(), self.max_bytes);
        let render = move || {
            let is_words = is_plain && text.len() <= max_bytes;
            let words = || vec![markdown::words(&text)];
            Rendered::from(if is_words { words() } else { markdown::render(&text, max_bytes) })
        };
        let rendered = with(permit, render).await;
        self.kept().keep(hash, &rendered);
        rendered
    }

    /// Renders the replies of each turn.
    pub(crate) async fn turns(&self, turns: &[ConversationTurn]) -> Vec<Vec<Rendered>> {
        let mut all = Vec::new();
        for turn in turns {
            let mut rendered = Vec::new();
            for message in &turn.assistant {
                rendered.push(self.render(message.author(), &message.content).await);
            }
            all.push(rendered);
        }
        all
    }

    /// Does work whose time grows with `bytes`: on another thread if they are many.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        with(self.permit(bytes).await, work).await
    }

    /// Waits for a permit, unless there is little to do.
    async fn permit(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes <= SMALL_BYTES {
            return None;
        }
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    fn known(&self, hash: &[u8; 32]) -> Option<Rendered> {
        self.kept().messages.get(hash).cloned()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // A panic leaves the value consistent.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does work on another thread if it has a permit, and otherwise at once on this one.
async fn with<T: Send + 'static>(
    permit: Option<OwnedSemaphorePermit>,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let Some(permit) = permit else {
        return work();
    };
    // The permit goes with the work, which nothing stops once it has begun.
    let done = spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    done.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

impl Kept {
    fn keep(&mut self, hash: [u8; 32], rendered: &Rendered) {
        if let Some(before) = self.messages.put(hash, Arc::clone(rendered)) {
            self.bytes -= size(&before);
        }
        self.bytes += size(rendered);
        while self.bytes > self.max_bytes
            && let Some((_, oldest)) = self.messages.pop_lru()
        {
            self.bytes -= size(&oldest);
        }
    }
}

fn size(rendered: &Rendered) -> usize {
    let blocks = rendered.iter().map(|html| html.len() + size_of::<String>());
    ENTRY_BYTES + blocks.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_bounded_in_bytes_and_the_newest_stays() {
        let renderer = Renderer::new(usize::MAX, 10_000);
        for number in 0..100 {
            let text = format!("{number} {}", "x".repeat(500));
            let html = renderer.render(Author::Assistant, &text).await;
            assert!(html[0].starts_with(&format!("<p>{number} ")), "{html:?}");
            assert!(Arc::ptr_eq(&html, &renderer.render(Author::Assistant, &text).await));
            let kept = renderer.kept();
            assert!(kept.bytes <= 10_000);
            assert_eq!(kept.bytes, kept.messages.iter().map(|(_, html)| size(html)).sum::<usize>());
        }
        assert!(renderer.kept().messages.len() > 10);
        let large = renderer.render(Author::Assistant, &"x".repeat(20_000)).await;
        assert_eq!((large.len(), renderer.kept().messages.len()), (1, 0));
    }
}
