/** The learner's consent: a state, not a moment. Only while it is granted anything is recorded. */

import { type Observable, Source } from "./observable.ts";

export type Consent = "pending" | "granted" | "denied";

export class ConsentGate {
  #state: Consent;
  readonly #told: Source<Consent>;
  readonly #changed: (granted: boolean) => void;

  /**
   * @param changed called when the gate opens (true) or closes (false), and at each `denied`: also
   *   what an earlier page has left is to go then
   * @param complain gets what a follower throws
   */
  constructor(
    state: Consent,
    changed: (granted: boolean) => void,
    complain: (error: unknown) => void,
  ) {
    this.#state = state;
    this.#told = new Source(state, complain);
    this.#changed = changed;
  }

  get state(): Consent {
    return this.#state;
  }

  /** Followers hear of a change once the client has acted on it. */
  get observable(): Observable<Consent> {
    return this.#told;
  }

  get open(): boolean {
    return this.#state === "granted";
  }

  set(state: Consent): void {
    const before = this.open;
    this.#state = state;
    if (this.open !== before || state === "denied") this.#changed(this.open);
    this.#told.set(state);
  }
}
