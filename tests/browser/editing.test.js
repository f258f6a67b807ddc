// The visitor changes the last message.

import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFinding, attachGated, echoLink, link, proxy, shoot, visit } from "./harness.js";

const answer = (text) => `You said: ${text}`;

async function asked(t) {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("first");
  await visitor.answered(1);
  await visitor.say("secnod");
  await visitor.answered(2);
  return { visitor, page: visitor.page, url };
}

test("the last message is changed, and its earlier version folds", async (t) => {
  const { visitor, page } = await asked(t);
  const other = await page.context().newPage();
  await other.goto(page.url());
  await other.locator(".assistant .body").nth(1).waitFor();
  assert.equal(await visitor.button("Edit").count(), 1, "only the last one can be changed");
  await visitor.input.fill("a draft");
  await visitor.button("Edit").click();
  assert.equal(await visitor.input.inputValue(), "secnod");
  await visitor.sees("You are changing your last message.");
  await assertNoFinding(visitor);
  await shoot(page, "editing");
  await visitor.say("second");
  await visitor.sees(answer("second"));
  await visitor.stop.waitFor({ state: "hidden" });
  assert.equal(await visitor.input.inputValue(), "a draft", "the draft is back");
  const shown = () => page.locator(".message .body:visible").allInnerTexts();
  assert.deepEqual(await shown(), ["first", answer("first"), "second", answer("second")]);
  await visitor.sees("Earlier version");
  await assertNoFinding(visitor);
  await page.locator("summary").click();
  assert.deepEqual(await shown(), ["first", answer("first"), "secnod", answer("secnod"), "second", answer("second")]);
  await shoot(page, "edited");
  await other.locator("details.trail").waitFor();
  await page.reload();
  await visitor.sees(answer("second"));
  assert.deepEqual(await shown(), ["first", answer("first"), "second", answer("second")]);
  visitor.assertNoComplaints();
});

test("Escape leaves the message as it is", async (t) => {
  const { visitor, page } = await asked(t);
  await visitor.input.fill("a draft");
  await visitor.button("Edit").click();
  await visitor.input.press("Escape");
  assert.equal(await visitor.input.inputValue(), "a draft");
  assert.equal(await page.locator("#editing").isVisible(), false);
  await visitor.button("Edit").click();
  await visitor.button("Leave it as it is").click();
  assert.equal(await visitor.input.inputValue(), "a draft");
  await visitor.say("third");
  await visitor.answered(3);
  assert.equal(await page.locator("details").count(), 0, "nothing was replaced");
  visitor.assertNoComplaints();
});

test("a change that comes too late is a new message", async (t) => {
  const { url } = await echoLink(t);
  // Behind this proxy the page doesn't hear of what another page sends.
  const held = await proxy(t, url, { buffering: true });
  const visitor = await visit(t, held.url);
  await visitor.say("first");
  await visitor.answered(1);
  const other = await visit(t, `${url}?conversation=${await visitor.conversation()}`);
  await other.answered(1);
  await visitor.button("Edit").click();
  await other.say("meanwhile");
  await other.answered(2);
  await visitor.say("too late");
  await other.answered(3);
  assert.equal(await other.page.locator("details").count(), 0, "nothing was replaced");
  const asked = ["first", "meanwhile", "too late"];
  assert.deepEqual(
    await other.transcript(),
    asked.flatMap((text) => [text, answer(text)]),
  );
});

test("a message can't be changed while its reply is made", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  assert.equal(await visitor.button("Edit").count(), 0);
  await open();
  await visitor.answered(1);
  await visitor.button("Edit").waitFor();
  visitor.assertNoComplaints();
});

test("without JavaScript an earlier version is folded, too", async (t) => {
  const { visitor, page } = await asked(t);
  await visitor.button("Edit").click();
  await visitor.say("second");
  await visitor.sees(answer("second"));
  await visitor.stop.waitFor({ state: "hidden" });
  const conversation = await visitor.conversation();
  const plain = await visit(t, `${page.url()}?conversation=${conversation}`, { javaScriptEnabled: false });
  const shown = () => plain.page.locator(".message .body:visible").allInnerTexts();
  assert.deepEqual(await shown(), ["first", answer("first"), "second", answer("second")]);
  await plain.page.getByText("Earlier version").click();
  assert.equal((await shown()).length, 6);
});
