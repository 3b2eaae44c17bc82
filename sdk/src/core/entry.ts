/** What a page records, as the outbox holds it. */
import type { Entry, Kind } from "./write_ahead.ts";

/** What a message needs beside its event. */
const ROOM = 512;

/** What is recorded: `body` as JSON will have it, `timestamp` as wire.md allows it. */
export interface Given {
  readonly scope: string;
  readonly id: string;
  readonly kind: Kind;
  readonly body: object;
  readonly timestamp: number | string | undefined;
}

/**
 * An entry for the outbox, or why there can be none.
 *
 * @param now by the device's clock, UTC milliseconds
 * @param offset what that clock is off by; undefined if nobody knows
 * @param largest bytes of a message
 */
export function asEntry(
  { scope, id, kind, body, timestamp }: Given,
  now: number,
  offset: number | undefined,
  largest: number,
): Entry | "invalid" | "too_large" {
  const text = json(body);
  const at = timestamp === undefined ? now : moment(timestamp);
  if (text === undefined || Number.isNaN(at)) return "invalid";
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > largest - ROOM) return "too_large";
  // A copy: what the page changes later was not what happened.
  return { scope, id, kind, body: JSON.parse(text) as Entry["body"], at, offset, bytes };
}

/** UTC milliseconds of a time as wire.md allows it; NaN if it is none. */
function moment(time: number | string): number {
  if (typeof time === "string") return Date.parse(time);
  if (typeof time !== "number") return NaN;
  return time < 1e11 ? time * 1000 : time;
}

function json(body: object): string | undefined {
  try {
    return JSON.stringify(body);
  } catch {
    return undefined; // a circle, or a BigInt
  }
}
