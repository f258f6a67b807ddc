//! Reads request bodies, and limits how many bytes of bodies and of long answers are held at a
//! time.

use crate::problem::Problem;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How many long answers to one address may be made at a time, at least.
const ANSWERS: usize = 16;
/// The most bytes that an answer counts as until it is ready: the length of the longest reply.
const EXPECTED: usize = 4 << 20;
/// How many requests of an address may wait until the address holds fewer bytes.
const WAITING: usize = 32;
/// How long such a request may wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts the bytes of the bodies that are held, in all and by address.
pub(crate) struct Bodies {
    most: usize,
    per_address: usize,
    /// How long a body may take to arrive.
    deadline: Duration,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    bytes: usize,
    /// An address that holds no bytes and has no waiting requests has no entry.
    by_address: HashMap<IpAddr, OfAddress>,
}

#[derive(Default)]
struct OfAddress {
    bytes: usize,
    /// How many requests wait for the address to hold less.
    waiting: usize,
    /// Wakes the waiting requests.
    freed: Arc<Notify>,
}

/// The bytes of one body. They count until this is dropped.
pub(crate) struct Share {
    bodies: Arc<Bodies>,
    address: IpAddr,
    bytes: usize,
}

impl Bodies {
    /// Allows `most` bytes in all, and `per_address` from one address. A body may take up to
    /// `deadline` to arrive.
    pub(crate) fn new(most: usize, per_address: usize, deadline: Duration) -> Arc<Self> {
        Arc::new(Self { most, per_address, deadline, held: Mutex::default() })
    }

    /// Returns a share of an address, with no bytes yet.
    pub(crate) fn share(self: &Arc<Self>, address: IpAddr) -> Share {
        Share { bodies: Arc::clone(self), address, bytes: 0 }
    }

    /// Returns how many bytes an answer counts as until it is ready, so that only a few answers of
    /// an address are made at a time.
    pub(crate) fn expected(&self) -> usize {
        EXPECTED.min(self.per_address / ANSWERS)
    }

    /// Reads a request body of at most `limit` bytes from an address. If the body is refused, the
    /// listener reads and drops the rest.
    pub(crate) async fn read(
        self: &Arc<Self>,
        address: IpAddr,
        body: Body,
        limit: usize,
    ) -> Result<(Bytes, Share), Problem> {
        let mut share = self.share(address);
        let read = timeout(self.deadline, read_up_to(body, limit, &mut share)).await;
        let bytes = read.unwrap_or_else(|_| Err(Problem::body_too_slow()))?;
        Ok((bytes, share))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Nothing that can panic runs under this lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read_up_to(mut body: Body, limit: usize, share: &mut Share) -> Result<Bytes, Problem> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::invalid("The connection broke in the middle of the request's body.")
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(Problem::body_too_large(limit));
        }
        share.grow(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole.into())
}

impl Share {
    /// Counts more bytes, which the caller is about to hold.
    ///
    /// # Errors
    /// The address, or all addresses together, would hold more than they may.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut held = self.bodies.held();
        let of_address = held.by_address.get(&self.address).map_or(0, |it| it.bytes) + bytes;
        if of_address > self.bodies.per_address {
            return Err(Problem::too_many_bodies());
        }
        // An address may hold no more than it leaves free, so a short body of another address
        // always fits.
        if of_address > self.bodies.most.saturating_sub(held.bytes + bytes) {
            return Err(Problem::busy());
        }
        held.by_address.entry(self.address).or_default().bytes = of_address;
        held.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Like [`grow`](Self::grow), but if the address holds too much, waits a moment for it to hold
    /// less, unless many of its requests wait already.
    ///
    /// # Errors
    /// As for [`grow`](Self::grow).
    pub(crate) async fn grow_soon(&mut self, bytes: usize) -> Result<(), Problem> {
        let refused = match self.grow(bytes) {
            Err(problem) if !problem.is_outage() => problem,
            grown => return grown,
        };
        let Some(waiting) = Waiting::begin(&self.bodies, self.address) else {
            return Err(refused);
        };
        let growing = async {
            loop {
                // Created before the next try, so that it notices bytes that are freed right after
                // the try.
                let freed = waiting.freed.notified();
                match self.grow(bytes) {
                    Err(problem) if !problem.is_outage() => freed.await,
                    grown => return grown,
                }
            }
        };
        timeout(PATIENCE, growing).await.unwrap_or(Err(refused))
    }

