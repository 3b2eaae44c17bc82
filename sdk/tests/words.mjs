// The words of each language, of the SDK and of the example: `node tests/words.mjs` prints them.
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { bundle } from "../scripts/build.mjs";

const FOLDERS = { sdk: "../src/words/", example: "../../examples/react/words/" };
const NAMES = new Intl.DisplayNames(["en"], { type: "language" });

/** @returns by language (`de`) what de.ts exports under the language's English name (`german`) */
async function languages(folder) {
  const files = (await readdir(folder)).filter((name) => /^[a-z]{2}\.ts$/.test(name)).sort();
  const found = await Promise.all(
    files.map(async (file) => {
      const { text } = await bundle(fileURLToPath(new URL(file, folder)));
      const module = await import(`data:text/javascript,${encodeURIComponent(text)}`);
      const language = file.slice(0, 2);
      return [language, module[NAMES.of(language).toLowerCase()]];
    }),
  );
  return Object.fromEntries(found);
}

export async function words() {
  const all = Object.entries(FOLDERS).map(async ([name, path]) => [
    name,
    await languages(new URL(path, import.meta.url)),
  ]);
  return Object.fromEntries(await Promise.all(all));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(JSON.stringify(await words()));
