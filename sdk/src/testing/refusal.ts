/** Why a message or a connection was not accepted: the codes, statuses and close codes of wire.md. */
import type { ErrorCode } from "../core/wire.gen.ts";

export const STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_json: 422,
  invalid_message: 422,
  unknown_type: 422,
  unsupported_media_type: 415,
  too_large: 413,
  unauthorized: 401,
  forbidden: 403,
  consent_required: 403,
  rate_limited: 429,
  slow_down: 429,
  unavailable: 503,
  not_found: 404,
  method_not_allowed: 405,
  internal: 500,
};

/** Of a WebSocket that may not come in. */
export const CLOSE: Readonly<Partial<Record<ErrorCode, number>>> = {
  unauthorized: 4401,
  forbidden: 4403,
  unavailable: 4503,
};

export const TOO_SLOW = 4408;
export const TRY_AGAIN = 4503;
export const UNAUTHORIZED = 4401;
export const NO_ANSWER = 1011;
export const RESTART = 1012;

/** An `error` of the wire, on its way to the client. */
export interface ErrorFrame {
  readonly type: "error";
  readonly id?: string;
  readonly code: ErrorCode;
  readonly field?: string;
  readonly message: string;
  readonly retryAfter?: number;
}

export class Refusal extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, field?: string, retryAfter?: number) {
    super(message);
    this.code = code;
    this.field = field;
    this.retryAfter = retryAfter;
  }

  /** @param id of the message that it answers, where that could be read. */
  frame(id?: string): ErrorFrame {
    return {
      type: "error",
      ...(id !== undefined && { id }),
      code: this.code,
      ...(this.field !== undefined && { field: this.field }),
      message: this.message,
      ...(this.retryAfter !== undefined && { retryAfter: this.retryAfter }),
    };
  }
}

export const unavailable = (why: string): Refusal => new Refusal("unavailable", why, undefined, 1);
