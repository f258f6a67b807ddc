// ── One question and its answer ─────────────────────────────────────────────────────────────────

/** Whether nobody answers the turn: its message was kept as context or dropped. */
const isSetAside = (status) => status === "observed" || status === "dropped";

const isOpen = (status) => status === "queued" || status === "running";

class Turn {
  id = null;
  status = "unsent";
  n = 0;
  createdAt = "";
  statusText = "";
  /** Whether nothing has come for a while. */
  slow = false;
  error = "";
  trouble = null;
  /** When the next try is, after a refusal. */
  until = 0;
  replies = new Map();
  /** The ids of the replies that stay when a new attempt starts. */
  kept = [];
  element = template("turn");
  foot = this.element.querySelector(".foot");
  /** Stands above the first turn of a day. */
  day = document.createElement("p");
  /** What the agent has done, if it was more than one thing. */
  steps = [];

  /** `content` is null where the agent spoke first. `supersedes` is the id of the turn whose message this one replaces. */
  constructor(thread, content, key, supersedes) {
    Object.assign(this, { thread, content, key, supersedes });
    const question = this.element.querySelector(".user");
    this.editor = question.querySelector(".edit");
    Object.assign(this.editor, { textContent: words.edit, onclick: () => edit(this) });
    if (content === null) question.remove();
    else {
      const body = question.querySelector(".body");
      showWords(body, content);
      fold(body);
    }
    this.day.className = "day";
    sizes.observe(this.element);
  }

  /** Whether it answers a visitor's message. */
  get asked() {
    return this.content !== null;
  }

  get open() {
    return isOpen(this.status);
  }

  /** Whether the visitor can change its message: it is the last one, and its reply has ended. */
  get editable() {
    return this.asked && this.id && !(this.open || isSetAside(this.status)) && this.thread.turns.at(-1) === this && !page.content.readOnly;
  }

  /** Whether to announce changes: not while the page loads. */
  get audible() {
    return this.element.isConnected && !this.thread.opening;
  }

  /** Whether it has ended but a reply's HTML never arrived. */
  get unrendered() {
    return !this.open && [...this.replies.values()].some((reply) => !reply.rendered);
  }

  reply(id) {
    if (!this.replies.has(id)) {
      const reply = new Reply(this, id);
      this.replies.set(id, reply);
      this.foot.before(reply.element);
    }
    return this.replies.get(id);
  }

  dropReplies(except = []) {
    for (const [id, reply] of this.replies) {
      if (except.includes(id)) continue;
      reply.announce("");
      reply.element.remove();
      this.replies.delete(id);
    }
  }

  /** Shows the turn as the history has it, up to frame `n`. */
  take({ status, n, status_text = "", steps = [], error = "", assistant, kept = 0 }) {
    const ids = assistant.map((message) => message.id);
    Object.assign(this, { status, n, statusText: translate(status_text), error, kept: ids.slice(0, kept) });
    this.steps = steps.slice(0, status_text ? -1 : undefined).map(translate);
    this.drawTrail();
    this.dropReplies(ids);
    for (const message of assistant) {
      const reply = this.reply(message.id);
      reply.sign(message);
      reply.render(message.html);
    }
  }

  /** Applies a numbered frame of the stream. */
  frames = {
    message: (message) => {
      const reply = this.reply(message.id);
      reply.sign(message);
      this.thread.drawPeople();
      reply.write(message.content);
      reply.finish(this.audible);
    },
    delta: ({ id, text }) => {
      this.pass("");
      this.reply(id).append(text);
    },
    status: ({ text }) => {
      this.pass(text);
    },
    restart: ({ keep }) => {
      this.pass(keep ? "" : words.restart);
      if (!keep) this.dropReplies(this.kept);
      this.kept = [...this.replies.keys()];
      this.finishReplies();
    },
    turn_done: ({ status, error = "" }) => {
      this.pass("");
      Object.assign(this, { status, error });
    },
  };

  /** Shows what the agent does now. What it did before goes to the steps, which fold. */
  pass(status) {
    const { statusText: before, steps } = this;
    const text = translate(status);
    this.statusText = text;
    if (!before || [text, words.restart, steps.at(-1)].includes(before)) return;
    steps.push(before);
    this.drawTrail();
  }

