/** The reply to a turn, as a handler writes it. */

import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { AgentFrameSchema, type FinishSchema, type UsageSchema } from "./generated/arizuko/v1/agent_pb.js";
import type { Turn } from "./generated/arizuko/v1/turn_pb.js";

const MAX_TEXT = 15_000; // characters; in any language they fit into a frame of 64 KiB
const PIECES = new RegExp(`[^]{1,${MAX_TEXT}}`, "gu");
const MAX_REPLY = 16 << 20; // bytes; control fails the turn long before this

/** Throw this in a handler that can't answer, with a sentence for the visitor. */
export class Failure extends Error {
  override name = "Failure";
}

/** Thrown by a write after the turn was cancelled or went to another agent. */
export class Gone extends Error {
  override name = "Gone";
}

type Frame = NonNullable<MessageInitShape<typeof AgentFrameSchema>["body"]>;

/**
 * A frame, or the news that the handler has ended. After a handoff, that comes without Finish, since
 * control answers the handoff with Lost.
 * @internal
 */
export type Written = { frame: Frame } | { end: MessageInitShape<typeof FinishSchema> | undefined };

/** The answer to the sender of a webhook's delivery. */
export interface Answer {
  status?: number;
  contentType?: string;
  headers?: Record<string, string>;
}

/** The reply to a turn. Its methods never block. */
export class Reply {
  readonly #over = new AbortController();
  readonly #root: string | undefined;
  readonly #send: (written: Written) => void;
  #number = 1;
  #begun = false;
  #half = "";
  #bytes = 0;
  #usage: MessageInitShape<typeof UsageSchema> | undefined;
  #complete = false; // the handler has ended, or has handed the turn off

  /** @internal */
  constructor(turn: Turn, send: (written: Written) => void) {
    this.#root = turn.folder.split("/")[0];
    this.#send = send;
  }

  /** Aborted when the turn was cancelled or went to another agent. Writes then throw Gone. */
  get signal(): AbortSignal {
    return this.#over.signal;
  }

  /** Appends to the current message. The first call begins it. */
  write(text: string): void {
    if (typeof text !== "string") throw new TypeError(`a reply is text, not ${typeof text}`);
    const all = this.#half + text;
    // A model's stream may split a character. Its first half waits for the second.
    const end = /[\ud800-\udbff]/.test(all.slice(-1)) ? all.length - 1 : all.length;
    this.#half = all.slice(end);
    for (const [piece] of all.slice(0, end).matchAll(PIECES)) {
      this.#put({ case: "delta", value: { id: `m${this.#number}`, text: piece } });
      this.#begun = true;
    }
  }

  /** Ends the message with its finished form, which is left out if over MAX_TEXT characters. */
  message(content: string): void {
    this.#half = "";
    if (content.length <= MAX_TEXT) {
      this.#put({ case: "message", value: { id: `m${this.#number}`, content } });
    } else if (!this.#begun) {
      this.write(content);
    }
    this.#number += 1;
    this.#begun = false;
  }

  /** Says what the agent is doing. */
  status(text: string): void {
    this.#put({ case: "status", value: text.slice(0, MAX_TEXT) });
  }

  /** Names the conversation in the visitor's list, with at most 120 characters. */
  title(text: string): void {
    this.#put({ case: "title", value: text.slice(0, 120) });
  }

  /** Says how many model tokens the turn has used in all, for its link's budget. */
  usage(inputTokens: number, outputTokens: number): void {
    this.#usage = { inputTokens: BigInt(inputTokens), outputTokens: BigInt(outputTokens) };
  }

  /**
   * Hands the turn off to another folder. Must be the last call.
   *
   * An empty folder means the one that the route names. The note is for the next agent. With
   * `conversation`, later messages go to that folder too.
   */
  handOff(folder = "", note = "", { conversation = false } = {}): void {
    if (folder && !new RegExp(`^${this.#root}(/[A-Za-z0-9_-]{1,63}){0,7}$`).test(folder)) {
      throw new RangeError(`${JSON.stringify(folder)} is not a folder within ${this.#root}`);
    }
    this.#put({ case: "handoff", value: { folder, note: note.slice(0, 4000), conversation } });
    this.#complete = true;
  }

  /**
   * Answers the sender of a webhook's delivery, if the link waits. The first call counts.
   *
   * An object or an array is sent as JSON.
   */
  respond(body: string | Uint8Array | object = "", { status = 200, contentType = "", headers = {} }: Answer = {}): void {
    const json = typeof body === "object" && !(body instanceof Uint8Array);
    const text = json ? JSON.stringify(body) : body;
    const encoder = new TextEncoder();
    this.#put({
      case: "response",
      value: {
        status,
        contentType: contentType || (json ? "application/json" : ""),
        headers: Object.entries(headers).map(([name, value]) => ({ name: name.toLowerCase(), value: encoder.encode(value) })),
        body: typeof text === "string" ? encoder.encode(text) : text,
      },
    });
  }

  /** @internal Ends the turn, as failed if there is an error. */
  end(failed?: { error: unknown }): void {
    const error = failed?.error;
    const detail = failed && (error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    const finish = {
      failed: failed !== undefined,
      error: error instanceof Failure ? error.message : "",
      detail: detail ?? "",
      usage: this.#usage,
    };
    this.#send({ end: this.#complete ? undefined : finish });
    this.#complete = true;
  }

  /** @internal Tells the handler that nobody wants its reply any more. */
  abandon(): void {
    this.#over.abort(new Gone("this turn was cancelled or went to another agent"));
  }

  #put(frame: Frame): void {
    this.signal.throwIfAborted();
    this.#bytes += toBinary(AgentFrameSchema, create(AgentFrameSchema, { body: frame })).length;
    if (this.#bytes > MAX_REPLY) throw new Failure("The reply was too long.");
    if (!this.#complete) this.#send({ frame });
  }
}
