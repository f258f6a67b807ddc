/** An agent that repeats each message, word by word. It issues a chat link and prints its URL. */

import { setTimeout as sleep } from "node:timers/promises";
import { Agent, type Reply, type Turn } from "arizuko-agent";

async function* answer(turn: Turn, reply: Reply) {
  reply.status("listening");
  for (const word of new TextDecoder().decode(turn.content).split(/\s+/)) {
    yield `${word} `;
    await sleep(100, null, { signal: reply.signal });
  }
}

const agent = new Agent(answer, { concurrency: 10 });
console.log((await agent.control.issueChatLink()).url);
await agent.run();
