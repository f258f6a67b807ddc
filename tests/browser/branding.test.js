// The page looks as the link's owner wants it to, and stays readable.

import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { arizuko, assertNoFinding, attach, attachGated, link, visit } from "./harness.js";

const LOGO = path.join(import.meta.dirname, "pictures/logo.svg");
const ACCENTS = ["#ffff00", "#000000", "#ffffff", "#2563eb"];
const LOOKS = [
  ...["--title", "Acme support", "--greeting", "Ask *anything*.", "--logo-file", LOGO],
  ...["--ask", "Where is my order?", "--ask", "I want to return something"],
  ...["--placeholder", "Ask about an order", "--legal-url", "https://acme.example/legal", "--presence", "Usually replies in a minute"],
];

/** A link with looks, whose agent repeats each message. */
async function branded(t, ...more) {
  const made = await link(...LOOKS, ...more);
  await attach(t, made.folder, "echo.sh");
  return made;
}

const colour = (visitor, selector, property) => visitor.page.locator(selector).evaluate((e, name) => getComputedStyle(e)[name], property);

test("the page has the owner's texts, logo and colours, and a starter sends its message", async (t) => {
  const { url, jid } = await branded(t, "--accent", "#2563eb", "--theme", "dark");
  const visitor = await visit(t, url, { colorScheme: "light" });
  const { page } = visitor;
  const foreign = [];
  page.on("request", (request) => request.url().startsWith(new URL(url).origin) || foreign.push(request.url()));
  await page.reload();
  await page.waitForFunction(() => document.querySelector(".hello .logo")?.naturalWidth > 0);
  assert.equal(await page.title(), "Acme support");
  assert.equal(await visitor.input.getAttribute("placeholder"), "Ask about an order");
  assert.equal(await page.getByRole("link", { name: "Legal information" }).getAttribute("href"), "https://acme.example/legal");
  await visitor.sees("Usually replies in a minute");
  assert.equal(await colour(visitor, "body", "backgroundColor"), "rgb(23, 22, 20)", "the theme is the owner's, not the system's");
  await visitor.button("Where is my order?").click();
  await visitor.answered(1);
  assert.deepEqual(await visitor.transcript(), ["Where is my order?", "You said: Where is my order?"]);
  assert.equal(await visitor.button("Where is my order?").count(), 0, "starters are for the first message");
  assert.equal(await page.evaluate(() => document.activeElement.id), "content");
  await visitor.input.fill("x");
  assert.equal(await colour(visitor, "#send", "backgroundColor"), "rgb(37, 99, 235)");
  await arizuko("token", "edit", jid, "--title", "Acme help", "--clear", "theme,accent", "--ask", "");
  await page.reload();
  await visitor.answered(1);
  assert.equal(await page.title(), "Acme help");
  assert.equal(await colour(visitor, "body", "backgroundColor"), "rgb(250, 249, 246)");
  await visitor.button("New conversation").click();
  assert.equal(await page.locator(".starters").count(), 0);
  assert.deepEqual(foreign, []);
  visitor.assertNoComplaints();
});

test("the page without JavaScript has the same looks, and its starters work", async (t) => {
  const { url, folder } = await link(...LOOKS, "--accent", "#ffff00", "--theme", "light");
  // A reply that is over before the page is made would stand in the page and not in the frame.
  const { open } = await attachGated(t, folder);
  const visitor = await visit(t, url, { javaScriptEnabled: false, colorScheme: "dark" });
  const { page } = visitor;
  assert.equal(await page.locator(".hello .logo").count(), 1);
  await visitor.sees("Usually replies in a minute");
  await visitor.button("I want to return something").click();
  await page.frameLocator("iframe.replies").getByText("First half for I want").waitFor();
  await visitor.input.fill("x");
  await page.waitForLoadState();
  assert.equal(await colour(visitor, "#send", "color"), "rgb(0, 0, 0)", "black is written on yellow");
  await open();
  const frame = page.frames().at(-1);
  await frame.locator("html:not(:has([http-equiv=refresh]))").waitFor();
  await frame.waitForLoadState();
  const ground = await frame.locator("body").evaluate((body) => getComputedStyle(body).backgroundColor);
  assert.equal(ground, "rgb(250, 249, 246)", "replies are as light as the page");
});

test("a link that is switched off offers no starters", async (t) => {
  const { url, jid } = await branded(t);
  const visitor = await visit(t, url);
  await visitor.input.fill("tea");
  await arizuko("token", "revoke", jid);
  await visitor.input.press("Enter");
  await visitor.lastLine("Not sent");
  assert.equal(await visitor.page.locator(".starters:visible").count(), 0);
});

for (const accent of ACCENTS) {
  test(`axe-core has no finding with the accent ${accent}`, async (t) => {
    const { url } = await branded(t, "--accent", accent);
    for (const colorScheme of ["light", "dark"]) {
      const visitor = await visit(t, url, { colorScheme, viewport: { width: 320, height: 568 } });
      await assertNoFinding(visitor);
      await visitor.say("See https://example.com/ and https://example.org/.");
      await visitor.answered(1);
      await visitor.page.locator(".assistant a").first().waitFor();
      await assertNoFinding(visitor);
    }
  });
}

test("axe-core has no finding in a language that is written from the right", async (t) => {
  const texts = ["--title", "دعم أكمي", "--greeting", "اسأل *أي شيء*.", "--lang", "ar", "--presence", "نجيب عادة خلال دقيقة"];
  const { url } = await link(...texts, "--ask", "أين طلبي؟", "--placeholder", "اكتب رسالة", "--logo-file", LOGO);
  const visitor = await visit(t, url, { viewport: { width: 320, height: 568 } });
  await assertNoFinding(visitor);
  assert.equal(await visitor.page.locator("h1").evaluate((h1) => getComputedStyle(h1).direction), "rtl");
  assert.equal(await visitor.input.getAttribute("lang"), "ar");
});
