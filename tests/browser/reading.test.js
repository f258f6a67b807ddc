// What a visitor reads stays as it is while more of the reply arrives.

import assert from "node:assert/strict";
import { test } from "node:test";
import { writing } from "./harness.js";

/** Selects this word in the first element that matches the selector. */
const select = (page, selector, word) =>
  page.evaluate(
    ([selector, word]) => {
      const walker = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
      while (!walker.nextNode().data.includes(word));
      const at = walker.currentNode.data.indexOf(word);
      getSelection().setBaseAndExtent(walker.currentNode, at, walker.currentNode, at + word.length);
    },
    [selector, word],
  );

const selected = (page) => page.evaluate(() => getSelection().toString());

/** Notes the nodes that match now. Returns a function that counts how many of them are gone. */
async function remember(page, selector) {
  const nodes = await page.evaluateHandle((selector) => [...document.querySelectorAll(selector)], selector);
  return () => nodes.evaluate((nodes) => nodes.filter((node) => !node.isConnected).length);
}

test("a selection, the focus and a code block's scroll survive while the block grows", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  const line = (n) => `line ${n} ${"x".repeat(400)}\n`;
  await write(`Some *finished* text.\n\n\`\`\`\n${line(1)}${line(2)}`);
  await page.locator("pre").filter({ hasText: "line 2" }).waitFor();
  const gone = await remember(page, ".assistant .body *");
  await select(page, "pre", "line 1");
  await page.locator("pre").evaluate((pre) => (pre.scrollLeft = 70));
  await visitor.button("Copy").focus();
  for (let n = 3; n < 8; n++) {
    await write(line(n));
    await visitor.sees(`line ${n}`);
    assert.equal(await gone(), 0, "every node is still there");
    assert.equal(await selected(page), "line 1");
    assert.equal(await page.locator("pre").evaluate((pre) => pre.scrollLeft), 70);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Copy");
  }
  await write("```\n\nAn end.");
  await end();
  await visitor.answered(1);
  await visitor.sees("An end.");
  assert.equal(await gone(), 0, "the end of the reply changes nothing above it");
  assert.equal(await selected(page), "line 1");
  visitor.assertNoComplaints();
});

test("lists, tables and quotes grow without new nodes for what is there", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  const parts = [
    ["- one\n- two with **strong** words\n", "- three\n", "strong"],
    ["\n| a | b |\n|---|---|\n| first | row |\n", "| second | row |\n", "first"],
    ["\n> a quote\n> > of *another*\n", "> > and more\n", "another"],
    ["\nA paragraph of `code`", " and of more words", "paragraph"],
  ];
  let last = "";
  for (const [begin, more, word] of parts) {
    await write(begin);
    last = `.block:nth-child(${parts.findIndex((part) => part[0] === begin) + 1})`;
    await page.locator(last).filter({ hasText: word }).waitFor();
    const gone = await remember(page, ".assistant .body *");
    await select(page, last, word);
    await write(more);
    await visitor.sees(/\w.*\w/.exec(more)[0].split(" | ")[0]);
    assert.equal(await gone(), 0, `every node is still there after ${more}`);
    assert.equal(await selected(page), word);
  }
  const gone = await remember(page, ".assistant .body *");
  await end();
  await visitor.answered(1);
  assert.equal(await gone(), 0);
  const before = await page.locator(".assistant .body").textContent();
  await page.reload();
  await visitor.answered(1);
  assert.equal(await page.locator(".assistant .body").textContent(), before);
  visitor.assertNoComplaints();
});
