/**
 * Sends what the outbox holds, and books what the server answers.
 *
 * Nothing runs while the outbox is empty: there is one timer, and it is set only while something
 * waits. A batch is `ready` to be sent (again), or in flight: on its way to the store, then sent
 * and without an answer.
 */
import { LONGEST_WAIT } from "./backoff.ts";
import { PATHS, TYPES, message } from "./batching.ts";
import type { Outcome } from "./books.ts";
import type { Clock } from "./clock.ts";
import type { Environment, Timer } from "./environment.ts";
import { InFlight, type Sent } from "./in_flight.ts";
import type { Ids } from "./ids.ts";
import type { Link } from "./link.ts";
import type { Frame } from "./socket.ts";
import { BATCH, type BatchLimits, type Outbox } from "./outbox.ts";
import { Rate } from "./rate.ts";
import { ERROR_REACTIONS, type ProblemCode } from "./problems.ts";
import type { Ack, ErrorCode } from "./wire.gen.ts";
import type { Batch } from "./write_ahead.ts";

/** Messages, and events in them, that may be unacknowledged. The server may say fewer events. */
export const MOST_MESSAGES = 8;
export const MOST_UNACKNOWLEDGED = 200;
/** Milliseconds that events gather after a batch; the first one after a pause goes at once. */
export const GATHER = 1_000;
/** Bytes that any server reads. */
const SMALL = 4_096;
/** Milliseconds of the first and the longest wait where the server names none. */
export const PAUSE = { first: 1_000, longest: 60_000 } as const;

/** What became of an event; why, and of which field, if it was refused. */
export type Settlement = [
  id: string,
  outcome: Outcome,
  message?: string,
  field?: string | undefined,
];

export interface Answered {
  settled(entries: readonly Settlement[]): void;
  problem(code: ProblemCode, message: string, more: { id?: string; field?: string }): void;
  /** Nothing waits any more. */
  drained(): void;
  /** Another token is needed before anything is accepted. */
  parked(code: ErrorCode): void;
}

export interface SenderOptions {
  readonly env: Environment;
  readonly outbox: Outbox;
  readonly link: Pick<Link, "live" | "byRest" | "send" | "post" | "via" | "cut" | "drained">;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly answered: Answered;
  /** Which entries this tab may send now; undefined: all. */
  readonly allowed: () => ReadonlySet<string> | undefined | "none";
}

export class Sender {
  readonly #options: SenderOptions;
  #limits: BatchLimits = BATCH;
  #unacknowledged = MOST_UNACKNOWLEDGED;
  #ready: Batch[] = [];
  readonly #inFlight = new InFlight();
  #parkedWith: string | undefined;
  #token = "";
  #pausedUntil = 0;
  #failures = 0;
  #notBefore = new Map<string, number>();
  #hurry = false;
  #frozeAt = -GATHER;
  readonly #rate = new Rate();
  #timer: Timer | undefined;
  #closed = false;
  sent = 0;
  retries = 0;

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Bounds of this server, from `hello`. */
  bound(limits: { maxInteractions?: number; unacknowledged?: number }): void {
    const { maxInteractions = BATCH.events, unacknowledged = MOST_UNACKNOWLEDGED } = limits;
    this.#limits = { ...this.#limits, events: Math.min(BATCH.events, maxInteractions) };
    this.#unacknowledged = Math.max(1, unacknowledged);
  }

  /** Batches of an earlier page: they go again as they are. */
  restore(batches: readonly Batch[]): void {
    this.#ready.push(...batches);
  }

