//! The way from one control to the store: it can be slow, silent, or lose answers, and it ends when
//! its control is killed.

use crate::store::{
    Batch, Commit, Found, Member, Millis, Partition, Read, Scanned, Store, StoreError,
    Subscription,
    channels::{self, Channels},
    model::{Model, published},
    steady::{Reading, Steady},
};
use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use std::{
    future::pending,
    ops::RangeInclusive,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    time::{Instant, sleep},
};

/// When a run begins, in milliseconds since 1970: 15 seconds before midnight.
const EPOCH: Millis = 20_834 * 86_400_000 - 15_000;
/// How often a control asks for the store's time.
const INTERVAL: Duration = Duration::from_secs(1);
/// How exact an answer is, in microseconds.
const SLACK: i64 = 2_000;
/// How long a control waits for an answer of the store, as it does for Redis.
const PATIENCE: Duration = Duration::from_millis(2_000);

/// The store that all controls share, and their ways to it.
#[derive(Clone)]
pub(super) struct Sea {
    pub(super) model: Arc<Model>,
    ways: Arc<Mutex<Vec<Way>>>,
    begun: Instant,
    /// How far the controls' clocks are ahead of the store's since it jumped, in microseconds.
    ahead: Arc<AtomicI64>,
}

/// One control's way to the store.
#[derive(Clone)]
pub(super) struct Way {
    sea: Sea,
    channels: Arc<Channels>,
    wakes: UnboundedSender<(Partition, String, Bytes)>,
    state: Arc<Mutex<State>>,
}

struct State {
    rng: Rng,
    clock: Steady,
    /// When the control asked for the time.
    asked: Instant,
    weather: Weather,
}

/// What happens to the calls on a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    Fair,
    /// Each call takes up to half a second.
    Slow,
    /// One commit in four is done, but its answer is lost.
    Lossy,
    /// No call arrives, except that some commits arrive after the control has given up on them.
    Silent,
    /// The control is dead: whatever was under way never goes on.
    Over,
}

impl Sea {
    pub(super) fn new() -> Self {
        let (model, begun) = (Arc::new(Model::new(EPOCH)), Instant::now());
        Self { model, ways: Arc::default(), begun, ahead: Arc::default() }
    }

