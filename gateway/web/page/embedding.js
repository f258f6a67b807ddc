// ── In a frame of another site ──────────────────────────────────────────────────────────────────

/** The port to the site's `embed.js`; null outside its frame, and until it has said hello. */
let site = null;
/** Whether the visitor sees the page: not while the site's bubble is closed. */
let shown = true;
/** The last message that the visitor has seen; null if nobody knows. */
let seen = null;
/** What the site was last told about messages. */
let told = "";
/** The last message that came while the tab was shown; null before the first count. */
let lastRead = null;
/** Whether Escape closes the page: in the site's bubble it does. */
let closes = false;

/** Whether the page can use localStorage. Some browsers deny it to a frame of another site. */
const keeps = quietly(() => [localStorage.getItem(base)]) !== null;

const tellSite = (message) => site?.postMessage(message);

/** Tells the site whether there is a conversation. If the page can't keep the id, the site gets it and keeps it. */
const tellConversation = (id) => tellSite({ type: "conversation", any: Boolean(id), id: keeps ? null : id });

/** Counts two kinds of unread messages: those that came while the tab was hidden, for its title, and those that came while the site's bubble was closed, for the site. */
function countUnread() {
  if (!thread || thread.opening) return;
  const finished = thread.turns.flatMap((turn) => [...turn.replies].filter(([, reply]) => reply.finished).map(([id]) => id));
  const last = finished.at(-1) ?? "";
  const after = (id) => finished.length - 1 - finished.lastIndexOf(id);
  if (!document.hidden || lastRead === null) lastRead = last;
  const unread = after(lastRead);
  tellOf(document.hidden ? unread : shown || seen === null ? 0 : after(seen));
  document.title = unread ? `(${unread.toLocaleString(language)}) ${config.name}` : config.name;
  if (site) tellUnread(last, after);
}

function tellUnread(last, after) {
  if (shown || seen === null) seen = last;
  const count = after(seen);
  if (told === `${count} ${seen}`) return;
  told = `${count} ${seen}`;
  tellSite({ type: "unread", count, seen });
}

/** The page of the site on which the visitor is, for the agent. */
let place;
/** Called when the site has said again who the visitor is. */
let renewed = null;

const visitorPlace = `${base}visitor`;
/** The id of the visitor whose conversations are shown. The site keeps it, too. Null if no site has vouched for a visitor. */
let visitor = null;

/** Asks the site for another JWT, and waits for it. */
const renew = () =>
  new Promise((resolve) => {
    renewed = resolve;
    setTimeout(resolve, 10_000);
    tellSite({ type: "renew" });
  });

/** Shows the conversations of the visitor for whom the site vouches, and nothing of another visitor. */
async function identify(jwt) {
  link.visitor = jwt;
  renewed?.();
  const { ok, body } = jwt ? await link.request("c", { headers: link.who }) : { ok: true, body: { id: "", conversations: [] } };
  if (link.visitor !== jwt) return;
  tellSite({ type: "identity", id: body.id, error: ok ? undefined : (body.detail ?? words.reconnecting) });
  if (!ok) return;
  const before = quietly(() => localStorage.getItem(visitorPlace)) ?? visitor;
  if (before && before !== body.id) conversations.forget();
  visitor = body.id;
  quietly(() => localStorage.setItem(visitorPlace, visitor));
  for (const { conversation, title } of body.conversations.reverse()) conversations.add(conversation, title);
  const [last] = conversations.all;
  if (last && !before && !thread.id && !thread.turns.length) enter({ conversation: last.id });
}

const SITE_MAY = {
  page({ page }) {
    place = page;
  },
  identify({ jwt }) {
    if (typeof jwt === "string") identify(jwt);
  },
  show({ shown: now, focus }) {
    shown = now;
    countUnread();
    if (focus && !onTouch.matches) page.content.focus();
  },
  send({ text }) {
    if (typeof text === "string" && isSendable(text)) thread.write(text);
  },
};

// The site's script sends a port once the page has loaded. Sites that the link doesn't allow can't show the page, and are ignored.
addEventListener("message", ({ source, origin, data, ports }) => {
  const isAllowed = config.origins.some((allowed) => allowed.toLowerCase() === origin);
  if (source !== window.parent || source === window || !isAllowed || data?.arizuko !== 1 || !ports[0]) return;
  [site] = ports;
  site.onmessage = ({ data }) => Object.hasOwn(SITE_MAY, data.type) && SITE_MAY[data.type](data);
  tellSite({ type: "ready" });
  ({ shown, seen = null, closes = true, page: place, visitor = null } = data);
  const { conversation } = data;
  const isKnown = !keeps && /^[\w-]{22,24}$/.test(conversation);
  if (isKnown && !thread.id && !thread.turns.length) enter({ conversation });
  tellConversation(thread.id);
  countUnread();
});
