/** `@masterx/sdk/words/en`: what the SDK shows by itself, in English; others have the same keys. */
import type { VisualAction } from "../adapt/actions.ts";

/** @internal Apart from the figures: a page gets only what it uses. */
export const notice = {
  changed: "This page was adapted:",
  undo: "Undo",
  undone: "Undone",
  why: "Why?",
  close: "Close",
  actions: {
    lower_information_density: "it shows less at a time",
    reduce_visual_complexity: "it looks simpler",
    slow_animation: "it moves more slowly",
    enlarge_targets: "buttons are larger",
    soften_interface: "it is larger and calmer",
    attention_cues: "what matters stands out",
    reduce_distractions: "distractions are hidden",
  } satisfies Record<VisualAction, string>,
};

/** @internal */
export const figures = {
  /** How percentages are written: a language tag (BCP 47). */
  locale: "en",
  known: "{value}, {source}, confidence {confidence}",
  unknown: "not known yet",
  measured: "measured",
  derived: "derived",
};

export const english = { notice, figures };

/** What another language has to have: TypeScript refuses one that lacks a text. */
export type Words = typeof english;
