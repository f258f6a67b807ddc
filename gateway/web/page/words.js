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
// The files of this folder share one scope, with the SDK's `link.js` and `proof.js`, and with `words`:
// all sentences in the page's language. The gateway joins them and serves the result under its hash, so
// that a page and its script always have the same version. As separate modules they would need more
// connections than a browser opens over HTTP/1.1, and so one more round trip.

const config = JSON.parse(document.getElementById("config").textContent);
const { language } = config;
const { base } = config.paths;
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

/** Whether it is outside the link's hours. */
const isAway = () => config.away && Date.now() < Date.parse(config.away.until);

/** Puts values into a sentence, in place of their names in braces. */
const fill = (sentence, values) => sentence.replace(/\{(\w+)\}/g, (_, name) => values[name]);

/** Says in the page's language that a person is typing, which `arizuko inbox` says in English. */
const translate = (status) => status.replace(/^(.+) is typing…$/, (_, name) => fill(words.typing, { name }));

const characters = (Math.floor(config.limits.content_bytes / 1000) * 1000).toLocaleString(language);
/** Why a message was not accepted, by reason or HTTP status; 0 means that no answer came. */
const trouble = { ...words.trouble, 413: fill(words.trouble[413], { count: characters }) };

const dates = new Intl.DateTimeFormat(language, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const days = new Intl.RelativeTimeFormat(language, { numeric: "auto" });

/** Names the day of a time: today, yesterday, or by its date. */
function dayOf(time) {
  const from = (time) => new Date(time).setHours(0, 0, 0, 0);
  // A day may have 23 or 25 hours.
  const ago = Math.round((from(Date.now()) - from(time)) / 86_400_000);
  return ago < 2 ? days.format(Math.min(-ago, 0), "day") : dates.format(new Date(time));
}

/** Shows the time of day, and the date as well to a pointer that rests on it. */
function showTime(element, time) {
  const date = new Date(time);
  element.dateTime = date.toISOString();
  element.textContent = date.toLocaleTimeString(language, { hour: "numeric", minute: "2-digit" });
  element.title = date.toLocaleString(language, { dateStyle: "full", timeStyle: "short" });
}

/** Announces the text to screen readers. The log itself is silent, because they would read out every delta of an answer. */
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
function unreachable(text = words.reconnecting) {
  if (!navigator.onLine) return notify("connection", words.offline);
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
