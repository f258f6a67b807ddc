// The visitor's page.
//
// A `Thread` is one conversation: its history, its stream, and what still has to be sent. A `Turn`
// is one question with its answer, a `Reply` one message of that answer. What they show comes from
// three sources that overlap on purpose: the history (whole turns), the stream (numbered frames)
// and the answer to a POST. A turn's `n` says how much of it we have, so what two of them tell is
// shown once, and any of them may be late, cut off, or held back by a proxy.
//
// User text is only ever set as text. HTML comes from the gateway alone, which has sanitised it.
//
// It is long for one file, and one file all the same: it is served under the hash of its content,
// so a second module would have no name to be imported by. Its sections are what would be modules.

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

// ── Asking the gateway ──────────────────────────────────────────────────────────────────────────

/** Asks for JSON. Status 0 stands for no answer that makes sense. */
async function request(path, options = {}) {
  const headers = { accept: "application/json", ...options.headers };
  try {
    const response = await fetch(base + path, { ...options, headers, signal: AbortSignal.timeout(30_000) });
    const wait = Number(response.headers.get("retry-after")) || 0;
    const body = response.ok ? await response.json() : await response.json().catch(() => ({}));
    return { status: response.status, ok: response.ok, wait, body };
  } catch {
    return { status: 0, ok: false, wait: 0, body: {} };
  }
}

const post = (path, key, body) =>
  request(path, { method: "POST", headers: { "idempotency-key": key, "content-type": "application/json" }, body: JSON.stringify(body) });

/** 128 random bits. `randomUUID` would want HTTPS. */
const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
const backoff = (tries) => Math.min(2 ** (tries + 1), 30);
const pause = (seconds) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** Storage may be forbidden, and a state too large: then the page does without. */
function quietly(action) {
  try {
    return action();
  } catch {
    return null;
  }
}

// ── One message of the agent's ──────────────────────────────────────────────────────────────────

const template = (id) => page[id].content.firstElementChild.cloneNode(true);

function button(label, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  element.onclick = act;
  return element;
}

class Reply {
  content = "";
  rendered = false;
  element = template("reply");
  body = this.element.querySelector(".body");

  constructor() {
    this.element.querySelector(".author").textContent = config.name;
  }

  get plain() {
    return this.body.classList.contains("plain");
  }

  /** The text as it is, until its rendering arrives. */
  write(content) {
    this.content = content;
    this.rendered = false;
    if (this.plain) this.body.textContent = content;
    noticeNews();
  }

  /** The gateway's HTML as block `k`; what came after it is dropped. */
  render(k, html) {
    if (k > this.body.children.length) return this.unrender();
    const block = document.createElement("div");
    block.className = "block";
    block.innerHTML = html;
    block.querySelectorAll("pre").forEach(frameCode);
    block.querySelectorAll("table").forEach((table) => scrollable(frame(table, "table"), "Table"));
    if (this.plain) this.body.replaceChildren();
    while (this.body.children.length > k) this.body.lastChild.remove();
    this.body.append(block);
    this.body.classList.remove("plain");
    this.rendered = true;
    levelHeadings(this.body);
  }

  /** For a rendering that began before we listened: plain text, until the whole comes. */
  unrender() {
    this.body.classList.add("plain");
    this.write(this.content);
  }

  /** Reads it out once it is finished; a moment later, when it is rendered. */
  finish(audible) {
    if (!this.finished && audible) setTimeout(() => say(this.spoken()), 300);
    this.finished = true;
  }

  spoken() {
    const copy = this.body.cloneNode(true);
    copy.querySelectorAll("button").forEach((button) => button.remove());
    return `${config.name}: ${copy.textContent}`;
  }
}

/** An answer's headings go on from the page's (h1 the name, h2 the author) and skip no level. */
function levelHeadings(body) {
  let level = 2;
  for (const heading of body.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    level = Math.min(Number(heading.localName[1]) + 2, level + 1);
    heading.setAttribute("aria-level", level);
  }
}

function frame(element, name) {
  const box = document.createElement("div");
  box.className = name;
  element.replaceWith(box);
  box.append(element);
  return box;
}

/** What is wider than the column scrolls by itself, also by keyboard. */
function scrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}

