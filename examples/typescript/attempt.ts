/** What an agent has to send for one attempt at a turn. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type AgentFrame, AgentFrameSchema, type AttachRequestSchema, type FinishSchema } from "./generated/arizuko/v1/agent_pb.js";
import type { Written } from "./reply.js";

const MAX_FRAMES = 32; // in one Append; at most 2 MiB of the 4 MiB that control takes

export type Request = NonNullable<MessageInitShape<typeof AttachRequestSchema>["message"]>;

/** Says which attempt at which turn. */
export interface Hold {
  turnId: string;
  attempt: number;
}

export function nameOf({ turnId, attempt }: Hold): string {
  return `${turnId}/${attempt}`;
}

/** Keeps all frames until Finish is acknowledged, since those that a failover loses are sent again. */
export class Attempt {
  wanted = true; // control still wants frames
  working = true; // the handler still runs
  readonly hold: Hold;
  #frames: AgentFrame[] = [];
  #stored = 0; // frames that control has stored
  #sent = 0;
  #finish: MessageInitShape<typeof FinishSchema> | undefined;
  #handedOff = false;
  #accepted = false;
  #finishSent = false;

  constructor({ turnId, attempt }: Hold) {
    this.hold = { turnId, attempt };
  }

  /** Whether the handler has written everything. */
  get complete(): boolean {
    return this.#handedOff || this.#finish !== undefined;
  }

  get nextSeq(): bigint {
    return BigInt(this.#frames.length + 1);
  }

  add(written: Written): void {
    if ("frame" in written) {
      this.#frames.push(create(AgentFrameSchema, { body: written.frame }));
      this.#handedOff = written.frame.case === "handoff";
    } else {
      this.working = false;
      this.#finish = written.end && { ...this.hold, seq: this.nextSeq, ...written.end };
    }
  }

  /** Notes that control has all frames below `nextSeq`. Sends lost frames again. */
  appended(nextSeq: bigint): void {
    if (nextSeq <= this.#stored) this.resume(nextSeq);
    this.#stored = Number(nextSeq) - 1;
  }

  /** Sends all frames from number `nextSeq` on again. */
  resume(nextSeq: bigint): void {
    this.#stored = this.#sent = Number(nextSeq) - 1;
    this.#accepted = this.#finishSent = false;
  }

  /** Returns the next request for control, if there is one. */
  next(): Request | undefined {
    if (!this.wanted) return undefined;
    if (!this.#accepted) {
      this.#accepted = true;
      return { case: "accept", value: this.hold };
    }
    const seq = BigInt(this.#sent + 1);
    const frames = this.#frames.slice(this.#sent, this.#sent + MAX_FRAMES);
    if (frames.length) {
      this.#sent += frames.length;
      return { case: "append", value: { ...this.hold, seq, frames } };
    }
    if (this.#finish && !this.#finishSent) {
      this.#finishSent = true;
      return { case: "finish", value: this.#finish };
    }
    return undefined;
  }
}
