/** Which pushes count: each once, in the order of the learner's log (docs/wire.md, "Resume"). */
import type { Hello, Resume, Resumed } from "./wire.gen.ts";

export interface Place {
  readonly epoch: string;
  readonly offset: number;
}

/** Where an earlier page of the learner stood. */
export interface Left extends Place {
  /** When, by the server's clock, UTC milliseconds. */
  readonly at: number;
}

/** Milliseconds within which a page goes on where an earlier one of the learner stood. */
export const RESUME_WITHIN = 600_000;

export class Pushes {
  #place: Place | undefined;
  #before: Left | undefined;
  #resuming = false;

  /** Of the last push that was applied; undefined before the first `hello`. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** Where an earlier page of this learner stood: go on from there, if nothing came yet. */
  restore(left: Left): void {
    this.#before = left;
  }

  /**
   * A connection begins.
   *
   * @param now by the server's clock, UTC milliseconds
   * @returns what to send before anything else; undefined if `hello` holds where things stand
   */
  hello(frame: Hello, now: number): Resume | undefined {
    if (this.#place) {
      this.#resuming = true;
      return { type: "resume", ...this.#place };
    }
    const { epoch, offset } = frame;
    const before = this.#before;
    this.#before = undefined;
    this.#place = { epoch, offset };
    if (before?.epoch !== epoch || before.offset >= offset) return undefined;
    if (Math.abs(now - before.at) >= RESUME_WITHIN) return undefined;
    this.#place = { epoch, offset: before.offset };
    this.#resuming = true;
    return { type: "resume", ...this.#place };
  }

  /** @returns whether its state and recommendations replace ours */
  resumed(frame: Resumed): boolean {
    this.#resuming = false;
    this.#place = { epoch: frame.epoch, offset: frame.offset };
    return !frame.recovered;
  }

  /** REST asks by place, and every answer counts. */
  polled(): void {
    this.#resuming = false;
  }

  /** @returns whether to apply this push: not while resuming, and none twice */
  take({ epoch, offset }: Place): boolean {
    if (this.#resuming) return false;
    if (this.#place?.epoch === epoch && offset <= this.#place.offset) return false;
    this.#place = { epoch, offset };
    return true;
  }
}
