// The visitor's page.
//
// A `Thread` is one conversation: it reads the history, its `Stream` follows what comes, its
// `Outbox` sends. A `Turn` is one question with its answer, a `Reply` one message of that answer.
// What they show comes from three sources that overlap on purpose: the history (whole turns), the
// stream (numbered frames) and the answer to a POST. A turn's `n` says how much of it we have, so
// what two of them tell is shown once, and any of them may be late, cut off, or held back by a
// proxy.
//
// User text is only ever set as text. HTML comes from the gateway alone, which has sanitised it.
//
// The files of this folder are parts of one: the gateway joins them and serves them under the hash
// of the whole, so that a page and its script are always of one version.

const config = JSON.parse(document.getElementById("config").textContent);
const base = config.paths.base;
const page = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (e) => [e.id, e]));

let thread = null;
/** Whether somebody would answer right now, as last heard. */
let attended = config.agent_attached;

// ── What is said ────────────────────────────────────────────────────────────────────────────────

const OFF = "This link has been switched off. Ask whoever gave it to you for a new one.";
const GONE = "This conversation is no longer kept. Your next message begins a new one.";
const KEPT = "Your message is kept; nobody is connected right now.";
const RECEIVED = "Your message was received.";
const OFFLINE = "You are offline. What you write is kept and goes out when you are back.";
const RECONNECTING = "Reconnecting…";
const UNREADABLE = "The conversation can't be loaded right now. Trying again…";
const CHARACTERS = (Math.floor(config.limits.content_bytes / 1000) * 1000).toLocaleString("en");

/** Why a message was not taken, by reason or HTTP status; 0 is no answer. A countdown ends the sentences without a full stop. */
const TROUBLE = {
  0: "The server can't be reached. Sending again",
  400: "This message could not be read. Change it, then send it again.",
  401: "Not sent: the link has been switched off.",
  403: "This chat is paused, or closed to the page you came from. Try again later.",
  404: "This conversation is no longer kept. Send your message again to begin a new one.",
  410: "This conversation is no longer kept in full. Reload the page, then send again.",
  413: `This message is too long: at most about ${CHARACTERS} characters. Shorten it, or send it in parts.`,
  415: "This page is out of date. Reload it, then send again.",
  422: "This message was mixed up with an earlier one. Send it again.",
  429: "Too many messages at once. Sending again",
  503: "Messages can't be taken right now. Sending again",
  504: "This may have arrived or not; it can't arrive twice. Sending again",
  TOO_MANY_TURNS: "The answers above come first. Sending again",
};

/** Tells a screen reader. The log itself is silent, or every token of an answer would be read. */
function say(text) {
  const line = document.createElement("p");
  line.textContent = text;
  page.announcer.append(line);
  setTimeout(() => line.remove(), 15_000);
}

/** Shows the line above the composer, or clears it of its own kind. That the link is off is the last word. */
function notify(kind, text) {
  const { notice } = page;
  const mine = notice.hidden || notice.dataset.kind === kind;
  if (notice.dataset.kind === "off" || notice.textContent === text || !(text || mine)) return;
  notice.dataset.kind = kind;
  notice.textContent = text;
  notice.hidden = !text;
  if (text) say(text);
}

let reconnecting = null;

/** A short break of the connection is nobody's business; a longer one is shown. */
function unreachable(text = RECONNECTING) {
  if (!navigator.onLine) return notify("connection", OFFLINE);
  reconnecting ??= setTimeout(() => notify("connection", text), 2000);
}

function reachable() {
  clearTimeout(reconnecting);
  reconnecting = null;
  notify("connection", "");
}
