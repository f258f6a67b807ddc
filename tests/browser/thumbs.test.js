// What the visitor thinks of a reply.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arizuko, assertNoFinding, echoLink, shoot, visit } from "./harness.js";

const pressed = (page) => page.locator(".thumbs [aria-pressed=true]").evaluateAll((thumbs) => thumbs.map((thumb) => thumb.value));

test("a reply gets a thumb and a reason, which other tabs and the link's owner see", async (t) => {
  const { url, jid } = await echoLink(t);
  const options = { viewport: { width: 360, height: 740 } };
  const visitor = await visit(t, url, options);
  const { page } = visitor;
  await visitor.say("hello");
  await visitor.answered(1);
  const other = await page.context().newPage();
  await other.goto(url);
  await visitor.listen();
  await visitor.button("Bad reply").click();
  await visitor.hears("Thank you.");
  assert.deepEqual(await pressed(page), ["down"]);
  await other.locator(".thumbs [value=down][aria-pressed=true]").waitFor();
  await assertNoFinding(visitor);
  await shoot(page, "thumbs");
  await page.getByLabel("Say why, if you like").fill("It only repeats.");
  await page.keyboard.press("Enter");
  await page.getByLabel("Say why, if you like").waitFor({ state: "hidden" });
  assert.match(await arizuko("conversation", "export", jid.replace("web:", ""), "--format", "jsonl"), /It only repeats\./);
  await page.reload();
  await page.locator(".thumbs [value=down][aria-pressed=true]").waitFor();
  await visitor.button("Bad reply").click();
  await visitor.hears("Taken back.");
  assert.deepEqual(await pressed(page), []);
  visitor.assertNoComplaints();
});

test("a thumb that could not be noted is taken back", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("hello");
  await visitor.answered(1);
  await visitor.page.route(/\/rating$/, (route) => route.abort());
  await visitor.button("Good reply").click();
  await visitor.hears("Your rating was not saved. Try again.");
  assert.deepEqual(await pressed(visitor.page), []);
});
