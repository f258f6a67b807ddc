// Takes screenshots for people to look at, into the folder ARIZUKO_SCREENSHOTS. Nothing compares them.

import path from "node:path";
import { test } from "node:test";
import { arizuko, attach, attachGated, attachPaced, inbox, link, refuse, shoot, visit } from "./harness.js";

const shots = [
  ["light", { colorScheme: "light", viewport: { width: 1024, height: 768 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1024, height: 768 } }],
  ["phone", { colorScheme: "light", viewport: { width: 320, height: 640 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }],
  ["phone-dark", { colorScheme: "dark", viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }],
  ["wide", { colorScheme: "light", viewport: { width: 1920, height: 1080 } }],
  ["frame", { colorScheme: "light", viewport: { width: 360, height: 500 } }],
];

for (const [name, options] of shots) {
  test(`screenshots: ${name}`, async (t) => {
    const made = await link(
      "--name",
      "Acme support",
      "--greeting",
      "Hello. Ask about orders, returns or *anything else*; we read every message.",
    );
    await attach(t, made.folder, "document.sh");
    const visitor = await visit(t, made.url, options);
    const shot = (what) => shoot(visitor.page, `${name}-${what}`);
    await visitor.input.waitFor();
    await shot("empty");
    await visitor.say("Can I put a chat link on my own site?");
    await visitor.answered(1);
    await shot("answer");
    await refuse(visitor.page, { status: 429, headers: { "retry-after": "9" } });
    await visitor.say("And may I ask two things at once?");
    await visitor.lastLine("Too many messages at once.");
    await shot("error");
  });
}

for (const [name, options] of shots.slice(0, 4)) {
  test(`screenshots: from a bot to a person and back, ${name}`, async (t) => {
    const made = await link("--name", "Acme support");
    const people = `${made.folder}/people`;
    await arizuko(
      "route",
      "set",
      made.jid,
      "--escalate-unfinished-after",
      "1s",
      "--escalate-to",
      people,
      "--escalate-say",
      "Nobody has looked yet: I'm fetching a colleague.",
    );
    const { open } = await attachGated(t, made.folder);
    const ana = await inbox(t, people, "Ana Lúcia");
    const visitor = await visit(t, made.url, options);
    const shot = (what) => shoot(visitor.page, `${name}-${what}`);
    await visitor.say("Where is my parcel?");
    await ana.takesUp();
    ana.types("/typing");
    await visitor.lastLine("Ana Lúcia is typing…");
    await shot("typing");
    ana.types("Hello, I'm Ana from the warehouse. It left us this morning; here is where it is now: https://example.com/track/1234.");
    await visitor.answered(3);
    ana.types("And I've added a small present for the wait.");
    await visitor.answered(4);
    await visitor.say("Thank you, Ana!");
    await ana.reads(/^visitor/);
    ana.types("You're welcome.");
    await visitor.answered(5);
    ana.types("/back She knows where it is.");
    await ana.reads(/is with the agent now/);
    await open();
    await visitor.say("And do you sell tea?");
    await visitor.answered(6);
    await arizuko("route", "set", made.jid, "--mode", "observe");
    await visitor.say("I'll be at home after six.");
    await visitor.lastLine("Your message was received.");
    await shot("handoff");
  });
}

const TEXT = `أهلا بكم. الطلب رقم 4711 في الطريق،
وسيصل غدا. انظر https://example.com/track/4711.

1. أولا
2. ثانيا: \`arizuko token issue\`

> اقتباس من رسالة

| المنتج | الثمن |
|:-------|------:|
| شاي | 12.50 |

- [x] Order received
- [ ] Parcel sent, with a text that is long enough to take more than one line on every screen

It left us on Monday[^1]. Write to help@example.com.

[^1]: Says the *warehouse*.

\`\`\`rust
fn main() { println!("مرحبا"); }
\`\`\`
`;

for (const [name, options] of shots.slice(0, 4)) {
  test(`screenshots: text of many forms and both directions, ${name}`, async (t) => {
    const made = await link("--name", "Acme support");
    const { write, end } = await attachPaced(t, made.folder);
    const tall = { ...options, viewport: { width: options.viewport.width, height: 1100 } };
    const visitor = await visit(t, made.url, tall);
    await visitor.say("أين طلبي؟\nOrder 4711, from https://example.com/shop.");
    await write(TEXT);
    await end();
    await visitor.answered(1);
    await visitor.page.locator(".footnote").waitFor();
    await shoot(visitor.page, `${name}-text`);
  });

  test(`screenshots: without JavaScript, ${name}`, async (t) => {
    const made = await link("--name", "Acme support");
    const { open } = await attachGated(t, made.folder);
    const visitor = await visit(t, made.url, { ...options, javaScriptEnabled: false });
    const shot = (what) => shoot(visitor.page, `${name}-plain-${what}`);
    await visitor.input.fill("Where is my parcel?");
    await visitor.button("Send").click();
    const frame = visitor.page.frameLocator("iframe.replies");
    await frame.getByText("First half for").waitFor();
    await visitor.input.fill("And do you");
    await shot("waiting");
    await open();
    await frame.locator("html:not(:has([http-equiv=refresh]))").waitFor();
    await visitor.page.reload();
    await visitor.sees("Second half for");
    await shot("answer");
    await visitor.input.fill("a long message ".repeat(8000));
    await visitor.button("Send").click();
    await visitor.sees("Too long");
    await shot("too-long");
  });
}

for (const [name, accent] of [
  ["blue", "#2563eb"],
  ["yellow", "#ffff00"],
  ["black", "#000000"],
  ["white", "#ffffff"],
]) {
  for (const [size, options] of shots.slice(0, 4)) {
    test(`screenshots: the owner's looks, ${name}, ${size}`, async (t) => {
      const logo = path.join(import.meta.dirname, "pictures/logo.svg");
      const made = await link(
        ...["--title", "Acme support", "--greeting", "Ask about orders, returns or *anything else*.", "--accent", accent],
        ...["--ask", "Where is my order?", "--ask", "I want to return something", "--ask", "Do you ship to Iceland?"],
        ...["--presence", "Usually replies in a minute", "--legal-url", "https://acme.example/legal", "--logo-file", logo],
      );
      await attach(t, made.folder, "document.sh");
      const visitor = await visit(t, made.url, options);
      const shot = (what) => shoot(visitor.page, `owner-${name}-${size}-${what}`);
      await visitor.page.waitForFunction(() => document.querySelector(".hello .logo")?.naturalWidth > 0);
      await shot("empty");
      await visitor.button("Where is my order?").click();
      await visitor.answered(1);
      await visitor.input.fill("And what does it cost?");
      await shot("answer");
    });
  }
}

test("screenshots: a running reply, and one that waits", async (t) => {
  const made = await link("--name", "Acme support");
  await attachGated(t, made.folder);
  const visitor = await visit(t, made.url, { viewport: { width: 800, height: 700 } });
  await visitor.say("tea");
  await visitor.sees("First half for tea.");
  await visitor.say("and cake?");
  await visitor.lastLine("Waiting for the answer above.");
  await shoot(visitor.page, "running");
});
