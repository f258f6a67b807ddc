// ── The event stream ────────────────────────────────────────────────────────────────────────────

/** The frames that change what a turn shows. Events that this page doesn't know are skipped. */
const NUMBERED = ["message", "delta", "status", "restart", "turn_done"];

/** Follows the frames of one conversation, and reads the history while no frames come. */
class Stream {
  /** The cursor of the last frame received. */
  cursor = "";
  refusals = 0;
  /** Ends the connection; null if there is none. */
  open = null;

  constructor(thread) {
    this.thread = thread;
  }

  /** Opens the stream after `cursor`, and again when the connection breaks. */
  async listen() {
    this.close();
    const open = new AbortController();
    this.open = open;
    this.openedAt = Date.now();
    this.spoken = false;
    this.watchSilence();
    const opened = () => {
      this.refusals = 0;
      reachable();
      if (page.notice.dataset.kind === "paused" && !page.notice.hidden) this.thread.outbox.hurry();
      notify("paused", "");
    };
    const broken = (answer) => {
      if (!isPaused(answer.body)) unreachable();
      if (answer.status) throw answer;
    };
    try {
      const frames = link.follow(`c/${this.thread.id}/sse?html=1`, { after: this.cursor, signal: open.signal, opened, broken });
      for await (const { event, id, data } of frames) {
        if (open.signal.aborted) return;
        this.cursor = id ?? this.cursor;
        this.spoken = true;
        this.watchSilence();
        this.take(event, data);
      }
    } catch (refusal) {
      if (open.signal.aborted) return;
      if (!refusal.status) throw refusal;
      this.open = null;
      if (isPaused(refusal.body)) notify("paused", words.paused);
      // The answer is not a stream. The history's answer says why, or that the gateway is back.
      this.thread.connect(refusal.wait || backoff(this.refusals++));
    }
  }

  take(name, data) {
    switch (name) {
      case "user":
        this.thread.arrive({ turn_id: data.turn_id, status: "queued", user: data });
        // The turn is drawn a moment later. If nobody answers the message, the frame that ends its turn has come by then, even on a busy
        // machine.
        return setTimeout(() => this.thread.draw(), 250);
      case "html":
        return this.thread.turns
          .findLast((turn) => turn.replies.has(data.id))
          ?.reply(data.id)
          .patch(data.block, data.keep, data.tail, data.html);
      case "title":
        return conversations.entitle(this.thread.id, data.title);
      case "rated":
        return this.thread.rate(data);
      case "reset":
        return this.thread.startOver();
      case "paused":
        throw paused();
      case "revoked":
        return this.thread.switchOff();
    }
    if (NUMBERED.includes(name)) this.hear(name, data);
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
      // The history has news that the stream didn't bring. A stream that has brought events before, or is older than 20 seconds, is dead. A
      // younger one that has brought none may be held back by a proxy.
      if (news && (this.spoken || Date.now() - this.openedAt > 20_000)) return this.listen();
      this.watchSilence(news ? 1.5 : wait || Math.min(seconds * 1.5, 15));
    }, seconds * 1000);
  }

  /** Closes the connection; `listen` opens another. */
  close() {
    this.open?.abort();
    this.open = null;
  }

  /** Closes the connection and stops reading the history. */
  end() {
    this.close();
    clearTimeout(this.silence);
  }
}
