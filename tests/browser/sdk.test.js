// The SDK, as the gateway serves it, in Node.js and Deno.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { before, test } from "node:test";
import { arizuko, attach, attachGated, attachPaced, folderFor, given, link, proxy } from "./harness.js";
import { keyFlags, voucher } from "./vouch.js";

const PACKAGE = path.join(import.meta.dirname, "../../gateway/web/sdk");
/** Deno's program. The command of the package `deno` would need an installation script. */
const DENO = path.join(import.meta.dirname, `node_modules/@deno/linux-${process.arch}-glibc/deno`);
/** The served module as a URL that Node.js imports from. */
let module;
let sdk;

before(async () => {
  const served = await fetch(new URL("/sdk.js", given("ARIZUKO_CHAT_URL")));
  assert.equal(served.status, 200);
  module = `data:text/javascript,${encodeURIComponent(await served.text())}`;
  sdk = await import(module);
});

/**
 * Reads frames up to one that `last` is true for, and returns them. Then ends the iteration, unless the caller began it.
 */
async function read(frames, last = () => false) {
  const begun = "next" in frames;
  const iterator = frames[Symbol.asyncIterator]();
  const all = [];
  for (let next = await iterator.next(); !next.done; next = await iterator.next()) {
    all.push(next.value);
    if (last(next.value)) break;
  }
  if (!begun) await iterator.return();
  return all;
}

const says = (text) => (frame) => frame.data.text?.includes(text);
const written = (frames) => frames.map(({ data }) => data.text ?? "").join("");

test("a message arrives once and its reply is read whole, although answers are lost and connections break", async (t) => {
  const { folder, url } = await link();
  const agent = await attachPaced(t, folder);
  let losing = false;
  const line = await proxy(t, url, {
    relay: async (request, answer, response) => {
      if (request.method !== "POST" || !losing) return false;
      losing = false;
      answer.resume();
      response.destroy();
      return true;
    },
  });
  const chat = sdk.connect(line.url);
  const reply = await chat.send("tea");
  await agent.write("one ");
  const iteration = reply.frames();
  const first = await read(iteration, says("one"));
  const { cursor } = reply;
  const rest = read(iteration, says("two"));
  line.cut();
  await agent.write("two ");
  line.mend();
  const second = await rest;
  await iteration.return();
  await agent.write("three");
  const third = await read(reply, says("three"));
  await agent.end();
  const frames = [...first, ...second, ...third, ...(await read(reply))];
  assert.deepEqual(
    frames.map(({ data }) => data.n),
    frames.map((_, at) => at + 1),
    "no frame is missing and none comes twice",
  );
  assert.equal(written(frames).trim(), "one two three");
  assert.equal(frames.at(-1).data.status, "done");
  // As another process that knows the ids and the cursor would.
  const again = sdk.connect(url, { conversation: chat.conversation });
  assert.deepEqual(await read(again.reply(reply.turn, { after: cursor })), frames.slice(first.length));
  assert.equal((await reply.result()).assistant[0].content.trim(), "one two three");
  for await (const { user } of again.history()) assert.equal(user.content, "tea");
  losing = true;
  const sent = await chat.send("more");
  const news = again.frames();
  const [user] = await read(news, ({ event }) => event === "user");
  await news.return();
  assert.deepEqual([user.data.content, user.data.turn_id], ["more", sent.turn], "the frames go on after the history");
  const contents = [];
  for await (const { user } of chat.history()) contents.push(user.content);
  assert.deepEqual(contents, ["tea", "more"], "the message whose answer was lost is there once");
});

