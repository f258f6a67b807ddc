// Errors: the page says what is wrong and what to do, and loses no typed word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arizuko, attach, attachGated, echoLink, link, proxy, refuse, visit } from "./harness.js";

test("429 shows a countdown, and the page sends the message again with the same key", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  const keys = await refuse(visitor.page, { status: 429, headers: { "retry-after": "2" } });
  await visitor.say("hello");
  await visitor.lastLine(/Too many messages at once\.\s*Sending again in 2 seconds\./);
  await visitor.lastLine(/in 1 second\./);
  await visitor.answered(1);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  assert.ok(keys[0].length >= 22);
  assert.deepEqual(await visitor.transcript(), ["hello", "You said: hello"]);
});

for (const [status, sentence] of [
  [0, "The server can't be reached."],
  [500, "Messages can't be taken right now."],
  [503, "Messages can't be taken right now."],
  [504, "This message may have arrived."],
]) {
  test(`${status || "no answer"} shows an error, and the page tries again with the same key`, async (t) => {
    const { url } = await echoLink(t);
    const visitor = await visit(t, url);
    const keys = await refuse(visitor.page, { status, headers: { "retry-after": "30" } });
    await visitor.say("hello");
    await visitor.lastLine(sentence);
    await visitor.button("Send now").click();
    await visitor.answered(1);
    assert.equal(new Set(keys).size, 1);
    assert.deepEqual(await visitor.transcript(), ["hello", "You said: hello"]);
  });
}

const refusals = [
  [400, "This message could not be read."],
  [403, "This chat is closed to the page"],
  [404, "Send your message again to begin a new one."],
  [410, "no longer kept in full"],
  [413, "This message is too long"],
  [415, "This page is out of date."],
  [422, "mixed up with an earlier one"],
];
for (const [status, sentence] of refusals) {
  test(`${status} shows an error, and the message can be changed or sent again`, async (t) => {
    const { url } = await echoLink(t);
    const visitor = await visit(t, url);
    const keys = await refuse(visitor.page, { status }, { status });
    await visitor.say("hello");
    await visitor.lastLine(sentence);
    await visitor.button("Edit").click();
    assert.equal(await visitor.input.inputValue(), "hello");
    assert.equal(await visitor.questions.count(), 0);
    await visitor.say("hello again");
    await visitor.lastLine(sentence);
    await visitor.button("Send again").click();
    await visitor.answered(1);
    assert.deepEqual(await visitor.transcript(), ["hello again", "You said: hello again"]);
    assert.equal(keys[1] === keys[2], status !== 422, "the same message keeps its key, unless the key was the trouble");
  });
}

test("a budget that is spent says when it is new, and keeps the message", async (t) => {
  const { url, jid } = await echoLink(t);
  await arizuko("token", "edit", jid, "--max-turns-per-day", "1");
  const visitor = await visit(t, url);
  await visitor.say("hello");
  await visitor.answered(1);
  await visitor.say("more");
  await visitor.page.getByText(/reached its limit for today\.\s*Sending again (at \d+:\d\d|in \d+ seconds)/).waitFor();
  await arizuko("token", "edit", jid, "--max-turns-per-day", "2");
  await visitor.button("Send now").click();
  await visitor.answered(2);
});

test("a message over the limit stays in the composer", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  const text = "é".repeat(40_000);
  await visitor.say(text);
  await visitor.notice.filter({ hasText: "too long" }).waitFor();
  assert.equal(await visitor.input.inputValue(), text);
  await visitor.input.fill("short");
  await visitor.notice.waitFor({ state: "hidden" });
  visitor.assertNoComplaints();
});

test("without an agent the page says so, and the reply comes once an agent attaches", async (t) => {
  const { url, folder } = await link();
  const visitor = await visit(t, url);
  await visitor.say("anybody there?");
  await visitor.lastLine("Your message is kept; nobody is connected right now.");
  assert.equal(await visitor.dots.count(), 0);
  await visitor.page.reload();
  await visitor.lastLine("Your message is kept; nobody is connected right now.");
  await attach(t, folder, "echo.sh");
  await visitor.answered(1);
  assert.deepEqual(await visitor.transcript(), ["anybody there?", "You said: anybody there?"]);
  visitor.assertNoComplaints();
});

