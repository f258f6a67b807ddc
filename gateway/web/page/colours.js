// ── Colours of code ─────────────────────────────────────────────────────────────────────────────
//
// The browser paints ranges of the text as they are (the CSS Custom Highlight API): no element is added, so nothing that the reader
// selects or copies changes, and the gateway sends nothing more. In a browser without it, code has one colour.

// A string or comment that isn't closed goes on to the end of its line or of the text. So no pattern reads text that it doesn't match,
// and the time is linear.
const QUOTES = String.raw`"(?:\\.|[^"\\\n])*"?|(?<!\w)'(?:\\.|[^'\\\n])*'?`;
const TRIPLE = `"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)`;
const TEMPLATE = String.raw`\x60(?:\\[^]|[^\\\x60])*\x60?`;
const SLASHES = String.raw`\/\/.*|\/\*[^]*?(?:\*\/|$)`;
const HASH = String.raw`(?<!\S)#.*`;
const NUMBER = String.raw`(?:0[xob][\da-f_]+|\d[\d_]*(?:\.\d+)?(?:e[+-]?\d+)?)\w*`;

/**
 * What a language's code is made of. Similar languages share a list of words, few of which are ordinary names in any of them.
 */
const LANGUAGES = [
  {
    names: "js jsx mjs javascript ts tsx typescript java c h cpp c++ cs csharp c# go golang kotlin kt swift php scala dart",
    comment: SLASHES,
    string: `${QUOTES}|${TEMPLATE}`,
    word: "abstract as async await bool boolean break case catch chan char class const constructor continue default defer delete do double else enum export extends extern false final finally float for foreach from fun func function go goto guard if implements import in instanceof int interface internal let long map namespace new nil null object of override package private protected public range return select short signed sizeof static string struct super switch template this throw throws trait true try type typedef typeof undefined union unsigned using val var virtual void volatile when where while with yield",
  },
  {
    names: "rust rs",
    comment: SLASHES,
    // A quote also begins the name of a lifetime.
    string: String.raw`"(?:\\[^]|[^"\\])*"?|'(?:\\[^'\n]{1,8}|[^'\\\n])'`,
    word: "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while",
    name: String.raw`'\w+\b(?!')|\w+!`,
  },
  {
    names: "python py",
    comment: "#.*",
    string: `${TRIPLE}|${QUOTES}`,
    word: "and as assert async await break case class continue def del elif else except False finally for from global if import in is lambda match None nonlocal not or pass raise return self True try while with yield",
    name: String.raw`@[\w.]+`,
  },
  {
    names: "ruby rb lua elixir ex",
    comment: `${HASH}|--.*`,
    string: QUOTES,
    word: "alias and begin break case class def defmodule do else elsif elseif end ensure false fn for function if in local module next nil not or raise repeat require rescue return self super then true unless until when while yield",
    name: String.raw`(?<![\w:]):\w+|@\w+`,
  },
  {
    names: "sh bash zsh shell console dockerfile makefile make",
    comment: HASH,
    string: QUOTES,
    word: "case do done elif else esac exit export fi for function if in local return set source then until while ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM RUN USER WORKDIR",
    name: String.raw`\$(?:\w+|[{(][^})\n]*)`,
  },
  {
    names: "sql",
    comment: String.raw`--.*|\/\*[^]*?(?:\*\/|$)`,
    string: QUOTES,
    word: "add all alter and as asc begin between by case column commit constraint create cross default delete desc distinct drop else end exists foreign from full group having in index inner insert into is join key left like limit not null offset on or order outer primary references returning right rollback select set table then union unique update values view when where with",
    anyCase: true,
  },
  {
    names: "json jsonc json5",
    comment: SLASHES,
    name: String.raw`"(?:\\.|[^"\\\n])*"(?=[ \t]*:)`,
    string: QUOTES,
    word: "true false null",
  },
  {
    names: "yaml yml toml ini properties env",
    comment: String.raw`${HASH}|;(?<=^[ \t]*;).*`,
    string: QUOTES,
    name: String.raw`(?=\w)(?<=^[ \t-]*)[\w.-]+(?=[ \t]*[:=])|^[ \t]*\[.*`,
    word: "true false null yes no",
  },
  {
    names: "html xml svg vue",
    comment: "<!--[^]*?(?:-->|$)",
    string: `(?<==)(?:"[^"]*"?|'[^']*'?)`,
    name: String.raw`<[\/!?]?[\w:.-]+|[\/?]?>`,
    number: "",
  },
  {
    names: "css scss less",
    comment: SLASHES,
    string: QUOTES,
    number: String.raw`#[\da-fA-F]{3,8}\b|-?[\d.]+[\w%]*`,
    name: String.raw`(?<![\w-])[\w-]+(?=[ \t]*:)`,
    word: String.raw`@\w+ !important`,
  },
  { names: "diff patch", added: String.raw`^\+.*`, removed: "^-.*", name: "^@@.*", number: "" },
];

const KINDS = ["comment", "name", "string", "number", "word", "added", "removed"];

/**
 * Makes one pattern for a language, with a group for each kind. Other words are matched whole, so that nothing inside them is
 * coloured.
 */
function patternOf({ word = "", anyCase, ...language }) {
  const words = word && String.raw`(?<![\w.$-])(?:${word.replaceAll(" ", "|")})(?![\w$-])`;
  const kinds = { number: NUMBER, ...language, word: words };
  const groups = KINDS.filter((kind) => kinds[kind]).map((kind) => `(?<${kind}>${kinds[kind]})`);
  return new RegExp([...groups, String.raw`[\w$]+`].join("|"), anyCase ? "gim" : "gm");
}

/** The pattern of each language that was seen, in an array; an empty array if the language is unknown. */
const patterns = {};

const colours = CSS.highlights && Object.fromEntries(KINDS.map((kind) => [kind, new Highlight()]));
for (const kind of colours ? KINDS : []) CSS.highlights.set(kind, colours[kind]);

const coloured = new WeakSet();

/** Colours a finished block of code. */
function colour(code) {
  const text = code.firstChild;
  const name = code.className.replace("language-", "").toLowerCase();
  // A browser splits a text of over 65,536 characters. Code that long stays uncoloured.
  if (!(colours && name && text) || text.nextSibling || coloured.has(code)) return;
  coloured.add(code);
  patterns[name] ??= LANGUAGES.filter(({ names }) => names.split(" ").includes(name)).map(patternOf);
  for (const { groups, index, 0: found } of patterns[name].flatMap((pattern) => [...text.data.matchAll(pattern)])) {
    const kind = KINDS.find((kind) => groups[kind] !== undefined);
    const range = { startContainer: text, startOffset: index, endContainer: text, endOffset: index + found.length };
    if (kind) colours[kind].add(new StaticRange(range));
  }
}

/** Forgets the ranges of a conversation that is no longer shown. */
function forgetColours() {
  for (const kind of colours ? KINDS : []) colours[kind].clear();
}
