/** The address and key of control, and the calls that an agent makes besides taking turns. */

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { BytesValueSchema, type Duration, DurationSchema, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Channel, open } from "./channel.js";
import { AgentService } from "./generated/arizuko/v1/agent_pb.js";
import type { ErrorReason } from "./generated/arizuko/v1/error_pb.js";
import { type IssueChatLinkResponse, type LinkOptionsSchema, TokenService } from "./generated/arizuko/v1/token_pb.js";

const ANSWERING = 5_000; // milliseconds to wait for an answer
const PATIENCE = 20_000; // milliseconds after which a call is not retried
const REFUSED = ["UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "UNIMPLEMENTED"];
// A call that fails for one of these reasons is repeated. For the first, control has done nothing.
const AWAY: (Reason | undefined)[] = ["UNAVAILABLE", "OUTCOME_UNKNOWN", undefined];

/** Why control refuses something: a name of the contract's `ErrorReason`. */
export type Reason = Exclude<keyof typeof ErrorReason, "UNSPECIFIED">;

/** Control refuses a call or the agent, or no control answers. */
export class ControlError extends Error {
  override name = "ControlError";

  constructor(
    message: string,
    /** gRPC's code, such as `UNAUTHENTICATED`. */
    readonly code: string,
    /** Unset if the error is not control's own, for example if no control answers. */
    readonly reason?: Reason,
    /** How many seconds to wait before the next attempt. Unset if control doesn't say. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** @internal */
  static from(problem: unknown): ControlError {
    if (problem instanceof ControlError) return problem;
    const error = ConnectError.from(problem);
    const code = (Code[error.code] ?? "Unknown").replace(/(?<=[a-z])[A-Z]/g, "_$&").toUpperCase();
    // The first field of ErrorInfo is the reason, and the first field of RetryInfo is the wait. `as` is a standard
    // protobuf message whose first field has the same type, so it decodes that field.
    const detail = <T extends DescMessage>(name: string, as: T) => {
      const found = error.details.find((detail) => "type" in detail && detail.type === `google.rpc.${name}`);
      return found && fromBinary(as, found.value as Uint8Array);
    };
    const reason = detail("ErrorInfo", StringValueSchema)?.value as Reason | undefined;
    const wait = detail("RetryInfo", BytesValueSchema)?.value;
    return new ControlError(`${code}: ${error.rawMessage}`, code, reason, wait && seconds(fromBinary(DurationSchema, wait)));
  }

  /** @internal Copies an error that has lost its class on the way from another thread. */
  static copy(error: Pick<ControlError, "message" | "code" | "reason" | "retryAfter">): ControlError {
    return new ControlError(error.message, error.code, error.reason, error.retryAfter);
  }

  /** @internal Whether another attempt would fail, too. */
  get final(): boolean {
    return REFUSED.includes(this.code);
  }
}

/**
 * One or several controls of one system.
 *
 * By default ARIZUKO_CONTROL holds the addresses, with commas between them, and ARIZUKO_KEY, or the
 * file that ARIZUKO_KEY_FILE names, holds the key. For https, ARIZUKO_CA names a file of certificate
 * authorities to trust instead of the usual ones; ARIZUKO_CLIENT_CERT and ARIZUKO_CLIENT_KEY name the
 * files with the certificate and key to show to control.
 */
export class Control {
  /** @internal */
  readonly addresses: string[];
  /** @internal */
  readonly key: string;
  #attempts = 0;

  constructor(addresses: readonly string[] = [], key = "") {
    const { ARIZUKO_CONTROL, ARIZUKO_KEY } = process.env;
    this.addresses = addresses.length ? [...addresses] : (ARIZUKO_CONTROL || "http://127.0.0.1:7070").split(",");
    this.key = (key || ARIZUKO_KEY || String(file("ARIZUKO_KEY_FILE") ?? "")).trim();
  }

  /** Issues a chat link for a folder, by default the key's, with options of LinkOptions. */
  issueChatLink(folder = "", suffix = "", options: MessageInitShape<typeof LinkOptionsSchema> = {}): Promise<IssueChatLinkResponse> {
    // A repeat would issue a second link.
    return this.#call(TokenService.method.issueChatLink, { folder, jidSuffix: suffix, options }, false);
  }

  /**
   * Sends a message without being asked. Returns the turn's id.
   *
   * With `name`, a person of that name sends it, and otherwise the agent.
   */
  async sendMessage(conversation: string, content: string, { folder = "", name = "" } = {}): Promise<string> {
    const message = { folder, conversation, content, name, idempotencyKey: randomUUID() };
    return (await this.#call(AgentService.method.sendMessage, message)).turnId;
  }

  /** @internal */
  get headers(): { authorization: string } {
    return { authorization: `Bearer ${this.key}` };
  }

  /** @internal Connects to a control that answers. Throws if none does. */
  async connect(): Promise<Channel> {
    let why: unknown;
    for (const _ of this.addresses) {
      try {
        return await this.#open();
      } catch (problem) {
        why = problem;
      }
    }
    const message = `no control at ${this.addresses.join(" or ")} (${ControlError.from(why).message})`;
    throw new ControlError(message, "UNAVAILABLE");
  }

  /**
   * Calls one control after another until one answers, or PATIENCE has passed. A call that may have
   * been done is only repeated if it is repeatable.
   */
  async #call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    init: MessageInitShape<I>,
    isRepeatable = true,
  ): Promise<MessageShape<O>> {
    const request = create(method.input, init);
    // Throws if a field has a value that it can't have. Such a call would always fail.
    toBinary(method.input, request);
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      let channel: Channel | undefined;
      try {
        channel = await this.#open();
        return (await channel.transport.unary(method, undefined, ANSWERING, this.headers, request)).message;
      } catch (problem) {
        const error = ControlError.from(problem);
        const away = isRepeatable || !channel ? AWAY : AWAY.slice(0, 1);
        if (error.final || !away.includes(error.reason) || Date.now() > deadline) throw error;
      } finally {
        channel?.close();
      }
      await sleep(100 + 200 * Math.random());
    }
  }

  /** Connects to the next address. */
  #open(): Promise<Channel> {
    const address = this.addresses[this.#attempts++ % this.addresses.length] as string;
    const tls = { ca: file("ARIZUKO_CA"), cert: file("ARIZUKO_CLIENT_CERT"), key: file("ARIZUKO_CLIENT_KEY") };
    return open(address, address.startsWith("https:") ? tls : {});
  }
}

/** @internal */
export function seconds(duration: Duration): number {
  return Number(duration.seconds) + duration.nanos / 1e9;
}

/** Reads the file that an environment variable names. Returns nothing if it names none. */
function file(variable: string): Buffer | undefined {
  const path = process.env[variable];
  return path ? readFileSync(path) : undefined;
}
