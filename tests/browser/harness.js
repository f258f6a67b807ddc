// The browser tests' harness: visitors, links and agents made with the `arizuko` command, and proxies
// that behave badly.
//
// The caller starts the stack. ARIZUKO_CLI is the command; ARIZUKO_CONTROL has the addresses of the
// controls, and ARIZUKO_KEY is the operator's key. ARIZUKO_CHAT_URL is a link that the demo agent
// answers.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import axe from "axe-core";
import { open } from "./browsers.js";

/** Returns a required environment variable. */
export function given(name) {
  assert.ok(process.env[name], `${name} is not set: see tests/browser/harness.js for what these tests want`);
  return process.env[name];
}

/** Makes a folder that is removed after the test. */
export async function folderFor(t) {
  const folder = await mkdtemp(path.join(tmpdir(), "arizuko-browser-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

// ── The stack ───────────────────────────────────────────────────────────────────────────────────

export async function arizuko(...args) {
  const { stdout } = await promisify(execFile)(given("ARIZUKO_CLI"), args);
  return stdout.trim();
}

/** Issues a chat link in a folder of its own, so that tests don't interfere. */
export async function link(...options) {
  const folder = `browser-${randomBytes(6).toString("hex")}`;
  const url = await arizuko("token", "issue", folder, "chat", ...options);
  return { folder, url, jid: `web:${folder}` };
}

/** Attaches a program of agents/ to the folder until the test ends. */
export async function attach(t, folder, agent, ...args) {
  const program = path.join(import.meta.dirname, "agents", agent);
  const child = spawn(
    given("ARIZUKO_CLI"),
    ["agent", "exec", "--folder", folder, "--concurrency", "4", "--status", "--", program, ...args],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  // Stop it with TERM and wait: with KILL its programs would keep running.
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  const said = [];
  for await (const line of createInterface(child.stderr)) {
    said.push(line);
    if (line.includes("attached to")) {
      child.stderr.resume();
      return child;
    }
  }
  assert.fail(`arizuko agent exec ended before it was attached:\n${said.join("\n")}`);
}

/** Attaches an agent that writes half of its answer, and the rest after `open` is called. */
export async function attachGated(t, folder) {
  const gate = path.join(await folderFor(t), "gate");
  const agent = await attach(t, folder, "gated.sh", gate);
  return { agent, open: () => writeFile(gate, "") };
}

/** Attaches an agent whose reply is what the test passes to `write`, until it calls `end`. */
export async function attachPaced(t, folder) {
  const steps = await folderFor(t);
  await attach(t, folder, "steps.sh", steps);
  let count = 0;
  const put = async (name, text) => {
    // The file appears complete in one step, so that the agent never reads a part of it.
    await writeFile(path.join(steps, ".new"), text);
    await rename(path.join(steps, ".new"), path.join(steps, name));
  };
  return { write: (text) => put(String(++count), text), end: () => put("end", "") };
}

/** Issues a link with an agent that repeats each message. */
export async function echoLink(t) {
  const made = await link();
  await attach(t, made.folder, "echo.sh");
  return made;
}

/** Starts `arizuko inbox` for a person until the test ends, and returns the person. */
export async function inbox(t, folder, name) {
  const child = spawn(given("ARIZUKO_CLI"), ["inbox", "--name", name, folder], { stdio: ["pipe", "pipe", "ignore"] });
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    await once(child, "exit");
  });
  const person = new Person(child);
  await person.reads(/visitors know you as/);
  return person;
}

class Person {
  constructor(child) {
    this.child = child;
    this.lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  }

  /** Reads up to the next line that matches, and returns it. */
  async reads(pattern) {
    const read = [];
    for (let line = await this.lines.next(); !line.done; line = await this.lines.next()) {
      if (pattern.test(line.value)) return line.value;
      read.push(line.value);
    }
    assert.fail(`the inbox ended before it said ${pattern}:\n${read.join("\n")}`);
  }

  types(line) {
    this.child.stdin.write(`${line}\n`);
  }

  /** Opens the next waiting conversation. */
  async takesUp() {
    const [, number] = /^(\d+) waits/.exec(await this.reads(/^\d+ waits/));
    this.types(`/open ${number}`);
    await this.reads(/^visitor/);
  }
}

// ── The visitor ─────────────────────────────────────────────────────────────────────────────────

/** Opens the link as a visitor with their own profile, and returns the visitor. */
export async function visit(t, url, options = {}) {
  const visitor = new Visitor(await open(t, options));
  await visitor.page.goto(url);
  return visitor;
}

/**
 * Opens a link as a visitor who has asked something. The agent's reply is what the test passes to `write`, until it
 * calls `end`.
 */
export async function writing(t, options) {
  const { url, folder } = await link();
  const agent = await attachPaced(t, folder);
  const visitor = await visit(t, url, options);
  await visitor.say("write");
  return { visitor, page: visitor.page, ...agent };
}

export class Visitor {
  constructor(page) {
    this.page = page;
    this.input = page.locator("#content");
    // By its id: its name depends on the language.
    this.stop = page.locator("#stop");
    this.notice = page.locator("#notice");
    this.questions = page.locator(".user .body");
    this.answers = page.locator(".assistant .body");
    this.dots = page.locator(".foot .dots:visible");
    this.complaints = [];
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && this.complaints.push(message.text()));
    page.on("pageerror", (error) => this.complaints.push(error.stack));
  }

  /** Types a message and presses Enter, or the button where Enter starts a new line. */
  async say(text) {
    await this.input.fill(text);
    const onTouch = await this.page.evaluate(() => matchMedia("(pointer: coarse)").matches);
    await (onTouch ? this.button("Send").click() : this.input.press("Enter"));
  }

  /** Waits until the page shows the text. */
  sees(text) {
    return this.page.getByText(text).first().waitFor();
  }

  /** Waits until `count` messages are answered and no reply is under way. */
  async answered(count) {
    await this.answers.nth(count - 1).waitFor();
    await this.stop.waitFor({ state: "hidden" });
    assert.equal(await this.dots.count(), 0, "the typing dots are gone");
  }

  /** Returns the conversation's id. */
  conversation() {
    return this.page.evaluate(() => history.state.conversation);
  }

  /** Returns the heading above each message, which names its author; empty if none is visible. */
  authors() {
    return this.page.locator(".message").evaluateAll((messages) =>
      messages.map((message) => {
        const author = message.querySelector(".author");
        return author.offsetHeight > 1 ? author.textContent : "";
      }),
    );
  }

  /** Records announcements for screen readers from now on. */
  async listen() {
    await this.page.evaluate(() => {
      window.heard = [];
      new MutationObserver((changes) => {
        for (const node of changes.flatMap((change) => [...change.addedNodes])) window.heard.push(node.textContent.trim());
      }).observe(document.querySelector("[aria-live=polite]"), { childList: true });
    });
  }

  /** Returns what was announced since `listen`. */
  heard() {
    return this.page.evaluate("heard");
  }

  /** Records what shows under the messages from now on, even for a moment: each line's text, and "dots". */
  async watchLines() {
    await this.page.evaluate(() => {
      window.lines = new Set();
      const look = () => {
        for (const foot of document.querySelectorAll(".thread .foot")) {
          if (!foot.querySelector(".dots").hidden) window.lines.add("dots");
          window.lines.add(foot.querySelector(".foot-text").textContent);
        }
      };
      const every = { subtree: true, childList: true, attributes: true, characterData: true };
      new MutationObserver(look).observe(document.getElementById("thread"), every);
    });
  }

  /** Returns the lines that showed since `watchLines`, in alphabetical order. */
  lines() {
    return this.page.evaluate("[...lines].filter(Boolean).sort()");
  }

  /** Waits for an announcement. */
  hears(text) {
    return this.page.locator("[aria-live=polite]").getByText(text).first().waitFor({ state: "attached" });
  }

  /** Returns questions and answers from top to bottom. */
  transcript() {
    return this.page.locator(".message .body").allInnerTexts();
  }

  /** Waits until the line under the last message matches. */
  lastLine(pattern) {
    return this.page.locator(".turn:last-child .foot").filter({ hasText: pattern }).waitFor();
  }

  button(name) {
    return this.page.getByRole("button", { name });
  }

  assertNoComplaints() {
    assert.deepEqual(this.complaints, [], "the console has no error and no warning");
  }
}

/** Takes a screenshot for people to look at, if they want any. */
export async function shoot(page, name) {
  const folder = process.env.ARIZUKO_SCREENSHOTS;
  if (folder) await page.screenshot({ path: path.join(folder, `${name}.png`), animations: "disabled" });
}

/** Runs all rules of axe-core, best practices included. Contrast that it cannot decide is a finding. */
export async function assertNoFinding(visitor) {
  const { page } = visitor;
  // axe-core can't judge what is scrolled out of view or covered by the button for new messages, so all of it is
  // brought into view, and code wraps.
  const size = page.viewportSize();
  const [top, hidden] = await page.evaluate(() => {
    for (const pre of document.querySelectorAll("pre")) pre.style.whiteSpace = "pre-wrap";
    const { scrollTop = 0, scrollHeight = 0, clientHeight = 0 } = document.getElementById("log") ?? {};
    return [scrollTop, scrollHeight - clientHeight];
  });
  const scroll = (top) =>
    page.evaluate((top) => {
      document.getElementById("log")?.scrollTo(0, top);
      return new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    }, top);
  await page.setViewportSize({ ...size, height: size.height + hidden });
  await scroll(0);
  // axe-core is half a megabyte: each page gets it once.
  if (await page.evaluate(() => !window.axe)) await page.evaluate(axe.source);
  const { violations, incomplete } = await page.evaluate(() => window.axe.run());
  await page.setViewportSize(size);
  await page.evaluate(() => {
    for (const pre of document.querySelectorAll("pre")) pre.style.whiteSpace = "";
  });
  await scroll(top);
  const told = [...violations, ...incomplete].map(
    ({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map((node) => node.html).join("\n  ")}`,
  );
  assert.deepEqual(told, []);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, "nothing sticks out sideways");
}

/**
 * Answers the page's next messages with these refusals (status 0: no answer), then lets messages
 * through. Returns the idempotency keys of all messages.
 */
export async function refuse(page, ...refusals) {
  const keys = [];
  await page.route(/\/chat\/[^/]+\/$/, (route) => {
    if (route.request().method() !== "POST") return route.continue();
    keys.push(route.request().headers()["idempotency-key"]);
    const refusal = refusals.shift();
    if (!refusal) return route.continue();
    if (refusal.status === 0) return route.abort();
    route.fulfill({ headers: {}, contentType: "application/problem+json", body: "{}", ...refusal });
  });
  return keys;
}

// ── The network ─────────────────────────────────────────────────────────────────────────────────

/** How many bytes a slow line sends at once. */
const PIECE = 1000;

/**
 * Starts a proxy in front of the link. With `buffering`, it holds event streams back, as some
 * proxies do. With `relay(request, answer, response)`, that function may write an answer itself;
 * where it returns false, the proxy passes the answer on. `cut()` ends all connections and refuses
 * new ones until `mend()`. `slow(speed)` sends all answers together at no more than this many bytes
 * a second from then on, and returns a function that tells how many bytes it has sent since.
 */
export async function proxy(t, url, { buffering = false, relay = async () => false } = {}) {
  const { origin, pathname } = new URL(url);
  const sockets = new Set();
  let cut = false;
  let speed = Infinity;
  let sent = 0;
  let turn = Promise.resolve();
  /** Lets pieces of all answers through, one after another. */
  async function* slowly(answer) {
    for await (const chunk of answer)
      for (let at = 0; at < chunk.length; at += PIECE) {
        const piece = chunk.subarray(at, at + PIECE);
        turn = turn.then(() => sleep((1000 * piece.length) / speed));
        await turn;
        sent += piece.length;
        yield piece;
      }
  }
  const server = http.createServer((request, response) => {
    const onward = http.request(origin + request.url, { method: request.method, headers: request.headers }, async (answer) => {
      const held = buffering && (answer.headers["content-type"] ?? "").startsWith("text/event-stream");
      if (held) return answer.resume();
      if (await relay(request, answer, response)) return;
      response.writeHead(answer.statusCode, answer.headers);
      if (speed === Infinity) return answer.pipe(response);
      // An error means that the page has gone, or the server.
      await pipeline(answer, slowly, response).catch(() => response.destroy());
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  });
  server.on("connection", (socket) => {
    if (cut) return socket.destroy();
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: `http://127.0.0.1:${server.address().port}${pathname}`,
    cut: () => {
      cut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend: () => (cut = false),
    slow: (bytes) => {
      speed = bytes;
      sent = 0;
      return () => sent;
    },
  };
}
