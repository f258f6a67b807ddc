// A site's own page with Vercel's AI SDK: `useChat` in a browser.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import path from "node:path";
import { test } from "node:test";
import { open } from "./browsers.js";
import { arizuko, attachGated, link } from "./harness.js";

const CLIENTS = path.join(import.meta.dirname, "../clients");

/** Serves the page of tests/clients/use-chat.js until the test ends, and returns its origin. */
async function site(t) {
  const { build } = createRequire(path.join(CLIENTS, "package.json"))("esbuild");
  const define = { "process.env.NODE_ENV": '"production"' };
  const built = await build({ entryPoints: [path.join(CLIENTS, "use-chat.js")], bundle: true, define, write: false });
  const [{ text }] = built.outputFiles;
  const server = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(isScript ? text : "<!doctype html><meta charset=utf-8><body><script type=module src=/page.js></script>");
  });
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  return `http://127.0.0.1:${server.address().port}`;
}

test("useChat shows a reply as it grows, resumes it after a reload, and goes on in the conversation", async (t) => {
  const origin = await site(t);
  const { folder, url } = await link("--origin", origin);
  const agent = await attachGated(t, folder);
  const page = await open(t);
  const send = async (text) => {
    await page.getByRole("textbox").fill(text);
    await page.getByRole("textbox").press("Enter");
  };
  const replies = page.locator("li.assistant");
  await page.goto(`${origin}/?chat=${encodeURIComponent(url)}`);
  await send("hello");
  await replies.filter({ hasText: "First half for *hello*." }).waitFor();
  await page.reload();
  await replies.filter({ hasText: "First half for *hello*." }).waitFor();
  await agent.open();
  await page.getByRole("status").filter({ hasText: "ready" }).waitFor();
  assert.deepEqual(await replies.allTextContents(), ["First half for *hello*.\n\nSecond half for *hello*."]);

  await send("more");
  await replies.filter({ hasText: "Second half for *more*." }).waitFor();
  const { conversations } = JSON.parse(await arizuko("conversation", "list", folder, "--json"));
  assert.equal(conversations.length, 1);

  await arizuko("token", "revoke", url);
  await send("again");
  await page.getByRole("status").filter({ hasText: "TOKEN_INVALID" }).waitFor();
});
