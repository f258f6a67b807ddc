//! One reader: a place in a log, and how it moves on.

use super::Outlet;
use crate::{
    conversation::{self, Conversation},
    credential::is_random_id,
    frame::Frame,
    grpc::{
        gateway::{Access, parse},
        wire,
    },
    ledger::Error,
    server::Control,
    store::{Partition, Subscription, Wake},
    token::{self, Token},
    transaction::Refusal,
    turn::{self, Turn},
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

/// How many entries one read of a log brings.
const PAGE: u32 = 128;

/// A reader of a conversation's log, or of one turn in it.
pub(super) struct Reader {
    access: Access,
    conversation: String,
    /// Only this turn's frames are wanted.
    turn: Option<Turn>,
    /// The last frame that the reader has, or that is of no concern to it.
    seq: u64,
    tag: u32,
    /// Why it has to begin anew.
    reset: Option<&'static str>,
    wakes: Subscription,
    token_wakes: Subscription,
}

/// Entries in memory, and the right to have them there.
struct Page<'a> {
    entries: vec::IntoIter<(u64, Bytes)>,
    /// The semaphore is never closed.
    _right: Result<SemaphorePermit<'a>, AcquireError>,
}

impl Reader {
    pub(super) async fn open(control: &Control, subscribe: Subscribe) -> Result<Self, Error> {
        let access = Access::read(subscribe.access, control.partitions)?;
        let partition = access.partition();
        let (id, target) = match &subscribe.target {
            Some(Target::TurnId(id)) => (id, "turn"),
            Some(Target::Conversation(id)) => (id, "conversation"),
            None => return Err(Refusal::invalid("say what to watch").into()),
        };
        if !is_random_id(id) {
            return Err(Refusal::invalid(format!("that is not a {target}'s id")).into());
        }
        // Watched before it is read: a revocation is seen by one or the other.
        let token_wakes =
            control.ledger.watch(partition, &token::topic(&access.token_id())).await?;
        let token = access.admit(control).await?;
        let turn = match &subscribe.target {
            Some(Target::TurnId(id)) => Some(owned_turn(control, partition, &token, id).await?),
            _ => None,
        };
        let conversation = turn.as_ref().map_or(id, |turn| &turn.conversation).clone();
        let wakes = control.ledger.watch(partition, &conversation::topic(&conversation)).await?;
        let record = control.ledger.record(partition, conversation::record(&conversation)).await?;
        let record = conversation::of_token(record, &token)?;

        let mut reader =
            Self { access, conversation, turn, seq: 0, tag: 0, reset: None, wakes, token_wakes };
        reader.begin(&record);
        if let Some(after) = subscribe.after.filter(|after| after.seq > 0) {
            match reader.locate(control, &record, &after).await? {
                Ok(()) => (reader.seq, reader.tag) = (after.seq, after.tag),
                Err(why) => reader.reset = Some(why),
            }
        }
        if let Some(turn) = &reader.turn
            && record.trimmed >= turn.last_seq
            && !reader.is_complete()
            && !turn.status.is_open()
        {
            return Err(Refusal::PastRetention.into());
        }
        Ok(reader)
    }

    /// Places the reader before the first frame that it wants.
    fn begin(&mut self, record: &Conversation) {
        self.seq = match &self.turn {
            Some(turn) => turn.before_reply(),
            None => record.trimmed,
        };
        self.tag = 0;
    }

