#!/usr/bin/env python3
"""Makes a store of each kind with the programs of one version, for the tests of upgrades.

    tests/data/make.py target/debug tests/data/schema-2

writes the embedded store's file `arizuko.db`, Redis's `dump.rdb`, and beside each a JSON document
that says what is in the store and what those programs answered. The programs run with a clock that
begins in 2025, so that leases are over in every run of the tests. The clock is a library of our
own, since `faketime` can't start Redis.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

OPERATOR_KEY = "the operator's key of the upgrade tests"
GATEWAY_KEY = "the gateway's key of the upgrade tests"
# Turns stay open, and frames are kept, for as long as the data is used: about 100 years.
AGES = "36500d"

BEGINNING = 1735689600  # 2025-01-01 in UTC
CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = syscall(SYS_clock_gettime, clock, now);
  if (clock == CLOCK_REALTIME) now->tv_sec += OFFSET;
  return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
  struct timespec precise;
  int failed = clock_gettime(CLOCK_REALTIME, &precise);
  now->tv_sec = precise.tv_sec, now->tv_usec = precise.tv_nsec / 1000;
  return failed;
}
"""

AGENT = """
read -r message
case $message in
  hold) printf 'Half a reply'; exec sleep 1000 ;;
  person) exit 75 ;;
  fail) echo 'the disk is full' >&2; exit 1 ;;
  *) printf 'You said: '; sleep 0.3; printf '%s' "$message" ;;
esac
"""


class Stack:
    """A control and a gateway of the given version on one store."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.children = programs, folder, []
        self.environment = {
            "PATH": os.environ["PATH"],
            "LD_PRELOAD": os.environ["LD_PRELOAD"],
            "HOME": str(folder),
            "ARIZUKO_OPERATOR_KEY": OPERATOR_KEY,
            "ARIZUKO_GATEWAY_KEY": GATEWAY_KEY,
            "ARIZUKO_KEY": OPERATOR_KEY,
            **dict.fromkeys(["ARIZUKO_TURN_DEADLINE", "ARIZUKO_KEEP_FRAMES"], AGES),
            "ARIZUKO_KEEP_MESSAGES": AGES,
            # All visitors share one address, whose open turns are limited.
            "ARIZUKO_ADDRESS_TURNS": "20",
        }

    def start(self, *arguments, url=True):
        child = subprocess.Popen(
            [self.programs / arguments[0], *arguments[1:]],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.children.append(child)
        return (child, child.stdout.readline().split()[-1]) if url else child

    def stop(self, child, how=signal.SIGTERM):
        os.killpg(child.pid, how)
        child.wait()
        self.children.remove(child)

    def arizuko(self, *arguments):
        command = [self.programs / "arizuko", *arguments, "--json"]
        done = subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)

    def http(self, method, path, body=None, kind="application/json", accept="application/json"):
        request = urllib.request.Request(self.gateway + path, body and body.encode(), method=method)
        request.add_header("Content-Type", kind)
        request.add_header("Accept", accept)
        with urllib.request.urlopen(request) as answer:
            return answer.read().decode()

    def post(self, link, content, conversation=None):
        body = {"content": content, **({"conversation": conversation} if conversation else {})}
        posted = json.loads(self.http("POST", f"/chat/{link['token']}/", json.dumps(body)))
        return {"turn": posted["turn_id"], "conversation": posted["conversation"]}

    def reaches(self, link, posted, *states, kind="chat"):
        path = f"/{kind}/{link['token']}/{posted['turn']}/status"
        for _ in range(200):
            status = json.loads(self.http("GET", path))
            if status["status"] in states:
                return
            time.sleep(0.05)
        raise SystemExit(f"{path} stays at {status}")

    def agent(self, folder, *flags):
        agent = self.start(
            "arizuko", "agent", "exec", "--folder", folder, *flags, "--", "bash", "-c", AGENT, url=False
        )
        while all(s["folder"] != folder for s in self.arizuko("status")["sessions"]):
            time.sleep(0.05)
        return agent


def events(text):
    """Returns the events of a stream that have an id, as [id, name, data]."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line[1:])
        if lines.get("id"):
            found.append([lines["id"], lines["event"], json.loads(lines["data"])])
    return found


