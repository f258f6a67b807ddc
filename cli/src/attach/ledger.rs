//! What a session knows: its turns, their frames, and what control has yet to be told. No I/O and
//! no clock: a stream asks for the next request, and reports what control says.
//!
//! A turn's frames stay until control has acknowledged its Finish, so that whatever a failover of
//! control's store lost can be sent again.

use super::{
    Settings,
    held::{Ending, Held, Hold, Work},
    reply::{Failure, Gone},
};
use arizuko_proto::v1::{
    AgentFrame, Appended, Claim, Credit, Heartbeat, Hello, Reject, Turn, Welcome,
    attach_request::Message as Request,
};

/// What a stream should do next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Say this.
    Say(Request),
    /// Nothing until the ledger changes.
    Wait,
    /// Nothing any more: another stream has taken over, or all is said.
    Close,
}

/// A turn that a person asked for and that was not answered yet.
struct Claimed {
    turn_id: String,
    sent: bool,
}

/// The session's state.
pub(super) struct Ledger {
    folder: String,
    name: String,
    person: bool,
    concurrency: u32,
    history: u32,
    session_id: String,
    /// The number of the stream that speaks for the session; an older one must be silent.
    stream: u64,
    welcomed: bool,
    stopping: bool,
    heartbeat: bool,
    /// Places that have become free since Hello and that control has not been told of.
    credit: u32,
    rejects: Vec<Hold>,
    claims: Vec<Claimed>,
    /// Every turn that takes up a place: never more than the concurrency, but for those that a
    /// person claimed.
    turns: Vec<Held>,
}

impl Ledger {
    pub(super) fn new(settings: &Settings, person: bool) -> Self {
        Self {
            folder: settings.folder.clone(),
            name: settings.name.clone(),
            person,
            concurrency: settings.concurrency,
            history: settings.history,
            session_id: String::new(),
            stream: 0,
            welcomed: false,
            stopping: false,
            heartbeat: false,
            credit: 0,
            rejects: Vec::new(),
            claims: Vec::new(),
            turns: Vec::new(),
        }
    }

    /// Begins another stream, which from now on is the only one that speaks.
    pub(super) fn hello(&mut self) -> (u64, Hello) {
        self.stream += 1;
        self.welcomed = false;
        self.credit = 0;
        for claim in &mut self.claims {
            claim.sent = false;
        }
        let free = self.free();
        let hello = Hello {
            folder: self.folder.clone(),
            name: self.name.clone(),
            credit: if self.stopping { 0 } else { free },
            history: self.history,
            person: self.person,
            session_id: self.session_id.clone(),
            held: self.turns.iter().filter(|turn| turn.wanted).map(Held::offer).collect(),
        };
        (self.stream, hello)
    }

    /// Control has answered `hello`: what it still counts as ours goes on from where it says.
    pub(super) fn welcome(&mut self, hello: &Hello, welcome: Welcome) {
        self.session_id = welcome.session_id;
        self.welcomed = true;
        for offered in &hello.held {
            let kept = welcome
                .held
                .iter()
                .find(|kept| kept.turn_id == offered.turn_id && kept.attempt == offered.attempt);
            let hold = Hold { turn_id: offered.turn_id.clone(), attempt: offered.attempt };
            match (self.find(&hold), kept) {
                (Some(turn), Some(kept)) => turn.resume(kept.next_seq),
                (Some(turn), None) => {
                    turn.abandon(Ending::Lost("another has it by now".into()));
                }
                (None, _) => {}
            }
        }
        self.settle();
    }

    /// A turn was handed out. `None` when there is nothing new to work on.
    pub(super) fn turn(&mut self, turn: &Turn) -> Option<Work> {
        let hold = Hold::of(turn);
        self.claims.retain(|claim| claim.turn_id != turn.turn_id);
        if self.stopping {
            self.rejects.push(hold);
            return None;
        }
        if let Some(known) = self.find(&hold) {
            known.accept();
            return None;
        }
        // An older hold of the same turn can't be ours any more.
        for older in self.turns.iter_mut().filter(|held| held.hold.turn_id == hold.turn_id) {
            older.abandon(Ending::Lost("it was handed out again".into()));
        }
        let held = Held::new(hold);
        let work = held.work.clone();
        self.turns.push(held);
        self.settle();
        Some(work)
    }

