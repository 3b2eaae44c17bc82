/** What is shipped: small, the same wherever it is built, and free of what a school forbids. */
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

/** Bytes of `import { createClient }`, minified and gzipped. */
const MOST = 15_360;

const script = `${process.cwd()}/scripts/build.mjs`;
const { bundle, gzipped, pages, served } = (await import(script)) as {
  bundle(entry: string, options?: object): Promise<{ text: string; inputs: string[] }>;
  gzipped(text: string): number;
  pages(): Promise<Map<string, string>>;
  served(): Promise<string>;
};
const ONLY = 'export { createClient } from "./src/index.ts";\n';

test("what the gateway serves is what the source builds", async (t) => {
  for (const [name, text] of await pages()) {
    const present = await readFile(`../app/gateway/pages/${name}`, "utf8");
    assert.ok(present === text, `run \`make sdk\` and commit app/gateway/pages/${name}`);
    t.diagnostic(`${name}: ${gzipped(text)} bytes gzipped`);
  }
});

test("the core stays small, and brings nothing that it does not use", async (t) => {
  const { text, inputs } = await bundle(ONLY, { minify: true });
  t.diagnostic(`createClient: ${gzipped(text)} bytes gzipped, of ${MOST}`);
  assert.ok(gzipped(text) <= MOST, `${gzipped(text)} bytes gzipped, above ${MOST}`);
  for (const input of inputs)
    assert.match(input, /^(src\/index\.ts|src\/core\/[a-z_.]+\.ts|<stdin>)$/);
});

/** Bytes beyond the core, minified and gzipped; what a part imports of the core is not counted. */
const PARTS: Readonly<Record<string, number>> = { react: 2_816, capture: 3_072, adapt: 3_328 };

for (const [part, most] of Object.entries(PARTS))
  test(`${part} stays small, and brings no other part`, async (t) => {
    const options = { minify: true, external: ["react"] };
    const both = `${ONLY}export * from "./src/${part}/index.ts";\n`;
    const { text, inputs } = await bundle(both, options);
    const size = gzipped(text) - gzipped((await bundle(ONLY, options)).text);
    t.diagnostic(`${part}: ${size} bytes gzipped beyond the core, of ${most}`);
    assert.ok(size <= most, `${size} bytes gzipped, above ${most}`);
    const shared = "src/(index|adapt/actions|words/en)\\.ts";
    const allowed = new RegExp(`^(${shared}|src/(core|${part})/|<stdin>$)`);
    for (const input of inputs) assert.match(input, allowed);
  });

test("a language is where it is imported, and brings nothing but its texts", async (t) => {
  for (const name of await readdir("src/words")) {
    const { text, inputs } = await bundle(`src/words/${name}`, { minify: true });
    t.diagnostic(`words/${name}: ${gzipped(text)} bytes gzipped`);
    assert.deepEqual(inputs, [`src/words/${name}`]);
    const alone = `import "./src/words/${name}";\n`;
    assert.equal((await bundle(alone, { minify: true, logLevel: "error" })).text.trim(), "");
    const { exports } = JSON.parse(await readFile("package.json", "utf8")) as { exports: object };
    assert.ok(`./words/${name.replace(".ts", "")}` in exports, `package.json exports no ${name}`);
  }
});

test("an import that uses nothing leaves nothing", async () => {
  const { text } = await bundle('import "./src/index.ts";\n', { minify: true, logLevel: "error" });
  assert.ok(text.length < 100, text);
  for (const part of Object.keys(PARTS)) {
    const options = { minify: true, logLevel: "error", external: ["react"] };
    const alone = await bundle(`import "./src/${part}/index.ts";\n`, options);
    assert.match(alone.text, /^("use client";)?(import"react";)*\s*$/, part);
  }
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
