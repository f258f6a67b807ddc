//! Stores that earlier versions wrote, opened by this version.

use arizuko_tests::prelude::*;
use old_store::OldStore;
use reqwest::Response;

mod old_store;

/// The schemas of the stores in `tests/data`.
const SCHEMAS: [u32; 7] = [2, 3, 4, 5, 6, 7, 8];
/// How many records to add, so that an upgrade takes long enough to be killed half way.
const COPIES: u32 = 20_000;

fn last_word(line: &str) -> String {
    line.split_whitespace().last().unwrap_or_default().to_owned()
}

/// This version's control and gateway on an old store.
struct Served<'a> {
    store: &'a OldStore,
    control: Process,
    _gateway: Process,
    control_url: String,
    url: String,
}

impl<'a> Served<'a> {
    async fn start(store: &'a OldStore) -> Self {
        let mut control = Process::start("control", store.control(), &store.folder.logs());
        let control_url = last_word(&control.line().await);
        let mut gateway = store.program("arizuko-gateway");
        gateway.args(["--listen", "127.0.0.1:0", "--control", &control_url]);
        let mut gateway = Process::start("gateway", gateway, &store.folder.logs());
        let url = last_word(&gateway.line().await);
        Self { store, control, _gateway: gateway, control_url, url }
    }

    async fn get(&self, path: &str, accept: &str, after: &str) -> Response {
        let request = reqwest::Client::new().get(format!("{}{path}", self.url));
        let request = request.header("accept", accept);
        let request =
            if after.is_empty() { request } else { request.header("last-event-id", after) };
        request.send().await.expect("the gateway answers")
    }

