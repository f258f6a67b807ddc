// Code is shown in colours, which leave its text as it is.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { shoot, writing } from "./harness.js";

const fenced = (language, code) => `\`\`\`${language}\n${code}\n\`\`\`\n\n`;

/** Returns the coloured words of each kind in an element, in the order of the text. */
const colours = (element) =>
  element.evaluate((element) => {
    const shown = [...CSS.highlights].map(([kind, ranges]) => {
      const here = [...ranges].filter((range) => element.contains(range.startContainer));
      return [kind, here.map((range) => range.startContainer.data.slice(range.startOffset, range.endOffset))];
    });
    return Object.fromEntries(shown.filter(([, words]) => words.length));
  });

const CODE = [
  [
    "TypeScript",
    'const n = 0xff; // "a" 1\nclass2.default(`a "\n1`) /* 2',
    { word: ["const"], number: ["0xff"], comment: ['// "a" 1', "/* 2"], string: ['`a "\n1`'] },
  ],
  [
    "rust",
    "fn a<'x>(c: &'x str) -> char { println!(\"a\\\" // b\"); 'c' }",
    { word: ["fn"], name: ["'x", "'x", "println!"], string: ['"a\\" // b"', "'c'"] },
  ],
  [
    "python",
    '@app.get("/")\ndef f(don_t=1_000.5):\n    """It\'s "it" #"""  # done',
    { name: ["@app.get"], string: ['"/"', '"""It\'s "it" #"""'], word: ["def"], number: ["1_000.5"], comment: ["# done"] },
  ],
  ["sh", 'for i in $(ls "$HOME"); do echo it\'s#b # x', { word: ["for", "in", "do"], name: ['$(ls "$HOME"'], comment: ["# x"] }],
  ["sql", "SELECT 'it', a_1 FROM t -- all", { word: ["SELECT", "FROM"], string: ["'it'"], comment: ["-- all"] }],
  ["json", '{"a": "b", "n": -1.5e3, "t": true}', { name: ['"a"', '"n"', '"t"'], string: ['"b"'], number: ["1.5e3"], word: ["true"] }],
  ["yaml", "# top\n- my-key: it's # no\n  on: yes", { comment: ["# top", "# no"], name: ["my-key", "on"], word: ["yes"] }],
  ["html", '<!-- a --><a href="b">it\'s "so"</a>', { comment: ["<!-- a -->"], name: ["<a", ">", "</a", ">"], string: ['"b"'] }],
  [
    "css",
    "a-b { color: #fFf; margin: -1.5em !important } @media x",
    { name: ["color", "margin"], number: ["#fFf", "-1.5em"], word: ["!important", "@media"] },
  ],
  ["diff", "@@ -1 +1 @@\n-a 1\n+b\n c", { name: ["@@ -1 +1 @@"], removed: ["-a 1"], added: ["+b"] }],
  ["klingon", "if 1 // a", {}],
  ["", "if 1 // a", {}],
];

test("each language is coloured by its own rules", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  await write(CODE.map(([language, code]) => fenced(language, code)).join(""));
  await end();
  await visitor.answered(1);
  await page
    .locator(".code")
    .nth(CODE.length - 1)
    .waitFor();
  await page.waitForFunction(() => CSS.highlights.get("removed").size);
  for (const [i, [language, , expected]] of CODE.entries())
    assert.deepEqual(await colours(page.locator("pre code").nth(i)), expected, language);
  assert.equal(await page.locator("pre code *").count(), 0, "nothing is added to the text");
  await shoot(page, "colours");
  visitor.assertNoComplaints();
});

test("a block is coloured when it is finished, and forgotten with its conversation", async (t) => {
  const { visitor, page, write, end } = await writing(t);
  await write("```js\nlet a = 1;\n");
  await visitor.sees("let a = 1;");
  assert.deepEqual(await colours(page.locator("#thread")), {});
  await write("let b = 2;\n```\n\n```js\nlet c;\n```");
  await page.waitForFunction(() => CSS.highlights.get("number").size === 2);
  assert.deepEqual(await colours(page.locator("#thread")), { word: ["let", "let"], number: ["1", "2"] });
  await end();
  await page.waitForFunction(() => CSS.highlights.get("word").size === 3);
  await page.reload();
  await visitor.answered(1);
  assert.deepEqual(await colours(page.locator("#thread")), { word: ["let", "let", "let"], number: ["1", "2"] });
  await visitor.button("New conversation").click();
  assert.equal(await page.evaluate(() => CSS.highlights.get("word").size), 0);
  visitor.assertNoComplaints();
});

test("no code takes more than linear time", { timeout: 60_000 }, async () => {
  const source = await readFile(path.join(import.meta.dirname, "../../gateway/web/page/colours.js"), "utf8");
  const [languages, patternOf] = new Function("CSS", `${source}; return [LANGUAGES, patternOf]`)({});
  // If matching took quadratic time, each of these texts would take seconds.
  const hostile = ['\\"', "'", "`\\`", "-", "- ", "/*", "\t", ";", "$(", "a-", "<", '="', '"""', "a", "a ", "1.", "@", "!", " :"];
  for (const part of hostile)
    for (const language of languages)
      for (const text of [part.repeat(60_000 / part.length), `x ${part.repeat(60_000 / part.length)}`])
        assert.ok([...text.matchAll(patternOf(language))].length >= 0, `${language.names}: ${part}`);
});

for (const colorScheme of ["light", "dark"]) {
  test(`every colour can be read on a ${colorScheme} page`, async (t) => {
    const { visitor, page, write, end } = await writing(t, { colorScheme });
    await write(fenced("js", "let a; // b"));
    await end();
    await visitor.answered(1);
    await page.locator("pre").waitFor();
    const ratios = await page.evaluate(() => {
      const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
      const luminance = (colour) => {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
        const [red, green, blue] = [...canvas.getImageData(0, 0, 1, 1).data].map((part) => {
          const value = part / 255;
          return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const pre = document.querySelector("pre");
      const paper = luminance(getComputedStyle(document.querySelector(".code")).backgroundColor);
      return [...CSS.highlights.keys()].map((kind) => {
        const ink = luminance(getComputedStyle(pre, `::highlight(${kind})`).color);
        return [kind, (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05)];
      });
    });
    assert.equal(ratios.length, 7);
    for (const [kind, ratio] of ratios) assert.ok(ratio >= 4.5, `${kind}: ${ratio}`);
    const kinds = await page.evaluate(() =>
      [...CSS.highlights.keys()].map((kind) => getComputedStyle(document.querySelector("pre"), `::highlight(${kind})`).color),
    );
    assert.ok(new Set(kinds).size > 5, "they differ");
  });
}
