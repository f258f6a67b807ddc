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
    this.sign({});
  }

  /** Says who wrote it: a person by name, or the agent, who goes by the link's. */
  sign({ author, name }) {
    this.author = name || config.name;
    this.element.querySelector(".author").textContent = this.author;
    this.element.classList.toggle("person", author === "person");
    this.element.classList.toggle("again", this.goesOn);
  }

  /** Whether the message before it is by the same, who need not be named again. */
  get goesOn() {
    const before = this.element.previousElementSibling ?? this.element.parentElement?.previousElementSibling?.querySelector("article:last-of-type");
    const by = (message) => message?.matches(".assistant") && [message.matches(".person"), message.querySelector(".author").textContent].join();
    return by(before) === by(this.element);
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
    return `${this.author}: ${copy.textContent}`;
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