function frameCode(pre) {
  scrollable(pre, "Code");
  const box = frame(pre, "code");
  if (!navigator.clipboard) return;
  const copy = button("Copy", async () => {
    copy.textContent = await navigator.clipboard.writeText(pre.textContent).then(() => "Copied", () => "Not allowed");
    say(copy.textContent);
    await pause(2);
    copy.textContent = "Copy";
  });
  box.append(copy);
}

// ── One question and its answer ─────────────────────────────────────────────────────────────────

class Turn {
  id = null;
  status = "unsent";
  n = 0;
  createdAt = "";
  statusText = "";
  error = "";
  trouble = null;
  replies = new Map();
  element = template("turn");
  foot = this.element.querySelector(".foot");

  constructor(thread, content, key) {
    Object.assign(this, { thread, content, key });
    this.element.querySelector(".body").textContent = content;
  }

  get open() {
    return this.status === "queued" || this.status === "running";
  }

  /** What was there when the page came is not read out. */
  get audible() {
    return this.element.isConnected && !this.thread.opening;
  }

  /** Whether it has ended, with a message whose rendering never came. */
  get unrendered() {
    return !this.open && [...this.replies.values()].some((reply) => !reply.rendered);
  }

  reply(id) {
    if (!this.replies.has(id)) {
      const reply = new Reply();
      this.replies.set(id, reply);
      this.foot.before(reply.element);
    }
    return this.replies.get(id);
  }

  dropReplies(except = []) {
    for (const [id, reply] of this.replies) {
      if (except.includes(id)) continue;
      reply.element.remove();
      this.replies.delete(id);
    }
  }

  /** The history's word on this turn: everything up to frame `n`. */
  take({ status, n, status_text = "", error = "", assistant }) {
    Object.assign(this, { status, n, statusText: status_text, error });
    this.dropReplies(assistant.map((message) => message.id));
    for (const { id, content, html } of assistant) {
      this.reply(id).write(content);
      this.reply(id).render(0, html);
    }
  }

  /** What a numbered frame of the stream does. */
  frames = {
    message: ({ id, content }) => {
      this.reply(id).write(content);
      this.reply(id).finish(this.audible);
    },
    delta: ({ id, text }) => {
      this.statusText = "";
      this.reply(id).write(this.reply(id).content + text);
    },
    status: ({ text }) => (this.statusText = text),
    restart: ({ keep }) => {
      this.statusText = "";
      if (!keep) this.dropReplies();
    },
    turn_done: ({ status, error = "" }) => Object.assign(this, { status, error }),
  };

  /** The line below the answer: dots while more is due, a sentence where something is amiss. */
  line() {
    const last = this.thread.turns.at(-1) === this;
    const actions = last ? { "Ask again": () => this.thread.write(this.content) } : {};
    switch (this.status) {
      case "unsent":
        return this.trouble ?? { text: "Sending…", tone: "late" };
      case "queued":
        if (!attended) return { text: KEPT };
        if (this.thread.due !== this) return { text: "Waiting for the answer above." };
        return { dots: true, text: this.statusText };
      case "running":
        return { dots: true, text: this.statusText };
      case "failed":
        return { text: this.error || "The agent could not answer.", tone: "bad", actions };
      case "expired":
        return { text: this.error || "No answer came in time.", tone: "bad", actions };
      case "cancelled":
        return { text: this.error || "Stopped." };
      default:
        return { text: this.replies.size ? "" : "The agent had nothing to say." };
    }
  }

