/**
 * REST in place of a WebSocket that does not get through: calls out, long-polled pushes in.
 *
 * `GET {api}/pushes/{userId}?epoch=&offset=&wait=25` answers `{frames: [...]}`, the frames that a
 * socket would have brought.
 */
import { backoff, LONGEST_WAIT } from "./backoff.ts";
import type { Environment, Timer } from "./environment.ts";
import type { Frame } from "./socket.ts";
import { same } from "./observable.ts";
import type { Place } from "./pushes.ts";
import type { Token } from "./tokens.ts";

/** Seconds that the server may hold a poll. */
export const POLL_WAIT = 25;
/** Milliseconds that a call, or a poll beyond its wait, may take. */
export const CALL_TIMEOUT = 30_000;

export interface Posted {
  readonly id: string;
  readonly path: "interaction" | "chat" | "feedback";
  readonly body: object;
}

export interface RestOptions {
  readonly env: Environment;
  /** Of the API, without a slash at its end. */
  readonly base: string;
  readonly userId: string;
  token(): Promise<Token>;
  place(): Place | undefined;
  frame(frame: Frame): void;
  unauthorized(token: Token): void;
  /** A poll was answered 403: this token may not see this learner. */
  forbidden(reason: string): void;
}

export class Rest {
  readonly #options: RestOptions;
  #abort: AbortController | undefined;

  constructor(options: RestOptions) {
    this.#options = options;
  }

  get running(): boolean {
    return this.#abort !== undefined;
  }

  start(): void {
    if (this.#abort) return;
    this.#abort = new AbortController();
    void this.#poll(this.#abort.signal);
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = undefined;
  }

  /** @returns `ack` or `error` as a socket would bring it. Rejects if no answer came. */
  async post({ id, path, body }: Posted): Promise<Frame> {
    const [status, answer, headers] = await this.#call(`/${path}`, this.#abort?.signal, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": id },
      body: JSON.stringify(body),
    });
    if (status === 202) return { ...(answer as object), type: "ack", id };
    const { error } = answer as { error?: Record<string, unknown> };
    if (typeof error?.["code"] !== "string") throw new Error(`status ${status}`);
    const after = Number(headers.get("Retry-After")) || undefined;
    return {
      retryAfter: after,
      ...error,
      type: "error",
      id,
    };
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { env, userId } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const began = env.elapsed();
      const place = this.#options.place();
      const from = place && `epoch=${encodeURIComponent(place.epoch)}&offset=${place.offset}&`;
      const path = `/pushes/${encodeURIComponent(userId)}?${from ?? ""}wait=${POLL_WAIT}`;
      try {
        const [status, answer] = await this.#call(path, signal, {}, POLL_WAIT * 1000);
        if (signal.aborted) return;
        const { frames, error } = answer as { frames?: unknown; error?: { message?: unknown } };
        if (status === 403) return this.#options.forbidden(String(error?.message ?? "forbidden"));
        if (status !== 200 || !Array.isArray(frames)) throw new Error(`status ${status}`);
        failures = 0;
        for (const frame of frames as Frame[]) this.#options.frame(frame);
        // A server that does not hold the poll must not be asked without pause.
        const soon = env.elapsed() - began < 1_000;
        if (soon && same(place, this.#options.place())) await sleep(env, 1_000, signal);
      } catch {
        failures += 1;
        const wait = Math.max(1_000, backoff(failures, env.random()));
        await sleep(env, Math.min(wait, LONGEST_WAIT), signal);
      }
    }
  }

  async #call(
    path: string,
    outer: AbortSignal | undefined,
    init: { method?: string; headers?: Record<string, string>; body?: string },
    held = 0,
  ): Promise<[number, unknown, Headers]> {
    const { env, base } = this.#options;
    const token = await this.#options.token();
    const abort = new AbortController();
    const end = () => abort.abort();
    if (outer?.aborted) end();
    outer?.addEventListener("abort", end);
    const timer = env.setTimeout(end, CALL_TIMEOUT + held);
    try {
      const response = await env.fetch(base + path, {
        ...init,
        headers: { ...init.headers, Authorization: `Bearer ${token.value}` },
        signal: abort.signal,
        cache: "no-store",
        credentials: "omit",
      });
      const answer: unknown = await response.json();
      if (response.status === 401) this.#options.unauthorized(token);
      else token.proven = true;
      return [response.status, answer, response.headers];
    } finally {
      env.clearTimeout(timer);
      outer?.removeEventListener("abort", end);
    }
  }
}

function sleep(env: Environment, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      env.clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer: Timer = env.setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}
