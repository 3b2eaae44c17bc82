// Write src/core/wire.gen.ts, the types of contracts/wire/*.json, and src/testing/schemas.gen.ts,
// the schemas of what a client sends: `node scripts/types.mjs`.
// With --check nothing is written, and the exit status is 1 if a file differs.
import { readFile, readdir, writeFile } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { compile } from "json-schema-to-typescript";

const SCHEMAS = new URL("../../contracts/wire/", import.meta.url);
const TARGET = new URL("../src/core/wire.gen.ts", import.meta.url);
const SCHEMAS_TARGET = new URL("../src/testing/schemas.gen.ts", import.meta.url);
const SENT = [
  ...["interaction_batch", "chat_message", "feedback", "resume", "ping"],
  ...["interaction_request", "chat_request", "feedback_request"],
];
const BANNER = "// Generated from contracts/wire by scripts/types.mjs. Do not edit.";

/** One schema of all: a definition that several messages share becomes one type. */
async function merged() {
  const definitions = {};
  const add = (name, { required = [], ...rest }) => {
    // The order of required names differs from contract to contract, and says nothing.
    const schema = { ...rest, required: required.toSorted() };
    if (name in definitions && !isDeepStrictEqual(definitions[name], schema))
      throw new Error(`two contracts define ${name} differently`);
    definitions[name] = schema;
  };
  for (const name of (await readdir(SCHEMAS)).sort()) {
    const {
      $defs = {},
      $id,
      $schema,
      ...schema
    } = JSON.parse(await readFile(new URL(name, SCHEMAS), "utf8"));
    for (const [key, value] of Object.entries($defs)) add(key, value);
    add(schema.title, schema);
  }
  return { title: "Wire", type: "object", definitions };
}

/** Fields of a definition carry no titles of their own, and what is bounded is a plain array. */
function plain(node) {
  if (Array.isArray(node)) return node.map(plain);
  if (node === null || typeof node !== "object") return node;
  const rest = Object.fromEntries(
    Object.entries(node)
      .filter(([key]) => key !== "minItems" && key !== "maxItems")
      .map(([key, value]) => [key, plain(value)]),
  );
  if (typeof rest.$ref !== "string") return rest;
  // By name, because a reference with a description beside it would become a type of its own.
  const { $ref, ...beside } = rest;
  return { ...beside, tsType: $ref.replace("#/$defs/", "") };
}

export async function generate() {
  const text = await compile(plain(await merged()), "Wire", {
    additionalProperties: false,
    bannerComment: BANNER,
    unreachableDefinitions: true,
    ignoreMinAndMaxItems: true,
    format: true,
  });
  return text
    .replace(/export interface Wire \{\}\n/, "")
    .replace(
      /\/\*\*\n \* This interface was referenced by `Wire`'s JSON-Schema\n \* via the `definition` "\w+"\.\n \*\/\n/g,
      "",
    )
    .replace(
      / \*\n \* This interface was referenced by `Wire`'s JSON-Schema\n \* via the `definition` "\w+"\.\n/g,
      "",
    );
}

/** A schema without what only people read. A property may be called `title`; none is. */
function bare(node) {
  if (Array.isArray(node)) return node.map(bare);
  if (node === null || typeof node !== "object") return node;
  const words = ["description", "title", "default", "$id", "$schema"];
  return Object.fromEntries(
    Object.entries(node)
      .filter(([key]) => !words.includes(key))
      .map(([key, value]) => [key, bare(value)]),
  );
}

export async function schemas() {
  const read = async (name) => {
    const text = await readFile(new URL(`${name}.json`, SCHEMAS), "utf8");
    return `  ${name}: ${JSON.stringify(bare(JSON.parse(text)))},\n`;
  };
  const lines = await Promise.all(SENT.map(read));
  return (
    `${BANNER}\nimport type { Schema } from "./messages.ts";\n\n` +
    `export type MessageName =\n${SENT.map((name) => `  | "${name}"`).join("\n")};\n\n` +
    `export const SCHEMAS: Readonly<Record<MessageName, Schema>> = {\n${lines.join("")}};\n`
  );
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  for (const [target, text] of [
    [TARGET, await generate()],
    [SCHEMAS_TARGET, await schemas()],
  ]) {
    if (!process.argv.includes("--check")) await writeFile(target, text);
    else if ((await readFile(target, "utf8").catch(() => "")) !== text) {
      const name = target.pathname.replace(/.*\/sdk\//, "");
      console.error(`${name} differs from contracts/wire: run \`npm run types\` in sdk`);
      process.exitCode = 1;
    }
  }
}
