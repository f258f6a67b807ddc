// Solves the challenge of a proof of work, as ALTCHA describes it, apart from the page so that nothing there waits for it.

/** How many tries to make at a time: browsers spread them over the processors. */
const AT_ONCE = 8;

const bytes = (hex) => Uint8Array.from(hex.match(/../g), (digits) => Number.parseInt(digits, 16));
const hex = (buffer) => Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Returns the key that this counter leads to. */
async function derive({ cost, keyLength, nonce, salt }, counter) {
  const password = new Uint8Array([...bytes(nonce), 0, 0, 0, 0]);
  new DataView(password.buffer).setUint32(password.length - 4, counter);
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  return hex(await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: bytes(salt), iterations: cost }, key, keyLength * 8));
}

addEventListener("message", async ({ data: { parameters } }) => {
  for (let first = 0; ; first += AT_ONCE) {
    const keys = await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => derive(parameters, first + n)));
    const found = keys.findIndex((key) => key.startsWith(parameters.keyPrefix));
    if (found >= 0) return postMessage({ counter: first + found, derivedKey: keys[found] });
  }
});
