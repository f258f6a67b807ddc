// A link that is paused, or outside of its hours: the page says so, and goes on by itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arizuko, echoLink, link, visit } from "./harness.js";

test("a page says that its link is paused, and goes on when it is resumed", async (t) => {
  const { url, folder } = await echoLink(t);
  const visitor = await visit(t, "about:blank");
  let refusals = 0;
  visitor.page.on("response", (response) => response.status() === 403 && refusals++);
  await visitor.page.clock.install();
  await visitor.page.goto(url);
  await visitor.say("hello");
  await visitor.answered(1);
  await arizuko("token", "pause", `web:${folder}`);
  await visitor.notice.filter({ hasText: "paused for now" }).waitFor();
  const late = await visit(t, "about:blank");
  await late.page.clock.install();
  await late.page.goto(url);
  await late.notice.filter({ hasText: "What you write is kept" }).waitFor();
  await visitor.say("are you there?");
  await visitor.page.getByText("This chat is paused for now. Sending again").waitFor();
  assert.ok(refusals <= 2, `${refusals} refusals: the page must not ask again at once`);
  await arizuko("token", "resume", `web:${folder}`);
  // The page then makes a request. `runFor` would also let the time for its answer pass.
  await late.page.clock.fastForward(60_000);
  await late.notice.waitFor({ state: "hidden" });
  await visitor.page.clock.fastForward(60_000);
  await visitor.answered(2);
  await visitor.notice.waitFor({ state: "hidden" });
  assert.deepEqual(await visitor.transcript(), ["hello", "You said: hello", "are you there?", "You said: are you there?"]);
});

test("outside of its hours a page says what the owner says, until they begin", async (t) => {
  const away = "We're back tomorrow at 9.";
  const hour = new Date().getUTCHours();
  const { url } = await link("--hours", `${(hour + 2) % 24}-${(hour + 3) % 24} UTC`, "--away", away);
  const visitor = await visit(t, "about:blank");
  await visitor.page.clock.install();
  await visitor.page.goto(url);
  await visitor.notice.filter({ hasText: away }).waitFor();
  await visitor.say("hello");
  await visitor.lastLine(away);
  await visitor.page.clock.fastForward("02:00:00");
  await visitor.notice.waitFor({ state: "hidden" });
});
