// Webhooks that pages of other sites send to. The sites are on `localhost`, the webhook on `127.0.0.1`.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import { arizuko, visit } from "./harness.js";

/** Starts a site with an empty page, and returns its origin. */
async function site(t) {
  const server = http.createServer((_, response) => {
    response.setHeader("content-type", "text/html; charset=utf-8");
    response.end('<!doctype html><title>Acme</title><link rel="icon" href="data:,">');
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://localhost:${server.address().port}`;
}

test("a site that the link names sends beacons, forms and requests, and another can't", async (t) => {
  const folder = `browser-${randomBytes(6).toString("hex")}`;
  const [named, other] = [await site(t), await site(t)];
  const url = await arizuko("token", "issue", folder, "hook", "site", "--origin", named);
  const bodies = async () => {
    const lines = (await arizuko("conversation", "export", folder)).split("\n").filter(Boolean);
    return lines.map((line) => JSON.parse(line).turn.messages[0].content).sort();
  };

  const { page: stranger } = await visit(t, `${other}/`);
  assert.equal(await stranger.evaluate((to) => navigator.sendBeacon(to, "of a stranger"), url), true);
  const failed = stranger.evaluate((to) => fetch(to, { method: "POST", body: "of a stranger" }), url);
  await assert.rejects(failed, /Failed to fetch|NetworkError/);

  const { page } = await visit(t, `${named}/`);
  assert.equal(await page.evaluate((to) => navigator.sendBeacon(to, "of a beacon"), url), true);
  const put = (to) => fetch(to, { method: "PUT", body: '"of fetch"', headers: { "content-type": "application/json" } });
  const status = await page.evaluate(`(${put})(${JSON.stringify(url)}).then((answer) => answer.status)`);
  assert.equal(status, 202);
  await page.setContent(`<form method="post" action="${url}"><input name="text" value="form"><button>Send</button></form>`);
  const [answer] = await Promise.all([page.waitForResponse(url), page.getByRole("button").click()]);
  assert.equal(answer.status(), 202);

  // The beacon was sent first, and nobody is told of its answer.
  const expected = ['"of fetch"', "of a beacon", "text=form"];
  const deadline = Date.now() + 20_000;
  while ((await bodies()).length < expected.length && Date.now() < deadline) await page.waitForTimeout(100);
  assert.deepEqual(await bodies(), expected);
});
