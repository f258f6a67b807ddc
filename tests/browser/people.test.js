// Bots and people in one conversation: the page says who answers, and keeps what was said.

import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { arizuko, attach, attachGated, inbox, link, shoot, visit } from "./harness.js";

const SAY = "Nobody has looked yet: I'm fetching a colleague.";

/** Issues a link whose turns escalate to people after one second. */
async function escalatedLink(...options) {
  const made = await link("--name", "Acme support", ...options);
  const people = `${made.folder}/people`;
  await arizuko("route", "set", made.jid, "--escalate-unfinished-after", "1s", "--escalate-to", people, "--escalate-say", SAY);
  return { ...made, people };
}

test("a bot hands off to a person, whom the page names, and gets the conversation back", async (t) => {
  const { url, folder, people } = await escalatedLink();
  const { open } = await attachGated(t, folder);
  const ana = await inbox(t, people, "Ana");
  const visitor = await visit(t, url);
  await visitor.listen();
  await visitor.say("tea");
  await visitor.sees(SAY);
  await ana.takesUp();
  ana.types("/typing");
  await visitor.lastLine("Ana is typing…");
  assert.equal(await visitor.dots.count(), 1);
  ana.types("Here *I* am.");
  await visitor.answered(3);
  ana.types("At your service.");
  await visitor.answered(4);
  assert.equal(await visitor.page.locator(".foot").getByText("Ana is typing…").count(), 0);
  await visitor.hears("Ana: At your service.");
  ana.types("/back a note that nobody else reads");
  await ana.reads(/is with the agent now/);
  await open();
  await visitor.say("thanks");
  await visitor.answered(5);
  await visitor.hears("First half for thanks.");
  const heard = await visitor.heard();
  const expected = {
    transcript: [
      "tea",
      "First half for tea.",
      SAY,
      "Here *I* am.",
      "At your service.",
      "thanks",
      "First half for thanks.\n\nSecond half for thanks.",
    ],
    // The same author is not named again.
    authors: ["", "", "", "Ana", "", "", "Acme support"],
  };
  const crossings = ["Ana has joined.", "Ana has left."];
  const shown = async () => ({ transcript: await visitor.transcript(), authors: await visitor.authors() });
  const crossed = () => visitor.page.locator(".crossing").allTextContents();
  assert.deepEqual(await shown(), expected);
  assert.deepEqual(await crossed(), crossings);
  assert.equal(await visitor.page.locator(".person .author").first().getAttribute("data-initials"), "A");
  await shoot(visitor.page, "people");
  await visitor.page.reload();
  await visitor.answered(5);
  assert.deepEqual(await shown(), expected);
  assert.deepEqual(await crossed(), crossings);
  const plain = await visit(t, `${url}?conversation=${await visitor.conversation()}`, { javaScriptEnabled: false });
  assert.deepEqual(await plain.authors(), expected.authors);
  const answering = "Acme support is answering.";
  const said = ["First half for tea.", SAY].map((text) => `Acme support: ${text}`);
  assert.deepEqual(heard.slice(0, 3).sort(), [answering, ...said].sort(), "both are told, in whatever order");
  // An author who answers at once is not announced first.
  const replies = heard.slice(3).filter((text) => !["Ana is typing…", answering].includes(text));
  assert.deepEqual(replies, [
    "Ana has joined.",
    "Ana: Here *I* am.",
    "Ana: At your service.",
    "Ana has left.",
    `Acme support: ${expected.transcript.at(-1).replace("\n\n", "\n")}`,
  ]);
  assert.ok(!(await visitor.page.content()).includes("nobody else reads"));
  visitor.assertNoComplaints();
});

test("a heading names the author, with and without JavaScript", async (t) => {
  const { url, folder, people } = await escalatedLink();
  await attachGated(t, folder);
  const ana = await inbox(t, people, "Ana <b>");
  const visitor = await visit(t, url);
  await visitor.say("tea");
  await ana.takesUp();
  ana.types("Here I am.");
  await visitor.answered(3);
  const names = (page) => page.locator(".message").getByRole("heading", { level: 2 }).allTextContents();
  const expected = ["You", "Acme support", "Acme support", "Ana <b>"];
  assert.deepEqual(await names(visitor.page), expected);
  const plain = await visit(t, `${url}?conversation=${await visitor.conversation()}`, { javaScriptEnabled: false });
  assert.deepEqual(await names(plain.page), expected);
  assert.deepEqual(await plain.authors(), ["", "", "", "Ana <b>"]);
  for (const { page } of [visitor, plain]) assert.equal(await page.locator(".person .author").getAttribute("data-initials"), "AB");
});

