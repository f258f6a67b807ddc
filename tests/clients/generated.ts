// Talks to a chat link with the types that openapi-typescript generates from the gateway's contract. Prints a line of JSON for each answer.
import createClient from "openapi-fetch";
import type { components, paths } from "./contract.js";

declare const process: { argv: string[] };
const [gateway, token] = process.argv.slice(2) as [string, string];
const { GET, POST } = createClient<paths>({ baseUrl: gateway });
const path = { token };
const body: components["schemas"]["NewMessage"] = { content: "hello & you" };

const posted = await POST("/chat/{token}/", { params: { path, query: { wait: 20 } }, body });
// With another Accept, the answer is a stream.
if (!posted.data || typeof posted.data === "string") throw new Error(posted.error?.reason);
const { turn_id: turn, conversation } = posted.data;
const said: string[] = posted.data.assistant?.map((message) => message.content ?? "") ?? [];
console.log(JSON.stringify(said));
const read = await GET("/chat/{token}/{turn}", { params: { path: { token, turn } } });
console.log(JSON.stringify(read.data?.status));
const history = await GET("/chat/{token}/c/{conversation}", { params: { path: { token, conversation } } });
console.log(JSON.stringify(history.data?.turns.map((turn) => turn.user?.content)));
const unknown = await GET("/chat/{token}/{turn}", { params: { path: { token, turn: "AAAAAAAAAAAAAAAAAAAAAA" } } });
console.log(JSON.stringify(unknown.error?.reason));
