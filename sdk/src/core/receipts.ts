/** What a caller holds of an event: whether it is stored, and what the server made of it. */
import type { Outcome } from "./books.ts";
import { MasterxError } from "./problems.ts";

export interface Receipt {
  /** The event's id, which `causedBy` of a push may name; of feedback: the message's id. */
  readonly id: string;
  /** Resolves once it is in the write-ahead log: it survives the page (see `stats().storage`). */
  readonly stored: Promise<void>;
  /** Resolves once Kafka has it; rejects with a MasterxError if it never will. */
  readonly accepted: Promise<"new" | "duplicate">;
}

interface Open {
  readonly stored: Resolvers<void>;
  readonly accepted: Resolvers<"new" | "duplicate">;
}

interface Resolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: MasterxError) => void;
}

export class Receipts {
  readonly #open = new Map<string, Open>();

  open(id: string): Receipt {
    const one: Open = { stored: resolvers(), accepted: resolvers() };
    this.#open.set(id, one);
    return { id, stored: one.stored.promise, accepted: one.accepted.promise };
  }

  stored(id: string): void {
    this.#open.get(id)?.stored.resolve();
  }

  settle(id: string, outcome: Outcome, message?: string, field?: string): void {
    const one = this.#open.get(id);
    if (!one) return;
    this.#open.delete(id);
    if (outcome === "new" || outcome === "duplicate") {
      one.stored.resolve(); // the server has it, which is more
      one.accepted.resolve(outcome);
      return;
    }
    const error = new MasterxError(outcome, message ?? outcome, field);
    one.stored.reject(error); // without effect if it was stored
    one.accepted.reject(error);
  }

  /** No answer will be waited for any more. */
  close(): void {
    for (const one of this.#open.values()) {
      const error = new MasterxError("closed", "the client was closed; the event is still stored");
      one.accepted.reject(error);
    }
    this.#open.clear();
  }

  has(id: string): boolean {
    return this.#open.has(id);
  }

  /** Events recorded here that are not settled. */
  ids(): ReadonlySet<string> {
    return new Set(this.#open.keys());
  }
}

/** A promise that nobody has to catch: a page is not to hear of ours as unhandled. */
function resolvers<T>(): Resolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: MasterxError) => void;
  const promise = new Promise<T>((one, other) => {
    resolve = one;
    reject = other;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}
