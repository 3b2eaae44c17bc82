"use client";
/** `@masterx/sdk/react`: a learner's state and recommendations in React 18.2 and newer. */
export { MLPersonalizationProvider, configure } from "./provider.ts";
export type { MLPersonalizationProviderProps } from "./provider.ts";
export { useMLPersonalization, useUserState } from "./hooks.ts";
export type { Personalization, PersonalizationOptions } from "./hooks.ts";
export { describeFigure } from "./state.ts";
export type { Features, Figure, FigureName, FigureTexts, LearnerState } from "./state.ts";
export type { HostOptions } from "./learners.ts";
export type { AdaptOutcome, Adaptation } from "../adapt/actions.ts";
