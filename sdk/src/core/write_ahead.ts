/**
 * What is recorded, before it is sent: in IndexedDB, or nowhere where there is none.
 *
 * Changes of one task share a transaction, and so do those that come while one is under way. The
 * outbox holds everything in memory too, so a database that dies loses nothing of this page.
 */
import type { Environment } from "./environment.ts";

export type Kind = "interactions" | "chat" | "feedback";

/** An event that waits for its acknowledgement. */
export interface Entry {
  /** Gateway and learner: nobody else sends it. */
  readonly scope: string;
  /** UUIDv7: its event id, which makes a retry harmless. */
  readonly id: string;
  readonly kind: Kind;
  /** As it goes onto the wire, without times and ids. */
  readonly body: Readonly<Record<string, unknown>>;
  /** When it happened by the device's clock, UTC milliseconds. */
  readonly at: number;
  /** What that clock was off by; undefined if nobody knew. */
  readonly offset: number | undefined;
  /** Of the body as JSON, in UTF-8. */
  readonly bytes: number;
}

/** Entries that go as one message. Frozen: each try sends the same. */
export interface Batch {
  readonly scope: string;
  readonly id: string;
  readonly kind: Kind;
  readonly members: readonly string[];
  /**
   * What the device's clock was off by, for entries whose own offset nobody knew. Undefined: nobody
   * knew it for the batch either, and all its times are the device's.
   */
  readonly offset: number | undefined;
  /** Tries so far. */
  readonly attempt: number;
}

/** Up to where this learner's pushes have been applied. */
export interface StoredPlace {
  readonly scope: string;
  readonly id: "place";
  readonly epoch: string;
  readonly offset: number;
  /** When, by the server's clock, UTC milliseconds. */
  readonly at: number;
}

export interface Change {
  readonly entries?: readonly Entry[];
  readonly batches?: readonly Batch[];
  /** Ids of entries and batches that are settled. */
  readonly settled?: readonly string[];
  readonly thawed?: readonly string[];
  readonly place?: StoredPlace;
  /** Everything of this scope goes. */
  readonly purge?: true;
}

export interface Loaded {
  readonly entries: readonly Entry[];
  readonly batches: readonly Batch[];
}

export type StorageProblem = "storage_unavailable" | "storage_lost";

export const DATABASE = "masterx";
/** Milliseconds in which a database has to open. */
export const OPEN_TIMEOUT = 5_000;
const STORES = ["entries", "batches"] as const;
const PLACES = "places";
const ALL_STORES = [...STORES, PLACES];
const VERSION = 2;

interface Waiting {
  readonly change: Change;
  readonly done: () => void;
}

export class WriteAhead {
  readonly #env: Environment;
  readonly #scope: string;
  readonly #lost: (code: StorageProblem) => void;
  #database: IDBDatabase | undefined;
  #opening: Promise<void>;
  #persistent: boolean;
  #waiting: Waiting[] = [];
  #writing = false;
  #closed = false;

  /**
   * @param persistent false: nothing outlives the page
   * @param lost called once, if there is no database or it dies under us
   */
  constructor(
    env: Environment,
    scope: string,
    persistent: boolean,
    lost: (code: StorageProblem) => void,
  ) {
    this.#env = env;
    this.#scope = scope;
    this.#lost = lost;
    this.#persistent = persistent;
    this.#opening = persistent ? this.#open() : Promise.resolve();
  }

  /** Whether what is stored outlives the page. */
  get persistent(): boolean {
    return this.#persistent;
  }

