// The SDK: chat with an agent from a program, in browsers, Node.js and Deno. `sdk.d.ts` has the types.

import { backoff, isUnknown, Link, mayRepeat, newKey, pause } from "./link.js";
import { prove } from "./proof.js";

/** How many seconds to repeat what fails but may succeed later. */
const PATIENCE = 120;
/** How long a stream must last to count as a success, in milliseconds. */
const PASSING = 5000;
const ENDED = "This link has ended.";

/** Why the gateway refused a request, or that it can't be reached. */
export class ChatError extends Error {
  constructor({ status, wait, body }) {
    super(body.detail ?? (status ? `The gateway answered with status ${status}.` : "The gateway can't be reached."));
    // Unknown, revoked and expired links all look alike.
    this.name = status === 401 ? "LinkEndedError" : "ChatError";
    this.status = status;
    this.reason = body.reason ?? (status ? "UNKNOWN" : "UNREACHABLE");
    this.retryAfter = wait;
  }
}

/** Returns the conversation with this id under a chat link, or a new one. Sends nothing yet. */
export function connect(url, options) {
  return new Chat(url, options);
}

class Chat {
  #link;
  #patience;
  #visitor;
  #sending = Promise.resolve();

  constructor(url, { conversation = null, patience = PATIENCE, visitor } = {}) {
    const { origin, pathname } = new URL(url);
    const [base] = /^.*\/chat\/[\w-]+(?=\/?$)/.exec(pathname) ?? [];
    if (!base) throw new TypeError("A chat link looks like https://example.com/chat/<token>/");
    this.#link = new Link(`${origin}${base}/`);
    this.#patience = patience;
    this.#visitor = visitor;
    this.conversation = conversation;
    /** The last frame read, which `frames` goes on from. */
    this.cursor = "";
  }

  /** Sends a message, after those that are being sent, because the first one creates the conversation. */
  send(content, { key = newKey(), supersedes, page, signal } = {}) {
    const message = {};
    const post = () => {
      const body = { content, conversation: this.conversation ?? undefined, supersedes, page, altcha: message.proof };
      return this.#link.post("", key, body, signal);
    };
    const send = async () => {
      const posted = await this.#identified(post, signal, message);
      this.conversation = posted.conversation;
      return new Reply(this, posted.turn_id);
    };
    const sent = this.#sending.then(send);
    this.#sending = sent.catch(() => {});
    return sent;
  }

  /** Returns the reply of a turn, to be read from the frame after `after`. */
  reply(turn, { after = "" } = {}) {
    return new Reply(this, turn, after);
  }

  /** Yields all frames of the conversation after `cursor`, for as long as the caller reads. */
  async *frames({ signal } = {}) {
    for await (const frame of this.follow(`c/${this.conversation}/sse`, this.cursor, signal)) {
      this.cursor = frame.id ?? this.cursor;
      yield frame;
    }
  }

  /** Yields the turns of the conversation, the oldest first. `frames` then goes on from there. */
  async *history({ signal } = {}) {
    for (let after = 0; after !== null; ) {
      const page = await this.get(`c/${this.conversation}?after=${after}`, signal);
      // The later pages may be newer than the first one.
      if (!after) this.cursor = page.cursor;
      yield* page.turns;
      after = page.next;
    }
  }

