// Privacy: no login, no cookies, and no access to another visitor's conversation.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IS_FIREFOX, openWithoutStorage } from "./browsers.js";
import { arizuko, attach, attachGated, echoLink, link, Visitor, visit } from "./harness.js";

test("the page works with cookies and storage blocked, also across a reload in mid-reply", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = new Visitor(await openWithoutStorage(t));
  const cookies = [];
  visitor.page.on("response", async (response) => cookies.push(await response.headerValue("set-cookie")));
  await visitor.page.goto(url);
  const blocked = await visitor.page.evaluate(() => {
    try {
      return Boolean(localStorage) && "storage works";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(blocked, "SecurityError", "this browser blocks storage");
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.page.reload();
  await visitor.sees("First half for tea.");
  await open();
  await visitor.sees("Second half for tea.");
  await visitor.answered(1);
  assert.equal(await visitor.questions.count(), 1);
  assert.equal(await visitor.page.evaluate(() => document.cookie), "");
  visitor.assertNoComplaints();
  assert.ok(cookies.length > 4 && cookies.every((cookie) => cookie === null), "no response sets a cookie");
});

test("two browsers on one link never see each other", async (t) => {
  const { url } = await echoLink(t);
  const [ann, bob] = [await visit(t, url), await visit(t, url)];
  await ann.say("I am Ann");
  await bob.say("I am Bob");
  await ann.answered(1);
  await bob.answered(1);
  for (const [visitor, name] of [
    [ann, "Ann"],
    [bob, "Bob"],
  ]) {
    const expected = [`I am ${name}`, `You said: I am ${name}`];
    assert.deepEqual(await visitor.transcript(), expected);
    await visitor.page.reload();
    await visitor.answered(1);
    assert.deepEqual(await visitor.transcript(), expected);
    visitor.assertNoComplaints();
  }
  const carol = await visit(t, url);
  await carol.input.waitFor();
  assert.deepEqual(await carol.transcript(), [], "a third one sees nobody");
});

test("messages of visitors and agents cannot run scripts", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  const attack = `<img src=x onerror="document.title='hacked'"><script>document.title='hacked'</script>`;
  await visitor.say(attack);
  await visitor.answered(1);
  assert.equal(await visitor.questions.first().textContent(), attack);
  assert.equal(await visitor.answers.locator("img, script, [onerror]").count(), 0);
  assert.notEqual(await visitor.page.title(), "hacked");
  visitor.assertNoComplaints();
});

/** Waits for a whole reply on the page, or in the frame that reloads until the reply is whole. */
function answeredInPage({ page }, text) {
  const replies = [
    page.locator(".assistant"),
    page.frameLocator("iframe.replies").locator("html:not(:has([http-equiv=refresh])) .assistant"),
  ];
  return Promise.any(replies.map((reply) => reply.filter({ hasText: text }).waitFor()));
}

test("the conversation works through the plain form, without JavaScript", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url, { javaScriptEnabled: false });
  for (const [count, text] of [
    [1, "one"],
    [2, "two"],
  ]) {
    await visitor.input.fill(text);
    await visitor.button("Send").click();
    await visitor.page.waitForURL(/\?conversation=/);
    await answeredInPage(visitor, `You said: ${text}`);
    await visitor.page.reload();
    assert.equal(await visitor.answers.count(), count);
  }
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
  const { bottom, height } = await visitor.answers
    .last()
    .evaluate((last) => ({ bottom: last.getBoundingClientRect().bottom, height: innerHeight }));
  assert.ok(bottom <= height, "the newest message is in sight");
  await visitor.button("New conversation").click();
  await visitor.questions.first().waitFor({ state: "detached" });
});

