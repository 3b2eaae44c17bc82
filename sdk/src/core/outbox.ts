/**
 * Events that wait for their acknowledgement: bounded, written ahead, cut into frozen batches.
 *
 * An entry is open until a batch takes it. A batch keeps its id and its members until it is
 * settled, also over a restart of the page, so each try sends the same.
 */
import { madeAt } from "./ids.ts";
import type { Batch, Change, Entry, Loaded, WriteAhead } from "./write_ahead.ts";

/** Events that may wait. */
export const MOST_ENTRIES = 5_000;
/** Bytes of them. */
export const MOST_BYTES = 4 * 1024 * 1024;
/** Milliseconds that a chat message, and any other event, may wait. */
export const CHAT_AGE = 24 * 3_600_000;
export const EVENT_AGE = 7 * 24 * 3_600_000;

export interface BatchLimits {
  /** Events in a batch. */
  readonly events: number;
  /** Bytes of a batch; an event that is larger goes alone. */
  readonly bytes: number;
}

export const BATCH: BatchLimits = { events: 50, bytes: 48 * 1024 };
/**
 * Milliseconds after which an event that another page may have sent, and that no stored batch
 * holds, counts as sent before: a page that was left sends without storing that. Far below the
 * server's `dedupeSeconds`, within which it knows a retry even if we call it the first try.
 */
export const SENT_BEFORE = 60_000;
/** What a batch and each event of it need beside the event's own bytes. */
const FRAME = 256;
const BESIDE = 128;

export class Outbox {
  readonly #log: WriteAhead;
  readonly #shared: boolean;
  readonly #entries = new Map<string, Entry>();
  /** Ids of entries that are stored and in no batch, the oldest first. */
  #open = new Set<string>();
  readonly #unstored = new Set<string>();
  readonly #frozen = new Map<string, Batch>();
  /** Ids of entries that another page, or another tab, has left without a whole batch. */
  readonly #left = new Set<string>();
  /** Entries that were settled while the store is being read; undefined: take nothing of it. */
  #gone: Set<string> | undefined;
  #bytes = 0;
  #urgent = 0;

