// The conversations that the browser keeps.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import axe from "axe-core";
import { attach, echoLink, link, shoot, Visitor, visit } from "./harness.js";

/** Opens the list. */
async function list({ page }) {
  await page.getByRole("button", { name: "Conversations", exact: true }).click();
  await page.getByRole("dialog", { name: "Conversations" }).waitFor();
  // Firefox 153 crashes when playwright looks for elements below one that it found by its role.
  return page.locator("#conversations");
}

const titles = (dialog) => dialog.locator(".title").allTextContents();

async function twoConversations(t, options) {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url, options);
  assert.equal(await visitor.page.getByRole("button", { name: "Conversations", exact: true }).count(), 0);
  await visitor.say("Where is my order?\nIt has been two weeks, and I was told that it would take no longer than three days.");
  await visitor.answered(1);
  await visitor.button("New conversation").click();
  await visitor.questions.first().waitFor({ state: "detached" });
  await visitor.say("tea");
  await visitor.answered(1);
  return { url, visitor };
}

const ORDER = "Where is my order? It has been two weeks, and I was told…";

test("conversations are listed, opened, renamed, exported and deleted", async (t) => {
  const { url, visitor } = await twoConversations(t, { acceptDownloads: true });
  const { page } = visitor;
  const tea = await visitor.conversation();
  const dialog = await list(visitor);
  assert.deepEqual(await titles(dialog), ["tea", ORDER]);
  assert.equal(await dialog.locator("[aria-current=true]").textContent(), "tea");

  const rename = async (title, key) => {
    await dialog.getByRole("button", { name: "Rename: tea" }).click();
    await page.keyboard.type(title);
    await page.keyboard.press(key);
    return page.evaluate(() => document.activeElement.textContent);
  };
  assert.equal(await rename("nothing", "Escape"), "tea");
  assert.equal(await rename("About tea", "Enter"), "About tea", "the focus stays at the conversation");
  const download = async (kind) => {
    const [file] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: `${kind}: About tea` }).click()]);
    return [file.suggestedFilename(), await readFile(await file.path(), "utf8")];
  };
  const [name, text] = await download("Markdown");
  assert.equal(name, "About tea.md");
  assert.match(text, /^# About tea\n\n\*\*You\*\*, .*\n\ntea\n\n\*\*.*\n\nYou said: \*\*tea\*\*\n$/);
  const { title, turns } = JSON.parse((await download("JSON"))[1]);
  assert.deepEqual([title, turns[0].user.content, turns[0].assistant[0].content], ["About tea", "tea", "You said: **tea**"]);

  await dialog.getByRole("button", { name: ORDER, exact: true }).click();
  await visitor.sees("You said: Where is my order?");
  await page.reload();
  await visitor.sees("You said: Where is my order?");
  assert.deepEqual(await titles(await list(visitor)), ["About tea", ORDER], "the titles are kept");
  await dialog.getByRole("button", { name: "Delete: About tea" }).click();
  await dialog.getByRole("button", { name: "Really delete?" }).click();
  await dialog.getByRole("button", { name: "About tea", exact: true }).waitFor({ state: "detached" });
  const { status } = await page.request.get(`${url}c/${tea}`).then((answer) => ({ status: answer.status() }));
  assert.equal(status, 404, "the server has deleted it");
  visitor.assertNoComplaints();
});

test("an agent names a conversation, unless the visitor has", async (t) => {
  const { url, folder } = await link();
  await attach(t, folder, "titled.sh");
  const visitor = await visit(t, url);
  const titled = (title) => visitor.page.locator("#conversations .title").filter({ hasText: title }).waitFor({ state: "attached" });
  await visitor.say("tea");
  await visitor.answered(1);
  await titled("About tea");
  await visitor.say("cake");
  await visitor.answered(2);
  await titled("About cake");
  // Another browser that has only the conversation's id gets the title with the history.
  const id = await visitor.conversation();
  await visitor.page.evaluate(() => {
    const key = Object.keys(localStorage).find((key) => key.endsWith("conversations"));
    localStorage.removeItem(key);
  });
  await visitor.page.reload();
  await titled("About cake");
  assert.equal(await visitor.conversation(), id);

  const dialog = await list(visitor);
  await dialog.getByRole("button", { name: "Rename: About cake" }).click();
  await visitor.page.keyboard.type("Mine");
  await visitor.page.keyboard.press("Enter");
  await visitor.page.keyboard.press("Escape");
  await visitor.say("more");
  await visitor.answered(3);
  await visitor.page.reload();
  await visitor.sees("You said: more");
  assert.deepEqual(await titles(await list(visitor)), ["Mine"]);
});

