// Conversations: messages, replies, reloads, and stopping a reply.

import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { attach, attachGated, echoLink, given, link, Visitor, visit } from "./harness.js";

test("the demo link streams an answer in Markdown", async (t) => {
  const visitor = await visit(t, given("ARIZUKO_CHAT_URL"));
  await visitor.say("Hello, who are you?");
  await visitor.answers.locator(".block").first().waitFor();
  await visitor.answered(1);
  assert.equal(await visitor.answers.locator(".plain").count(), 0, "no answer is left as plain text");
  assert.match(await visitor.answers.first().innerHTML(), /<(p|ul|ol|h\d|pre|strong|em|code)\b/);
  visitor.assertNoComplaints();
});

test("the page shows a reply while the agent writes it", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.answers.locator("em").filter({ hasText: "tea" }).waitFor();
  assert.equal(await visitor.dots.count(), 1, "more is due");
  await open();
  await visitor.answered(1);
  assert.deepEqual(
    await visitor.transcript(),
    ["tea", "First half for tea.\nSecond half for tea."].map((text) => text.replace("\n", "\n\n")),
  );
  visitor.assertNoComplaints();
});

test("a reload in mid-reply keeps everything and shows nothing twice", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.page.reload();
  await visitor.sees("First half for tea.");
  assert.equal(await visitor.dots.count(), 1);
  await open();
  await visitor.sees("Second half for tea.");
  await visitor.answered(1);
  await visitor.page.reload();
  await visitor.answered(1);
  const transcript = (await visitor.transcript()).join("\n");
  for (const once of ["First half for tea.", "Second half for tea."]) {
    assert.equal(transcript.split(once).length, 2, `${once} is there once:\n${transcript}`);
  }
  assert.equal(await visitor.questions.count(), 1);
  visitor.assertNoComplaints();
});

test("two messages within one second are both answered, each below its question", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.say("two");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
  visitor.assertNoComplaints();
});

test("a message sent while a reply runs waits its turn", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.say("cake");
  await visitor.lastLine("Waiting for the answer above.");
  await open();
  await visitor.answered(2);
  const [, tea, , cake] = await visitor.transcript();
  assert.match(tea, /for tea\.$/);
  assert.match(cake, /for cake\.$/);
  visitor.assertNoComplaints();
});

test("messages over the limit of open turns are sent as soon as there is room", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  const messages = ["tea", "cake", "jam", "milk", "bread"];
  for (const message of messages) await visitor.say(message);
  await visitor.sees("The answers above come first.");
  await open();
  await visitor.answered(messages.length);
  const transcript = await visitor.transcript();
  assert.deepEqual(
    transcript.filter((_, i) => i % 2 === 0),
    messages,
  );
  for (const [i, message] of messages.entries()) assert.match(transcript[2 * i + 1], new RegExp(`Second half for ${message}`));
});

test("the stop button ends the reply", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.stop.click();
  await visitor.lastLine("Stopped.");
  await visitor.answered(1);
  assert.ok(await visitor.input.evaluate((input) => input === document.activeElement), "the composer has the focus again");
  await open();
  await visitor.say("cake");
  await visitor.answered(2);
  assert.deepEqual((await visitor.transcript()).slice(0, 2), ["tea", "First half for tea."]);
  visitor.assertNoComplaints();
});

test("a dead agent leaves a sentence and no typing dots", async (t) => {
  const { url, folder } = await link();
  await attach(t, folder, "fails.sh");
  const visitor = await visit(t, url);
  await visitor.say("hello");
  await visitor.lastLine("The agent could not answer.");
  await visitor.answered(1);
  await visitor.button("Ask again").waitFor();
  visitor.assertNoComplaints();
});

test("a new conversation begins empty, and Back returns to the one before", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  await visitor.button("New conversation").click();
  await visitor.questions.first().waitFor({ state: "detached" });
  await visitor.page.reload();
  await visitor.input.waitFor();
  await visitor.say("two");
  await visitor.answered(1);
  assert.deepEqual(await visitor.transcript(), ["two", "You said: two"]);
  await visitor.page.goBack();
  await visitor.sees("You said: one");
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one"]);
  visitor.assertNoComplaints();
});

test("two tabs share the conversation, and each shows every message once", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  const tab = new Visitor(await visitor.page.context().newPage());
  await tab.page.goto(url);
  await tab.sees("You said: one");
  await tab.say("two");
  await visitor.sees("You said: two");
  await visitor.answered(2);
  await tab.answered(2);
  const expected = ["one", "You said: one", "two", "You said: two"];
  assert.deepEqual(await visitor.transcript(), expected);
  assert.deepEqual(await tab.transcript(), expected);
  visitor.assertNoComplaints();
});

test("the page works in a frame on a site that the link allows", async (t) => {
  const site = http.createServer((_request, response) => {
    response.setHeader("content-type", "text/html");
    response.end(`<iframe width=360 height=500 src="${url}"></iframe>`);
  });
  await new Promise((resolve) => site.listen(0, "127.0.0.1", resolve));
  t.after(() => site.close());
  const origin = `http://localhost:${site.address().port}`;
  const { url, folder } = await link("--origin", origin);
  await attach(t, folder, "echo.sh");
  const { page } = await visit(t, origin);
  const frame = page.frameLocator("iframe");
  await frame.getByRole("textbox").fill("one");
  await frame.getByRole("textbox").press("Enter");
  await frame.getByText("You said: one").first().waitFor();
});

test("a visitor who has scrolled up stays there and sees that there are new messages", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url, { viewport: { width: 360, height: 300 } });
  await visitor.say("tea\n".repeat(20));
  await visitor.sees(/First half/);
  const log = visitor.page.getByRole("log");
  await log.focus();
  await visitor.page.keyboard.press("Home");
  await visitor.page.waitForFunction(() => document.getElementById("log").scrollTop === 0);
  await open();
  await visitor.button("New messages").click();
  await visitor.page.waitForFunction(() => {
    const { scrollTop, scrollHeight, clientHeight } = document.getElementById("log");
    return scrollHeight - scrollTop - clientHeight < 2;
  });
  assert.equal(await visitor.button("New messages").count(), 0);
  visitor.assertNoComplaints();
});