  /** @param shared other tabs may have sent any event, also while this page was frozen */
  constructor(log: WriteAhead, shared: boolean) {
    this.#log = log;
    this.#shared = shared;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Entries that are stored and in no batch. */
  get open(): number {
    return this.#open.size;
  }

  /** Those, and the ones on their way to the store. */
  get unsent(): number {
    return this.#open.size + this.#unstored.size;
  }

  /** Whether one of them should not wait: an answer, a chat message, feedback. */
  get urgent(): boolean {
    return this.#urgent > 0;
  }

  entry(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  ids(): string[] {
    return [...this.#entries.keys()];
  }

  /** Those of these ids that no batch has taken. */
  waiting(ids: Iterable<string>): string[] {
    return [...ids].filter((id) => this.#open.has(id));
  }

  /**
   * Take an entry.
   *
   * @returns `stored`, and the entries that had to go to make room
   */
  add(entry: Entry): { stored: Promise<void>; dropped: readonly Entry[] } {
    const dropped = this.#makeRoom(entry);
    this.#hold(entry);
    this.#unstored.add(entry.id);
    const settled = dropped.map(({ id }) => id);
    const stored = this.#log.write({ entries: [entry], settled }).then(() => {
      if (!this.#unstored.delete(entry.id) || !this.#entries.has(entry.id)) return;
      this.#setOpen(entry);
    });
    return { stored, dropped };
  }

  /** What is stored, for `restore`. One at a time. */
  load(): Promise<Loaded> {
    this.#gone = new Set();
    return this.#log.load();
  }

  /** There was a purge: what is being read may be of before it. */
  unread(): void {
    this.#gone = undefined;
  }

  /** Take over what `load` read. @returns entries and batches that were not known here */
  restore({ entries, batches }: Loaded): Loaded {
    const gone = this.#gone;
    this.#gone = undefined;
    if (!gone) return { entries: [], batches: [] };
    const fresh = entries.filter(({ id }) => !gone.has(id) && !this.#entries.has(id));
    for (const entry of fresh) this.#hold(entry);
    const present = new Set(fresh.map(({ id }) => id));
    const whole: Batch[] = [];
    const thawed: string[] = [];
    for (const batch of batches) {
      if (this.#frozen.has(batch.id)) continue;
      if (!batch.members.every((id) => present.delete(id))) {
        // Another tab has settled a part of it: what is left goes in a batch of its own.
        for (const id of batch.members) if (this.#isLoose(id)) present.add(id);
        thawed.push(batch.id);
        continue;
      }
      this.#frozen.set(batch.id, batch);
      whole.push(batch);
    }
    for (const id of present) this.#left.add(id);
    const open = [...present].flatMap((id) => this.#entries.get(id) ?? []);
    const newer = [...this.#open].flatMap((id) => this.#entries.get(id) ?? []);
    this.#open = new Set();
    this.#urgent = 0;
    for (const entry of [...open, ...newer].sort(byId)) this.#setOpen(entry);
    if (thawed.length) void this.#log.write({ thawed });
    return { entries: fresh, batches: whole };
  }

  /**
   * Entries that have waited longer than their kind may; they are in no batch.
   *
   * @param now by the server's clock, UTC milliseconds
   * @param behind what the device's clock is off by, for entries whose own offset nobody knew
   */
  old(now: number, behind: number): readonly Entry[] {
    const all = [...this.#open].flatMap((id) => this.#entries.get(id) ?? []);
    // Not `at`: what happened long ago may have been recorded just now.
    return all.filter(
      ({ kind, id, offset = behind }) =>
        now - madeAt(id) - offset > (kind === "chat" ? CHAT_AGE : EVENT_AGE),
    );
  }

  /** The next batch, or undefined if nothing is open. It is not stored yet: see `keep`. */
  freeze(
    id: string,
    limits: BatchLimits,
    offset: number | undefined,
    now: number,
    only?: ReadonlySet<string>,
  ): Batch | undefined {
    const members: Entry[] = [];
    let bytes = FRAME;
    for (const one of this.#open) {
      if (only && !only.has(one)) continue;
      const entry = this.#entries.get(one)!;
      if (!members.length) members.push(entry);
      else if (entry.kind !== "interactions") continue;
      else if (bytes + entry.bytes + BESIDE > limits.bytes) break;
      else members.push(entry);
      bytes += entry.bytes + BESIDE;
      if (entry.kind !== "interactions" || members.length >= limits.events) break;
    }
    if (!members.length) return undefined;
    const sent = members.some(
      ({ id }) => (this.#shared || this.#left.has(id)) && now - madeAt(id) > SENT_BEFORE,
    );
    return this.#frozenOf(id, members, offset, sent ? 1 : 0);
  }

  /** A try begins: count it. `stored` resolves once that is stored; then it may be sent. */
  keep(batch: Batch): { counted: Batch; stored: Promise<void> } {
    const counted = { ...batch, attempt: batch.attempt + 1 };
    this.#frozen.set(batch.id, counted);
    return { counted, stored: this.#log.write({ batches: [counted] }) };
  }

  /** Whether it still waits for an answer. */
  has(batch: Batch): boolean {
    return this.#frozen.has(batch.id);
  }

  /** Cut a batch that is too large in two. Its events keep their ids. */
  split(batch: Batch, ids: readonly [string, string]): readonly Batch[] {
    const entries = this.members(batch);
    const middle = Math.ceil(entries.length / 2);
    this.#frozen.delete(batch.id);
    const halves = [entries.slice(0, middle), entries.slice(middle)].map((half, at) =>
      this.#frozenOf(ids[at]!, half, batch.offset, batch.attempt),
    );
    void this.#log.write({ batches: halves, thawed: [batch.id] });
    return halves;
  }

  members(batch: Batch): Entry[] {
    return batch.members.flatMap((id) => this.#entries.get(id) ?? []);
  }

  /** These entries, and this batch, are settled: forget them. */
  settle(ids: readonly string[], batch?: Batch): Promise<void> {
    const known = ids.filter((id) => this.#forget(id));
    const thawed = batch && this.#frozen.delete(batch.id) ? [batch.id] : [];
    if (known.length) thawed.push(...this.#thaw());
    if (!known.length && !thawed.length) return Promise.resolve();
    return this.#log.write({ settled: known, thawed });
  }

  /** Forget everything, here and in the store. */
  async purge(): Promise<void> {
    this.#entries.clear();
    this.#open.clear();
    this.#unstored.clear();
    this.#left.clear();
    this.#frozen.clear();
    this.#bytes = this.#urgent = 0;
    const change: Change = { purge: true };
    await this.#log.write(change);
  }

  /** Batches that lack a member cannot go as they were: what is left of them is open again. */
  #thaw(): string[] {
    const thawed: string[] = [];
    for (const { id, members } of this.#frozen.values()) {
      const left = members.flatMap((one) => this.#entries.get(one) ?? []);
      if (left.length === members.length) continue;
      this.#frozen.delete(id);
      thawed.push(id);
      for (const entry of left) this.#setOpen(entry);
    }
    return thawed;
  }

  #hold(entry: Entry): void {
    this.#entries.set(entry.id, entry);
    this.#bytes += entry.bytes;
  }

  #forget(id: string): boolean {
    this.#gone?.add(id); // also if only the store knows it
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
    this.#unstored.delete(id);
    this.#left.delete(id);
    this.#unopen(entry);
    return true;
  }

  #setOpen(entry: Entry): void {
    this.#open.add(entry.id);
    if (isUrgent(entry)) this.#urgent += 1;
  }

  #unopen(entry: Entry): void {
    if (this.#open.delete(entry.id) && isUrgent(entry)) this.#urgent -= 1;
  }

  /** Known, stored, and in no batch that is whole. */
  #isLoose(id: string): boolean {
    if (!this.#entries.has(id) || this.#unstored.has(id) || this.#open.has(id)) return false;
    for (const { members } of this.#frozen.values()) if (members.includes(id)) return false;
    return true;
  }

  #frozenOf(
    id: string,
    members: readonly Entry[],
    offset: number | undefined,
    attempt: number,
  ): Batch {
    const { scope, kind, id: first } = members[0]!;
    for (const entry of members) this.#unopen(entry);
    const batch: Batch = {
      scope,
      // One event is its own message, so that a retry of either is known by the same id.
      id: kind === "interactions" ? id : first,
      kind,
      members: members.map((entry) => entry.id),
      offset,
      attempt,
    };
    this.#frozen.set(batch.id, batch);
    return batch;
  }

  /** Drop the oldest: first what is neither an answer nor chat, and never what is in a batch. */
  #makeRoom(entry: Entry): Entry[] {
    const dropped: Entry[] = [];
    const full = () => this.#entries.size >= MOST_ENTRIES || this.#bytes + entry.bytes > MOST_BYTES;
    while (full()) {
      const oldest = this.#oldest((one) => !isKept(one)) ?? this.#oldest(() => true);
      if (!oldest) break;
      this.#forget(oldest.id);
      dropped.push(oldest);
    }
    return dropped;
  }

  #oldest(fits: (entry: Entry) => boolean): Entry | undefined {
    for (const ids of [this.#open, this.#unstored])
      for (const id of ids) {
        const entry = this.#entries.get(id);
        if (entry && fits(entry)) return entry;
      }
    return undefined;
  }
}

const byId = (one: Entry, other: Entry): number => (one.id < other.id ? -1 : 1);

/** An exercise that was answered. */
const isAnswer = ({ kind, body }: Entry): boolean =>
  kind === "interactions" && body["taskData"] != null;

const isKept = (entry: Entry): boolean => entry.kind === "chat" || isAnswer(entry);

const isUrgent = (entry: Entry): boolean => entry.kind !== "interactions" || isAnswer(entry);