def tokens(stack):
    """Returns the tokens with their texts, which a list of them lacks."""
    listed = stack.arizuko("token", "list")["tokens"]
    shown = [stack.arizuko("token", "show", token["token_id"]) for token in listed]
    return {"tokens": [token for show in shown for token in show["tokens"]]}


def fill(stack):
    """Brings the store into the states that the tests look at; returns what the store contains."""
    link = stack.arizuko(
        "token", "issue", "acme", "chat", "--name", "Acme", "--greeting", "Hello", "--context", "vip",
        "--origin", "https://acme.example",
    )
    hook = stack.arizuko("token", "issue", "acme", "hook", "github")
    told = stack.arizuko("token", "issue", "acme", "hook", "linear")
    revoked = stack.arizuko("token", "issue", "acme", "chat", "--suffix", "revoked")
    watched = stack.arizuko("token", "issue", "acme", "chat", "--suffix", "watch")
    dropped = stack.arizuko("token", "issue", "acme", "chat", "--suffix", "drop")
    urgent = stack.arizuko("token", "issue", "acme", "chat", "--suffix", "urgent")
    key = stack.arizuko("key", "create", "acme")
    stack.arizuko("key", "create", "acme/people", "--subtree")
    stack.arizuko("route", "set", "web:acme", "--persona", "concierge", "--topic", "desk")
    stack.arizuko("route", "set", "web:acme/watch", "--mode", "observe")
    stack.arizuko("route", "set", "hook:acme/linear", "--mode", "observe")
    stack.arizuko("route", "set", "web:acme/drop", "--mode", "drop")
    stack.arizuko(
        "route", "set", "web:acme/support", "--target", "acme/support", "--escalate-after", "2m",
        "--escalate-to", "acme/people", "--escalate-say", "One moment.", "--give-up-after", "1d",
        "--give-up-say", "Please write to us.",
    )
    stack.arizuko(
        "route", "set", "web:acme/urgent", "--target", "acme/night", "--escalate-after", "2m",
        "--escalate-to", "acme/people", "--escalate-say", "One moment.",
    )

    agent = stack.agent("acme", "--concurrency", "9", "--handoff", "75=acme/people")
    first = stack.post(link, "one")
    stack.reaches(link, first, "done")
    second = stack.post(link, "two", first["conversation"])
    stack.reaches(link, second, "done")
    failed = stack.post(link, "fail", first["conversation"])
    stack.reaches(link, failed, "failed")
    stack.arizuko("agent", "say", "--folder", "acme", first["conversation"], "Still there?")
    hooked = json.loads(stack.http("POST", f"/hook/{hook['token']}", '{"action": "opened"}'))
    hooked = {"turn": hooked["turn_id"], "conversation": hooked["conversation"]}
    stack.reaches(hook, hooked, "done", kind="hook")
    cancelled = stack.post(link, "hold")
    stack.reaches(link, cancelled, "running")
    stack.http("POST", f"/chat/{link['token']}/{cancelled['turn']}/cancel")
    handed = stack.post(link, "person")
    stack.reaches(link, handed, "queued")
    running = stack.post(link, "hold")
    stack.reaches(link, running, "running")
    behind = stack.post(link, "behind", running["conversation"])
    while not json.loads(stack.http("GET", f"/chat/{link['token']}/{running['turn']}"))["assistant"]:
        time.sleep(0.05)
    stack.stop(agent, signal.SIGKILL)
    queued = stack.post(link, "wait for me")

    escalating = stack.post(urgent, "is anybody there")

    observed = stack.post(watched, "for later")
    stack.post(dropped, "nobody reads this")
    stack.post(dropped, "nor this")
    stack.http("POST", f"/hook/{told['token']}", "noted", kind="text/plain")
    stack.arizuko("token", "revoke", "web:acme/revoked")

    token = link["token"]
    history = json.loads(stack.http("GET", f"/chat/{token}/c/{first['conversation']}"))
    replies = {}
    for posted in [first, second, failed]:
        path = f"/chat/{token}/{posted['turn']}/sse"
        replies[posted["turn"]] = events(stack.http("GET", path, accept="text/event-stream"))
    explained = stack.arizuko("route", "explain", "web:acme/support")
    status = stack.arizuko("status")
    contents = {
        "operator_key": OPERATOR_KEY,
        "gateway_key": GATEWAY_KEY,
        "agent_key": key["key"],
        "link": token,
        "hook": hook["token"],
        "revoked": revoked["token"],
        "watched": watched["token"],
        "finished": first,
        "history": history["turns"],
        "replies": replies,
        "hooked": hooked,
        "cancelled": cancelled,
        "handed": handed,
        "running": running,
        "behind": behind,
        "queued": queued,
        "urgent": urgent["token"],
        "escalating": escalating,
        "observed": observed,
        "explained": explained,
        "status": status,
        "routes": stack.arizuko("route", "list"),
        "audit": stack.arizuko("audit"),
        "tokens": tokens(stack),
        "keys": stack.arizuko("key", "list"),
    }
    # Last, so that control stops before it notices that this token has expired.
    contents["expired"] = stack.arizuko(
        "token", "issue", "acme", "chat", "--suffix", "brief", "--expires", "1s"
    )["token"]
    return contents


