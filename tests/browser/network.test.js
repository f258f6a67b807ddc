// Slow links and long conversations: what is newest comes first, and nothing waits for the rest.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { attach, link, proxy, Visitor, visit } from "./harness.js";

/** A conversation of about 500 KB, and its link. */
async function longConversation(t, before = (_, url) => ({ url })) {
  const made = await link();
  await attach(t, made.folder, "long.sh");
  const { url, ...line } = await before(t, made.url);
  const visitor = await visit(t, url);
  for (let n = 1; n <= 8; n++) {
    await visitor.say(`long ${n}`);
    await visitor.answered(n);
  }
  await visitor.say("hello");
  await visitor.answered(9);
  return { url, visitor, ...line };
}

/** Opens the link again, in the same profile. */
async function comeBack({ url, visitor }, prepare = async () => {}) {
  const again = new Visitor(await visitor.page.context().newPage());
  await visitor.page.close();
  await prepare(again.page);
  await again.page.goto(url);
  return again;
}

test("the page is painted, in the owner's colours, before anything but its document has come", async (t) => {
  const { url } = await link("--accent", "#000000");
  const { page } = await visit(t, "about:blank");
  const held = [];
  await page.route(/\/assets\//, (route) => held.push(route.request().url()));
  await page.goto(url, { waitUntil: "commit" });
  await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length);
  const colours = await page.evaluate(() => {
    const ground = (element, part) => getComputedStyle(element, part).backgroundColor;
    return [ground(document.body), ground(document.querySelector(".hello"), "::before")];
  });
  assert.deepEqual(colours, ["rgb(250, 249, 246)", "rgb(0, 0, 0)"]);
  assert.equal(held.length, 1, `only the script is to come: ${held}`);
});

test("on a slow link a message goes out at once, and the newest messages come first", async (t) => {
  const made = await longConversation(t, proxy);
  const posts = [];
  const received = made.slow(100_000 / 8);
  const visitor = await comeBack(made, async (page) => {
    page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
  });
  const loading = visitor.page.locator("#loading");
  await loading.filter({ hasText: "Loading the conversation…" }).waitFor();
  assert.equal(await visitor.questions.count(), 0);
  // The same words as in the history's last message, which has not been loaded yet.
  await visitor.say("hello");
  await visitor.page.getByRole("heading", { name: "About long 8" }).waitFor();
  await visitor.answers.nth(2).filter({ hasText: "You said: hello" }).waitFor();
  await visitor.answered(3);
  assert.deepEqual(await visitor.questions.allTextContents(), ["long 8", "hello", "hello"]);
  assert.equal(posts.length, 1);
  assert.ok(received() < 80_000, `${received()} bytes`);
  assert.match(await loading.textContent(), /Loading earlier messages…/);
  visitor.assertNoComplaints();
});

test("earlier messages come as the reader scrolls up, and what they read stays in place", async (t) => {
  const visitor = await comeBack(await longConversation(t));
  const { page } = visitor;
  await visitor.answered(2);
  for (let n = 7; n >= 1; n--) {
    // Scrolls to the top, and returns the first message that is loaded, with its place.
    const place = await page.evaluateHandle(() => {
      document.getElementById("log").scrollTop = 0;
      const read = document.querySelector(".turn .user");
      return { read, top: read.getBoundingClientRect().top };
    });
    await page.getByRole("heading", { name: `About long ${n}` }).waitFor({ state: "attached" });
    const moved = await place.evaluate(({ read, top }) => read.getBoundingClientRect().top - top);
    assert.ok(Math.abs(moved) <= 1, `it moved by ${moved} pixels`);
  }
  await page.getByText("Loading earlier messages…").waitFor({ state: "hidden" });
  const expected = [...Array.from({ length: 8 }, (_, n) => `long ${n + 1}`), "hello"];
  assert.deepEqual(await visitor.questions.allTextContents(), expected);
  assert.equal(await visitor.button("New messages").count(), 0, "old messages are no news");
  await visitor.say("and now?");
  await visitor.answered(10);
  assert.deepEqual(await visitor.questions.allTextContents(), [...expected, "and now?"]);
  visitor.assertNoComplaints();
});

test("a history that takes minutes is read to its end, as long as it comes", async (t) => {
  const { url, visitor } = await longConversation(t);
  const conversation = await visitor.conversation();
  const news = new EventEmitter();
  const line = await proxy(t, url, {
    relay: async (request, answer, response) => {
      if (!request.url.includes("before=end")) return false;
      const compressed = [];
      for await (const chunk of answer) compressed.push(chunk);
      const json = gunzipSync(Buffer.concat(compressed));
      response.writeHead(200, { "content-type": "application/json" });
      for (let at = 0; at < 3; at++) {
        response.write(json.subarray(at, at + 1));
        await once(news, "more");
      }
      response.end(json.subarray(3));
      return true;
    },
  });
  const { page, ...slow } = await visit(t, "about:blank");
  await page.clock.install();
  await page.exposeFunction("came", () => news.emit("came"));
  await page.addInitScript(
    ([base, conversation]) => {
      localStorage.setItem(base, conversation);
      const real = window.fetch;
      window.fetch = async (...request) => {
        const response = await real(...request);
        if (!request[0].includes("before=end")) return response;
        const tell = new TransformStream({
          transform(chunk, out) {
            out.enqueue(chunk);
            window.came();
          },
        });
        return new Response(response.body.pipeThrough(tell), response);
      };
    },
    [new URL(url).pathname, conversation],
  );
  let came = once(news, "came");
  await page.goto(line.url);
  for (let part = 0; part < 3; part++) {
    await came;
    await page.clock.runFor(20_000);
    came = once(news, "came");
    news.emit("more");
  }
  await slow.answers.nth(1).filter({ hasText: "You said: hello" }).waitFor();
  assert.deepEqual(await slow.questions.allTextContents(), ["long 8", "hello"]);
});
