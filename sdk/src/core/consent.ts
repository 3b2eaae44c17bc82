/** The learner's consent: a state, not a moment. Only while it is granted anything is recorded. */

export type Consent = "pending" | "granted" | "denied";

export class ConsentGate {
  #state: Consent;
  readonly #changed: (granted: boolean) => void;

  /**
   * @param changed called when the gate opens (true) or closes (false), and at each `denied`: also
   *   what an earlier page has left is to go then
   */
  constructor(state: Consent, changed: (granted: boolean) => void) {
    this.#state = state;
    this.#changed = changed;
  }

  get state(): Consent {
    return this.#state;
  }

  get open(): boolean {
    return this.#state === "granted";
  }

  set(state: Consent): void {
    const before = this.open;
    this.#state = state;
    if (this.open !== before || state === "denied") this.#changed(this.open);
  }
}
