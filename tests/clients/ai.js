// Chats with Vercel's AI SDK as `useChat` does. Each argument is a request, in JSON: `url`, and `send` (a text) or `regenerate` (its options);
// with neither of them, the chat resumes. It may also have `id` and `messages`, with which the chat begins, and `cut` (after how many characters
// to leave the stream). Prints a line of JSON for each piece of text or data, and one for the end.
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";

const say = (told) => console.log(JSON.stringify(told));

async function talk({ url, send, regenerate, id, messages, cut }) {
  const chat = new Chat({
    id,
    messages,
    transport: new DefaultChatTransport({ api: url }),
    onData: ({ type, data }) => say({ [type]: data }),
  });
  let before = "";
  chat["~registerMessagesCallback"](() => {
    const { role, parts } = chat.lastMessage;
    if (role !== "assistant") return;
    const texts = parts.filter((part) => part.type === "text").map((part) => part.text);
    const text = texts.join("\n\n");
    if (text !== before) say({ text: text.slice(before.length) });
    before = text;
    if (text.length >= cut) chat.stop();
  });
  if (send) await chat.sendMessage({ text: send });
  else await (regenerate ? chat.regenerate(regenerate) : chat.resumeStream());
  say({ done: chat.status, error: chat.error?.message ?? null, metadata: chat.lastMessage?.metadata ?? null, messages: chat.messages });
}

for (const request of process.argv.slice(2)) await talk(JSON.parse(request));
