// ── What the visitor thinks of a reply ──────────────────────────────────────────────────────────

/** The thumbs under a turn's reply, and the field for a reason. */
class Thumbs {
  element = template("thumbs");
  form = this.element.querySelector("form");
  rating = null;

  constructor(turn) {
    this.turn = turn;
    for (const thumb of this.thumbs) thumb.onclick = () => this.give(thumb.value === this.rating ? null : thumb.value);
    this.form.onsubmit = (event) => {
      event.preventDefault();
      this.give(this.rating, this.form.comment.value);
    };
  }

  get thumbs() {
    return this.element.querySelectorAll("[aria-pressed]");
  }

  show(rating) {
    this.rating = rating;
    for (const thumb of this.thumbs) thumb.setAttribute("aria-pressed", thumb.value === rating);
    this.form.hidden ||= !rating;
  }

  async give(rating, comment = "") {
    const before = this.rating;
    this.turn.rating = rating;
    this.show(rating);
    const headers = { "content-type": "application/json" };
    const { ok } = await link.request(`${this.turn.id}/rating`, { method: "PUT", headers, body: JSON.stringify({ rating, comment }) });
    if (!ok) {
      this.turn.rating = before;
      this.show(before);
      return say(words.not_rated);
    }
    say(rating ? words.thanks : words.taken_back);
    // The field disappears once a reason is given.
    this.form.hidden = !rating || comment !== "";
  }
}
