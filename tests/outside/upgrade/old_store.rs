//! A copy of a store that an earlier version wrote, and direct changes to it.

use arizuko_tests::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

/// How long turns stay open and records are kept: as long as in `tests/data/make.py`.
const AGES: &str = "36500d";

/// A copy of an old store, and its contents according to `tests/data/make.py`.
pub(super) struct OldStore {
    pub(super) folder: Folder,
    pub(super) contents: Value,
    pub(super) redis: Option<Redis>,
}

impl OldStore {
    /// Copies the store of this schema.
    pub(super) async fn copy(kind: Kind, schema: u32) -> Self {
        let folder = Folder::new();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("data/schema-{schema}"));
        let place = |from: &str, to: &Path| {
            let folder = to.parent().expect("a file is in a folder");
            fs::create_dir_all(folder).expect("it is ours");
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("it is ours");
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

    pub(super) fn text(&self, name: &str) -> &str {
        self.contents[name].as_str().unwrap_or_else(|| panic!("there is no {name}"))
    }

    /// Returns a command that runs one of this version's programs, with the settings that the old
    /// version had.
    pub(super) fn program(&self, name: &str) -> tokio::process::Command {
        let mut program = self.folder.program(name);
        program.env("ARIZUKO_OPERATOR_KEY", self.text("operator_key"));
        program.env("ARIZUKO_GATEWAY_KEY", self.text("gateway_key"));
        program.env("ARIZUKO_KEY", self.text("operator_key"));
        for setting in ["TURN_DEADLINE", "KEEP_FRAMES", "KEEP_MESSAGES", "KEEP_AUDIT"] {
            program.env(format!("ARIZUKO_{setting}"), AGES);
        }
        program
    }

    pub(super) fn control(&self) -> tokio::process::Command {
        let mut control = self.program("arizuko-control");
        control.args(["--listen", "127.0.0.1:0"]);
        match &self.redis {
            Some(redis) => control.args(["--redis", &redis.url()]),
            None => control.arg("--data-dir").arg(self.folder.path().join("data")),
        };
        control
    }

    /// Runs SQL on the embedded store, or a Lua script on Redis. Returns the first value of the
    /// result.
    pub(super) async fn change(&self, sql: &str, lua: &str) -> String {
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

    pub(super) async fn schema(&self) -> u64 {
        let sql = "SELECT json_extract(body, '$.format') FROM record WHERE name = 'layout'";
        let lua = "local layout = redis.call('GET', 'arizuko:{0}:layout')\n\
            return tonumber(string.match(layout, '\"format\":(%d+)'))";
        self.change(sql, lua).await.parse().expect("a number")
    }

    /// Returns a text that changes whenever anything in the store changes.
    pub(super) async fn digest(&self) -> String {
        let sql = "SELECT group_concat(line) FROM (
            SELECT json_array(partition, name, version, body, collect_at) line FROM record
            UNION ALL SELECT json_array(partition, set_name, name, score) FROM member
            UNION ALL SELECT json_array(partition, log, seq, hex(entry)) FROM entry
            UNION ALL SELECT json_array(partition, name, full_at) FROM bucket ORDER BY line)";
        let lua = "local all, keys = '', redis.call('KEYS', '*')\n\
            table.sort(keys)\n\
            for _, key in ipairs(keys) do all = all .. key .. redis.call('DUMP', key) end\n\
            return redis.sha1hex(all)";
        self.change(sql, lua).await
    }

    /// Makes the store look as if a newer version had upgraded it.
    pub(super) async fn mark_as_newer(&self) {
        let lua = "local key = 'arizuko:{0}:layout'\n\
            local layout = redis.call('GET', key)\n\
            return redis.call('SET', key, (string.gsub(layout, '\"format\":%d+', '\"format\":99')))";
        let sql = "UPDATE record SET body = json_set(body, '$.format', 99) WHERE name = 'layout'";
        self.change(sql, lua).await;
    }
}
