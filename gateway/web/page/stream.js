// ── The event stream ────────────────────────────────────────────────────────────────────────────

/** Follows the frames of one conversation, and reads the history while no frames come. */
class Stream {
  /** The cursor of the last frame received. */
  cursor = "";
  refusals = 0;
  source = null;

  constructor(thread) {
    this.thread = thread;
  }

  /** Opens the stream after `cursor`. The browser reconnects by itself, from the last event it received. */
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
      // The browser gives up where the answer is not a stream. The history's answer says why, or that the gateway is back.
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
      this.thread.arrive({ turn_id: message.turn_id, status: "queued", user: message });
      // A message that nobody answers ends with the frame that follows at once.
      setTimeout(() => this.thread.draw(), 50);
    });
    on("html", ({ id, block, keep = 0, tail = 0, html }) =>
      this.thread.turns
        .findLast((turn) => turn.replies.has(id))
        ?.reply(id)
        .patch(block, keep, tail, html),
    );
    on("reset", () => this.thread.startOver());
    on("revoked", () => this.thread.switchOff());
    this.watchSilence();
  }

  hear(name, data) {
    const known = this.thread.turns.find((turn) => turn.id === data.turn_id);
    // Only an agent that speaks first sends a message of an unknown turn.
    const turn = known ?? (name === "message" ? this.thread.arrive({ turn_id: data.turn_id, status: "done", assistant: [data] }) : null);
    if (!turn || data.n <= turn.n) return;
    turn.n = data.n;
    turn.stir();
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
   * Reads the history while an answer is due and the stream is silent, since a proxy may hold back the stream and a connection may die
   * without a sign. Reads it more often while it has news.
   */
  watchSilence(seconds = 5) {
    clearTimeout(this.silence);
    const { thread } = this;
    if (thread.closed || !thread.id || !thread.turns.some((turn) => turn.open || turn.unrendered)) return;
    this.silence = setTimeout(async () => {
      const { news, wait } = await thread.load();
      // A stream that has sent events before, or is older than 20 seconds, is dead. A younger silent one may be held back by a proxy.
      if (news && (this.spoken || Date.now() - this.openedAt > 20_000)) return this.listen();
      this.watchSilence(news ? 1.5 : wait || Math.min(seconds * 1.5, 15));
    }, seconds * 1000);
  }

  /** Whether the browser will not reconnect. */
  get givenUp() {
    return this.source?.readyState === EventSource.CLOSED;
  }

  /** Closes the connection; `listen` opens another. */
  close() {
    this.source?.close();
  }

  /** Closes the connection and stops reading the history. */
  end() {
    this.close();
    clearTimeout(this.silence);
  }
}
