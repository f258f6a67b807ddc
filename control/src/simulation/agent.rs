//! Agents and people who answer every message with several deltas, and go on after breaks as the
//! contract says. Those of the link's folder hand some turns off to the desk, where a person takes
//! over some conversations.

use super::{
    history::{Delivered, History},
    world::Clients,
};
use arizuko_proto::v1::{
    Accept, AgentDelta, AgentFrame, Append, AttachRequest, Claim, Credit, Finish, Handoff,
    Heartbeat, HeldTurn, Hello, Inbox, Turn, Welcome, agent_frame::Body,
    attach_request::Message as Said, attach_response::Message as Heard,
};
use fastrand::Rng;
use std::{collections::BTreeMap, ops::ControlFlow, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// How many turns an agent holds at a time.
const CREDIT: u32 = 3;
/// How many deltas most replies have.
const DELTAS: u64 = 4;
/// How many deltas long replies have. They come so fast that a fault affects many at once.
const MANY_DELTAS: u64 = 30;
/// How long an agent waits for an answer to its Hello.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the reply to a message.
pub(super) fn reply(text: &str) -> String {
    (1..=deltas(text)).map(|seq| delta(text, seq)).collect()
}

/// Returns how many deltas the reply to a message has.
fn deltas(text: &str) -> u64 {
    if text.ends_with('1') { MANY_DELTAS } else { DELTAS }
}

fn delta(text: &str, seq: u64) -> String {
    format!("{text}, part {seq}. ")
}

/// The folder of the links.
pub(super) const HOME: &str = "acme";
/// The folder to which agents of [`HOME`] hand off.
pub(super) const DESK: &str = "acme/desk";

pub(super) struct Agent {
    pub(super) clients: Clients,
    pub(super) history: History,
    pub(super) rng: Rng,
    pub(super) name: String,
    pub(super) folder: String,
    pub(super) person: bool,
    session: String,
    work: BTreeMap<String, Work>,
    /// The turns that a person has asked for, and whether with their conversations. None is asked
    /// for again before there is an answer: an answer doesn't say which request it is for.
    claimed: BTreeMap<String, bool>,
}

/// A turn that the agent holds.
struct Work {
    attempt: u32,
    text: String,
    /// The seq of what the agent says next: 0 stands for Accept, and the one after the last delta's
    /// for Finish.
    next: u64,
    conversation: String,
    /// The seq at which the turn is handed off, and whether its conversation goes with it.
    hand_off: Option<(u64, bool)>,
}

impl Work {
    /// Whether more deltas of a long reply are to come.
    fn is_in_a_hurry(&self) -> bool {
        let deltas = deltas(&self.text);
        deltas > DELTAS && self.next <= deltas
    }
}

impl Agent {
    pub(super) fn new(
        clients: Clients,
        history: History,
        rng: Rng,
        (name, folder): (&str, &str),
        person: bool,
    ) -> Self {
        let (name, folder) = (name.to_owned(), folder.to_owned());
        let (session, work, claimed) = (String::new(), BTreeMap::new(), BTreeMap::new());
        Self { clients, history, rng, name, folder, person, session, work, claimed }
    }

    /// Answers for ever. `crashes`: at each message on it, the agent forgets all that it holds.
    pub(super) async fn run(mut self, mut crashes: mpsc::Receiver<()>) {
        loop {
            let crashed = tokio::select! {
                biased;
                _ = crashes.recv() => true,
                () = self.attach() => false,
            };
            if crashed {
                self.history.say(&format!("{} crashes", self.name));
                self.session.clear();
                self.work.clear();
            }
            sleep(Duration::from_millis(self.rng.u64(100..1_000))).await;
        }
    }

    /// Attaches, and answers until the stream ends.
    async fn attach(&mut self) {
        let (requests, sent) = mpsc::channel(64);
        let held = self.work.iter().map(|(turn_id, work)| HeldTurn {
            turn_id: turn_id.clone(),
            attempt: work.attempt,
            next_seq: work.next.max(1),
        });
        let hello = Hello {
            folder: self.folder.clone(),
            name: self.name.clone(),
            person: self.person,
            credit: if self.person { 0 } else { self.room() },
            session_id: self.session.clone(),
            held: held.collect(),
            ..Hello::default()
        };
        let _ = requests.send(AttachRequest { message: Some(Said::Hello(hello)) }).await;
        let mut client = self.clients.agent(&mut self.rng);
        let welcoming = async {
            let mut heard = client.attach(ReceiverStream::new(sent)).await.ok()?.into_inner();
            match heard.message().await.ok()??.message? {
                Heard::Welcome(welcome) => Some((welcome, heard)),
                _ => None,
            }
        };
        let Ok(Some((welcome, heard))) = timeout(PATIENCE, welcoming).await else {
            return;
        };
        self.history.say(&format!("{} is attached", self.name));
        self.resume(welcome);
        self.answer(&requests, heard).await;
        self.history.say(&format!("the stream of {} has ended", self.name));
    }

    /// Returns how many more turns the agent takes.
    fn room(&self) -> u32 {
        CREDIT.saturating_sub(self.work.len() as u32)
    }

    fn resume(&mut self, welcome: Welcome) {
        self.session = welcome.session_id;
        self.claimed.clear();
        let mut kept = BTreeMap::new();
        for HeldTurn { turn_id, attempt, next_seq } in welcome.held {
            if let Some(work) = self.work.remove(&turn_id).filter(|work| work.attempt == attempt) {
                let next = if work.next == 0 { 0 } else { next_seq };
                kept.insert(turn_id, Work { next, ..work });
            }
        }
        self.work = kept;
    }

    /// Answers until the stream ends.
    async fn answer(
        &mut self,
        requests: &mpsc::Sender<AttachRequest>,
        mut responses: Streaming<arizuko_proto::v1::AttachResponse>,
    ) {
        let mut beats = interval(Duration::from_secs(5));
        let mut step_at = Instant::now();
        loop {
            let said = tokio::select! {
                biased;
                response = responses.message() => match response {
                    Ok(Some(response)) => self.hear(response.message),
                    _ => return,
                },
                _ = beats.tick() => ControlFlow::Continue(Some(Said::Heartbeat(Heartbeat {}))),
                () = tokio::time::sleep_until(step_at) => {
                    let hurries = self.work.values().any(Work::is_in_a_hurry);
                    let most = if hurries { 10 } else { 200 };
                    step_at += Duration::from_millis(self.rng.u64(1..most));
                    ControlFlow::Continue(self.step())
                }
            };
            match said {
                ControlFlow::Break(()) => return,
                ControlFlow::Continue(None) => {}
                ControlFlow::Continue(Some(said)) => {
                    if requests.send(AttachRequest { message: Some(said) }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn hear(&mut self, heard: Option<Heard>) -> ControlFlow<(), Option<Said>> {
        let over = match heard {
            Some(Heard::Turn(turn)) => {
                self.take(turn);
                None
            }
            Some(Heard::Inbox(inbox)) => return ControlFlow::Continue(self.choose(inbox)),
            Some(Heard::Appended(appended)) if appended.finished => Some(appended.turn_id),
            Some(Heard::Appended(appended)) => {
                // Says again what control has not stored.
                if let Some(work) = self.work.get_mut(&appended.turn_id) {
                    work.next = work.next.min(appended.next_seq.max(1));
                }
                None
            }
            Some(Heard::Lost(lost)) => {
                self.lose(&lost.turn_id, &lost.detail);
                Some(lost.turn_id)
            }
            Some(Heard::Cancel(cancel)) => Some(cancel.turn_id),
            Some(Heard::Drain(_)) => return ControlFlow::Break(()),
            _ => None,
        };
        let is_over = over.is_some_and(|turn| self.work.remove(&turn).is_some());
        let frees = is_over && !self.person;
        ControlFlow::Continue(frees.then_some(Said::Credit(Credit { turns: 1 })))
    }

    /// Begins to work on a turn.
    fn take(&mut self, turn: Turn) {
        let Turn { turn_id, attempt, conversation, .. } = turn;
        let (folder, session) = (self.folder.clone(), self.session.clone());
        let delivered = Delivered { folder, session, at: Instant::now() };
        self.history.deliver(&turn_id, attempt, delivered);
        if self.claimed.remove(&turn_id) == Some(true) {
            self.history.assign(&conversation, &self.folder);
        }
        let text = String::from_utf8_lossy(&turn.content).into_owned();
        let hands_off = self.folder == HOME && self.rng.u8(..6) == 0;
        let hand_off = hands_off.then(|| (self.rng.u64(1..=DELTAS), self.rng.u8(..4) == 0));
        self.work.insert(turn_id, Work { attempt, text, next: 0, conversation, hand_off });
        if !self.person && self.work.len() > CREDIT as usize {
            let (name, held) = (&self.name, self.work.len());
            self.history.breach(&format!("{name} has {held} turns and took {CREDIT}"));
        }
    }

    /// Asks for a random turn that waits for a person.
    fn choose(&mut self, inbox: Inbox) -> Option<Said> {
        if !self.work.is_empty() {
            return None;
        }
        let turns = inbox.waiting.into_iter().map(|waiting| waiting.turn_id);
        let turns: Vec<_> = turns.filter(|turn| !self.claimed.contains_key(turn)).collect();
        let turn_id = self.rng.choice(turns)?;
        let conversation = self.rng.bool();
        self.claimed.insert(turn_id.clone(), conversation);
        Some(Said::Claim(Claim { turn_id, conversation, take: false }))
    }

    /// Notes that a turn was handed off, if that is why it is lost.
    fn lose(&mut self, turn: &str, why: &str) {
        self.history.say(&format!("{} loses {turn}: {why}", self.name));
        self.claimed.remove(turn);
        let Some(work) = self.work.get(turn).filter(|_| why == "it was handed off") else {
            return;
        };
        let key = (turn.to_owned(), work.attempt);
        self.history.state().handed_off.insert(key, DESK.to_owned());
        if work.hand_off.is_some_and(|(_, conversation)| conversation) {
            self.history.assign(&work.conversation, DESK);
        }
    }

    /// Says the next part of a random reply. Finish is said again until it is acknowledged.
    fn step(&mut self) -> Option<Said> {
        let turns: Vec<_> = self.work.keys().cloned().collect();
        let turn_id = self.rng.choice(turns)?;
        let Work { attempt, text, next, hand_off, .. } = self.work.get_mut(&turn_id)?;
        let (attempt, seq) = (*attempt, *next);
        if let Some((_, conversation)) = hand_off.filter(|(at, _)| *at == seq) {
            let (folder, note) = (DESK.to_owned(), String::new());
            let body = Some(Body::Handoff(Handoff { folder, note, conversation }));
            let frames = vec![AgentFrame { body }];
            return Some(Said::Append(Append { turn_id, attempt, seq, frames }));
        }
        let deltas = deltas(text);
        *next = (seq + 1).min(deltas + 1);
        Some(match seq {
            0 => Said::Accept(Accept { turn_id, attempt }),
            _ if seq <= deltas => {
                let text = delta(text, seq);
                let body = Some(Body::Delta(AgentDelta { id: "m1".to_owned(), text }));
                Said::Append(Append { turn_id, attempt, seq, frames: vec![AgentFrame { body }] })
            }
            _ => Said::Finish(Finish { turn_id, attempt, seq, ..Finish::default() }),
        })
    }
}
