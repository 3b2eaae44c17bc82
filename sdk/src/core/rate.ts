/** How fast messages may go: a bucket that fills by so many a second. */

/** Messages a second by socket and by REST, and how many may go at once. */
export const RATE = { socket: 10, rest: 1, burst: 10 } as const;

export class Rate {
  #credit: number = RATE.burst;
  #at = 0;

  /** Take a message's share. @returns milliseconds to wait if there is none */
  spend(now: number, byRest: boolean): number {
    const rate = byRest ? RATE.rest : RATE.socket;
    this.#credit = Math.min(RATE.burst, this.#credit + ((now - this.#at) * rate) / 1000);
    this.#at = now;
    if (this.#credit < 1) return Math.ceil(((1 - this.#credit) * 1000) / rate);
    this.#credit -= 1;
    return 0;
  }
}
