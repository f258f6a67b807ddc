// ── Proof of work ───────────────────────────────────────────────────────────────────────────────

/** How many challenges in a row to solve for one message. */
const CHALLENGES = 5;

/** Solves a refusal's challenge for the message's next try. False: there is no challenge, or the browser can't solve it. */
async function prove(turn, { challenge }) {
  turn.challenges = challenge ? (turn.challenges ?? 0) + 1 : 0;
  turn.proof = turn.challenges > CHALLENGES ? undefined : await solve(challenge);
  if (!turn.proof) turn.challenges = 0;
  return Boolean(turn.proof);
}

/** Returns what proves the work that a challenge asks for, made in a worker. */
function solve(challenge) {
  // Browsers have `subtle` only over HTTPS.
  if (!challenge || !crypto.subtle) return undefined;
  return new Promise((resolve) => {
    const worker = new Worker(trusted.createScriptURL(config.paths.solver));
    const end = (solution) => {
      worker.terminate();
      resolve(solution && btoa(JSON.stringify({ challenge, solution })));
    };
    worker.onmessage = ({ data }) => end(data);
    worker.onerror = () => end();
    worker.postMessage(challenge);
  });
}
