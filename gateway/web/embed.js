// Puts a chat page into another site's page:
//
//   <script src="https://chat.example/embed.js" data-chat="https://chat.example/chat/…/" async></script>
//
// Everything is in a shadow tree beside the body, so that the site's styles don't reach it and it stays
// when a script replaces the body. Nothing that happens here throws an error into the site. The chat is
// the usual page in a frame. Script and page talk through a port, which the page takes from a site that
// its link allows (`page/embedding.js`).

(() => {
  const ACCENT = "#17614f";
  const MODES = ["bubble", "inline", "page"];
  /** The key under which a second run of this script finds the first, as when a site navigates without loading. */
  const RUNNING = Symbol.for("arizuko embed");

  const STYLE = `
    :host { all: initial !important; display: block !important; font: 400 16px/1.4 system-ui, sans-serif !important; color-scheme: light dark !important; }
    .panel { --sheet: light-dark(#fff, #201e1c); --ink: light-dark(#1f1d1a, #ebe8e2); }
    :host(.inline) { height: 100% !important; min-height: 320px !important; }
    :host(.bubble) { position: fixed !important; inset-block-end: 20px !important; inset-inline-end: 20px !important; z-index: 2147483000 !important; }
    :host(.bubble.start) { inset-inline: 20px auto !important; }
    :host(.page) { position: fixed !important; inset: 0 !important; z-index: 2147483000 !important; }
    [hidden] { display: none !important; }
    iframe { display: block; width: 100%; height: 100%; border: 0; }
    :host(:not(.bubble)) :is(section, .panel) { height: 100%; }
    button { all: unset; box-sizing: border-box; display: grid; place-items: center; cursor: pointer; }
    button:focus-visible { outline: 3px solid Highlight; outline-offset: 3px; }
    .open { position: relative; width: 56px; height: 56px; border-radius: 50%; background: var(--fill); color: var(--on-fill); box-shadow: 0 4px 16px rgb(0 0 0 / 30%); }
    svg { width: 28px; height: 28px; fill: currentcolor; stroke: currentcolor; stroke-width: 2.5; stroke-linecap: round; stroke-linejoin: round; }
    .badge { position: absolute; inset-block-start: -4px; inset-inline-end: -4px; min-width: 22px; padding: 0 6px; box-sizing: border-box; border-radius: 11px; background: #b3261e; color: #fff; font-size: 13px; font-weight: 600; line-height: 22px; text-align: center; }
    .unseen { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); }
    .bar { display: none; }
    :host(.bubble) .panel { position: fixed; inset-block-end: 92px; inset-inline-end: 20px; display: flex; flex-direction: column; width: min(400px, 100vw - 40px); height: min(660px, 100vh - 112px); overflow: hidden; border-radius: 16px; background: var(--sheet); box-shadow: 0 8px 40px rgb(0 0 0 / 30%); }
    :host(.bubble.start) .panel { inset-inline: 20px auto; }
    @media (max-width: 480px) {
      :host(.bubble) .panel { inset: 0 !important; width: auto; height: auto; border-radius: 0; }
      :host(.bubble) .bar { display: flex; align-items: center; justify-content: space-between; padding-inline-start: 16px; background: var(--sheet); color: var(--ink); font-weight: 600; }
      .bar svg { width: 20px; height: 20px; }
      .panel:not([hidden]) ~ .open { display: none; }
      .bar button { width: 48px; height: 48px; }
      .bar button:focus-visible { outline-offset: -6px; }
    }
    @media print { :host(.bubble) { display: none !important; } }
  `;
  const SPEECH = "M4 12a8 8 0 0 1 8-8h8a8 8 0 0 1 0 16h-5l-8 7v-8.5A8 8 0 0 1 4 12Z";
  const CROSS = "M8 8l16 16M24 8L8 24";

  /** Runs what may fail, so that no error gets into the site. */
  function quietly(act) {
    try {
      return act();
    } catch {
      return undefined;
    }
  }

  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    element.append(...children);
    return element;
  }

  function picture(path) {
    const [svg, line] = ["svg", "path"].map((name) => document.createElementNS("http://www.w3.org/2000/svg", name));
    svg.setAttribute("viewBox", "0 0 32 32");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    svg.append(line);
    return svg;
  }

  /** Reads a script element's attributes. */
  function read({ dataset }) {
    const chat = new URL(dataset.chat);
    if (!["https:", "http:"].includes(chat.protocol)) throw new TypeError("data-chat is the URL of a chat link");
    return {
      chat: chat.href,
      language: dataset.lang,
      mode: MODES.includes(dataset.mode) ? dataset.mode : "bubble",
      target: dataset.target,
      accent: /^#[\da-f]{6}$/i.test(dataset.accent) ? dataset.accent : ACCENT,
      position: dataset.position === "start" ? "start" : "end",
      label: dataset.label || "Chat",
      closeLabel: dataset.closeLabel || "Close",
      open: "open" in dataset && dataset.open !== "false",
      context: Object.entries(dataset).filter(([name]) => /^context[A-Z]/.test(name)),
    };
  }

  /** Black or white, whichever has the greater contrast with the colour. */
  function onFill(colour) {
    const [r, g, b] = [1, 3, 5].map((at) => (Number.parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#000" : "#fff";
  }

  class Embed {
    isOpen = false;
    port = null;
    /** Messages for the page, which are posted once it listens. */
    waiting = [];

    constructor(settings, emit) {
      Object.assign(this, { settings, emit, origin: new URL(settings.chat).origin, storage: `arizuko:${settings.chat}` });
      this.build();
      this.attach();
    }

    build() {
      const { mode, position, label, closeLabel, accent } = this.settings;
      this.badge = make("span", { class: "badge", hidden: "", "aria-hidden": "true" });
      this.button = make("button", {
        class: "open",
        type: "button",
        "aria-expanded": "false",
        "aria-controls": "panel",
        "aria-label": label,
      });
      this.button.append(picture(SPEECH), this.badge);
      const close = make("button", { type: "button", "aria-label": closeLabel }, picture(CROSS));
      const bar = make("div", { class: "bar" }, make("span", {}, label), close);
      this.panel = make("div", { id: "panel", class: "panel", hidden: "" }, bar);
      this.news = make("p", { class: "unseen", role: "status" });
      const section = make("section", { "aria-label": label }, this.panel);
      if (mode === "bubble") {
        this.panel.setAttribute("role", "dialog");
        this.panel.setAttribute("aria-label", label);
        section.append(this.button, this.news);
      }
      this.host = make("div", { class: `${mode} ${position}` });
      this.root = this.host.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(`${STYLE} .open { --fill: ${accent}; --on-fill: ${onFill(accent)}; }`);
      this.root.adoptedStyleSheets = [sheet];
      this.root.append(section);
      this.button.onclick = () => quietly(() => (this.isOpen ? this.close() : this.open()));
      close.onclick = () => quietly(() => this.close());
      // The site's page loses the focus when the visitor clicks into the frame. The site's URL may have changed by then.
      addEventListener("blur", () => quietly(() => this.tellPlace()));
      this.root.addEventListener("keydown", (event) => {
        if (event.key === "Escape" && this.isOpen) quietly(() => this.close());
      });
    }

    /** Adds the embed to the document, if it is not there. */
    attach() {
      if (this.host.isConnected) return;
      const { mode, target, open } = this.settings;
      if (mode === "inline") {
        const place = target && quietly(() => document.querySelector(target) ?? document.getElementById(target));
        place?.append(this.host);
      } else document.documentElement.append(this.host);
      if (mode !== "bubble" || open) this.open({ focus: false });
      // Somebody who has written before may have an answer by now.
      else if (this.kept.any) (window.requestIdleCallback ?? setTimeout)(() => quietly(() => this.load()));
    }

    /** Moves the bubble into an open modal dialog, since nothing outside it can be used, or else back beside the body. */
    follow() {
      const dialog = quietly(() => [...document.querySelectorAll("dialog:modal")].at(-1));
      const home = dialog ?? document.documentElement;
      if (this.host.parentNode === home) return;
      // Where the browser can't move a frame as it is, the frame loads again and goes on.
      if (home.moveBefore) home.moveBefore(this.host, null);
      else home.append(this.host);
      dialog?.addEventListener("close", () => quietly(() => this.follow()), { once: true });
    }

    open({ focus = true } = {}) {
      const { mode } = this.settings;
      if (mode === "bubble") this.follow();
      if (!this.isOpen) {
        this.isOpen = true;
        const { activeElement } = document;
        this.opener = activeElement === this.host ? this.button : activeElement;
        this.panel.hidden = false;
        this.button.setAttribute("aria-expanded", "true");
        this.button.querySelector("path").setAttribute("d", CROSS);
        this.load();
        this.tell({ type: "show", shown: true, focus });
        this.emit("open");
      }
      if (focus) this.frame.focus();
    }

    close() {
      if (!this.isOpen || this.settings.mode !== "bubble") return;
      this.isOpen = false;
      const hadFocus = this.root.activeElement;
      this.panel.hidden = true;
      this.button.setAttribute("aria-expanded", "false");
      this.button.querySelector("path").setAttribute("d", SPEECH);
      this.tell({ type: "show", shown: false });
      if (hadFocus) (this.opener?.isConnected && this.opener !== document.body ? this.opener : this.button).focus();
      this.emit("close");
    }

    send(text) {
      this.open();
      this.tellPlace();
      this.tell({ type: "send", text: String(text) });
    }

    /** Where the visitor is. The page sends it with each message. */
    get place() {
      const data = this.settings.context.slice(0, 20).map(([name, value]) => [name[7].toLowerCase() + name.slice(8), value.slice(0, 500)]);
      const { title, documentElement } = document;
      const url = location.href.slice(0, 2000);
      return { url, title: title.slice(0, 300), language: documentElement.lang.slice(0, 35), data: Object.fromEntries(data) };
    }

    renew() {
      this.identify(this.visitor).catch(() => {});
    }

    tellPlace() {
      this.port?.postMessage({ type: "page", page: this.place });
    }

    /** Says who the visitor is, by a JWT or a function that gets one; null if nobody is signed in any longer. */
    async identify(visitor) {
      this.visitor = visitor;
      const jwt = typeof visitor === "function" ? await visitor() : visitor;
      if (this.visitor === visitor) this.port?.postMessage({ type: "identify", jwt: jwt ?? "" });
    }

    /** Loads the page, once. */
    load() {
      if (this.frame) return;
      const { chat, label, language } = this.settings;
      const src = new URL(chat);
      if (language) src.searchParams.set("lang", language);
      this.frame = make("iframe", { src, title: label, allow: "clipboard-write" });
      this.frame.addEventListener("load", () => quietly(() => this.greet()));
      this.panel.append(this.frame);
    }

    /** Sends the loaded page a port, and what this site keeps for it. Only a page of the link's origin gets them. */
    greet() {
      const { port1, port2 } = new MessageChannel();
      this.port = null;
      port1.onmessage = ({ data }) => quietly(() => this.hear(data, port1));
      const { conversation, seen, visitor } = this.kept;
      const hello = { arizuko: 1, conversation, seen, visitor, closes: this.settings.mode === "bubble", page: this.place };
      this.frame.contentWindow.postMessage({ ...hello, shown: this.isOpen }, this.origin, [port2]);
    }

    tell(message) {
      if (this.port) this.port.postMessage(message);
      else this.waiting.push(message);
    }

    hear({ type, ...data }, port) {
      if (type === "ready") {
        this.port = port;
        if (this.visitor !== undefined) this.renew();
        for (const message of this.waiting.splice(0)) this.tell(message);
        this.emit("ready");
      }
      if (type === "conversation") this.kept = { ...this.kept, conversation: data.id, any: data.any };
      if (type === "close") this.close();
      if (type === "renew") this.renew();
      if (type === "identity") {
        if (!data.error) this.kept = { ...this.kept, visitor: data.id };
        this.emit("identity", data.error);
      }
      if (type === "unread") this.count(data);
    }

    count({ count, seen }) {
      this.kept = { ...this.kept, seen };
      if (count === this.unread) return;
      const { label } = this.settings;
      const name = count ? `${label} (${count})` : label;
      this.badge.textContent = count > 9 ? "9+" : count;
      this.badge.hidden = !count;
      this.button.setAttribute("aria-label", name);
      this.news.textContent = count ? name : "";
      this.unread = count;
      this.emit("unread", count);
    }

    /**
     * What this site's storage keeps: whether there is a conversation, its id where the page can't keep it, the last message seen, and the
     * visitor.
     */
    get kept() {
      return quietly(() => JSON.parse(localStorage.getItem(this.storage))) ?? {};
    }

    set kept(kept) {
      quietly(() => localStorage.setItem(this.storage, JSON.stringify(kept)));
    }
  }

  /** The one embed of a document, and the functions that listen to it. */
  class Running {
    embed = null;
    listeners = [];

    mount(settings) {
      const same = JSON.stringify(settings) === JSON.stringify(this.embed?.settings);
      if (same) return this.embed.attach();
      this.embed?.host.remove();
      this.embed = new Embed(settings, (event, detail) => this.emit(event, detail));
      // Tells a site's script that ran before this one.
      document.dispatchEvent(new Event("arizuko"));
    }

    /** Calls each listener in its own microtask, so that an error in one doesn't stop the others. */
    emit(event, detail) {
      for (const [name, listener] of this.listeners) if (name === event) queueMicrotask(() => listener(detail));
    }

    api() {
      const call = (act) => quietly(() => this.embed && act(this.embed));
      return Object.freeze({
        [RUNNING]: this,
        open: () => void call((embed) => embed.open()),
        close: () => void call((embed) => embed.close()),
        send: (text) => void call((embed) => embed.send(text)),
        identify: (visitor) => void call((embed) => embed.identify(visitor).catch(() => {})),
        on: (event, listener) => {
          const entry = [event, listener];
          this.listeners.push(entry);
          return () => {
            this.listeners = this.listeners.filter((other) => other !== entry);
          };
        },
      });
    }
  }

  quietly(() => {
    // The API is there even if the attributes are wrong, so that the site can call it.
    if (!window.arizuko?.[RUNNING]) window.arizuko = new Running().api();
    const settings = read(document.currentScript);
    const mount = () => quietly(() => window.arizuko[RUNNING].mount(settings));
    // An inline chat's element may come after the script.
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount, { once: true });
    else mount();
  });
})();