  draw() {
    if (!this.open) this.replies.forEach((reply) => reply.finish(this.audible));
    const { text, dots = false, tone = "", actions = {} } = this.line();
    const drawn = JSON.stringify([text, dots, tone, Object.keys(actions)]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.foot.dataset.tone = tone;
    this.foot.querySelector(".dots").hidden = !dots;
    this.foot.querySelector(".foot-text").textContent = text;
    this.foot.querySelector(".foot-actions").replaceChildren(...Object.entries(actions).map(([label, act]) => button(label, act)));
    if (tone !== "late") this.announce(text || (dots && `${config.name} is answering.`));
  }

  /** Progress is told at most every five seconds, all else at once. */
  announce(text) {
    if (!text || !this.audible || (this.open && Date.now() - this.announcedAt < 5000)) return;
    this.announcedAt = Date.now();
    say(text);
  }

  /** Counts down to the next try, which `hurry` makes now. */
  async countDown(seconds) {
    const count = this.foot.querySelector(".foot-count");
    this.until = Date.now() + seconds * 1000;
    for (let left; (left = this.until - Date.now()) > 0; await pause(0.1)) count.textContent = `in ${Math.ceil(left / 1000)} s.`;
  }

  hurry() {
    this.until = 0;
  }
}

// ── One conversation ────────────────────────────────────────────────────────────────────────────

class Thread {
  turns = [];
  outbox = [];
  cursor = "";
  position = 0;
  round = 0;
  refusals = 0;
  opening = true;
  closed = false;
  source = null;
  element = document.createElement("div");
  loaded = new Promise((resolve) => (this.markLoaded = resolve));

  constructor({ conversation = null, outbox = [] }) {
    this.id = conversation;
    // These may have arrived before the page was left; the repeat will tell.
    for (const { content, key } of outbox) this.queue(new Turn(this, content, key)).element.hidden = true;
  }

  begin() {
    if (this.id) this.connect();
    else this.open();
    this.deliverAll();
  }

  open() {
    this.opening = false;
    this.show();
    this.markLoaded();
  }

  /** The oldest turn without an end: the one being answered. */
  get due() {
    return this.turns.find((turn) => turn.open);
  }

  // What a reload needs is kept in the tab's own history entry, which no setting forbids.

  remember() {
    if (this.closed) return;
    const outbox = this.outbox.map(({ content, key }) => ({ content, key }));
    quietly(() => history.replaceState({ conversation: this.id, outbox, draft: page.content.value }, "", base));
  }

  name(id) {
    this.id = id;
    quietly(() => (id ? localStorage.setItem(base, id) : localStorage.removeItem(base)));
    this.remember();
  }

  // Reading.

  /** Reads the history until it can, then follows the stream from there. */
  async connect(wait = 0) {
    const round = ++this.round;
    const stale = () => this.closed || round !== this.round;
    this.opening = !this.cursor;
    this.source?.close();
    this.watchSilence();
    for (let tries = 0; ; tries++) {
      if (wait) await pause(wait);
      const answer = !stale() && (await this.load());
      if (stale()) return;
      if (answer.ok) break;
      wait = answer.wait || backoff(tries);
    }
    this.open();
    if (this.id) this.listen();
  }

  /** In place of the thread before it, or of what the server rendered. */
  show() {
    this.remember();
    this.draw();
    if (this.element.isConnected) return;
    page.thread.replaceChildren(this.element);
    toEnd();
  }

  /** Reads the history from the first page that may have changed. */
  async load() {
    for (let news = false; this.id; ) {
      const { status, ok, wait, body } = await request(`c/${this.id}?html=1&after=${this.position}`);
      if (this.closed) return { ok: false };
      if (status === 401) return this.switchOff();
      if (status === 400 || status === 404) this.vanish();
      else if (!ok) {
        unreachable(status === 403 ? TROUBLE[403] : status ? UNREADABLE : RECONNECTING);
        return { ok, wait };
      } else {
        attended = body.agent_attached;
        for (const told of body.turns) news = this.adopt(told) || news;
        this.draw();
        this.cursor = body.cursor;
        if (!body.next) return { ok, news };
        this.position = body.next;
      }
    }
    return { ok: true, news: false };
  }

