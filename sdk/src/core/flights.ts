/** Batches under way: on their way to the store (launching), or sent and not answered (flying). */
import type { Batch } from "./write_ahead.ts";

/** Milliseconds until a message without an answer counts as lost with its line. */
export const ACK_TIMEOUT = 30_000;

export interface Flight {
  readonly batch: Batch;
  /** The line that took it. */
  readonly via: number;
  /** When, by `elapsed`. */
  readonly since: number;
}

export class Flights {
  readonly #launching = new Map<string, Batch>();
  readonly #flying = new Map<string, Flight>();

  /** Batches under way, and the events in them. */
  get batches(): number {
    return this.#flying.size + this.#launching.size;
  }

  get events(): number {
    let events = 0;
    for (const { members } of this.all()) events += members.length;
    return events;
  }

  *all(): Iterable<Batch> {
    yield* this.flying();
    yield* this.#launching.values();
  }

  flying(): Batch[] {
    return [...this.#flying.values()].map(({ batch }) => batch);
  }

  launch(batch: Batch): void {
    this.#launching.set(batch.id, batch);
  }

  launched(batch: Batch): void {
    this.#launching.delete(batch.id);
  }

  depart(flight: Flight): void {
    this.#flying.set(flight.batch.id, flight);
  }

  /** Whether it is this very flight that has no answer yet. */
  isUp(flight: Flight): boolean {
    return this.#flying.get(flight.batch.id) === flight;
  }

  /** It flies no more. */
  land(id: string): Flight | undefined {
    const flight = this.#flying.get(id);
    this.#flying.delete(id);
    return flight;
  }

  /** What this line took and left unanswered: it flies no more. */
  down(via: number): Batch[] {
    const lost = [...this.#flying.values()].filter((flight) => flight.via === via);
    for (const { batch } of lost) this.#flying.delete(batch.id);
    return lost.map(({ batch }) => batch);
  }

  /** Whether this line still owes an answer. */
  owes(via: number): boolean {
    return [...this.#flying.values()].some((flight) => flight.via === via);
  }

  /** When each counts as lost, by `elapsed`. */
  deadlines(): number[] {
    return [...this.#flying.values()].map(({ since }) => since + ACK_TIMEOUT);
  }
}
