/**
 * Tabs of one learner share an outbox. Who sends what is in it is settled by a Web Lock.
 *
 * The lock is a courtesy, not a guarantee: it keeps tabs from sending the same events twice, and
 * their ids make it harmless if they do. So nobody waits for it. A tab whose events are not settled
 * within two seconds sends them itself.
 */
import type { DropReason, Outcome } from "./books.ts";
import type { Channel, Environment, Timer } from "./environment.ts";

/** Milliseconds that a tab may send for all, until another one may. */
export const TURN = 30_000;
/** Milliseconds until a tab sends its own events although another one has the turn. */
export const PATIENCE = 2_000;

export type Settled = readonly (readonly [id: string, outcome: Outcome])[];

export interface TabEvents {
  /** It is our turn: look what the others have left in the store. */
  turn(): void;
  /** Another tab has stored something, and it is our turn. */
  stored(): void;
  /** Another tab has settled these. */
  settled(settled: Settled): void;
  /** Another tab has purged this learner's outbox: the learner logged out, or withdrew consent. */
  purged(reason: DropReason): void;
  /** Waited long enough for the tab whose turn it is. */
  impatient(): void;
}

export class Tabs {
  readonly #env: Environment;
  readonly #name: string;
  readonly #events: TabEvents;
  #channel: Channel | undefined;
  #release: (() => void) | undefined;
  #asking = false;
  #timer: Timer | undefined;
  #alone = false;
  #closed = false;
  #looked = false;

  constructor(env: Environment, name: string, shared: boolean, events: TabEvents) {
    this.#env = env;
    this.#name = name;
    this.#events = events;
    if (!shared || !env.locks) return;
    this.#channel = env.openChannel?.(name);
    if (this.#channel) this.#channel.onmessage = ({ data }) => this.#heard(data);
  }

  /** Whether several tabs may share the outbox. */
  get shared(): boolean {
    return this.#channel !== undefined;
  }

  get holding(): boolean {
    return !this.shared || this.#release !== undefined;
  }

  /** Whether this tab has had a turn, and so has seen what earlier pages left. */
  get looked(): boolean {
    return this.#looked || !this.shared;
  }

  /** Whether this tab sends its own events whosever turn it is. */
  get alone(): boolean {
    return this.#alone;
  }

  /** Something waits, or may have been left: take the turn, if nobody has it. */
  want(): void {
    if (this.#closed || this.holding) return;
    if (this.#timer === undefined && !(this.#alone && this.#looked))
      this.#timer = this.#env.setTimeout(() => {
        this.#timer = undefined;
        this.#alone = true;
        this.#events.impatient();
      }, PATIENCE);
    if (this.#asking || (this.#env.hidden() && this.#looked)) return;
    this.#asking = true;
    const held = this.#env.locks!.request(this.#name, { ifAvailable: true }, (lock) => {
      this.#asking = false;
      if (!lock || this.#closed) return undefined;
      return new Promise<void>((release) => this.#begin(release));
    });
    Promise.resolve(held).catch(() => void (this.#asking = false));
  }

  /** Nothing waits any more, or the tab goes out of sight. */
  release(): void {
    this.#env.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#alone = false;
    this.#release?.();
    this.#release = undefined;
  }

  tellStored(): void {
    if (this.#release === undefined) this.#channel?.postMessage({ stored: true });
  }

  tellSettled(settled: Settled): void {
    this.#channel?.postMessage({ settled });
  }

  tellPurged(purged: DropReason): void {
    this.#channel?.postMessage({ purged });
  }

  close(): void {
    this.#closed = true;
    this.release();
    this.#channel?.close();
    this.#channel = undefined;
  }

  #begin(release: () => void): void {
    this.#env.clearTimeout(this.#timer);
    this.#alone = false;
    this.#looked = true;
    this.#release = release;
    this.#timer = this.#env.setTimeout(() => {
      this.release();
      this.#events.impatient();
    }, TURN);
    this.#events.turn();
  }

  #heard(data: unknown): void {
    const { stored, settled, purged } = (data ?? {}) as Record<string, unknown>;
    if (stored && this.#release) this.#events.stored();
    if (Array.isArray(settled)) this.#events.settled(settled as unknown as Settled);
    // A tab with an older SDK gives no reason.
    if (purged) this.#events.purged(purged === "logout" ? purged : "withdrawn");
  }
}