  drawTrail() {
    const { steps } = this;
    if (steps.length < 2) return;
    if (!this.trail) {
      this.trail = template("trail");
      const question = this.element.querySelector(".user");
      if (question) question.after(this.trail);
      else this.foot.parentElement.prepend(this.trail);
    }
    this.trail.querySelector("summary").textContent = fill(words.steps, { count: steps.length.toLocaleString(language) });
    const list = this.trail.querySelector("ol");
    list.append(
      ...steps.slice(list.children.length).map((step) => {
        const item = document.createElement("li");
        item.textContent = step;
        return item;
      }),
    );
  }

  /** Notes that something has come. After ten seconds without anything, the line says that the agent still works. */
  stir() {
    this.slow = false;
    clearTimeout(this.patience);
    this.patience = setTimeout(() => {
      this.slow = true;
      this.draw();
    }, 10_000);
  }

  /** Folds the turn away: the visitor has replaced its message. */
  retire() {
    if (this.earlier) return;
    this.earlier = document.createElement("details");
    this.earlier.className = "trail";
    const summary = document.createElement("summary");
    summary.textContent = words.earlier_version;
    this.earlier.append(summary, ...this.element.childNodes);
    this.element.append(this.earlier);
  }

  finishReplies() {
    for (const reply of this.replies.values()) reply.finish(this.audible);
  }

  progress() {
    return { dots: true, text: this.statusText || (this.slow ? words.working : "") };
  }

  /** The line below the answer: dots while more is due, a sentence where something went wrong. */
  line() {
    const last = this.thread.turns.at(-1) === this;
    const actions = last ? { [words.ask_again]: () => this.thread.write(this.content) } : {};
    switch (this.status) {
      case "unsent":
        return this.trouble ?? { text: words.sending, tone: "late" };
      case "queued":
        if (!attended) return { text: isAway() ? config.away.text : words.unattended };
        if (this.thread.due !== this) return { text: words.waiting_above };
        return this.progress();
      case "running":
        return this.progress();
      case "failed":
        return { text: this.error || words.failed, tone: "bad", actions };
      case "expired":
        return { text: this.error || words.expired, tone: "bad", actions };
      case "cancelled":
        return { text: this.error || words.cancelled };
      case "observed":
      case "dropped":
        return { text: words.received, tone: "received" };
      default:
        return { text: this.replies.size ? "" : words.silent };
    }
  }

  draw() {
    if (!this.open) this.finishReplies();
    this.editor.hidden = !this.editable;
    this.drawThumbs();
    const { text, dots = false, tone = "", actions = {} } = this.line();
    const drawn = JSON.stringify([text, dots, tone, Object.keys(actions)]);
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.foot.dataset.tone = tone;
    this.foot.querySelector(".dots").hidden = !dots;
    this.foot.querySelector(".foot-text").textContent = text;
    this.foot.querySelector(".foot-actions").replaceChildren(...Object.entries(actions).map(([label, act]) => button(label, act)));
    const announced = this.left() ? `${text} ${this.left()}` : text;
    if (tone !== "late") this.announce(announced || (dots && !this.replies.size && fill(words.answering, { name: config.name })));
  }

  /** Shows the thumbs under the last message of a whole reply. */
  drawThumbs() {
    if (!(this.asked && this.status === "done" && this.replies.size)) return;
    this.thumbs ??= new Thumbs(this);
    const tools = [...this.replies.values()].at(-1).element.querySelector(".tools");
    if (this.thumbs.element.parentElement !== tools) tools.append(this.thumbs.element);
    this.thumbs.show(this.rating ?? null);
  }

  /** Announces progress, at most every five seconds. Announces how the turn ended once its messages were announced. */
  announce(text) {
    if (!text || !this.audible || (this.open && Date.now() - this.announcedAt < 5000)) return;
    this.announcedAt = Date.now();
    if (this.open) say(text);
    else setTimeout(() => say(text), HTML_TIME);
  }

  /** Says when the next try is; an empty string if none is due. */
  left() {
    const seconds = Math.ceil((this.until - Date.now()) / 1000);
    if (!(seconds > 0)) return "";
    if (seconds <= 600) return fill(words.again_in, { when: new Intl.RelativeTimeFormat(language).format(seconds, "second") });
    // If the wait is long, the time of day says when to come back.
    const time = new Date(this.until).toLocaleTimeString(language, { hour: "2-digit", minute: "2-digit" });
    return fill(words.again_at, { time });
  }

  /** Shows the time to the next try, and returns when it is over or `hurry` is called. */
  async countDown(seconds) {
    this.until = Date.now() + seconds * 1000;
    this.draw();
    for (; Date.now() < this.until; await pause(0.1)) this.foot.querySelector(".foot-count").textContent = this.left();
  }

  hurry() {
    this.until = 0;
  }
}