    /// Adds a frame to a turn's reply.
    pub(super) fn push(&mut self, hold: &Hold, frame: AgentFrame) -> Result<(), Gone> {
        let turn = self.find(hold).filter(|turn| turn.wanted);
        turn.ok_or(Gone)?.push(frame)
    }

    /// The work on a turn has ended.
    pub(super) fn finish(&mut self, hold: &Hold, outcome: Result<(), Failure>) {
        if let Some(turn) = self.find(hold) {
            turn.finish(outcome);
        }
        self.settle();
    }

    /// Control says what it has stored, or after a hole what it expects.
    pub(super) fn appended(&mut self, appended: Appended) {
        let Appended { turn_id, attempt, next_seq, finished } = appended;
        let hold = Hold { turn_id, attempt };
        if finished {
            self.end(&hold, Ending::Finished);
        } else if let Some(turn) = self.find(&hold) {
            turn.appended(next_seq);
        }
    }

    /// The turn is over for control. Says whether that was to be heard for the first time and
    /// before all of the reply was there.
    pub(super) fn end(&mut self, hold: &Hold, ending: Ending) -> bool {
        let turn = self.find(hold).filter(|turn| turn.wanted);
        let cut_off = turn.is_some_and(|turn| {
            turn.abandon(ending);
            !turn.is_handed_off()
        });
        self.settle();
        cut_off
    }

    /// A person asks for a turn.
    pub(super) fn claim(&mut self, turn_id: &str) {
        self.claims.push(Claimed { turn_id: turn_id.into(), sent: false });
    }

    /// Control has refused a claim. Says whether it still stood: it may have been heard twice.
    pub(super) fn refuse(&mut self, turn_id: &str) -> bool {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.turn_id != turn_id);
        self.claims.len() < before
    }

    /// Time for a heartbeat.
    pub(super) fn beat(&mut self) {
        self.heartbeat = true;
        self.turns.iter_mut().for_each(Held::beat);
    }

    /// Takes no more turns and hands back those under way.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        self.claims.clear();
        for turn in self.turns.iter_mut().filter(|turn| turn.wanted && !turn.is_complete()) {
            turn.abandon(Ending::Lost("it goes back to the queue".into()));
            self.rejects.push(turn.hold.clone());
        }
    }

    /// What `stream` should say next. Heartbeats go ahead of everything that can be much.
    pub(super) fn next(&mut self, stream: u64) -> Next {
        if stream != self.stream {
            return Next::Close;
        }
        if !self.welcomed {
            return Next::Wait;
        }
        if std::mem::take(&mut self.heartbeat) {
            return Next::Say(Request::Heartbeat(Heartbeat {}));
        }
        if let Some(Hold { turn_id, attempt }) = self.rejects.pop() {
            let detail = "the agent is stopping".into();
            let reject = Reject { turn_id, attempt, detail, retry_after: None };
            return Next::Say(Request::Reject(reject));
        }
        if let Some(claim) = self.claims.iter_mut().find(|claim| !claim.sent) {
            claim.sent = true;
            let turn_id = claim.turn_id.clone();
            return Next::Say(Request::Claim(Claim { turn_id, conversation: true }));
        }
        let turns = std::mem::take(&mut self.credit);
        if turns > 0 && !self.stopping {
            return Next::Say(Request::Credit(Credit { turns }));
        }
        let mut turns = self.turns.iter_mut().enumerate();
        if let Some((index, request)) = turns.find_map(|(i, turn)| Some((i, turn.next()?))) {
            // The next time the others come first.
            self.turns.rotate_left(index + 1);
            return Next::Say(request);
        }
        if self.stopping && !self.turns.iter().any(|turn| turn.wanted) {
            return Next::Close;
        }
        Next::Wait
    }

    fn find(&mut self, hold: &Hold) -> Option<&mut Held> {
        self.turns.iter_mut().find(|turn| turn.hold == *hold)
    }

    /// Gives back the places of turns that are over on both sides.
    fn settle(&mut self) {
        let before = self.free();
        self.turns.retain(|turn| turn.wanted || turn.working);
        self.credit += self.free() - before;
    }

    /// How many places no turn takes up.
    fn free(&self) -> u32 {
        let taken = u32::try_from(self.turns.len()).unwrap_or(u32::MAX);
        self.concurrency.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests;
