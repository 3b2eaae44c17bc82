/** What became of each event: in the books, in its receipt, and if it failed in `problems`. */
import { Books, type DropReason, type Outcome } from "./books.ts";
import type { Problems } from "./problems.ts";
import { type Receipt, Receipts } from "./receipts.ts";

const WHY: Readonly<Record<DropReason, string>> = {
  no_consent: "consent is not granted",
  withdrawn: "consent was withdrawn",
  invalid: "not an event that can be sent",
  too_large: "larger than a message may be",
  full: "the outbox is full",
  old: "it waited too long",
  logout: "the learner logged out",
  closed: "the client is closed",
};

export class Ledger {
  readonly books = new Books();
  readonly receipts = new Receipts();
  readonly #problems: Problems;

  constructor(problems: Problems) {
    this.#problems = problems;
  }

  open(id: string): Receipt {
    this.books.record(id);
    return this.receipts.open(id);
  }

  /** The server has answered for it, here or in another tab. */
  settle(id: string, outcome: Outcome, message?: string, field?: string): void {
    if (!this.books.settle(id, outcome)) return;
    if (outcome === "refused") {
      const more = field === undefined ? { id } : { id, field };
      this.#problems.tell("invalid_message", message ?? "refused", more);
    }
    this.receipts.settle(id, outcome, message, field);
  }

  /** It will not be sent. */
  drop(id: string, reason: DropReason): void {
    if (!this.books.settle(id, reason)) return;
    if (reason === "full") this.#problems.tell("outbox_full", WHY[reason], { id });
    else if (reason === "invalid" || reason === "too_large" || reason === "old")
      this.#problems.tell(reason === "old" ? "dropped" : reason, WHY[reason], { id });
    this.receipts.settle(id, reason, WHY[reason]);
  }
}