  /** Resolves once the change is stored, or once it is known that nothing can be. */
  write(change: Change): Promise<void> {
    if (!this.#persistent) return Promise.resolve();
    return new Promise((done) => {
      this.#waiting.push({ change, done });
      // In this task still, but after the caller: a transaction takes longer than a record.
      void this.#opening.then(() => this.#flush());
    });
  }

  /** What of this scope is stored, after every change that was asked for before. */
  async load(): Promise<Loaded> {
    await this.write({});
    if (!this.#database) return { entries: [], batches: [] };
    const range = this.#range();
    try {
      const transaction = this.#database.transaction(STORES, "readonly");
      const [entries, batches] = await Promise.all(
        STORES.map((name) => answered(transaction.objectStore(name).getAll(range))),
      );
      return { entries: entries as Entry[], batches: batches as Batch[] };
    } catch {
      return { entries: [], batches: [] };
    }
  }

  /** Where an earlier page stood. Undefined where there was none, or nothing can be read. */
  async place(): Promise<StoredPlace | undefined> {
    await this.#opening;
    try {
      const places = this.#database?.transaction(PLACES, "readonly").objectStore(PLACES);
      if (!places) return undefined;
      return (await answered(places.get([this.#scope, "place"]))) as StoredPlace | undefined;
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.#closed = true;
    if (!this.#writing && !this.#waiting.length) this.#database?.close();
  }

  #range(): IDBKeyRange {
    return this.#env.keyRange!.bound([this.#scope], [this.#scope, []]);
  }

  async #open(): Promise<void> {
    try {
      this.#database = await this.#opened();
      if (this.#closed && !this.#waiting.length) this.#database.close();
    } catch {
      this.#giveUp("storage_unavailable");
    }
  }

  #opened(): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      let late = false;
      const timer = this.#env.setTimeout(() => {
        late = true;
        reject(new Error("too slow"));
      }, OPEN_TIMEOUT);
      const request = this.#env.indexedDB!.open(DATABASE, VERSION);
      request.onupgradeneeded = () => {
        for (const name of ALL_STORES)
          if (!request.result.objectStoreNames.contains(name))
            request.result.createObjectStore(name, { keyPath: ["scope", "id"] });
      };
      request.onsuccess = () => {
        this.#env.clearTimeout(timer);
        const database = request.result;
        if (late) return database.close();
        database.onversionchange = () => database.close();
        resolve(database);
      };
      request.onerror = (event) => {
        event.preventDefault();
        this.#env.clearTimeout(timer);
        reject(request.error ?? new Error("cannot be opened"));
      };
    });
  }

  #flush(): void {
    if (this.#writing) return;
    if (!this.#database) {
      for (const { done } of this.#waiting.splice(0)) done();
      return;
    }
    if (!this.#waiting.length) {
      if (this.#closed) this.#database.close();
      return;
    }
    const turn = this.#waiting.splice(0);
    this.#writing = true;
    void this.#store(turn.map(({ change }) => change)).then(() => {
      this.#writing = false;
      for (const { done } of turn) done();
      this.#flush();
    });
  }

  /** Store, on a database that was opened anew if this one has died. */
  async #store(changes: readonly Change[]): Promise<void> {
    try {
      await this.#transact(changes);
    } catch {
      this.#database?.close();
      try {
        this.#database = await this.#opened();
        await this.#transact(changes);
      } catch {
        this.#giveUp("storage_lost");
      }
    }
  }

  #transact(changes: readonly Change[]): Promise<void> {
    return new Promise((resolve, reject) => {
      const transaction = this.#database!.transaction(ALL_STORES, "readwrite");
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(transaction.error ?? new Error("aborted"));
      const stores = ALL_STORES.map((name) => transaction.objectStore(name));
      const [entries, batches, places] = stores;
      for (const change of changes) {
        if (change.purge) for (const store of stores) store.delete(this.#range());
        if (change.place) places!.put(change.place);
        for (const entry of change.entries ?? []) entries!.put(entry);
        for (const batch of change.batches ?? []) batches!.put(batch);
        for (const id of change.settled ?? []) entries!.delete([this.#scope, id]);
        for (const id of change.thawed ?? []) batches!.delete([this.#scope, id]);
      }
      transaction.commit?.();
    });
  }

  #giveUp(code: StorageProblem): void {
    this.#database?.close();
    this.#database = undefined;
    this.#persistent = false;
    this.#lost(code);
  }
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = (event) => {
      event.preventDefault();
      reject(request.error);
    };
  });
}