  /** Returns the conversations of the visitor for whom the site vouches. The one in which they wrote last comes first. */
  async conversations({ signal } = {}) {
    const list = () => this.#link.request("c", { headers: this.#link.who, signal });
    return (await this.#identified(list, signal)).conversations;
  }

  /** Deletes the conversation at the gateway. The next message begins a new one. */
  async delete({ signal } = {}) {
    await this.#insist(() => this.#link.request(`c/${this.conversation}`, { method: "DELETE", signal }), signal);
    this.conversation = null;
    this.cursor = "";
  }

  /** Returns the link's settings: its name, greeting and looks. */
  config({ signal } = {}) {
    return this.get("config", signal);
  }

  /** Reads a path under the link. */
  get(path, signal) {
    return this.#insist(() => this.#link.request(path, { signal }), signal);
  }

  /** Cancels a turn. */
  cancel(turn, { signal } = {}) {
    return this.#insist(() => this.#link.post(`${turn}/cancel`, newKey(), {}, signal), signal);
  }

  /** Says what the visitor thinks of a turn's reply. */
  async rate(turn, rating, { comment = "", signal } = {}) {
    const body = JSON.stringify({ rating, comment });
    const headers = { "content-type": "application/json" };
    await this.#insist(() => this.#link.request(`${turn}/rating`, { method: "PUT", headers, body, signal }), signal);
  }

  /** Yields the events of a stream after a frame. */
  async *follow(path, after, signal) {
    let [openedAt, brokenAt] = [0, 0];
    const opened = () => {
      openedAt = Date.now();
    };
    const broken = (answer) => {
      // In an outage, streams end as soon as they have begun.
      const lasted = openedAt > brokenAt && Date.now() - openedAt > PASSING;
      if (!brokenAt || lasted) brokenAt = Date.now();
      this.#check(answer, brokenAt);
    };
    for await (const frame of this.#link.follow(path, { after, signal, opened, broken })) {
      if (frame.event === "revoked") throw new ChatError({ status: 401, wait: 0, body: { reason: "TOKEN_INVALID", detail: ENDED } });
      brokenAt = 0;
      yield frame;
    }
  }

  /** Makes a request that says who the visitor is, and makes it again with another JWT if the one at hand is no longer valid. */
  async #identified(act, signal, message) {
    const renew = async () => {
      this.#link.visitor = (typeof this.#visitor === "function" ? await this.#visitor() : this.#visitor) ?? "";
    };
    if (!this.#link.visitor) await renew();
    try {
      return await this.#insist(act, signal, message);
    } catch (error) {
      if (!isUnknown(error) || typeof this.#visitor !== "function") throw error;
      await renew();
      return this.#insist(act, signal, message);
    }
  }

  /** Repeats a request until it succeeds, is refused for good, or patience ends. */
  async #insist(act, signal, message = {}) {
    const since = Date.now();
    for (let tries = 0; ; tries++) {
      signal?.throwIfAborted();
      const answer = await act();
      signal?.throwIfAborted();
      if (answer.ok) return answer.body;
      if (await prove(message, answer.body)) continue;
      this.#check(answer, since);
      await pause(answer.wait || backoff(tries), signal);
    }
  }

  /** Throws unless a repeat may help and there is time for one. */
  #check(answer, since) {
    const late = Date.now() + answer.wait * 1000 - since > this.#patience * 1000;
    if (late || !mayRepeat(answer)) throw new ChatError(answer);
  }
}

/** The agent's reply to one message: an async iterable of frames. */
class Reply {
  #chat;

  constructor(chat, turn, cursor = "") {
    this.#chat = chat;
    this.turn = turn;
    /** The last frame read, which the next iteration goes on from. */
    this.cursor = cursor;
  }

  [Symbol.asyncIterator]() {
    return this.frames();
  }

  /** Yields the reply's frames after `cursor`, until its last one. */
  async *frames({ signal } = {}) {
    for await (const frame of this.#chat.follow(`${this.turn}/sse`, this.cursor, signal)) {
      this.cursor = frame.id ?? this.cursor;
      yield frame;
      if (frame.event === "turn_done") return;
    }
  }

  /** Waits for the end, and returns the turn with its messages. */
  async result({ signal } = {}) {
    for (;;) {
      const { status } = await this.#chat.get(`${this.turn}/status?wait=25`, signal);
      if (status !== "queued" && status !== "running") return this.#chat.get(this.turn, signal);
    }
  }

  /** Stops the reply. Safe to repeat. */
  cancel(options) {
    return this.#chat.cancel(this.turn, options);
  }

  /** Says what the visitor thinks of the reply. */
  rate(rating, options) {
    return this.#chat.rate(this.turn, rating, options);
  }
}
