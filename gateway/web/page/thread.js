// ── One conversation ────────────────────────────────────────────────────────────────────────────

class Thread {
  turns = [];
  outbox = new Outbox(this);
  stream = new Stream(this);
  position = 0;
  round = 0;
  opening = true;
  closed = false;
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
    this.outbox.deliverAll();
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
    const outbox = this.outbox.turns.map(({ content, key }) => ({ content, key }));
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
    this.opening = !this.stream.cursor;
    this.stream.close();
    this.stream.watchSilence();
    for (let tries = 0; ; tries++) {
      if (wait) await pause(wait);
      const answer = !stale() && (await this.load());
      if (stale()) return;
      if (answer.ok) break;
      wait = answer.wait || backoff(tries);
    }
    this.open();
    if (this.id) this.stream.listen();
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
        this.stream.cursor = body.cursor;
        if (!body.next) return { ok, news };
        this.position = body.next;
      }
    }
    return { ok: true, news: false };
  }

  /** The log is another one than we knew: forget it, read it from the start. */
  startOver() {
    this.turns.filter((turn) => turn.id).forEach((turn) => this.remove(turn));
    this.stream.cursor = "";
    this.position = 0;
    this.connect();
  }

  // The list of turns: in the order of the conversation, what is unsent at its end.

  /** Takes a turn from the history, unless the stream was quicker; says whether it was news. */
  adopt(told) {
    const known = this.turns.find((turn) => turn.id === told.turn_id);
    const turn = this.arrive(told.turn_id, told.status, told.user, (told.user ?? told.assistant[0])?.created_at);
    if (turn.n > told.n) return false;
    const news = !known || turn.n < told.n || turn.status !== told.status || turn.unrendered;
    if (news) turn.take(told);
    return news;
  }

  /**
   * The turn of this id, made if need be. The stream may tell of our message before its POST is
   * answered. No message: the agent spoke first.
   */
  arrive(id, status, message, createdAt = message.created_at) {
    const content = message ? message.content : null;
    const ours = (turn) => turn.id === id || (!turn.id && turn.posting && turn.content === content);
    const turn = this.turns.find(ours) ?? this.insert(new Turn(this, content), createdAt);
    Object.assign(turn, { id, createdAt });
    if (turn.status === "unsent" || isSetAside(status)) turn.status = status;
    if (message) turn.element.querySelector(".user").title = new Date(createdAt).toLocaleString();
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
    this.outbox.turns.push(turn);
    this.turns.push(turn);
    this.element.append(turn.element);
    return turn;
  }

  remove(turn) {
    turn.element.remove();
    this.turns = this.turns.filter((other) => other !== turn);
    this.outbox.drop(turn);
  }

  draw() {
    this.turns.forEach((turn) => turn.draw());
    if (this !== thread) return;
    const due = Boolean(this.due);
    if (!due && document.activeElement === page.stop) page.content.focus();
    page.stop.hidden = !due;
  }

  // What the visitor does.

  /** Takes a message from the composer: shown at once, sent in its turn. */
  write(content) {
    notify("gone", "");
    this.queue(new Turn(this, content, newKey()));
    this.show();
    toEnd();
    this.outbox.deliverAll();
  }

  async stop() {
    if (!this.due) return;
    const { ok, status } = await post(`${this.due.id}/cancel`, newKey());
    if (status === 401) return this.switchOff();
    if (ok) return this.stream.watchSilence(0.5);
    notify("stop", "The reply could not be stopped. Try again in a moment.");
    setTimeout(() => notify("stop", ""), 5000);
  }

  // Ends.

  /** The conversation is no longer kept; what is on the screen stays until the page is left. */
  vanish() {
    this.stream.close();
    reachable();
    notify("gone", GONE);
    this.end(GONE);
    this.stream.cursor = "";
    this.position = 0;
    this.name(null);
  }

  /** The link was revoked or has expired. What was typed stays, to be copied. */
  switchOff() {
    reachable();
    notify("off", OFF);
    page.content.readOnly = page.send.disabled = page.new.disabled = true;
    this.outbox.refuseAll(TROUBLE[401]);
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
    this.stream.end();
    this.outbox.hurry();
  }
}