    /// Whether a cursor is in this log.
    async fn locate(
        &self,
        control: &Control,
        record: &Conversation,
        after: &v1::Cursor,
    ) -> Result<Result<(), &'static str>, Error> {
        if after.seq == record.head {
            return Ok((after.tag == record.tag)
                .then_some(())
                .ok_or("the cursor is of another log"));
        }
        if after.seq > record.head {
            return Ok(Err("the cursor is past the end of this log"));
        }
        if after.seq <= record.trimmed {
            return Ok(Err("the cursor is past retention"));
        }
        let log = conversation::log(&self.conversation);
        let entries =
            control.ledger.entries(self.access.partition(), log, after.seq - 1, 1).await?;
        let tag =
            entries.first().map(|(_, entry)| parse(entry)).transpose()?.map(|frame| frame.tag);
        let same = tag == Some(after.tag);
        Ok(same.then_some(()).ok_or("the cursor is of another log"))
    }

    /// Whether the reader has all of a turn that has ended.
    pub(super) fn is_complete(&self) -> bool {
        let ended = self.turn.as_ref().filter(|turn| !turn.status.is_open());
        self.reset.is_none() && ended.is_some_and(|turn| self.seq >= turn.last_seq)
    }

    /// Sends frames until there is a reason not to.
    pub(super) async fn follow(
        &mut self,
        control: &Control,
        outlet: &Outlet<'_>,
    ) -> Result<EndReason, Error> {
        if let Some(why) = self.reset.take() {
            outlet.say(Event::Reset(Reset { reason: why.to_owned() })).await;
        }
        let recheck = control.limits.recheck;
        let mut rechecks = interval_at(Instant::now() + recheck, recheck);
        if let Some(end) = self.catch_up(control, outlet).await? {
            return Ok(end);
        }
        loop {
            tokio::select! {
                biased;
                _ = self.token_wakes.next() => {
                    self.access.admit(control).await?;
                }
                () = control.draining.cancelled() => return Ok(EndReason::Unavailable),
                wake = self.wakes.next() => {
                    let end = match carried(&wake) {
                        Some((seq, frame)) if seq == self.seq + 1 => self.hand_on(control, outlet, wire::frame(seq, frame?), &mut None).await?,
                        Some((seq, frame)) if seq <= self.seq && !self.contradicts(seq, &frame) => None,
                        next => {
                            // A gap, a deletion, or another frame where we have one.
                            if next.is_some_and(|(seq, _)| seq <= self.seq) || !is_frame(&wake) {
                                self.recheck(control, outlet).await?;
                            }
                            self.catch_up(control, outlet).await?
                        }
                    };
                    if let Some(end) = end {
                        return Ok(end);
                    }
                }
                _ = rechecks.tick() => {
                    self.recheck(control, outlet).await?;
                    if let Some(end) = self.catch_up(control, outlet).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Whether the frame that we were told last is another by now.
    fn contradicts(&self, seq: u64, frame: &Result<Frame, Error>) -> bool {
        let tag = frame.as_ref().map_or(self.tag, |frame| frame.tag);
        seq == self.seq && self.tag != 0 && tag != self.tag
    }

    /// Reads the log up to its end.
    async fn catch_up(
        &mut self,
        control: &Control,
        outlet: &Outlet<'_>,
    ) -> Result<Option<EndReason>, Error> {
        loop {
            let credit = u32::try_from(outlet.credit.available_permits()).unwrap_or(PAGE);
            let limit = credit.clamp(1, PAGE);
            let log = conversation::log(&self.conversation);
            let right = control.pages.acquire().await;
            let entries =
                control.ledger.entries(self.access.partition(), log, self.seq, limit).await?;
            let whole = entries.len() == limit as usize;
            let mut page = Some(Page { entries: entries.into_iter(), _right: right });
            while let Some((seq, entry)) = page.as_mut().and_then(|page| page.entries.next()) {
                let frame = wire::frame(seq, parse(&entry)?);
                if let Some(end) = self.hand_on(control, outlet, frame, &mut page).await? {
                    return Ok(Some(end));
                }
            }
            if page.is_some() && !whole {
                return Ok(None);
            }
        }
    }

    /// Sends one frame, as soon as there is a place for it. While it waits it has no page.
    async fn hand_on(
        &mut self,
        control: &Control,
        outlet: &Outlet<'_>,
        frame: v1::Frame,
        page: &mut Option<Page<'_>>,
    ) -> Result<Option<EndReason>, Error> {
        let v1::Cursor { seq, tag } = frame.cursor.unwrap_or_default();
        (self.seq, self.tag) = (seq, tag);
        let only = self.turn.as_ref().map(|turn| turn.id.as_str());
        if only.is_some_and(|turn| turn != frame.turn_id || frame.n == 0) {
            return Ok(None);
        }
        let last = only.is_some() && matches!(frame.body, Some(Body::TurnDone(_)));
        let mut handed = pin!(outlet.hand(frame));
        loop {
            tokio::select! {
                biased;
                // A reader that does not read still hears at once that its link is revoked.
                _ = self.token_wakes.next() => {
                    self.access.admit(control).await?;
                }
                () = control.draining.cancelled() => return Ok(Some(EndReason::Unavailable)),
                () = &mut handed => return Ok(last.then_some(EndReason::TurnDone)),
                () = ready(()), if page.is_some() => *page = None,
            }
        }
    }

    /// Checks against the store that the link lives and that this is still the log it was.
    async fn recheck(&mut self, control: &Control, outlet: &Outlet<'_>) -> Result<(), Error> {
        let token = self.access.admit(control).await?;
        let record = conversation::record(&self.conversation);
        let record = control.ledger.record(self.access.partition(), record).await?;
        let record = conversation::of_token(record, &token)?;
        if let Some(turn) = &self.turn {
            owned_turn(control, self.access.partition(), &token, &turn.id).await?;
        }
        // A failover may have lost the log's tail, and another may be in its place.
        let (seq, tag) = (self.seq, self.tag);
        if tag != 0
            && let Err(why) = self.locate(control, &record, &v1::Cursor { seq, tag }).await?
        {
            self.begin(&record);
            let reason = why.to_owned();
            outlet.say(Event::Reset(Reset { reason })).await;
        }
        Ok(())
    }
}

async fn owned_turn(
    control: &Control,
    partition: Partition,
    token: &Token,
    id: &str,
) -> Result<Turn, Error> {
    let turn: Option<Turn> = control.ledger.record(partition, turn::record(id)).await?;
    let mine = turn.filter(|turn| turn.token == token.id);
    mine.ok_or(Refusal::NotFound("turn").into())
}

/// The frame that a wake-up carries.
fn carried(wake: &Wake) -> Option<(u64, Result<Frame, Error>)> {
    let Wake::Published(payload) = wake else {
        return None;
    };
    let (seq, entry) = conversation::woken(payload)?;
    Some((seq, parse(&entry?)))
}

/// Whether a wake-up is about a frame, carried or not.
fn is_frame(wake: &Wake) -> bool {
    matches!(wake, Wake::Published(payload) if conversation::woken(payload).is_some())
}
