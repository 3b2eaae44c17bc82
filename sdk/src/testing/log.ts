/** A learner's push log and what reads it: epochs, offsets, superseded states, resume. */
import type { Recommendation, UserState } from "../core/wire.gen.ts";

/** Pushes that a log keeps. */
const LOG_LENGTH = 500;
/** Event ids that the superseded pushes of one kind hold together. */
const MOST_CAUSES = 64;

export type PushKind =
  "user_state_update" | "recommendations" | "intervention" | "tutor_delta" | "tutor_reply";

/** Of these only the newest is kept whole. */
export const LATEST_WINS: readonly PushKind[] = ["user_state_update", "recommendations"];

/** A message that goes out; `offset` 0 for an answer, which has no place. */
export interface Frame {
  readonly kind?: PushKind;
  readonly offset: number;
  readonly causedBy: readonly string[];
  readonly body: object;
}

interface Entry {
  readonly kind: PushKind;
  causedBy: readonly string[];
  /** Absent: a newer one of its kind superseded it. */
  body?: object;
}

/** Where a learner stands. */
export interface Latest {
  readonly epoch: string;
  readonly offset: number;
  readonly userState?: UserState;
  readonly recommendations?: readonly Recommendation[];
}

export const answer = (body: object): Frame => ({ offset: 0, causedBy: [], body });

/** `hello`, or `resumed` that says how things stand. */
export function standing(type: "hello" | "resumed", latest: Latest, more: object): Frame {
  return answer({ type, ...latest, ...more });
}

export class PushLog {
  /** Its name tells everybody who looks at a place that no learner stands behind it. */
  #epoch = newEpoch();
  #offset = 0;
  #entries: Entry[] = [];
  /** By kind: up to this offset no superseded push holds its ids. */
  #floors = new Map<PushKind, number>();
  #userState: UserState | undefined;
  #recommendations: readonly Recommendation[] | undefined;
  readonly feeds = new Set<Feed>();

