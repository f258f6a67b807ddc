//! A reader: a place in a conversation's log that moves on as frames come.
//!
//! A reader first subscribes to wake-ups and then reads the log, so that no frame falls in
//! between. It sends the frame that a wake-up carries if that is the very next one, and ignores a
//! frame that it has sent before. On anything else (a gap, another frame in place of the last one,
//! a while without a wake-up) it reads the log.

use super::events::EventSender;
use crate::{
    control::Control,
    conversation::{self, Conversation, Head},
    frame::Frame,
    grpc::{
        access::{Access, conversation_id, turn_id},
        wire,
    },
    ids::{ConversationId, TurnId},
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Subscription, Wake},
    turn::Turn,
};
use arizuko_proto::v1::{
    self, EndReason,
    frame::Body,
    watch_event::{Event, Reset},
    watch_request::{Subscribe, subscribe::Target},
};
use bytes::Bytes;
use std::{future::ready, pin::pin, vec};
use tokio::{
    sync::{AcquireError, SemaphorePermit},
    time::{Instant, interval_at},
};

/// How many entries one read of a log returns, at most.
const PAGE: u32 = 128;

/// Reads a conversation's log, or one turn in it.
pub(super) struct Reader<'a> {
    control: &'a Control,
    access: Access,
    conversation: ConversationId,
    /// The only turn whose frames are wanted; `None` for a whole conversation.
    turn: Option<Turn>,
    /// The cursor: the last frame that was sent or skipped.
    seq: u64,
    tag: u32,
    /// Why the gateway's cursor is not in this log, if it isn't.
    reset: Option<&'static str>,
    wakes: Subscription,
    token_wakes: Subscription,
}

/// The turn or conversation that a gateway asks to watch.
enum WatchTarget {
    Turn(TurnId),
    Conversation(ConversationId),
}

/// Entries in memory, and the permit to have them there.
struct Page<'a> {
    entries: vec::IntoIter<(u64, Bytes)>,
    /// The semaphore is never closed.
    _permit: Result<SemaphorePermit<'a>, AcquireError>,
}

impl<'a> Reader<'a> {
    /// Opens a reader at the gateway's cursor.
    ///
    /// # Errors
    /// A refusal of the token, or of the turn or conversation; [`Refusal::PastRetention`] if the
    /// frames of a turn are no longer kept and the gateway doesn't have all of them.
    pub(super) async fn open(control: &'a Control, subscribe: Subscribe) -> Result<Self, Error> {
        let access = Access::parse(subscribe.access, control.partitions)?;
        let partition = access.partition();
        let target = match &subscribe.target {
            Some(Target::TurnId(id)) => WatchTarget::Turn(turn_id(id)?),
            Some(Target::Conversation(id)) => WatchTarget::Conversation(conversation_id(id)?),
            None => return Err(Refusal::invalid("name a turn or a conversation").into()),
        };
        // Subscribe first, then read: one of the two sees a revocation.
        let token_wakes =
            control.ledger.watch(partition, &names::token_topic(&access.token_id())).await?;
        let (turn, conversation) = match target {
            WatchTarget::Turn(id) => {
                let (_, turn) = access.turn(control, &id).await?;
                let conversation = turn.conversation.clone();
                (Some(turn), conversation)
            }
            WatchTarget::Conversation(id) => (None, id),
        };
        let topic = names::conversation_topic(&conversation);
        let wakes = control.ledger.watch(partition, &topic).await?;
        let (token, record, head) = access.conversation(control, &conversation).await?;
        token.must_run()?;

        let (seq, tag, reset) = (0, 0, None);
        let mut reader =
            Self { control, access, conversation, turn, seq, tag, reset, wakes, token_wakes };
        reader.rewind(&record);
        if let Some(after) = subscribe.after.filter(|after| after.seq > 0) {
            match reader.check_cursor(&record, &head, &after).await? {
                Ok(()) => (reader.seq, reader.tag) = (after.seq, after.tag),
                Err(why) => reader.reset = Some(why),
            }
        }
        if let Some(end) = reader.turn.as_ref().and_then(Turn::end)
            && record.trimmed >= end.last_seq
            && !reader.is_complete()
        {
            return Err(Refusal::PastRetention.into());
        }
        Ok(reader)
    }

