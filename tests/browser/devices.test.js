// Paper, touch keyboards and magnified pages.

import assert from "node:assert/strict";
import { test } from "node:test";
import { print } from "./browsers.js";
import { attach, echoLink, link, shoot, visit } from "./harness.js";

test("on a touch keyboard Enter starts a new line, and the button sends", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url, { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true });
  assert.equal(await visitor.input.getAttribute("enterkeyhint"), "enter");
  await visitor.input.tap();
  await visitor.page.keyboard.type("one");
  await visitor.page.keyboard.press("Enter");
  await visitor.page.keyboard.type("two");
  assert.equal(await visitor.input.inputValue(), "one\ntwo");
  await visitor.button("Send").tap();
  await visitor.answered(1);
  assert.equal(await visitor.questions.textContent(), "one\ntwo");
});

test("a keyboard that covers and moves the page, as on iOS, leaves the composer and the newest words in sight", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, "about:blank", { viewport: { width: 390, height: 660 }, isMobile: true, hasTouch: true });
  const { page } = visitor;
  // No browser here has a touch keyboard: this imitates one as iOS reports it.
  await page.addInitScript(() => {
    const seen = { height: innerHeight, offsetTop: 0 };
    for (const name of Object.keys(seen)) Object.defineProperty(VisualViewport.prototype, name, { get: () => seen[name] });
    window.see = (event, height, offsetTop) => {
      Object.assign(seen, { height, offsetTop });
      visualViewport.dispatchEvent(new Event(event));
    };
  });
  await page.goto(url);
  for (let n = 1; n <= 3; n++) {
    await visitor.say(`message ${n}`);
    await visitor.answered(n);
  }
  const shown = () =>
    page.evaluate(() => {
      const edges = (selector) => document.querySelector(selector).getBoundingClientRect();
      return { bar: edges(".bar").top, words: edges(".turn:last-child .assistant .body").bottom, dock: edges(".dock") };
    });
  // The keyboard comes, the reader drags what is left of the page, and the keyboard goes.
  for (const [event, height, offsetTop] of [
    ["resize", 360, 300],
    ["scroll", 360, 120],
    ["resize", 660, 0],
  ]) {
    await page.evaluate(([...view]) => window.see(...view), [event, height, offsetTop]);
    await page.waitForFunction((height) => document.body.offsetHeight === height, height);
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn))));
    const { bar, words, dock } = await shown();
    assert.deepEqual([bar, Math.round(dock.bottom)], [offsetTop, offsetTop + height]);
    assert.ok(words <= dock.top && words > bar, `${words} between ${bar} and ${dock.top}`);
  }
});

test("a page that is magnified four times leaves half of its height to read", async (t) => {
  const { url } = await echoLink(t);
  const visitor = await visit(t, url, { viewport: { width: 320, height: 256 } });
  await visitor.say("hello");
  await visitor.answered(1);
  const share = () => visitor.page.evaluate(() => document.getElementById("log").clientHeight / innerHeight);
  assert.ok((await share()) > 0.5, `${await share()}`);
  await visitor.input.fill("a longer\nmessage\nof some\nlines");
  assert.ok((await share()) > 0.4, `${await share()} beside a draft`);
  await shoot(visitor.page, "magnified");
});

test("on paper everything shows, black on white", async (t) => {
  const { url, folder } = await link("--name", "Acme support");
  await attach(t, folder, "document.sh");
  const visitor = await visit(t, url, { colorScheme: "dark", viewport: { width: 794, height: 600 } });
  await visitor.say("What can you do?");
  await visitor.answered(1);
  await print(visitor.page);
  const { page } = visitor;
  const paper = await page.evaluate(() => {
    const style = (element) => getComputedStyle(element);
    const log = document.getElementById("log");
    return {
      paper: style(document.body).backgroundColor,
      ink: style(document.querySelector(".assistant .body")).color,
      hidden: log.scrollHeight - log.clientHeight,
      height: document.documentElement.scrollHeight - innerHeight,
      controls: [...document.querySelectorAll("button, textarea")].filter((control) => control.offsetHeight).length,
      room: document.querySelector(".thread > *").offsetHeight - document.querySelector(".turn").offsetHeight,
      gap:
        document.querySelector(".user .body").getBoundingClientRect().top -
        document.querySelector(".user .author").getBoundingClientRect().bottom,
      authors: [...document.querySelectorAll(".author")].map((author) => author.offsetHeight > 1),
    };
  });
  assert.deepEqual([paper.paper, paper.ink], ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]);
  assert.equal(paper.hidden, 0);
  assert.ok(paper.height > 0, "it is longer than the window");
  assert.deepEqual([paper.controls, paper.room], [0, 0]);
  assert.ok(paper.gap < 8, `${paper.gap} pixels between the author and the words`);
  assert.deepEqual(paper.authors, [true, true]);
  await shoot(page, "paper");
});
