//! `arizuko token stats`: what tokens did, by day.

use crate::{console::Console, control::Control, table::Spare};
use arizuko_proto::v1::{GetTokenStatsRequest, TokenDay, TokenTarget, token_target::Target};
use jiff::Timestamp;

/// How wide the longest bar is, in characters.
const WIDTH: u64 = 20;

pub(super) async fn run(
    target: Target,
    days: u32,
    control: &Control,
    json: bool,
    console: &mut Console<'_>,
) -> anyhow::Result<()> {
    let target = Some(TokenTarget { target: Some(target) });
    let request = GetTokenStatsRequest { target, days };
    let stats = control.answer(control.tokens().await?.get_token_stats(request).await)?;
    if json {
        return console.message(&stats);
    }
    let most = stats.days.iter().map(|day| day.turns).max().unwrap_or(0);
    let head =
        ["DAY", "VISITORS", "TURNS", "", "FIRST FRAME", "FAILED", "REFUSED", "TOKENS", "THUMBS"];
    let rows = stats.days.into_iter().map(|day| row(day, most));
    console.table(head, rows.collect(), Spare { cut: None, drop: &["", "REFUSED"] })
}

fn row(day: TokenDay, most: u64) -> [String; 9] {
    let date = day.day.and_then(|at| Timestamp::new(at.seconds, at.nanos).ok());
    let date = date.map_or_else(String::new, |at| at.strftime("%Y-%m-%d").to_string());
    let first_frame = day.first_frame.map_or_else(String::new, |wait| {
        format!("{:.1} s", wait.seconds as f64 + f64::from(wait.nanos) / 1e9)
    });
    let [visitors, turns, failed, refused, tokens] =
        [day.visitors, day.turns, day.failed, day.refused, day.tokens].map(|n| n.to_string());
    let thumbs = match (day.thumbs_up, day.thumbs_down) {
        (0, 0) => String::new(),
        (up, down) => format!("{up} up, {down} down"),
    };
    [date, visitors, turns, bar(day.turns, most), first_frame, failed, refused, tokens, thumbs]
}

/// Returns a bar whose length is `count` in proportion to `most`; at least one character unless
/// `count` is 0.
fn bar(count: u64, most: u64) -> String {
    let length = (count * WIDTH).div_ceil(most.max(1));
    "█".repeat(usize::try_from(length).unwrap_or_default())
}
