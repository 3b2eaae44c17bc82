/**
 * What a client sends, read as the gateway reads it: by the schemas of contracts/wire, and by the
 * rules that they cannot express (ids that can be seen, times, measurements no clock gives).
 */
import { Refusal } from "./refusal.ts";
import { SCHEMAS, type MessageName } from "./schemas.gen.ts";

/** The part of JSON Schema that contracts/wire uses. */
export interface Schema {
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly type?: string;
  readonly anyOf?: readonly Schema[];
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
}

export type Json = Record<string, unknown>;

/** One interaction of a batch as it was read. */
export interface Interaction extends Json {
  eventId?: string;
  timestamp: number;
  userId?: string;
  interactionType: string;
}

export interface Rejected {
  readonly index: number;
  readonly field?: string;
  readonly message: string;
}

// As schemas/base.py: what an id may not hold. ZWNJ and ZWJ are absent on purpose.
const UNSEEN = new RegExp(
  "[\\u0000-\\u001f\\u007f-\\u00a0\\u00ad\\u061c\\u1680\\u180e\\u2000-\\u200b\\u200e\\u200f" +
    "\\u2028-\\u202f\\u205f-\\u206f\\u3000\\ud800-\\uf8ff\\ufdd0-\\ufdef\\ufeff\\ufff9-\\ufffb" +
    "\\ufffe\\uffff\\u{1d173}-\\u{1d17a}\\u{1fffe}\\u{1ffff}\\u{2fffe}\\u{2ffff}" +
    "\\u{3fffe}-\\u{e00ff}\\u{f0000}-\\u{10ffff}]",
  "u",
);
const EDGES = /^[ \u200c\u200d]+|[ \u200c\u200d]+$/g;
const IDS = new Set(["id", "eventId", "targetId"]);
const TIMES = new Set(["timestamp", "sentAt"]);
/** Out of its bounds it is absent, and the interaction counts. */
const MEASURED = new Set(["responseTime", "dwellTime", "scrollDistance", "sessionDuration"]);
/** A number below it is seconds, from it on milliseconds. */
const SECONDS_BELOW = 100_000_000_000;
const MAX_MILLIS = 253_402_300_799_999;
const A_TIME_IS = "a time is a number of seconds or milliseconds since the epoch, or ISO 8601";

class Invalid extends Error {
  readonly path: readonly (string | number)[];

  constructor(path: readonly (string | number)[], message: string) {
    super(message);
    this.path = path;
  }
}

export const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Whether a string is an id that can be repeated to the client. */
export function readableId(value: unknown): string | undefined {
  if (typeof value !== "string" || value === "" || [...value].length > 64) return undefined;
  return UNSEEN.test(value) ? undefined : value;
}

/** Why a string is no user id; undefined where it is one. */
export function wrongUserId(value: string): string | undefined {
  if (value === "" || [...value].length > 128) return "should have 1 to 128 characters";
  const unseen = wrongId(value);
  if (unseen) return unseen;
  if (value !== value.replace(EDGES, "")) return "has surrounding blanks";
  if (value === "." || value === "..")
    return "is . or .., which no browser can put into an address";
  return undefined;
}

function wrongId(value: string): string | undefined {
  if (UNSEEN.test(value)) return "has a character that cannot be seen";
  return value.replace(EDGES, "") === "" ? "is blank" : undefined;
}

/**
 * JSON in UTF-8, also what JavaScript writes and strict parsers refuse: half an emoji becomes
 * U+FFFD, and NaN and 1e400 are refused later, by the name of their field.
 */
export function parse(text: string): unknown {
  const whole = (_: string, value: unknown): unknown =>
    typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\ufffd") : value;
  try {
    return JSON.parse(text, whole);
  } catch {
    const plain = text.replace(/"(?:\\.|[^"\\])*"|-?\b(?:NaN|Infinity)\b/g, (found) =>
      found.startsWith('"') ? found : "1e999",
    );
    return JSON.parse(plain, whole);
  }
}

