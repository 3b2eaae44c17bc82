/** Ids that sort by the time at which they were made: UUIDv7 (RFC 9562). */
import type { Environment } from "./environment.ts";

/** When an id was made, by the device's clock, UTC milliseconds. */
export const madeAt = (id: string): number => parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

/** Makes UUIDv7s, each greater than the one before it, also within a millisecond. */
export class Ids {
  readonly #env: Pick<Environment, "now" | "randomBytes">;
  #last = 0;
  #count = 0;

  constructor(env: Pick<Environment, "now" | "randomBytes">) {
    this.#env = env;
  }

  next(): string {
    const bytes = this.#env.randomBytes(16);
    const now = this.#env.now();
    if (now > this.#last) {
      this.#last = now;
      this.#count = ((bytes[6]! & 0x07) << 8) | bytes[7]!; // upper half free: it can count up
    } else if (++this.#count > 0xfff) {
      this.#last += 1; // also where the clock was set back
      this.#count = 0;
    }
    let time = this.#last;
    for (let at = 5; at >= 0; at--) {
      bytes[at] = time % 256;
      time = Math.floor(time / 256);
    }
    bytes[6] = 0x70 | (this.#count >> 8);
    bytes[7] = this.#count & 0xff;
    bytes[8] = 0x80 | (bytes[8]! & 0x3f);
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }
}
