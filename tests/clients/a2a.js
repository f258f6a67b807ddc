// Uses a chat link with A2A's library. Each argument is JSON: `url`, the link; `binding`; and `calls`. A call has `do`: `stream` or `send` with a
// `message`, or `get`, `cancel` or `subscribe` with a task's `id`. With `cut`, a stream is cut whenever that many events have come, and resumed
// after its last cursor. Prints a line of JSON for each piece of text, and one for the end or the error of a call.
import { SendMessageRequest, taskStateToJSON } from "@a2a-js/sdk";
import { ClientFactory, ClientFactoryOptions } from "@a2a-js/sdk/client";

const say = (told) => console.log(JSON.stringify(told));
const textOf = ({ parts }) => parts.map((part) => part.content.value).join("");

function end(task) {
  const metadata = { turn_id: task.id ?? task.taskId, conversation: task.contextId };
  say({ done: taskStateToJSON(task.status.state), metadata, because: task.status.message ? textOf(task.status.message) : null });
}

async function read(client, events, cut) {
  let [last, task, artifact, count] = [null, null, null, 0];
  while (true) {
    for await (const { payload } of events) {
      const { $case: kind, value } = payload;
      task = value.taskId ?? value.id;
      const state = kind !== "artifactUpdate" && taskStateToJSON(value.status.state);
      if (kind === "artifactUpdate") {
        const { artifactId: id } = value.artifact;
        const between = artifact === null || artifact === id ? "" : "\n\n";
        artifact = id;
        say({ text: between + textOf(value.artifact), append: value.append });
      } else if (kind === "statusUpdate" && !state.endsWith("ING")) return end(value);
      else if (kind === "task" && value.artifacts.length && artifact === null) {
        artifact = value.artifacts.at(-1).artifactId;
        say({ text: value.artifacts.map(textOf).join("\n\n") });
      } else say({ state, status: value.status.message ? textOf(value.status.message) : null });
      last = value.metadata?.cursor ?? last;
      if (cut && ++count % cut === 0) break;
    }
    if (!cut) throw new Error("the stream has no end");
    events = client.resubscribeTask({ id: task, tenant: "" }, { serviceParameters: last ? { "Last-Event-ID": last } : {} });
  }
}

async function order({ url, binding, calls }) {
  const options = ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { preferredTransports: [binding] });
  const client = await new ClientFactory(options).createFromUrl(`${url}/`, ".well-known/agent-card.json");
  for (const { do: what, id, cut, ...request } of calls) {
    if (what === "stream") await read(client, client.sendMessageStream(SendMessageRequest.fromJSON(request)), cut);
    else if (what === "subscribe") await read(client, client.resubscribeTask({ id, tenant: "" }), cut);
    else {
      const call = {
        send: () => client.sendMessage(SendMessageRequest.fromJSON(request)),
        get: () => client.getTask({ id }),
        cancel: () => client.cancelTask({ id }),
      };
      const task = await call[what]();
      if (task.artifacts.length) say({ text: task.artifacts.map(textOf).join("\n\n") });
      end(task);
    }
  }
}

for (const each of process.argv.slice(2)) {
  try {
    await order(JSON.parse(each));
  } catch (error) {
    const { reason } = error.metadata ?? error.data?.[0].metadata ?? {};
    say({ error: reason ?? error.message, kind: error.name });
  }
}
