// ── Requests to the gateway ─────────────────────────────────────────────────────────────────────

/** Requests JSON. Status 0 means that no valid answer came; `wait` is the Retry-After in seconds, or 0. */
async function request(path, options = {}) {
  const headers = { accept: "application/json", ...options.headers };
  try {
    const response = await fetch(base + path, { ...options, headers, signal: AbortSignal.timeout(30_000) });
    const wait = Number(response.headers.get("retry-after")) || 0;
    const body = response.ok ? await response.json() : await response.json().catch(() => ({}));
    return { status: response.status, ok: response.ok, wait, body };
  } catch {
    return { status: 0, ok: false, wait: 0, body: {} };
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
