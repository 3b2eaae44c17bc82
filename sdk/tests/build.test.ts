/** What is shipped: small, the same wherever it is built, and free of what a school forbids. */
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

/** Bytes of `import { createClient }`, minified and gzipped. */
const MOST = 15_104;

const script = `${process.cwd()}/scripts/build.mjs`;
const { bundle, gzipped, served } = (await import(script)) as {
  bundle(entry: string, options?: object): Promise<{ text: string; inputs: string[] }>;
  gzipped(text: string): number;
  served(): Promise<string>;
};
const ONLY = 'export { createClient } from "./src/index.ts";\n';

test("the copy that the gateway serves is what the source builds", async () => {
  const present = await readFile("../app/gateway/pages/sdk/v1.js", "utf8");
  assert.ok(present === (await served()), "run `make sdk` and commit app/gateway/pages/sdk/v1.js");
});

test("the core stays small, and brings nothing that it does not use", async (t) => {
  const { text, inputs } = await bundle(ONLY, { minify: true });
  t.diagnostic(`createClient: ${gzipped(text)} bytes gzipped, of ${MOST}`);
  assert.ok(gzipped(text) <= MOST, `${gzipped(text)} bytes gzipped, above ${MOST}`);
  for (const input of inputs)
    assert.match(input, /^(src\/index\.ts|src\/core\/[a-z_.]+\.ts|<stdin>)$/);
});

test("an import that uses nothing leaves nothing", async () => {
  const { text } = await bundle('import "./src/index.ts";\n', { minify: true, logLevel: "error" });
  assert.ok(text.length < 100, text);
});

test("no eval, no localStorage, no beacon, no unload; no name that blockers know", async () => {
  const text = await served();
  const forbidden = [
    "eval(",
    "Function(",
    "localStorage",
    "sendBeacon",
    "document.cookie",
    "unload",
  ];
  for (const word of forbidden) assert.ok(!text.includes(word), word);
  const names = [...(await readdir("src", { recursive: true })), ...(await readdir("scripts"))];
  for (const name of names) assert.doesNotMatch(String(name), /analytics|track|beacon/i);
});

test("the lock file names hashes and no address", async () => {
  const lock = JSON.parse(await readFile("package-lock.json", "utf8")) as {
    packages: Record<string, { resolved?: string; integrity?: string }>;
  };
  for (const [name, { resolved, integrity }] of Object.entries(lock.packages)) {
    assert.equal(resolved, undefined, name);
    if (name) assert.match(integrity ?? "", /^sha512-/, name);
  }
});

test("nothing is needed at run time, and every tool is pinned exactly", async () => {
  const { dependencies, devDependencies } = JSON.parse(await readFile("package.json", "utf8")) as {
    dependencies?: object;
    devDependencies: Record<string, string>;
  };
  assert.equal(dependencies, undefined);
  for (const [name, version] of Object.entries(devDependencies))
    assert.match(version, /^(npm:[\w-]+@)?\d+\.\d+\.\d+$/, name);
});
