// Build tests/*.test.ts with esbuild (Node 20 reads no TypeScript) and run them: `npm test [NAME]`.
import { spawnSync } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const TESTS = new URL("../tests/", import.meta.url);
const BUILT = fileURLToPath(new URL("../node_modules/.cache/masterx-tests/", import.meta.url));

const wanted = process.argv.slice(2);
const names = (await readdir(TESTS)).filter(
  (name) =>
    name.endsWith(".test.ts") && (!wanted.length || wanted.some((one) => name.includes(one))),
);
if (!names.length) throw new Error(`no test is named like ${wanted.join(", ")}`);
await rm(BUILT, { recursive: true, force: true });
await build({
  entryPoints: names.map((name) => fileURLToPath(new URL(name, TESTS))),
  outdir: BUILT,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: "inline",
  logLevel: "warning",
});
const files = names.map((name) => BUILT + name.replace(/\.ts$/, ".mjs"));
const { status } = spawnSync(
  process.execPath,
  ["--enable-source-maps", "--unhandled-rejections=strict", "--test", ...files],
  { stdio: "inherit", cwd: fileURLToPath(new URL("..", import.meta.url)) },
);
process.exitCode = status ?? 1;
