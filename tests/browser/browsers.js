// The browsers of the tests. ARIZUKO_BROWSER is the program: Chromium (the default), its headless shell, or Firefox.

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after } from "node:test";
import { chromium, firefox } from "playwright-core";

const PROGRAM = process.env.ARIZUKO_BROWSER || "/usr/bin/chromium";

export const IS_FIREFOX = path.basename(PROGRAM).startsWith("firefox");

const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  // One process less: a tenth of the processor's time.
  "--in-process-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const FIREFOX_PREFERENCES = {
  // One process for the pages of all sites: keys then reach the frames of other sites, and less is started.
  "fission.webContentIsolationStrategy": 0,
  "dom.ipc.processCount": 1,
  "dom.ipc.processPrelaunch.enabled": false,
};

/** Starts a browser. */
export async function launch(preferences = {}) {
  if (!IS_FIREFOX) return chromium.launch({ executablePath: PROGRAM, args: CHROMIUM_ARGS });
  const started = await firefox.launch({
    // A Firefox as Mozilla and Debian build it, driven by WebDriver BiDi.
    channel: "moz-firefox",
    executablePath: PROGRAM,
    args: ["--remote-allow-system-access"],
    firefoxUserPrefs: { ...FIREFOX_PREFERENCES, ...preferences },
  });
  teachSessions(Object.getPrototypeOf(sessionOf(started)));
  return started;
}

let taught;

/** Corrects what playwright's sessions get wrong with Firefox 153. */
function teachSessions(prototype) {
  if (taught) return;
  taught = true;
  const { send, dispatchMessage } = prototype;
  // Firefox doesn't know this command, which playwright sends for each page. `look` has the same effect.
  prototype.send = function (method, parameters) {
    return method === "emulation.setMediaFeaturesOverride" ? Promise.resolve({}) : send.call(this, method, parameters);
  };
  // Firefox gives no id for a download, and playwright ignores a download without one.
  prototype.dispatchMessage = function (message) {
    if (message.method?.startsWith("browsingContext.download")) message.params.download ??= message.params.url;
    return dispatchMessage.call(this, message);
  };
}

const sessionOf = (started) => started._connection.toImpl(started)._browserSession;

/** Evaluates an expression in Firefox's own window. */
async function inWindow(started, expression) {
  const { contexts } = await sessionOf(started).send("browsingContext.getTree", { "moz:scope": "chrome", maxDepth: 0 });
  const target = { context: contexts[0].context };
  const { type, exceptionDetails } = await sessionOf(started).send("script.evaluate", { expression, target, awaitPromise: false });
  if (type !== "success") throw new Error(exceptionDetails.text);
}

let launched;

/** Opens a page in a profile of its own, until the test ends. All tests of a process share a browser. */
export async function open(t, given = {}) {
  // Drawing animations takes a sixth of the processor's time, and nobody sees them.
  const options = { reducedMotion: "reduce", ...given };
  launched ??= launch();
  const started = await launched;
  if (IS_FIREFOX) await look(started, options);
  const context = await started.newContext(options);
  t.after(() => context.close());
  const page = await context.newPage();
  if (IS_FIREFOX && options.javaScriptEnabled === false) await inWindow(started, `${contextOf(page)}.allowJavascript = false`);
  if (IS_FIREFOX) teachPage(page._connection.toImpl(page).delegate);
  return page;
}

/** Makes playwright's page do what it doesn't do by itself in Firefox. */
function teachPage(page) {
  const { sessionId } = page._session;
  page.rawTouchscreen.tap = (_, x, y) => {
    const steps = [
      { type: "pointerMove", x: Math.round(x), y: Math.round(y) },
      { type: "pointerDown", button: 0 },
      { type: "pointerUp", button: 0 },
    ];
    const finger = { type: "pointer", id: "finger", parameters: { pointerType: "touch" }, actions: steps };
    return page._session.send("input.performActions", { context: sessionId, actions: [finger] });
  };
  // For a screenshot, playwright would add a style, which the page's Content-Security-Policy refuses with a complaint.
  page.shouldToggleStyleSheetToSyncAnimations = () => false;
}

after(async () => (await launched)?.close());

/** Makes a Firefox show all its pages as the options of a context say. */
function look(started, { colorScheme, reducedMotion, hasTouch }) {
  const preferences = {
    "layout.css.prefers-color-scheme.content-override": colorScheme === "dark" ? 0 : 1,
    "ui.prefersReducedMotion": reducedMotion === "reduce" ? 1 : 0,
    // A finger is coarse and can't hover; a mouse is fine and can.
    "ui.primaryPointerCapabilities": hasTouch ? 1 : 6,
    "ui.allPointerCapabilities": hasTouch ? 1 : 6,
  };
  return inWindow(
    started,
    `for (const [name, value] of Object.entries(${JSON.stringify(preferences)})) Services.prefs.setIntPref(name, value)`,
  );
}

/** Shows a page as it is printed. */
export async function print(page) {
  if (!IS_FIREFOX) return page.emulateMedia({ media: "print" });
  await inWindow(await launched, `${contextOf(page)}.mediumOverride = "print"`);
}

/** Returns an expression for a page's browsing context, in Firefox's own window. */
function contextOf(page) {
  const id = JSON.stringify(page._connection.toImpl(page).delegate._session.sessionId);
  return `ChromeUtils.importESModule("chrome://remote/content/shared/NavigableManager.sys.mjs").NavigableManager.getBrowsingContextById(${id})`;
}

/**
 * Opens a page, until the test ends, in a browser that blocks all cookies and with them all storage. With `framed`, the
 * host of a link, the browser blocks them for that host when a page of another site has the link in a frame, and not
 * for that page.
 */
export async function openWithoutStorage(t, framed) {
  if (IS_FIREFOX) {
    const started = await launch({ "network.cookie.cookieBehavior": framed ? 1 : 2 });
    t.after(() => started.close());
    const page = await started.newPage();
    teachPage(page._connection.toImpl(page).delegate);
    return page;
  }
  const profile = await mkdtemp(path.join(tmpdir(), "arizuko-browser-"));
  await mkdir(path.join(profile, "Default"));
  const settings = framed
    ? { content_settings: { exceptions: { cookies: { [`${framed},*`]: { setting: 2 } } } } }
    : { default_content_setting_values: { cookies: 2 } };
  await writeFile(path.join(profile, "Default", "Preferences"), JSON.stringify({ profile: settings }));
  const context = await chromium.launchPersistentContext(profile, { executablePath: PROGRAM, args: CHROMIUM_ARGS });
  t.after(async () => {
    // Until it has ended, the browser writes to its profile.
    await context.close();
    await rm(profile, { recursive: true });
  });
  return context.pages()[0];
}
