/** What is shown in words: every language says all that English says, with the same blanks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Figure, describeFigure } from "../src/react/index.ts";
import { german } from "../src/words/de.ts";
import { type Words, english } from "../src/words/en.ts";

type Tree = { readonly [key: string]: Tree } | readonly Tree[] | string;
type Languages = Record<string, Record<string, Tree>>;

const script = `${process.cwd()}/tests/words.mjs`;
const { words } = (await import(script)) as { words(): Promise<Languages> };

/** By path, the blanks of each text: `figures.known` has {confidence}, {source}, {value}. */
function blanks(tree: Tree, path = ""): Record<string, string[]> {
  if (typeof tree === "string") {
    assert.ok(tree.trim(), `${path} is empty`);
    return { [path]: (tree.match(/{\w+}/g) ?? []).sort() };
  }
  const inside = Object.entries(tree).map(([key, one]) => blanks(one, `${path}.${key}`));
  return Object.assign({}, ...inside) as Record<string, string[]>;
}

test("every language has the keys and the blanks of English", async (t) => {
  for (const [whose, { en, ...others }] of Object.entries(await words())) {
    const expected = blanks(en!);
    assert.ok(Object.keys(expected).length > 10 && "de" in others, whose);
    for (const [language, tree] of Object.entries(others)) {
      assert.deepEqual(blanks(tree), expected, `${whose}: ${language}`);
      t.diagnostic(`${whose}: ${language} has ${Object.keys(expected).length} texts`);
    }
  }
});

test("TypeScript refuses a language that lacks a text, or has one more", () => {
  const { unknown: _, ...less } = german.figures;
  // @ts-expect-error a text is missing
  const short: Words = { ...german, figures: less };
  // @ts-expect-error nobody shows this text
  const long: Words = { ...german, figures: { ...german.figures, guessed: "geraten" } };
  assert.ok(short && long);
});

test("a figure is described in the language that a page gives", () => {
  const figure: Figure = { source: "derived", value: 0.724, confidence: 0.48 };
  const unknown: Figure = { source: "prior", value: undefined, confidence: 0 };
  const said = "72%, derived, confidence 48%";
  assert.equal(describeFigure(figure), said);
  assert.equal(describeFigure(figure, english.figures), said);
  assert.equal(describeFigure(unknown), "not known yet");
  // A German percentage has a space that does not break.
  const expected = "72\u00a0%, abgeleitet, zu 48\u00a0% sicher";
  assert.equal(describeFigure(figure, german.figures), expected);
  assert.equal(describeFigure(unknown, german.figures), "noch nicht bekannt");
});
