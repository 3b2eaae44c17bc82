// Build the package (dist/), and what the gateway serves of it (v1.js, masterx-sdk.tgz):
// `node scripts/build.mjs`. With --check only dist/ is written, and the exit status is 1 if what
// the gateway serves differs from the source.
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { buildTesting, isPacked, pack, writePacked } from "./package.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = fileURLToPath(new URL("../../app/gateway/pages/", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../examples/react/", import.meta.url));
/** Entry points of the package. What several use is a chunk: there is one core. */
const ENTRIES = ["index", "react/index", "capture/index", "adapt/index", "words/en", "words/de"];
const { version } = JSON.parse(await readFile(`${ROOT}package.json`, "utf8"));

/** @param entry a file, or the text of a module */
export async function bundle(entry, options = {}) {
  const given = entry.includes("\n")
    ? { stdin: { contents: entry, resolveDir: ROOT, loader: "ts" } }
    : { entryPoints: [entry] };
  const { outputFiles, metafile } = await build({
    ...given,
    absWorkingDir: ROOT,
    bundle: true,
    format: "esm",
    target: "es2022",
    platform: "browser",
    charset: "utf8",
    legalComments: "none",
    write: false,
    metafile: true,
    logLevel: "warning",
    ...options,
  });
  return { text: outputFiles[0].text, inputs: Object.keys(metafile.inputs) };
}

/** What the gateway serves at /sdk/v1.js: the same bytes wherever it is built. */
export async function served() {
  const banner = { js: `/* @masterx/sdk ${version}, Apache-2.0. Built from sdk/ by make sdk. */` };
  return (await bundle("src/index.ts", { minify: true, banner })).text;
}

/** The example that the gateway serves in development. React is apart: it hardly ever changes. */
export async function example() {
  const react = `export { createRoot } from "react-dom/client"; export { useState } from "react";
    export { jsx } from "react/jsx-runtime";`;
  const sdk = ["react", "capture", "adapt"].map((part) => [part, `${ROOT}src/${part}/index.ts`]);
  const { outputFiles } = await build({
    entryPoints: [`${EXAMPLE}lesson.tsx`, `${EXAMPLE}lesson.css`, "react-alone"],
    entryNames: "[name]",
    chunkNames: "react",
    outdir: "/",
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    charset: "utf8",
    legalComments: "eof",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
    nodePaths: [`${ROOT}node_modules`],
    tsconfigRaw: {},
    plugins: [
      {
        name: "example",
        setup({ onResolve, onLoad }) {
          const languages = ["words/en", "words/de"];
          const words = languages.map((name) => [name, `${ROOT}src/${name}.ts`]);
          const style = ["adapt.css", `${ROOT}src/adapt/adapt.css`];
          const parts = new Map([...sdk, ...words, style]);
          onResolve({ filter: /^@masterx\/sdk\/./ }, ({ path }) => ({
            path: parts.get(path.slice("@masterx/sdk/".length)),
          }));
          onResolve({ filter: /^react-alone$/ }, () => ({ path: "react", namespace: "alone" }));
          onLoad({ filter: /.*/, namespace: "alone" }, () => ({
            contents: react,
            resolveDir: ROOT,
          }));
        },
      },
    ],
    logLevel: "warning",
  });
  const texts = outputFiles.map(({ path, text }) => [path.split("/").at(-1), text]);
  const files = new Map(texts.filter(([name]) => /^(lesson\.(js|css)|react\.js)$/.test(name)));
  return files.set("index.html", await readFile(`${EXAMPLE}index.html`, "utf8"));
}

/** What the gateway serves, by path in app/gateway/pages/. */
export async function pages() {
  const files = new Map([["sdk/v1.js", await served()]]);
  for (const [name, text] of await example()) files.set(`example/${name}`, text);
  return files;
}

/** Write the package's modules to dist/. */
async function packaged() {
  await build({
    entryPoints: ENTRIES.map((name) => `src/${name}.ts`),
    absWorkingDir: ROOT,
    outbase: "src",
    outdir: "dist",
    bundle: true,
    splitting: true,
    packages: "external",
    format: "esm",
    target: "es2022",
    platform: "browser",
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  });
  await copyFile(`${ROOT}src/adapt/adapt.css`, `${ROOT}dist/adapt/adapt.css`);
  await writeFile(`${ROOT}dist/adapt/adapt.css.d.ts`, "export {};\n"); // TypeScript asks for it
}

export const gzipped = (text) => gzipSync(text, { level: 9 }).length;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  const files = await pages();
  await rm(`${ROOT}dist`, { recursive: true, force: true });
  await packaged();
  await writeFile(`${ROOT}dist/v1.js`, files.get("sdk/v1.js"));
  await buildTesting();
  const tsc = spawnSync(`${ROOT}node_modules/.bin/tsc`, ["-p", "tsconfig.build.json"], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (tsc.status !== 0) throw new Error("tsc failed");
  const packed = await pack();
  const differ = (name) => {
    console.error(`app/gateway/pages/${name} is not what sdk/ builds: run \`make sdk\``);
    process.exitCode = 1;
  };
  for (const [name, text] of files) {
    console.log(`${name}: ${text.length} bytes, ${gzipped(text)} gzipped`);
    if (check) {
      if ((await readFile(PAGES + name, "utf8").catch(() => "")) !== text) differ(name);
    } else {
      await mkdir(dirname(PAGES + name), { recursive: true });
      await writeFile(PAGES + name, text);
    }
  }
  if (!check) await writePacked(packed);
  else if (!(await isPacked(packed))) differ("sdk/masterx-sdk.tgz");
  console.log(`masterx-sdk.tgz: ${packed.length} bytes`);
}
