//! A Redis server and its replica, as far as our store uses them: it answers the store's commands
//! over simulated connections, and keeps everything in a model. The replica lags, and what it
//! lacks is lost when it takes over.

mod resp;
mod script;

use crate::store::{
    Batch, Commit, Found, Millis, Order, Partition, Read, Record, Store as _, Write, model::Model,
};
use resp::{Reply, bulk, read_call, text};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncWriteExt as _, BufReader, DuplexStream, split},
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        watch,
    },
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// What the keys and channels of the controls begin with.
pub(super) const PREFIX: &str = "arizuko";
/// When a run begins, in milliseconds since 1970: 15 seconds before midnight.
const EPOCH: Millis = 20_834 * 86_400_000 - 15_000;

/// The servers. Clones share them.
#[derive(Clone)]
pub(super) struct Servers {
    state: Arc<Mutex<State>>,
}

struct State {
    model: Arc<Model>,
    replica: Replica,
    /// How long a message takes to the replica, or back.
    distance: Duration,
    /// The clock's key and the keys of WAIT, and when they end. They are never lost.
    strings: BTreeMap<String, (String, Instant)>,
    /// The connections that are subscribed to each channel.
    subscribers: BTreeMap<String, Vec<UnboundedSender<Reply>>>,
    /// Whether the server knows the commit script.
    has_script: bool,
}

