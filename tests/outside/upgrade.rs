//! Stores that earlier versions wrote, opened by this one.

use arizuko_tests::prelude::*;
use reqwest::Response;

/// Turns stay open, and frames are kept, as long as in `tests/data/make.py`.
const AGES: &str = "36500d";
/// Records that make an upgrade take long enough to be killed half way.
const COPIES: u32 = 20_000;

/// A copy of an old store, and what `tests/data/make.py` says of it.
struct OldStore {
    folder: Folder,
    contents: Value,
    redis: Option<Redis>,
}

impl OldStore {
    async fn copy(kind: Kind) -> Self {
        let folder = Folder::new();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/schema-2");
        let place = |from: &str, to: &Path| {
            fs::create_dir_all(to.parent().expect("a file is in a folder")).expect("it is ours");
            fs::copy(data.join(from), to).expect("the store is kept");
        };
        let (file, redis) = if kind == Kind::Embedded {
            place("arizuko.db", &folder.path().join("data/arizuko.db"));
            ("arizuko.db", None)
        } else {
            let (at, base) = (folder.path().join("redis"), "appendonly.aof.1.base.rdb");
            place("dump.rdb", &at.join("appendonlydir").join(base));
            let manifest = format!("file {base} seq 1 type b\n");
            fs::write(at.join("appendonlydir/appendonly.aof.manifest"), manifest).expect("is ours");
            ("dump.rdb", Some(Redis::start(&at, &folder.logs()).await))
        };
        let contents = fs::read(data.join(format!("{file}.json"))).expect("it is kept");
        let contents = serde_json::from_slice(&contents).expect("it is JSON");
        Self { folder, contents, redis }
    }

    fn text(&self, name: &str) -> &str {
        self.contents[name].as_str().unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// One of this version's programs, with the settings of the old ones.
    fn program(&self, name: &str) -> tokio::process::Command {
        let mut program = self.folder.program(name);
        program.env("ARIZUKO_OPERATOR_KEY", self.text("operator_key"));
        program.env("ARIZUKO_GATEWAY_KEY", self.text("gateway_key"));
        program.env("ARIZUKO_KEY", self.text("operator_key"));
        for setting in ["TURN_DEADLINE", "KEEP_FRAMES", "KEEP_MESSAGES"] {
            program.env(format!("ARIZUKO_{setting}"), AGES);
        }
        program
    }

    fn control(&self) -> tokio::process::Command {
        let mut control = self.program("arizuko-control");
        control.args(["--listen", "127.0.0.1:0"]);
        match &self.redis {
            Some(redis) => control.args(["--redis", &redis.url()]),
            None => control.arg("--data-dir").arg(self.folder.path().join("data")),
        };
        control
    }

    async fn serve(&self) -> Served<'_> {
        let mut control = Process::start("control", self.control(), &self.folder.logs());
        let control_url = last_word(&control.line().await);
        let mut gateway = self.program("arizuko-gateway");
        gateway.args(["--listen", "127.0.0.1:0", "--control", &control_url]);
        let mut gateway = Process::start("gateway", gateway, &self.folder.logs());
        let url = last_word(&gateway.line().await);
        Served { store: self, control, _gateway: gateway, control_url, url }
    }

    /// Changes the embedded store by SQL, or Redis by a script in Lua; returns what is selected.
    async fn change(&self, sql: &str, lua: &str) -> String {
        if let Some(redis) = &self.redis {
            let told = redis.ask(&["EVAL", lua, "0"]).await;
            return String::from_utf8(told).expect("it is text").trim().to_owned();
        }
        let script = "import sqlite3, sys\n\
            connection = sqlite3.connect(sys.argv[1])\n\
            rows = connection.execute(sys.argv[2]).fetchall()\n\
            connection.commit()\n\
            print(rows[0][0] if rows else '')";
        let mut python = command("python3");
        python.args(["-c", script]).arg(self.folder.path().join("data/arizuko.db")).arg(sql);
        run(&mut python, "").await.expect(0).out.trim().to_owned()
    }

    /// Makes it look as if a newer version had upgraded it.
    async fn mark_as_newer(&self) {
        let lua = "local key = 'arizuko:{0}:layout'\n\
            local layout = redis.call('GET', key)\n\
            return redis.call('SET', key, (string.gsub(layout, '\"format\":%d+', '\"format\":99')))";
        let sql = "UPDATE record SET body = json_set(body, '$.format', 99) WHERE name = 'layout'";
        self.change(sql, lua).await;
    }
}

fn last_word(line: &str) -> String {
    line.split_whitespace().last().unwrap_or_default().to_owned()
}

/// This version's control and gateway over the store.
struct Served<'a> {
    store: &'a OldStore,
    control: Process,
    _gateway: Process,
    control_url: String,
    url: String,
}