    async fn json(&self, path: &str) -> Value {
        let answer = self.get(path, "application/json", "").await;
        assert_eq!(answer.status(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.expect("it is whole")).expect("it is JSON")
    }

    /// Returns the status of one of the turns that the store's contents name.
    async fn status(&self, link: &str, posted: &str) -> String {
        let (link, turn) = (self.store.text(link), &self.store.contents[posted]["turn"]);
        let turn = turn.as_str().expect("it was posted");
        let status = self.json(&format!("/chat/{link}/{turn}/status")).await;
        status["status"].as_str().expect("a status").to_owned()
    }

    async fn events(&self, link: &str, turn: &str, after: &str) -> Vec<Value> {
        let path = format!("/chat/{}/{turn}/sse", self.store.text(link));
        let answer = self.get(&path, "text/event-stream", after).await;
        let text = answer.text().await.expect("the stream ends");
        let blocks = text.split("\n\n").filter(|block| block.contains("data: "));
        let field = |block: &str, name: &str| {
            let mut lines = block.lines();
            let found = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or_default().to_owned()
        };
        let events = blocks.map(|block| {
            let data: Value = serde_json::from_str(&field(block, "data")).expect("it is JSON");
            json!([field(block, "id"), field(block, "event"), data])
        });
        events.collect()
    }

    async fn arizuko(&self, arguments: &[&str]) -> Value {
        let mut arizuko = self.store.program("arizuko");
        arizuko.env("ARIZUKO_CONTROL", &self.control_url).args(arguments).arg("--json");
        arizuko.env_remove("RUST_LOG");
        run(&mut arizuko, "").await.expect(0).json()
    }

    /// Asserts that links, keys, routes, the audit log and ended turns read as the old version left
    /// them.
    async fn reads_as_before(&self) {
        let contents = &self.store.contents;
        let link = self.store.text("link");
        let config = self.json(&format!("/chat/{link}/config")).await;
        assert_fields(&config, json!({ "name": "Acme", "greeting": "Hello" }));
        let conversation = contents["finished"]["conversation"].as_str().expect("an id");
        let history = self.json(&format!("/chat/{link}/c/{conversation}")).await;
        assert_eq!(history["turns"], contents["history"]);
        for (turn, replied) in contents["replies"].as_object().expect("by turn") {
            let replied = replied.as_array().expect("a list of events");
            assert_eq!(&self.events("link", turn, "").await, replied);
            let first = replied[0][0].as_str().expect("an id");
            assert_eq!(self.events("link", turn, first).await, replied[1..]);
        }
        for dead in ["revoked", "expired"] {
            let path = format!("/chat/{}/config", self.store.text(dead));
            assert_eq!(self.get(&path, "application/json", "").await.status(), 401, "{dead}");
        }
        assert_eq!(self.status("link", "cancelled").await, "cancelled");
        assert_eq!(self.status("watched", "observed").await, "observed");
        let hooked = contents["hooked"]["turn"].as_str().expect("it was posted");
        let hooked = format!("/hook/{}/{hooked}/status", self.store.text("hook"));
        assert_eq!(self.json(&hooked).await["status"], "done");

        let audit = self.arizuko(&["audit"]).await;
        let before = contents["audit"]["entries"].as_array().expect("a list");
        assert_eq!(&audit["entries"].as_array().expect("a list")[..before.len()], before);
        let before = &contents["tokens"]["tokens"];
        let mut tokens = Vec::new();
        for token in before.as_array().expect("a list") {
            let id = token["token_id"].as_str().expect("an id");
            tokens.push(self.arizuko(&["token", "show", id]).await["tokens"][0].clone());
        }
        assert_listed(&tokens.into(), before);
        let created = |list: &Value| {
            let keys = list["keys"].as_array().expect("a list").iter();
            keys.filter(|key| key["name"] != FROM_SETTINGS).cloned().collect::<Vec<_>>()
        };
        let keys = created(&self.arizuko(&["key", "list"]).await);
        assert_listed(&json!(keys), &json!(created(&contents["keys"])));
        let route = &self.arizuko(&["route", "explain", "web:acme/support"]).await["route"];
        assert_fields(
            route,
            json!({
                "prefix": "web:acme/support",
                "target": "acme/support",
                "persona": "concierge",
                "topic": "desk",
                "give_up": { "after": "86400s", "say": "Please write to us." },
            }),
        );
        assert_fields(
            &route["escalation"]["steps"][0],
            json!({ "to": "acme/people", "after": "120s", "say": "One moment." }),
        );
        let status = self.arizuko(&["status"]).await;
        assert_eq!(status["dropped"], json!([{ "jid": "web:acme/drop", "messages": 2 }]));
        self.shows_conversations().await;
    }

    /// Asserts that the conversations that the old version stored are listed and found.
    async fn shows_conversations(&self) {
        let contents = &self.store.contents;
        let listed = self.arizuko(&["conversation", "list", "acme"]).await;
        let listed = listed["conversations"].as_array().expect("a list");
        let times: Vec<_> = listed.iter().map(|one| one["active_at"].as_str()).collect();
        assert!(times.is_sorted_by(|one, next| one >= next), "{times:?}");
        for (posted, status) in [
            ("finished", "TURN_STATUS_DONE"),
            ("hooked", "TURN_STATUS_DONE"),
            ("cancelled", "TURN_STATUS_CANCELLED"),
            ("queued", "TURN_STATUS_QUEUED"),
            ("observed", "TURN_STATUS_OBSERVED"),
        ] {
            let own = contents[posted]["conversation"].as_str().expect("it was posted");
            let id = json!(public_id::conversation(own));
            let found = listed.iter().find(|found| found["conversation_id"] == id);
            assert_eq!(found.expect(posted)["status"], status, "{posted}");
            let turn = contents[posted]["turn"].as_str().expect("it was posted");
            let shown = self.arizuko(&["turn", "show", &public_id::turn(turn)]).await;
            assert_eq!(shown["conversation"]["conversation_id"], id);
        }
        let finished = contents["finished"]["conversation"].as_str().expect("it was posted");
        let shown = self.arizuko(&["conversation", "show", finished]).await;
        let turns = shown["turns"].as_array().expect("a list");
        let history = contents["history"].as_array().expect("a list");
        assert_eq!(turns.len(), history.len());
        assert_eq!(turns[0]["messages"][0]["content"], history[0]["user"]["content"]);
    }

    /// Starts an agent that writes each turn, as a JSON document, into a file that is named after
    /// its folder. Returns the agent and the file's path.
    fn agent(&self, folder: &str, key: &str) -> (Process, PathBuf) {
        let name = folder.replace('/', "-");
        let file = self.store.folder.path().join(&name);
        let mut agent = self.store.program("arizuko");
        agent.env("ARIZUKO_CONTROL", &self.control_url).env("ARIZUKO_KEY", key);
        agent.env("TURNS", &file).args(["agent", "exec", "--folder", folder, "--json"]);
        agent.args(["--", "sh", "-c", "cat >> $TURNS; echo >> $TURNS; echo answered"]);
        (Process::start(&name, agent, &self.store.folder.logs()), file)
    }
}

/// Asserts that tokens or keys are listed as before. The old `--json` had options beside the other
/// fields, and enums in lower case.
#[track_caller]
fn assert_listed(now: &Value, before: &Value) {
    let (now, before) = (now.as_array().expect("a list"), before.as_array().expect("a list"));
    assert_eq!(now.len(), before.len());
    for (now, before) in now.iter().zip(before) {
        for (name, was) in before.as_object().expect("an object") {
            let is = now.get(name).unwrap_or(&now["options"][name]);
            // A field that was added after the store was written is empty.
            let newer_fields_are_empty = |is: &serde_json::Map<_, Value>, was: &Value| {
                let was = was.as_object().expect("an object, too");
                was.iter().all(|(name, was)| is.get(name) == Some(was))
                    && is.iter().all(|(name, is)| {
                        let is_empty = [json!(null), json!(false), json!([])].contains(is);
                        is_empty || was.contains_key(name)
                    })
            };
            if is == was || is.as_object().is_some_and(|is| newer_fields_are_empty(is, was)) {
                continue;
            }
            match is
                .as_str()
                .and_then(|word| word.rsplit_once(&format!("_{}_", name.to_uppercase())))
            {
                Some((_, word)) => assert_eq!(json!(word.to_lowercase()), *was, "{name} in {now}"),
                None => assert_eq!(is, was, "{name} in {now}"),
            }
        }
    }
}

/// Returns the turns that an agent has written into this file.
fn delivered(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a turn is JSON")).collect()
}

#[apply(embedded_and_one_redis)]
async fn an_old_store_reads_as_its_version_left_it(kind: Kind) {
    for schema in SCHEMAS {
        let store = OldStore::copy(kind, schema).await;
        for _ in 0..2 {
            Served::start(&store).await.reads_as_before().await;
        }
        let log = fs::read_to_string(store.folder.logs().join("control.log")).expect("it logs");
        let upgrades = log.matches("upgrading the store").count();
        assert_eq!(upgrades, 1, "the second start has nothing to do");
    }
}

#[apply(embedded_and_one_redis)]
async fn turns_that_waited_are_answered_after_the_upgrade(kind: Kind) {
    for schema in SCHEMAS {
        answers_what_waited(&OldStore::copy(kind, schema).await).await;
    }
}

async fn answers_what_waited(store: &OldStore) {
    let served = Served::start(store).await;
    let (_agent, given) = served.agent("acme", store.text("agent_key"));
    let (_people, to_people) = served.agent("acme/people", store.text("operator_key"));
    for posted in ["running", "behind", "queued", "handed"] {
        let what = format!("the end of {posted}");
        until(what, async || served.status("link", posted).await == "done").await;
    }
    until("the escalated turn's end", async || {
        served.status("urgent", "escalating").await == "done"
    })
    .await;

    let path = format!("{}/chat/{}/", served.url, store.text("link"));
    let posting = reqwest::Client::new().post(path).header("content-type", "text/plain");
    let posted = posting.body("news").send().await.expect("the gateway answers");
    assert_eq!(posted.status(), 202);
    until("the new turn's delivery", async || {
        delivered(&given).iter().any(|turn| turn["content"] == "news")
    })
    .await;

    let turns = delivered(&given);
    let of = |posted: &str| {
        let id = &store.contents[posted]["turn"];
        turns.iter().find(|turn| turn["turn_id"] == *id).unwrap_or_else(|| panic!("no {posted}"))
    };
    assert_fields(of("running"), json!({ "attempt": 2, "content": "hold" }));
    assert_fields(of("behind"), json!({ "attempt": 1, "content": "behind" }));
    assert_fields(of("queued"), json!({ "attempt": 1, "persona": "concierge" }));
    let place = |turn: &Value| turns.iter().position(|other| other == turn);
    assert!(place(of("running")) < place(of("behind")), "{turns:?}");
    // No visitor's turn carries the observed webhook, since its route doesn't allow that.
    for turn in &turns {
        let observed = turn["observed"].as_array().expect("a list");
        assert!(observed.is_empty(), "{turn}");
    }
    let to_people = delivered(&to_people);
    let handed: Vec<_> = to_people.iter().map(|turn| &turn["handed"]["folder"]).collect();
    assert!(
        handed.contains(&&json!("acme")) && handed.contains(&&json!("acme/night")),
        "{handed:?}"
    );

    let running = store.contents["running"]["turn"].as_str().expect("an id");
    let events = served.events("link", running, "").await;
    let names: Vec<_> = events.iter().map(|event| event[1].as_str().expect("a name")).collect();
    assert_eq!(names.iter().filter(|name| **name == "restart").count(), 1, "{names:?}");
    assert_eq!(names.last(), Some(&"turn_done"));
    let escalating = store.contents["escalating"]["turn"].as_str().expect("an id");
    let events = served.events("urgent", escalating, "").await;
    let sentences = events.iter().filter(|event| event[2]["content"] == "One moment.");
    assert_eq!(sentences.count(), 1, "{events:?}");
}

#[apply(embedded_and_one_redis)]
async fn an_upgrade_that_is_killed_half_way_is_completed_by_the_next_start(kind: Kind) {
    let store = OldStore::copy(kind, 2).await;
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {COPIES})
         INSERT INTO record SELECT partition, 'input:copy' || i, version, body, collect_at
         FROM n, (SELECT * FROM record WHERE name LIKE 'input:%' LIMIT 1)"
    );
    let lua = format!(
        "local key = redis.call('KEYS', 'arizuko:*:input:*')[1]
         local value, prefix = redis.call('GET', key), string.match(key, '^arizuko:{{%d+}}:')
         for i = 1, {COPIES} do redis.call('SET', prefix .. 'input:copy' .. i, value) end"
    );
    store.change(&sql, &lua).await;
    let left = async || -> u32 {
        let sql = "SELECT count(*) FROM record WHERE name LIKE 'input:%'";
        let lua = "return #redis.call('KEYS', 'arizuko:*:input:*')";
        store.change(sql, lua).await.parse().expect("a number")
    };
    assert!(left().await > COPIES);
    // A control that is killed after its first page of records leaves much to do.
    let mut starts = 0;
    until("some records to be upgraded", async || {
        starts += 1;
        let name = format!("control-{starts}");
        let mut control = Process::start(&name, store.control(), &store.folder.logs());
        until("a page of records", async || control.said().contains("records are upgraded")).await;
        control.kill();
        left().await <= COPIES
    })
    .await;
    assert!(left().await > 0, "it was killed half way");
    let served = Served::start(&store).await;
    assert_eq!(left().await, 0);
    served.reads_as_before().await;
}