    /// Returns how long the run has lasted, in microseconds.
    fn uptime(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// Asks the store for its time. The answer is late or early by at most [`SLACK`].
    fn reading(&self, rng: &mut Rng) -> Reading {
        let said = i64::try_from(self.model.now()).unwrap_or(i64::MAX) * 1_000;
        Reading { said: said + rng.i64(-SLACK..SLACK), at: self.uptime(), slack: SLACK }
    }

    pub(super) fn open(&self, mut rng: Rng) -> Way {
        let (wakes, mut published) = mpsc::unbounded_channel::<(Partition, String, Bytes)>();
        let mut delays = rng.fork();
        let clock = Steady::begin(self.reading(&mut rng), self.ahead.load(Relaxed));
        let state = State { rng, clock, asked: Instant::now(), weather: Weather::Fair };
        let state = Arc::new(Mutex::new(state));
        let channels = Arc::new(Channels::default());
        let way = Way { sea: self.clone(), channels, wakes, state };
        let receiver = way.clone();
        tokio::spawn(async move {
            while let Some((partition, topic, payload)) = published.recv().await {
                sleep(Duration::from_micros(delays.u64(..3_000))).await;
                if matches!(receiver.weather(), Weather::Silent | Weather::Over) {
                    continue;
                }
                let channel = channels::channel(partition, &topic);
                receiver.channels.publish(&channel, &topic, payload);
            }
        });
        self.ways().push(way.clone());
        way
    }

    fn apply(&self, batch: &Batch) -> Commit {
        let commit = self.model.apply(batch);
        if commit == Commit::Applied {
            for (topic, payload) in published(batch) {
                for way in self.ways().iter() {
                    let wake = (batch.partition, topic.to_owned(), payload.clone());
                    let _ = way.wakes.send(wake);
                }
            }
        }
        commit
    }

    fn ways(&self) -> MutexGuard<'_, Vec<Way>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    /// Changes the weather. Whoever waited for wake-ups in a silence learns that some were missed.
    pub(super) fn set(&self, weather: Weather) {
        let before = {
            let mut state = self.state();
            if state.weather == Weather::Over {
                return;
            }
            std::mem::replace(&mut state.weather, weather)
        };
        if before == Weather::Silent {
            self.channels.gap();
        }
        if weather == Weather::Over {
            self.sea.ways().retain(|way| !Arc::ptr_eq(&way.state, &self.state));
        }
    }

    fn weather(&self) -> Weather {
        self.state().weather
    }

    /// Takes a message on its way, or gives up.
    async fn carry(&self) -> Result<(), StoreError> {
        let delay = {
            let State { rng, weather, .. } = &mut *self.state();
            let most = if *weather == Weather::Slow { 250_000 } else { 1_500 };
            Duration::from_micros(rng.u64(..most))
        };
        sleep(delay).await;
        match self.weather() {
            Weather::Over => pending().await,
            Weather::Silent => {
                sleep(PATIENCE).await;
                match self.weather() {
                    Weather::Over => pending().await,
                    _ => Err(StoreError::Unavailable("the way is silent".to_owned())),
                }
            }
            _ => Ok(()),
        }
    }

    /// Returns a number below `sides`.
    fn roll(&self, sides: u64) -> u64 {
        self.state().rng.u64(..sides)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Way {
    fn describe(&self) -> String {
        self.sea.model.describe()
    }

    fn now(&self) -> Millis {
        let State { rng, clock, asked, .. } = &mut *self.state();
        if asked.elapsed() >= INTERVAL {
            *asked = Instant::now();
            let ahead = clock.hear(self.sea.reading(rng));
            self.sea.ahead.store(ahead.unwrap_or_default(), Relaxed);
        }
        clock.now(self.sea.uptime())
    }

    async fn load(&self, partition: Partition, reads: &[Read]) -> Result<Vec<Found>, StoreError> {
        self.carry().await?;
        let found = self.sea.model.load(partition, reads).await?;
        self.carry().await?;
        Ok(found)
    }

    async fn commit(&self, batch: &Batch) -> Result<Commit, StoreError> {
        let unknown = || StoreError::Unknown("the answer is lost".to_owned());
        if let Err(error) = self.carry().await {
            if self.roll(3) > 0 {
                return Err(error);
            }
            let (sea, batch, late) = (self.sea.clone(), batch.clone(), self.roll(3_000));
            tokio::spawn(async move {
                sleep(Duration::from_millis(late)).await;
                sea.apply(&batch);
            });
            return Err(unknown());
        }
        let commit = self.sea.apply(batch);
        if self.weather() == Weather::Lossy && self.roll(4) == 0 {
            sleep(PATIENCE).await;
            return Err(unknown());
        }
        self.carry().await.map_err(|_| unknown())?;
        Ok(commit)
    }

    async fn gather(
        &self,
        name: &str,
        partitions: Partition,
        scores: RangeInclusive<u64>,
        limit: u32,
    ) -> Result<Vec<(Partition, Member)>, StoreError> {
        self.carry().await?;
        self.sea.model.gather(name, partitions, scores, limit).await
    }

    async fn scan(
        &self,
        kinds: &[&str],
        pages: mpsc::Sender<Vec<Scanned>>,
    ) -> Result<(), StoreError> {
        self.carry().await?;
        self.sea.model.scan(kinds, pages).await
    }

    async fn watch(&self, partition: Partition, topic: &str) -> Result<Subscription, StoreError> {
        self.carry().await?;
        Ok(self.channels.watch(&channels::channel(partition, topic), topic))
    }
}
