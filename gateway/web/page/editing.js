// ── Changing the last message ───────────────────────────────────────────────────────────────────

/** The turn whose message is being changed, and the draft that waits meanwhile; null if no message is being changed. */
let editing = null;

function edit(turn) {
  stopEditing();
  editing = { turn, draft: page.content.value };
  page.content.value = turn.content;
  page.editing.hidden = false;
  grow();
  page.content.focus();
  say(page.editing.firstElementChild.textContent);
}

/** Puts the draft back. Returns the id of the turn to replace; undefined if there is none, or if the conversation has gone on. */
function stopEditing() {
  if (!editing) return undefined;
  const { turn, draft } = editing;
  editing = null;
  page.content.value = draft;
  page.editing.hidden = true;
  grow();
  page.content.focus();
  return turn.editable ? turn.id : undefined;
}

page.editing.querySelector("button").addEventListener("click", stopEditing);
