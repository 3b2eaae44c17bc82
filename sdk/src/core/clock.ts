/**
 * The server's time, as well as it can be known here.
 *
 * A sample is the server's time at some moment between `sent` and `received`, so it is wrong by at
 * most half of the time between. The sample with the shortest time between them counts.
 */
import type { Environment } from "./environment.ts";

/** Below this, in ms, a difference is left alone: people do not notice it, and it may be noise. */
export const LEAST_OFFSET = 1_000;
/** The device's clock was set, or the device slept, if it is off from `elapsed` by so many ms. */
export const JUMP = 60_000;

export class Clock {
  readonly #env: Pick<Environment, "now" | "elapsed">;
  #best: { offset: number; trip: number; wall: number; at: number } | undefined;
  #stale = false;

  constructor(env: Pick<Environment, "now" | "elapsed">) {
    this.#env = env;
  }

  /**
   * A new connection: the device's clock may have been set since the last one. What is known serves
   * until the server says its time again.
   */
  restart(): void {
    this.#stale = true;
  }

  /** The server said `serverTime` between `sent` (by `elapsed`) and now. */
  sample(serverTime: number, sent: number): void {
    const [wall, at] = [this.#env.now(), this.#env.elapsed()];
    const trip = Math.max(0, at - sent);
    if (this.#best && this.#best.trip <= trip && !this.#stale) return;
    this.#stale = false;
    this.#best = { offset: Math.round(serverTime + trip / 2 - wall), trip, wall, at };
  }

  /** Whether the server has ever said its time. */
  get known(): boolean {
    return this.#best !== undefined;
  }

  /**
   * Whether `offset` holds. Not after the device's clock was set forward, or the device slept:
   * which of the two it was, only the server's next time tells.
   */
  get steady(): boolean {
    return this.known && this.#drift() <= JUMP;
  }

  /** What to add to the device's clock, ms; 0 where the difference may be noise. */
  get offset(): number {
    if (!this.#best) return 0;
    const { offset, trip } = this.#best;
    const drift = this.#drift();
    if (drift < -JUMP) return offset - Math.round(drift); // it was set back
    return Math.abs(offset) > Math.max(LEAST_OFFSET, trip) ? offset : 0;
  }

  /** UTC milliseconds by the server's clock, as well as it is known. */
  now(): number {
    return this.#env.now() + this.offset;
  }

  /** How far the device's clock ran ahead of `elapsed` since the sample, ms. */
  #drift(): number {
    if (!this.#best) return 0;
    const { wall, at } = this.#best;
    return this.#env.now() - wall - (this.#env.elapsed() - at);
  }
}
