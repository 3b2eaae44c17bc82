/** What happens to a client's message: rate, rights, ids, duplicates, acknowledgement. */
import { createHash } from "node:crypto";
import type { Limits } from "../core/wire.gen.ts";
import type { Interaction, Json, Rejected } from "./messages.ts";
import { Refusal } from "./refusal.ts";
import { whyNoConsent, type Principal } from "./tokens.ts";

/** Ids that are remembered; the oldest go first. */
const MOST_REMEMBERED = 100_000;
const YEAR = 31_557_600_000;
/** A time farther ahead of its receipt is in another unit: no clock is that fast. */
const YEARS_AHEAD = 10;
const NAMESPACE = "6b0a2c3e5f645d0e9c1b0f3a7c1d9e42";

export type Kind = "interaction_batch" | "chat_message" | "feedback";

/** A message that has effects, as it was read. */
export interface Submission {
  readonly kind: Kind;
  readonly id: string;
  readonly message: Json;
  readonly good?: readonly [number, Interaction][];
  readonly rejected?: readonly Rejected[];
  /** Whom its interactions name. */
  readonly named?: readonly [number, string][];
}

/** An event that was accepted for the first time. */
export interface Accepted {
  readonly userId: string;
  readonly kind: Kind;
  readonly eventId: string;
  /** The interaction, chat message or feedback, in camelCase, with its times in milliseconds. */
  readonly event: Readonly<Record<string, unknown>>;
}

export interface Ack {
  readonly id: string;
  readonly eventIds: readonly string[];
  readonly duplicates: readonly string[];
  readonly rejected: readonly Rejected[];
}

/** How often may one learner speak? A token bucket each. */
export class RateLimit {
  readonly #interval: number;
  readonly #tolerance: number;
  readonly #what: string;
  readonly #fullAt = new Map<string, number>();

  /** @param rate a second. @param burst at once. */
  constructor(rate: number, burst: number, what: string) {
    this.#interval = 1 / rate;
    this.#tolerance = (burst - 1) / rate;
    this.#what = what;
  }

  /** Against the learner that it is for, or else against its sender. Throws Refusal. */
  count(principal: Principal, userId?: string): void {
    const acts = userId !== undefined && principal.mayActAs(userId);
    const key = acts ? userId : principal.subject;
    const now = performance.now() / 1000;
    const fullAt = Math.max(this.#fullAt.get(key) ?? now, now);
    const wait = fullAt - now - this.#tolerance;
    if (wait > 1e-9) throw new Refusal("rate_limited", `too many ${this.#what}`, undefined, wait);
    this.#fullAt.set(key, fullAt + this.#interval);
  }
}

export class Intake {
  readonly #limits: Limits;
  readonly #accepted: (events: readonly Accepted[]) => void;
  readonly #seen = new Set<string>();
  readonly #failures: Refusal[] = [];

  /** @param accepted hears of the new events of each message, after it was acknowledged. */
  constructor(limits: Limits, accepted: (events: readonly Accepted[]) => void) {
    this.#limits = limits;
    this.#accepted = accepted;
  }

  /** The next messages that could be accepted get these errors instead. */
  failNext(failure: Refusal, times: number): void {
    for (let at = 0; at < times; at++) this.#failures.push(failure);
  }

  /** Throws Refusal; the message had no effect then. */
  submit(sent: Submission, principal: Principal, userId: string): Ack {
    this.#check(sent, principal, userId);
    const { events, rejected } = plan(sent, userId, Date.now());
    const failure = this.#failures.shift();
    if (failure) throw failure;
    const eventIds = events.map(({ eventId }) => eventId);
    const key = (id: string): string => JSON.stringify([userId, sent.kind, id]);
    const duplicates = eventIds.filter((id) => this.#seen.has(key(id)));
    const fresh = events.filter(
      ({ eventId }, at) => !this.#seen.has(key(eventId)) && eventIds.indexOf(eventId) === at,
    );
    for (const { eventId } of fresh) this.#seen.add(key(eventId));
    for (const oldest of this.#seen) {
      if (this.#seen.size <= MOST_REMEMBERED) break;
      this.#seen.delete(oldest);
    }
    if (fresh.length) queueMicrotask(() => this.#accepted(fresh));
    return { id: sent.id, eventIds, duplicates, rejected };
  }

  #check({ kind, message, named }: Submission, principal: Principal, userId: string): void {
    if (!principal.mayActAs(userId))
      throw new Refusal("forbidden", "this token may not send for this learner");
    const why = whyNoConsent(principal.consent);
    if (why) throw new Refusal("consent_required", why);
    const { maxTextLength } = this.#limits;
    if (kind === "chat_message" && [...(message["text"] as string)].length > maxTextLength)
      throw new Refusal("too_large", `a text has at most ${maxTextLength} characters`, "text");
    for (const [position, who] of named ?? [])
      if (who !== userId)
        throw new Refusal(
          principal.mayActAs(who) ? "invalid_message" : "forbidden",
          "is not the learner that this message is for",
          `interactions.${position}.userId`,
        );
  }
}

/** Which events does a message become? Ids that it does not give are derived from what stays. */
function plan(
  { kind, id, message, good = [], rejected = [] }: Submission,
  userId: string,
  now: number,
): { events: Accepted[]; rejected: Rejected[] } {
  const sentAt = message["sentAt"] as number | undefined;
  const wrongly = (time: number | undefined): string | undefined =>
    time !== undefined && Math.floor((time - now) / YEAR) >= YEARS_AHEAD
      ? `a time is not ${YEARS_AHEAD} years ahead (seconds or milliseconds since the epoch?)`
      : undefined;
  const why = wrongly(sentAt);
  if (why) throw new Refusal("invalid_message", why, "sentAt");
  if (kind !== "interaction_batch") {
    const wrong = wrongly(message["timestamp"] as number | undefined);
    if (wrong) throw new Refusal("invalid_message", wrong, "timestamp");
    const eventId = (message["eventId"] as string | undefined) ?? derivedId(userId, kind, id);
    return { events: [{ userId, kind, eventId, event: message }], rejected: [] };
  }
  const [events, left]: [Accepted[], Rejected[]] = [[], [...rejected]];
  for (const [index, event] of good) {
    const wrong = wrongly(event.timestamp);
    if (wrong) left.push({ index, field: "timestamp", message: wrong });
    else
      events.push({
        userId,
        kind,
        eventId: event.eventId ?? derivedId(userId, kind, id, index),
        event,
      });
  }
  left.sort((a, b) => a.index - b.index);
  const [first] = left;
  if (!events.length && first)
    throw new Refusal(
      "invalid_message",
      first.message,
      `interactions.${first.index}.${first.field}`,
    );
  return { events, rejected: left };
}

/** UUIDv5 of (learner, kind, message id, position), as the gateway derives it. */
function derivedId(userId: string, kind: Kind, id: string, position?: number): string {
  const length = (text: string): number => [...text].length;
  const place = position ?? "None";
  const name = `${length(userId)}:${userId}:${kind}:${length(id)}:${id}:${place}`;
  const hash = createHash("sha1").update(Buffer.from(NAMESPACE, "hex")).update(name).digest();
  hash[6] = 0x50 | (hash[6]! & 0x0f);
  hash[8] = 0x80 | (hash[8]! & 0x3f);
  const hex = hash.subarray(0, 16).toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
