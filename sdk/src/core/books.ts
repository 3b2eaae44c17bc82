/**
 * The books: recorded = accepted + refused + dropped + pending, always.
 *
 * They are kept by id, so no answer that comes twice, and no second tab, can unbalance them.
 */

export type DropReason =
  | "no_consent" // recorded while consent was not granted
  | "withdrawn" // consent was withdrawn
  | "invalid" // not an interaction
  | "too_large" // larger than one message may be
  | "full" // the outbox was full
  | "old" // waited longer than its kind may
  | "logout" // purged by logout
  | "closed"; // recorded after close

export interface Stats {
  /** Events recorded here, and those that an earlier page left behind. */
  readonly recorded: number;
  /** Of `recorded`: left behind by an earlier page, or by another tab. */
  readonly restored: number;
  readonly accepted: number;
  /** Of `accepted`: the server knew them. */
  readonly duplicates: number;
  readonly refused: number;
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
  readonly pending: number;
  /** Where pending events are kept. */
  readonly storage: "persistent" | "memory";
  readonly bytes: number;
  /** Messages that were sent, retries included. */
  readonly sent: number;
  readonly retries: number;
}

export type Outcome = "new" | "duplicate" | "refused" | DropReason;

export class Books {
  readonly #pending = new Set<string>();
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  #recorded = 0;
  #restored = 0;
  #accepted = 0;
  #duplicates = 0;
  #refused = 0;

  record(id: string): void {
    if (this.#pending.has(id)) return;
    this.#pending.add(id);
    this.#recorded += 1;
  }

  restore(id: string): void {
    if (!this.#pending.has(id)) this.#restored += 1;
    this.record(id);
  }

  /** @returns false if it was not pending: then nothing is booked */
  settle(id: string, outcome: Outcome): boolean {
    if (!this.#pending.delete(id)) return false;
    if (outcome === "refused") this.#refused += 1;
    else if (outcome === "new" || outcome === "duplicate") {
      this.#accepted += 1;
      if (outcome === "duplicate") this.#duplicates += 1;
    } else this.#dropped[outcome] = (this.#dropped[outcome] ?? 0) + 1;
    return true;
  }

  get pending(): number {
    return this.#pending.size;
  }

  balance(): Omit<Stats, "storage" | "bytes" | "sent" | "retries"> {
    return {
      recorded: this.#recorded,
      restored: this.#restored,
      accepted: this.#accepted,
      duplicates: this.#duplicates,
      refused: this.#refused,
      dropped: { ...this.#dropped },
      pending: this.#pending.size,
    };
  }
}
