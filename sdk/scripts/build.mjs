// Build the package (dist/) and the copy that the gateway serves: `node scripts/build.mjs`.
// With --check nothing is written, and the exit status is 1 if the copy differs from the source.
import { spawnSync } from "node:child_process";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SERVED = fileURLToPath(new URL("../../app/gateway/pages/sdk/v1.js", import.meta.url));
/** Entry points of the package. What several use is a chunk: there is one core. */
const ENTRIES = ["index", "react/index", "capture/index", "adapt/index"];
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
  const text = await served();
  if (process.argv.includes("--check")) {
    if ((await readFile(SERVED, "utf8").catch(() => "")) !== text) {
      console.error("app/gateway/pages/sdk/v1.js is not what sdk/ builds: run `make sdk`");
      process.exitCode = 1;
    }
  } else {
    await mkdir(new URL(".", `file://${SERVED}`), { recursive: true });
    await writeFile(SERVED, text);
    await rm(`${ROOT}dist`, { recursive: true, force: true });
    await packaged();
    const tsc = `${ROOT}node_modules/.bin/tsc`;
    const { status } = spawnSync(tsc, ["-p", "tsconfig.build.json"], {
      cwd: ROOT,
      stdio: "inherit",
    });
    process.exitCode = status ?? 1;
    console.log(`v1.js: ${text.length} bytes, ${gzipped(text)} gzipped`);
  }
}
