// ── One conversation ────────────────────────────────────────────────────────────────────────────

class Thread {
  turns = [];
  outbox = new Outbox(this);
  stream = new Stream(this);
  round = 0;
  opening = true;
  closed = false;
  element = document.createElement("div");
  /** Whether the newest turns have been read. */
  reached = false;
  /** The place in the history at which the page before the shown turns ends; 0 if there is no such page. */
  earlier = Number.POSITIVE_INFINITY;
  reading = null;
  readingEarlier = false;

  constructor({ conversation = null, outbox = [] }) {
    this.id = conversation;
    if (outbox.length) this.outboxPlace = outboxPlace(conversation);
    if (!conversation) this.readAll();
    // These messages may have arrived before the page was left. The answers to their repeats show whether they did.
    for (const { content, key, supersedes } of outbox) this.queue(new Turn(this, content, key, supersedes)).element.hidden = true;
  }

  begin() {
    if (this.id) this.connect();
    else this.open();
    setTimeout(() => !this.reached && !this.closed && say(words.loading), 1000);
    this.outbox.sendAll();
  }

  open() {
    this.opening = false;
    this.show();
  }

  /** Notes that there is nothing to read. */
  readAll() {
    this.reached = true;
    this.earlier = 0;
  }

  /** The oldest turn without an end: the one being answered. */
  get due() {
    return this.turns.find((turn) => turn.open);
  }

  // A reload finds its state in the tab's history entry, which no browser setting blocks.

  remember() {
    if (this.closed) return;
    const outbox = this.outbox.turns.map(({ content, key, supersedes }) => ({ content, key, supersedes }));
    quietly(() => history.replaceState({ conversation: this.id, outbox, draft: page.content.value, era: era() }, "", config.paths.page));
    this.keepOutbox(outbox);
  }

  /** Stores unsent messages in case the tab is closed. Several tabs may send the same message, but its key lets it arrive only once. */
  keepOutbox(outbox) {
    const place = outboxPlace(this.id);
    if (this.outboxPlace && (this.outboxPlace !== place || !outbox.length)) quietly(() => localStorage.removeItem(this.outboxPlace));
    this.outboxPlace = outbox.length ? place : null;
    if (outbox.length) quietly(() => localStorage.setItem(place, JSON.stringify(outbox)));
  }

  name(id) {
    this.id = id;
    if (id) conversations.add(id, this.turns.find((turn) => turn.content)?.content ?? "");
    quietly(() => (id ? localStorage.setItem(base, id) : localStorage.removeItem(base)));
    tellConversation(id);
    this.remember();
  }

  // Reading.