  get latest(): Latest {
    return {
      epoch: this.#epoch,
      offset: this.#offset,
      ...(this.#userState && { userState: this.#userState }),
      ...(this.#recommendations && { recommendations: this.#recommendations }),
    };
  }

  /** @returns the offset that it got. */
  append(kind: PushKind, body: object, causedBy: readonly string[]): number {
    let pushed = body;
    if (kind === "user_state_update") {
      const { userState } = body as { userState: UserState };
      const { longTerm: _, ...live } = userState;
      this.#userState = userState;
      pushed = { ...body, userState: live }; // what moves over weeks stays out of each push
    } else if (kind === "recommendations") {
      this.#recommendations = (body as { recommendations: Recommendation[] }).recommendations;
    }
    if (LATEST_WINS.includes(kind)) this.#supersede(kind);
    this.#offset += 1;
    this.#entries.push({ kind, causedBy, body: pushed });
    if (this.#entries.length > LOG_LENGTH) this.#entries.shift();
    for (const feed of this.feeds) feed.heard();
    return this.#offset;
  }

  /** A new epoch, as after a loss of the log: who resumes is told `recovered: false`. */
  beginAnew(): void {
    this.#epoch = newEpoch();
    this.#entries = [];
    this.#floors.clear();
  }

  /** The pushes after a place, as (offset, entry); undefined where that is not known. */
  since(epoch: string, offset: number): { lost: boolean; pushes: [number, Entry][] } | undefined {
    const first = this.#offset - this.#entries.length;
    if (epoch !== this.#epoch || offset > this.#offset || offset < first) return undefined;
    const lost = [...this.#floors.values()].some((floor) => floor > offset);
    const pushes = this.#entries
      .slice(offset - first)
      .map((entry, at): [number, Entry] => [offset + 1 + at, entry]);
    return { lost, pushes };
  }

  #supersede(kind: PushKind): void {
    const last = [...this.#entries].reverse().find((one) => one.kind === kind && one.body);
    if (last) delete last.body;
    let held = 0;
    for (let at = this.#entries.length - 1; at >= 0; at--) {
      const entry = this.#entries[at]!;
      if (entry.kind !== kind || !entry.causedBy.length) continue;
      held += entry.causedBy.length;
      if (held <= MOST_CAUSES) continue;
      entry.causedBy = [];
      const offset = this.#offset - this.#entries.length + at + 1;
      this.#floors.set(kind, Math.max(offset, this.#floors.get(kind) ?? 0));
    }
  }
}

const newEpoch = (): string => `simulated-${crypto.randomUUID().slice(0, 12)}`;

/** Where a feed's pushes go: a socket, or a poll's answer. */
export interface Outlet {
  push(frame: Frame): void;
  /** Drop unsent pushes: they come again. */
  dropPushes(): void;
  recovered(epoch: string, offset: number): void;
  notRecovered(latest: Latest): void;
  /** Whether it takes more of what is replayed. `later`: it calls `goOn` of the feed. */
  room(): "yes" | "no" | "later";
}

/** The pushes of one learner for one client, from a place on. */
export class Feed {
  readonly #log: PushLog;
  readonly #outlet: Outlet;
  #epoch: string;
  #offset: number;
  #open = false;
  /** A replay waits for room: it goes at the client's pace, and nothing of it is conflated. */
  #waits = false;
  /** Causes of superseded pushes whose successor has not been read yet. */
  #held = new Map<PushKind, Set<string>>();

  constructor(log: PushLog, outlet: Outlet) {
    this.#log = log;
    this.#outlet = outlet;
    ({ epoch: this.#epoch, offset: this.#offset } = log.latest);
    log.feeds.add(this);
  }

  /** Begin to deliver. Harmless when it has begun. */
  open(): void {
    if (this.#open) return;
    this.#open = true;
    this.#replay();
  }

  close(): void {
    this.#log.feeds.delete(this);
  }

  /** The log has grown. */
  heard(): void {
    if (!this.#open || this.#waits) return;
    const tail = this.#log.since(this.#epoch, this.#offset);
    const [only, ...more] = tail?.pushes ?? [];
    if (only && !more.length)
      this.#deliver(...only); // live: it does not wait for room
    else this.#replay();
  }

  /** There is room again. */
  goOn(): void {
    if (this.#waits) this.#replay();
  }

  /** The client has everything up to there. */
  resume(epoch: string, offset: number): void {
    this.#open = true;
    const tail = this.#log.since(epoch, offset);
    if (!tail) return this.#startOver();
    this.#outlet.dropPushes();
    this.#held.clear();
    [this.#epoch, this.#offset] = [epoch, offset];
    if (tail.lost) this.#outlet.notRecovered({ ...this.#log.latest, offset });
    else this.#outlet.recovered(epoch, offset);
    this.#replay();
  }

  #replay(): void {
    this.#waits = false;
    const tail = this.#log.since(this.#epoch, this.#offset);
    if (!tail) return this.#startOver();
    for (const [offset, entry] of tail.pushes) {
      const room = this.#outlet.room();
      this.#waits = room === "later";
      if (this.#waits) return;
      if (room === "no") {
        // Who goes on from here does not read again what these ids stand in.
        if (this.#held.size)
          this.#outlet.notRecovered({ ...this.#log.latest, offset: this.#offset });
        return;
      }
      this.#deliver(offset, entry);
    }
  }

  #deliver(offset: number, { kind, causedBy: own, body }: Entry): void {
    this.#offset = offset;
    const causes = new Set([...(this.#held.get(kind) ?? []), ...own]);
    if (!body) return void this.#held.set(kind, causes);
    this.#held.delete(kind);
    const causedBy = [...causes];
    const place = { epoch: this.#epoch, offset, causedBy };
    this.#outlet.push({ kind, offset, causedBy, body: { type: kind, ...place, ...body } });
  }

  #startOver(): void {
    const { latest } = this.#log;
    this.#outlet.notRecovered(latest);
    this.#waits = false;
    this.#held.clear();
    ({ epoch: this.#epoch, offset: this.#offset } = latest);
  }
}
