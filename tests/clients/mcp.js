// Calls the tools of a chat link with MCP's library. Each argument opens a connection. It is JSON: `url`, and `calls` with the `name` and the
// `arguments` of each. Prints a line of JSON for the text of each reply, and one for the end of each call or for its error.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const say = (told) => console.log(JSON.stringify(told));

async function order({ url, calls }) {
  const client = new Client({ name: "tests", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport);
  const tools = (await client.listTools()).tools.map((tool) => tool.name);
  for (const call of calls) {
    const result = await client.callTool(call);
    const document = result.structuredContent;
    if (document.reason) {
      say({ error: document.reason, is_error: result.isError });
      continue;
    }
    if (document.assistant) say({ text: document.assistant.map((message) => message.content).join("\n\n") });
    const end = { version: transport.protocolVersion, tools, is_error: result.isError };
    say({ done: document.status, metadata: document, ...end });
  }
  await client.close();
}

for (const each of process.argv.slice(2)) {
  try {
    await order(JSON.parse(each));
  } catch (error) {
    say({ error: error.message });
  }
}
