/** Whether somebody looks at the page, and what its line does then. */
import type { Environment, Timer } from "./environment.ts";
import type { Link } from "./link.ts";

/** Milliseconds after which a hidden tab that waits for nothing closes its line. */
export const HIDDEN_FOR = 60_000;

export interface PresenceEvents {
  /** Out of sight: what is gathered should go now. */
  hidden(): void;
  /** It may never come back. */
  leave(): void;
  /** Looked at again, or online: the line goes on. */
  back(): void;
  /** Whether something is under way for which the line is needed. */
  busy(): boolean;
}

export class Presence {
  readonly #env: Environment;
  readonly #link: Pick<Link, "pause" | "resume">;
  readonly #events: PresenceEvents;
  #ignore: () => void = () => {};
  #timer: Timer | undefined;
  #resting = false;

  constructor(env: Environment, link: Pick<Link, "pause" | "resume">, events: PresenceEvents) {
    this.#env = env;
    this.#link = link;
    this.#events = events;
  }

  /** Hear what happens to the page from now on. */
  start(): void {
    this.stop();
    if (this.#env.hidden()) this.#restLater(); // opened behind another tab
    this.#ignore = this.#env.listen((event) => {
      this.#env.clearTimeout(this.#timer);
      if (event === "hidden") {
        this.#events.hidden();
        this.#restLater();
      } else if (event === "leave") {
        this.#events.leave();
        this.#link.pause(); // a live socket keeps the page out of the back/forward cache
      } else {
        this.#resting = false;
        this.#link.resume();
        this.#events.back();
        if (this.#env.hidden()) this.#restLater(); // online again, and still nobody looks
      }
    });
  }

  stop(): void {
    this.#ignore();
    this.#env.clearTimeout(this.#timer);
    this.#resting = false;
  }

  /** There is something to send: a hidden tab that has closed its line opens it again. */
  wake(): void {
    if (!this.#resting) return;
    this.#resting = false;
    this.#link.resume();
    this.#restLater();
  }

  #restLater(): void {
    this.#timer = this.#env.setTimeout(() => {
      if (!this.#env.hidden()) return;
      if (this.#events.busy()) return this.#restLater();
      this.#resting = true;
      this.#link.pause();
    }, HIDDEN_FOR);
  }
}
