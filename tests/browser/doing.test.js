// The page by keyboard, copying a reply, and what the page does while its tab is hidden.

import assert from "node:assert/strict";
import { test } from "node:test";
import { assertNoFinding, attach, attachGated, link, shoot, visit } from "./harness.js";

const focused = (page) => page.evaluate(() => document.activeElement.id);

test("what is typed anywhere goes to the composer, and Escape stops the reply", async (t) => {
  const { url, folder } = await link();
  await attachGated(t, folder);
  const visitor = await visit(t, url);
  const { page } = visitor;
  await page.getByRole("log").focus();
  await page.keyboard.press("Control+b");
  await page.keyboard.press("PageDown");
  await page.keyboard.press(" ");
  assert.equal(await focused(page), "log", "keys that write nothing stay where they are");
  await page.keyboard.type("tea");
  assert.equal(await visitor.input.inputValue(), "tea");
  await page.keyboard.press("Enter");
  await visitor.sees("First half for tea.");
  // Neither a dialog that Escape closes nor an input method's key stops the reply.
  await visitor.button("Conversations").click();
  await page.keyboard.type("x");
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "hidden" });
  await visitor.input.dispatchEvent("keydown", { key: "Escape", isComposing: true, bubbles: true, cancelable: true });
  assert.equal(await visitor.input.inputValue(), "");
  const stopped = page.waitForRequest((request) => request.url().endsWith("/cancel"));
  const lines = page.locator(".foot-text");
  assert.deepEqual(await lines.allTextContents(), [""], "nothing has stopped it");
  await page.getByRole("log").focus();
  await page.keyboard.press("Escape");
  await stopped;
  await visitor.lastLine("Stopped.");
  visitor.assertNoComplaints();
});

test("a finished reply is copied as its agent wrote it", async (t) => {
  const { url, folder } = await link();
  await attach(t, folder, "document.sh");
  for (const [language, label, done] of [
    ["en", "Copy reply", "Copied"],
    ["ar", "نسخ الرد", "تم النسخ"],
  ]) {
    const visitor = await visit(t, `${url}?lang=${language}`, {
      permissions: ["clipboard-read", "clipboard-write"],
      viewport: { width: 390, height: 844 },
    });
    const { page } = visitor;
    await visitor.input.fill("write");
    await visitor.input.press("Enter");
    const copied = async () => {
      await visitor.button(label).focus();
      await page.keyboard.press("Enter");
      await visitor.button(done).waitFor();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    const text = await copied();
    assert.match(text, /^### Three ways to begin\n\nA \*\*chat link\*\* is .*\n```sh\narizuko .*\nThat is all\.$/s);
    await page.reload();
    assert.equal(await copied(), text, "the history has it, too");
    await assertNoFinding(visitor);
    visitor.assertNoComplaints();
  }
});

/** Makes the page think that its tab is hidden, or shown. */
const hide = (page, hidden) =>
  page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);

test("a visitor who asks for it hears of what comes while the tab is hidden, and reads it nowhere else", async (t) => {
  const { url, folder } = await link("--name", "Acme support");
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url, { permissions: ["notifications"] });
  const { page } = visitor;
  // Records what the page asks the browser to do, and lets the browser do it.
  await page.addInitScript(() => {
    window.asked = [];
    const { start } = OscillatorNode.prototype;
    OscillatorNode.prototype.start = function (...when) {
      window.asked.push("tone");
      return start.apply(this, when);
    };
    window.Notification = class extends Notification {
      constructor(title, options) {
        super(title, options);
        window.asked.push(`${title}: ${options.body}`);
      }
    };
  });
  await page.reload();
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.button("Conversations").click();
  const bell = visitor.button("Tell me about new messages");
  assert.equal(await bell.getAttribute("aria-pressed"), "false", "nobody is told who hasn't asked");
  await bell.click();
  assert.equal(await bell.getAttribute("aria-pressed"), "true");
  await assertNoFinding(visitor);
  await shoot(page, "bell");
  await visitor.button("Close").click();
  assert.deepEqual(await page.evaluate("asked"), ["tone"], "the visitor hears how it sounds");
  await hide(page, true);
  await open();
  await page.waitForFunction(() => window.asked.length === 3);
  assert.deepEqual(await page.evaluate("asked"), ["tone", "tone", "Acme support: New messages"]);
  await hide(page, false);
  await visitor.say("cake");
  await visitor.answered(2);
  assert.equal(await page.evaluate("asked.length"), 3, "not of what the visitor sees");
  await page.reload();
  await visitor.answered(2);
  assert.equal(await page.locator("#bell").getAttribute("aria-pressed"), "true");
  visitor.assertNoComplaints();
});

test("the tab's title counts the replies that came while it was hidden", async (t) => {
  const { url, folder } = await link("--name", "Acme support");
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url);
  const { page } = visitor;
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await hide(page, true);
  assert.equal(await page.title(), "Acme support");
  await open();
  await page.waitForFunction(() => document.title === "(1) Acme support");
  await hide(page, false);
  assert.equal(await page.title(), "Acme support");
  await visitor.say("cake");
  await visitor.answered(2);
  assert.equal(await page.title(), "Acme support", "what the visitor sees isn't counted");
});
