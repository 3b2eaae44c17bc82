/** `@masterx/sdk/adapt`: recommendations change the page, are explained, and can be undone. */
export { createAdaptation } from "./adaptation.ts";
export type { AdaptOptions, Handler } from "./adaptation.ts";
export type { AdaptOutcome, Adaptation, HostAction, VisualAction } from "./actions.ts";
export type { NoticeTexts } from "./notice.ts";
