// Replies that grow below their questions, with their steps, times and days.

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { assertNoFinding, attach, attachPaced, echoLink, folderFor, link, refuse, shoot, visit } from "./harness.js";

/** Returns how far the last question is below the log's top, and the last line above the log's bottom. */
const places = (page) =>
  page.evaluate(() => {
    const log = document.getElementById("log");
    const { top, bottom } = log.getBoundingClientRect();
    const last = [...document.querySelectorAll(".turn")].at(-1);
    return {
      question: Math.round(last.querySelector(".user .body").getBoundingClientRect().top - top),
      end: Math.round(bottom - last.querySelector(".foot").getBoundingClientRect().top),
      below: Math.round(log.scrollHeight - log.scrollTop - log.clientHeight),
    };
  });

for (const [name, viewport] of Object.entries({ phone: { width: 360, height: 560 }, desktop: { width: 1024, height: 700 } })) {
  test(`a question goes to the top when it is sent, and the reply grows below it: ${name}`, async (t) => {
    const { url, folder } = await link("--greeting", "Ask anything.");
    const visitor = await visit(t, url, { viewport });
    const { page } = visitor;
    await attach(t, folder, "echo.sh");
    await visitor.say("a\n".repeat(30));
    await visitor.answered(1);
    await visitor.say("short");
    await visitor.answered(2);
    assert.equal((await places(page)).question, 20);
    assert.equal((await places(page)).below, 0, "there is just enough room");
    await page.reload();
    await visitor.sees("You said: short");
    assert.ok((await places(page)).end < 80, "after a reload there is no room below the last reply");
    visitor.assertNoComplaints();
  });
}

test("the reader stays at the question, sees that there is more, and may follow it", async (t) => {
  const { url, folder } = await link();
  const { write, end } = await attachPaced(t, folder);
  const visitor = await visit(t, url, { viewport: { width: 700, height: 600 } });
  const { page } = visitor;
  await visitor.say("write");
  const [latest, lines] = [visitor.button("New messages"), page.locator(".assistant p")];
  await write("One line.\n\n");
  await lines.nth(0).waitFor();
  assert.equal(await latest.count(), 0, "all of it is in sight");
  await write("a line\n\n".repeat(40));
  await lines.nth(40).waitFor();
  assert.equal((await places(page)).question, 20);
  await latest.click();
  await write("the end\n\n");
  await lines.nth(41).waitFor();
  await page.waitForFunction(() => {
    const { scrollTop, scrollHeight, clientHeight } = document.getElementById("log");
    return scrollHeight - scrollTop - clientHeight < 2;
  });
  // A question that waits stays at the top while the reply above it grows, even if the browser does nothing for that.
  await page.getByRole("log").evaluate((log) => (log.style.overflowAnchor = "none"));
  await visitor.say("and then?");
  await visitor.lastLine("Waiting for the answer above.");
  assert.equal((await places(page)).question, 20);
  await write("more\n\n".repeat(9));
  await lines.nth(50).waitFor();
  await page.waitForFunction(() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn, 0, true))));
  assert.equal((await places(page)).question, 20);
  await end();
  visitor.assertNoComplaints();
});

test("a caret is where the reply grows, and nowhere once it is finished", async (t) => {
  const { url, folder } = await link();
  const { write, end } = await attachPaced(t, folder);
  const visitor = await visit(t, url);
  const { page } = visitor;
  await visitor.say("write");
  /** Returns the texts of the elements that have a caret. */
  const carets = () =>
    page.evaluate(() =>
      [...document.querySelectorAll(".assistant *")]
        .filter((element) => getComputedStyle(element, "::after").content === '""')
        .map((element) => element.textContent.trim()),
    );
  for (const [text, last] of [
    ["One *line*", "One line"],
    ["\n\n- one\n  - two `three`\n- four\n  - five", "five"],
    ["\n\n```js\na()\nb()\n", "a()\nb()"],
    ["```\n\n> quoted", "quoted"],
    ["\n\n|a|b|\n|-|-|\n|1|2|", "2"],
  ]) {
    await write(text);
    await visitor.sees(last.split("\n").at(-1));
    await page.waitForFunction((last) => document.querySelector(".assistant .block:last-child")?.textContent.includes(last), last.at(-1));
    assert.deepEqual(await carets(), [last], text);
  }
  await shoot(page, "caret");
  await end();
  await visitor.answered(1);
  assert.deepEqual(await carets(), []);
  visitor.assertNoComplaints();
});

