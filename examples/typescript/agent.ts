/**
 * An arizuko agent. Its session survives broken streams and restarts of control.
 *
 *     import { Agent } from "arizuko-agent";
 *
 *     const answer = (turn) => `You said: ${new TextDecoder().decode(turn.content)}`;
 *
 *     await new Agent(answer).run();
 *
 * A handler gets a turn and a reply. Heartbeats, acknowledgements and reconnecting happen in a thread
 * of their own (session.ts), so that a handler that is busy never delays them.
 *
 * @module
 */

import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { nameOf } from "./attempt.js";
import { Control, ControlError, type Reason } from "./control.js";
import type { Turn } from "./generated/arizuko/v1/turn_pb.js";
import { type Answer, Failure, Gone, Reply } from "./reply.js";
import type { News, Order, Settings } from "./session.js";

export { type Answer, Control, ControlError, Failure, Gone, type Reason, type Reply, type Turn };

const FAREWELL = 3_000; // milliseconds to wait for the end of all work
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** What a handler returns: its reply or the rest of it, in one piece or in several, or nothing. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler may be a function that returns nothing
export type Said = string | AsyncIterable<string> | Iterable<string> | void;

/** Answers a turn. */
export type Handler = (turn: Turn, reply: Reply) => Said | Promise<Said>;

export interface Options {
  /** The folder whose turns the agent takes, by default the key's. */
  folder?: string;
  /** Shown to operators. */
  name?: string;
  /** How many turns the agent takes at a time: 1 by default. */
  concurrency?: number;
  /** How many earlier messages each turn has, at most 200: none by default. */
  history?: number;
  control?: Control;
}

/** Takes the turns of a folder, and calls a handler with each. */
export class Agent {
  readonly control: Control;
  readonly #handler: Handler;
  readonly #settings: Settings;
  readonly #running = new Map<string, { reply: Reply; answered: Promise<void> }>();
  readonly #stopping = new AbortController();

  constructor(handler: Handler, { folder = "", name = "typescript", concurrency = 1, history = 0, control = new Control() }: Options = {}) {
    this.control = control;
    this.#handler = handler;
    const { addresses, key } = control;
    this.#settings = { addresses, key, hello: { folder, name, history }, concurrency };
  }

  /**
   * Takes turns until SIGTERM, SIGINT or `stop`. Then it rejects the unfinished turns.
   *
   * Throws ControlError if control refuses the key, the folder or the protocol.
   */
  async run(): Promise<void> {
    const session = new Worker(new URL("./session.js", import.meta.url), { workerData: this.#settings });
    const tell = (order: Order) => session.postMessage(order);
    const ended = new Promise<void>((resolve, reject) => {
      session.on("message", (news: News) => {
        if ("turn" in news) this.#begin(news.turn, tell);
        else if ("over" in news) this.#running.get(news.over)?.reply.abandon();
        else if ("trouble" in news) console.warn(`${news.trouble} (trying until control answers)`);
        else reject(ControlError.copy(news.refused));
      });
      session.on("error", reject);
      session.on("exit", resolve);
    });
    const { signal: stopping } = this.#stopping;
    const stopped = new Promise((resolve) => (stopping.aborted ? resolve(null) : stopping.addEventListener("abort", resolve)));
    const stop = () => this.stop();
    for (const signal of SIGNALS) process.on(signal, stop);
    try {
      await Promise.race([ended, stopped]);
      tell({ stop: true });
      const idle = Promise.all([...this.#running.values()].map(({ answered }) => answered));
      // After this timeout, control requeues the remaining turns when the lease ends.
      await Promise.race([Promise.all([ended, idle]), sleep(FAREWELL, null, { ref: false })]);
    } finally {
      for (const signal of SIGNALS) process.off(signal, stop);
      for (const { reply } of this.#running.values()) reply.abandon();
      await session.terminate();
    }
  }

  /** Makes `run` return. */
  stop(): void {
    this.#stopping.abort();
  }

  #begin(turn: Turn, tell: (order: Order) => void): void {
    const name = nameOf(turn);
    const reply = new Reply(turn, (written) => tell({ turn: name, written }));
    const answered = this.#answer(turn, reply).finally(() => this.#running.delete(name));
    this.#running.set(name, { reply, answered });
  }

  async #answer(turn: Turn, reply: Reply): Promise<void> {
    try {
      const said = await this.#handler(turn, reply);
      if (typeof said === "string") reply.write(said);
      else if (said) for await (const text of said) reply.write(text);
      reply.end();
    } catch (error) {
      if (!reply.signal.aborted) console.error(`turn ${turn.turnId} failed:`, error);
      reply.end({ error });
    }
  }
}