test("without JavaScript, what is typed stays while a reply is written beside it", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url, { javaScriptEnabled: false });
  await visitor.input.fill("tea");
  await visitor.button("Send").click();
  const frame = visitor.page.frameLocator("iframe.replies");
  await frame.getByText("First half for tea.").waitFor();
  await visitor.input.fill("half a thought");
  await open();
  await frame.getByText("Second half for tea.").waitFor();
  assert.equal(await visitor.input.inputValue(), "half a thought");
  assert.deepEqual(await visitor.transcript(), ["tea"], "the question is on the page only, the reply in the frame only");
  assert.equal(await frame.locator(".user").count(), 0);
  await visitor.button("Send").click();
  await visitor.sees("Second half for tea.");
  assert.deepEqual(await visitor.questions.allTextContents(), ["tea", "half a thought"]);
});

test("without JavaScript, a failure and a missing agent have their sentences", async (t) => {
  const { url, folder } = await link();
  const visitor = await visit(t, url, { javaScriptEnabled: false });
  await visitor.input.fill("tea");
  await visitor.button("Send").click();
  const frame = visitor.page.frameLocator("iframe.replies");
  await frame.getByText("Your message is kept; nobody is connected right now.").waitFor();
  await attach(t, folder, "fails.sh");
  await frame.getByText("The agent could not answer.").waitFor();
  await visitor.page.reload();
  await visitor.sees("The agent could not answer.");
});

test("without JavaScript, a message that is too long is said", async (t) => {
  const { url } = await link();
  const visitor = await visit(t, url, { javaScriptEnabled: false });
  const long = "a long message ".repeat(8000);
  await visitor.input.fill(long);
  await visitor.button("Send").click();
  await visitor.sees("Too long");
  await visitor.sees("Shorten it, or send it in parts. Go back: your browser may still have what you wrote.");
  await visitor.page.goBack();
  // Firefox doesn't keep what was typed into a page that must not be stored.
  if (!IS_FIREFOX) assert.equal(await visitor.input.inputValue(), long);
});

test("without JavaScript, the frame says that the link is switched off", async (t) => {
  const { url, folder, jid } = await link();
  await attachGated(t, folder);
  const visitor = await visit(t, url, { javaScriptEnabled: false });
  await visitor.input.fill("tea");
  await visitor.button("Send").click();
  const frame = visitor.page.frameLocator("iframe.replies");
  await frame.getByText("First half for tea.").waitFor();
  await arizuko("token", "revoke", jid);
  await frame.getByText("This link doesn't work").waitFor();
});

test("the page carries on without its script", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, "about:blank");
  await visitor.page.route(/\/assets\/.*\.js$/, (route) => route.fulfill({ status: 404 }));
  await visitor.page.goto(url);
  await visitor.input.fill("tea");
  await visitor.button("Send").click();
  await visitor.page.waitForURL(/\?conversation=/);
  await answeredInPage(visitor, "You said: tea");
});

test("the page carries on without its style, with JavaScript and without", async (t) => {
  const { url } = await echoLink(t);
  for (const javaScriptEnabled of [true, false]) {
    const visitor = await visit(t, "about:blank", { javaScriptEnabled });
    // The style sheet is missing, as when another version's server is asked for it. Only a page without messages contains
    // the style itself.
    await visitor.page.route(/\/assets\/.*\.css$/, (route) => route.fulfill({ status: 404 }));
    await visitor.page.goto(url);
    for (const text of ["tea", "cake"]) {
      await visitor.input.fill(text);
      await visitor.button("Send").click();
      await answeredInPage(visitor, `You said: ${text}`);
      await visitor.page.reload();
      await answeredInPage(visitor, `You said: ${text}`);
    }
    assert.equal(await visitor.stop.isVisible(), false);
    assert.deepEqual(await visitor.transcript(), ["tea", "You said: tea", "cake", "You said: cake"]);
  }
});

test("a page with JavaScript continues a conversation of the plain form", async (t) => {
  const { url } = await echoLink(t);
  const plain = await visit(t, url, { javaScriptEnabled: false });
  await plain.input.fill("one");
  await plain.button("Send").click();
  await plain.page.waitForURL(/\?conversation=/);
  const visitor = await visit(t, plain.page.url());
  await visitor.page.waitForURL(url); // The page removes the conversation from the address.
  await visitor.answered(1);
  await visitor.say("two");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["one", "You said: one", "two", "You said: two"]);
  visitor.assertNoComplaints();
});
