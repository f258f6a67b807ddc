// What the server of a site does to say who its visitors are.

import { createHmac } from "node:crypto";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { arizuko, folderFor } from "./harness.js";

const SECRET = "a secret that the site shares with control";

/** Returns the flags with which a link gets the site's key. */
export async function keyFlags(t) {
  const file = path.join(await folderFor(t), "key");
  await writeFile(file, SECRET, { mode: 0o600 });
  return ["--visitor-key-file", file];
}

/** Returns a function that makes a JWT for a visitor of a link, which is valid for some seconds. */
export async function voucher(url) {
  const [{ token_id }] = JSON.parse(await arizuko("token", "show", url, "--json")).tokens;
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return (sub, seconds = 60) => {
    const exp = Math.floor(Date.now() / 1000) + seconds;
    const signed = `${part({ alg: "HS256" })}.${part({ sub, aud: token_id, exp, name: "Ann" })}`;
    return `${signed}.${createHmac("sha256", SECRET).update(signed).digest("base64url")}`;
  };
}
