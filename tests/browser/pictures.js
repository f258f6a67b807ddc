// Makes README's pictures of the page: `node tests/browser/pictures.js target/release/arizuko`, after `tests/run` has installed its tools.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { launch } from "./browsers.js";
import { arizuko } from "./harness.js";

const [program] = process.argv.slice(2);
const folder = await mkdtemp(path.join(tmpdir(), "arizuko-pictures-"));
const pictures = path.resolve(import.meta.dirname, "../../docs/pictures");
await mkdir(pictures, { recursive: true });

/** Starts a program and waits for a line of its output. */
async function start(args, stream, wanted) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
  for await (const line of createInterface(child[stream])) if (line.includes(wanted)) return { child, line };
  throw new Error(`${args.join(" ")} has ended`);
}

const up = ["up", "--json", "--no-demo", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data-dir", folder];
const server = await start(up, "stdout", "{");
const { control, operator_key_file } = JSON.parse(server.line);
Object.assign(process.env, { ARIZUKO_CLI: program, ARIZUKO_CONTROL: control, ARIZUKO_KEY_FILE: operator_key_file });
const greeting = "Ask me about your order, or anything else.";
const url = await arizuko("token", "issue", "acme", "chat", "--title", "Acme support", "--greeting", greeting);
const order = path.join(import.meta.dirname, "agents/order.sh");
const agent = await start(["agent", "exec", "--folder", "acme", "--", order], "stderr", "attached to");
const browser = await launch();
for (const colorScheme of ["light", "dark"]) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 720, height: 640 } });
  await page.goto(url);
  await page.locator("#content").fill("Where is my order 4711?");
  await page.locator("#content").press("Enter");
  await page.getByText("anything else?").last().waitFor();
  await page.getByRole("button", { name: "Stop the reply" }).waitFor({ state: "hidden" });
  await page.waitForFunction(() => CSS.highlights.get("word").size);
  await page.screenshot({ path: path.join(pictures, `${colorScheme}.png`), animations: "disabled" });
}
await browser.close();
for (const { child } of [agent, server]) {
  child.kill("SIGTERM");
  await once(child, "exit");
}
await rm(folder, { recursive: true });