    /// Places the reader before its first frame.
    fn rewind(&mut self, record: &Conversation) {
        self.seq = match &self.turn {
            Some(turn) => turn.before_reply(),
            None => record.trimmed,
        };
        self.tag = 0;
    }

    /// Returns why a cursor is not in this log, if it isn't.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] if the conversation was deleted after the `record` was read.
    async fn check_cursor(
        &self,
        record: &Conversation,
        head: &Head,
        cursor: &v1::Cursor,
    ) -> Result<Result<(), &'static str>, Error> {
        let tag = if cursor.seq > head.seq {
            return Ok(Err("the cursor is past the end of this log"));
        } else if cursor.seq == head.seq {
            Some(head.tag)
        } else if cursor.seq <= record.trimmed {
            return Ok(Err("the cursor is past retention"));
        } else {
            let log = names::log(&self.conversation);
            let (ledger, partition) = (&self.control.ledger, self.access.partition());
            let entries = ledger.entries(partition, log, cursor.seq - 1, 1).await?;
            let frame = entries.first().map(|(_, entry)| Frame::parse(entry)).transpose()?;
            if frame.is_none() {
                self.access.conversation(self.control, &self.conversation).await?;
            }
            frame.map(|frame| frame.tag)
        };
        let same = tag == Some(cursor.tag);
        Ok(same.then_some(()).ok_or("the cursor is of another log"))
    }

    /// Whether the reader is for one turn, the turn has ended, and the cursor is at its last frame.
    pub(super) fn is_complete(&self) -> bool {
        let end = self.turn.as_ref().and_then(Turn::end);
        self.reset.is_none() && end.is_some_and(|end| self.seq >= end.last_seq)
    }

    /// Sends frames until there is a reason to end.
    pub(super) async fn follow(&mut self, events: &EventSender) -> Result<EndReason, Error> {
        if let Some(why) = self.reset.take() {
            events.send(Event::Reset(Reset { reason: why.to_owned() })).await;
        }
        let recheck = self.control.limits.recheck;
        let mut rechecks = interval_at(Instant::now() + recheck, recheck);
        if let Some(end) = self.catch_up(events).await? {
            return Ok(end);
        }
        loop {
            let end = tokio::select! {
                biased;
                _ = self.token_wakes.next() => {
                    self.access.admit(self.control).await?.must_run()?;
                    None
                }
                () = self.control.draining.cancelled() => Some(EndReason::Unavailable),
                wake = self.wakes.next() => self.wake(events, wake).await?,
                _ = rechecks.tick() => {
                    self.recheck(events).await?;
                    self.catch_up(events).await?
                }
            };
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Sends the frame that a wake-up carries, or reads the log.
    async fn wake(&mut self, events: &EventSender, wake: Wake) -> Result<Option<EndReason>, Error> {
        match carried(&wake) {
            Some((seq, frame)) if seq == self.seq + 1 => {
                self.send_frame(events, wire::frame(seq, frame?), &mut None).await
            }
            Some((seq, frame)) if seq <= self.seq && !self.contradicts(seq, &frame) => Ok(None),
            frame => {
                // Check the log first if wake-ups were lost, if the conversation may be gone, or if
                // another frame is in place of one that was sent.
                if frame.is_some_and(|(seq, _)| seq <= self.seq) || !is_frame(&wake) {
                    self.recheck(events).await?;
                }
                self.catch_up(events).await
            }
        }
    }

    /// Whether this frame has the cursor's seq but is not the frame that was sent.
    fn contradicts(&self, seq: u64, frame: &Result<Frame, Error>) -> bool {
        let tag = frame.as_ref().map_or(self.tag, |frame| frame.tag);
        seq == self.seq && self.tag != 0 && tag != self.tag
    }

    /// Sends the frames from the cursor to the log's end.
    async fn catch_up(&mut self, events: &EventSender) -> Result<Option<EndReason>, Error> {
        let control = self.control;
        loop {
            let credit = u32::try_from(events.credit.available_permits()).unwrap_or(PAGE);
            let limit = credit.clamp(1, PAGE);
            let log = names::log(&self.conversation);
            let permit = control.pages.acquire().await;
            let entries =
                control.ledger.entries(self.access.partition(), log, self.seq, limit).await?;
            let is_full = entries.len() == limit as usize;
            let mut page = Some(Page { entries: entries.into_iter(), _permit: permit });
            while let Some((seq, entry)) = page.as_mut().and_then(|page| page.entries.next()) {
                let frame = wire::frame(seq, Frame::parse(&entry)?);
                if let Some(end) = self.send_frame(events, frame, &mut page).await? {
                    return Ok(Some(end));
                }
            }
            if page.is_some() && !is_full {
                return Ok(None);
            }
        }
    }

    /// Sends one frame as soon as there is credit and room. Drops the page if it has to wait.
    async fn send_frame(
        &mut self,
        events: &EventSender,
        frame: v1::Frame,
        page: &mut Option<Page<'_>>,
    ) -> Result<Option<EndReason>, Error> {
        let v1::Cursor { seq, tag } = frame.cursor.unwrap_or_default();
        (self.seq, self.tag) = (seq, tag);
        let only = self.turn.as_ref().map(|turn| turn.id.as_str());
        if only.is_some_and(|turn| turn != frame.turn_id || frame.n == 0) {
            return Ok(None);
        }
        let is_last = only.is_some() && matches!(frame.body, Some(Body::TurnDone(_)));
        let mut sent = pin!(events.send_frame(frame));
        loop {
            tokio::select! {
                biased;
                // A gateway that gives no credit still learns at once that its link is revoked
                // or paused.
                _ = self.token_wakes.next() => {
                    self.access.admit(self.control).await?.must_run()?;
                }
                () = self.control.draining.cancelled() => return Ok(Some(EndReason::Unavailable)),
                () = &mut sent => return Ok(is_last.then_some(EndReason::TurnDone)),
                () = ready(()), if page.is_some() => *page = None,
            }
        }
    }

    /// Checks at the store that the link lives and that the log is still the same. If the log has
    /// changed, goes back to before the first frame that this reader reads, and tells the gateway.
    async fn recheck(&mut self, events: &EventSender) -> Result<(), Error> {
        let (token, record, head) =
            self.access.conversation(self.control, &self.conversation).await?;
        token.must_run()?;
        if let Some(turn) = &self.turn {
            self.access.turn(self.control, &turn.id).await?;
        }
        // A failover may have lost the log's tail, and other frames may be in its place.
        let (seq, tag) = (self.seq, self.tag);
        if tag != 0
            && let Err(why) = self.check_cursor(&record, &head, &v1::Cursor { seq, tag }).await?
        {
            self.rewind(&record);
            events.send(Event::Reset(Reset { reason: why.to_owned() })).await;
        }
        Ok(())
    }
}

/// Returns the frame that a wake-up carries.
fn carried(wake: &Wake) -> Option<(u64, Result<Frame, Error>)> {
    let Wake::Published(payload) = wake else {
        return None;
    };
    let (seq, entry) = conversation::woken(payload)?;
    Some((seq, Frame::parse(&entry?).map_err(Error::from)))
}

/// Whether a wake-up is about a frame, even if it doesn't carry the frame.
fn is_frame(wake: &Wake) -> bool {
    matches!(wake, Wake::Published(payload) if conversation::woken(payload).is_some())
}
