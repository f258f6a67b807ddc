// ── One message of an answer ────────────────────────────────────────────────────────────────────

const template = (id) => page[id].content.firstElementChild.cloneNode(true);

function button(label, act) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = label;
  element.onclick = act;
  return element;
}

/** How long the HTML of a message's end takes to arrive, in milliseconds. */
const HTML_TIME = 300;

class Reply {
  /** Whether the HTML of all text so far is shown. */
  rendered = false;
  /** The HTML of each block that is shown, and that of each block that the stream has sent. */
  blocks = [];
  streamed = [];
  element = template("reply");
  body = this.element.querySelector(".body");
  time = this.element.querySelector("time");
  /** Stands above the message if another author begins with it. */
  crossing = document.createElement("p");

  constructor(turn, id) {
    Object.assign(this, { turn, id });
    this.crossing.className = "crossing";
    this.sign({});
  }

  /** Shows the time and the author: a person by their name, the agent by the link's name. */
  sign({ author, name, created_at }) {
    if (created_at) showTime(this.time, created_at);
    this.author = name || config.name;
    /** The name of the person who wrote it; empty for an agent. */
    this.person = author === "person" ? this.author : "";
    const heading = this.element.querySelector(".author");
    heading.textContent = this.author;
    heading.dataset.initials = initials(this.author);
    this.element.classList.toggle("person", author === "person");
    this.follow();
  }

  /** Says above the message that a person has joined or left; an empty text says nothing. */
  announce(text, audible) {
    if (this.crossing.textContent === text) return;
    this.crossing.textContent = text;
    if (!text) return this.crossing.remove();
    this.element.before(this.crossing);
    // Said after the messages that came before.
    if (audible) setTimeout(() => say(text), HTML_TIME);
  }

  /** Names the author unless the message before has the same. */
  follow() {
    this.element.classList.toggle("again", this.goesOn);
  }

  get goesOn() {
    const before =
      this.element.previousElementSibling ?? this.element.parentElement?.previousElementSibling?.querySelector("article:last-of-type");
    const by = (message) =>
      message?.matches(".assistant") && [message.matches(".person"), message.querySelector(".author").textContent].join();
    return by(before) === by(this.element);
  }

  get plain() {
    return this.body.classList.contains("plain");
  }

  /** Takes the whole text, which shows until its HTML arrives. */
  write(content) {
    this.rendered = false;
    if (this.plain) this.body.textContent = content;
    noticeNews();
  }

  append(text) {
    this.rendered = false;
    if (this.plain) this.body.append(text);
    this.element.classList.toggle("growing", !this.finished);
    noticeNews();
  }

  /** Shows the HTML of the whole message, as the history has it. */
  render(blocks) {
    this.show(blocks);
    this.rendered = true;
    this.colour();
    noticeNews();
  }

  /**
   * Replaces the streamed blocks from number `k` on by `html`. Of the old block `k`, the first `keep` and the last `tail` UTF-16 code units
   * stay, around `html[0]`. Does nothing if this page has not seen what the change builds on; the history then has the message.
   */
  patch(k, keep = 0, tail = 0, html) {
    const old = this.streamed[k] ?? "";
    if (k > this.streamed.length || keep + tail > old.length) return;
    const changed = html.map((part, i) => (i ? part : old.slice(0, keep) + part + old.slice(old.length - tail)));
    this.streamed = [...this.streamed.slice(0, k), ...changed];
    this.show(this.streamed);
    this.rendered = true;
    this.colour();
  }

  /** Colours the code of finished blocks: of all but the last, and of the last one, too, when nothing more comes. */
  colour() {
    const blocks = [...this.body.children];
    if (!(this.finished && this.rendered)) blocks.pop();
    for (const block of blocks) for (const code of block.querySelectorAll("pre code")) colour(code);
  }

  /** Shows these blocks. A block that has not changed is left alone, with what the reader has selected or focused in it. */
  show(blocks) {
    if (this.plain) {
      this.body.replaceChildren();
      this.blocks = [];
    }
    blocks.forEach((html, k) => {
      if (this.blocks[k] === html) return;
      const block = document.createElement("div");
      block.className = "block";
      block.dir = "auto";
      block.innerHTML = trusted.createHTML(html);
      for (const pre of block.querySelectorAll("pre")) frameCode(pre);
      for (const table of block.querySelectorAll("table")) scrollable(frame(table, "table"), words.table);
      if (k < this.body.children.length) liken(this.body.children[k], block);
      else this.body.append(block);
    });
    while (this.body.children.length > blocks.length) this.body.lastChild.remove();
    this.body.classList.remove("plain");
    this.blocks = blocks;
    levelHeadings(this.body);
  }

  /** Announces the message once, a moment later, when its HTML has arrived. */
  finish(audible) {
    if (this.finished) return;
    if (audible) setTimeout(() => say(this.spoken()), HTML_TIME);
    this.finished = true;
    this.colour();
    this.element.classList.replace("growing", "finished") || this.element.classList.add("finished");
    // A stream's deltas have no time of their own.
    if (!this.time.dateTime) showTime(this.time, Date.now());
    if (navigator.clipboard) this.element.querySelector(".tools").append(copyButton(words.copy_reply, () => this.source()));
  }

