// ── The conversations that this browser keeps ───────────────────────────────────────────────────

/** How many characters of a conversation's first message become its title. */
const TITLE = 60;

/** The storage keys of the time when everything was last forgotten, and of a conversation's unsent messages. */
const eraPlace = `${base}era`;
const outboxPlace = (id) => `${base}outbox${id ?? ""}`;

/** The link's conversations, newest first. Where the browser has no storage, the tab keeps them. */
class Conversations {
  place = `${base}conversations`;
  kept = [];

  constructor() {
    // Follows changes in other tabs, so that all tabs show the same list and none shows a conversation that is gone.
    addEventListener("storage", ({ key, oldValue, newValue }) => {
      if (key === eraPlace) return begin("");
      if (key !== this.place) return;
      this.draw();
      const isIn = (list) => JSON.parse(list ?? "[]").some(({ id }) => id === thread.id);
      if (isIn(oldValue) && !isIn(newValue)) begin();
    });
    page.list.addEventListener("click", () => this.open());
    page.forget.addEventListener("click", () => this.forget());
    page.conversations.addEventListener("click", ({ target }) => target === page.conversations && page.conversations.close());
  }

  get all() {
    return quietly(() => JSON.parse(localStorage.getItem(this.place) ?? "[]")) ?? this.kept;
  }

  keep(all) {
    this.kept = all;
    quietly(() => (all.length ? localStorage.setItem(this.place, JSON.stringify(all)) : localStorage.removeItem(this.place)));
    this.draw();
  }

  /** Adds a conversation that is new here. */
  add(id, text) {
    if (!id || this.all.some((known) => known.id === id)) return;
    const line = text.trim().replace(/\s+/g, " ");
    const title = line.length > TITLE ? `${line.slice(0, TITLE).replace(/\s\S*$/, "")}…` : line;
    this.keep([{ id, title: title || config.name }, ...this.all]);
  }

  /** Takes the agent's title, unless the visitor has given one. */
  entitle(id, title) {
    const { all } = this;
    const known = all.find((known) => known.id === id && !known.own && known.title !== title);
    if (title && known) this.keep(all.map((kept) => (kept === known ? { id, title } : kept)));
  }

  drop(id) {
    quietly(() => localStorage.removeItem(outboxPlace(id)));
    const { all } = this;
    if (all.some((kept) => kept.id === id)) this.keep(all.filter((kept) => kept.id !== id));
  }

  open() {
    this.draw();
    page.conversations.showModal();
  }

  draw() {
    const { all } = this;
    page.list.hidden = !all.length;
    if (!all.length) page.conversations.close();
    page["conversation-list"].replaceChildren(...all.map((kept) => this.item(kept)));
  }

  item({ id, title }) {
    const item = document.createElement("li");
    const go = button(title, () => {
      page.conversations.close();
      if (id !== thread.id) leave(keptOf(id));
    });
    go.className = "title";
    go.dir = "auto";
    if (id === thread?.id) go.setAttribute("aria-current", "true");
    const actions = {
      [words.rename]: () => this.rename(item, id, title),
      Markdown: (event) => this.export(event.target, id, title, "md"),
      JSON: (event) => this.export(event.target, id, title, "json"),
      [words.delete]: (event) => this.delete(event.target, id),
    };
    item.append(go);
    for (const [label, act] of Object.entries(actions)) {
      const action = button(label, act);
      action.setAttribute("aria-label", `${label}: ${title}`);
      item.append(action);
    }
    return item;
  }

  /** Puts a field in the title's place. */
  rename(item, id, title) {
    const field = document.createElement("input");
    Object.assign(field, { value: title, maxLength: 100, dir: "auto" });
    field.setAttribute("aria-label", words.title);
    field.onblur = () => {
      const own = field.value.trim();
      this.keep(this.all.map((kept) => (kept.id === id && own && own !== title ? { id, title: own, own: true } : kept)));
    };
    field.onkeydown = (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      if (event.key === "Escape") field.value = title;
      field.blur();
      const at = this.all.findIndex((kept) => kept.id === id);
      page["conversation-list"].children[at]?.firstChild.focus();
    };
    item.firstChild.replaceWith(field);
    field.select();
  }

  /** Deletes a conversation at the gateway, on the second press of the button. */
  async delete(pressed, id) {
    if (pressed.textContent !== words.really_delete) {
      pressed.textContent = words.really_delete;
      pressed.removeAttribute("aria-label");
      return;
    }
    pressed.disabled = true;
    const { ok, status } = await link.request(`c/${id}`, { method: "DELETE" });
    if (status === 401) return thread.switchOff();
    if (!ok && status !== 404) return Object.assign(pressed, { disabled: false, textContent: words.not_deleted });
    this.drop(id);
    say(words.deleted);
    page.conversations.querySelector("button").focus();
    if (thread.id === id) begin();
  }

  /** Downloads the whole conversation. */
  async export(pressed, id, title, kind) {
    pressed.disabled = true;
    const turns = [];
    for (let after = 0; after !== null; ) {
      const { ok, body } = await link.request(`c/${id}?after=${after}`);
      if (!ok) return Object.assign(pressed, { disabled: false, textContent: words.not_exported });
      turns.push(...body.turns);
      after = body.next;
    }
    pressed.disabled = false;
    const text = kind === "json" ? JSON.stringify({ title, turns }, null, 2) : markdown(title, turns);
    const file = document.createElement("a");
    file.href = URL.createObjectURL(new Blob([text], { type: kind === "json" ? "application/json" : "text/markdown" }));
    file.download = `${title.replace(/[^\p{L}\p{N} ._-]/gu, "").trim() || "conversation"}.${kind}`;
    file.click();
    setTimeout(() => URL.revokeObjectURL(file.href), 1000);
  }

  /** Forgets everything that this browser has of the link. Older entries of the tab's history have another era and show nothing. */
  forget() {
    quietly(() => {
      for (const key of Object.keys(localStorage)) if (key.startsWith(base)) localStorage.removeItem(key);
      localStorage.setItem(eraPlace, Date.now());
    });
    this.keep([]);
    begin("");
    say(words.forgotten);
  }
}

/** Writes a conversation as Markdown. */
function markdown(title, turns) {
  const parts = [`# ${title}`];
  for (const { user, assistant } of turns.filter((turn) => !turn.superseded_by)) {
    for (const message of [user, ...assistant]) {
      if (!message) continue;
      const author = message === user ? words.you : message.name || config.name;
      parts.push(`**${author}**, ${new Date(message.created_at).toLocaleString(language)}`, message.content);
    }
  }
  return `${parts.join("\n\n")}\n`;
}

/** The time of the last `forget`, as text. */
const era = () => quietly(() => localStorage.getItem(eraPlace)) ?? "0";

/** What the browser keeps of a conversation. */
const keptOf = (id) => ({ conversation: id, outbox: quietly(() => JSON.parse(localStorage.getItem(outboxPlace(id)))) ?? [] });

/** Shows an empty conversation in place of one that is gone. */
function begin(draft = page.content.value) {
  page.content.value = draft;
  grow();
  enter({});
  thread.name(null);
  page.content.focus();
}

const conversations = new Conversations();
