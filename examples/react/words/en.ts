/** What the lesson says, in English. Other languages have the same texts: `words/de.ts`. */
import type { Phase, Trajectory } from "@masterx/sdk";
import type { HostAction, VisualAction } from "@masterx/sdk/adapt";
import type { AdaptOutcome } from "@masterx/sdk/react";

export const english = {
  title: "A lesson with masterx",
  heading: "Fractions",
  consent: "masterx may read what I do and write here",
  login: { paste: "Paste a token", begin: "Begin" },
  pause: { offer: "How about a break of {time}?", take: "Take a break", later: "Not now" },
  exercises: {
    heading: "Exercises",
    solved: "{count} solved",
    check: "Check",
    hint: "Hint",
    next: "Next",
    right: "Right!",
    wrong: "Not yet. Try again, or take a hint.",
    explained:
      "A fraction is a number of equal parts of a whole. The number below says into how many " +
      "parts it was cut, the number above how many of them there are.",
  },
  tasks: {
    "half-of-8": { question: "What is a half of 8?", hints: ["Share 8 apples with a friend."] },
    "quarter-of-12": {
      question: "What is a quarter of 12?",
      hints: ["A quarter is a half of a half.", "A half of 12 is 6."],
    },
    "half-plus-quarter": {
      question: "What is 1/2 + 1/4?",
      hints: ["Write both with the same denominator.", "1/2 is 2/4."],
    },
    "third-of-half": {
      question: "What is a third of 1/2?",
      hints: ["Of means times.", "Multiply above, and below."],
    },
    "two-thirds-minus": {
      question: "What is 2/3 − 1/4?",
      hints: ["Which number do 3 and 4 both divide?", "2/3 is 8/12."],
    },
    divide: {
      question: "What is 3/4 ÷ 1/2?",
      hints: ["How often does 1/2 go into 3/4?", "Multiply by 2/1."],
    },
  },
  tutor: {
    heading: "Tutor",
    ask: "Ask, or say how it goes",
    send: "Send",
    off: "There is no tutor here.",
    unavailable: "The tutor cannot answer now.",
  },
  state: {
    heading: "What masterx knows",
    kept: "The state keeps what it knew.",
    noTrend: "no trend yet",
    problem: "problem: {code}",
  },
  figures: {
    focus: "Focus",
    cognitiveLoad: "Load",
    engagement: "Engagement",
    fatigue: "Fatigue",
    valence: "Mood of messages",
  },
  unread: {
    unsupported_language: "Your last message was in a language that masterx does not read.",
    nothing_to_read: "Your last message held nothing that masterx can read.",
    not_the_learner: "Your last message looks pasted, so masterx does not read feelings in it.",
  },
  trends: {
    improving: "improving",
    declining: "declining",
    stable_positive: "stable, positive",
    stable_neutral: "stable, neutral",
    stable_negative: "stable, negative",
  } satisfies Record<Trajectory, string>,
  phases: {
    off: "off",
    connecting: "connecting",
    live: "live",
    waiting: "waiting",
    polling: "polling",
    stopped: "stopped",
  } satisfies Record<Phase, string>,
  advice: {
    heading: "Recommendations",
    none: "None now.",
    confidence: "confidence {share}",
    why: "Why?",
    accept: "Do it",
    dismiss: "No",
    undo: "Undo",
  },
  actions: {
    lower_information_density: "Show less at a time",
    reduce_visual_complexity: "Make the page simpler",
    slow_animation: "Move more slowly",
    enlarge_targets: "Make buttons larger",
    soften_interface: "Make the page calmer",
    attention_cues: "Show what matters",
    reduce_distractions: "Hide distractions",
    lower_difficulty: "Give easier exercises",
    raise_difficulty: "Give harder exercises",
    slow_pace: "Go more slowly",
    raise_pace: "Go faster",
    suggest_break: "Take a break",
    more_interactive_elements: "Give me more to try",
    achievement_feedback: "Show what I achieved",
  } satisfies Record<VisualAction | HostAction, string>,
  /** What the page's own handlers did, as the notice says it. */
  handled: {
    lower_difficulty: "exercises get easier",
    raise_difficulty: "exercises get harder",
    suggest_break: "you take a break",
  } satisfies Partial<Record<HostAction, string>>,
  outcomes: {
    no_handler: "This page cannot do it.",
    feature_off: "That is switched off here.",
    declined: "It was not done.",
    later: "You were busy. Try again in a moment.",
    reverted: "It was undone.",
  } satisfies Record<Exclude<AdaptOutcome, "applied">, string>,
} as const;

type Texts<T> = T extends string ? string : { readonly [K in keyof T]: Texts<T[K]> };

/** What another language has to have: TypeScript refuses one that lacks a text. */
export type Words = Texts<typeof english>;
