// Asks a chat link with OpenAI's library. Each argument is a request, in JSON: `url`, `body`, and maybe `headers` and `retries`. Prints a line of
// JSON for each piece of text, and one for the end or the error.
import OpenAI from "openai";

const say = (told) => console.log(JSON.stringify(told));

async function ask({ url, body, headers, retries }) {
  const client = new OpenAI({ baseURL: url, apiKey: "none", defaultHeaders: headers, maxRetries: retries ?? 0 });
  const answer = await client.chat.completions.create({ model: "any", ...body });
  if (!body.stream) {
    const [choice] = answer.choices;
    say({ text: choice.message.content });
    return say({ done: choice.finish_reason, metadata: answer.metadata });
  }
  let last;
  for await (const chunk of answer) {
    last = chunk;
    const text = chunk.choices[0].delta.content;
    if (text) say({ text });
  }
  say({ done: last.choices[0].finish_reason, metadata: last.metadata });
}

for (const order of process.argv.slice(2)) {
  try {
    await ask(JSON.parse(order));
  } catch (error) {
    const { code, type, status, message, headers } = error;
    say({ error: code ?? message, type, status: status ?? null, retry_after: headers?.get("retry-after") ?? null });
  }
}