/** A message by its schema, in camelCase. Throws Refusal: invalid_message, with the field. */
export function read(name: MessageName, document: unknown): Json {
  return refused(() => readObject(SCHEMAS[name], document));
}

/**
 * A message with `interactions`: one of them that is not what it should be is left out.
 * Throws Refusal: none is good, or something else in the message is wrong.
 */
export function readBatch(
  name: "interaction_batch" | "interaction_request",
  document: Json,
): {
  message: Json;
  good: [number, Interaction][];
  rejected: Rejected[];
  named: [number, string][];
} {
  const schema: Schema = SCHEMAS[name];
  const sent = document["interactions"];
  const most = schema.properties?.["interactions"]?.maxItems ?? Infinity;
  const [good, rejected]: [[number, Interaction][], Rejected[]] = [[], []];
  if (!Array.isArray(sent) || sent.length === 0 || sent.length > most) read(name, document);
  for (const [index, one] of (sent as unknown[]).entries()) {
    try {
      const ref: Schema = { $ref: "#/$defs/Interaction" };
      good.push([index, readValue(ref, one, "", [], schema) as Interaction]);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      const field = error.path.join(".");
      rejected.push({ index, ...(field && { field }), message: error.message });
    }
  }
  if (!good.length) read(name, document);
  const kept = good.map(([index]) => (sent as unknown[])[index]);
  const message = read(name, { ...document, interactions: kept });
  const named = (sent as unknown[]).flatMap((one, index): [number, string][] => {
    const who = isObject(one) ? (one["userId"] ?? one["user_id"]) : undefined;
    return typeof who === "string" ? [[index, who]] : [];
  });
  return { message, good, rejected, named };
}

/** A single interaction, the body that the first version's pages sent. */
export const readInteraction = (document: Json): Interaction =>
  refused(() => {
    const ref: Schema = { $ref: "#/$defs/Interaction" };
    return readValue(ref, document, "", [], SCHEMAS.interaction_request) as Interaction;
  });

function refused<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof Invalid)) throw error;
    throw new Refusal("invalid_message", error.message, error.path.join(".") || undefined);
  }
}

type Path = readonly (string | number)[];

/** Check a document against a schema: `name` is the property's, for the rules that go by it. */
export function readObject(schema: Schema, document: unknown): Json {
  return readValue(schema, document, "", [], schema) as Json;
}

function readValue(
  schema: Schema,
  value: unknown,
  name: string,
  path: Path,
  root: Schema,
): unknown {
  if (schema.$ref) {
    const target = root.$defs?.[schema.$ref.replace("#/$defs/", "")];
    if (!target) throw new Error(`the schema has no ${schema.$ref}`);
    return readValue(target, value, name, path, root);
  }
  if (schema.anyOf) {
    if (value === null && schema.anyOf.some(({ type }) => type === "null")) return null;
    if (TIMES.has(name)) return millis(value, path);
    const others = schema.anyOf.filter(({ type }) => type !== "null");
    for (const other of others.slice(0, -1)) {
      try {
        return readValue(other, value, name, path, root);
      } catch (error) {
        if (!(error instanceof Invalid)) throw error;
      }
    }
    return readValue(others.at(-1)!, value, name, path, root);
  }
  if (schema.const !== undefined && value !== schema.const)
    throw new Invalid(path, `should be ${String(schema.const)}`);
  if (schema.enum && !schema.enum.includes(value))
    throw new Invalid(path, `should be one of ${schema.enum.join(", ")}`);
  if (schema.type === "object") return readFields(schema, value, path, root);
  if (schema.type === "array") return readItems(schema, value, name, path, root);
  if (schema.type === "string") return readString(schema, value, name, path);
  if (schema.type === "boolean" && typeof value !== "boolean")
    throw new Invalid(path, "should be a valid boolean");
  if (schema.type === "number" || schema.type === "integer")
    return readNumber(schema, value, name, path);
  return value;
}

