// The page's language, as the page's address, the link's owner or the browser chooses it.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { arizuko, assertNoFinding, echoLink, inbox, link, refuse, shoot, visit } from "./harness.js";

const LANGUAGES = ["en", "de", "es", "fr", "pt", "pl", "ar", "zh", "ja"];
const PHONE = { viewport: { width: 320, height: 640 } };

async function words(language) {
  const file = new URL(`../../gateway/web/languages/${language}.json`, import.meta.url);
  return JSON.parse(await readFile(file, "utf8"));
}

const root = (page) => page.evaluate(() => [document.documentElement.lang, getComputedStyle(document.body).direction]);

test("everything on the page is in the language of its address", async (t) => {
  const { url } = await echoLink(t);
  for (const language of LANGUAGES) {
    const { script, page: own } = await words(language);
    const visitor = await visit(t, `${url}?lang=${language}`, PHONE);
    const { page } = visitor;
    await page.getByRole("textbox", { name: own.your_message, exact: true }).waitFor();
    const direction = language === "ar" ? "rtl" : "ltr";
    assert.deepEqual(await root(page), [language, direction]);
    assert.equal(await visitor.input.evaluate((input) => getComputedStyle(input).direction), direction);
    assert.equal(await visitor.input.getAttribute("placeholder"), own.placeholder);
    await visitor.say("tea");
    await visitor.answered(1);
    for (const name of [own.send, own.new_conversation]) await page.getByRole("button", { name, exact: true }).waitFor();
    await page.getByRole("button", { name: own.conversations, exact: true }).click();
    await page.getByRole("button", { name: `${script.delete}: tea` }).waitFor();
    await page.getByRole("button", { name: own.close, exact: true }).click();
    await refuse(page, { status: 429, headers: { "retry-after": "60" } });
    await visitor.say("cake");
    const [before, after] = script.again_in.split("{when}");
    await visitor.lastLine(new RegExp(`${script.trouble[429]}\\s*${before}.*(59|60|٥٩|٦٠).*${after}`));
    await page.getByRole("button", { name: script.send_now, exact: true }).waitFor();
    await assertNoFinding(visitor);
    assert.equal(new URL(page.url()).search, `?lang=${language}`, "a reload keeps the language");
    await shoot(page, `language-${language}`);
    await page.context().close();
  }
});

test("the owner's language comes before the browser's, and the address before both", async (t) => {
  const { url } = await link("--lang", "de-AT");
  const other = await link("--lang", "nl");
  const shown = async (address, locale) => {
    const { page } = await visit(t, address, { locale });
    return (await root(page))[0];
  };
  assert.equal(await shown(url, "fr-CA"), "de");
  assert.equal(await shown(`${url}?lang=pl`, "fr-CA"), "pl");
  assert.equal(await shown(other.url, "pt-BR"), "pt");
  assert.equal(await shown(other.url, "nl-NL"), "en");
});

test("that a person is typing is said in the page's language", async (t) => {
  const { url, folder } = await link();
  const ana = await inbox(t, folder, "Ana");
  const visitor = await visit(t, `${url}?lang=pl`);
  await visitor.say("tea");
  await ana.takesUp();
  ana.types("/typing");
  await visitor.lastLine("Ana pisze…");
});

test("without scripts the page and its problems keep the language", async (t) => {
  const { script, page: own, problem, sentence } = await words("ja");
  const { url, jid } = await link();
  const { page } = await visit(t, `${url}?lang=ja`, { javaScriptEnabled: false });
  await page.getByLabel(own.your_message).fill("tea");
  await page.getByRole("button", { name: own.send }).click();
  await page.getByText(script.you, { exact: true }).waitFor();
  await page.frameLocator("iframe").getByText(script.unattended).waitFor();
  assert.equal((await root(page))[0], "ja");
  await arizuko("token", "revoke", jid);
  await page.reload();
  await page.getByRole("heading", { name: problem[401] }).waitFor();
  await page.getByText(sentence.TOKEN_INVALID).waitFor();
  assert.equal((await root(page))[0], "ja");
});
