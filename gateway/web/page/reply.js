// ── One message of an answer ────────────────────────────────────────────────────────────────────

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
    this.sign({});
  }

  /** Shows the author: a person's name, or the link's name for the agent. */
  sign({ author, name }) {
    this.author = name || config.name;
    this.element.querySelector(".author").textContent = this.author;
    this.element.classList.toggle("person", author === "person");
    this.element.classList.toggle("again", this.goesOn);
  }

  /** Whether the message before it has the same author, who is then not named again. */
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

  /** Shows the plain text until its HTML arrives. */
  write(content) {
    this.content = content;
    this.rendered = false;
    if (this.plain) this.body.textContent = content;
    noticeNews();
  }

  /** Shows the gateway's HTML as block `k` and drops the blocks after it. */
  render(k, html) {
    if (k > this.body.children.length) return this.unrender();
    const block = document.createElement("div");
    block.className = "block";
    block.innerHTML = html;
    for (const pre of block.querySelectorAll("pre")) frameCode(pre);
    for (const table of block.querySelectorAll("table")) scrollable(frame(table, "table"), "Table");
    if (this.plain) this.body.replaceChildren();
    while (this.body.children.length > k) this.body.lastChild.remove();
    this.body.append(block);
    this.body.classList.remove("plain");
    this.rendered = true;
    levelHeadings(this.body);
  }

  /** Shows plain text until the whole message is rendered. Called where the first blocks were sent before this page listened. */
  unrender() {
    this.body.classList.add("plain");
    this.write(this.content);
  }

  /** Announces the message once, after a moment in which its HTML arrives. */
  finish(audible) {
    if (!this.finished && audible) setTimeout(() => say(this.spoken()), 300);
    this.finished = true;
  }

  spoken() {
    const copy = this.body.cloneNode(true);
    for (const button of copy.querySelectorAll("button")) button.remove();
    return `${this.author}: ${copy.textContent}`;
  }
}

/** Sets the levels of an answer's headings: below the page's (h1 is the name, h2 the author), without a gap. */
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

/** Lets an element that is wider than the column scroll, also by keyboard. */
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
    copy.textContent = await navigator.clipboard.writeText(pre.textContent).then(
      () => "Copied",
      () => "Not allowed",
    );
    say(copy.textContent);
    await pause(2);
    copy.textContent = "Copy";
  });
  box.append(copy);
}
