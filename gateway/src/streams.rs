//! The limit of open event streams for each address. Requests that wait count as streams.

use crate::problem::Problem;
use arizuko_proto::telemetry::metrics::Share;
use prometheus_client::metrics::gauge::Gauge;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The open event streams of all addresses.
pub(crate) struct Streams {
    /// How many streams one address may have open.
    limit: usize,
    /// How many streams each address has open. An address without streams has no entry, so the map
    /// is no larger than the number of streams.
    open: Mutex<HashMap<IpAddr, usize>>,
    gauge: Gauge,
}

/// An open stream. It counts until this is dropped.
pub(crate) struct OpenStream {
    streams: Arc<Streams>,
    address: IpAddr,
    _share: Share,
}

impl Streams {
    pub(crate) fn new(limit: usize, gauge: Gauge) -> Arc<Self> {
        Arc::new(Self { limit, open: Mutex::default(), gauge })
    }

    /// Counts a new stream of this address, or refuses it at the limit.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr) -> Result<OpenStream, Problem> {
        let mut open = self.lock();
        let count = open.entry(address).or_default();
        if *count >= self.limit {
            return Err(Problem::too_many_streams());
        }
        *count += 1;
        Ok(OpenStream { streams: Arc::clone(self), address, _share: Share::of(&self.gauge, 1) })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut open = self.streams.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}
