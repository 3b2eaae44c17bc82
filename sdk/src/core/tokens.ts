/** The token of the host: asked for when it is needed, by one call at a time, with a bound. */
import type { Environment } from "./environment.ts";

export type TokenReason = "connect" | "expiring" | "rejected";

/** Gives a token. `signal` ends when the answer is no longer wanted. */
export type GetToken = (need: { reason: TokenReason; signal: AbortSignal }) => Promise<string>;

export interface Token {
  readonly value: string;
  /** UTC milliseconds by the server's clock; undefined if the token does not say. */
  readonly expiresAt: number | undefined;
  /** Whether the server has accepted it on a connection. */
  proven: boolean;
}

/** Milliseconds that `getToken` may take. */
export const TOKEN_TIMEOUT = 15_000;

export class Tokens {
  readonly #env: Environment;
  readonly #getToken: GetToken;
  #current: Token | undefined;
  #asking: { promise: Promise<Token>; abort: AbortController } | undefined;

  constructor(env: Environment, getToken: GetToken) {
    this.#env = env;
    this.#getToken = getToken;
  }

  /** The token that is there, if it lasts; else a new one. Rejects when none can be had. */
  get(reason: TokenReason, now: number): Promise<Token> {
    const there = this.#current;
    const lasts = there && (there.expiresAt === undefined || there.expiresAt > now);
    if (reason === "connect" && there && lasts) return Promise.resolve(there);
    if (!this.#asking) {
      const abort = new AbortController();
      const promise = this.#ask(reason, abort).finally(() => {
        if (this.#asking?.abort === abort) this.#asking = undefined;
      });
      this.#asking = { promise, abort };
    }
    return this.#asking.promise;
  }

  /** The server refused this one. @returns whether it was the one in use */
  reject(token: Token): boolean {
    if (this.#current !== token) return false;
    this.#current = undefined;
    return true;
  }

  /** Forget the token, and whatever `getToken` may still answer. */
  clear(): void {
    this.#current = undefined;
    this.#asking?.abort.abort();
    this.#asking = undefined;
  }

  async #ask(reason: TokenReason, abort: AbortController): Promise<Token> {
    let timer: unknown;
    const bound = new Promise<never>((_, reject) => {
      abort.signal.addEventListener("abort", () => reject(new Error("no longer wanted")));
      timer = this.#env.setTimeout(() => {
        reject(new Error(`getToken took more than ${TOKEN_TIMEOUT / 1000} s`));
        abort.abort();
      }, TOKEN_TIMEOUT);
    });
    try {
      const asked = Promise.resolve().then(() => this.#getToken({ reason, signal: abort.signal }));
      const value = await Promise.race([asked, bound]);
      if (typeof value !== "string" || !value) throw new Error("getToken gave no token");
      const token = { value, expiresAt: expiry(value), proven: false };
      if (abort.signal.aborted) throw new Error("no longer wanted");
      this.#current = token;
      return token;
    } finally {
      this.#env.clearTimeout(timer);
    }
  }
}

/** `exp` of a JWT, in milliseconds; undefined if it cannot be read. The server checks it. */
export function expiry(token: string): number | undefined {
  try {
    const body = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { exp } = JSON.parse(atob(body)) as { exp?: unknown };
    return typeof exp === "number" ? exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
