// The parts of the package that run in Node, and the package as one file that the gateway serves.
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
export const TARBALL = fileURLToPath(
  new URL("../../app/gateway/pages/sdk/masterx-sdk.tgz", import.meta.url),
);

/** Write dist/testing: the gateway for tests, with `ws` and its licence in it, and the command. */
export async function buildTesting() {
  const licence = (await readFile(`${ROOT}node_modules/ws/LICENSE`, "utf8")).trim();
  const { version } = JSON.parse(await readFile(`${ROOT}node_modules/ws/package.json`, "utf8"));
  const options = {
    absWorkingDir: ROOT,
    outdir: "dist/testing",
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    charset: "utf8",
    logLevel: "warning",
  };
  await build({
    ...options,
    entryPoints: ["src/testing/index.ts"],
    external: ["bufferutil", "utf-8-validate"], // ws does without them
    banner: {
      // ws is CommonJS, and asks for Node's modules by `require`.
      js:
        `/* Contains ws ${version}:\n\n${licence}\n*/\n` +
        'import { createRequire } from "node:module";\n' +
        "const require = createRequire(import.meta.url);\n",
    },
  });
  const gatewayStaysOutside = {
    name: "gateway stays outside",
    setup: (at) =>
      at.onResolve({ filter: /^\.\/index\.ts$/ }, () => ({ path: "./index.js", external: true })),
  };
  await build({
    ...options,
    entryPoints: ["src/testing/dev.ts"],
    banner: { js: "#!/usr/bin/env node" },
    plugins: [gatewayStaysOutside],
  });
}

/**
 * What `npm pack` makes of the package, with a gzip header that names neither time nor system.
 * The tar in it is the same on every machine; its compression is, with the same zlib.
 */
export async function pack() {
  const folder = await mkdtemp(`${tmpdir()}/masterx-sdk-`);
  try {
    const npm = spawnSync(
      "npm",
      ["pack", "--json", "--ignore-scripts", "--offline", "--pack-destination", folder],
      { cwd: ROOT, encoding: "utf8" },
    );
    if (npm.status !== 0) throw new Error(`npm pack failed: ${npm.stderr}`);
    const told = JSON.parse(npm.stdout);
    const [{ filename }] = Array.isArray(told) ? told : Object.values(told);
    const packed = gzipSync(gunzipSync(await readFile(`${folder}/${filename}`)), { level: 9 });
    packed[9] = 255; // of the operating system: unknown
    return packed;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Whether the committed file holds the same package: the tar, whatever zlib compressed it. */
export async function isPacked(packed) {
  const present = await readFile(TARBALL).catch(() => undefined);
  return present !== undefined && gunzipSync(present).equals(gunzipSync(packed));
}

export const writePacked = (packed) => writeFile(TARBALL, packed);
