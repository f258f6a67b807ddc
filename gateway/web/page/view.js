// ── The composer ────────────────────────────────────────────────────────────────────────────────

/** Fits the box to its text in browsers without `field-sizing`. */
function grow() {
  if (CSS.supports("field-sizing", "content")) return;
  page.content.style.height = "auto";
  page.content.style.height = `${page.content.scrollHeight}px`;
}

/** Whether a message can be sent. Shows a notice if it is too long. */
function isSendable(content) {
  if (!content.trim() || page.content.readOnly) return false;
  const isShort = new TextEncoder().encode(content).length <= config.limits.content_bytes;
  if (!isShort) notify("size", trouble[413]);
  return isShort;
}

page.composer.noValidate = true;
if (onTouch.matches) page.content.enterKeyHint = "enter";
page.composer.addEventListener("submit", (event) => {
  event.preventDefault();
  page.content.focus();
  const content = page.content.value.trimEnd();
  if (!isSendable(content)) return;
  page.content.value = "";
  const supersedes = stopEditing();
  grow();
  thread.write(content, supersedes);
});

/**
 * Whether a key is for an input method, such as the Enter that selects a word. Safari then reports key code 229 and not
 * `isComposing`.
 */
const composes = (event) => event.isComposing || event.keyCode === 229;

page.content.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || onTouch.matches || composes(event)) return;
  event.preventDefault();
  page.composer.requestSubmit();
});

let saving = null;
page.content.addEventListener("input", () => {
  grow();
  notify("size", "");
  clearTimeout(saving);
  saving = setTimeout(() => thread.remember(), 400);
});

page.starters?.addEventListener("submit", (event) => {
  event.preventDefault();
  thread.write(event.submitter.value);
  if (!onTouch.matches) page.content.focus();
});

page.stop.addEventListener("click", () => thread.stop());

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || composes(event) || page.conversations.open) return;
  if (event.key !== "Escape") return isTyped(event) && page.content.focus();
  if (editing) stopEditing();
  else if (closes) tellSite({ type: "close" });
  else if (!event.repeat) thread.stop();
});

/** Whether a key writes a character outside of the page's fields. The space bar doesn't count: it scrolls, and presses buttons. */
function isTyped({ key, target, altKey, ctrlKey, metaKey }) {
  return [...key].length === 1 && key !== " " && !(altKey || ctrlKey || metaKey) && !target.closest?.("input, textarea");
}

// ── The log's end, and the bar ──────────────────────────────────────────────────────────────────

/** Whether the log scrolls with new messages. It stops when the reader scrolls up; "New messages" then shows. */
let following = true;
let lastTop = 0;
/** Whether something has come since the log was last scrolled to its end. */
let news = false;

/** Whether messages are being added above those that are shown, which doesn't count as news. */
let adding = false;

function noticeNews() {
  if (adding) return;
  news = true;
}

/**
 * How far below the log's top a question is shown once it is sent, and how much room is below the thread, in pixels.
 */
const [ABOVE, BELOW] = [20, 16];
/** The question that was last sent here: its turn's element, how far down the thread it is, and where the log was scrolled to for it. */
let question = null;

/** Shows a question at the top. The answer grows below it, and the log doesn't scroll with it. */
function toQuestion(element) {
  question = { element };
  following = false;
  makeRoom();
}

/** Keeps enough room below the question for it to stay at the top, even while an answer above it grows. */
function makeRoom() {
  const { log } = page;
  const { element } = thread;
  if (!element.contains(question?.element)) {
    question = null;
    element.style.minHeight = "";
    return;
  }
  const { top } = question.element.getBoundingClientRect();
  const down = top - element.getBoundingClientRect().top;
  element.style.minHeight = `${down + log.clientHeight - ABOVE - BELOW}px`;
  // The reader may have scrolled. Some browsers have already scrolled by the height that was added above.
  const moved = log.scrollTop - question.scrolled;
  const isThere = !(moved < -1 || moved > down - question.down + 1);
  if (down === question.down || !isThere) return;
  log.scrollTop += top - log.getBoundingClientRect().top - ABOVE;
  lastTop = log.scrollTop;
  Object.assign(question, { down, scrolled: lastTop });
}

/** Whether there is room left below the last turn. */
const hasRoom = () => {
  const { element } = thread;
  return element.lastElementChild?.getBoundingClientRect().bottom < element.getBoundingClientRect().bottom - 1;
};

/** Shows "New messages" while the end of what has come is out of sight. */
function showLatest() {
  const end = thread.element.lastElementChild?.lastElementChild;
  page.latest.hidden = !news || following || !(end?.getBoundingClientRect().top > page.log.getBoundingClientRect().bottom);
}

function toEnd() {
  following = true;
  news = false;
  page.latest.hidden = true;
  page.log.scrollTop = page.log.scrollHeight;
  lastTop = page.log.scrollTop;
}

