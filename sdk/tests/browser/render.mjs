// What a server sends of the snippets: `node tests/browser/render.mjs 18|19`.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** By major version: what `react` and `react-dom` are then, for esbuild. */
export const REACTS = { 18: { react: "react-18", "react-dom": "react-dom-18" }, 19: {} };

/** @returns the version that rendered, the markup, and what it complained of */
export async function rendered(major) {
  const outfile = `${ROOT}node_modules/.cache/masterx-server/${major}.cjs`;
  const contents = `
    import { StrictMode, createElement, version } from "react";
    import { renderToString } from "react-dom/server";
    import { App } from "./tests/snippets.tsx";
    export { version };
    export const html = () => renderToString(createElement(StrictMode, {}, createElement(App)));`;
  await build({
    stdin: { contents, resolveDir: ROOT },
    outfile,
    bundle: true,
    format: "cjs",
    platform: "node",
    alias: REACTS[major],
  });
  const complaints = [];
  const { error, warn } = console;
  console.error = console.warn = (...all) => void complaints.push(all);
  try {
    const { version, html } = createRequire(import.meta.url)(outfile);
    return { version, html: html(), complaints };
  } finally {
    Object.assign(console, { error, warn });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  console.log(
    JSON.stringify({ alias: REACTS[process.argv[2]], ...(await rendered(process.argv[2])) }),
  );