test("on an open page, a revoked link ends the reply and closes the composer", async (t) => {
  const { url, folder, jid } = await link();
  await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.input.fill("not sent yet");
  await arizuko("token", "revoke", jid);
  await visitor.notice.filter({ hasText: "This link has been switched off." }).waitFor();
  await visitor.answered(1);
  assert.equal(await visitor.input.isEditable(), false);
  assert.equal(await visitor.button("Send").count(), 0);
  assert.equal(await visitor.input.inputValue(), "not sent yet", "what was typed can be copied");
  const answer = await visitor.page.reload();
  assert.equal(answer.status(), 401);
});

test("a reply that hangs is said after ten seconds, until more comes", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, "about:blank");
  await visitor.page.clock.install();
  await visitor.page.goto(url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  const line = visitor.page.locator(".foot-text");
  await visitor.page.clock.runFor(8000);
  assert.equal(await line.textContent(), "");
  await visitor.page.clock.runFor(4000);
  await visitor.lastLine("Still working…");
  await visitor.hears("Still working…");
  await open();
  await visitor.answered(1);
  assert.equal(await line.textContent(), "");
});

test("an agent that takes the turn over is said", async (t) => {
  const { url, folder } = await link();
  const { agent } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  const { open } = await attachGated(t, folder);
  const said = visitor.page.evaluate(
    () =>
      new Promise((resolve) => {
        const look = () => document.querySelector(".foot-text").textContent && resolve(document.querySelector(".foot-text").textContent);
        new MutationObserver(look).observe(document.getElementById("thread"), { subtree: true, childList: true, characterData: true });
      }),
  );
  agent.kill("SIGTERM");
  assert.equal(await said, "The answer begins again…");
  await open();
  await visitor.sees("Second half for tea.");
  await visitor.answered(1);
});

test("a link revoked while the page slept shows as revoked at the next message", async (t) => {
  const { url, jid } = await echoLink(t);
  const visitor = await visit(t, url);
  await arizuko("token", "revoke", jid);
  await visitor.say("hello");
  await visitor.notice.filter({ hasText: "This link has been switched off." }).waitFor();
  await visitor.lastLine("Not sent");
  assert.equal(await visitor.questions.textContent(), "hello");
  assert.ok(await visitor.input.isHidden(), "there is nothing to write into");
});

test("the page says that it is offline, and sends the message once the network is back", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  await visitor.page.context().setOffline(true);
  await visitor.notice.filter({ hasText: "You are offline." }).waitFor();
  await visitor.say("two");
  await visitor.lastLine("The server can't be reached.");
  await visitor.page.context().setOffline(false);
  await visitor.answered(2);
  await visitor.notice.waitFor({ state: "hidden" });
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
});

test("the page shows a broken connection, and the reply stays complete", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const line = await proxy(t, url);
  const visitor = await visit(t, line.url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  line.cut();
  await visitor.notice.filter({ hasText: "Reconnecting" }).waitFor();
  await open();
  line.mend();
  await visitor.sees("Second half for tea.");
  await visitor.answered(1);
  await visitor.notice.waitFor({ state: "hidden" });
  const [, answer] = await visitor.transcript();
  assert.equal(answer.split("half").length, 3, answer);
});

test("the answer arrives through a proxy that holds the stream back", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const line = await proxy(t, url, { buffering: true });
  const visitor = await visit(t, line.url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await open();
  await visitor.sees("Second half for tea.");
  await visitor.answered(1);
  assert.equal(await visitor.questions.count(), 1);
});

test("a deleted conversation makes way for a new one, with a sentence", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.page.evaluate(() => history.replaceState({ conversation: "AAAAAAAAAAAAAAAAAAAAAA", draft: "half a thought" }, ""));
  await visitor.page.reload();
  await visitor.notice.filter({ hasText: "This conversation is no longer kept." }).waitFor();
  assert.equal(await visitor.input.inputValue(), "half a thought");
  await visitor.say("hello");
  await visitor.answered(1);
  await visitor.notice.waitFor({ state: "hidden" });
});

test("a message that is being sent survives a reload, and arrives once", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await refuse(visitor.page, { status: 503, headers: { "retry-after": "30" } });
  await visitor.say("hello");
  await visitor.lastLine("Messages can't be taken right now.");
  await visitor.page.reload();
  await visitor.answered(1);
  assert.deepEqual(await visitor.transcript(), ["hello", "You said: hello"]);
});
