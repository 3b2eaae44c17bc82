/** What a page calls. */
import type { Stats } from "./books.ts";
import type { Consent } from "./consent.ts";
import type { Reply } from "./conversation.ts";
import type { Exercise, ExerciseOptions } from "./exercise.ts";
import type { FeedOptions, Followed } from "./feed.ts";
import type { Observable } from "./observable.ts";
import type { Receipt } from "./receipts.ts";
import type { ChatMessage, Feedback, Interaction, Recommendation } from "./wire.gen.ts";

/** An interaction as the page gives it: id and learner are added; the time is now by default. */
export type Recorded = Omit<Interaction, "eventId" | "userId" | "timestamp"> & {
  readonly timestamp?: number | string;
};

export interface ClientOptions extends FeedOptions {
  /** Nothing is recorded, sent or connected before it is `granted`. Default: `pending`. */
  readonly consent?: Consent;
  /** `memory`: nothing is kept on disk. Default: `persistent`. */
  readonly storage?: "persistent" | "memory";
}

export interface SayOptions {
  readonly wantsReply?: boolean;
  readonly replyMode?: NonNullable<ChatMessage["replyMode"]>;
}

export interface Client extends Followed {
  readonly consent: Observable<Consent>;
  /** True once it is closed, also by `logout`: then nothing of the learner can be read from it. */
  readonly closed: Observable<boolean>;
  /** Record what the learner did. Never throws. */
  record(interaction: Recorded): Receipt;
  /** Collect the tries and hints of an exercise, and send them once. */
  exercise(options?: ExerciseOptions): Exercise;
  /** Send what the learner wrote. Iterate over the result to read the reply. */
  say(text: string, options?: SayOptions): Reply;
  feedback(feedback: Pick<Feedback, "targetType" | "targetId" | "outcome">): Receipt;
  /** What came of a recommendation; each outcome is sent once. */
  apply(recommendation: Pick<Recommendation, "id">): Receipt;
  dismiss(recommendation: Pick<Recommendation, "id">): Receipt;
  revert(recommendation: Pick<Recommendation, "id">): Receipt;
  /**
   * Withdrawing purges what waits, and so does each `denied`: in all tabs, and what earlier pages
   * left. Granting again also asks for a new token.
   */
  setConsent(consent: Consent): void;
  /** Send without gathering. @returns whether everything was settled in time (ms, default 5 s) */
  flush(timeout?: number): Promise<boolean>;
  /** Try 2 s to send what waits; then forget it, unless `purge` is false, and close. */
  logout(options?: { purge?: boolean }): Promise<void>;
  /** Close the connection. What waits stays stored, and goes with the next client. */
  close(): void;
  stats(): Stats;
}