    /// Changes how many bytes are counted. If there are more than before, waits a moment for room,
    /// as [`grow_soon`](Self::grow_soon) does. Meanwhile, the earlier count stays.
    ///
    /// # Errors
    /// As for [`grow`](Self::grow).
    pub(crate) async fn resize_soon(&mut self, bytes: usize) -> Result<(), Problem> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.grow_soon(more).await,
            None => {
                self.shrink(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Stops counting bytes that the caller no longer holds.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let mut held = self.bodies.held();
        held.bytes -= bytes;
        self.bytes -= bytes;
        held.change(self.address, |of_address| {
            of_address.bytes -= bytes;
            of_address.freed.notify_waiters();
        });
    }
}

impl Held {
    /// Changes an address's entry, and drops it once it has no use.
    fn change(&mut self, address: IpAddr, change: impl FnOnce(&mut OfAddress)) {
        if let Some(of_address) = self.by_address.get_mut(&address) {
            change(of_address);
            if of_address.bytes == 0 && of_address.waiting == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

/// A request that waits until its address holds less.
struct Waiting {
    bodies: Arc<Bodies>,
    address: IpAddr,
    freed: Arc<Notify>,
}

impl Waiting {
    /// Counts a waiting request; `None` if no more may wait.
    fn begin(bodies: &Arc<Bodies>, address: IpAddr) -> Option<Self> {
        let mut held = bodies.held();
        let of_address = held.by_address.entry(address).or_default();
        if of_address.waiting == WAITING {
            return None;
        }
        of_address.waiting += 1;
        let (bodies, freed) = (Arc::clone(bodies), Arc::clone(&of_address.freed));
        Some(Self { bodies, address, freed })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bodies.held().change(self.address, |of_address| of_address.waiting -= 1);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn bodies_count_in_all_and_by_address_until_they_are_dropped() {
        let bodies = Bodies::new(200, 60, PATIENCE);
        let [one, other, third, fourth] = [1, 2, 3, 4].map(|n| IpAddr::from([192, 0, 2, n]));
        let read = async |address: IpAddr, bytes: usize| {
            let read = bodies.read(address, Body::from(vec![0; bytes]), 50).await;
            read.map(|(_, share)| share)
                .map_err(|problem| problem.into_response().status().as_u16())
        };
        assert_eq!(read(one, 51).await.err(), Some(413));
        let held = [read(one, 50).await.unwrap(), read(one, 10).await.unwrap()];
        assert_eq!(read(one, 1).await.err(), Some(429));
        let held = (held, read(other, 50).await.unwrap(), read(third, 45).await.unwrap());
        // 45 bytes are left, and the third has as many.
        assert_eq!(read(third, 1).await.err(), Some(503));
        let held = (held, read(fourth, 20).await.unwrap());
        drop(held);
        assert!(bodies.held().bytes == 0 && bodies.held().by_address.is_empty());
        assert!(read(one, 50).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_waits_until_its_address_holds_less() {
        let bodies = Bodies::new(200, 60, PATIENCE);
        let address = IpAddr::from([192, 0, 2, 1]);
        let grown = async || {
            let mut share = bodies.share(address);
            share.grow_soon(60).await.map(|()| share)
        };
        let first = grown().await.unwrap();
        // The second one waits before the first one ends.
        let ending = async { drop(first) };
        let (second, ()) = tokio::join!(grown(), ending);
        let waiting: Vec<_> =
            (0..WAITING).map(|_| Waiting::begin(&bodies, address).unwrap()).collect();
        assert!(grown().now_or_never().is_some_and(|grown| grown.is_err()), "too many wait");
        drop((second.unwrap(), waiting));
        assert!(bodies.held().by_address.is_empty());
    }
}
