/** The learner's state as a page shows it: what is not known has no number. */
import { isVisual } from "../adapt/actions.ts";
import type { Estimate, Recommendation, Trajectory, Unread, UserState } from "../core/wire.gen.ts";
import { type Words, figures } from "../words/en.ts";

/**
 * A figure. `prior` says nothing about the learner, so it has no value: an average of others
 * cannot be shown as a finding by accident.
 */
export type Figure =
  | { readonly source: "measured" | "derived"; readonly value: number; readonly confidence: number }
  | { readonly source: "prior"; readonly value: undefined; readonly confidence: 0 };

export type FigureName =
  | "valence"
  | "arousal"
  | "dominance"
  | "focus"
  | "cognitiveLoad"
  | "engagement"
  | "fatigue"
  | "helpNeed"
  | "nextCorrect";

/**
 * Numbers are 0..1. Undefined is what masterx does not know: not null, which JavaScript counts as
 * 0 and a page would show as one.
 */
export interface LearnerState {
  readonly focusLevel: number | undefined;
  readonly cognitiveLoad: number | undefined;
  readonly engagementScore: number | undefined;
  readonly fatigueLevel: number | undefined;
  readonly emotionalState: {
    readonly valence: number | undefined;
    readonly arousal: number | undefined;
    readonly dominance: number | undefined;
  };
  /** Share of each kind of content that the learner used: no type of person. */
  readonly learningStyle: Readonly<Record<string, number>>;
  /** Share of each emotion in what the learner wrote. */
  readonly emotions: Readonly<Record<string, number>>;
  readonly trajectory: Trajectory | undefined;
  /** Why the last message is not in the state, where masterx could not read it. */
  readonly unread: Unread | undefined;
  readonly figures: Readonly<Record<FigureName, Figure>>;
  /** UTC milliseconds: a state does not fade by itself. */
  readonly updatedAt: number;
}

export interface Features {
  /** Emotions, and chat: off, `sendMessage` is refused. */
  readonly emotionalAnalysis: boolean;
  readonly cognitiveLoadAssessment: boolean;
  /** Recommendations that are not about how the page looks. */
  readonly adaptiveLearning: boolean;
  /** Recommendations about how the page looks. */
  readonly visualAdaptation: boolean;
}

const UNKNOWN: Figure = Object.freeze({ source: "prior", value: undefined, confidence: 0 });
const NONE: Readonly<Record<string, number>> = Object.freeze({});

/** Names of the features that are off, as a text: equal ones are the same. */
export type Off = string;
export const isOff = (off: Off, name: keyof Features): boolean => off.includes(name);

/** @returns the state without what is switched off; frozen */
export function learnerState(state: UserState, off: Off): LearnerState {
  const { behaviour } = state;
  const emotional = !isOff(off, "emotionalAnalysis");
  const figures = {
    valence: figure(emotional && state.valence),
    arousal: figure(emotional && state.arousal),
    dominance: figure(emotional && state.dominance),
    focus: figure(behaviour?.focus),
    cognitiveLoad: figure(!isOff(off, "cognitiveLoadAssessment") && behaviour?.cognitiveLoad),
    engagement: figure(behaviour?.engagement),
    fatigue: figure(behaviour?.fatigue),
    helpNeed: figure(behaviour?.helpNeed),
    nextCorrect: figure(behaviour?.nextCorrect),
  };
  const { valence, arousal, dominance } = figures;
  const used = Object.entries(behaviour?.tendencies ?? {});
  return Object.freeze({
    focusLevel: figures.focus.value,
    cognitiveLoad: figures.cognitiveLoad.value,
    engagementScore: figures.engagement.value,
    fatigueLevel: figures.fatigue.value,
    emotionalState: Object.freeze({
      valence: valence.value,
      arousal: arousal.value,
      dominance: dominance.value,
    }),
    learningStyle: Object.freeze(
      Object.fromEntries(used.map(([kind, { share }]) => [kind, share])),
    ),
    emotions: emotional ? Object.freeze({ ...state.emotions }) : NONE,
    trajectory: emotional ? state.trajectory?.call : undefined,
    unread: emotional ? state.modelReason : undefined,
    figures: Object.freeze(figures),
    updatedAt: state.updatedAt,
  });
}

/** Of a source that is not known here, nothing is known either. */
function figure(estimate: Estimate | false | undefined): Figure {
  if (!estimate || (estimate.source !== "measured" && estimate.source !== "derived"))
    return UNKNOWN;
  return Object.freeze(estimate) as Figure;
}

/** Whether the feature that a recommendation belongs to is on. */
export const isOffered = ({ action }: Recommendation, off: Off): boolean =>
  !isOff(off, isVisual(action) ? "visualAdaptation" : "adaptiveLearning");

export function offered(all: readonly Recommendation[], off: Off): readonly Recommendation[] {
  return Object.freeze(all.filter((one) => isOffered(one, off)));
}

/** What `describeFigure` says, by language: `figures` of `@masterx/sdk/words/...`. */
export type FigureTexts = Words["figures"];

/**
 * A figure in words, for example "72%, measured, confidence 48%".
 *
 * @param words default: English
 */
export function describeFigure(
  { source, value, confidence }: Figure,
  words: FigureTexts = figures,
): string {
  if (value === undefined) return words.unknown;
  const share = (one: number): string => one.toLocaleString(words.locale, { style: "percent" });
  const said = { value: share(value), source: words[source], confidence: share(confidence) };
  return words.known.replace(/{(\w+)}/g, (_, name: keyof typeof said) => said[name]);
}