@contextmanager
def stack(programs, *store):
    with tempfile.TemporaryDirectory() as folder:
        made = Stack(programs, Path(folder))
        try:
            control, url = made.start("arizuko-control", "--listen", "127.0.0.1:0", *store)
            made.environment["ARIZUKO_CONTROL"] = url
            gateway, made.gateway = made.start(
                "arizuko-gateway", "--listen", "127.0.0.1:0", "--control", url
            )
            yield made
            made.stop(gateway)
            made.stop(control)
        finally:
            for child in made.children:
                os.killpg(child.pid, signal.SIGKILL)


def write(out, name, contents):
    text = json.dumps(contents, indent=1, ensure_ascii=False, sort_keys=True)
    (out / name).write_text(text + "\n")


def embedded(programs, out):
    with tempfile.TemporaryDirectory() as folder:
        with stack(programs, "--data-dir", folder) as made:
            contents = fill(made)
        file = Path(folder) / "arizuko.db"
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        connection.close()
        shutil.copy(file, out / "arizuko.db")
        os.chmod(out / "arizuko.db", 0o644)
    write(out, "arizuko.db.json", contents)


def redis(programs, out):
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--save", "", "--unixsocket", socket, "--dir", folder],
            stdout=subprocess.DEVNULL,
        )
        try:
            while not os.path.exists(socket):
                time.sleep(0.01)
            with stack(programs, "--redis", f"unix://{socket}") as made:
                contents = fill(made)
            subprocess.run(["redis-cli", "-s", socket, "SAVE"], check=True, stdout=subprocess.DEVNULL)
            shutil.copy(Path(folder) / "dump.rdb", out / "dump.rdb")
        finally:
            server.kill()
            server.wait()
    write(out, "dump.rdb.json", contents)


def main():
    programs, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        clock = f"{folder}/clock.so"
        offset = f"-DOFFSET={BEGINNING - int(time.time())}"
        compiler = ["cc", "-shared", "-fPIC", offset, "-o", clock, "-x", "c", "-"]
        subprocess.run(compiler, input=CLOCK, text=True, check=True)
        os.environ["LD_PRELOAD"] = clock
        embedded(programs, out)
        redis(programs, out)


main()
