/**
 * The session with control. It survives broken streams and restarts of control.
 *
 * It runs in a thread of its own, so that a handler that is busy never delays a heartbeat.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { Attempt, type Hold, nameOf, type Request } from "./attempt.js";
import type { Channel } from "./channel.js";
import { Control, ControlError, seconds } from "./control.js";
import {
  AgentService,
  type AttachRequest,
  AttachRequestSchema,
  type AttachResponse,
  type Welcome,
} from "./generated/arizuko/v1/agent_pb.js";
import type { Turn } from "./generated/arizuko/v1/turn_pb.js";
import type { Written } from "./reply.js";

const [FIRST_DELAY, LAST_DELAY] = [100, 2_000]; // milliseconds between two attempts to attach
const GREETING = 15_000; // milliseconds to wait for Welcome

/** What all Hellos of a session have in common. */
interface Greeting {
  folder: string;
  name: string;
  history: number;
  sessionId?: string;
}

/** What a session needs to know. */
export interface Settings {
  addresses: string[];
  key: string;
  hello: Greeting;
  concurrency: number;
}

/** What the agent tells its session. */
export type Order = { turn: string; written: Written } | { stop: true };

/** What a session tells its agent. */
export type News =
  | { turn: Turn }
  | { over: string }
  | { trouble: string }
  | { refused: Pick<ControlError, "message" | "code" | "reason" | "retryAfter"> };

class Session {
  readonly #control: Control;
  readonly #hello: Greeting;
  readonly #concurrency: number;
  readonly #tell: (news: News) => void;
  #attempts = new Map<string, Attempt>();
  #credit = 0; // turns that control may still deliver
  #soon: Request[] = []; // short requests, sent before frames
  #delay = FIRST_DELAY;
  #welcomed = false; // on this stream
  #stopping = false;
  #wake = () => {};

  constructor(settings: Settings, tell: (news: News) => void) {
    this.#control = new Control(settings.addresses, settings.key);
    this.#hello = settings.hello;
    this.#concurrency = settings.concurrency;
    this.#tell = tell;
  }

