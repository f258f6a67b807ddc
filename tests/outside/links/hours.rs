//! Hours of a link: outside them, a visitor is told what the owner says.

use arizuko_tests::prelude::*;
use std::time::SystemTime;

const AWAY: &str = "We're <back> tomorrow at 9.";

#[apply(embedded_and_pair)]
async fn outside_of_its_hours_a_link_takes_messages_and_says_when_it_is_back(kind: Kind) {
    let stack = Stack::with(kind, &[("ARIZUKO_TURN_DEADLINE", "1s")]).await;
    let link = stack.issue("acme").await;
    let visitor = stack.visitor(&link, B);
    let edit = async |hours: &str| {
        let edit = ["token", "edit", &link.url, "--hours", hours, "--away", AWAY];
        stack.arizuko(&edit).await
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is after 1970");
    let hour = now.as_secs() / 3_600 % 24;
    let (from, to) = ((hour + 2) % 24, (hour + 3) % 24);
    for (hours, away, error) in [
        (format!("Mo-Su {from}-{to} Etc/UTC"), true, AWAY),
        ("0-24 Europe/Berlin".to_owned(), false, "Nobody was there to answer in time."),
    ] {
        edit(&hours).await.expect(0);
        let config = visitor.get("config").await.expect(200).json();
        assert_eq!(config["away"]["text"] == AWAY, away, "{config}");
        if away {
            let until = config["away"]["until"].as_str().expect("a time");
            assert!(until.contains(&format!("T{from:02}:00:00")), "{until}");
        }
        let page = visitor.get("").await.expect(200).text();
        assert_eq!(page.contains("We&#39;re &lt;back&gt; tomorrow"), away, "{page}");
        let posted = visitor.say("is anybody there?").await;
        assert_eq!(visitor.end_of(&posted.turn).await["error"], error);
    }
    for (hours, told) in [("Mo-Fr 9-17", "time zone"), ("Mo-Fr UTC", "hours look like")] {
        let refused = edit(hours).await.expect(1);
        assert!(refused.err.contains(told), "{refused:?}");
    }
}