function readFields(schema: Schema, value: unknown, path: Path, root: Schema): Json {
  if (!isObject(value)) throw new Invalid(path, "should be a JSON object");
  const found: Json = {};
  for (const [name, field] of Object.entries(schema.properties ?? {})) {
    const snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const written: string = name in value ? name : snake;
    if (written in value) {
      const one = readValue(field, value[written], name, [...path, written], root);
      if (one !== null && one !== undefined) found[name] = one;
    } else if (schema.required?.includes(name)) {
      throw new Invalid([...path, name], "Field required");
    }
  }
  if (schema.properties) return found;
  return value; // a JSON object of any names
}

function readItems(
  schema: Schema,
  value: unknown,
  name: string,
  path: Path,
  root: Schema,
): unknown {
  if (!Array.isArray(value)) throw new Invalid(path, "should be a list");
  if (schema.maxItems !== undefined && value.length > schema.maxItems)
    throw new Invalid(path, `should have at most ${schema.maxItems} items`);
  const { items } = schema;
  const read = items
    ? value.map((one, at) => readValue(items, one, name, [...path, at], root))
    : value;
  if (value.length < (schema.minItems ?? 0))
    throw new Invalid(path, `should have at least ${schema.minItems} items`);
  return read;
}

function readString(schema: Schema, value: unknown, name: string, path: Path): string {
  if (typeof value !== "string") throw new Invalid(path, "should be a valid string");
  const length = [...value].length; // characters, as Python counts them
  if (length < (schema.minLength ?? 0))
    throw new Invalid(path, `should have at least ${schema.minLength} characters`);
  if (length > (schema.maxLength ?? Infinity))
    throw new Invalid(path, `should have at most ${schema.maxLength} characters`);
  let wrong: string | undefined;
  if (IDS.has(name)) wrong = wrongId(value);
  else if (name === "userId") wrong = wrongUserId(value);
  else if (name === "text" && schema.minLength && value.trim() === "") wrong = "is blank";
  if (wrong) throw new Invalid(path, wrong);
  return value;
}

function readNumber(schema: Schema, value: unknown, name: string, path: Path): number | null {
  if (typeof value !== "number") throw new Invalid(path, "should be a valid number");
  if (!Number.isFinite(value)) throw new Invalid(path, "is not a finite number");
  const outside = value < (schema.minimum ?? -Infinity) || value > (schema.maximum ?? Infinity);
  if (outside && MEASURED.has(name)) return null;
  if (schema.type === "integer" && !Number.isInteger(value))
    throw new Invalid(path, "should be a valid integer");
  if (outside) throw new Invalid(path, `should be from ${schema.minimum} to ${schema.maximum}`);
  return value;
}

/** Seconds, milliseconds or ISO 8601 with an offset, as UTC milliseconds. */
function millis(value: unknown, path: Path): number {
  let found: number;
  if (typeof value === "number") found = value;
  else if (typeof value === "string" && /^\d+(\.\d+)?$/.test(value)) found = Number(value);
  else if (typeof value === "string") return bounded(moment(value, path), path);
  else throw new Invalid(path, A_TIME_IS);
  if (!(Math.abs(found) <= MAX_MILLIS))
    throw new Invalid(path, "a time is finite, and not after the year 9999");
  return bounded(found < SECONDS_BELOW ? Math.round(found * 1000) : Math.trunc(found), path);
}

function moment(text: string, path: Path): number {
  const iso = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)(Z|[+-]\d\d:?\d\d)?$/i;
  const [, day, time, offset] = iso.exec(text) ?? [];
  const found = Date.parse(`${day}T${time}${offset?.replace(/(\d\d)(\d\d)$/, "$1:$2") ?? "Z"}`);
  if (Number.isNaN(found)) throw new Invalid(path, A_TIME_IS);
  if (offset === undefined) throw new Invalid(path, "an ISO 8601 time needs its offset from UTC");
  return found;
}

function bounded(time: number, path: Path): number {
  if (time < 0) throw new Invalid(path, "a time is not before 1970");
  if (time < SECONDS_BELOW)
    throw new Invalid(path, "a time is not before March 1973 (is it a duration?)");
  if (time > MAX_MILLIS) throw new Invalid(path, "a time is not after the year 9999");
  return time;
}
