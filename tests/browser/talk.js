// A program that chats by the SDK. sdk.test.js runs it, with the address of a gateway in place of
// https://chat.example.com, in Node.js and in Deno, which checks its types too.
// @ts-check

// @ts-types="https://chat.example.com/sdk.d.ts"
import { connect } from "https://chat.example.com/sdk.js";

const chat = connect(process.argv[2]);
const reply = await chat.send("tea");
const frames = [];
for await (const frame of reply) {
  frames.push(frame);
  if (frame.event === "delta") break;
}
console.log("left");
for await (const frame of chat.reply(reply.turn, { after: reply.cursor })) frames.push(frame);
const turns = [];
for await (const { user, assistant, status } of chat.history()) turns.push([user?.content, assistant[0].content, status]);
let text = "";
for (const { event, data } of frames) {
  if (event === "delta") text += data.text;
  if (event === "message") text = data.content;
}
const numbers = frames.map(({ data }) => "n" in data && data.n);
console.log(JSON.stringify({ numbers, text, turns }));
