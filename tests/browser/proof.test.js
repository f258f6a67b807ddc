// Links that ask for a proof of work: the page does the work, and the visitor sees nothing of it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { attach, link, visit } from "./harness.js";

/** Issues a link that asks for a proof of work, with an agent that repeats each message. */
async function asking(t, when) {
  const made = await link("--proof-of-work", when);
  await attach(t, made.folder, "echo.sh");
  return made;
}

/** Asserts that the page showed no line under the messages but "Sending…" and the typing dots. */
async function assertCalm(visitor) {
  const lines = await visitor.lines();
  assert.deepEqual(
    lines.filter((line) => !["Sending…", "dots"].includes(line)),
    [],
  );
}

/** The browser itself notes each refusal in its console. */
const isRefusal = (complaint) => complaint.includes("428");

test("the page proves the work, and loads nothing for it", async (t) => {
  const { url } = await asking(t, "on");
  const loaded = [];
  const visitor = await visit(t, "about:blank");
  visitor.page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
  await visitor.page.goto(url);
  await visitor.page.waitForLoadState("networkidle");
  assert.equal(loaded.length, 2, `the page and its script: ${loaded}`);
  await visitor.watchLines();
  await visitor.say("hello");
  await visitor.answered(1);
  await visitor.say("and again");
  await visitor.answered(2);
  assert.deepEqual(await visitor.transcript(), ["hello", "You said: hello", "and again", "You said: and again"]);
  await assertCalm(visitor);
  assert.ok(!loaded.slice(2).some((path) => path.includes("/assets/")), `${loaded}`);
  assert.ok(visitor.complaints.every(isRefusal), visitor.complaints.join("\n"));
});

test("while a link is under attack, an honest visitor's message goes through", async (t) => {
  const { url } = await asking(t, "auto");
  const calm = await visit(t, url);
  let challenges = 0;
  calm.page.on("response", (response) => response.status() === 428 && challenges++);
  await calm.say("before");
  await calm.answered(1);
  assert.equal(challenges, 0, "nothing is asked for while the link is calm");
  // Half of the link's rate is used up, and the attack goes on.
  const attack = async () => {
    const headers = { "content-type": "text/plain" };
    return (await fetch(url, { method: "POST", headers, body: "x" })).status;
  };
  const statuses = [];
  while (!statuses.includes(428)) statuses.push(await attack());
  let over = false;
  const attacking = (async () => {
    while (!over && statuses.length < 100) statuses.push(await attack());
  })();
  await calm.watchLines();
  await calm.say("during");
  await calm.answers.nth(1).filter({ hasText: "You said: during" }).waitFor();
  over = true;
  await attacking;
  assert.ok(challenges >= 1, "the page was asked");
  await assertCalm(calm);
  assert.ok(calm.complaints.every(isRefusal), calm.complaints.join("\n"));
});

test("without JavaScript or a secure page the visitor reads why their message is not sent", async (t) => {
  const { url } = await asking(t, "on");
  const plain = await visit(t, url, { javaScriptEnabled: false });
  await plain.input.fill("hello");
  await plain.button("Send").click();
  await plain.page.getByRole("heading", { name: "JavaScript is needed" }).waitFor();
  const insecure = await visit(t, "about:blank");
  // Takes `crypto.subtle` away, which a page over plain HTTP from another machine doesn't have.
  await insecure.page.addInitScript(() => Object.defineProperty(crypto, "subtle", { value: undefined }));
  await insecure.page.goto(url);
  await insecure.say("hello");
  await insecure.lastLine(/Open the page over https/);
  await insecure.button("Edit").click();
  assert.equal(await insecure.input.inputValue(), "hello");
});
