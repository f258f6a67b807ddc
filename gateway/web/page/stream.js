// ── What comes by itself ────────────────────────────────────────────────────────────────────────

/** The frames of one conversation as they are made, and the history where none come. */
class Stream {
  /** The last frame that we have. */
  cursor = "";
  refusals = 0;
  source = null;

  constructor(thread) {
    this.thread = thread;
  }

  /** Follows the stream. The browser itself reconnects, from the last frame it has. */
  listen() {
    this.close();
    const source = new EventSource(`${base}c/${this.thread.id}/sse?html=1${this.cursor && `&last_event_id=${this.cursor}`}`);
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
      if (this.givenUp) this.thread.connect(backoff(this.refusals++));
    };
    const on = (name, act) =>
      source.addEventListener(name, (event) => {
        if (event.lastEventId) this.cursor = event.lastEventId;
        this.spoken = true;
        this.watchSilence();
        act(JSON.parse(event.data));
      });
    for (const name of ["message", "delta", "status", "restart", "turn_done"]) on(name, (data) => this.hear(name, data));
    on("user", (message) => {
      this.thread.arrive(message.turn_id, "queued", message);
      // A message that nobody is to answer has its end right behind it.
      setTimeout(() => this.thread.draw(), 50);
    });
    on("html", ({ id, block, html }) => this.thread.turns.findLast((turn) => turn.replies.has(id))?.reply(id).render(block, html));
    on("reset", () => this.thread.startOver());
    on("revoked", () => this.thread.switchOff());
    this.watchSilence();
  }

  hear(name, data) {
    const known = this.thread.turns.find((turn) => turn.id === data.turn_id);
    // Only where the agent speaks first there was no message before.
    const turn = known ?? (name === "message" ? this.thread.arrive(data.turn_id, "done", null, data.created_at) : null);
    if (!turn || data.n <= turn.n) return;
    turn.n = data.n;
    turn.frames[name](data);
    if (name !== "turn_done") {
      if (turn.asked) {
        attended = true;
        turn.status = "running";
      }
      return turn.draw();
    }
    this.thread.draw();
    this.thread.outbox.roomAgain();
    if (turn.unrendered) this.watchSilence(1);
  }

  /**
   * A proxy may hold the stream back, and a connection may die without a sign. So while an answer
   * is due and the stream says nothing, the history is asked: often if it had news, else seldom.
   */
  watchSilence(seconds = 5) {
    clearTimeout(this.silence);
    const { thread } = this;
    if (thread.closed || !thread.id || !thread.turns.some((turn) => turn.open || turn.unrendered)) return;
    this.silence = setTimeout(async () => {
      const { news, wait } = await thread.load();
      // A stream that did speak, or is old, is not held back but dead. A new one also begins its rendering anew.
      if (news && (this.spoken || Date.now() - this.openedAt > 20_000)) return this.listen();
      this.watchSilence(news ? 1.5 : wait || Math.min(seconds * 1.5, 15));
    }, seconds * 1000);
  }

  /** Whether the browser will not reconnect. */
  get givenUp() {
    return this.source?.readyState === EventSource.CLOSED;
  }

  /** Ends the connection; `listen` begins another. */
  close() {
    this.source?.close();
  }

  /** Ends for good. */
  end() {
    this.close();
    clearTimeout(this.silence);
  }
}
