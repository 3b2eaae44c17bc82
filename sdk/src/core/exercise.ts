/**
 * An exercise: its tries and hints, sent once, when it is finished (docs/wire.md).
 *
 * The estimators were trained on one record for each exercise. One for each try would count as an
 * exercise each.
 */
import type { Recorded } from "./api.ts";
import type { Receipt } from "./receipts.ts";

export interface ExerciseOptions {
  readonly problemId?: string;
  readonly skill?: string;
  /** Hints on offer. */
  readonly hintTotal?: number;
  readonly elementId?: string;
}

export interface Exercise {
  /** The learner tried. */
  attempt(correct: boolean): void;
  /** The learner took a hint. */
  hint(): void;
  /** Send it. A second call sends nothing and returns the same receipt. */
  finish(): Receipt;
}

/** @param elapsed a clock that nobody sets, milliseconds */
export function exercise(
  options: ExerciseOptions,
  elapsed: () => number,
  record: (interaction: Recorded) => Receipt,
): Exercise {
  const { elementId, ...task } = options;
  const began = elapsed();
  let tries = 0;
  let hints = 0;
  let first: boolean | undefined;
  let receipt: Receipt | undefined;
  return {
    attempt(correct) {
      if (receipt) return;
      tries += 1;
      first ??= correct;
    },
    hint() {
      if (!receipt) hints += 1;
    },
    finish() {
      receipt ??= record({
        interactionType: "answer",
        ...(elementId !== undefined && { elementId }),
        timingData: { responseTime: Math.max(0, elapsed() - began) / 1000 },
        taskData: {
          ...task,
          ...(first !== undefined && { correct: first }),
          attemptCount: tries,
          hintCount: hints,
        },
      });
      return receipt;
    },
  };
}
