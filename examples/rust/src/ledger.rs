//! The state of a session: its turns, their frames, and what control has yet to be told. It does
//! no I/O and has no clock: a stream asks for the next request, and reports what control says.
//!
//! A turn's frames stay until control has acknowledged its Finish, so that they can be sent again
//! if a failover of control's store loses some.

use super::{
    active_turn::{ActiveTurn, Hold, Work},
    outcome::{Ending, Failure, Gone},
};
use arizuko_proto::v1::{
    AgentFrame, Appended, Claim, Credit, Heartbeat, Hello, Reject, Turn, Welcome,
    attach_request::Message as Request,
};

/// The next step of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Send this.
    Send(Request),
    /// Wait until the ledger changes.
    Wait,
    /// End: another stream has taken over, or the session is stopping and has nothing left to send
    /// or to wait for.
    Close,
}

/// A person's claim that control has not answered.
struct PendingClaim {
    turn_id: String,
    take: bool,
    is_sent: bool,
}

/// The session's state.
pub(super) struct Ledger {
    /// The fields that are the same in every Hello.
    greeting: Hello,
    /// How many turns the session may have at a time.
    concurrency: u32,
    /// The number of the stream that speaks for the session. Older streams end.
    stream: u64,
    is_welcomed: bool,
    is_stopping: bool,
    beat_is_due: bool,
    /// Places that have become free since Hello and that control has not been told of.
    credit: u32,
    rejects: Vec<Hold>,
    claims: Vec<PendingClaim>,
    /// Every turn that takes up a place. Only turns that a person claimed may exceed the
    /// concurrency.
    turns: Vec<ActiveTurn>,
}

impl Ledger {
    /// Begins a session that says `greeting` and takes up to `concurrency` turns at a time.
    pub(super) fn new(greeting: Hello, concurrency: u32) -> Self {
        Self {
            greeting,
            concurrency,
            stream: 0,
            is_welcomed: false,
            is_stopping: false,
            beat_is_due: false,
            credit: 0,
            rejects: Vec::new(),
            claims: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Begins another stream, which from now on is the only one that speaks for the session.
    /// Returns its number and its Hello.
    pub(super) fn hello(&mut self) -> (u64, Hello) {
        self.stream += 1;
        self.is_welcomed = false;
        self.credit = 0;
        for claim in &mut self.claims {
            claim.is_sent = false;
        }
        let wanted = self.turns.iter().filter(|turn| turn.is_wanted);
        let hello = Hello {
            credit: if self.is_stopping { 0 } else { self.free_places() },
            held: wanted.map(ActiveTurn::to_held).collect(),
            ..self.greeting.clone()
        };
        (self.stream, hello)
    }

    /// Takes control's answer to `hello`. Resumes the turns that control still counts as this
    /// session's, and abandons the others.
    pub(super) fn welcome(&mut self, hello: &Hello, welcome: Welcome) {
        self.greeting.session_id = welcome.session_id;
        self.is_welcomed = true;
        for offered in &hello.held {
            let kept = welcome
                .held
                .iter()
                .find(|kept| kept.turn_id == offered.turn_id && kept.attempt == offered.attempt);
            let hold = Hold { turn_id: offered.turn_id.clone(), attempt: offered.attempt };
            match (self.find(&hold), kept) {
                (Some(turn), Some(kept)) => turn.resume(kept.next_seq),
                (Some(turn), None) => {
                    turn.abandon(Ending::Lost("another session may have it by now".into()));
                }
                (None, _) => {}
            }
        }
        self.settle();
    }

    /// Takes a turn that control delivers. Returns `None` if there is nothing new to work on.
    pub(super) fn turn(&mut self, turn: &Turn) -> Option<Work> {
        let hold = Hold::of(turn);
        self.claims.retain(|claim| claim.turn_id != turn.turn_id);
        if self.is_stopping {
            self.rejects.push(hold);
            return None;
        }
        if let Some(known) = self.find(&hold) {
            known.accept_again();
            return None;
        }
        // Control has ended an older attempt at the same turn.
        for older in self.turns.iter_mut().filter(|turn| turn.hold.turn_id == hold.turn_id) {
            older.abandon(Ending::Lost("it was delivered again".into()));
        }
        let turn = ActiveTurn::new(hold);
        let work = turn.work.clone();
        self.turns.push(turn);
        self.settle();
        Some(work)
    }

    /// Adds a frame to a turn's reply.
    pub(super) fn push(&mut self, hold: &Hold, frame: AgentFrame) -> Result<(), Gone> {
        let turn = self.find(hold).filter(|turn| turn.is_wanted);
        turn.ok_or(Gone)?.push(frame)
    }

    /// Notes that the turn's handler has ended.
    pub(super) fn finish(&mut self, hold: &Hold, outcome: Result<(), Failure>) {
        if let Some(turn) = self.find(hold) {
            turn.finish(outcome);
        }
        self.settle();
    }

    /// Notes which frame control expects next, or that control has the whole reply.
    pub(super) fn appended(&mut self, appended: Appended) {
        let Appended { turn_id, attempt, next_seq, finished } = appended;
        let hold = Hold { turn_id, attempt };
        if finished {
            self.end(&hold, Ending::Finished);
        } else if let Some(turn) = self.find(&hold) {
            turn.appended(next_seq);
        }
    }

    /// Notes that the turn is over for this session. Says whether that cuts the reply off: not
    /// if the turn was over already, nor if the reply ends with a handoff.
    pub(super) fn end(&mut self, hold: &Hold, ending: Ending) -> bool {
        let turn = self.find(hold).filter(|turn| turn.is_wanted);
        let cuts_off = turn.is_some_and(|turn| {
            turn.abandon(ending);
            !turn.is_handed_off()
        });
        self.settle();
        cuts_off
    }

    /// Queues a person's claim of a turn. `take`: also if another session holds the turn.
    pub(super) fn claim(&mut self, turn_id: &str, take: bool) {
        self.claims.push(PendingClaim { turn_id: turn_id.into(), take, is_sent: false });
    }

    /// Notes that control has refused a claim. Says whether the claim was still pending. It was not
    /// if it was sent twice and succeeded the first time.
    pub(super) fn refuse(&mut self, turn_id: &str) -> bool {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.turn_id != turn_id);
        self.claims.len() < before
    }

    /// Makes a heartbeat due.
    pub(super) fn beat(&mut self) {
        self.beat_is_due = true;
        self.turns.iter_mut().for_each(ActiveTurn::beat);
    }

    /// Takes no more turns, and rejects those whose reply is not complete.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        self.claims.clear();
        for turn in self.turns.iter_mut().filter(|turn| turn.is_wanted && !turn.is_complete()) {
            turn.abandon(Ending::Lost("it goes back to the queue".into()));
            self.rejects.push(turn.hold.clone());
        }
    }

