// The visitor's page.
//
// A `Thread` is one conversation: it reads the history, its `Stream` follows new frames, its
// `Outbox` sends messages. A `Turn` is one question with its answer, a `Reply` one message of that
// answer. They show data from three sources that overlap on purpose: the history (whole turns),
// the stream (numbered frames) and the answer to a POST. Any of them may be late, cut off or held
// back by a proxy. A turn's `n` is the last frame that is shown, so data that comes twice is shown
// once.
//
// User text is only ever set as text. HTML comes only from the gateway, which sanitises it, and is set
// in one place (`Reply.show`): the browser refuses it anywhere else.
//
// The files of this folder share one scope, with the SDK's `link.js` and `proof.js`: the gateway joins
// them and serves the result under its hash, so that a page and its script always have the same
// version. As separate modules they would need more connections than a browser opens over HTTP/1.1,
// and so one more round trip.

const config = JSON.parse(document.getElementById("config").textContent);
const base = config.paths.base;
const link = new Link(base);
const page = Object.fromEntries(Array.from(document.querySelectorAll("[id]"), (e) => [e.id, e]));

/** The page's only way to set HTML. */
const RULES = { createHTML: (html) => html };
const trusted = window.trustedTypes?.createPolicy("arizuko", RULES) ?? RULES;

/** About how many bytes of messages to read at a time: some screens, and a second or two on a very slow link. */
const PAGE_BYTES = 32 * 1024;

let thread = null;
/** Whether an agent was attached when the gateway last said so. */
let attended = config.agent_attached;

// ── Texts and notices ───────────────────────────────────────────────────────────────────────────

const OFF = "This link has been switched off. Ask the person who gave it to you for a new one.";
const PAUSED = "This chat is paused for now. What you write is kept and goes out when it is back.";
const GONE = "This conversation is no longer kept. Your next message begins a new one.";
const KEPT = "Your message is kept; nobody is connected right now.";
const RECEIVED = "Your message was received.";
const WORKING = "Still working…";
const AGAIN = "The answer begins again…";
const SURE = "Really delete?";
const OFFLINE = "You are offline. What you write is kept and goes out when you are back.";
const RECONNECTING = "Reconnecting…";
const LOADING = "Loading the conversation…";
const EARLIER = "Loading earlier messages…";
const UNREADABLE = "The conversation can't be loaded right now. Trying again…";
/** Whether it is outside of the link's hours. */
const isAway = () => config.away && Date.now() < Date.parse(config.away.until);
const CHARACTERS = (Math.floor(config.limits.content_bytes / 1000) * 1000).toLocaleString("en");

/**
 * Why a message was not accepted, by reason or HTTP status; 0 means that no answer came. A countdown follows the texts that have no full
 * stop.
 */
const TROUBLE = {
  0: "The server can't be reached. Sending again",
  400: "This message could not be read. Change it, then send it again.",
  401: "Not sent: the link has been switched off.",
  403: "This chat is closed to the page you came from. Open its own page instead.",
  404: "This conversation is no longer kept. Send your message again to begin a new one.",
  410: "This conversation is no longer kept in full. Reload the page, then send again.",
  413: `This message is too long: at most about ${CHARACTERS} characters. Shorten it, or send it in parts.`,
  415: "This page is out of date. Reload it, then send again.",
  422: "This message was mixed up with an earlier one. Send it again.",
  428: "This chat asks browsers for a moment of work, which this one can't do here. Open the page over https, or in another browser.",
  429: "Too many messages at once. Sending again",
  503: "Messages can't be taken right now. Sending again",
  504: "This message may have arrived. It can't arrive twice. Sending again",
  LINK_PAUSED: "This chat is paused for now. Sending again",
  BUDGET_SPENT: "This chat has reached its limit for today. Sending again",
  LIMIT_REACHED: "This chat takes no more messages for now. Sending again",
  TOO_MANY_TURNS: "The answers above come first. Sending again",
};

/** Announces the text to screen readers. The log itself is silent: they would read out every delta of an answer. */
function say(text) {
  const line = document.createElement("p");
  line.textContent = text;
  page.announcer.append(line);
  setTimeout(() => line.remove(), 15_000);
}

/** Shows a notice above the composer. An empty text clears the notice, if it is of this kind. A notice of kind "off" stays. */
function notify(kind, text) {
  const { notice } = page;
  const mine = notice.hidden || notice.dataset.kind === kind;
  if (notice.dataset.kind === "off" || notice.textContent === text || !(text || mine)) return;
  notice.dataset.kind = kind;
  notice.textContent = text;
  notice.hidden = !text;
  if (text) say(text);
  else if (kind !== "away" && isAway()) notify("away", config.away.text);
}

/** Whether Enter starts a new line, and only the button sends: the keyboards of phones and tablets have no Shift + Enter. */
const onTouch = matchMedia("(pointer: coarse)");

let reconnecting = null;

/** Shows that the connection is lost, unless it is back within two seconds. */
function unreachable(text = RECONNECTING) {
  if (!navigator.onLine) return notify("connection", OFFLINE);
  reconnecting ??= setTimeout(() => notify("connection", text), 2000);
}

function reachable() {
  clearTimeout(reconnecting);
  reconnecting = null;
  notify("connection", "");
}

/** Returns null where the action fails: the browser may forbid storage, and a state may be too large for it. */
function quietly(action) {
  try {
    return action();
  } catch {
    return null;
  }
}
