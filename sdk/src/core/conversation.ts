/** `say`: a chat message, and the reply that follows it, if one does. */
import type { Environment, Timer } from "./environment.ts";
import type { Receipt } from "./receipts.ts";
import type { ReplyText } from "./replies.ts";
import type { TutorReply } from "./wire.gen.ts";

/** What a reader of a reply is told, in order. */
export type ReplyEvent =
  /** Text to append. */
  | { readonly type: "delta"; readonly text: string; readonly attempt: number }
  /** Drop what you show: another attempt begins. */
  | { readonly type: "attempt"; readonly attempt: number }
  /** Text is missing: the whole reply follows. */
  | { readonly type: "gap" }
  /** Drop what you show. `unavailable`: an answer may still come until `retryUntil`. */
  | {
      readonly type: "void";
      readonly status: "superseded" | "unavailable" | (string & {});
      readonly retryUntil: number | undefined;
    }
  /** The end: show its `text` in place of the deltas. */
  | { readonly type: "final"; readonly text: string; readonly reply: TutorReply }
  /** The end: no reply will come. `code` says why. */
  | { readonly type: "failed"; readonly code: string; readonly message: string };

/** Milliseconds without news after which a reply counts as lost. */
export const REPLY_TIMEOUT = 120_000;
/** Milliseconds beyond `retryUntil`. */
const GRACE = 30_000;

export interface Reply extends Receipt, AsyncIterable<ReplyEvent> {
  /** What there is to show now; undefined before the first piece. */
  current(): ReplyText | undefined;
}

/** The reply to one message, as it comes. Any number of readers may follow it. */
export class Answer implements Reply {
  readonly id: string;
  readonly stored: Promise<void>;
  readonly accepted: Promise<"new" | "duplicate">;
  readonly #env: Environment;
  #text: ReplyText | undefined;
  #failed: Extract<ReplyEvent, { type: "failed" }> | undefined;
  #timer: Timer | undefined;
  #waiting: (() => void)[] = [];
  readonly #ended: () => void;

  /** @param expected whether a reply was asked for; @param ended called once it is over */
  constructor(env: Environment, receipt: Receipt, expected: boolean, ended: () => void) {
    this.#env = env;
    this.id = receipt.id;
    this.stored = receipt.stored;
    this.accepted = receipt.accepted;
    this.#ended = ended;
    receipt.accepted.then(
      () => {
        if (expected) this.#patience(REPLY_TIMEOUT);
        else if (!this.#text) this.fail("not_expected", "no reply was asked for");
      },
      (error: { code?: string; message?: string }) =>
        this.fail(error.code ?? "dropped", error.message ?? "not sent"),
    );
  }

  current = (): ReplyText | undefined => this.#text;

  get over(): boolean {
    return this.#failed !== undefined || this.#text?.final === true;
  }

  /** @returns whether it is of this reply */
  take(text: ReplyText): boolean {
    const ours = this.#text ? this.#text.replyId === text.replyId : text.causedBy.includes(this.id);
    if (!ours || this.over) return ours;
    this.#text = text;
    const until = text.retryUntil;
    this.#patience(until ? Math.max(0, until - this.#env.now()) + GRACE : REPLY_TIMEOUT);
    this.#wake();
    return true;
  }

  fail(code: string, message: string): void {
    if (this.over) return;
    this.#failed = { type: "failed", code, message };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReplyEvent, void, undefined> {
    let shown = { attempt: 0, length: 0, gap: false, status: undefined as string | undefined };
    for (;;) {
      const text = this.#text;
      if (text?.final && text.reply) {
        yield { type: "final", text: text.text, reply: text.reply };
        return;
      }
      if (this.#failed) {
        yield this.#failed;
        return;
      }
      let quiet = true;
      if (text && text.status !== undefined && text.status !== shown.status) {
        shown = { ...shown, status: text.status, length: 0, gap: false };
        quiet = false;
        yield { type: "void", status: text.status, retryUntil: text.retryUntil };
      } else if (text && text.status === undefined) {
        if (text.attempt !== shown.attempt) {
          const first = shown.attempt === 0;
          shown = { attempt: text.attempt, length: 0, gap: false, status: undefined };
          if (!first) {
            quiet = false;
            yield { type: "attempt", attempt: text.attempt };
          }
        }
        if (text.text.length > shown.length) {
          const more = text.text.slice(shown.length);
          shown.length = text.text.length;
          quiet = false;
          yield { type: "delta", text: more, attempt: text.attempt };
        }
        if (text.gap && !shown.gap) {
          shown.gap = true;
          quiet = false;
          yield { type: "gap" };
        }
      }
      if (quiet && text === this.#text && !this.#failed)
        await new Promise<void>((go) => this.#waiting.push(go));
    }
  }

  #patience(ms: number): void {
    this.#env.clearTimeout(this.#timer);
    if (this.over) return;
    this.#timer = this.#env.setTimeout(() => this.fail("timeout", "no reply has come in time"), ms);
  }

  #wake(): void {
    if (this.over) {
      this.#env.clearTimeout(this.#timer);
      this.#ended();
    }
    for (const go of this.#waiting.splice(0)) go();
  }
}
