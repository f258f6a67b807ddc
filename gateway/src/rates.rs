//! How many requests each address may make.

use crate::{address::Visitor, gateway::Gateway, problem::Problem};
use arizuko_proto::v1 as pb;
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use lru::LruCache;
use std::{
    net::IpAddr,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many addresses to remember: the ones that were last seen.
const ADDRESSES: NonZero<usize> = NonZero::new(65_536).unwrap();
/// How many requests one with a wrong token counts as.
const WRONG_TOKEN: u32 = 30;

/// How many requests one counts as that repeats a message: it costs as much as the first.
const REPEAT: u32 = 10;

/// The rates of all addresses, by GCRA.
pub(crate) struct Rates {
    /// The time in which one more request is allowed.
    each: Duration,
    /// How far ahead an address may be.
    burst: Duration,
    /// When each address will have used no more than its rate.
    even_at: Mutex<LruCache<IpAddr, Instant>>,
}

impl Rates {
    /// Allows so many requests of one address in a minute, half of them at once.
    pub(crate) fn new(per_minute: u32) -> Self {
        let minute = Duration::from_secs(60);
        let even_at = Mutex::new(LruCache::new(ADDRESSES));
        Self { each: minute / per_minute.max(1), burst: minute / 2, even_at }
    }

    /// Counts a request, or refuses it.
    fn take(&self, address: IpAddr) -> Result<(), Problem> {
        let now = Instant::now();
        let mut even_at = self.even_at();
        let at = even_at.get(&address).map_or(now, |at| now.max(*at)) + self.each;
        let early = at.saturating_duration_since(now + self.burst);
        if !early.is_zero() {
            return Err(Problem::too_many_requests(early));
        }
        even_at.put(address, at);
        Ok(())
    }

    /// Counts what a message costs beyond its request, if it came before: then no limit of its link
    /// counts it.
    pub(crate) fn charge_repeat(&self, posted: &pb::PostMessageResponse, address: IpAddr) {
        if posted.repeated {
            self.charge(address, REPEAT - 1);
        }
    }

    /// Counts more requests, without a refusal.
    fn charge(&self, address: IpAddr, requests: u32) {
        let now = Instant::now();
        let mut even_at = self.even_at();
        let at = even_at.get(&address).map_or(now, |at| now.max(*at)) + self.each * requests;
        even_at.put(address, at);
    }

    fn even_at(&self) -> MutexGuard<'_, LruCache<IpAddr, Instant>> {
        // Nothing under the lock panics half way.
        self.even_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses requests of an address that makes too many, before anything is done for them.
pub(crate) async fn limit_requests(
    State(gateway): State<Arc<Gateway>>,
    Visitor(address): Visitor,
    request: Request,
    next: Next,
) -> Response {
    if let Err(problem) = gateway.rates.take(address) {
        return problem.into_response();
    }
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        gateway.rates.charge(address, WRONG_TOKEN);
    }
    response
}