  /** Messages may be sent: with this token. */
  live(token: string): void {
    this.#token = token;
    if (this.#parkedWith !== token) this.#parkedWith = undefined;
    this.#pausedUntil = 0; // `retryAfter` was that of another connection
    this.#notBefore.clear();
    this.#failures = 0;
    this.pump();
  }

  /** The consent may have been given, or the host asks for it. */
  unpark(): void {
    this.#parkedWith = undefined;
    this.pump();
  }

  get parked(): boolean {
    return this.#parkedWith !== undefined;
  }

  /** Do not gather: send what is there. */
  hurry(): void {
    this.#hurry = true;
    this.pump();
  }

  /**
   * The page is left, and nobody will be here when the store answers: send what is stored now. If
   * the page dies before its batch is stored, the next one sends the same events in another batch.
   */
  leave(): void {
    const { link, outbox, allowed } = this.#options;
    const mine = allowed();
    const now = this.#options.env.elapsed();
    while (
      link.live &&
      !link.byRest &&
      !this.parked &&
      mine !== "none" &&
      now >= this.#pausedUntil
    ) {
      const room = this.#unacknowledged - this.#inFlight.events;
      if (room < 1 || this.#inFlight.batches >= MOST_MESSAGES) return;
      if (this.#rate.spend(now, link.byRest) > 0) return;
      const batch = this.#freeze(now, room, mine);
      if (!batch) return;
      if (!this.#transmit(outbox.keep(batch).counted)) return void this.#ready.push(batch);
      this.sent += 1;
    }
  }

  /** A line has ended: what it left unanswered goes again. */
  down(via: number): void {
    for (const batch of this.#inFlight.takeAll(via)) this.#again(batch);
    this.pump();
  }

  /** A frame was too large for the server to read. */
  smaller(): void {
    this.#limits = { ...this.#limits, bytes: Math.max(SMALL, this.#limits.bytes / 2) };
    const unanswered = this.#inFlight.unanswered();
    for (const batch of unanswered) {
      const [first, ...others] = this.#options.outbox.members(batch);
      // One event is to blame only if it is large, and was alone under way.
      if (!others.length && (unanswered.length > 1 || !first || first.bytes < SMALL)) continue;
      this.#inFlight.take(batch.id);
      this.#split(batch, "the server does not read a message of this size");
    }
  }

  ack(frame: Ack): void {
    const batch = this.#answered(frame.id);
    if (!batch) return;
    this.#failures = 0;
    const duplicates = new Set(frame.duplicates);
    const rejected = new Map((frame.rejected ?? []).map((one) => [one.index, one]));
    const outcomes = batch.members.map((id, index): Settlement => {
      const wrong = rejected.get(index);
      if (wrong) return [id, "refused", wrong.message, wrong.field];
      // The server derives the id of feedback from the message's.
      const known = batch.kind === "feedback" ? duplicates.size > 0 : duplicates.has(id);
      return [id, known ? "duplicate" : "new"];
    });
    this.#settle(batch, outcomes);
    this.pump();
  }

  error(frame: Frame): void {
    const code = frame["code"] as ErrorCode;
    const message = String(frame["message"] ?? code);
    const field = typeof frame["field"] === "string" ? frame["field"] : undefined;
    const batch = typeof frame["id"] === "string" ? this.#answered(frame["id"]) : undefined;
    if (!batch) {
      this.#options.answered.problem(code, message, field === undefined ? {} : { field });
      return;
    }
    const after = typeof frame["retryAfter"] === "number" ? frame["retryAfter"] : undefined;
    switch (ERROR_REACTIONS[code] ?? (after === undefined ? "refuse" : "pause")) {
      case "refuse":
        this.#refuse(batch, code, message, field);
        break;
      case "split":
        if (batch.members.length > 1) this.#split(batch, message);
        else this.#refuse(batch, code, message, field);
        break;
      case "park":
        this.#again(batch);
        if (this.#parkedWith === undefined) {
          this.#parkedWith = this.#token;
          this.#options.answered.problem(code, message, {});
          this.#options.answered.parked(code);
        }
        break;
      case "pause":
        this.#again(batch);
        this.#pausedUntil = this.#options.env.elapsed() + this.#wait(after);
        break;
      case "later":
      case "token":
        this.#again(batch);
        this.#notBefore.set(batch.id, this.#options.env.elapsed() + this.#wait(after));
        break;
    }
    this.pump();
  }

  /** These went another way: another tab, a purge. */
  forget(): void {
    const { outbox } = this.#options;
    this.#ready = this.#ready.filter((batch) => outbox.has(batch));
    for (const batch of this.#inFlight.unanswered())
      if (!outbox.has(batch)) this.#inFlight.take(batch.id);
    this.pump();
  }

  close(): void {
    this.#closed = true;
    this.#options.env.clearTimeout(this.#timer);
  }

  /** Send what may be sent now, and set the timer for what may be sent later. */
  pump(): void {
    const { env, link, outbox } = this.#options;
    env.clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#closed) return;
    const now = env.elapsed();
    const due = this.#inFlight.deadlines();
    const allowed = this.#options.allowed();
    if (link.live && !this.parked && allowed !== "none") {
      if (now < this.#pausedUntil) due.push(this.#pausedUntil);
      else due.push(...this.#send(now, allowed));
    }
    if (!outbox.unsent) this.#hurry = false;
    if (!outbox.size && !this.#inFlight.batches) this.#options.answered.drained();
    if (!due.length) return;
    const at = Math.max(0, Math.min(...due) - now);
    this.#timer = env.setTimeout(() => this.#wake(), at);
  }

  #wake(): void {
    const now = this.#options.env.elapsed();
    const lost = this.#inFlight.deadlines().some((deadline) => now >= deadline);
    if (lost && !this.#options.link.byRest) this.#options.link.cut();
    this.pump();
  }

  /** @returns when to look again, by `elapsed` */
  #send(now: number, allowed: ReadonlySet<string> | undefined): number[] {
    const later: number[] = [];
    for (;;) {
      if (this.#inFlight.batches >= MOST_MESSAGES) return later;
      const room = this.#unacknowledged - this.#inFlight.events;
      const again = this.#ready.findIndex(({ id, members }) => {
        const at = this.#notBefore.get(id) ?? 0;
        if (at > now) later.push(at);
        return at <= now && (members.length <= room || !this.#inFlight.batches);
      });
      const open = again < 0 ? this.#gathered(now, later, allowed) : false;
      if ((again < 0 && !open) || room < 1) return later;
      const wait = this.#rate.spend(now, this.#options.link.byRest);
      if (wait > 0) return [...later, now + wait];
      const batch = again < 0 ? this.#freeze(now, room, allowed) : this.#ready[again];
      if (!batch) return later;
      if (again >= 0) this.#ready.splice(again, 1);
      void this.#sendStored(batch);
    }
  }

  /** Whether what is open should go now. */
  #gathered(now: number, later: number[], allowed: ReadonlySet<string> | undefined): boolean {
    const { outbox } = this.#options;
    const open = allowed ? outbox.waiting(allowed).length : outbox.open;
    if (!open) return false;
    if (this.#hurry || outbox.urgent || open >= this.#limits.events) return true;
    const at = this.#frozeAt + GATHER;
    if (now >= at) return true;
    later.push(at);
    return false;
  }

  #freeze(now: number, room: number, allowed: ReadonlySet<string> | undefined) {
    const { env, outbox, ids, clock } = this.#options;
    const limits = { ...this.#limits, events: Math.min(this.#limits.events, room) };
    const offset = clock.known ? clock.offset : undefined;
    this.#frozeAt = now;
    return outbox.freeze(ids.next(), limits, offset, env.now(), allowed);
  }

  /** Count the try in the store; then send it, if the line still stands. */
  async #sendStored(batch: Batch): Promise<void> {
    const { outbox, link } = this.#options;
    this.#inFlight.storing(batch);
    const { counted, stored } = outbox.keep(batch);
    await stored;
    this.#inFlight.stored(batch);
    if (this.#closed || !outbox.has(counted)) return this.pump();
    if (!link.live || this.parked || !this.#transmit(counted)) {
      this.#ready.push(batch); // with the tries that were made
      return this.pump();
    }
    this.sent += 1;
    if (counted.attempt > 1) this.retries += 1;
    this.#notBefore.delete(batch.id);
    this.pump();
  }

  #transmit(batch: Batch): boolean {
    const { env, link } = this.#options;
    const since = env.elapsed();
    if (link.byRest) {
      const sent: Sent = { batch, via: link.via, since };
      this.#inFlight.sent(sent);
      link.post({ id: batch.id, path: PATHS[batch.kind], body: this.#message(batch) }).then(
        (frame) => this.#posted(frame),
        () => {
          if (!this.#inFlight.awaits(sent)) return;
          this.#answered(batch.id);
          this.#again(batch);
          // The line is to blame, not the message: one wait for all that go down with it.
          const now = env.elapsed();
          if (now >= this.#pausedUntil)
            this.#pausedUntil = now + Math.min(this.#wait(undefined), LONGEST_WAIT);
          this.pump();
        },
      );
      return true;
    }
    const via = link.send(JSON.stringify({ type: TYPES[batch.kind], ...this.#message(batch) }));
    if (via === undefined) return false;
    this.#inFlight.sent({ batch, via, since });
    return true;
  }

  #message(batch: Batch): object {
    const { env, outbox, clock } = this.#options;
    return message(batch, outbox.members(batch), env.now(), clock);
  }

  #posted(frame: Frame): void {
    if (frame.type === "ack") this.ack(frame as unknown as Ack);
    else this.error(frame);
  }

  /** The batch that an answer is about. */
  #answered(id: string): Batch | undefined {
    const sent = this.#inFlight.take(id);
    if (!sent) return undefined;
    if (!this.#inFlight.owes(sent.via)) this.#options.link.drained(sent.via);
    return sent.batch;
  }

  #again(batch: Batch): void {
    if (this.#options.outbox.has(batch)) this.#ready.push(batch);
  }

  #split(batch: Batch, why: string): void {
    const { outbox, ids } = this.#options;
    if (!outbox.has(batch)) return;
    if (batch.members.length < 2) this.#refuse(batch, "too_large", why);
    else this.#ready.push(...outbox.split(batch, [ids.next(), ids.next()]));
  }

  #refuse(batch: Batch, code: ErrorCode, message: string, field?: string): void {
    const outcomes = batch.members.map((id): Settlement => [
      id,
      "refused",
      `${code}: ${message}`,
      field,
    ]);
    this.#settle(batch, outcomes);
  }

  #settle(batch: Batch, outcomes: Settlement[]): void {
    this.#notBefore.delete(batch.id);
    // After the answer, never before it.
    void this.#options.outbox.settle(batch.members, batch);
    this.#options.answered.settled(outcomes);
  }

  #wait(after: number | undefined): number {
    if (after !== undefined) return after * 1000;
    this.#failures += 1;
    return Math.min(PAUSE.first * 2 ** (this.#failures - 1), PAUSE.longest);
  }
}
