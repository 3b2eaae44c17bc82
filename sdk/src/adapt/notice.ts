/** Says what was changed on the page, why, and offers to undo it. */
import { same } from "../core/observable.ts";
import type { Recommendation } from "../core/wire.gen.ts";
import { notice as english } from "../words/en.ts";
import type { Adaptation } from "./actions.ts";

export interface NoticeTexts {
  readonly changed: string;
  readonly undo: string;
  readonly undone: string;
  readonly why: string;
  readonly close: string;
  /** By action; of others, the action's name is shown. */
  readonly actions: Readonly<Record<string, string>>;
}

/** @returns what removes it */
export function notice(
  adaptation: Adaptation,
  root: HTMLElement,
  texts: Partial<NoticeTexts> = {},
): () => void {
  const actions = { ...english.actions, ...texts.actions };
  const words: NoticeTexts = { ...english, ...texts, actions };
  const page = root.ownerDocument;
  const box = page.createElement("div");
  box.className = "mx-notice";
  box.setAttribute("role", "status"); // it is read out when the learner pauses
  box.setAttribute("data-mx-ignore", "");
  let known: readonly Recommendation[] = [];
  /** What the box is about, and what it will be about. */
  let shown: Recommendation | undefined;
  let next: Recommendation | undefined;
  let came: EventTarget | null = null;
  box.addEventListener("focusin", ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && box.contains(relatedTarget))) came = relatedTarget;
  });

  const element = (name: string, text = "", inside: Node[] = []): HTMLElement => {
    const made = page.createElement(name);
    made.textContent = text;
    made.append(...inside);
    return made;
  };
  const button = (text: string, press: (pressed: HTMLElement) => void): HTMLElement => {
    const made = element("button", text);
    made.setAttribute("type", "button");
    made.addEventListener("click", () => press(made));
    return made;
  };
  const close = (): void => {
    const inside = box.contains(page.activeElement);
    shown = undefined;
    box.replaceChildren();
    // Focus goes back to where it came from.
    if (inside && came instanceof HTMLElement) came.focus({ preventScroll: true });
  };
  const show = (recommendation: Recommendation): void => {
    const { action, because } = (shown = recommendation);
    const undo = button(words.undo, (pressed) => {
      if (!shown || !adaptation.revert(shown)) return;
      pressed.textContent = words.undone; // it stays, and with it the focus
      pressed.setAttribute("aria-disabled", "true");
    });
    const reasons = because.map((one) => element("li", one));
    box.replaceChildren(
      element("p", `${words.changed} ${words.actions[action] ?? action}`),
      undo,
      button(words.close, close),
      element("details", "", [element("summary", words.why), element("ul", "", reasons)]),
    );
  };
  const within = (all: readonly Recommendation[], one: Recommendation | undefined): boolean =>
    all.some(({ id }) => id === one?.id);
  /** What holds the focus stays as it is until the focus has left. */
  const update = (): void => {
    if (box.contains(page.activeElement)) return;
    if (within(known, next)) show(next!);
    else if (shown && !within(known, shown)) close();
    next = undefined;
  };
  box.addEventListener("focusout", () => setTimeout(update));
  const end = adaptation.active.subscribe((active) => {
    const gone = known.filter((one) => !within(active, one));
    for (const one of active) {
      if (within(known, one)) continue;
      // The same, decided anew: there is nothing to say.
      const before = gone.find(
        ({ action, parameters }) => action === one.action && same(parameters, one.parameters),
      );
      if (!before) next = one;
      else if (shown?.id === before.id) shown = one;
      else if (next?.id === before.id) next = one;
    }
    known = active;
    update();
  });
  (page.body ?? root).append(box);
  return () => {
    end();
    box.remove();
  };
}
