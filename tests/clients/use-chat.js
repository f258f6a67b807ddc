// A site's own chat page, made of React and Vercel's AI SDK as docs/api.md says. `?chat=` is the URL of the link.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createElement, useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

const api = `${new URLSearchParams(location.search).get("chat")}ai`;
const transport = new DefaultChatTransport({ api });

function Page() {
  const [id] = useState(() => sessionStorage.getItem("conversation") ?? undefined);
  const { messages, sendMessage, status, error } = useChat({ id, resume: id !== undefined, transport });
  const conversation = messages.at(-1)?.metadata?.conversation;
  useEffect(() => {
    if (conversation) sessionStorage.setItem("conversation", conversation);
  }, [conversation]);
  const send = (event) => {
    event.preventDefault();
    sendMessage({ text: event.target.elements.message.value });
  };
  const texts = messages.map(({ id, role, parts }) =>
    createElement(
      "li",
      { key: id, className: role },
      parts
        .filter((part) => part.type === "text")
        .map((part) => part.text)
        .join("\n\n"),
    ),
  );
  return createElement(
    "main",
    null,
    createElement("ul", null, texts),
    createElement("form", { onSubmit: send }, createElement("input", { name: "message" })),
    createElement("output", null, error ? error.message : status),
  );
}

createRoot(document.body.appendChild(document.createElement("div"))).render(createElement(Page));
