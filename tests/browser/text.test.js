// What the text of a reply becomes on the page, also while it is written.

import assert from "node:assert/strict";
import { test } from "node:test";
import { IS_FIREFOX } from "./browsers.js";
import { arizuko, inbox, link, visit, writing } from "./harness.js";

/** What the elements show, with line breaks. */
const shownIn = async (locator) => (await locator.allInnerTexts()).join("\n");

const DOCUMENT = `one line
another line

See https://example.com/a_b_c?x=1, or write to help@example.com.

- [x] done
- [ ] to do

| left | right |
|:-----|------:|
| a    |     1 |

A fact[^1].

[^1]: Its source.

\`\`\`rust
let a = 1;
\`\`\`
`;

test("line ends, addresses, tasks, tables, footnotes and code show as they were meant", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  await write(DOCUMENT);
  await end();
  await visitor.answered(1);
  await page.locator("sup").first().waitFor();
  const answer = visitor.answers.first();
  assert.equal(await shownIn(answer.locator("p").first()), "one line\nanother line");
  const links = await answer.locator("a").evaluateAll((links) => links.map((link) => [link.textContent, link.href]));
  assert.deepEqual(links, [
    ["https://example.com/a_b_c?x=1", "https://example.com/a_b_c?x=1"],
    ["help@example.com", "mailto:help@example.com"],
  ]);
  const tasks = await answer.locator("li").allInnerTexts();
  const bullets = await answer.locator("li").evaluateAll((items) => items.map((item) => getComputedStyle(item).listStyleType));
  assert.deepEqual(
    tasks.map((text) => text.replace(/\s+/, " ")),
    ["☑ done", "☐ to do"],
  );
  assert.deepEqual(bullets, ["none", "none"]);
  const cells = await answer.locator("td").evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell).textAlign));
  assert.deepEqual(cells, ["left", "right"]);
  assert.deepEqual(await answer.locator("sup").allTextContents(), ["1", "1"]);
  assert.match(await shownIn(answer.locator(".footnote")), /Its source\./);
  const label = await answer.locator(".code").evaluate((code) => [code.dataset.language, getComputedStyle(code, "::before").content]);
  assert.deepEqual(label, ["rust", IS_FIREFOX ? "attr(data-language)" : '"rust"']);
  visitor.assertNoComplaints();
});

test("copied code ends without a new line, and a copied answer has no label of a button", async (t) => {
  const { visitor, page, write, end } = await writing(t, { permissions: ["clipboard-read", "clipboard-write"] });
  await write("Before.\n\n```sh\none\ntwo\n```\n\nAfter.");
  await end();
  await visitor.answered(1);
  const copied = () => page.evaluate(() => navigator.clipboard.readText());
  await page.locator(".code button").click();
  await visitor.button("Copied").waitFor();
  assert.equal(await copied(), "one\ntwo");
  await page.evaluate(() => getSelection().selectAllChildren(document.querySelector(".assistant .body")));
  await page.keyboard.press("ControlOrMeta+c");
  await page.waitForFunction(async () => (await navigator.clipboard.readText()).includes("After."));
  const text = await copied();
  assert.match(text, /Before\.\s+one\ntwo\s+After\./);
  assert.ok(!/Cop|sh/.test(text), text);
});

test("markup shows as what it is going to be while it is written", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  const shown = page.locator(".assistant .block").last();
  const steps = [
    ["It is **bol", "strong", "bol"],
    ["d, and *more", "em", "more"],
    ["* of** it, `cod", "code", "cod"],
    ["e`, ~~no", "del", "no"],
    ["~~ and [a lin", null, "a lin"],
    ["k](https://exam", null, "a link"],
    ["ple.com/).\n\n- an *it", "em", "it"],
  ];
  for (const [text, tag, content] of steps) {
    await write(text);
    await (tag ? shown.locator(tag).last() : shown).filter({ hasText: content }).waitFor();
    assert.doesNotMatch(await shownIn(shown), /[*`~[\]]/, text);
  }
  await write("em* with 2 * 3 = 6");
  await end();
  await visitor.answered(1);
  await visitor.sees("item with 2 * 3 = 6");
  assert.equal(await shownIn(page.locator('.assistant a[href="https://example.com/"]')), "a link");
  visitor.assertNoComplaints();
});

test("a person's words and the visitor's stay as they are, with links", async (t) => {
  const { url, folder, jid } = await link();
  const people = `${folder}/people`;
  await arizuko("route", "set", jid, "--target", people);
  const ana = await inbox(t, people, "Ana");
  const visitor = await visit(t, url);
  const asked = "Is 5 * 3 * 2 at https://example.com/a_(b)?\nAsk bob@example.com.";
  await visitor.input.fill(asked);
  await visitor.button("Send").click();
  await ana.takesUp();
  ana.types("# No: 5 * 3 * 2 is\\");
  ana.types("at https://example.com/x, *not* _there_.");
  await visitor.answered(1);
  const said = "# No: 5 * 3 * 2 is\nat https://example.com/x, *not* _there_.";
  const check = async ({ page, questions, answers }) => {
    await answers.locator("a").waitFor();
    assert.equal(await shownIn(questions), asked);
    assert.equal((await shownIn(answers)).trim(), said);
    const links = page.locator(".message a");
    const hrefs = await links.evaluateAll((links) => links.map(({ href }) => href));
    assert.deepEqual(hrefs, ["https://example.com/a_(b)", "mailto:bob@example.com", "https://example.com/x"]);
    for (const rel of await links.evaluateAll((links) => links.map(({ rel }) => rel))) assert.match(rel, /noopener/);
  };
  await check(visitor);
  const conversation = await visitor.conversation();
  await visitor.page.reload();
  await check(visitor);
  await check(await visit(t, `${url}?conversation=${conversation}`, { javaScriptEnabled: false }));
  visitor.assertNoComplaints();
});

test("a long word in a message takes no time", async (t) => {
  const { url } = await link();
  const visitor = await visit(t, url);
  await visitor.input.fill("a".repeat(60_000));
  // The click returns once the message is shown.
  const took = await visitor.page.evaluate(() => {
    const begun = performance.now();
    document.getElementById("send").click();
    return performance.now() - begun;
  });
  assert.ok(took < 2000, `${took} ms`);
  await visitor.lastLine("nobody is connected");
});

test("each block has its own direction, and code is always left to right", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  await write("مرحبا بكم.\n\n- أولا\n- second\n\nIn English.\n\n`code` ثم نص.\n\n> اقتباس\n\n```\nكود = 1\n```\n");
  await end();
  await visitor.answered(1);
  const blocks = page.locator(".assistant .block");
  await blocks.nth(5).waitFor();
  const directions = await blocks.evaluateAll((blocks) => blocks.slice(0, 5).map((block) => getComputedStyle(block).direction));
  assert.deepEqual(directions, ["rtl", "rtl", "ltr", "rtl", "rtl"]);
  const list = await page.locator(".assistant ul").evaluate((list) => getComputedStyle(list).paddingRight);
  assert.notEqual(list, "0px", "the bullets are on the right");
  const quote = await page.locator("blockquote").evaluate((quote) => getComputedStyle(quote).borderRightWidth);
  assert.notEqual(quote, "0px");
  assert.equal(await page.locator("pre").evaluate((pre) => getComputedStyle(pre).direction), "ltr");
  await visitor.say("سؤال\nand English");
  assert.equal(await visitor.questions.last().evaluate((body) => getComputedStyle(body).direction), "rtl");
  visitor.assertNoComplaints();
});
