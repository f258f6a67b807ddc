//! Follows a conversation for the people of a folder: what was said, and then every frame.

use super::history;
use crate::{
    control::Control,
    conversation::{self, Head},
    frame::Frame,
    grpc::{conversation::seen, key_watch::KeyWatch, wire},
    ids::ConversationId,
    jid::FolderName,
    key::Caller,
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Partition, Subscription, Wake},
    transaction::Tx,
    turn::{Turn, reassign},
};
use arizuko_proto::v1::{self, FollowConversationResponse as Response};
use std::{convert::Infallible, sync::Arc};
use tokio::{
    sync::mpsc,
    time::{Instant, interval_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

/// How many frames one response has, at most. Only one response at a time waits for a slow reader.
const PAGE: u32 = 32;

pub(super) type Responses = ReceiverStream<Result<Response, Status>>;
type Sender = mpsc::Sender<Result<Response, Status>>;

/// A conversation that is followed.
pub(super) struct Follower {
    pub(super) control: Arc<Control>,
    pub(super) caller: Caller,
    /// The folder that follows it.
    pub(super) folder: FolderName,
    pub(super) partition: Partition,
    pub(super) conversation: ConversationId,
}

/// Where a conversation's log ends, and where the frames of its oldest open turn begin.
struct Extent {
    end: u64,
    /// The last seq before the frames of the oldest open turn; `end` if no turn is open.
    before_open: u64,
}

impl Follower {
    /// Starts to send the conversation, with `count` of its earlier messages.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if the folder has no part in the conversation.
    pub(super) async fn start(self, count: usize) -> Result<Responses, Error> {
        let key = KeyWatch::start(&self.control, &self.caller).await?;
        // Subscribe first, then read, so that no frame falls in between.
        let topic = names::conversation_topic(&self.conversation);
        let wakes = self.control.ledger.watch(self.partition, &topic).await?;
        let Extent { before_open, .. } = self.extent().await?;
        let wanted = history::Wanted {
            conversation: &self.conversation,
            before: before_open + 1,
            without: &[],
            count,
        };
        let first = Response {
            conversation: self.described().await?,
            messages: history::read(&self.control, self.partition, &wanted).await?,
            frames: Vec::new(),
        };
        let (sender, responses) = mpsc::channel(1);
        let following = async move {
            let ended = tokio::select! {
                ended = self.run(first, before_open, wakes, &sender) => match ended {
                    Err(error) => error,
                },
                () = sender.closed() => return,
                () = key.revoked() => Refusal::KeyInvalid.into(),
                () = self.control.draining.cancelled() => Refusal::SessionOver.into(),
            };
            // This fails if nobody reads; then nobody misses the error.
            let _ = sender.send(Err(ended.into())).await;
        };
        tokio::spawn(following.in_current_span());
        Ok(ReceiverStream::new(responses))
    }

    /// Sends frames, and changes of the conversation, until something fails.
    async fn run(
        &self,
        first: Response,
        mut seq: u64,
        mut wakes: Subscription,
        sender: &Sender,
    ) -> Result<Infallible, Error> {
        let mut described = first.conversation.clone();
        // An error says that nobody reads, which `start` notices.
        let _ = sender.send(Ok(first)).await;
        let recheck = self.control.limits.recheck;
        let mut rechecks = interval_at(Instant::now() + recheck, recheck);
        loop {
            seq = self.send_frames(seq, sender).await?;
            let is_frame = tokio::select! {
                wake = wakes.next() => matches!(
                    &wake,
                    Wake::Published(payload) if conversation::woken(payload).is_some()
                ),
                _ = rechecks.tick() => false,
            };
            if is_frame {
                continue;
            }
            if self.extent().await?.end < seq {
                // A failover has lost frames that were sent.
                return Err(Refusal::SessionOver.into());
            }
            let now = self.described().await?;
            if now != described {
                described.clone_from(&now);
                let changed = Response { conversation: now, ..Response::default() };
                let _ = sender.send(Ok(changed)).await;
            }
        }
    }

    /// Sends the frames after a seq, and returns the seq of the last frame that was sent.
    async fn send_frames(&self, mut seq: u64, sender: &Sender) -> Result<u64, Error> {
        loop {
            // Reads a page only once there is room to send it.
            let Ok(room) = sender.reserve().await else { return Ok(seq) };
            let log = names::log(&self.conversation);
            let entries = self.control.ledger.entries(self.partition, log, seq, PAGE).await?;
            let Some((last, _)) = entries.last() else { return Ok(seq) };
            seq = *last;
            let frames = entries.into_iter();
            let frames = frames.map(|(seq, entry)| Ok(wire::frame(seq, Frame::parse(&entry)?)));
            let frames = frames.collect::<Result<_, Error>>()?;
            room.send(Ok(Response { frames, ..Response::default() }));
        }
    }

    /// Checks that the folder has a part in the conversation, and returns how far its log goes.
    async fn extent(&self) -> Result<Extent, Error> {
        let reading = |tx: &mut Tx<'_>| {
            let (conversation, _) = reassign::of_folder(tx, &self.folder, &self.conversation)?;
            let end = tx.get::<Head>(&self.conversation)?.unwrap_or_default().seq;
            let open = match conversation.open.first() {
                Some(first) => tx.get::<Turn>(first)?,
                None => None,
            };
            let before_open = open.map_or(end, |turn| turn.first_seq - 1);
            Ok(Extent { end, before_open })
        };
        self.control.ledger.view(self.partition, reading).await
    }

    /// Describes the conversation to the caller.
    async fn described(&self) -> Result<Option<v1::Conversation>, Error> {
        let id = std::slice::from_ref(&self.conversation);
        let seen = seen::read(&self.control, self.partition, id).await?.pop().flatten();
        Ok(seen.map(|seen| seen.to_wire(&self.caller, String::new())))
    }
}
