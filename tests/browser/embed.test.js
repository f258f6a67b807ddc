// The chat in another site's page, by `embed.js`. The site is `localhost`, the chat `127.0.0.1`: two sites to a browser.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { test } from "node:test";
import axe from "axe-core";
import { openWithoutStorage } from "./browsers.js";
import { arizuko, attach, attachGated, link, shoot, Visitor, visit } from "./harness.js";
import { keyFlags, voucher } from "./vouch.js";

const HOSTILE = `
  html { font-size: 4px; }
  html > :not(body), body * { display: none !important; position: static !important; transform: rotate(9deg) !important; opacity: 0.1 !important; }
  * { font: 90px serif !important; color: red !important; background: lime !important; }
`;

/**
 * Starts a site, and issues a link that it may show. `page` turns the embed's script element into the end of the site's
 * page.
 */
async function site(t, { attributes = "", page = (script) => script, csp = () => "", html = 'lang="en"', options = [] } = {}) {
  let answer = "";
  let policy = "";
  const server = http.createServer((request, response) => {
    const isStyle = request.url === "/hostile.css";
    response.setHeader("content-type", isStyle ? "text/css" : "text/html; charset=utf-8");
    if (policy) response.setHeader("content-security-policy", policy);
    response.end(isStyle ? HOSTILE : answer);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://localhost:${server.address().port}/`;
  const made = await link("--origin", new URL(url).origin, "--greeting", "Ask *anything*.", ...options);
  const { origin } = new URL(made.url);
  const script = `<script src="${origin}/embed.js" data-chat="${made.url}" ${attributes} async></script>`;
  answer = `<!doctype html><html ${html}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Acme</title>
    <link rel="icon" href="data:,"></head><body><main><h1>Acme</h1><p>Things for everybody.</p></main>${page(script)}</body></html>`;
  policy = csp(origin);
  return { ...made, site: url, origin };
}

/** The parts of the embed in a page. */
function parts(page) {
  const frame = page.frameLocator("iframe");
  const say = async (text) => {
    await frame.getByRole("textbox", { name: "Your message" }).fill(text);
    await frame.getByRole("button", { name: "Send" }).click();
  };
  return { bubble: page.locator("button.open"), badge: page.locator(".badge"), panel: page.locator(".panel"), frame, say };
}

async function assertNoFindingAround(page) {
  await page.evaluate(axe.source);
  // The page in the frame has tests of its own. The bubble is outside of the body, where axe-core can't judge colours.
  const { violations, incomplete } = await page.evaluate(() =>
    window.axe.run({ iframes: false, rules: { "frame-tested": { enabled: false }, "color-contrast": { enabled: false } } }),
  );
  assert.deepEqual(
    [...violations, ...incomplete].map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`),
    [],
  );
}

test("a bubble opens the chat by keyboard, and counts what comes while it is closed", async (t) => {
  const made = await site(t, {
    page: (script) => `${script}<link rel="stylesheet" href="/hostile.css">`,
    csp: (origin) =>
      `default-src 'none'; script-src ${origin}; frame-src ${origin}; style-src 'self'; img-src data:; require-trusted-types-for 'script'`,
  });
  const { open } = await attachGated(t, made.folder);
  const visitor = await visit(t, "about:blank", { viewport: { width: 1000, height: 700 } });
  const { page } = visitor;
  const asked = [];
  page.on("request", (request) => asked.push(request.url()));
  await page.addInitScript(() => {
    if (window !== window.top) return;
    const before = new Set(Object.getOwnPropertyNames(window));
    window.globals = () => Object.getOwnPropertyNames(window).filter((name) => !before.has(name) && !/^globals$|^__pw/.test(name));
    window.heard = [];
    document.addEventListener("arizuko", () => {
      for (const event of ["open", "close", "unread", "ready"])
        window.arizuko.on(event, (detail) => window.heard.push(detail === undefined ? event : `${event} ${detail}`));
    });
  });
  await page.goto(made.site);
  const { bubble, badge, panel, frame } = parts(page);
  await bubble.waitFor();
  assert.deepEqual(
    asked.map((url) => new URL(url).pathname).sort(),
    ["/", "/embed.js", "/hostile.css"],
    "the chat loads when it is opened",
  );
  assert.deepEqual(await bubble.boundingBox(), { x: 924, y: 624, width: 56, height: 56 });
  assert.equal(await bubble.getAttribute("aria-expanded"), "false");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await frame.getByText("Ask anything.").waitFor();
  assert.equal(await bubble.getAttribute("aria-expanded"), "true");
  await frame.locator("#content:focus").waitFor();
  await page.keyboard.type("tea");
  await page.keyboard.press("Enter");
  await frame.locator(".assistant").getByText("First half for tea.").waitFor();
  assert.ok(await panel.isVisible());
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  assert.ok(await bubble.evaluate((button) => button.matches(":focus")), "the focus is back");
  await open();
  await badge.filter({ hasText: "1" }).waitFor();
  assert.equal(await bubble.getAttribute("aria-label"), "Chat (1)");
  assert.equal(await page.locator(".unseen").textContent(), "Chat (1)");
  await shoot(page, "embed-hostile");
  await page.keyboard.press("Enter");
  await frame.locator(".assistant").getByText("Second half for tea.").waitFor();
  await badge.waitFor({ state: "hidden" });
  assert.deepEqual(await page.evaluate("heard"), ["open", "ready", "unread 0", "close", "unread 1", "open", "unread 0"]);
  assert.deepEqual((await page.evaluate("globals()")).sort(), ["arizuko", "heard"]);
  await page.evaluate(() => {
    window.arizuko.close();
    window.arizuko.send("and milk");
  });
  await frame.locator(".user").getByText("and milk").waitFor();
  assert.ok(await panel.isVisible(), "what the site sends shows");
  // Neither the page itself nor anybody else can pretend to be the site.
  const said = await page.frames()[1].evaluate(
    () =>
      new Promise((resolve) => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = ({ data }) => resolve(data);
        window.postMessage({ arizuko: 1, shown: true }, "*", [port2]);
        setTimeout(resolve, 300, "nothing");
      }),
  );
  assert.equal(said, "nothing");
  const origins = new Set(asked.map((url) => new URL(url).origin));
  assert.deepEqual([...origins].sort(), [made.origin, new URL(made.site).origin].sort(), "nobody else is asked for anything");
  visitor.assertNoComplaints();
});

test("one bubble stays while the site navigates, shows a dialog and reads from the right", async (t) => {
  const made = await site(t, { html: 'lang="ar" dir="rtl"', attributes: 'data-label="دردشة" data-accent="#ffd500" data-open' });
  await attach(t, made.folder, "echo.sh");
  const visitor = await visit(t, made.site, { viewport: { width: 1000, height: 700 }, colorScheme: "dark" });
  const { page } = visitor;
  const { bubble, panel, frame, say } = parts(page);
  await say("tea");
  await frame.locator(".assistant").getByText("You said: tea").waitFor();
  assert.equal((await bubble.boundingBox()).x, 20);
  assert.equal(await bubble.evaluate((button) => getComputedStyle(button).color), "rgb(0, 0, 0)", "black is readable on yellow");
  await assertNoFindingAround(page);
  await shoot(page, "embed-dark");
  await page.frames()[1].evaluate(() => {
    window.marked = true;
  });
  await page.evaluate(() => {
    const body = document.createElement("body");
    const script = document.createElement("script");
    const old = document.querySelector("script[data-chat]");
    for (const { name, value } of old.attributes) script.setAttribute(name, value);
    body.innerHTML = "<main><h1>Another page</h1><button>Ask</button></main><dialog><h2>Sure?</h2><button>Yes</button></dialog>";
    body.append(script);
    document.body.replaceWith(body);
    return new Promise((resolve) => {
      script.onload = resolve;
    });
  });
  assert.equal(await bubble.count(), 1);
  assert.equal(await page.frames()[1].evaluate("marked"), true, "the chat went on");
  await bubble.click();
  await panel.waitFor({ state: "hidden" });
  const dialog = page.locator("dialog");
  await dialog.evaluate((element) => {
    element.showModal();
    element.querySelector("button").onclick = () => window.arizuko.open();
  });
  await assert.rejects(bubble.click({ timeout: 300 }), "a modal dialog is over everything else");
  await dialog.getByRole("button", { name: "Yes" }).click();
  await say("milk");
  await frame.locator(".assistant").getByText("You said: milk").waitFor();
  await page.keyboard.press("Escape");
  await panel.waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Yes");
  await dialog.evaluate((element) => element.close());
  await bubble.click();
  await frame.locator(".assistant").getByText("You said: milk").waitFor();
  assert.equal(await bubble.evaluate((button) => button.getRootNode().host.parentNode.localName), "html");
  visitor.assertNoComplaints();
});

test("where the browser keeps nothing for a frame, the site keeps the conversation", async (t) => {
  const made = await site(t);
  await attach(t, made.folder, "echo.sh");
  const visitor = new Visitor(await openWithoutStorage(t, new URL(made.url).hostname));
  await visitor.page.goto(made.site);
  const { page } = visitor;
  const { bubble, frame, say } = parts(page);
  await bubble.click();
  await say("tea");
  await frame.locator(".assistant").getByText("You said: tea").waitFor();
  const blocked = await page.frames()[1].evaluate(() => {
    try {
      return Boolean(localStorage) && "storage works";
    } catch (error) {
      return error.name;
    }
  });
  assert.equal(blocked, "SecurityError", "this browser blocks the frame's storage");
  await shoot(page, "embed-light");
  await page.reload();
  await frame.locator(".assistant").getByText("You said: tea").waitFor({ state: "attached" });
  await bubble.click();
  await frame.locator(".assistant").getByText("You said: tea").waitFor();
  visitor.assertNoComplaints();
});

test("a chat stands in the page, fills a phone, and says when it has ended", async (t) => {
  const inline = await site(t, {
    attributes: 'data-mode="inline" data-target="#chat"',
    page: (script) => `${script}<section aria-label="Help" id="chat" style="height: 500px"></section>`,
  });
  const reader = await visit(t, inline.site, { viewport: { width: 1000, height: 800 } });
  await parts(reader.page).frame.getByText("Ask anything.").waitFor();
  assert.equal((await reader.page.locator("iframe").boundingBox()).height, 500);
  assert.equal(await parts(reader.page).bubble.count(), 0);
  await assertNoFindingAround(reader.page);
  await shoot(reader.page, "embed-inline");
  const run = (mode, chat) =>
    reader.page.evaluate(
      ([mode, chat]) =>
        new Promise((resolve) => {
          const script = document.createElement("script");
          script.src = document.querySelector("script[data-chat]").src;
          Object.assign(script.dataset, { mode, chat });
          script.onload = resolve;
          document.body.append(script);
        }),
      [mode, chat],
    );
  await run("page", inline.url);
  await parts(reader.page).frame.getByText("Ask anything.").waitFor();
  assert.deepEqual(await reader.page.locator("iframe").boundingBox(), { x: 0, y: 0, width: 1000, height: 800 });
  await run("page", "javascript:alert(1)");
  assert.equal(await reader.page.locator("iframe").count(), 1);
  reader.assertNoComplaints();

  const made = await site(t, { attributes: 'data-label="Ask us" data-position="start"' });
  const phone = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true };
  const visitor = await visit(t, made.site, phone);
  const { page } = visitor;
  const { bubble, panel, frame } = parts(page);
  await assertNoFindingAround(page);
  await shoot(page, "embed-phone-closed");
  assert.equal((await bubble.boundingBox()).x, 20);
  await bubble.tap();
  await frame.getByText("Ask anything.").waitFor();
  assert.deepEqual(await panel.boundingBox(), { x: 0, y: 0, width: 360, height: 640 });
  assert.ok(await bubble.isHidden(), "nothing covers the chat");
  await shoot(page, "embed-phone");
  await assertNoFindingAround(page);
  visitor.assertNoComplaints();
  await page.getByRole("button", { name: "Close" }).tap();
  await panel.waitFor({ state: "hidden" });
  await arizuko("token", "revoke", made.jid);
  await page.reload();
  await bubble.tap();
  await frame.getByText("This link doesn't work").waitFor();
});

test("a site says who its visitor is, who finds their conversations on another device", async (t) => {
  const made = await site(t, { attributes: 'data-context-cart="2 items"', options: await keyFlags(t) });
  await attach(t, made.folder, "echo.sh");
  const vouch = await voucher(made.url);
  const arrive = async (jwt) => {
    const visitor = await visit(t, "about:blank");
    await visitor.page.exposeFunction("jwt", jwt);
    await visitor.page.goto(made.site);
    await parts(visitor.page).bubble.waitFor();
    await visitor.page.evaluate(() => {
      window.heard = [];
      window.arizuko.on("identity", (error) => window.heard.push(error ?? "known"));
      window.arizuko.identify(() => window.jwt());
    });
    return visitor;
  };
  // The first JWT has expired when the page uses it.
  let lifetime = -120;
  const visitor = await arrive(() => vouch("42", lifetime));
  const { bubble, frame, say } = parts(visitor.page);
  await bubble.click();
  await visitor.page.waitForFunction(() => window.heard.some((error) => error.includes("has expired")));
  lifetime = 60;
  await say("tea");
  await frame.locator(".assistant").getByText("You said: tea").waitFor();
  assert.equal(await visitor.page.evaluate("heard.at(-1)"), "known");
  const [listed] = JSON.parse(await arizuko("conversation", "list", made.folder, "--json")).conversations;
  assert.deepEqual([listed.identity.id, listed.identity.name], ["42", "Ann"]);
  const { turns } = JSON.parse(await arizuko("conversation", "show", listed.conversation_id, "--json"));
  assert.deepEqual(turns[0].page, { url: made.site, title: "Acme", language: "en", data: { cart: "2 items" } });

  let who = "42";
  const elsewhere = await arrive(() => vouch(who));
  const there = parts(elsewhere.page);
  await there.bubble.click();
  await there.frame.locator(".assistant").getByText("You said: tea").waitFor();
  await shoot(elsewhere.page, "embed-identity");
  // Another visitor signs in at the site; then nobody is signed in.
  who = "43";
  await elsewhere.page.evaluate(() => window.arizuko.identify(() => window.jwt()));
  await there.frame.locator(".message").first().waitFor({ state: "detached" });
  await there.say("milk");
  await there.frame.locator(".assistant").getByText("You said: milk").waitFor();
  await elsewhere.page.evaluate(() => window.arizuko.identify(null));
  await there.frame.locator(".message").first().waitFor({ state: "detached" });
  await elsewhere.page.reload();
  await there.bubble.click();
  await there.frame.getByText("Ask anything.").waitFor();
  assert.equal(await there.frame.locator(".message").count(), 0);
  elsewhere.assertNoComplaints();
});
