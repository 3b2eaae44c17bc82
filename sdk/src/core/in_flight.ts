/** Batches under way: on their way to the store, or sent and not answered. */
import type { Batch } from "./write_ahead.ts";

/** Milliseconds until a message without an answer counts as lost with its line. */
export const ACK_TIMEOUT = 30_000;

export interface Sent {
  readonly batch: Batch;
  /** The line that took it. */
  readonly via: number;
  /** When, by `elapsed`. */
  readonly since: number;
}

export class InFlight {
  readonly #storing = new Map<string, Batch>();
  readonly #sent = new Map<string, Sent>();

  /** Batches under way, and the events in them. */
  get batches(): number {
    return this.#sent.size + this.#storing.size;
  }

  get events(): number {
    let events = 0;
    for (const { members } of this.all()) events += members.length;
    return events;
  }

  *all(): Iterable<Batch> {
    yield* this.unanswered();
    yield* this.#storing.values();
  }

  unanswered(): Batch[] {
    return [...this.#sent.values()].map(({ batch }) => batch);
  }

  storing(batch: Batch): void {
    this.#storing.set(batch.id, batch);
  }

  stored(batch: Batch): void {
    this.#storing.delete(batch.id);
  }

  sent(one: Sent): void {
    this.#sent.set(one.batch.id, one);
  }

  /** Whether this very try has no answer yet. */
  awaits(one: Sent): boolean {
    return this.#sent.get(one.batch.id) === one;
  }

  /** It is answered, or given up: take it out. */
  take(id: string): Sent | undefined {
    const one = this.#sent.get(id);
    this.#sent.delete(id);
    return one;
  }

  /** Take out what this line took and left unanswered. */
  takeAll(via: number): Batch[] {
    const lost = [...this.#sent.values()].filter((one) => one.via === via);
    for (const { batch } of lost) this.#sent.delete(batch.id);
    return lost.map(({ batch }) => batch);
  }

  /** Whether this line still owes an answer. */
  owes(via: number): boolean {
    return [...this.#sent.values()].some((one) => one.via === via);
  }

  /** When each counts as lost, by `elapsed`. */
  deadlines(): number[] {
    return [...this.#sent.values()].map(({ since }) => since + ACK_TIMEOUT);
  }
}