  /** Returns the text as it was written, in Markdown. The history has only its HTML. */
  async source() {
    const { body } = await link.request(`${this.turn.id}?after=${this.turn.n}`);
    return body.assistant.find(({ id }) => id === this.id).content;
  }

  spoken() {
    const copy = this.body.cloneNode(true);
    for (const button of copy.querySelectorAll("button")) button.remove();
    return `${this.author}: ${copy.textContent}`;
  }
}

/** Returns the first letters of a name's first and last word. */
function initials(name) {
  const letters = name
    .split(/\s+/)
    .map((word) => /[\p{L}\p{N}]/u.exec(word)?.[0])
    .filter(Boolean);
  return [letters[0], ...letters.slice(1).slice(-1)].join("").toLocaleUpperCase(language);
}

/** Sets the levels of an answer's headings: below the page's (h1 is the name, h2 the author), without a gap. */
function levelHeadings(body) {
  let level = 2;
  for (const heading of body.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    level = Math.min(Number(heading.localName[1]) + 2, level + 1);
    heading.setAttribute("aria-level", level);
  }
}

/** Makes a node like another. What is the same in both stays the same node, so that a selection, the focus and a scroll position survive. */
function liken(node, other) {
  const nodes = [...node.childNodes];
  const others = [...other.childNodes];
  others.forEach((wanted, i) => {
    const child = nodes[i];
    if (!child) node.append(wanted);
    else if (child.nodeName !== wanted.nodeName) child.replaceWith(wanted);
    else if (wanted instanceof Text) rewrite(child, wanted.data);
    // A button keeps its text, which may say what it has just done.
    else if (wanted.localName !== "button" && !child.isEqualNode(wanted)) {
      for (const { name } of [...child.attributes]) if (!wanted.hasAttribute(name)) child.removeAttribute(name);
      for (const { name, value } of wanted.attributes) if (child.getAttribute(name) !== value) child.setAttribute(name, value);
      liken(child, wanted);
    }
  });
  for (const child of nodes.slice(others.length)) child.remove();
}

/** Replaces the part of a text that begins with the first different character. */
function rewrite(text, wanted) {
  let same = 0;
  while (same < wanted.length && text.data[same] === wanted[same]) same++;
  if (same < text.length || same < wanted.length) text.replaceData(same, text.length - same, wanted.slice(same));
}

function frame(element, name) {
  const box = document.createElement("div");
  box.className = name;
  element.replaceWith(box);
  box.append(element);
  return box;
}

/** Matches URLs and e-mail addresses in a person's message. Without bounds, a long word would take quadratic time. */
const ADDRESS =
  /\bhttps?:\/\/(?:\([^\s<>"()]*\)|[^\s<>"()])*(?:\([^\s<>"()]*\)|[^\s<>"().,:;!?'\]])|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+/gi;

/** Shows a person's words as they are. Only addresses in them are links. */
function showWords(element, text) {
  let at = 0;
  for (const { 0: address, index } of text.matchAll(ADDRESS)) {
    const shown = document.createElement("a");
    shown.textContent = address;
    Object.assign(shown, {
      href: address.includes("://") ? address : `mailto:${address}`,
      target: "_blank",
      rel: "noopener noreferrer nofollow",
    });
    element.append(text.slice(at, index), shown);
    at = index + address.length;
  }
  element.append(text.slice(at));
}

/** Matches a question that is too long to show all of it at once. */
const LONG = /^(?:[\s\S]{900}|(?:.*\n){11})/;

/** Folds a long text behind a button that shows all of it. */
function fold(body) {
  if (!LONG.test(body.textContent)) return;
  const box = document.createElement("div");
  box.append(...body.childNodes);
  const show = (all) => {
    box.className = all ? "" : "folded";
    more.textContent = all ? words.show_less : words.show_more;
    more.setAttribute("aria-expanded", all);
  };
  const more = button("", () => show(box.className === "folded"));
  // A link in the folded text may get the focus.
  box.addEventListener("focusin", () => show(true));
  body.append(box, more);
  show(false);
}

/** Lets an element that is wider than the column scroll, also by keyboard. */
function scrollable(element, label) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
}

function frameCode(pre) {
  scrollable(pre, words.code);
  const box = frame(pre, "code");
  const name = pre.firstElementChild?.className.replace("language-", "");
  if (name) box.dataset.language = name;
  if (navigator.clipboard) box.append(copyButton(words.copy, async () => pre.textContent.replace(/\n$/, "")));
}

/** Makes a button that copies a text, and says whether it did. */
function copyButton(label, text) {
  const copy = button(label, async () => {
    // Safari writes only what it is given at the press, so it gets a promise.
    const blob = text().then((text) => new Blob([text], { type: "text/plain" }));
    copy.textContent = await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]).then(
      () => words.copied,
      () => words.not_copied,
    );
    say(copy.textContent);
    await pause(2);
    copy.textContent = label;
  });
  return copy;
}