  /** Reads the history, repeating until it succeeds, then follows the stream from there. */
  async connect(wait = 0) {
    const round = ++this.round;
    const stale = () => this.closed || round !== this.round;
    this.opening = !this.reached;
    this.draw();
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

  /** Replaces the previous thread, or the messages that the gateway rendered. */
  show() {
    this.remember();
    this.draw();
    if (this.reached && this.id && this.turns.length) conversations.add(this.id, this.turns.find((turn) => turn.content)?.content ?? "");
    conversations.entitle(this.id, this.title);
    if (this.element.isConnected) return;
    page.thread.replaceChildren(this.element);
    toEnd();
  }

  /** Reads the newest turns, and those before them that may have changed. `news` says whether any has. */
  load() {
    this.reading ??= this.read().finally(() => (this.reading = null));
    return this.reading;
  }

  async read() {
    const due = new Set(this.turns.filter((turn) => turn.id && (turn.open || turn.unrendered)).map((turn) => turn.id));
    for (let [before, cursor, news] = ["end", null, false]; this.id; ) {
      const { ok, wait, body } = await this.page(before);
      if (!ok) return { ok: !this.id && !this.closed, wait };
      // The stream goes on from the cursor of the first page that was read, since the later ones may be newer.
      cursor ??= body.cursor;
      const [oldest] = body.turns;
      const gap = oldest && (this.reached ? !this.turns.some((turn) => turn.id === oldest.turn_id) : isOpen(oldest.status));
      for (const record of body.turns) {
        due.delete(record.turn_id);
        news = this.adopt(record, this.reached || isOpen(record.status)) || news;
      }
      this.earlier = Math.min(this.earlier, body.previous ?? 0);
      attended = body.agent_attached;
      this.title = body.title;
      this.draw();
      if (!body.previous || !(gap || due.size)) {
        this.stream.cursor = cursor;
        this.reached = true;
        return { ok, news };
      }
      before = body.previous;
    }
    return { ok: true, news: false };
  }

  /** Loads pages of earlier turns while the start of the thread is in view or near it. */
  async readEarlier() {
    if (this.readingEarlier || !this.reached) return;
    this.readingEarlier = true;
    for (let tries = 0; this.earlier && !this.closed && nearStart(); ) {
      const { ok, wait, body } = await this.page(this.earlier);
      if (this.closed) return;
      if (!ok) {
        await pause(wait || backoff(tries++));
        continue;
      }
      if (tries) reachable();
      tries = 0;
      this.earlier = Math.min(this.earlier, body.previous ?? 0);
      addAbove(() => {
        for (const record of body.turns) this.adopt(record, false);
        for (const turn of this.turns) turn.replies.values().next().value?.follow();
        this.draw();
      });
    }
    this.readingEarlier = false;
  }

  /** Reads the newest turns before a place in the history. */
  async page(before) {
    const { id } = this;
    const { status, ok, wait, body } = await link.request(`c/${id}?html=1&bytes=${PAGE_BYTES}&before=${before}`);
    if (this.closed || this.id !== id) return { ok: false };
    if (status === 401) return this.switchOff();
    if (status === 400 || status === 404) this.vanish();
    else if (!ok) unreachable(status === 403 ? trouble[403] : status ? words.unreadable : words.reconnecting);
    return { ok, wait, body };
  }

  /** Forgets all turns and reads the history from the start. Called when the cursor is not in the conversation's log. */
  startOver() {
    for (const turn of this.turns.filter((turn) => turn.id)) this.remove(turn);
    this.stream.cursor = "";
    this.reached = false;
    this.earlier = Number.POSITIVE_INFINITY;
    this.connect();
  }

  // The list of turns is in the order of the conversation, with unsent messages at its end.

  /** Adds or updates a turn from the history, unless the stream has shown more of it. Returns whether anything changed. */
  adopt(record, fresh) {
    const known = this.turns.find((turn) => turn.id === record.turn_id);
    const turn = this.arrive(record, fresh);
    if (turn.n > record.n) return false;
    const news = !known || turn.n < record.n || turn.status !== record.status || turn.unrendered;
    if (news) turn.take(record);
    return news;
  }

  /**
   * Returns the turn of a record, and inserts it if it is new. A fresh record may be of a message whose POST is not answered yet. In a
   * record without a message, the agent spoke first.
   */
  arrive({ turn_id: id, status, user, assistant = [], superseded_by = "", rating }, fresh = true) {
    const content = user ? user.content : null;
    const createdAt = (user ?? assistant[0])?.created_at;
    const ours = (turn) => turn.id === id || (fresh && !turn.id && turn.posting && turn.content === content);
    const turn = this.turns.find(ours) ?? this.insert(new Turn(this, content), createdAt);
    Object.assign(turn, { id, createdAt });
    if (turn.status === "unsent" || isSetAside(status)) turn.status = status;
    if (turn.open && !turn.patience) turn.stir();
    if (superseded_by) turn.retire();
    if (!isOpen(status)) turn.rating = rating;
    if (user?.supersedes) this.turns.find((other) => other.id === user.supersedes)?.retire();
    if (user) showTime(turn.element.querySelector(".user time"), createdAt);
    return turn;
  }

  /** Shows a rating, which may come from another tab. */
  rate({ turn_id, rating }) {
    const turn = this.turns.find((turn) => turn.id === turn_id);
    if (!turn) return;
    turn.rating = rating ?? undefined;
    turn.drawThumbs();
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
    turn.day.remove();
    this.turns = this.turns.filter((other) => other !== turn);
    this.outbox.drop(turn);
  }

  draw() {
    for (const turn of this.turns) turn.draw();
    this.drawDays();
    this.drawPeople();
    if (this !== thread) return;
    page.loading.hidden = !this.earlier;
    page.loading.querySelector("span:last-child").textContent = this.reached ? words.earlier : words.loading;
    const due = Boolean(this.due);
    if (!due && document.activeElement === page.stop) page.content.focus();
    page.stop.hidden = !due;
    countUnread();
  }

  /** Names each day above its first turn, unless all turns are of today. */
  drawDays() {
    let last = dayOf(Date.now());
    for (const { day, element, createdAt } of this.turns) {
      const name = dayOf(createdAt || Date.now());
      if (name === last) day.remove();
      else if (day.textContent !== name || day.nextSibling !== element) {
        day.textContent = name;
        element.before(day);
      }
      last = name;
    }
  }

  /** Says where a person joins or leaves, as far as the messages before are known. */
  drawPeople() {
    let before = this.earlier ? null : "";
    for (const turn of this.turns) {
      for (const reply of turn.replies.values()) {
        const { person } = reply;
        const goesOn = before === null || before === person;
        const name = person || before;
        reply.announce(goesOn ? "" : fill(person ? words.joined : words.left, { name }), turn.audible);
        before = person;
      }
    }
  }

  // Actions of the visitor.

  /** Shows a message from the composer at once and queues it for sending. */
  write(content, supersedes) {
    notify("gone", "");
    const turn = this.queue(new Turn(this, content, newKey(), supersedes));
    this.show();
    toQuestion(turn.element);
    this.outbox.sendAll();
  }

  async stop() {
    if (!this.due) return;
    const { ok, status } = await link.post(`${this.due.id}/cancel`, newKey(), {});
    if (status === 401) return this.switchOff();
    if (ok) return this.stream.watchSilence(0.5);
    notify("stop", words.not_stopped);
    setTimeout(() => notify("stop", ""), 5000);
  }

  // Endings.

  /** The gateway no longer has the conversation. Its messages stay on the screen until the page is left. */
  vanish() {
    this.stream.close();
    reachable();
    notify("gone", words.gone);
    this.readAll();
    conversations.drop(this.id);
    this.end(words.gone);
    this.stream.cursor = "";
    this.name(null);
  }

  /** The link was revoked or has expired. The draft stays, so that the visitor can copy it. */
  switchOff() {
    reachable();
    notify("off", words.off);
    page.content.readOnly = page.send.disabled = page.new.disabled = true;
    // What was typed can still be copied.
    page.send.hidden = true;
    page.composer.hidden = page.hint.hidden = !page.content.value;
    this.outbox.refuseAll(trouble[401]);
    this.readAll();
    this.end(words.switched_off);
    this.show();
    this.close();
    return { ok: false };
  }

  /** Ends all open turns with this error. */
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
