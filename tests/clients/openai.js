// Asks a chat link with OpenAI's library. Each argument is a request, in JSON: `url`, and either `body` (of a request for a completion),
// `response` (the body of a request for a response), or `retrieve` or `cancel` (a response's id). It may also have `headers`, `retries` and `cut`
// (after how many characters to leave a stream). Prints a line of JSON for each piece of text, and one for the end or the error.
import OpenAI from "openai";

const say = (told) => console.log(JSON.stringify(told));

// `cancel` returns no `output_text`.
function show({ output, output_text, status, id, metadata, error }) {
  say({ text: output_text ?? output[0].content[0].text });
  say({ done: status, id, metadata, failed: error?.code ?? null });
}

async function respond(responses, body, cut) {
  if (!body.stream) return show(await responses.create({ model: "any", ...body }));
  // The library's helper puts the response together and checks the order of its events.
  const stream = responses.stream({ model: "any", ...body });
  let length = 0;
  for await (const event of stream) {
    if (event.type === "error") throw event;
    if (event.type !== "response.output_text.delta") continue;
    say({ text: event.delta });
    length += event.delta.length;
    if (length >= cut) return say({ done: "cut" });
  }
  const { status, id, metadata, output_text } = await stream.finalResponse();
  if (output_text.length !== length) throw new Error(`the last event has ${output_text}`);
  say({ done: status, id, metadata });
}

async function ask({ url, body, response, retrieve, cancel, headers, retries, cut }) {
  const client = new OpenAI({ baseURL: url, apiKey: "none", defaultHeaders: headers, maxRetries: retries ?? 0 });
  if (response) return await respond(client.responses, response, cut);
  if (retrieve) return show(await client.responses.retrieve(retrieve));
  if (cancel) return show(await client.responses.cancel(cancel));
  const answer = await client.chat.completions.create({ model: "any", ...body });
  if (!body.stream) {
    const [choice] = answer.choices;
    say({ text: choice.message.content });
    return say({ done: choice.finish_reason, metadata: answer.metadata });
  }
  let last;
  let length = 0;
  for await (const chunk of answer) {
    last = chunk;
    const text = chunk.choices[0].delta.content;
    if (text) say({ text });
    length += text?.length ?? 0;
    if (length >= cut) return say({ done: "cut" });
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
