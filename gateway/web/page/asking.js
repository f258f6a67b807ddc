// ── Asking the gateway ──────────────────────────────────────────────────────────────────────────

/** Asks for JSON. Status 0 stands for no answer that makes sense. */
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

/** 128 random bits. `randomUUID` would want HTTPS. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const backoff = (tries) => Math.min(2 ** (tries + 1), 30);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Storage may be forbidden, and a state too large: then the page does without. */
function quietly(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
