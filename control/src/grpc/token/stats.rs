//! What is counted for tokens each day: turns, visitors and more.

use super::super::{Service, wire};
use crate::{
    key::Caller,
    ledger::Error,
    refusal::Refusal,
    time::{Day, Time},
    token::Token,
    turn::daily::{Counted, KEPT_DAYS},
};
use arizuko_proto::v1;
use std::time::Duration;

const DEFAULT_DAYS: u32 = 7;
/// How many tokens' counts one call adds up, at most.
const MOST_TOKENS: usize = 100;

impl Service {
    /// Returns the counts of the tokens, added up. Ignores tokens that are not live or that the
    /// caller does not reach.
    pub(super) async fn stats(
        &self,
        caller: &Caller,
        request: v1::GetTokenStatsRequest,
    ) -> Result<v1::GetTokenStatsResponse, Error> {
        let number = match request.days {
            0 => DEFAULT_DAYS,
            days => days.min(KEPT_DAYS),
        };
        let (ledger, now) = (&self.control.ledger, self.control.ledger.now());
        let days: Vec<Day> =
            (0..u64::from(number)).rev().map(|ago| now.day().before(ago)).collect();
        let mut sums = vec![[0_u64; Counted::ALL.len()]; days.len()];
        for (partition, ids) in self.named(request.target).await? {
            if ids.len() > MOST_TOKENS {
                let why = format!("name one of the JID's links: it has more than {MOST_TOKENS}");
                return Err(Refusal::LimitReached(why).into());
            }
            let tokens = ledger.records::<Token>(partition, &ids).await?.into_iter().flatten();
            let is_seen =
                |token: &Token| token.is_live(now) && caller.must_reach(&token.owner).is_ok();
            for token in tokens.filter(is_seen) {
                let names =
                    days.iter().flat_map(|day| Counted::ALL.map(|what| what.of(&token.id, *day)));
                let counts = ledger.counts(partition, names).await?;
                for (sum, count) in sums.as_flattened_mut().iter_mut().zip(counts) {
                    *sum += count;
                }
            }
        }
        let days = days.into_iter().zip(sums).map(|(day, counts)| shown(day.begin(), counts));
        Ok(v1::GetTokenStatsResponse { days: days.collect() })
    }
}

fn shown(day: Time, counts: [u64; Counted::ALL.len()]) -> v1::TokenDay {
    let [turns, visitors, answered, first_frames, failed, refused, tokens, thumbs_up, thumbs_down] =
        counts;
    let first_frame = first_frames.checked_div(answered).map(Duration::from_millis);
    v1::TokenDay {
        day: Some(wire::timestamp(day)),
        visitors,
        turns,
        answered,
        first_frame: first_frame.and_then(wire::duration),
        failed,
        refused,
        tokens,
        thumbs_up,
        thumbs_down,
    }
}