/** Whether the place where earlier messages load is in view, or nearly. */
const nearStart = () => page.loading.getBoundingClientRect().bottom > -2 * page.log.clientHeight;

/** Adds messages above the others, without moving what the reader sees. */
function addAbove(add) {
  const { log } = page;
  const first = page.thread.querySelector(".turn");
  const top = () => first?.getBoundingClientRect().top ?? 0;
  const before = top();
  // Some browsers would do the same, but not at the very top.
  log.style.overflowAnchor = "none";
  adding = true;
  add();
  adding = false;
  log.scrollTop += top() - before;
  lastTop = log.scrollTop;
  log.style.overflowAnchor = "";
}

function noticeScroll() {
  const { scrollTop, scrollHeight, clientHeight } = page.log;
  if (scrollHeight - scrollTop - clientHeight < 24) {
    following ||= scrollTop > lastTop && !hasRoom();
    news = false;
    page.latest.hidden = true;
  } else if (scrollTop < lastTop) following = false;
  lastTop = scrollTop;
  thread?.readEarlier();
}

page.log.addEventListener("scroll", noticeScroll);

page.latest.addEventListener("click", () => {
  toEnd();
  page.content.focus();
});

const sizes = new ResizeObserver(() => {
  // The event of the reader's last scroll may still be to come.
  noticeScroll();
  makeRoom();
  if (following) toEnd();
  else showLatest();
});
sizes.observe(page.column);
sizes.observe(page.log);

/** Keeps the page above the keyboard on iOS, which shrinks and moves the visual viewport and not the page. */
function fitViewport() {
  if (visualViewport.scale !== 1) return;
  document.documentElement.style.setProperty("--height", `${visualViewport.height}px`);
  document.documentElement.style.setProperty("--top", `${visualViewport.offsetTop}px`);
}
visualViewport?.addEventListener("resize", fitViewport);
visualViewport?.addEventListener("scroll", fitViewport);

/** Shows the name in the bar while its heading is out of sight. */
page["bar-name"].textContent = config.name;
const logo = document.querySelector(".logo");
if (logo) page["bar-name"].prepend(logo.cloneNode());
const inSight = new IntersectionObserver(([h1]) => page["bar-name"].classList.toggle("shown", !h1.isIntersecting), { root: page.log });
inSight.observe(page.log.querySelector("h1"));

// ── Switching conversations ─────────────────────────────────────────────────────────────────────

function enter(state) {
  stopEditing();
  thread?.close();
  if (thread) page.thread.replaceChildren();
  forgetColours();
  reachable();
  notify("gone", "");
  thread = new Thread(state);
  thread.begin();
}

/** Opens another conversation as a new history entry, so that Back leads to this one. Puts unsent messages back into the input field. */
function leave(state) {
  for (const turn of thread.outbox.turns.filter((turn) => !turn.posting)) thread.outbox.takeBack(turn);
  history.pushState(null, "", config.paths.page);
  enter(state);
  thread.name(thread.id);
}

page.new.addEventListener("click", (event) => {
  event.preventDefault();
  leave({});
  page.content.focus();
  say(words.begun);
});

addEventListener("popstate", ({ state }) => enter(isOfThisEra(state) ? state : {}));

// ── Connectivity and visibility ─────────────────────────────────────────────────────────────────

addEventListener("offline", () => unreachable());
addEventListener("online", () => {
  reachable();
  thread.outbox.hurry();
  if (thread.id) thread.connect();
});
addEventListener("pageshow", ({ persisted }) => persisted && thread.id && thread.connect());

/** Closes the stream of a hidden tab in which nothing is awaited, because over HTTP/1.1 a browser has six connections per site. */
document.addEventListener("visibilitychange", () => {
  if (!thread.id || thread.closed) return;
  if (document.hidden && !(thread.due || bell)) thread.stream.close();
  else if (!document.hidden && !thread.stream.open) thread.connect();
});
document.addEventListener("visibilitychange", countUnread);

// ── Start ───────────────────────────────────────────────────────────────────────────────────────

const isOfThisEra = (state) => state && (state.era ?? "0") === era();
const left = isOfThisEra(history.state) ? history.state : keptOf(quietly(() => localStorage.getItem(base)));
conversations.draw();
if (page.conversation.value) left.conversation = page.conversation.value;
page.content.value ||= left.draft ?? "";
grow();
enter(left);
if (config.paused && !thread.id) waitWhilePaused();
// A timer takes at most 2³¹ milliseconds; nobody has a page open for longer.
if (isAway()) setTimeout(() => notify("away", ""), Math.min(Date.parse(config.away.until) - Date.now(), 2 ** 31 - 1));
if (matchMedia("(hover: hover) and (pointer: fine)").matches && window.top === window) page.content.focus();
