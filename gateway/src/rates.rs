//! How many requests each address may make.

use crate::problem::Problem;
use arizuko_proto::v1 as pb;
use lru::LruCache;
use std::{
    net::IpAddr,
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How many addresses to remember. Beyond that, those seen longest ago are forgotten.
const ADDRESSES: NonZero<usize> = NonZero::new(65_536).unwrap();
/// A request with a wrong token, signature or JWT counts as this many requests.
const WRONG_TOKEN: u32 = 30;
/// A request that repeats a message counts as this many requests, because it is as much work as the
/// first one.
const REPEAT: u32 = 10;
/// A message that is refused with a challenge counts as this many requests, since a challenge costs
/// control about as much as a message.
const CHALLENGE: u32 = 10;

/// The rates of all addresses, by GCRA.
pub(crate) struct Rates {
    /// How long it takes until an address has one more request: GCRA's emission interval.
    each: Duration,
    /// How far ahead of the clock `even_at` of an address may be.
    burst: Duration,
    /// When each address will be back within its rate, if it makes no further request.
    even_at: Mutex<LruCache<IpAddr, Instant>>,
}

impl Rates {
    /// Allows one address `per_minute` requests in a minute, at most half of them at once.
    pub(crate) fn new(per_minute: u32) -> Self {
        let minute = Duration::from_secs(60);
        let even_at = Mutex::new(LruCache::new(ADDRESSES));
        Self { each: minute / per_minute.max(1), burst: minute / 2, even_at }
    }

    /// Counts a request, or refuses it. Returns how many more the address may make at once, and
    /// when it will be back within its rate.
    pub(crate) fn take(&self, address: IpAddr) -> Result<(u64, Duration), Problem> {
        let now = Instant::now();
        let mut even_at = self.even_at();
        let at = even_at.get(&address).map_or(now, |at| now.max(*at)) + self.each;
        let early = at.saturating_duration_since(now + self.burst);
        if !early.is_zero() {
            return Err(Problem::too_many_requests(early));
        }
        even_at.put(address, at);
        let left = (now + self.burst).saturating_duration_since(at);
        let left = u64::try_from(left.as_nanos() / self.each.as_nanos().max(1)).unwrap_or(u64::MAX);
        Ok((left, at.saturating_duration_since(now)))
    }

    /// Returns the rate limit headers of an answer, as the IETF's draft defines them.
    pub(crate) fn headers(&self, (left, full): (u64, Duration)) -> [(&'static str, String); 2] {
        let most = self.burst.as_nanos() / self.each.as_nanos().max(1);
        let (window, full) = (self.burst.as_secs(), full.as_millis().div_ceil(1000));
        [
            ("ratelimit-policy", format!(r#""requests";q={most};w={window}"#)),
            ("ratelimit", format!(r#""requests";r={left};t={full}"#)),
        ]
    }

    /// Counts a repeat of a message as [`REPEAT`] requests in all, because no limit of its link
    /// counts it.
    pub(crate) fn charge_repeat(&self, posted: &pb::PostMessageResponse, address: IpAddr) {
        if posted.repeated {
            self.charge(address, REPEAT - 1);
        }
    }

    /// Counts a request with a wrong token, signature or JWT as [`WRONG_TOKEN`] requests in all.
    /// [`Self::take`] has counted it once.
    pub(crate) fn charge_wrong_token(&self, address: IpAddr) {
        self.charge(address, WRONG_TOKEN - 1);
    }

    /// Counts a request that was answered with a challenge as [`CHALLENGE`] requests in all.
    /// [`Self::take`] has counted it once.
    pub(crate) fn charge_challenge(&self, address: IpAddr) {
        self.charge(address, CHALLENGE - 1);
    }

    /// Counts further requests without refusing any.
    fn charge(&self, address: IpAddr, requests: u32) {
        let now = Instant::now();
        let mut even_at = self.even_at();
        let at = even_at.get(&address).map_or(now, |at| now.max(*at)) + self.each * requests;
        even_at.put(address, at);
    }

    fn even_at(&self) -> MutexGuard<'_, LruCache<IpAddr, Instant>> {
        // Nothing that can panic runs under this lock.
        self.even_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
