/** What the SDK needs of its surroundings. A test, or another platform, brings its own. */

/** The part of a WebSocket that is used. */
export interface Socket {
  readonly readyState: number;
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** The part of a BroadcastChannel that is used. */
export interface Channel {
  onmessage: ((event: { data: unknown }) => void) | null;
  postMessage(data: unknown): void;
  close(): void;
}

export type Timer = unknown;

/** What happens to the page. `hidden`: out of sight; `leave`: pagehide; `return`: try at once. */
export type PageEvent = "hidden" | "leave" | "return";

export interface Environment {
  /** Absent: there is no WebSocket here, and REST is used. */
  readonly openSocket?: ((url: string, protocols: string[]) => Socket) | undefined;
  readonly fetch: typeof globalThis.fetch;
  /** Absent: nothing outlives the page. */
  readonly indexedDB?: IDBFactory | undefined;
  readonly keyRange?: typeof globalThis.IDBKeyRange | undefined;
  /** Absent: this tab is alone. */
  readonly locks?: Pick<LockManager, "request"> | undefined;
  readonly openChannel?: ((name: string) => Channel) | undefined;
  /** Wall clock, UTC milliseconds. */
  now(): number;
  /** A clock that nobody sets, milliseconds. */
  elapsed(): number;
  /** In [0, 1). */
  random(): number;
  randomBytes(length: number): Uint8Array;
  setTimeout(run: () => void, ms: number): Timer;
  clearTimeout(timer: Timer): void;
  /** Call `heard` at each event of the page; returns what ends that. */
  listen(heard: (event: PageEvent) => void): () => void;
  hidden(): boolean;
  /** What a subscriber of the host threw. */
  complain(error: unknown): void;
}

/** The surroundings of a browser, or of Node: what is not there is left out. */
export function browser(): Environment {
  const here = globalThis;
  return {
    openSocket:
      typeof here.WebSocket === "function"
        ? (url, protocols) => new here.WebSocket(url, protocols) as Socket
        : undefined,
    fetch: (input, init) => here.fetch(input, init),
    indexedDB: database(),
    keyRange: here.IDBKeyRange,
    locks: here.navigator?.locks,
    openChannel:
      typeof here.BroadcastChannel === "function"
        ? (name) => new here.BroadcastChannel(name) as Channel
        : undefined,
    now: () => Date.now(),
    elapsed: () => performance.now(),
    random: () => Math.random(),
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    setTimeout: (run, ms) => here.setTimeout(run, ms),
    clearTimeout: (timer) => here.clearTimeout(timer as number),
    listen: listenToPage,
    hidden: () => here.document?.visibilityState === "hidden",
    complain: (error) => console.error(error),
  };
}

/** Reading the name alone throws where a browser forbids storage. */
function database(): IDBFactory | undefined {
  try {
    return globalThis.indexedDB;
  } catch {
    return undefined;
  }
}

function listenToPage(heard: (event: PageEvent) => void): () => void {
  const { document, addEventListener, removeEventListener } = globalThis;
  if (!document || !addEventListener) return () => {};
  const hidden = () => heard(document.visibilityState === "hidden" ? "hidden" : "return");
  const leave = () => heard("leave");
  const back = () => heard("return");
  const pairs = [
    ["pagehide", leave],
    ["pageshow", back],
    ["online", back],
  ] as const;
  document.addEventListener("visibilitychange", hidden);
  for (const [name, run] of pairs) addEventListener(name, run);
  return () => {
    document.removeEventListener("visibilitychange", hidden);
    for (const [name, run] of pairs) removeEventListener(name, run);
  };
}