test("a long question folds, by pointer and keyboard, and what is in it stays reachable", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url, { viewport: { width: 390, height: 844 } });
  const { page, questions } = visitor;
  const height = () => questions.first().evaluate((body) => body.offsetHeight);
  await visitor.say(`${"a line of many words that somebody pasted\n".repeat(30)}https://example.com/end`);
  await visitor.answered(1);
  const low = await height();
  assert.ok(low < 300, `${low}`);
  await assertNoFinding(visitor);
  await shoot(page, "folded");
  const more = questions.first().getByRole("button");
  await more.focus();
  await page.keyboard.press("Enter");
  await visitor.button("Show less").waitFor();
  assert.equal(await more.getAttribute("aria-expanded"), "true");
  assert.ok((await height()) > 2 * low);
  await visitor.button("Show less").click();
  assert.equal(await height(), low);
  await questions.first().getByRole("link").focus();
  assert.ok((await height()) > 2 * low, "a link that gets the focus is shown");
  await visitor.say("short");
  await visitor.answered(2);
  assert.equal(await page.locator(".user .body button").count(), 1);
  visitor.assertNoComplaints();
});

test("what the agent did folds into its steps", async (t) => {
  const { url, folder } = await link();
  const gates = await folderFor(t);
  const open = (gate) => writeFile(path.join(gates, gate), "");
  await attach(t, folder, "statuses.sh", gates);
  const visitor = await visit(t, url);
  const { page } = visitor;
  await visitor.say("look");
  await visitor.lastLine("Reads the shelf");
  await open("1");
  await visitor.sees("Seven");
  assert.equal(await page.locator(".trail").count(), 0, "one step is no trail");
  await open("2");
  await visitor.answered(1);
  const trail = page.locator(".trail");
  assert.equal(await trail.locator("summary").textContent(), "Steps: 3");
  assert.equal(await trail.locator("li").first().isVisible(), false);
  await trail.locator("summary").focus();
  await page.keyboard.press("Enter");
  assert.deepEqual(await trail.locator("li").allInnerTexts(), ["Reads the shelf", "Counts the cups", "Writes it down"]);
  assert.deepEqual(await visitor.transcript(), ["look", "Seven cups."]);
  await assertNoFinding(visitor);
  await shoot(page, "trail");
  await page.reload();
  await visitor.answered(1);
  await trail.locator("summary").click();
  assert.deepEqual(await trail.locator("li").allInnerTexts(), ["Reads the shelf", "Counts the cups", "Writes it down"]);
  visitor.assertNoComplaints();
});

test("each day begins with its name, and a message has its time", async (t) => {
  const { url } = await echoLink(t);
  for (const [language, yesterday, today] of [
    ["en", "yesterday", "today"],
    ["ar", "أمس", "اليوم"],
  ]) {
    const visitor = await visit(t, `${url}?lang=${language}`, { viewport: { width: 390, height: 844 } });
    const { page } = visitor;
    const days = page.locator(".day");
    await visitor.input.fill("tea");
    await visitor.input.press("Enter");
    await visitor.sees("You said: tea");
    await page.locator(".finished").waitFor();
    assert.equal(await days.count(), 0, "a conversation of today needs no day");
    const times = page.locator("time");
    const now = await page.evaluate((language) => new Intl.DateTimeFormat(language, { timeStyle: "short" }).format(new Date()), language);
    assert.equal((await times.first().textContent()).length, now.length);
    const isQuiet = () => times.evaluateAll((times) => times.every((time) => getComputedStyle(time).opacity === "0"));
    assert.ok(await isQuiet());
    await visitor.page.locator(".tools button").first().focus();
    assert.ok(!(await isQuiet()), "the time shows with the focus");
    await page.clock.setFixedTime(Date.now() + 86_400_000);
    await page.reload();
    await days.filter({ hasText: yesterday }).waitFor();
    await refuse(page, { status: 429, headers: { "retry-after": "60" } });
    await visitor.input.fill("cake");
    await visitor.input.press("Enter");
    await days.filter({ hasText: today }).waitFor();
    assert.deepEqual(await days.allTextContents(), [yesterday, today]);
    await assertNoFinding(visitor);
    await page.getByRole("log").evaluate((log) => log.scrollTo(0, 0));
    await shoot(page, `days-${language}`);
  }
});
