/** The tutor's replies, put together from deltas and whole ones (docs/wire.md, "tutor_delta"). */
import type { ReplyStatus, TutorDelta, TutorReply } from "./wire.gen.ts";

export interface ReplyText {
  readonly replyId: string;
  readonly causedBy: readonly string[];
  /** What to show. */
  readonly text: string;
  /** Whose text it is; 0: of none yet. */
  readonly attempt: number;
  /** Text is missing: the whole reply will follow. */
  readonly gap: boolean;
  /** Of the last `tutor_reply`; undefined while deltas come. */
  readonly status: ReplyStatus | undefined;
  readonly final: boolean;
  /** Until when an answer may still come, UTC milliseconds. */
  readonly retryUntil: number | undefined;
  /** The final reply as it came. */
  readonly reply: TutorReply | undefined;
}

interface Thread extends ReplyText {
  /** Index of the delta that comes next. */
  readonly next: number;
}

/** Replies that are kept; the oldest make room. */
export const KEPT_REPLIES = 50;

export class Replies {
  readonly #threads = new Map<string, Thread>();

  /** @returns what there is to show, or undefined if the delta is to be ignored */
  delta(frame: TutorDelta): ReplyText | undefined {
    const before = this.#threads.get(frame.replyId);
    if (before?.final || (before && frame.attempt < before.attempt)) return undefined;
    const fresh = !before || frame.attempt > before.attempt;
    const voided = before?.status !== undefined && before.attempt === frame.attempt;
    if (voided) return undefined; // its attempt is over
    const { text, next, gap } = fresh ? { text: "", next: 0, gap: false } : before;
    if (!fresh && frame.index < next) return undefined; // it is there
    const missing = gap || frame.index !== next;
    return this.#keep({
      ...this.#blank(frame),
      attempt: frame.attempt,
      text: missing ? text : text + frame.text,
      next: missing ? next : next + 1,
      gap: missing,
    });
  }

  /** @returns what there is to show, or undefined if the reply is to be ignored */
  reply(frame: TutorReply): ReplyText | undefined {
    const before = this.#threads.get(frame.replyId);
    if (before?.final) return undefined;
    if (frame.final)
      return this.#keep({
        ...this.#blank(frame),
        attempt: frame.attempt,
        text: frame.text,
        status: frame.status,
        final: true,
        reply: frame,
      });
    // It voids its own attempt, or any where it says 0.
    if (before && frame.attempt !== 0 && frame.attempt < before.attempt) return undefined;
    return this.#keep({
      ...this.#blank(frame),
      attempt: Math.max(frame.attempt, before?.attempt ?? 0),
      status: frame.status,
      retryUntil: frame.retryUntil,
    });
  }

  /** The newest last. */
  all(): readonly ReplyText[] {
    return [...this.#threads.values()];
  }

  #blank(frame: TutorDelta | TutorReply): Thread {
    return {
      replyId: frame.replyId,
      causedBy: frame.causedBy,
      text: "",
      attempt: 0,
      gap: false,
      status: undefined,
      final: false,
      retryUntil: undefined,
      reply: undefined,
      next: 0,
    };
  }

  #keep(thread: Thread): ReplyText {
    this.#threads.set(thread.replyId, thread);
    for (const id of this.#threads.keys()) {
      if (this.#threads.size <= KEPT_REPLIES) break;
      this.#threads.delete(id);
    }
    return thread;
  }
}