#[apply(embedded_and_one_redis)]
async fn a_store_of_a_newer_version_is_refused_with_what_to_do(kind: Kind) {
    let store = OldStore::copy(kind, 2).await;
    drop(Served::start(&store).await);
    let known = format!("schemas up to {}", store.schema().await);
    store.mark_as_newer().await;
    let before = store.digest().await;
    let refused = run(&mut store.control(), "").await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    for words in ["schema 99", &known, "start the newer arizuko"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    assert_eq!(store.digest().await, before, "the store is left as it was");
}

#[apply(one_redis)]
async fn a_running_control_stops_when_a_newer_one_has_upgraded_the_store(kind: Kind) {
    let store = OldStore::copy(kind, 3).await;
    let mut served = Served::start(&store).await;
    store.mark_as_newer().await;
    assert!(!served.control.exit().await.success());
    assert!(served.control.said().contains("schema 99"), "{}", served.control.said());
}

#[apply(one_redis)]
async fn an_old_store_is_not_upgraded_while_an_old_control_uses_it(kind: Kind) {
    let store = OldStore::copy(kind, 2).await;
    let redis = store.redis.as_ref().expect("this stack has one");
    // A running control of the old version has subscriptions like this one.
    let mut subscriber = redis.cli();
    subscriber.args(["SSUBSCRIBE", "arizuko:{0}:1"]);
    let mut subscriber = Process::start("subscriber", subscriber, &store.folder.logs());
    subscriber.line_with("ssubscribe").await;
    let refused = run(&mut store.control(), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("still uses it"), "{}", refused.err);
    subscriber.kill();
    Served::start(&store).await.reads_as_before().await;
}
