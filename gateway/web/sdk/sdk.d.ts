/** The status of a turn. `observed` and `dropped`: nobody answers the message. */
export type Status = "queued" | "running" | "done" | "failed" | "cancelled" | "expired" | "observed" | "dropped";

export interface Message {
  id: string;
  /** Unset for what the visitor wrote. */
  author?: "assistant" | "person";
  /** The person's name, if `author` is `person`. */
  name?: string;
  /** Markdown, if an agent wrote it. A person's words are plain text. */
  content: string;
  created_at: string;
  /** The turn whose message is replaced by this one, which is the visitor's. */
  supersedes?: string;
}

/** What a visitor thinks of a reply. */
export type Rating = "up" | "down";

/** One message, and everything that is sent in reply to it. */
export interface Turn {
  turn_id: string;
  status: Status;
  /** `null` if the agent or a person spoke first. */
  user: Message | null;
  assistant: Message[];
  /** How many of these messages, from the first on, no later restart drops. Omitted if 0. */
  kept?: number;
  /** The number of the last frame that is included. */
  n: number;
  attempt: number;
  status_text?: string;
  /** What the agent has done: its first 50 statuses. */
  steps?: string[];
  error?: string;
  ended_at?: string;
  /** The turn whose message has replaced this turn's message. */
  superseded_by?: string;
  /** What the visitor thinks of the reply. */
  rating?: Rating;
}

interface Numbered<Event extends string, Data> {
  event: Event;
  /** The frame's cursor. */
  id: string;
  data: Data;
}

interface OfTurn {
  turn_id: string;
  /** The frame's number in its turn, from 1 on. */
  n: number;
}

/** One piece of a reply. */
export type Frame =
  /** A whole message. */
  | Numbered<"message", Message & OfTurn>
  /** The next part of the message `id`. */
  | Numbered<"delta", OfTurn & { id: string; text: string }>
  /** What the agent is doing. An empty text clears it. */
  | Numbered<"status", OfTurn & { text: string }>
  /** The turn begins again. Unless `keep`, drop its messages since its previous restart, or all if there was none. */
  | Numbered<"restart", OfTurn & { attempt: number; keep: boolean }>
  | Numbered<"turn_done", OfTurn & { status: Status; error?: string }>
  /** A message of the visitor. Only in the frames of a conversation. */
  | Numbered<"user", Message & { turn_id: string }>
  /** The title that the agent gives the conversation; empty if it no longer has one. */
  | Numbered<"title", OfTurn & { title: string }>
  /** What the visitor thinks of a reply; `null` takes an earlier rating back. Only in the frames of a conversation. */
  | Numbered<"rated", { turn_id: string; rating: Rating | null }>
  /** The cursor is no longer valid: drop all frames, a replay from the start follows. */
  | { event: "reset"; id: ""; data: { reason: string } }
  /** The link is paused. If the link is resumed in time, the iteration goes on by itself; otherwise it throws `LINK_PAUSED`. */
  | { event: "paused"; id?: undefined; data: Record<string, never> };

export interface Config {
  name: string;
  greeting: string;
  greeting_html: string;
  agent_attached: boolean;
  /** Whether the link takes no messages for now. */
  paused: boolean;
  /** What to say outside the link's hours, until they begin; null within them. */
  away: { text: string; until: string } | null;
  looks: Record<string, string | string[]>;
  limits: { content_bytes: number };
  paths: { base: string };
}

export interface Options {
  /** Aborts the call or the iteration, which then throws the signal's reason. */
  signal?: AbortSignal;
}

export interface SendOptions extends Options {
  /** The Idempotency-Key. */
  key?: string;
  /** The turn whose message this one replaces. It must be the last one, and must have ended. Agents then get a history without it. */
  supersedes?: string;
  /** The page on which the visitor writes, for the agent. It is not verified. */
  page?: Page;
}

/** A page from which a visitor writes. */
export interface Page {
  /** At most 2000 characters. */
  url?: string;
  /** At most 300 characters. */
  title?: string;
  /** For example `de`. */
  language?: string;
  /** At most 20 texts of at most 500 characters, with names of at most 64. */
  data?: Record<string, string>;
}

/** A conversation of a visitor for whom the site vouches. */
export interface Listed {
  conversation: string;
  /** The title that the agent gives the conversation, or else the beginning of its first message. */
  title: string;
  active_at: string;
}

/**
 * Why the gateway refused a request, or that it can't be reached. `name` is `LinkEndedError` if the link is unknown, revoked or expired,
 * and `ChatError` otherwise.
 */
export class ChatError extends Error {
  name: "ChatError" | "LinkEndedError";
  /** The HTTP status, or 0 if no answer came. */
  status: number;
  /** A stable word, such as `RATE_LIMITED`, `LINK_PAUSED`, `NOT_FOUND` or `UNREACHABLE`. */
  reason: string;
  /** How many seconds to wait until the request may succeed, or 0. */
  retryAfter: number;
}

/** The agent's reply to one message. An iteration yields the frames after `cursor`, until `turn_done`. */
export interface Reply extends AsyncIterable<Frame> {
  /** The turn's id. */
  readonly turn: string;
  /** The last frame read. Keep it to go on later, with `chat.reply(turn, { after: cursor })`. */
  readonly cursor: string;
  frames(options?: Options): AsyncGenerator<Frame, void, undefined>;
  /** Waits for the end, and returns the turn with its messages. */
  result(options?: Options): Promise<Turn>;
  /** Stops the reply. Safe to repeat. */
  cancel(options?: Options): Promise<{ turn_id: string; status: Status }>;
  /** Says what the visitor thinks of the reply, once it has ended; `null` takes a rating back. The comment is for the link's owner. */
  rate(rating: Rating | null, options?: Options & { /** At most 1000 characters. */ comment?: string }): Promise<void>;
}

/** A conversation under a chat link. */
export interface Chat {
  /** Its id, or `null` before the first message. Whoever knows it and the link can read the conversation. */
  readonly conversation: string | null;
  /** The last frame that `frames` has yielded, or where `history` began to read. */
  cursor: string;
  /** Sends a message. Repeats it with the same key until it is taken, so it arrives once. */
  send(content: string, options?: SendOptions): Promise<Reply>;
  /** Returns the reply of a turn, to read it after this frame, or from the start. */
  reply(turn: string, options?: { after?: string }): Reply;
  /** Yields all frames of the conversation after `cursor`, for as long as the caller reads. */
  frames(options?: Options): AsyncGenerator<Frame, void, undefined>;
  /** Yields the turns, the oldest first. `frames` then goes on from there. */
  history(options?: Options): AsyncGenerator<Turn, void, undefined>;
  /** Returns the conversations of the visitor whom the JWT names, at most 50. The one in which they wrote last comes first. */
  conversations(options?: Options): Promise<Listed[]>;
  /** Cancels the conversation's turns and deletes it at the gateway. */
  delete(options?: Options): Promise<void>;
  /** Returns the link's settings and state: name, greeting, looks, limits, whether an agent is attached and whether the link is paused. */
  config(options?: Options): Promise<Config>;
}

export interface ConnectOptions {
  /** The id of a conversation to go on with. Without it, the first message begins a new one. */
  conversation?: string | null;
  /** How many seconds to repeat what fails but may succeed later: 120, if omitted. */
  patience?: number;
  /** The JWT by which your server says who the visitor is, or a function that gets one: it is called again when the JWT has expired. */
  visitor?: string | (() => string | Promise<string>);
}

/** Returns a conversation under a chat link. Sends nothing yet. */
export function connect(url: string | URL, options?: ConnectOptions): Chat;
