// Runs an agent with AG-UI's client. Each argument is JSON: `url`, `send`, and maybe `thread`, `run`, `messages` and `cut` (after how many
// characters to leave the stream). Prints a line of JSON for each piece of text or status, and one for the end or the error.
import { HttpAgent } from "@ag-ui/client";

const say = (told) => console.log(JSON.stringify(told));

async function run({ url, send, thread, run, messages = [], cut }) {
  const agent = new HttpAgent({
    url,
    threadId: thread,
    initialMessages: [...messages, { id: crypto.randomUUID(), role: "user", content: send }],
  });
  let [told, metadata, count, length] = [null, null, 0, 0];
  await agent.runAgent(
    { runId: run },
    {
      onRunStartedEvent: ({ event }) => {
        metadata = event.metadata;
      },
      onTextMessageStartEvent: () => {
        if (count++) say({ text: "\n\n" });
      },
      onTextMessageContentEvent: ({ event }) => {
        say({ text: event.delta });
        length += event.delta.length;
        if (length >= cut) agent.abortRun();
      },
      onCustomEvent: ({ event }) => say({ [event.name]: event.value }),
      onRunErrorEvent: ({ event }) => {
        told = { error: event.code, message: event.message };
      },
    },
  );
  say(told ?? { done: "finished", metadata, messages: agent.messages });
}

for (const order of process.argv.slice(2)) {
  try {
    await run(JSON.parse(order));
  } catch (error) {
    say({ error: error.message });
  }
}