  /** Follows the stream. The browser itself reconnects, from the last frame it has. */
  listen() {
    this.source?.close();
    const source = new EventSource(`${base}c/${this.id}/sse?html=1${this.cursor && `&last_event_id=${this.cursor}`}`);
    this.source = source;
    this.openedAt = Date.now();
    this.spoken = false;
    source.onopen = () => {
      this.refusals = 0;
      reachable();
    };
    source.onerror = () => {
      unreachable();
      // It gives up where the answer is no stream. The history tells why, or that the way is free.
      if (source.readyState === EventSource.CLOSED) this.connect(backoff(this.refusals++));
    };
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.cursor = event.lastEventId;
        this.spoken = true;
        this.watchSilence();
        act(JSON.parse(event.data));
      });
    for (const name of ["message", "delta", "status", "restart", "turn_done"]) on(name, (data) => this.hear(name, data));
    on("user", (data) => {
      this.arrive(data.turn_id, "queued", data);
      this.draw();
    });
    on("html", ({ id, block, html }) => this.turns.findLast((turn) => turn.replies.has(id))?.reply(id).render(block, html));
    on("reset", () => this.startOver());
    on("revoked", () => this.switchOff());
    this.watchSilence();
  }

  hear(name, data) {
    const turn = this.turns.find((turn) => turn.id === data.turn_id);
    if (!turn || data.n <= turn.n) return;
    turn.n = data.n;
    turn.frames[name](data);
    if (name !== "turn_done") {
      attended = true;
      turn.status = "running";
      return turn.draw();
    }
    this.draw();
    this.outbox.forEach((waiting) => waiting.trouble?.tooMany && waiting.hurry());
    if (turn.unrendered) this.watchSilence(1);
  }

  /** The log is another one than we knew: forget it, read it from the start. */
  startOver() {
    this.turns.filter((turn) => turn.id).forEach((turn) => this.remove(turn));
    this.cursor = "";
    this.position = 0;
    this.connect();
  }

  /**
   * A proxy may hold the stream back, and a connection may die without a sign. So while an answer
   * is due and the stream says nothing, the history is asked: often if it had news, else seldom.
   */
  watchSilence(seconds = 5) {
    clearTimeout(this.silence);
    if (this.closed || !this.id || !this.turns.some((turn) => turn.open || turn.unrendered)) return;
    this.silence = setTimeout(async () => {
      const { news, wait } = await this.load();
      // A stream that did speak, or is old, is not held back but dead. A new one also begins its rendering anew.
      if (news && (this.spoken || Date.now() - this.openedAt > 20_000)) return this.listen();
      this.watchSilence(news ? 1.5 : wait || Math.min(seconds * 1.5, 15));
    }, seconds * 1000);
  }

  // The list of turns: in the order of the conversation, what is unsent at its end.

  /** Takes a turn from the history, unless the stream was quicker; says whether it was news. */
  adopt(told) {
    const known = this.turns.find((turn) => turn.id === told.turn_id);
    const turn = this.arrive(told.turn_id, told.status, told.user);
    if (turn.n > told.n) return false;
    const news = !known || turn.n < told.n || turn.status !== told.status || turn.unrendered;
    if (news) turn.take(told);
    return news;
  }

  /** The turn of this id, made if need be. The stream may tell of our message before its POST is answered. */
  arrive(id, status, { content, created_at }) {
    const ours = (turn) => turn.id === id || (!turn.id && turn.posting && turn.content === content);
    const turn = this.turns.find(ours) ?? this.insert(new Turn(this, content), created_at);
    Object.assign(turn, { id, createdAt: created_at });
    if (turn.status === "unsent") turn.status = status;
    turn.element.querySelector(".user").title = new Date(created_at).toLocaleString();
    return turn;
  }

  insert(turn, createdAt) {
    const at = this.turns.findIndex((other) => !other.id || other.createdAt > createdAt);
    this.element.insertBefore(turn.element, this.turns[at]?.element ?? null);
    this.turns.splice(at < 0 ? this.turns.length : at, 0, turn);
    noticeNews();
    return turn;
  }

  queue(turn) {
    this.outbox.push(turn);
    this.turns.push(turn);
    this.element.append(turn.element);
    return turn;
  }

  remove(turn) {
    turn.element.remove();
    this.turns = this.turns.filter((other) => other !== turn);
    this.outbox = this.outbox.filter((other) => other !== turn);
  }

  draw() {
    this.turns.forEach((turn) => turn.draw());
    if (this !== thread) return;
    const due = Boolean(this.due);
    if (!due && document.activeElement === page.stop) page.content.focus();
    page.stop.hidden = !due;
  }

  // Writing.

  /** Takes a message from the composer: shown at once, sent in its turn. */
  write(content) {
    notify("gone", "");
    this.queue(new Turn(this, content, newKey()));
    this.show();
    toEnd();
    this.deliverAll();
  }

  /** One at a time: the first message makes the conversation that the second belongs to. */
  async deliverAll() {
    if (this.delivering) return;
    this.delivering = true;
    await this.loaded;
    const next = () => this.outbox.find((turn) => !turn.trouble?.final);
    for (let tries = 0, turn; !this.closed && (turn = next()); ) {
      turn.posting = true;
      const answer = await post("", turn.key, { content: turn.content, conversation: this.id ?? undefined });
      turn.posting = false;
      turn.element.hidden = false;
      if (this.closed) break;
      if (answer.ok) this.taken(turn, answer.body);
      else await this.refused(turn, answer, tries);
      tries = answer.ok ? 0 : tries + 1;
    }
    this.delivering = false;
  }

  taken(turn, { turn_id, conversation, status, user, agent_attached }) {
    attended = agent_attached;
    this.outbox = this.outbox.filter((other) => other !== turn);
    const known = this.turns.find((other) => other.id === turn_id);
    if (!known) turn.id ??= turn_id;
    else if (known !== turn) this.remove(turn);
    // The answer to a repeat may tell of an end whose frames we have yet to read.
    this.arrive(turn_id, status === "queued" ? status : "running", user);
    this.draw();
    if (this.id === conversation) return this.remember();
    this.name(conversation);
    this.listen();
  }

  /** Says why, and waits where waiting helps. The key stays the same, so nothing is ever sent twice. */
  async refused(turn, { status, wait, body }, tries) {
    if (status === 401) return this.switchOff();
    if (status === 404 && this.id) this.vanish();
    if (status === 422) turn.key = newKey();
    const retry = [0, 408, 429].includes(status) || status >= 500;
    const unsure = status === 0 || status === 504;
    const text = TROUBLE[body.reason] ?? TROUBLE[status] ?? TROUBLE[retry ? 503 : 400];
    const edit = unsure ? {} : { Edit: () => this.takeBack(turn) };
    if (!retry) {
      turn.trouble = { text, tone: "refused", final: true, actions: { "Send again": () => this.retry(turn), ...edit } };
      return turn.draw();
    }
    const tooMany = body.reason === "TOO_MANY_TURNS";
    turn.trouble = { text, tone: "waiting", tooMany, actions: { "Send now": () => turn.hurry(), ...edit } };
    turn.draw();
    await turn.countDown(wait || backoff(tries));
    turn.trouble = null;
    turn.draw();
  }

  retry(turn) {
    turn.trouble = null;
    turn.draw();
    this.deliverAll();
  }

  /** Puts an unsent message back into the composer. */
  takeBack(turn) {
    this.remove(turn);
    turn.hurry();
    page.content.value = [turn.content, page.content.value].filter(Boolean).join("\n\n");
    grow();
    page.content.focus();
    this.remember();
  }

  async stop() {
    if (!this.due) return;
    const { ok, status } = await post(`${this.due.id}/cancel`, newKey());
    if (status === 401) return this.switchOff();
    if (ok) return this.watchSilence(0.5);
    notify("stop", "The reply could not be stopped. Try again in a moment.");
    setTimeout(() => notify("stop", ""), 5000);
  }

  // Ends.

  /** The conversation is no longer kept; what is on the screen stays until the page is left. */
  vanish() {
    this.source?.close();
    reachable();
    notify("gone", GONE);
    this.end(GONE);
    Object.assign(this, { cursor: "", position: 0 });
    this.name(null);
  }

  /** The link was revoked or has expired. What was typed stays, to be copied. */
  switchOff() {
    reachable();
    notify("off", OFF);
    page.content.readOnly = page.send.disabled = page.new.disabled = true;
    for (const turn of this.outbox) turn.trouble = { text: TROUBLE[401], tone: "refused", final: true };
    this.end("The link has been switched off.");
    this.show();
    this.close();
    return { ok: false };
  }

  /** Nothing more will come for what is open. */
  end(error) {
    for (const turn of this.turns.filter((turn) => turn.open)) Object.assign(turn, { status: "cancelled", error });
    this.draw();
  }

  close() {
    this.closed = true;
    this.source?.close();
    clearTimeout(this.silence);
    this.outbox.forEach((turn) => turn.hurry());
  }
}

