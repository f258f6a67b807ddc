//! A desk claims a folder's turns for all agents that are attached to the folder at this control:
//! several turns in one commit, so that the agents neither poll nor claim against each other.

use super::{
    credit::Credit,
    lease::{Lease, Renewals},
};
use crate::{
    control::Control,
    jid::FolderName,
    ledger::Error,
    names,
    refusal::Refusal,
    session::{Session, Speaker},
    store::{Partition, Subscription},
    transaction::Tx,
    turn::{
        Turn,
        hold::{self, Claimed},
    },
};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{
        Notify,
        mpsc::{Receiver, Sender, channel},
    },
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

/// How many turns one commit claims, at most.
const AT_ONCE: usize = 16;
/// How often the queue is read even if no wake-up comes.
const RECHECK: Duration = Duration::from_secs(10);
/// How long a desk rests after a claim that failed.
const REST: Duration = Duration::from_millis(250);

/// The desks of this control: one for each folder that agents are attached to.
#[derive(Default)]
pub(in crate::grpc) struct Desks {
    desks: Mutex<HashMap<FolderName, Arc<Desk>>>,
    renewals: Arc<Renewals>,
}

impl Desks {
    /// Seats a session, which has no credit yet, at its folder's desk.
    pub(super) fn seat(self: &Arc<Self>, control: &Arc<Control>, session: &Session) -> Place {
        // There is always room for an error.
        let (claims, receiver) = channel(AT_ONCE + 1);
        let credit = Credit::new(&control.metrics.agents(&session.folder).credit);
        let speaker = session.speaker();
        let mut desks = self.lock();
        let desk = desks.entry(session.folder.clone()).or_insert_with(|| {
            let desk = Arc::new(Desk {
                folder: session.folder.clone(),
                seats: Mutex::default(),
                offered: Notify::new(),
                closed: CancellationToken::new(),
            });
            tokio::spawn(desk.clone().run(control.clone()));
            desk
        });
        desk.seats().push_back(Seat { speaker: speaker.clone(), credit, claims });
        Place { desks: self.clone(), desk: desk.clone(), speaker, claims: receiver }
    }

    /// Returns the lease of a session for which a stream begins to speak.
    pub(super) fn lease(
        &self,
        control: &Arc<Control>,
        partition: Partition,
        speaker: Speaker,
    ) -> Lease {
        Lease::new(control, &self.renewals, partition, speaker)
    }

