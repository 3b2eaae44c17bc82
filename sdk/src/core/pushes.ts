/** Which pushes count: each once, in the order of the learner's log (docs/wire.md, "Resume"). */
import type { Hello, Resume, Resumed } from "./wire.gen.ts";

export interface Place {
  readonly epoch: string;
  readonly offset: number;
}

export class Pushes {
  #place: Place | undefined;
  #before: Place | undefined;
  #resuming = false;

  /** Of the last push that was applied; undefined before the first `hello`. */
  get place(): Place | undefined {
    return this.#place;
  }

  /** Where an earlier page of this learner stood: go on from there, if nothing came yet. */
  restore(place: Place): void {
    this.#before = place;
  }

  /**
   * A connection begins.
   *
   * @returns what to send before anything else; undefined if `hello` holds where things stand
   */
  hello(frame: Hello): Resume | undefined {
    if (this.#place) {
      this.#resuming = true;
      return { type: "resume", ...this.#place };
    }
    const { epoch, offset } = frame;
    const before = this.#before;
    this.#before = undefined;
    this.#place = { epoch, offset };
    if (before?.epoch !== epoch || before.offset >= offset) return undefined;
    this.#place = before;
    this.#resuming = true;
    return { type: "resume", ...before };
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
