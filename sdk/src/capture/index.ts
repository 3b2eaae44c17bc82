/**
 * `@masterx/sdk/capture`: records what learners do with the elements that the host has marked.
 *
 * Read are `data-mx-*` attributes, whether an element is in view, and times. Never read are text,
 * values, keys, when keys are pressed, where the pointer is, and any other attribute.
 *
 * While there is no consent nothing is watched: no time or way before it is part of what is told.
 */
import type { Client, Recorded } from "../core/api.ts";
import { Scrolling } from "./scrolling.ts";
import { type Shown, Visibility } from "./visibility.ts";
import { type Marks, ignored, marks, marksOf } from "./marks.ts";

type What = { readonly [K in "id" | "task"]?: Marks[K] | undefined };

export interface CaptureOptions {
  /** What is captured: a page, a part of it, or a shadow root. Default: the document. */
  readonly root?: Document | ShadowRoot | Element;
}

/**
 * @param client one without `consent` is recorded to always
 * @returns what ends it. What is in view then has dwelled until then
 */
export function capture(
  client: Pick<Client, "record"> & Partial<Pick<Client, "consent">>,
  { root = document }: CaptureOptions = {},
): () => void {
  const { consent } = client;
  let end: ((tell: boolean) => void) | undefined;
  const follow = (): void => {
    if (!consent || consent.get() === "granted") end ??= watch(client, root);
    else {
      end?.(false);
      end = undefined;
    }
  };
  const ignore = consent?.subscribe(follow);
  follow();
  return () => {
    ignore?.();
    end?.(true);
    end = undefined;
  };
}

/** @returns what ends it, and tells what there is until then, or forgets it */
function watch(
  client: Pick<Client, "record">,
  root: Document | ShadowRoot | Element,
): (tell: boolean) => void {
  const page = root instanceof Document ? root : root.ownerDocument;
  const record = (interactionType: string, { id, task }: What, more: object = {}): void =>
    void client.record({
      interactionType,
      ...(id && { elementId: id }),
      ...(task && { taskData: task }),
      ...more,
      contextData: { tabActive: page.visibilityState === "visible" },
    } satisfies Recorded);

  const visibility = new Visibility(root, (shown: Shown, seconds) =>
    record("dwell", shown, { timingData: { dwellTime: seconds } }),
  );
  const scrolling = new Scrolling(page, (id, pixels) =>
    record("scroll", { id }, { viewportData: { scrollDistance: pixels } }),
  );
  const responded = (event: Event): object => {
    const seconds = visibility.response(event.composedPath());
    return seconds === undefined ? {} : { timingData: { responseTime: seconds } };
  };
  const click = (event: Event): void => {
    const found = event.isTrusted && marks(event.composedPath());
    if (found) record("click", found, found.response ? responded(event) : {});
  };
  const submit = (event: Event): void => {
    const found = event.isTrusted && marks(event.composedPath());
    if (found && event.target instanceof Element && marksOf(event.target))
      record("submit", found, responded(event));
  };
  const scroll = ({ target }: Event): void => {
    if (!ignored(root)) scrolling.scrolled(target);
  };
  const tab = (): void => {
    const visible = page.visibilityState === "visible";
    if (!visible) scrolling.tell();
    visibility.tab(visible);
    if (!ignored(root)) record("tab", {});
  };

  const quiet = { capture: true, passive: true } as const;
  root.addEventListener("click", click, quiet);
  root.addEventListener("submit", submit, quiet);
  root.addEventListener("scroll", scroll, quiet);
  // Before the client's own, which sends what there is when the page is hidden.
  page.addEventListener("visibilitychange", tab, quiet);
  return (tell) => {
    root.removeEventListener("click", click, quiet);
    root.removeEventListener("submit", submit, quiet);
    root.removeEventListener("scroll", scroll, quiet);
    page.removeEventListener("visibilitychange", tab, quiet);
    if (tell) scrolling.tell();
    else scrolling.forget();
    visibility.end(tell);
  };
}
