//! A reader's subscription to a turn or conversation: frames in order, without holes or repeats,
//! across broken streams and lost controls.

use super::{node::Node, nodes::Nodes, refusal::Refusal, watch::Feed};
use arizuko_proto::{
    client::Backoff,
    v1::{
        self as pb, EndReason, ErrorReason,
        watch_event::{Event, Refused, Subscribed},
        watch_request::{Subscribe, subscribe},
    },
};
use std::{mem, ops::Range, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until, timeout_at};

pub(crate) use subscribe::Target;

/// How long a new subscription may take to start before the reader is told to reconnect.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a broken subscription may take to resume. A gateway that is cut off from control must
/// end its streams within 15 s, of which it needs 2 s to notice the dead connection.
const RESUME_TIMEOUT: Duration = Duration::from_secs(8);
/// How long one control may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// The first and the longest wait between attempts to subscribe.
const RESUME_WAITS: Range<Duration> = Duration::from_millis(200)..Duration::from_secs(2);

/// A subscription that moves to another control when its own fails.
pub(crate) struct Subscription {
    nodes: Nodes,
    access: pb::Access,
    target: Target,
    /// The last frame that the reader has.
    cursor: Option<pb::Cursor>,
    node: Arc<Node>,
    phase: Phase,
    give_up: Instant,
    backoff: Backoff,
}

/// The state of a subscription. It is kept here and not in a future, so that `next` may be dropped
/// at any time.
enum Phase {
    /// Waiting until this time for the next attempt.
    Pausing(Instant),
    /// Waiting until this time for control's answer.
    Asked(Feed, Instant),
    Live(Feed),
}

/// The next thing that a subscription tells its reader.
pub(crate) enum Update {
    Frame(pb::Frame),
    /// The cursor is not in the log, for this reason. A replay from the start follows.
    Reset(String),
    /// Nothing follows.
    End(End),
}

/// Why a subscription ended.
pub(crate) enum End {
    /// The reader has everything, or control refuses to go on, for example because the target was
    /// deleted.
    Over,
    /// The token was revoked or has expired.
    Revoked,
    /// The link was paused.
    Paused,
    /// No control could be reached until the subscription gave up, or the gateway stops. The reader
    /// may come back later.
    Outage,
}

enum Step {
    Subscribed(Subscribed),
    Refused(Refusal),
    Update(Update),
}

impl Subscription {
    /// Subscribes to the frames after `cursor`. `None` if the reader has all frames of an ended
    /// turn.
    pub(super) async fn open(
        nodes: Nodes,
        access: pb::Access,
        target: Target,
        cursor: Option<pb::Cursor>,
    ) -> Result<Option<Self>, Refusal> {
        let (node, feed) = ask(&nodes, &access, &target, cursor);
        let now = Instant::now();
        let mut subscription = Self {
            nodes,
            access,
            target,
            cursor,
            node,
            phase: Phase::Asked(feed, now + ANSWER_TIMEOUT),
            give_up: now + START_TIMEOUT,
            backoff: Backoff::new(RESUME_WAITS),
        };
        match subscription.step().await {
            Step::Subscribed(Subscribed { complete: true }) => Ok(None),
            Step::Subscribed(_) => Ok(Some(subscription)),
            Step::Refused(refusal) => Err(refusal),
            // Before the start, the only update is an outage.
            Step::Update(_) => Err(Refusal::unavailable()),
        }
    }

    /// Waits for the next update. If the wait is dropped, no update is lost.
    pub(crate) async fn next(&mut self) -> Update {
        loop {
            match self.step().await {
                Step::Update(update) => return update,
                // The subscription has resumed.
                Step::Subscribed(_) => {}
                Step::Refused(refusal) if refusal.reason == ErrorReason::TokenInvalid => {
                    return Update::End(End::Revoked);
                }
                Step::Refused(refusal) if refusal.reason == ErrorReason::LinkPaused => {
                    return Update::End(End::Paused);
                }
                Step::Refused(_) => return Update::End(End::Over),
            }
        }
    }

    async fn step(&mut self) -> Step {
        loop {
            match &mut self.phase {
                Phase::Pausing(until) => {
                    sleep_until(*until).await;
                    let (node, feed) = ask(&self.nodes, &self.access, &self.target, self.cursor);
                    self.node = node;
                    let until = Instant::now() + ANSWER_TIMEOUT;
                    self.phase = Phase::Asked(feed, until.min(self.give_up));
                }
                Phase::Asked(feed, until) => match timeout_at(*until, feed.next()).await {
                    Ok(Some(Event::Subscribed(subscribed))) => {
                        self.go_live();
                        return Step::Subscribed(subscribed);
                    }
                    Ok(Some(Event::Refused(refused))) if !is_outage(&refused) => {
                        return Step::Refused(Refusal::new(refused.reason(), refused.message));
                    }
                    _ if Instant::now() >= self.give_up => {
                        return Step::Update(Update::End(End::Outage));
                    }
                    _ => self.pause(),
                },
                Phase::Live(feed) => match feed.next().await {
                    Some(Event::Frame(frame)) if self.is_new(&frame) => {
                        self.cursor = frame.cursor;
                        return Step::Update(Update::Frame(frame));
                    }
                    Some(Event::Frame(_)) => {}
                    Some(Event::Reset(reset)) => {
                        self.cursor = None;
                        return Step::Update(Update::Reset(reset.reason));
                    }
                    Some(Event::Ended(ended)) if ended.reason() == EndReason::Revoked => {
                        return Step::Update(Update::End(End::Revoked));
                    }
                    Some(Event::Ended(ended)) if ended.reason() == EndReason::Paused => {
                        return Step::Update(Update::End(End::Paused));
                    }
                    Some(Event::Ended(ended)) if ended.reason() != EndReason::Unavailable => {
                        return Step::Update(Update::End(End::Over));
                    }
                    _ => {
                        self.give_up = Instant::now() + RESUME_TIMEOUT;
                        self.pause();
                    }
                },
            }
        }
    }

    /// Whether the reader doesn't have this frame yet. A frame may come twice when the subscription
    /// resumes.
    fn is_new(&self, frame: &pb::Frame) -> bool {
        let seq = |cursor: &Option<pb::Cursor>| cursor.as_ref().map_or(0, |cursor| cursor.seq);
        seq(&frame.cursor) > seq(&self.cursor)
    }

    fn go_live(&mut self) {
        self.backoff.reset();
        let phase = mem::replace(&mut self.phase, Phase::Pausing(Instant::now()));
        if let Phase::Asked(feed, _) = phase {
            self.phase = Phase::Live(feed);
        }
    }

    /// Waits before the next attempt, which goes to another control if there is one.
    fn pause(&mut self) {
        self.node.rest();
        let until = Instant::now() + self.backoff.wait();
        self.phase = Phase::Pausing(until.min(self.give_up));
    }
}

/// Subscribes at the control that is asked first about the target.
fn ask(
    nodes: &Nodes,
    access: &pb::Access,
    target: &Target,
    after: Option<pb::Cursor>,
) -> (Arc<Node>, Feed) {
    let (Target::TurnId(place) | Target::Conversation(place)) = target;
    let node = nodes.first(place);
    let feed = node.watch.subscribe(Subscribe {
        access: Some(access.clone()),
        target: Some(target.clone()),
        after,
        // `subscribe` fills in the number and the credit.
        ..Subscribe::default()
    });
    (node, feed)
}

fn is_outage(refused: &Refused) -> bool {
    matches!(refused.reason(), ErrorReason::Unavailable | ErrorReason::OutcomeUnknown)
}
