// Accessibility: no axe-core finding, keyboard only, and announcements for screen readers.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arizuko, assertNoFinding, attach, attachGated, echoLink, inbox, link, refuse, visit } from "./harness.js";

const phone = { width: 320, height: 568 };

// Colours are the same in all sizes, so one size is enough for the dark page.
for (const [colorScheme, name, viewport] of [
  ["light", "phone", phone],
  ["light", "frame", { width: 360, height: 500 }],
  ["light", "wide", { width: 1440, height: 900 }],
  ["dark", "phone", phone],
])
  test(`axe-core has no finding: ${colorScheme}, ${name}`, async (t) => {
    const { url, folder } = await link("--greeting", "Ask *anything*.");
    await attach(t, folder, "document.sh");
    const visitor = await visit(t, url, { colorScheme, viewport });
    await visitor.input.waitFor();
    await assertNoFinding(visitor);
    await visitor.say("What can you do?");
    await visitor.answered(1);
    await assertNoFinding(visitor);
    await refuse(visitor.page, { status: 429, headers: { "retry-after": "60" } });
    await visitor.say("And then?");
    await visitor.lastLine("Too many messages at once.");
    await assertNoFinding(visitor);
  });

test("axe-core has no finding while a reply runs and when the link is off", async (t) => {
  const { url, folder } = await link();
  await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await assertNoFinding(visitor);
  await refuse(visitor.page, { status: 401 });
  await visitor.say("cake");
  await visitor.lastLine("Not sent");
  await assertNoFinding(visitor);
});

for (const colorScheme of ["light", "dark"]) {
  test(`axe-core has no finding when a person and an agent answer: ${colorScheme}`, async (t) => {
    const { url, folder, jid } = await link();
    const people = `${folder}/people`;
    await arizuko("route", "set", jid, "--target", people);
    const ana = await inbox(t, people, "Ana");
    const visitor = await visit(t, url, { colorScheme, viewport: phone });
    await visitor.say("tea");
    await ana.takesUp();
    ana.types("/typing");
    await visitor.lastLine("Ana is typing…");
    await assertNoFinding(visitor);
    ana.types("# Tea\\");
    ana.types("Here it is.");
    await visitor.answered(1);
    await arizuko("agent", "say", "--folder", people, await visitor.conversation(), "### By the way\n\nIt is hot.");
    await visitor.answered(2);
    await arizuko("route", "set", jid, "--mode", "observe");
    await visitor.say("noted");
    await visitor.lastLine("Your message was received.");
    await assertNoFinding(visitor);
  });
}

test("axe-core has no finding on the page of a link that is off", async (t) => {
  const { url, jid } = await link();
  await arizuko("token", "revoke", jid);
  for (const colorScheme of ["light", "dark"]) {
    const visitor = await visit(t, url, { colorScheme, viewport: phone });
    await visitor.page.getByRole("heading", { level: 1 }).waitFor();
    await assertNoFinding(visitor);
  }
});

test("the page works with the keyboard alone, and shows the focus", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  const { page } = visitor;
  const focused = () =>
    page.evaluate(
      () => document.activeElement.getAttribute("aria-label") || document.activeElement.id || document.activeElement.textContent,
    );
  assert.equal(await focused(), "content", "the composer has the focus from the start");
  await page.keyboard.type("tea");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("and cake");
  assert.equal(await visitor.input.inputValue(), "tea\nand cake");
  await page.keyboard.press("Enter");
  await visitor.sees("First half for");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Stop the reply");
  assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
  await page.keyboard.press("Enter");
  await visitor.lastLine("Stopped.");
  await page.waitForFunction(() => document.activeElement.id === "content");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Send");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "Copy reply");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "Edit");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "Conversation");
  await page.keyboard.press("Shift+Tab");
  assert.equal(await focused(), "New conversation");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "content" && !document.querySelector(".message"));
  await open();
});

test("Enter that ends an input method's composition sends nothing", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.input.fill("にほん");
  await visitor.input.dispatchEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true });
  assert.equal(await visitor.questions.count(), 0);
  assert.equal(await visitor.input.inputValue(), "にほん");
});

test("a screen reader hears the finished answer once, not its pieces", async (t) => {
  const { url, folder } = await link();
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  await visitor.listen();
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await open();
  await visitor.answered(1);
  await visitor.hears("Second half");
  const heard = await visitor.heard();
  assert.equal(heard.filter((text) => text.includes("half")).length, 1, heard.join("\n"));
  assert.equal(await visitor.page.getByRole("log").getAttribute("aria-live"), "off");
});

test("a screen reader hears what was said before it hears that the reply failed", async (t) => {
  const { url, folder } = await link();
  await attach(t, folder, "fails.sh");
  const visitor = await visit(t, url);
  await visitor.listen();
  await visitor.say("tea");
  await visitor.hears("The agent could not answer.");
  const heard = await visitor.heard();
  const order = ["It began well", "could not answer"].map((text) => heard.findIndex((said) => said.includes(text)));
  assert.ok(order[0] >= 0 && order[0] < order[1], heard.join("\n"));
});

test("what moves stays still with prefers-reduced-motion", async (t) => {
  const { url, folder } = await link();
  await attachGated(t, folder);
  for (const [reducedMotion, moves] of [
    ["no-preference", true],
    ["reduce", false],
  ]) {
    const visitor = await visit(t, url, { reducedMotion });
    await visitor.say("tea");
    await visitor.sees("First half for tea.");
    const moving = await visitor.page.evaluate(() => document.getAnimations().length);
    assert.equal(moving > 0, moves, reducedMotion);
  }
});
