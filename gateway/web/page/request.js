// ── Requests to the gateway ─────────────────────────────────────────────────────────────────────

/** How long the server may send nothing, in milliseconds. A whole answer may take longer: each piece restarts the time. */
const SILENCE = 30_000;

/** Requests JSON. Status 0 means that no valid answer came; `wait` is the Retry-After in seconds, or 0. */
async function request(path, options = {}) {
  const headers = { accept: "application/json", ...options.headers };
  const silent = new AbortController();
  let timer = null;
  const expect = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(() => silent.abort(), milliseconds);
  };
  const hear = new TransformStream({
    transform(chunk, out) {
      expect(SILENCE);
      out.enqueue(chunk);
    },
  });
  try {
    // Nothing tells how much has been sent: a byte may take a millisecond.
    expect(SILENCE + (options.body?.length ?? 0));
    const response = await fetch(base + path, { ...options, headers, signal: silent.signal });
    expect(SILENCE);
    const wait = Number(response.headers.get("retry-after")) || 0;
    const json = new Response(response.body?.pipeThrough(hear)).json();
    // A refusal may have another form, and what was deleted has no answer.
    const body = response.ok && response.status !== 204 ? await json : await json.catch(() => ({}));
    return { status: response.status, ok: response.ok, wait, body };
  } catch {
    return { status: 0, ok: false, wait: 0, body: {} };
  } finally {
    clearTimeout(timer);
  }
}

const post = (path, key, body) =>
  request(path, { method: "POST", headers: { "idempotency-key": key, "content-type": "application/json" }, body: JSON.stringify(body) });

/** 128 random bits. `randomUUID` exists only over HTTPS. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
/** The seconds to wait after this many failed tries. */
const backoff = (tries) => Math.min(2 ** (tries + 1), 30);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Returns null where the action fails: the browser may forbid storage, and a state may be too large for it. */
function quietly(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
