// Event streams that agents cannot produce on demand. These tests write the stream's text; everything
// else is the real stack.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { echoLink, link, proxy, visit } from "./harness.js";

const event = (name, data, id) => `${id === undefined ? "" : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/**
 * Answers the page's stream number 0, 1, 2 … with `text(number)`, or with the real stream if that is
 * undefined. `asked(count)` waits until the page has requested that many streams.
 */
async function scripted(page, text) {
  const requests = new EventEmitter();
  let number = 0;
  await page.route(/\/sse\?/, (route) => {
    const body = text(number++);
    requests.emit("one");
    if (!body) return route.continue();
    route.fulfill({ contentType: "text/event-stream", body: `retry: 50\n\n${body}` });
  });
  return {
    async asked(count) {
      while (number < count) await once(requests, "one");
    },
  };
}

test("a restart drops the reply unless it is kept, and repeated frames show once", async (t) => {
  const { url } = await link();
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.lastLine("nobody is connected");
  const [{ turn_id }] = (await (await fetch(`${url}c/${await visitor.conversation()}`)).json()).turns;
  let n = 0;
  const frame = (name, data) => event(name, { turn_id, n: ++n, ...data }, `${n + 1}-0000000a`);
  const frames = [
    frame("status", { text: "Looking for the kettle" }),
    frame("delta", { id: "a", text: "dropped" }),
    frame("restart", { attempt: 2, keep: false }),
    frame("delta", { id: "b", text: "kept " }),
    frame("delta", { id: "b", text: "whole" }),
    event("html", { id: "b", block: 0, html: ["<p>kept <em>whole</em></p>"] }),
    frame("restart", { attempt: 3, keep: true }),
    frame("delta", { id: "c", text: "dropped, too" }),
    frame("restart", { attempt: 4, keep: false }),
    frame("message", { id: "d", author: "person", name: "Ana", content: "and new" }),
    frame("restart", { attempt: 5, keep: true }),
    frame("restart", { attempt: 6, keep: false }),
    frame("status", { text: "Resting" }),
    frame("status", { text: "" }),
    frame("status", { text: "Still pouring" }),
  ];
  const last = frame("turn_done", { status: "failed", error: "The cup broke." });
  let ended = false;
  // As the page reconnects, it gets the whole stream, a part, and the whole stream again.
  const streams = await scripted(visitor.page, (number) => frames.slice(number % 2 ? 4 : 0).join("") + (ended ? last : ""));
  await visitor.page.reload();
  await visitor.lastLine("Still pouring");
  await streams.asked(4);
  assert.deepEqual(await visitor.transcript(), ["tea", "kept whole", "and new"]);
  assert.deepEqual(await visitor.authors(), ["", "", "Ana"]);
  ended = true;
  await visitor.lastLine("The cup broke.");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["tea", "kept whole", "and new"]);
});

test("a cursor that is not in the log makes the page read the history again", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  const streams = await scripted(visitor.page, (number) => number === 0 && `id:\n${event("reset", { reason: "another log" })}`);
  await visitor.page.reload();
  await streams.asked(2);
  await visitor.say("two");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
  visitor.assertNoComplaints();
});

test("the stream may bring a message before its POST is answered", async (t) => {
  const { url } = await echoLink(t);
  let released = Promise.resolve();
  const line = await proxy(t, url, {
    relay: async (request) => {
      if (request.method === "POST") await released;
      return false;
    },
  });
  const visitor = await visit(t, line.url);
  await visitor.say("one");
  await visitor.answered(1);
  let release;
  released = new Promise((resolve) => {
    release = resolve;
  });
  await visitor.say("two");
  await visitor.answered(2);
  const expected = ["one", "You said: one", "two", "You said: two"];
  assert.deepEqual(await visitor.transcript(), expected);
  release();
  // The page sends one message at a time, so it sends this one only after it has read the answer.
  await visitor.say("three");
  await visitor.answered(3);
  assert.deepEqual(await visitor.transcript(), [...expected, "three", "You said: three"]);
  visitor.assertNoComplaints();
});

test("a message whose POST was taken but not answered shows once, also after a reload", async (t) => {
  const { url } = await echoLink(t);
  let losing = false;
  const line = await proxy(t, url, {
    relay: async (request, answer, response) => {
      if (!losing || request.method !== "POST") return false;
      answer.resume();
      response.destroy();
      return true;
    },
  });
  const visitor = await visit(t, line.url);
  await visitor.say("one");
  await visitor.answered(1);
  losing = true;
  await visitor.say("two");
  await visitor.answered(2);
  const repeat = visitor.page.waitForResponse((response) => response.request().method() === "POST");
  losing = false;
  await visitor.page.reload();
  await repeat;
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
});

test("the conversation works without its stream", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.page.route(/\/sse\?/, (route) => route.fulfill({ status: 429, headers: { "retry-after": "1" }, body: "{}" }));
  await visitor.say("one");
  await visitor.answered(1);
  await visitor.say("two");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
});