for (const reloads of [false, true]) {
  test(`messages before an escalation survive a lost agent after it${reloads ? ", also on a page opened in between" : ""}`, async (t) => {
    const { url, folder, people } = await escalatedLink();
    await attachGated(t, folder);
    const { agent } = await attachGated(t, people);
    const visitor = await visit(t, url);
    await visitor.say("tea");
    await visitor.answers.nth(2).filter({ hasText: "First half" }).waitFor();
    if (reloads) {
      await visitor.page.reload();
      await visitor.answers.nth(2).filter({ hasText: "First half" }).waitFor();
    }
    agent.kill("SIGTERM");
    await once(agent, "exit");
    await attach(t, people, "echo.sh");
    await visitor.sees("You said: tea");
    await visitor.answered(3);
    const expected = ["tea", "First half for tea.", SAY, "You said: tea"];
    assert.deepEqual(await visitor.transcript(), expected);
    assert.equal(await visitor.answers.locator("em").count(), 1, "what is kept is still rendered");
    await visitor.page.reload();
    await visitor.answered(3);
    assert.deepEqual(await visitor.transcript(), expected);
    visitor.assertNoComplaints();
  });
}

test("an open page shows an unprompted message at once, without moving the focus", async (t) => {
  const { url, folder } = await link("--name", "Acme support");
  await attach(t, folder, "echo.sh");
  const visitor = await visit(t, url);
  await visitor.say("one");
  await visitor.answered(1);
  const conversation = await visitor.conversation();
  await visitor.hears("You said: one");
  await visitor.listen();
  await visitor.input.pressSequentially("half a mess");
  await arizuko("agent", "say", "--folder", folder, conversation, "By the *way*.");
  await visitor.answers.locator("em").filter({ hasText: "way" }).waitFor();
  await visitor.input.pressSequentially("age");
  await arizuko("agent", "say", "--folder", folder, "--name", "Ana", conversation, "I am Ana.");
  await visitor.sees("I am Ana.");
  assert.equal(await visitor.input.inputValue(), "half a message");
  assert.ok(await visitor.input.evaluate((input) => input === document.activeElement), "the focus stays");
  assert.equal(await visitor.dots.count(), 0, "no reply is awaited");
  await visitor.hears("Ana: I am Ana.");
  assert.deepEqual(await visitor.heard(), ["Acme support: By the way.", "Ana has joined.", "Ana: I am Ana."]);
  await visitor.input.press("Enter");
  await visitor.answered(4);
  const expected = ["one", "You said: one", "By the way.", "I am Ana.", "half a message", "You said: half a message"];
  assert.deepEqual(await visitor.transcript(), expected);
  assert.deepEqual(await visitor.authors(), ["", "", "", "Ana", "", "Acme support"]);

  // A page opened later finds each message once, in the history.
  const { page } = visitor;
  await page.goto("about:blank");
  await arizuko("agent", "say", "--folder", folder, conversation, "While you were away.");
  await page.goto(url);
  await visitor.sees("While you were away.");
  assert.deepEqual(await visitor.transcript(), [...expected, "While you were away."]);
  visitor.assertNoComplaints();
});

for (const [mode, doing] of [
  ["observe", "observed"],
  ["drop", "dropped"],
]) {
  test(`a message that is ${doing} shows as received, and no reply is awaited`, async (t) => {
    const { url, jid } = await link();
    await arizuko("route", "set", jid, "--mode", mode);
    const visitor = await visit(t, url);
    await visitor.listen();
    await visitor.watchLines();
    const received = visitor.page.locator(".foot").getByText("Your message was received.");
    for (let count = 1; count <= 3; count++) {
      await visitor.say(`message ${count}`);
      await received.nth(count - 1).waitFor();
      assert.equal(await visitor.stop.isVisible(), false);
    }
    assert.deepEqual(await visitor.lines(), ["Sending…", "Your message was received."]);
    await visitor.page.locator("[aria-live=polite] p").nth(2).waitFor({ state: "attached" });
    assert.deepEqual(await visitor.heard(), Array(3).fill("Your message was received."));
    for (const _ of ["shown", "reloaded"]) {
      assert.equal(await received.count(), 3);
      assert.equal(await visitor.page.locator(".thread").getByRole("button").count(), 0, "there is nothing to try again");
      assert.equal(await visitor.dots.count(), 0);
      await visitor.page.reload();
      await received.nth(2).waitFor();
    }
    visitor.assertNoComplaints();

    const plain = await visit(t, url, { javaScriptEnabled: false });
    await plain.input.fill("without scripts");
    await plain.button("Send").click();
    await plain.sees("Your message was received.");
    assert.equal(await plain.page.getByText("Waiting").count(), 0);
  });
}
