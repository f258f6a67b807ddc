// Requests to a chat link, and its event streams. The chat page has this file, too.

/** How long the server may send nothing, in milliseconds. A whole answer may take longer: each piece restarts the time. */
const SILENCE = 30_000;
/** The same for an event stream, in which a comment comes every 15 s unless the gateway's `--heartbeat` says otherwise. */
const STREAM_SILENCE = 60_000;

/** 128 random bits. `randomUUID` exists only over HTTPS. */
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
/** The seconds to wait after this many failed tries. */
export const backoff = (tries) => Math.min(2 ** (tries + 1), 30);
export const pause = (seconds, signal) =>
  new Promise((resolve) => {
    setTimeout(resolve, seconds * 1000);
    signal?.addEventListener("abort", resolve, { once: true });
  });
/** Whether the same request may succeed later. */
export const mayRepeat = ({ status, body }) => [0, 408, 429].includes(status) || status >= 500 || isPaused(body);
/** Whether a refusal says that the visitor's JWT was not valid. */
export const isUnknown = (body) => body.reason === "IDENTITY_INVALID";
/** Whether a refusal says that the link is paused. */
export const isPaused = (body) => body.reason === "LINK_PAUSED";
/** How many seconds to wait for a link to be resumed: at least `seconds`, and a random time more, since all readers of the link wait. */
const spread = (seconds) => seconds * (1 + Math.random() / 2);
/** The wait after a refusal. All who wait for a new budget get it at the same moment, so each waits for a random time more. */
const waitAfter = (seconds, body) => {
  if (body.reason === "BUDGET_SPENT") return seconds + 60 * Math.random();
  return isPaused(body) ? spread(seconds) : seconds;
};
/** The answer that the event `paused` stands for. */
export const paused = () => ({ status: 403, ok: false, wait: spread(30), body: { reason: "LINK_PAUSED" } });

/** A chat link. An answer is `{ status, ok, wait, body }`. Status 0: no valid answer came. `wait`: Retry-After in seconds, or 0. */
export class Link {
  /** `base` is the link's URL, or its path for the page itself. */
  constructor(base) {
    this.base = base;
    /** The JWT by which a site says who its visitor is; empty if there is none. */
    this.visitor = "";
  }

  /** The header that says who the visitor is. */
  get who() {
    return this.visitor ? { "arizuko-visitor": this.visitor } : {};
  }

  /** Requests JSON. */
  async request(path, { signal, headers, ...options } = {}) {
    const silence = new Silence(signal);
    try {
      // There is no upload progress to watch, so each byte may take a millisecond.
      silence.expect(SILENCE + (options.body?.length ?? 0));
      const all = { accept: "application/json", ...headers };
      return await read(await fetch(this.base + path, { ...options, headers: all, signal: silence.signal }), silence);
    } catch {
      return unanswered();
    } finally {
      silence.end();
    }
  }

  post(path, key, body, signal) {
    const headers = { "idempotency-key": key, "content-type": "application/json", ...this.who };
    return this.request(path, { method: "POST", headers, body: JSON.stringify(body), signal });
  }

  /**
   * Yields the events of a stream, `{ event, id, data }`; `id` is undefined if an event has none. When the connection breaks, connects
   * again after the last event. Calls `opened` with each stream, and `broken` with each answer that is not a stream. If `broken` throws,
   * that ends the iteration.
   */
  async *follow(path, { after = "", signal, opened = () => {}, broken }) {
    for (let [cursor, retry, tries] = [after, 0, 0]; ; tries++) {
      const silence = new Silence(signal);
      let answer = unanswered();
      try {
        silence.expect(STREAM_SILENCE);
        const from = cursor && `${path.includes("?") ? "&" : "?"}last_event_id=${cursor}`;
        const response = await fetch(this.base + path + from, { headers: { accept: "text/event-stream" }, signal: silence.signal });
        if (response.status === 204) return;
        if (response.ok) {
          opened();
          for await (const event of events(silence.hear(response.body, STREAM_SILENCE))) {
            cursor = event.id ?? cursor;
            retry = event.retry ?? retry;
            if (event.data) yield { ...event, data: JSON.parse(event.data) };
          }
        } else answer = await read(response, silence);
      } catch {
        // The connection broke.
      } finally {
        silence.end();
      }
      signal?.throwIfAborted();
      broken(answer);
      await pause(answer.wait || retry / 1000 || backoff(tries), signal);
      signal?.throwIfAborted();
    }
  }
}

/** Ends a request when nothing has come for too long, or when `signal` is aborted. */
class Silence {
  constructor(signal) {
    this.silent = new AbortController();
    this.signal = signal ? AbortSignal.any([signal, this.silent.signal]) : this.silent.signal;
  }

  expect(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.end(), milliseconds);
  }

  /** Restarts the time with each piece of a body. */
  hear(body, milliseconds) {
    const transform = (chunk, out) => {
      this.expect(milliseconds);
      out.enqueue(chunk);
    };
    return body?.pipeThrough(new TransformStream({ transform }));
  }

  end() {
    clearTimeout(this.timer);
    this.silent.abort();
  }
}

const unanswered = () => ({ status: 0, ok: false, wait: 0, body: {} });

async function read({ status, ok, headers, body }, silence) {
  silence.expect(SILENCE);
  const json = new Response(silence.hear(body, SILENCE)).json();
  // A refusal may not be JSON, and a deletion has an answer without a body.
  const read = ok && status !== 204 ? await json : await json.catch(() => ({}));
  const wait = Number(headers.get("retry-after")) || 0;
  return { status, ok, wait: waitAfter(wait, read), body: read };
}

/** Parses an event stream. An event that only sets the time to wait has no `data`. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let event = { event: "message" };
  for (let rest = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    // A carriage return at the end may be the first half of a line's end.
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      const [, field, text] = /^([^:]*)(?:: ?)?(.*)$/s.exec(line);
      if (field === "data") event.data = event.data === undefined ? text : `${event.data}\n${text}`;
      else if (field === "event" || field === "id") event[field] = text;
      else if (field === "retry") event.retry = Number(text) || undefined;
      if (line) continue;
      yield event;
      event = { event: "message" };
    }
  }
}
