/** What the catalogue may recommend, and which part of it the SDK can do by itself. */
import type { Observable } from "../core/observable.ts";
import type { Recommendation } from "../core/wire.gen.ts";

/** Actions that change how the page looks: `adapt.css` and the host's own style follow. */
export const VISUAL = [
  "lower_information_density",
  "reduce_visual_complexity",
  "slow_animation",
  "enlarge_targets",
  "soften_interface",
  "attention_cues",
  "reduce_distractions",
] as const;

/** Actions that only the host can do: without its handler nothing happens, and nothing is sent. */
export const HOST = [
  "lower_difficulty",
  "raise_difficulty",
  "slow_pace",
  "raise_pace",
  "suggest_break",
  "more_interactive_elements",
  "achievement_feedback",
] as const;

export type VisualAction = (typeof VISUAL)[number];
export type HostAction = (typeof HOST)[number];

export const isVisual = (action: string): action is VisualAction =>
  (VISUAL as readonly string[]).includes(action);

/** What became of a recommendation that was to be applied. */
export type AdaptOutcome =
  | "applied" // done, painted, and sent as `applied`
  | "no_handler" // nobody here can do it
  | "feature_off" // the component has switched off what it belongs to (React)
  | "declined" // the handler returned false, or failed
  | "later" // the learner was busy, or something had just changed: try again
  | "reverted"; // undone, or lapsed, before it was painted

/** What carries recommendations out on a page. */
export interface Adaptation {
  /** What is in effect, the newest last. */
  readonly active: Observable<readonly Recommendation[]>;
  /** Do it when the learner is not in the middle of something; waits 10 s at most. */
  apply(recommendation: Recommendation): Promise<AdaptOutcome>;
  /** The same, because the learner asked for it: it need not wait for earlier changes to settle. */
  accept(recommendation: Recommendation): Promise<AdaptOutcome>;
  /** Undo it now, and send `reverted`. @returns whether it was in effect */
  revert(recommendation: Pick<Recommendation, "id">): boolean;
  /** Whether visual recommendations of high confidence are applied without being asked for. */
  automatic(on: boolean): void;
  /** Undo everything, and send nothing. */
  close(): void;
}