struct Replica {
    model: Arc<Model>,
    /// The writes on their way to the replica, with the time at which each arrives. `None` is a
    /// write of a string, which is in no batch.
    stream: UnboundedSender<(Instant, Option<Batch>)>,
    /// How many writes the primary has done.
    written: u64,
    /// How many of them the replica has.
    arrived: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Replica {
    fn of(primary: &Model) -> Self {
        let model = Arc::new(primary.copy());
        let (stream, mut arriving) = mpsc::unbounded_channel::<(Instant, Option<Batch>)>();
        let (sender, arrived) = watch::channel(0);
        let copy = model.clone();
        let task = tokio::spawn(async move {
            while let Some((at, batch)) = arriving.recv().await {
                sleep_until(at).await;
                if let Some(batch) = batch {
                    copy.apply(&batch);
                }
                sender.send_modify(|count| *count += 1);
            }
        });
        Self { model, stream, written: 0, arrived, _task: AbortOnDropHandle::new(task) }
    }
}

impl Servers {
    pub(super) fn new(distance: Duration) -> Self {
        let model = Arc::new(Model::new(EPOCH));
        let state = State {
            replica: Replica::of(&model),
            model,
            distance,
            strings: BTreeMap::new(),
            subscribers: BTreeMap::new(),
            has_script: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Returns what the primary has.
    pub(super) fn model(&self) -> Arc<Model> {
        self.state().model.clone()
    }

    /// Makes the clock of both servers wrong by `wrong_by` milliseconds.
    pub(super) fn set_clock(&self, wrong_by: i64) {
        let state = self.state();
        state.model.set_clock(wrong_by);
        state.replica.model.set_clock(wrong_by);
    }

    pub(super) fn set_distance(&self, distance: Duration) {
        self.state().distance = distance;
    }

    /// Lets the primary start again. All connections to it must be cut.
    pub(super) fn restart(&self) {
        let mut state = self.state();
        state.subscribers.clear();
        state.has_script = false;
    }

    /// Makes the replica the primary. All connections must be cut.
    pub(super) fn fail_over(&self) {
        self.restart();
        let mut state = self.state();
        state.model = state.replica.model.clone();
        state.replica = Replica::of(&state.model);
    }

    /// Serves a connection until it ends.
    pub(super) async fn serve(self, stream: DuplexStream) {
        let (reader, mut writer) = split(stream);
        let (replies, mut queue): (UnboundedSender<Reply>, UnboundedReceiver<_>) =
            mpsc::unbounded_channel();
        let writing = async {
            while let Some(reply) = queue.recv().await {
                let mut bytes = Vec::new();
                reply.encode(&mut bytes);
                if writer.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        };
        let answering = async {
            let mut reader = BufReader::new(reader);
            while let Some(call) = read_call(&mut reader).await {
                let reply = self.answer(&call, &replies).await;
                let _ = replies.send(reply);
            }
        };
        tokio::select! {
            () = writing => {}
            () = answering => {}
        }
    }

    async fn answer(&self, call: &[Vec<u8>], replies: &UnboundedSender<Reply>) -> Reply {
        let arg = |at: usize| text(&call[at]);
        match arg(0) {
            "HELLO" => Reply::List(Vec::new()),
            "CLIENT" => Reply::Okay,
            "INFO" => bulk("redis_version:7.2.0\r\n"),
            "TIME" => {
                let micros = self.model().now() * 1_000;
                let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
                Reply::List(vec![bulk(seconds.to_string()), bulk(micros.to_string())])
            }
            "SCRIPT" => {
                self.state().has_script = true;
                bulk(redis::Script::new(arg(2)).get_hash())
            }
            "EVALSHA" if !self.state().has_script => Reply::Error("NOSCRIPT no such script"),
            "EVALSHA" => self.commit(call),
            "GET" => self.get(arg(1)).await,
            // SCAN finds no records, so nobody asks for the lifetime of one.
            "PTTL" => Reply::Number(-1),
            "SCAN" => Reply::List(vec![bulk("0"), Reply::List(Vec::new())]),
            "PUBSUB" => {
                let state = self.state();
                Reply::List(state.subscribers.keys().map(bulk).collect())
            }
            "SET" => {
                let lifetime = Duration::from_millis(arg(4).parse().expect("a lifetime"));
                let ends = Instant::now() + lifetime;
                self.state().strings.insert(arg(1).to_owned(), (arg(2).to_owned(), ends));
                self.replicate(None);
                Reply::Okay
            }
            "WAIT" => self.wait(arg(1).parse().expect("a number"), arg(2)).await,
            "SSUBSCRIBE" => {
                let channel = arg(1).to_owned();
                let mut state = self.state();
                state.subscribers.entry(channel).or_default().push(replies.clone());
                Reply::Push(vec![bulk("ssubscribe"), bulk(arg(1)), Reply::Number(1)])
            }
            "ZRANGEBYSCORE" | "ZREVRANGEBYSCORE" => {
                let number = |at: usize| arg(at).parse().expect("a number");
                let (order, min, max) = match arg(0) {
                    "ZRANGEBYSCORE" => (Order::LowestFirst, number(2), number(3)),
                    _ => (Order::HighestFirst, number(3), number(2)),
                };
                let (partition, name) = parse_key(arg(1));
                let limit = arg(7).parse().expect("a limit");
                let read = Read::Set { set: name.to_owned(), min, max, limit, order };
                self.read(partition, read).await
            }
            "EVAL_RO" => {
                let (partition, name) = parse_key(arg(3));
                let (after, limit) = (arg(4).parse(), arg(5).parse());
                let (after, limit) = (after.expect("a seq"), limit.expect("a limit"));
                self.read(partition, Read::Log { log: name.to_owned(), after, limit }).await
            }
            other => panic!("the server doesn't know {other}"),
        }
    }

    async fn get(&self, key: &str) -> Reply {
        if let Some((value, ends)) = self.state().strings.get(key) {
            return if *ends > Instant::now() { bulk(value) } else { Reply::Nil };
        }
        let (partition, name) = parse_key(key);
        match self.read(partition, Read::Record(name.to_owned())).await {
            Reply::Nil => self.read(partition, Read::Count(name.to_owned())).await,
            record => record,
        }
    }

    async fn read(&self, partition: Partition, read: Read) -> Reply {
        let found = self.model().load(partition, &[read]).await;
        match found.expect("the model answers").pop() {
            Some(Found::Record(record)) => stored(record.as_ref()),
            Some(Found::Count(0)) | None => Reply::Nil,
            Some(Found::Count(count)) => bulk(count.to_string()),
            Some(Found::Set(members)) => {
                let pairs = members.into_iter();
                Reply::List(pairs.flat_map(|m| [bulk(m.name), bulk(m.score.to_string())]).collect())
            }
            Some(Found::Log(entries)) => {
                let entries = entries.into_iter();
                let stored = |(seq, entry): (u64, bytes::Bytes)| {
                    Reply::Bulk([seq.to_string().as_bytes(), b" ", &entry[..]].concat())
                };
                Reply::List(entries.map(stored).collect())
            }
        }
    }

    /// Runs the commit script.
    fn commit(&self, call: &[Vec<u8>]) -> Reply {
        let call = script::Call::decode(call);
        let commit = self.model().apply(&call.batch);
        if commit == Commit::Applied {
            self.publish(&call.batch);
            self.replicate(Some(call.batch.clone()));
        }
        call.reply(&commit)
    }

    fn publish(&self, batch: &Batch) {
        let mut state = self.state();
        for write in &batch.writes {
            let Write::Publish { topic: channel, payload } = write else { continue };
            let Some(subscribers) = state.subscribers.get_mut(channel) else { continue };
            let push = || vec![bulk("smessage"), bulk(channel), Reply::Bulk(payload.to_vec())];
            subscribers.retain(|subscriber| subscriber.send(Reply::Push(push())).is_ok());
        }
    }

    fn replicate(&self, batch: Option<Batch>) {
        let mut state = self.state();
        state.replica.written += 1;
        let arrives = Instant::now() + state.distance;
        let _ = state.replica.stream.send((arrives, batch));
    }

    /// Waits until the replica has said that it has everything.
    async fn wait(&self, needed: usize, patience: &str) -> Reply {
        let (mut arrived, written, distance) = {
            let state = self.state();
            (state.replica.arrived.clone(), state.replica.written, state.distance)
        };
        let patience = Duration::from_millis(patience.parse().expect("a time"));
        let waiting = async {
            let has_all = arrived.wait_for(|count| *count >= written).await.is_ok();
            sleep(distance).await;
            has_all
        };
        let has_all = needed > 0 && timeout(patience, waiting).await == Ok(true);
        Reply::Number(has_all.into())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a record as the store keeps it in Redis.
fn stored(record: Option<&Record>) -> Reply {
    record.map_or(Reply::Nil, |record| bulk(format!("{:016x} {}", record.version, record.body)))
}

/// Returns the partition and the name in a key.
fn parse_key(key: &str) -> (Partition, &str) {
    let key = key.strip_prefix(PREFIX).and_then(|key| key.strip_prefix(":{"));
    let (partition, name) = key.and_then(|key| key.split_once("}:")).expect("a key of ours");
    (partition.parse().expect("a partition"), name)
}
