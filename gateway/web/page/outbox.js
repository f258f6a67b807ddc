// ── What is sent ────────────────────────────────────────────────────────────────────────────────

/** The messages of one conversation that are not known to have been taken. */
class Outbox {
  turns = [];

  constructor(thread) {
    this.thread = thread;
  }

  /** One at a time: the first message makes the conversation that the second belongs to. */
  async deliverAll() {
    if (this.delivering) return;
    this.delivering = true;
    const { thread } = this;
    await thread.loaded;
    const next = () => this.turns.find((turn) => !turn.trouble?.final);
    for (let tries = 0, turn; !thread.closed && (turn = next()); ) {
      turn.posting = true;
      const answer = await post("", turn.key, { content: turn.content, conversation: thread.id ?? undefined });
      turn.posting = false;
      turn.element.hidden = false;
      if (thread.closed) break;
      if (answer.ok) this.taken(turn, answer.body);
      else await this.refused(turn, answer, tries);
      tries = answer.ok ? 0 : tries + 1;
    }
    this.delivering = false;
  }

  taken(turn, { turn_id, conversation, status, user, agent_attached }) {
    const { thread } = this;
    attended = agent_attached;
    this.drop(turn);
    const known = thread.turns.find((other) => other.id === turn_id);
    if (!known) turn.id ??= turn_id;
    else if (known !== turn) thread.remove(turn);
    // The answer to a repeat may tell of an end whose frames we have yet to read.
    thread.arrive(turn_id, status === "queued" || isSetAside(status) ? status : "running", user);
    thread.draw();
    if (thread.id === conversation) return thread.remember();
    thread.name(conversation);
    thread.stream.listen();
  }

  /** Says why, and waits where waiting helps. The key stays the same, so nothing is ever sent twice. */
  async refused(turn, { status, wait, body }, tries) {
    const { thread } = this;
    if (status === 401) return thread.switchOff();
    if (status === 404 && thread.id) thread.vanish();
    if (status === 422) turn.key = newKey();
    const retry = [0, 408, 429].includes(status) || status >= 500;
    const unsure = status === 0 || status === 504;
    const text = TROUBLE[body.reason] ?? TROUBLE[status] ?? TROUBLE[retry ? 503 : 400];
    const edit = unsure ? {} : { Edit: () => this.takeBack(turn) };
    if (!retry) {
      turn.trouble = { text, tone: "refused", final: true, actions: { "Send again": () => this.retry(turn), ...edit } };
      return turn.draw();
    }
    const tooMany = body.reason === "TOO_MANY_TURNS";
    turn.trouble = { text, tone: "waiting", tooMany, actions: { "Send now": () => turn.hurry(), ...edit } };
    turn.draw();
    await turn.countDown(wait || backoff(tries));
    turn.trouble = null;
    turn.draw();
  }

  retry(turn) {
    turn.trouble = null;
    turn.draw();
    this.deliverAll();
  }

  /** An answer has ended: what waited for room waits no more. */
  roomAgain() {
    this.turns.forEach((waiting) => waiting.trouble?.tooMany && waiting.hurry());
  }

  /** Tries at once what waits for its next try. */
  hurry() {
    this.turns.forEach((turn) => turn.hurry());
  }

  /** Nothing is taken any more. */
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
