// Build the package (dist/), and what the gateway serves of it (v1.js, masterx-sdk.tgz):
// `node scripts/build.mjs`. With --check only dist/ is written, and the exit status is 1 if what
// the gateway serves differs from the source.
import { spawnSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { buildTesting, isPacked, pack, writePacked } from "./package.mjs";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SERVED = fileURLToPath(new URL("../../app/gateway/pages/sdk/v1.js", import.meta.url));
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

export const gzipped = (text) => gzipSync(text, { level: 9 }).length;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.includes("--check");
  const text = await served();
  await rm(`${ROOT}dist`, { recursive: true, force: true });
  await mkdir(`${ROOT}dist`);
  await writeFile(`${ROOT}dist/index.js`, (await bundle("src/index.ts")).text);
  await writeFile(`${ROOT}dist/v1.js`, text);
  await buildTesting();
  const tsc = spawnSync(`${ROOT}node_modules/.bin/tsc`, ["-p", "tsconfig.build.json"], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (tsc.status !== 0) throw new Error("tsc failed");
  const packed = await pack();
  if (!check) {
    await mkdir(new URL(".", `file://${SERVED}`), { recursive: true });
    await writeFile(SERVED, text);
    await writePacked(packed);
  } else {
    const present = await readFile(SERVED, "utf8").catch(() => "");
    for (const [name, same] of [
      ["v1.js", present === text],
      ["masterx-sdk.tgz", await isPacked(packed)],
    ]) {
      if (same) continue;
      console.error(`app/gateway/pages/sdk/${name} is not what sdk/ builds: run \`make sdk\``);
      process.exitCode = 1;
    }
  }
  console.log(`v1.js: ${text.length} bytes, ${gzipped(text)} gzipped`);
  console.log(`masterx-sdk.tgz: ${packed.length} bytes`);
}