// ── The composer ────────────────────────────────────────────────────────────────────────────────

/** Where the browser can't fit the box to its text by itself. */
function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  page.content.style.height = "auto";
  page.content.style.height = `${page.content.scrollHeight}px`;
}

page.composer.noValidate = true;
page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  page.content.focus();
  const content = page.content.value.trimEnd();
  if (!content.trim() || page.content.readOnly) return;
  if (new TextEncoder().encode(content).length > config.limits.content_bytes) return notify("size", TROUBLE[413]);
  page.content.value = "";
  grow();
  thread.write(content);
});

page.content.addEventListener("keydown", (event) => {
  // While an input method composes, Enter picks a word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  page.composer.requestSubmit();
});

let saving = null;
page.content.addEventListener("input", () => {
  grow();
  notify("size", "");
  clearTimeout(saving);
  saving = setTimeout(() => thread.remember(), 400);
});

page.stop.addEventListener("click", () => thread.stop());

// ── The log's end, and the bar ──────────────────────────────────────────────────────────────────

/** Whether the reader is at the end, and so stays there. If not, he is told of what is new. */
let following = true;
let lastTop = 0;

function noticeNews() {
  if (!following) page.latest.hidden = false;
}

function toEnd() {
  following = true;
  page.latest.hidden = true;
  page.log.scrollTop = page.log.scrollHeight;
}

