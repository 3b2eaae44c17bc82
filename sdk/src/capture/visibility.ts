/** How long marked elements are in view, and how long a problem was before it was answered. */
import { MARKED, type Marks, attribute, marksOf, problemOf, property } from "./marks.ts";

/** Seconds in view that are worth a record. */
export const LEAST_DWELL = 1;
/** Milliseconds after an answer in which what else comes, a click's submit, is the same one. */
export const SAME_ANSWER = 1_000;
/** Elements that are watched; further ones are not. */
export const MOST_WATCHED = 500;
/** Milliseconds between looks at what a page has changed. */
const LOOK_EVERY = 250;
/** Share of an element, or of the window, that has to be seen. */
const SEEN = 0.5;

export type Shown = Marks;

interface Watched {
  /** Undefined: a problem without an id of its own, or one that is not to be captured. */
  readonly shown: Shown | undefined;
  readonly problem: string | null;
  inView: boolean;
  /** Since when it is in view of an active tab, milliseconds. */
  since: number | undefined;
  /** In view since the last answer, milliseconds. */
  asked: number;
  /** When that was. */
  answered: number;
}

export class Visibility {
  readonly #tell: (shown: Shown, seconds: number) => void;
  readonly #root: Document | ShadowRoot | Element;
  readonly #watched = new Map<Element, Watched>();
  readonly #seen: IntersectionObserver;
  readonly #changed: MutationObserver;
  #active: boolean;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    root: Document | ShadowRoot | Element,
    tell: (shown: Shown, seconds: number) => void,
  ) {
    this.#root = root;
    this.#tell = tell;
    const page = root instanceof Document ? root : root.ownerDocument;
    this.#active = page.visibilityState === "visible";
    this.#seen = new IntersectionObserver((entries) => this.#look(entries), {
      threshold: [0, 0.25, SEEN, 0.75, 1],
    });
    this.#changed = new MutationObserver(() => {
      this.#timer ??= setTimeout(() => this.#watch(), LOOK_EVERY);
    });
    this.#changed.observe(root, {
      subtree: true,
      childList: true,
      attributeFilter: ["data-mx-id", "data-mx-problem", "data-mx-skill", "data-mx-ignore"],
    });
    this.#watch();
  }

  /**
   * Seconds that the problem on this path was in view since it was last answered.
   *
   * @returns undefined also for the rest of an answer that was told just before
   */
  response(path: readonly EventTarget[]): number | undefined {
    const problem = problemOf(path);
    const watched = problem && this.#watched.get(problem);
    if (!watched) return undefined;
    const now = performance.now();
    if (now - watched.answered < SAME_ANSWER) return undefined;
    watched.answered = now;
    const asked = watched.asked + (watched.since === undefined ? 0 : now - watched.since);
    // What was in view until now goes on being so, and counts for the next answer from here.
    watched.asked = watched.since === undefined ? 0 : watched.since - now;
    return asked > 0 ? asked / 1000 : undefined;
  }

  tab(active: boolean): void {
    this.#active = active;
    for (const watched of this.#watched.values()) this.#update(watched);
  }

  /** @param tell whether what is in view has dwelled until now, or is forgotten */
  end(tell: boolean): void {
    this.#seen.disconnect();
    this.#changed.disconnect();
    clearTimeout(this.#timer);
    if (tell) this.tab(false);
    this.#watched.clear();
  }

  #watch(): void {
    this.#timer = undefined;
    for (const [element, watched] of this.#watched) {
      const shown = marksOf(element);
      const problem = attribute(element, "data-mx-problem");
      const there = property(Node, "isConnected", element);
      if (there && problem === watched.problem && same(shown, watched.shown)) continue;
      watched.inView = false;
      this.#update(watched);
      this.#seen.unobserve(element);
      this.#watched.delete(element);
    }
    for (const element of this.#root.querySelectorAll(MARKED)) {
      if (this.#watched.has(element)) continue;
      if (this.#watched.size >= MOST_WATCHED) return;
      const shown = marksOf(element);
      const problem = attribute(element, "data-mx-problem");
      const never = { inView: false, since: undefined, asked: 0, answered: -Infinity };
      this.#watched.set(element, { shown, problem, ...never });
      this.#seen.observe(element);
    }
  }

  #look(entries: readonly IntersectionObserverEntry[]): void {
    for (const {
      target,
      isIntersecting,
      intersectionRatio,
      intersectionRect,
      rootBounds,
    } of entries) {
      const watched = this.#watched.get(target);
      if (!watched) continue;
      const fills = rootBounds && intersectionRect.height >= SEEN * rootBounds.height;
      watched.inView = isIntersecting && (intersectionRatio >= SEEN || !!fills);
      this.#update(watched);
    }
  }

  #update(watched: Watched): void {
    const now = performance.now();
    const seen = watched.inView && this.#active;
    if (seen === (watched.since !== undefined)) return;
    if (seen) {
      watched.since = now;
      return;
    }
    const dwelled = now - watched.since!;
    watched.since = undefined;
    watched.asked += dwelled;
    if (watched.shown && dwelled >= LEAST_DWELL * 1000) this.#tell(watched.shown, dwelled / 1000);
  }
}

const same = (one: Marks | undefined, other: Marks | undefined): boolean =>
  one?.id === other?.id &&
  one?.task?.problemId === other?.task?.problemId &&
  one?.task?.skill === other?.task?.skill;
