/** What went wrong and is worth telling the host. The SDK throws nothing into its page. */
import type { Environment } from "./environment.ts";
import { Source } from "./observable.ts";
import type { ErrorCode } from "./wire.gen.ts";

export type ProblemCode =
  | ErrorCode
  | "token" // getToken failed, or two fresh tokens were refused
  | "protocol" // the server closed because of a frame of ours
  | "storage_unavailable" // nothing outlives this page
  | "storage_lost" // IndexedDB died; kept in memory from now on
  | "outbox_full"
  | "invalid"
  | "dropped"
  | "closed"
  | "offline"
  | "timeout";

export interface Problem {
  readonly code: ProblemCode;
  readonly message: string;
  /** Of the event that it is about. */
  readonly id?: string;
  readonly field?: string;
  /** UTC milliseconds. */
  readonly at: number;
}

/** What follows an error (docs/wire.md, "error"). */
export type ErrorReaction =
  | "refuse" // it is wrong and stays so: set it aside, and tell
  | "split" // in two; alone it is refused
  | "park" // nothing more goes until there is another token
  | "pause" // nothing more goes for `retryAfter` seconds
  | "later" // this one again, after a growing wait
  | "token"; // the line gets another token; this one again

export const ERROR_REACTIONS: Readonly<Record<ErrorCode, ErrorReaction>> = {
  invalid_json: "refuse",
  invalid_message: "refuse",
  unknown_type: "refuse",
  unsupported_media_type: "refuse",
  method_not_allowed: "refuse",
  not_found: "refuse",
  too_large: "split",
  forbidden: "park",
  consent_required: "park",
  rate_limited: "pause",
  slow_down: "pause",
  unavailable: "pause",
  internal: "later",
  unauthorized: "token",
};

/** What `stored` and `accepted` reject with. */
export class MasterxError extends Error {
  readonly code: string;
  readonly field: string | undefined;

  constructor(code: string, message: string, field?: string) {
    super(message);
    this.name = "MasterxError";
    this.code = code;
    this.field = field;
  }
}

/** Problems that are kept; older ones make room. */
export const KEPT = 50;

export class Problems extends Source<readonly Problem[]> {
  readonly #now: () => number;

  constructor(env: Pick<Environment, "now" | "complain">) {
    super([], (error) => env.complain(error));
    this.#now = () => env.now();
  }

  tell(code: ProblemCode, message: string, more: { id?: string; field?: string } = {}): void {
    this.set([...this.get().slice(1 - KEPT), { code, message, ...more, at: this.#now() }]);
  }
}