impl Served<'_> {
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

    /// The status of one of the turns that the store's contents name.
    async fn status(&self, link: &str, posted: &str) -> String {
        let (link, turn) = (self.store.text(link), &self.store.contents[posted]["turn"]);
        let turn = turn.as_str().expect("it was posted");
        let status = self.json(&format!("/chat/{link}/{turn}/status")).await;
        status["status"].as_str().expect("a status").to_owned()
    }

    async fn events(&self, turn: &str, after: &str) -> Vec<Value> {
        let path = format!("/chat/{}/{turn}/sse", self.store.text("link"));
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

    /// Asserts that everything that has ended reads as the old version left it.
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
            assert_eq!(&self.events(turn, "").await, replied);
            let first = replied[0][0].as_str().expect("an id");
            assert_eq!(self.events(turn, first).await, replied[1..]);
        }
        for dead in ["revoked", "expired"] {
            let path = format!("/chat/{}/config", self.store.text(dead));
            assert_eq!(self.get(&path, "application/json", "").await.status(), 401, "{dead}");
        }
        assert_eq!(self.status("link", "cancelled").await, "cancelled");
        assert_eq!(self.status("watched", "observed").await, "observed");

        let audit = self.arizuko(&["audit"]).await;
        let told = |entries: &Value| {
            let entries = entries["entries"].as_array().expect("a list").clone();
            let told = entries.into_iter().map(|e| json!([e["action"], e["subject"], e["detail"]]));
            told.collect::<Vec<_>>()
        };
        let before = told(&contents["audit"]);
        assert_eq!(told(&audit)[..before.len()], before);
        let ids = |list: &Value, name: &str| {
            let list = list.as_array().expect("a list").clone();
            list.into_iter().map(|one| one[name].clone()).collect::<Vec<_>>()
        };
        let tokens = self.arizuko(&["token", "list"]).await;
        assert_eq!(
            ids(&tokens["tokens"], "token_id"),
            ids(&contents["tokens"]["tokens"], "token_id")
        );
        let keys = self.arizuko(&["key", "list"]).await;
        assert_eq!(ids(&keys["keys"], "key_id"), ids(&contents["keys"]["keys"], "key_id"));
        let route = &self.arizuko(&["route", "explain", "web:acme/support"]).await["route"];
        assert_fields(route, json!({ "target": "acme/support", "persona": "concierge" }));
        assert_fields(
            &route["escalation"]["steps"][0],
            json!({ "to": "acme/people", "after": "120s" }),
        );
        let status = self.arizuko(&["status"]).await;
        assert_eq!(status["dropped"], json!([{ "jid": "web:acme/drop", "messages": 2 }]));
    }

    /// An agent that writes each turn, as a JSON document, into a file of its folder's name.
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

/// The turns that an agent was given.
fn delivered(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).expect("a turn is JSON")).collect()
}

#[apply(embedded_and_one_redis)]
async fn an_old_store_reads_as_its_version_left_it(kind: Kind) {
    let store = OldStore::copy(kind).await;
    // The second start finds nothing to upgrade.
    for _ in 0..2 {
        store.serve().await.reads_as_before().await;
    }
}

#[apply(embedded_and_one_redis)]
async fn turns_that_waited_are_answered_after_the_upgrade(kind: Kind) {
    let store = OldStore::copy(kind).await;
    let served = store.serve().await;
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
    // The webhook that was observed goes with the folder's next message, and no other.
    for turn in &turns {
        let observed = turn["observed"].as_array().expect("a list");
        let expected = if turn["content"] == "news" { json!("noted") } else { Value::Null };
        assert_eq!(turn["observed"][0]["content"], expected, "{turn}");
        assert!(observed.len() <= 1, "{turn}");
    }
    let to_people = delivered(&to_people);
    let handed: Vec<_> = to_people.iter().map(|turn| &turn["handed"]["folder"]).collect();
    assert!(
        handed.contains(&&json!("acme")) && handed.contains(&&json!("acme/night")),
        "{handed:?}"
    );

    let running = store.contents["running"]["turn"].as_str().expect("an id");
    let events = served.events(running, "").await;
    let names: Vec<_> = events.iter().map(|event| event[1].as_str().expect("a name")).collect();
    assert_eq!(names.iter().filter(|name| **name == "restart").count(), 1, "{names:?}");
    assert_eq!(names.last(), Some(&"turn_done"));
}

#[apply(embedded_and_one_redis)]
async fn an_upgrade_that_is_killed_half_way_is_completed_by_the_next_start(kind: Kind) {
    let store = OldStore::copy(kind).await;
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
    for _ in 0..3 {
        let before = left().await;
        let mut control = Process::start("control", store.control(), &store.folder.logs());
        until("some records to be upgraded", async || left().await < before).await;
        control.kill();
        assert!(left().await > 0, "it was killed half way");
    }
    let served = store.serve().await;
    assert_eq!(left().await, 0);
    served.reads_as_before().await;
}

#[apply(embedded_and_one_redis)]
async fn a_store_of_a_newer_version_is_refused_with_what_to_do(kind: Kind) {
    let store = OldStore::copy(kind).await;
    drop(store.serve().await);
    store.mark_as_newer().await;
    let refused = run(&mut store.control(), "").await;
    assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{refused:?}");
    for words in ["schema 99", "schemas up to", "start the newer arizuko"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
}

#[apply(one_redis)]
async fn a_running_control_stops_when_a_newer_one_has_upgraded_the_store(kind: Kind) {
    let store = OldStore::copy(kind).await;
    let mut served = store.serve().await;
    store.mark_as_newer().await;
    assert!(!served.control.exit().await.success());
    assert!(served.control.said().contains("schema 99"), "{}", served.control.said());
}

#[apply(one_redis)]
async fn an_old_store_is_not_upgraded_while_an_old_control_uses_it(kind: Kind) {
    let store = OldStore::copy(kind).await;
    let redis = store.redis.as_ref().expect("this stack has one");
    // A control of that version has such a subscription for each of its streams.
    let mut subscriber = redis.cli();
    subscriber.args(["SSUBSCRIBE", "arizuko:{0}:1"]);
    let mut subscriber = Process::start("subscriber", subscriber, &store.folder.logs());
    subscriber.line_with("ssubscribe").await;
    let refused = run(&mut store.control(), "").await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("still uses it"), "{}", refused.err);
    subscriber.kill();
    store.serve().await.reads_as_before().await;
}
