/** Which pushes count: each once, in the order of the learner's log (docs/wire.md, "Resume"). */
import type { Hello, Resume, Resumed } from "./wire.gen.ts";

export interface Place {
  readonly epoch: string;
  readonly offset: number;
}

export class Pushes {
  #place: Place | undefined;
  #resuming = false;

  /** Of the last push that was applied; undefined before the first `hello`. */
  get place(): Place | undefined {
    return this.#place;
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
    this.#place = { epoch: frame.epoch, offset: frame.offset };
    return undefined;
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