    /// Removes a session's seat, and closes the desk if that was its last seat.
    fn leave(&self, desk: &Arc<Desk>, speaker: &Speaker) {
        let mut desks = self.lock();
        let mut seats = desk.seats();
        seats.retain(|seat| seat.speaker != *speaker);
        if seats.is_empty() {
            desk.closed.cancel();
            if desks.get(&desk.folder).is_some_and(|current| Arc::ptr_eq(current, desk)) {
                desks.remove(&desk.folder);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FolderName, Arc<Desk>>> {
        // Nothing that can panic runs under this lock.
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place at the desk of its folder. It gets no more turns once this is dropped.
pub(super) struct Place {
    desks: Arc<Desks>,
    desk: Arc<Desk>,
    speaker: Speaker,
    claims: Receiver<Result<Turn, Error>>,
}

impl Place {
    /// Returns the next turn that the desk has claimed for the session.
    ///
    /// # Errors
    /// [`Refusal::SessionOver`] if the session is over or a newer stream speaks for it; otherwise
    /// the error of a claim, or of watching the queue. The session then has no seat.
    pub(super) async fn next(&mut self) -> Result<Turn, Error> {
        match self.claims.recv().await {
            Some(claimed) => {
                // There is room for another turn.
                self.desk.offered.notify_one();
                claimed
            }
            // The desk has removed the seat, so no more turns come.
            None => std::future::pending().await,
        }
    }

    /// Adds to the session's credit.
    pub(super) fn offer(&self, turns: u32) {
        if let Some(seat) = self.desk.seats().iter_mut().find(|s| s.speaker == self.speaker) {
            seat.credit.add(turns);
        }
        self.desk.offered.notify_one();
    }

    /// Gives up the seat.
    pub(super) fn leave(&self) {
        self.desks.leave(&self.desk, &self.speaker);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// A session that gets its turns from a desk.
struct Seat {
    speaker: Speaker,
    credit: Credit,
    claims: Sender<Result<Turn, Error>>,
}

/// One folder's desk.
struct Desk {
    folder: FolderName,
    /// The session that has waited longest for a turn comes first.
    seats: Mutex<VecDeque<Seat>>,
    /// Notified when a session can take more turns.
    offered: Notify,
    /// Cancelled when the last session has left.
    closed: CancellationToken,
}

impl Desk {
    /// Claims turns until the last session leaves.
    async fn run(self: Arc<Self>, control: Arc<Control>) {
        let claiming = async {
            let mut wakes = self.watch(&control).await;
            let mut recheck = interval(RECHECK);
            // Whether turns may be waiting. Each turn that is queued later wakes the desk.
            let mut queued = true;
            loop {
                let offers = if queued { self.offers() } else { Vec::new() };
                if !offers.is_empty() {
                    queued = self.claim(&control, &offers).await;
                    continue;
                }
                tokio::select! {
                    _ = wakes.next() => queued = true,
                    _ = recheck.tick() => queued = true,
                    () = self.offered.notified() => {}
                }
            }
        };
        tokio::select! {
            () = claiming => {}
            () = self.closed.cancelled() => {}
        }
    }

    async fn watch(&self, control: &Control) -> Subscription {
        let partition = control.partition(&self.folder);
        loop {
            match control.ledger.watch(partition, &names::queue_topic(&self.folder)).await {
                Ok(wakes) => return wakes,
                Err(error) => {
                    for seat in self.seats().drain(..) {
                        seat.tell(Err(error.clone()));
                    }
                    sleep(REST).await;
                }
            }
        }
    }

    /// Lists the sessions that the next turns are for, at most [`AT_ONCE`]: one turn for each
    /// session that can take one, then a second one for each, and so on.
    fn offers(&self) -> Vec<Speaker> {
        let seats = self.seats();
        let mut offers = Vec::new();
        for round in 1.. {
            let before = offers.len();
            let willing = seats.iter().filter(|seat| seat.room() >= round);
            offers.extend(willing.map(|seat| seat.speaker.clone()).take(AT_ONCE - before));
            if offers.len() == before {
                break;
            }
        }
        offers
    }

    /// Claims turns for these sessions. Returns whether more turns may be waiting.
    async fn claim(&self, control: &Control, offers: &[Speaker]) -> bool {
        let claiming = |tx: &mut Tx<'_>| hold::claim(tx, &self.folder, offers);
        let partition = control.partition(&self.folder);
        match control.ledger.transact(partition, &[], claiming).await {
            Ok(Claimed { turns, over, may_be_more }) => {
                for (speaker, turn) in turns {
                    self.deliver(&speaker, turn);
                }
                for speaker in over {
                    self.fail(&speaker, &Refusal::SessionOver.into());
                }
                may_be_more
            }
            // The desks of other controls have claimed the same turns.
            Err(Error::Busy) => true,
            Err(error) => {
                // The claim may have been committed: each session learns of its turns when it is
                // resumed.
                for speaker in offers {
                    self.fail(speaker, &error);
                }
                sleep(REST).await;
                true
            }
        }
    }

    /// Delivers a turn to a session, which then waits behind all others. A session that has left
    /// meanwhile gets the turn when it is resumed.
    fn deliver(&self, speaker: &Speaker, turn: Turn) {
        let mut seats = self.seats();
        let place = seats.iter().position(|seat| seat.speaker == *speaker);
        if let Some(mut seat) = place.and_then(|place| seats.remove(place)) {
            seat.credit.take();
            seat.tell(Ok(turn));
            seats.push_back(seat);
        }
    }

    /// Tells a session that it gets no more turns here, and why.
    fn fail(&self, speaker: &Speaker, error: &Error) {
        let mut seats = self.seats();
        let place = seats.iter().position(|seat| seat.speaker == *speaker);
        if let Some(seat) = place.and_then(|place| seats.remove(place)) {
            seat.tell(Err(error.clone()));
        }
    }

    fn seats(&self) -> MutexGuard<'_, VecDeque<Seat>> {
        // Nothing that can panic runs under this lock.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns how many turns the session can take now: as many as it has credit and room for. The
    /// room runs out while the agent doesn't read its stream.
    fn room(&self) -> usize {
        (self.credit.turns() as usize).min(self.claims.capacity() - 1)
    }

    fn tell(&self, claimed: Result<Turn, Error>) {
        // An error says that the stream has ended. Its session learns of the turn when it is
        // resumed.
        let _ = self.claims.try_send(claimed);
    }
}