  /** Attaches again and again until the agent stops. Throws if control refuses it. */
  async run(): Promise<void> {
    let channel: Channel | undefined;
    while (!this.#stopping) {
      try {
        channel = await this.#carry(channel ?? (await this.#control.connect()));
      } catch (problem) {
        const error = ControlError.from(problem);
        if (error.final) throw error;
        // Log once for each outage, not for each attempt.
        if (this.#delay === FIRST_DELAY) this.#tell({ trouble: error.message });
        channel = undefined;
        // Random, so that agents don't all attach again at once.
        await sleep(this.#delay * (0.5 + 0.5 * Math.random()));
        this.#delay = Math.min(this.#delay * 2, LAST_DELAY);
      }
    }
  }

  /** Takes an order of the agent's. */
  take(order: Order): void {
    if ("stop" in order) {
      this.#stopping = true;
      for (const [name, attempt] of this.#attempts) {
        if (attempt.wanted && !attempt.complete) {
          this.#reject(attempt.hold);
          this.#abandon(name, attempt);
        }
      }
    } else {
      this.#attempts.get(order.turn)?.add(order.written);
    }
    this.#wake();
  }

  /** Runs the session on one stream. After Drain, returns the channel for the next stream. */
  async #carry(channel: Channel): Promise<Channel | undefined> {
    const stream = new AbortController();
    const silent = new ControlError("control did not answer Hello with Welcome", "UNAVAILABLE");
    const greeting = setTimeout(() => stream.abort(silent), GREETING);
    let heartbeats: NodeJS.Timeout | undefined;
    this.#welcomed = false;
    try {
      const { attach } = createClient(AgentService, channel.transport);
      const { headers } = this.#control;
      for await (const { message } of attach(this.#say(stream.signal), { headers, signal: stream.signal })) {
        if (message.case === "welcome") {
          clearTimeout(greeting);
          heartbeats = this.#open(message.value);
        } else if (!this.#welcomed) {
          throw silent;
        } else if (message.case === "drain") {
          // Until there is another channel, frames still go out on this stream.
          return await this.#control.connect();
        } else {
          this.#hear(message);
        }
        this.#wake();
      }
      if (!this.#stopping) throw new ControlError("control has ended the stream", "UNAVAILABLE");
      return undefined;
    } finally {
      clearTimeout(greeting);
      clearInterval(heartbeats);
      // To a control that is not draining, this means that the agent leaves.
      stream.abort();
      channel.close();
    }
  }

  /** Opens or resumes the session. Begins to send heartbeats. */
  #open(welcome: Welcome): NodeJS.Timeout {
    this.#welcomed = true;
    this.#hello.sessionId = welcome.sessionId;
    this.#delay = FIRST_DELAY;
    const kept = new Map(welcome.held.map((turn) => [nameOf(turn), turn.nextSeq]));
    for (const [name, attempt] of this.#attempts) {
      const nextSeq = kept.get(name);
      if (nextSeq === undefined) this.#abandon(name, attempt);
      else attempt.resume(nextSeq);
    }
    const beat = () => {
      this.#soon.push({ case: "heartbeat", value: {} });
      this.#wake();
    };
    return setInterval(beat, 1000 * (welcome.heartbeatInterval ? seconds(welcome.heartbeatInterval) : 5));
  }

  /** Yields what is to be sent on one stream. */
  async *#say(stream: AbortSignal): AsyncGenerator<AttachRequest> {
    this.#soon = [];
    this.#credit = this.#room();
    const wanted = [...this.#attempts.values()].filter((attempt) => attempt.wanted);
    const held = wanted.map(({ hold, nextSeq }) => ({ ...hold, nextSeq }));
    yield create(AttachRequestSchema, { message: { case: "hello", value: { ...this.#hello, credit: this.#credit, held } } });
    while (!stream.aborted) {
      const message = this.#welcomed ? this.#next() : undefined;
      if (message) {
        yield create(AttachRequestSchema, { message });
      } else if (this.#stopping && ![...this.#attempts.values()].some((attempt) => attempt.wanted)) {
        return;
      } else {
        await new Promise<void>((wake) => {
          this.#wake = wake;
        });
      }
    }
  }

  #next(): Request | undefined {
    const short = this.#soon.shift();
    if (short) return short;
    const turns = this.#room() - this.#credit;
    if (turns > 0 && !this.#stopping) {
      this.#credit += turns;
      return { case: "credit", value: { turns } };
    }
    for (const [name, attempt] of this.#attempts) {
      const request = attempt.next();
      if (request) {
        // Next time the other attempts come first.
        this.#attempts.delete(name);
        this.#attempts.set(name, attempt);
        return request;
      }
    }
    return undefined;
  }

  /** Returns how many more turns fit. A turn counts until both sides are done with it. */
  #room(): number {
    for (const [name, attempt] of this.#attempts) {
      if (!attempt.wanted && !attempt.working) this.#attempts.delete(name);
    }
    return Math.max(this.#concurrency - this.#attempts.size, 0);
  }

  #hear(message: AttachResponse["message"]): void {
    if (message.case === "turn") {
      this.#begin(message.value);
    } else if (message.case === "appended" || message.case === "cancel" || message.case === "lost") {
      const name = nameOf(message.value);
      const attempt = this.#attempts.get(name);
      if (attempt && message.case === "appended" && !message.value.finished) attempt.appended(message.value.nextSeq);
      else if (attempt) this.#abandon(name, attempt);
    }
  }

  #begin(turn: Turn): void {
    this.#credit = Math.max(this.#credit - 1, 0);
    const name = nameOf(turn);
    if (this.#stopping) {
      this.#reject(turn);
    } else if (!this.#attempts.has(name)) {
      this.#attempts.set(name, new Attempt(turn));
      this.#tell({ turn });
    }
  }

  /** Gives a turn back to control, which requeues it. */
  #reject({ turnId, attempt }: Hold): void {
    this.#soon.push({ case: "reject", value: { turnId, attempt, detail: "stopping" } });
  }

  /** Stops the handler: control wants no more frames. */
  #abandon(name: string, attempt: Attempt): void {
    attempt.wanted = false;
    this.#tell({ over: name });
  }
}

/** Runs the session of the agent that has started this thread. */
async function main(agent: MessagePort): Promise<void> {
  const session = new Session(workerData as Settings, (news) => agent.postMessage(news));
  agent.on("message", (order: Order) => session.take(order));
  try {
    await session.run();
  } catch (problem) {
    const { message, code, reason, retryAfter } = ControlError.from(problem);
    agent.postMessage({ refused: { message, code, reason, retryAfter } } satisfies News);
  }
  agent.close();
}

if (parentPort) await main(parentPort);
