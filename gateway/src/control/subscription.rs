//! A reader's view of a turn or conversation: frames in order, without holes or repeats, across
//! broken streams and lost controls.

use super::{Control, Node, jitter, refusal, watch::Inbox};
use arizuko_proto::v1::{
    self as pb, EndReason,
    watch_event::{Event as Wire, Refused, Subscribed},
    watch_request::{Subscribe, subscribe},
};
use std::{mem, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;

pub(crate) use subscribe::Target;

/// How long a new subscription may take to stand before the reader is told to come back.
const OPENING: Duration = Duration::from_secs(5);
/// How long a broken one may; see the keepalive of the connections for what bounds it.
const RESUMING: Duration = Duration::from_secs(8);
/// How long one control has to answer.
const ANSWER: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A subscription that finds its way.
pub(crate) struct Subscription {
    control: Control,
    access: pb::Access,
    target: Target,
    /// The last frame that the reader has.
    cursor: Option<pb::Cursor>,
    node: Arc<Node>,
    phase: Phase,
    give_up: Instant,
    tries: u32,
}

/// Where it stands. Kept here and not in a future, so that `next` may be dropped at any time.
enum Phase {
    Pausing(Instant),
    Asked(Inbox, Instant),
    Live(Inbox),
}

/// What a reader is told.
pub(crate) enum Event {
    /// The next frame.
    Frame(pb::Frame),
    /// The cursor is not in this log; a replay from the start follows.
    Reset(String),
    /// Nothing follows.
    End(End),
}

/// Why nothing follows.
pub(crate) enum End {
    /// All has been said, or what was watched is gone.
    Over,
    /// The token was revoked or has expired.
    Revoked,
    /// No control could be reached for too long.
    Outage,
}

enum Step {
    Subscribed(Subscribed),
    Refused(Refused),
    Told(Event),
}

impl Subscription {
    /// Subscribes to what comes after `cursor`. None: the reader has all of a turn that is over.
    pub(crate) async fn open(
        control: &Control,
        access: pb::Access,
        target: Target,
        cursor: Option<pb::Cursor>,
    ) -> Result<Option<Self>, Status> {
        let (node, inbox) = ask(control, &access, &target, cursor);
        let now = Instant::now();
        let mut subscription = Self {
            control: control.clone(),
            access,
            target,
            cursor,
            node,
            phase: Phase::Asked(inbox, now + ANSWER),
            give_up: now + OPENING,
            tries: 0,
        };
        match subscription.step().await {
            Step::Subscribed(Subscribed { complete: true }) => Ok(None),
            Step::Subscribed(_) => Ok(Some(subscription)),
            Step::Refused(refused) => Err(refusal(&refused.reason, &refused.message)),
            // Before it stands, all that can be told is that it can't.
            Step::Told(_) => Err(refusal("UNAVAILABLE", "no control answered")),
        }
    }

    /// What comes next. May be dropped without losing anything.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match self.step().await {
                Step::Told(event) => return event,
                // It stands again, which the reader need not know.
                Step::Subscribed(_) => {}
                Step::Refused(refused) if refused.reason == "TOKEN_INVALID" => {
                    return Event::End(End::Revoked);
                }
                Step::Refused(_) => return Event::End(End::Over),
            }
        }
    }

    async fn step(&mut self) -> Step {
        loop {
            match &mut self.phase {
                Phase::Pausing(until) => {
                    sleep_until(*until).await;
                    let (node, inbox) = ask(&self.control, &self.access, &self.target, self.cursor);
                    self.node = node;
                    let until = Instant::now() + ANSWER;
                    self.phase = Phase::Asked(inbox, until.min(self.give_up));
                }
                Phase::Asked(inbox, until) => match timeout_at(*until, inbox.next()).await {
                    Ok(Some(Wire::Subscribed(subscribed))) => {
                        self.stand();
                        return Step::Subscribed(subscribed);
                    }
                    Ok(Some(Wire::Refused(refused))) if !is_outage(&refused) => {
                        return Step::Refused(refused);
                    }
                    _ if Instant::now() >= self.give_up => {
                        return Step::Told(Event::End(End::Outage));
                    }
                    _ => self.pause(),
                },
                Phase::Live(inbox) => match inbox.next().await {
                    Some(Wire::Frame(frame)) if self.is_new(&frame) => {
                        self.cursor = frame.cursor;
                        return Step::Told(Event::Frame(frame));
                    }
                    Some(Wire::Frame(_)) => {}
                    Some(Wire::Reset(reset)) => {
                        self.cursor = None;
                        return Step::Told(Event::Reset(reset.reason));
                    }
                    Some(Wire::Ended(ended)) if ended.reason() == EndReason::Revoked => {
                        return Step::Told(Event::End(End::Revoked));
                    }
                    Some(Wire::Ended(ended)) if ended.reason() != EndReason::Unavailable => {
                        return Step::Told(Event::End(End::Over));
                    }
                    _ => {
                        self.give_up = Instant::now() + RESUMING;
                        self.pause();
                    }
                },
            }
        }
    }

    /// After a resubscription a frame may come that the reader has.
    fn is_new(&self, frame: &pb::Frame) -> bool {
        let seq = |cursor: &Option<pb::Cursor>| cursor.as_ref().map_or(0, |cursor| cursor.seq);
        seq(&frame.cursor) > seq(&self.cursor)
    }

    fn stand(&mut self) {
        self.tries = 0;
        let phase = mem::replace(&mut self.phase, Phase::Pausing(Instant::now()));
        if let Phase::Asked(inbox, _) = phase {
            self.phase = Phase::Live(inbox);
        }
    }

    /// Tries again after a pause, at another control if there is one.
    fn pause(&mut self) {
        self.node.rest();
        let most = LONGEST_PAUSE.min(FIRST_PAUSE * 2u32.pow(self.tries));
        self.tries = (self.tries + 1).min(8);
        let until = Instant::now() + jitter(most);
        self.phase = Phase::Pausing(until.min(self.give_up));
    }
}

/// Puts the question to the control whose turn it is.
fn ask(
    control: &Control,
    access: &pb::Access,
    target: &Target,
    after: Option<pb::Cursor>,
) -> (Arc<Node>, Inbox) {
    let (Target::TurnId(place) | Target::Conversation(place)) = target;
    let node = control.first(place).clone();
    let inbox = node.watch.subscribe(Subscribe {
        access: Some(access.clone()),
        target: Some(target.clone()),
        after,
        // The Watch stream fills in the number and the credit.
        ..Subscribe::default()
    });
    (node, inbox)
}

fn is_outage(refused: &Refused) -> bool {
    matches!(&*refused.reason, "UNAVAILABLE" | "OUTCOME_UNKNOWN")
}
