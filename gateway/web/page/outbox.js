// ── While the link is paused ────────────────────────────────────────────────────────────────────

/**
 * Says that the link is paused, until it is resumed. Only for a page without a conversation: otherwise the stream says
 * so.
 */
async function waitWhilePaused() {
  notify("paused", words.paused);
  while (page.notice.dataset.kind === "paused" && !page.notice.hidden) {
    // All pages of a link ask, so each waits for a different time.
    await pause(30 * (1 + Math.random() / 2));
    if (document.hidden) await new Promise((shown) => document.addEventListener("visibilitychange", shown, { once: true }));
    const { ok, status, body } = await link.request("config");
    if (status === 401) return thread.switchOff();
    if (ok && !body.paused) {
      notify("paused", "");
      thread.outbox.hurry();
    }
  }
}

// ── Sending ─────────────────────────────────────────────────────────────────────────────────────

/** The messages of one conversation that the gateway has not yet confirmed. */
class Outbox {
  turns = [];

  constructor(thread) {
    this.thread = thread;
  }

  /** Sends all messages, one at a time: the first one creates the conversation that the second belongs to. */
  async sendAll() {
    if (this.sending) return;
    this.sending = true;
    const { thread } = this;
    for (let tries = 0; !thread.closed; ) {
      const turn = this.turns.find((turn) => !turn.trouble?.final);
      if (!turn) break;
      turn.posting = true;
      const { content, key, supersedes, proof } = turn;
      const answer = await link.post("", key, { content, conversation: thread.id ?? undefined, supersedes, page: place, altcha: proof });
      turn.posting = false;
      turn.element.hidden = false;
      if (thread.closed) break;
      if (answer.ok) this.accepted(turn, answer.body);
      else if (!(await prove(turn, answer.body))) await this.refused(turn, answer, tries);
      tries = answer.ok ? 0 : tries + 1;
    }
    this.sending = false;
  }

  accepted(turn, { turn_id, conversation, status, user, agent_attached }) {
    const { thread } = this;
    attended = agent_attached;
    this.drop(turn);
    const known = thread.turns.find((other) => other.id === turn_id);
    if (!known) turn.id ??= turn_id;
    else if (known !== turn) thread.remove(turn);
    // The answer to a repeat may say that the turn has ended. Its last frames are still to come, so it counts as running until then.
    thread.arrive({ turn_id, status: status === "queued" || isSetAside(status) ? status : "running", user });
    thread.draw();
    if (thread.id === conversation) return thread.remember();
    thread.name(conversation);
    thread.stream.listen();
  }

  /**
   * Shows why the message was refused, and waits where a retry may help. The key stays the same, so no message arrives twice. Only a key
   * that belongs to another message is replaced.
   */
  async refused(turn, answer, tries) {
    const { status, wait, body } = answer;
    const { thread } = this;
    if (status === 401) return thread.switchOff();
    if (status === 404 && thread.id) {
      const { reached } = thread;
      turn.supersedes = undefined;
      thread.vanish();
      // The conversation was never read here, so the message begins a new one.
      if (!reached) return;
    }
    // The conversation has gone on in another tab, so this message replaces none.
    if (status === 400 && turn.supersedes) {
      turn.supersedes = undefined;
      return;
    }
    if (isUnknown(body) && site && !turn.renewed) {
      turn.renewed = true;
      return renew();
    }
    if (status === 422) turn.key = newKey();
    const retry = mayRepeat(answer);
    const unsure = status === 0 || status === 504;
    const text = trouble[body.reason] ?? trouble[status] ?? trouble[retry ? 503 : 400];
    const edit = unsure ? {} : { [words.edit]: () => this.takeBack(turn) };
    if (!retry) {
      turn.trouble = { text, tone: "refused", final: true, actions: { [words.send_again]: () => this.retry(turn), ...edit } };
      return turn.draw();
    }
    const tooMany = body.reason === "TOO_MANY_TURNS";
    turn.trouble = { text, tone: "waiting", tooMany, actions: { [words.send_now]: () => turn.hurry(), ...edit } };
    await turn.countDown(wait || backoff(tries));
    turn.trouble = null;
    turn.draw();
  }

  retry(turn) {
    turn.trouble = null;
    turn.draw();
    this.sendAll();
  }

  /** Retries the messages that wait for a turn to end. Called when one has ended. */
  roomAgain() {
    for (const turn of this.turns) if (turn.trouble?.tooMany) turn.hurry();
  }

  /** Retries at once what waits for its next try. */
  hurry() {
    for (const turn of this.turns) turn.hurry();
  }

  /** Marks every message as refused for good. */
  refuseAll(text) {
    for (const turn of this.turns) turn.trouble = { text, tone: "refused", final: true };
  }

  drop(turn) {
    this.turns = this.turns.filter((other) => other !== turn);
  }

  /** Puts an unsent message back into the composer. */
  takeBack(turn) {
    this.thread.remove(turn);
    turn.hurry();
    page.content.value = [turn.content, page.content.value].filter(Boolean).join("\n\n");
    grow();
    page.content.focus();
    this.thread.remember();
  }
}
