// Proofs of work, as ALTCHA describes them. The chat page has this file, too.

/** How many challenges in a row to solve for one message. */
const CHALLENGES = 5;
/** How many tries to make at a time. They run apart from the page, spread over the processors. */
const AT_ONCE = 8;

/** Solves a refusal's challenge for the message's next try. Returns false if there is none, or it isn't solved. */
export async function prove(message, { challenge }) {
  message.challenges = challenge ? (message.challenges ?? 0) + 1 : 0;
  message.proof = message.challenges > CHALLENGES ? undefined : await solve(challenge);
  if (!message.proof) message.challenges = 0;
  return Boolean(message.proof);
}

/** Returns the proof of work for a challenge. */
async function solve(challenge) {
  // Browsers have `subtle` only over HTTPS.
  if (!challenge || !crypto.subtle) return undefined;
  const { parameters } = challenge;
  for (let first = 0; ; first += AT_ONCE) {
    const keys = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => derive(parameters, first + n)));
    const found = keys.findIndex((key) => key.startsWith(parameters.keyPrefix));
    if (found < 0) continue;
    const solution = { counter: first + found, derivedKey: keys[found] };
    return btoa(JSON.stringify({ challenge, solution }));
  }
}

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (digits) => Number.parseInt(digits, 16));
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Returns the key that is derived from this counter. */
async function derive({ cost, keyLength, nonce, salt }, counter) {
  const password = new Uint8Array([...bytes(nonce), 0, 0, 0, 0]);
  new DataView(password.buffer).setUint32(password.length - 4, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  return hex(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost }, key, keyLength * 8));
}
