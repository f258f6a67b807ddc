/** Connections to control. */

import { lookup } from "node:dns";
import { once } from "node:events";
import { connect, type SecureClientSessionOptions } from "node:http2";
import type { LookupFunction } from "node:net";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

const CONNECTING = 2_000; // milliseconds to wait for a connection
// Milliseconds between two pings, and to wait for an answer: a dead connection is replaced within 2 s.
const [PING, PONG] = [500, 1_250];
const LARGEST = 20 << 20; // bytes; a webhook's body can have up to 16 MiB

/** A connection to a control, for one stream or call. */
export interface Channel {
  readonly transport: Transport;
  close(): void;
}

/** Looks up a name, which can stand for several controls: each connection takes one of them. */
const anyOf: LookupFunction = (host, options, found) =>
  lookup(host, { ...options, all: true }, (problem, addresses) => {
    const any = (addresses ?? [])[Math.floor(Math.random() * (addresses ?? []).length)];
    if (options.all) found(problem, any ? [any] : []);
    else found(problem, any?.address ?? "", any?.family);
  });

/** Connects to a control. Throws if it doesn't answer. */
export async function open(address: string, tls: SecureClientSessionOptions): Promise<Channel> {
  const baseUrl = address.includes("://") ? address : `http://${address}`;
  const session = connect(baseUrl, { ...tls, lookup: anyOf });
  // Whoever uses the session gets the error, too.
  session.on("error", () => {});
  const silent = new ConnectError("it does not answer", Code.Unavailable);
  const endIn = (wait: number) => setTimeout(() => session.destroy(silent), wait);
  const connecting = endIn(CONNECTING);
  try {
    // A control that hangs accepts connections, but sends no settings. One that ends may close the connection without an error.
    const closed = once(session, "close").then(() => {
      throw silent;
    });
    await Promise.race([once(session, "remoteSettings"), closed]);
  } catch (problem) {
    throw ConnectError.from(problem, Code.Unavailable);
  } finally {
    clearTimeout(connecting);
  }
  const pings = setInterval(() => {
    if (session.destroyed) return;
    const waiting = endIn(PONG);
    session.ping(() => clearTimeout(waiting));
  }, PING);
  session.on("close", () => clearInterval(pings));
  // The session manager in Connect's versions for Node.js 20 can throw errors that nobody can catch.
  const sessionManager = {
    authority: new URL(baseUrl).origin,
    request: async (method: string, path: string, headers: object) => session.request({ ...headers, ":method": method, ":path": path }),
    notifyResponseByteRead() {},
  };
  return {
    transport: createGrpcTransport({ baseUrl, sessionManager, readMaxBytes: LARGEST }),
    close: () => session.destroy(),
  };
}
