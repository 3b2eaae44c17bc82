/** A frozen batch as a message: the same at each try, but for `sentAt` and `attempt`. */
import type { Clock } from "./clock.ts";
import type { Batch, Entry } from "./write_ahead.ts";

/** Types on the WebSocket. */
export const TYPES = {
  interactions: "interaction_batch",
  chat: "chat_message",
  feedback: "feedback",
} as const;
/** Paths of REST. */
export const PATHS = { interactions: "interaction", chat: "chat", feedback: "feedback" } as const;

/**
 * What a socket sends after `type`, and a REST call as its body.
 *
 * All its times are of one clock, because the server compares `sentAt` with the time of receipt:
 * the server's, as well as it was known when the batch was frozen, or the device's.
 *
 * @param entries members of the batch, in its order
 * @param now by the device's clock, UTC milliseconds
 */
export function message(
  { id, kind, attempt, offset }: Batch,
  entries: readonly Entry[],
  now: number,
  clock: Pick<Clock, "known" | "now">,
): Record<string, unknown> {
  const sentAt = offset !== undefined && clock.known ? clock.now() : now + (offset ?? 0);
  const head = { id, sentAt, attempt };
  const events = entries.map((entry) => event(entry, offset));
  return kind === "interactions" ? { ...head, interactions: events } : { ...head, ...events[0] };
}

function event(entry: Entry, offset: number | undefined): Record<string, unknown> {
  if (entry.kind === "feedback") return entry.body;
  const timestamp = entry.at + (offset === undefined ? 0 : (entry.offset ?? offset));
  return { ...entry.body, eventId: entry.id, timestamp };
}