    /// Returns what `stream` should do next. A heartbeat goes before anything that can be large.
    pub(super) fn next(&mut self, stream: u64) -> Step {
        if stream != self.stream {
            return Step::Close;
        }
        if !self.is_welcomed {
            return Step::Wait;
        }
        if std::mem::take(&mut self.beat_is_due) {
            return Step::Send(Request::Heartbeat(Heartbeat {}));
        }
        if let Some(Hold { turn_id, attempt }) = self.rejects.pop() {
            let detail = "the agent is stopping".into();
            let reject = Reject { turn_id, attempt, detail, retry_after: None };
            return Step::Send(Request::Reject(reject));
        }
        if let Some(claim) = self.claims.iter_mut().find(|claim| !claim.is_sent) {
            claim.is_sent = true;
            let (turn_id, take) = (claim.turn_id.clone(), claim.take);
            return Step::Send(Request::Claim(Claim { turn_id, conversation: true, take }));
        }
        let turns = std::mem::take(&mut self.credit);
        if turns > 0 && !self.is_stopping {
            return Step::Send(Request::Credit(Credit { turns }));
        }
        let mut turns = self.turns.iter_mut().enumerate();
        if let Some((index, request)) = turns.find_map(|(i, turn)| Some((i, turn.next()?))) {
            // The other turns come first the next time.
            self.turns.rotate_left(index + 1);
            return Step::Send(request);
        }
        if self.is_stopping && !self.turns.iter().any(|turn| turn.is_wanted) {
            return Step::Close;
        }
        Step::Wait
    }

    fn find(&mut self, hold: &Hold) -> Option<&mut ActiveTurn> {
        self.turns.iter_mut().find(|turn| turn.hold == *hold)
    }

    /// Frees the places of turns that are over for control and for their handler.
    fn settle(&mut self) {
        let before = self.free_places();
        self.turns.retain(|turn| turn.is_wanted || turn.is_running);
        self.credit += self.free_places() - before;
    }

    fn free_places(&self) -> u32 {
        let taken = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        self.concurrency.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests;