page.log.addEventListener("scroll", () => {
  const { scrollTop, scrollHeight, clientHeight } = page.log;
  if (scrollHeight - scrollTop - clientHeight < 24) following = page.latest.hidden = true;
  else if (scrollTop < lastTop) following = false;
  lastTop = scrollTop;
});

page.latest.addEventListener("click", () => {
  toEnd();
  page.content.focus();
});

const sizes = new ResizeObserver(() => following && toEnd());
sizes.observe(page.column);
sizes.observe(page.log);

/** iOS lays its keyboard over the page; what is left of it is the visual viewport. */
visualViewport?.addEventListener("resize", () => {
  if (visualViewport.scale === 1) document.documentElement.style.setProperty("--height", `${visualViewport.height}px`);
});

/** The name moves into the bar once its heading has scrolled away. */
page["bar-name"].textContent = config.name;
const inSight = new IntersectionObserver(([h1]) => page["bar-name"].classList.toggle("shown", !h1.isIntersecting), { root: page.log });
inSight.observe(page.log.querySelector("h1"));

// ── From one conversation to the next ───────────────────────────────────────────────────────────

function enter(state) {
  thread?.close();
  reachable();
  notify("gone", "");
  thread = new Thread(state);
  thread.begin();
}

/** A new conversation is a place of its own: Back leads to the one before. */
page.new.addEventListener("click", (event) => {
  event.preventDefault();
  thread.outbox.filter((turn) => !turn.posting).forEach((turn) => thread.takeBack(turn));
  history.pushState(null, "", base);
  enter({});
  thread.name(null);
  page.content.focus();
  say("A new conversation.");
});

addEventListener("popstate", ({ state }) => enter(state ?? {}));

// ── The device comes and goes ───────────────────────────────────────────────────────────────────

addEventListener("offline", () => unreachable());
addEventListener("online", () => {
  reachable();
  thread.outbox.forEach((turn) => turn.hurry());
  if (thread.id) thread.connect();
});
addEventListener("pageshow", ({ persisted }) => persisted && thread.id && thread.connect());

/** Browsers have few connections to give: none for a hidden tab in which nothing is due. */
document.addEventListener("visibilitychange", () => {
  if (!thread.id || thread.closed) return;
  if (document.hidden && !thread.due) thread.source?.close();
  else if (!document.hidden && thread.source?.readyState === EventSource.CLOSED) thread.connect();
});

// ── Begin ───────────────────────────────────────────────────────────────────────────────────────

const left = history.state ?? { conversation: quietly(() => localStorage.getItem(base)) };
if (page.conversation.value) left.conversation = page.conversation.value;
page.content.value ||= left.draft ?? "";
grow();
enter(left);
if (matchMedia("(hover: hover) and (pointer: fine)").matches && window.top === window) page.content.focus();