test("a program chats in Node.js, and in Deno, which checks its types and lets it reach only the gateway", async (t) => {
  const { host, origin } = new URL(given("ARIZUKO_CHAT_URL"));
  const program = await readFile(path.join(import.meta.dirname, "talk.js"), "utf8");
  const rights = [`--allow-import=${host}`, `--allow-net=${host}`, "--no-prompt"];
  const runtimes = [
    [process.execPath, [], program.replace("https://chat.example.com/sdk.js", module)],
    [DENO, ["run", "--quiet", "--check=all", ...rights], program.replaceAll("https://chat.example.com", origin)],
  ];
  for (const [runtime, flags, source] of runtimes) {
    const { folder, url } = await link();
    const agent = await attachGated(t, folder);
    const home = await folderFor(t);
    const file = path.join(home, "talk.mjs");
    await writeFile(file, source);
    const env = { DENO_DIR: home, DENO_NO_UPDATE_CHECK: "1" };
    const child = spawn(runtime, [...flags, file, url], { env, stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
    assert.equal((await lines.next()).value, "left");
    await agent.open();
    const { numbers, text, turns } = JSON.parse((await lines.next()).value);
    assert.deepEqual(
      numbers,
      numbers.map((_, at) => at + 1),
      "no frame is missing and none comes twice",
    );
    assert.equal(text, "First half for *tea*.\n\nSecond half for *tea*.");
    assert.deepEqual(turns, [["tea", text, "done"]]);
  }
});

test("a turn is cancelled, a conversation deleted, and a proof of work made", async (t) => {
  const { folder, url } = await link("--proof-of-work", "on");
  await attachGated(t, folder);
  const chat = sdk.connect(url);
  // The second message is in the conversation that the first one begins.
  const [tea, milk] = await Promise.all([chat.send("tea"), chat.send("milk")]);
  const stopped = read(tea);
  assert.equal((await tea.cancel()).status, "cancelled");
  assert.equal((await stopped).at(-1).data.status, "cancelled");
  assert.deepEqual(
    (await read(chat.history())).map(({ turn_id }) => turn_id),
    [tea.turn, milk.turn],
  );
  assert.equal((await chat.config()).agent_attached, true);
  const { conversation } = chat;
  await chat.delete();
  assert.equal(chat.conversation, null);
  const gone = sdk.connect(url, { conversation });
  await assert.rejects(read(gone.history()), { name: "ChatError", status: 404, reason: "NOT_FOUND" });
  const given = AbortSignal.abort(new Error("enough"));
  await assert.rejects(chat.send("tea", { signal: given }), /enough/);
});

test("a link that is revoked ends an iteration with an error, and an outage lasts as long as patience", async (t) => {
  const { folder, url, jid } = await link();
  await attach(t, folder, "gated.sh", "/nonexistent/gate");
  const chat = sdk.connect(url);
  const reply = await chat.send("tea");
  const ended = { name: "LinkEndedError", status: 401, reason: "TOKEN_INVALID" };
  const reading = assert.rejects(read(reply), ended);
  await read(sdk.connect(url, { conversation: chat.conversation }).reply(reply.turn), says("First half"));
  await arizuko("token", "revoke", jid);
  await reading;
  await assert.rejects(chat.send("more"), ended);
  const line = await proxy(t, url);
  line.cut();
  const unreachable = { name: "ChatError", status: 0, reason: "UNREACHABLE" };
  await assert.rejects(sdk.connect(line.url, { patience: 0 }).send("tea"), unreachable);
  assert.throws(() => sdk.connect("https://example.com/"), TypeError);
});

test("a chat says who its visitor is, and gets another JWT when one has expired", async (t) => {
  const { folder, url } = await link(...(await keyFlags(t)));
  await attach(t, folder, "echo.sh");
  const vouch = await voucher(url);
  const lifetimes = [-120, 60];
  const chat = sdk.connect(url, { visitor: async () => vouch("42", lifetimes.shift()) });
  assert.deepEqual(await chat.conversations(), []);
  const reply = await chat.send("tea", { page: { url: "https://acme.example/", data: { cart: "2 items" } } });
  await reply.result();
  const [listed] = await sdk.connect(url, { visitor: vouch("42") }).conversations();
  assert.deepEqual([listed.conversation, listed.title], [chat.conversation, "tea"]);
  assert.deepEqual(lifetimes, [], "a JWT is used for as long as it is valid");
  const other = sdk.connect(url, { conversation: chat.conversation, visitor: vouch("43") });
  await assert.rejects(other.send("cake"), { status: 404, reason: "NOT_FOUND" });
  await assert.rejects(sdk.connect(url, { visitor: "x" }).send("cake"), { status: 403, reason: "IDENTITY_INVALID" });
});

test("any site may load the files for sites, and asks again only whether they have changed", async () => {
  for (const name of ["sdk.js", "sdk.d.ts", "embed.js"]) {
    const file = new URL(`/${name}`, given("ARIZUKO_CHAT_URL"));
    const { headers } = await fetch(file);
    assert.equal(headers.get("access-control-allow-origin"), "*");
    assert.equal(headers.get("cross-origin-resource-policy"), "cross-origin");
    assert.match(headers.get("cache-control"), /^public, max-age=\d{3}$/);
    const known = await fetch(file, { headers: { "if-none-match": headers.get("etag") } });
    assert.equal(known.status, 304);
    assert.equal((await fetch(file, { headers: { "if-none-match": 'W/"another"' } })).status, 200);
  }
  const { exports, files } = JSON.parse(await readFile(path.join(PACKAGE, "package.json")));
  for (const file of files) assert.ok(await readFile(path.join(PACKAGE, file)));
  const ofPackage = await import(path.join(PACKAGE, exports["."].default));
  assert.deepEqual(Object.keys(ofPackage), ["ChatError", "connect"]);
});
