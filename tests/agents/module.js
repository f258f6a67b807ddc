/**
 * An agent that uses the module in examples/typescript and takes the steps that a test sends it. module.py lists
 * the steps.
 *
 * Usage: module.js <host:port> <concurrency> [--plain]. With --plain, its handlers ignore their
 * signal.
 */

import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Agent, Failure } from "../../examples/typescript/dist/agent.js";

const [address, concurrency] = process.argv.slice(2);
const [host, port] = address.split(":");

function started(turn) {
  const about = { ARIZUKO_TURN: turn.turnId, ARIZUKO_JID: turn.jid, attempt: turn.attempt };
  return JSON.stringify({ pid: process.pid, environment: about, input: Buffer.from(turn.content).toString("base64") });
}

/** Takes a step. */
async function take(step, turn, reply) {
  if ("out" in step) reply.write(Buffer.from(step.out, "base64").toString());
  if ("status" in step) reply.status(step.status);
  if ("message" in step) reply.message(step.message);
  if ("usage" in step) reply.usage(...step.usage);
  if ("handoff" in step) reply.handOff(step.handoff, step.note);
  if ("respond" in step) {
    const { body, content_type: contentType, ...answer } = step.respond;
    reply.respond(body, { contentType, ...answer });
  }
  if ("speak" in step) await agent.control.sendMessage(turn.conversation, step.speak);
  if ("issue" in step) {
    const issued = agent.control.issueChatLink(step.issue).then(({ jid }) => jid);
    reply.write(`${await issued.catch(({ code, reason, retryAfter }) => `${code} ${reason} ${retryAfter > 0}`)}\n`);
  }
  // Blocks the thread.
  if ("block" in step) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, step.block * 1000);
  if (step.exit === 1) throw new Failure("That is beyond me.");
  if (step.exit === 2) throw new Error("a secret of the agent's");
}

/** Yields texts one UTF-16 unit at a time, as a stream that splits characters does. */
async function* each(texts) {
  for (const text of texts) yield* text.split("");
}

async function answer(turn, reply) {
  const test = connect(Number(port), host);
  const { signal } = process.argv.includes("--plain") ? {} : reply;
  try {
    test.write(`${started(turn)}\n`);
    for await (const line of createInterface({ input: test, signal })) {
      const step = JSON.parse(line);
      await take(step, turn, reply);
      if ("return" in step) return typeof step.return === "string" ? step.return : each(step.return);
      if ("exit" in step) return;
      test.write("{}\n");
    }
  } finally {
    test.destroy();
  }
}

const agent = new Agent(answer, { name: "module", concurrency: Number(concurrency) });
await agent.run();
process.exit();