test("two tabs agree on the conversations", async (t) => {
  const { url, visitor } = await twoConversations(t);
  const tab = new Visitor(await visitor.page.context().newPage());
  await tab.page.goto(url);
  await tab.sees("You said: tea");
  await tab.input.fill("a draft");
  const there = await list(tab);
  assert.deepEqual(await titles(there), ["tea", ORDER]);
  const here = await list(visitor);
  const drop = async (title) => {
    await here.getByRole("button", { name: `Delete: ${title}` }).click();
    await here.getByRole("button", { name: "Really delete?" }).click();
    await there.getByRole("button", { name: title, exact: true }).waitFor({ state: "detached" });
  };
  await drop("tea");
  for (const { page, questions } of [visitor, tab]) {
    await questions.first().waitFor({ state: "detached" });
    assert.equal(await page.locator(".message").count(), 0, "neither shows what is deleted");
  }
  assert.deepEqual(await titles(there), [ORDER]);
  assert.equal(await tab.page.locator("#content").inputValue(), "a draft", "what is typed stays");
  await drop(ORDER);
  await there.waitFor({ state: "hidden" });
  await tab.button("Conversations").waitFor({ state: "hidden" });
});

test("nothing is left of what a visitor forgets, in any tab", async (t) => {
  const { url, visitor } = await twoConversations(t);
  const { page } = visitor;
  const tab = new Visitor(await page.context().newPage());
  await tab.page.goto(url);
  await tab.sees("You said: tea");
  for (const { input } of [visitor, tab]) await input.fill("a draft");
  const dialog = await list(visitor);
  await dialog.getByRole("button", { name: "Forget everything here" }).click();
  await visitor.questions.first().waitFor({ state: "detached" });
  assert.equal(await visitor.input.inputValue(), "");
  await tab.questions.first().waitFor({ state: "detached" });
  await tab.page.waitForFunction(() => document.getElementById("content").value === "");
  const left = await page.evaluate(() => Object.keys(localStorage).map((key) => key.split("/").at(-1)));
  assert.deepEqual(left, ["era"]);
  await page.goBack();
  await page.waitForFunction(() => history.state !== null);
  assert.equal(await visitor.questions.count(), 0, "Back leads to nothing");
  await page.goto("about:blank");
  await page.goto(url);
  await visitor.input.waitFor();
  assert.equal(await visitor.questions.count(), 0);
  visitor.assertNoComplaints();
});

test("a message that was not sent goes along to another conversation", async (t) => {
  const { visitor } = await twoConversations(t);
  const { page } = visitor;
  await page.context().setOffline(true);
  await visitor.say("and cake?");
  await visitor.lastLine("The server can't be reached.");
  await (await list(visitor)).getByRole("button", { name: ORDER, exact: true }).click();
  await visitor.questions.first().waitFor({ state: "detached" });
  assert.equal(await visitor.input.inputValue(), "and cake?");
  await page.context().setOffline(false);
  await visitor.sees("You said: Where is my order?");
  await page.goBack();
  await visitor.answers.filter({ hasText: "You said: tea" }).waitFor();
  assert.equal(await visitor.questions.count(), 1, "it is not sent behind the visitor's back");
});

test("a message that was not sent survives the tab", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  const context = visitor.page.context();
  await context.setOffline(true);
  await visitor.say("two");
  await visitor.lastLine("The server can't be reached.");
  await visitor.page.close();
  await context.setOffline(false);
  const again = new Visitor(await context.newPage());
  await again.page.goto(url);
  await again.sees("You said: two");
  assert.deepEqual(await again.transcript(), ["one", "You said: one", "two", "You said: two"]);
  await again.page.goto("about:blank");
  await again.page.goto(url);
  await again.answered(2);
  assert.equal(await again.questions.count(), 2, "it is sent once");
});

for (const colorScheme of ["light", "dark"]) {
  test(`the list has no axe finding: ${colorScheme}`, async (t) => {
    const viewport = colorScheme === "light" ? { width: 360, height: 640 } : { width: 1024, height: 768 };
    const { visitor } = await twoConversations(t, { colorScheme, viewport });
    await list(visitor);
    await visitor.page.evaluate(axe.source);
    const { violations } = await visitor.page.evaluate(() => window.axe.run());
    assert.deepEqual(
      violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`),
      [],
    );
    await shoot(visitor.page, `conversations-${colorScheme}`);
  });
}
