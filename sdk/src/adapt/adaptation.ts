/** Carries recommendations out: when, how, and what is said of it. */
import type { Client } from "../core/api.ts";
import { type Observable, Source, same } from "../core/observable.ts";
import type { Recommendation } from "../core/wire.gen.ts";
import { type AdaptOutcome, type Adaptation, type HostAction, isVisual } from "./actions.ts";
import type { VisualAction } from "./actions.ts";
import { type Changes, changes, layersOf } from "./effects.ts";
import { type NoticeTexts, notice } from "./notice.ts";
import { Quiet } from "./quiet.ts";

/**
 * Does what is recommended. Return `false` if it was not done: then nothing is sent. Return a
 * function that undoes it, if there is one.
 */
export type Handler = (recommendation: Recommendation) => Handled | Promise<Handled>;
type Handled = void | boolean | (() => void);

export interface AdaptOptions {
  /** The element that is changed. Default: the page's root. */
  readonly root?: HTMLElement;
  /** By action. One for a visual action replaces what the SDK would do. */
  readonly handlers?: Readonly<
    Partial<Record<HostAction | VisualAction, Handler>> & Record<string, Handler | undefined>
  >;
  /** What is applied without being asked for has at least this confidence. Default: 0.8. */
  readonly leastConfidence?: number;
  /** Milliseconds between visual changes. Default: 30 s. */
  readonly every?: number;
  /** Milliseconds to wait until the learner is not busy. Default: 10 s. */
  readonly patience?: number;
  /** What says what was changed, with "Undo" and "Why?". `false`: the host does. */
  readonly notice?: false | Partial<NoticeTexts>;
}

interface Entry {
  readonly recommendation: Recommendation;
  readonly outcome: Promise<AdaptOutcome>;
  undo: (() => void) | undefined;
  /** What was changed here; undefined if a handler did it. */
  layer: Changes | undefined;
  /** In effect. */
  done: boolean;
  /** `applied` was sent. */
  told: boolean;
  ended: boolean;
}

/** Recommendations that the learner undid, or a handler declined, and that are remembered. */
const REMEMBERED = 1_000;
/** Milliseconds that a handler may take before what comes next no longer waits for it. */
const HANDLED_WITHIN = 5_000;

export function createAdaptation(
  client: Pick<Client, "apply" | "revert" | "recommendations">,
  options: AdaptOptions = {},
): Adaptation {
  return new PageAdaptation(client, options);
}

class PageAdaptation implements Adaptation {
  readonly #client: Pick<Client, "apply" | "revert" | "recommendations">;
  readonly #options: AdaptOptions;
  readonly #every: number;
  readonly #patience: number;
  readonly #layers: ReturnType<typeof layersOf>;
  readonly #quiet: Quiet;
  readonly #entries = new Map<string, Entry>();
  readonly #undone = new Set<string>();
  readonly #declined = new Set<string>();
  readonly #active = new Source<readonly Recommendation[]>([], (error) => console.error(error));
  readonly #ends: (() => void)[];
  #automatic = false;
  #considering = false;
  #tidying = false;
  #closed = false;
  #changed = -Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Pick<Client, "apply" | "revert" | "recommendations">, options: AdaptOptions) {
    const { root = document.documentElement, every = 30_000, patience = 10_000 } = options;
    this.#client = client;
    this.#options = options;
    this.#every = every;
    this.#patience = patience;
    this.#layers = layersOf(root);
    this.#quiet = new Quiet(root.ownerDocument);
    this.#ends = [
      client.recommendations.subscribe(() => {
        void this.#tidy();
        void this.#consider();
      }),
    ];
    if (options.notice !== false) this.#ends.push(notice(this, root, options.notice));
  }

  get active(): Observable<readonly Recommendation[]> {
    return this.#active;
  }

  apply(recommendation: Recommendation): Promise<AdaptOutcome> {
    if (this.#undone.has(recommendation.id)) return Promise.resolve("reverted");
    return this.#start(recommendation, false);
  }

  accept(recommendation: Recommendation): Promise<AdaptOutcome> {
    this.#undone.delete(recommendation.id);
    return this.#start(recommendation, true);
  }

  revert({ id }: Pick<Recommendation, "id">): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    remember(this.#undone, id);
    if (this.#end(entry)) this.#client.revert(entry.recommendation);
    return true;
  }

  automatic(on: boolean): void {
    this.#automatic = on;
    void this.#consider();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const end of this.#ends) end();
    for (const entry of this.#entries.values()) this.#end(entry);
    this.#quiet.close();
  }

  // -- doing ----------------------------------------------------------------------------------

  #start(recommendation: Recommendation, asked: boolean): Promise<AdaptOutcome> {
    const { id } = recommendation;
    const before = this.#entries.get(id);
    if (before) return before.outcome;
    const outcome = Promise.resolve().then(async () => {
      const became = this.#closed ? "later" : await this.#carryOut(entry, asked);
      if (became !== "applied" && this.#entries.get(id) === entry) this.#entries.delete(id);
      return became;
    });
    const blank = { undo: undefined, layer: undefined, done: false, told: false, ended: false };
    const entry: Entry = { recommendation, outcome, ...blank };
    this.#entries.set(id, entry);
    return outcome;
  }

  async #carryOut(entry: Entry, asked: boolean): Promise<AdaptOutcome> {
    const { id, action } = entry.recommendation;
    const handler = this.#options.handlers?.[action];
    if (!handler && !isVisual(action)) return "no_handler";
    let before = 0;
    let claimed: number | undefined;
    // It claims the turn in the same moment: who waits beside it then waits for the next.
    const ready = (): boolean => {
      if (entry.ended || !isVisual(action)) return true;
      if (!asked && !this.#settled()) return false;
      before = this.#changed;
      claimed = this.#changed = performance.now();
      return true;
    };
    if (!(await this.#quiet.until(ready, this.#patience))) return "later";
    if (!asked && !this.#client.recommendations.get().some((one) => one.id === id)) return "later";
    if (entry.ended) return "reverted";
    if (!(await this.#perform(entry, handler))) {
      remember(this.#declined, id);
      if (this.#changed === claimed) this.#changed = before; // nothing has
      return "declined";
    }
    if (entry.ended) {
      entry.undo?.();
      return "reverted";
    }
    entry.done = true;
    await painted();
    if (entry.ended) return "reverted";
    entry.told = true;
    this.#client.apply(entry.recommendation);
    this.#show();
    void this.#tidy(); // it may have lapsed meanwhile
    return "applied";
  }

  async #perform(entry: Entry, handler: Handler | undefined): Promise<boolean> {
    const { recommendation } = entry;
    const { action, parameters } = recommendation;
    if (!handler) {
      this.#layers.put((entry.layer = changes(action as VisualAction, parameters)));
      return true;
    }
    try {
      const handled = await handler(recommendation);
      if (typeof handled === "function") entry.undo = handled;
      return handled !== false;
    } catch (error) {
      console.error(error); // the host's own
      return false;
    }
  }

  /** @returns whether `applied` had been sent */
  #end(entry: Entry): boolean {
    entry.ended = true;
    this.#entries.delete(entry.recommendation.id);
    if (!entry.done) return false;
    try {
      if (entry.layer) this.#layers.take(entry.layer);
      entry.undo?.();
    } catch (error) {
      console.error(error); // the host's own
    }
    this.#show();
    return entry.told;
  }

  #show(): void {
    const told = [...this.#entries.values()].filter(({ told }) => told);
    this.#active.set(told.map(({ recommendation }) => recommendation));
  }

  /** Nothing visual has changed for a while. */
  #settled(): boolean {
    return performance.now() - this.#changed >= this.#every;
  }

  // -- by itself ------------------------------------------------------------------------------

  /** Apply the next visual recommendation that is certain enough. */
  async #consider(): Promise<void> {
    if (this.#considering) return;
    clearTimeout(this.#timer);
    const { leastConfidence = 0.8 } = this.#options;
    const next =
      this.#automatic &&
      this.#client.recommendations
        .get()
        .find(
          ({ id, action, confidence }) =>
            isVisual(action) &&
            confidence >= leastConfidence &&
            !this.#entries.has(id) &&
            !this.#undone.has(id) &&
            !this.#declined.has(id),
        );
    if (!next || this.#closed) return;
    const left = this.#changed + this.#every - performance.now();
    if (left > 0) {
      this.#timer = setTimeout(() => void this.#consider(), left);
      return;
    }
    this.#considering = true;
    let late: ReturnType<typeof setTimeout> | undefined;
    const waited = new Promise<"declined">((go) => {
      late = setTimeout(() => go("declined"), this.#patience + HANDLED_WITHIN);
    });
    const outcome = await Promise.race([this.apply(next), waited]);
    clearTimeout(late);
    this.#considering = false;
    if (outcome !== "later") return this.#consider();
    if (!this.#closed) this.#timer = setTimeout(() => void this.#consider(), this.#every);
  }

  /** What has lapsed is undone when the learner is not busy; nothing is sent of it. */
  async #tidy(): Promise<void> {
    if (this.#tidying) return;
    this.#tidying = true;
    for (;;) {
      const one = this.#closed ? undefined : this.#lapsed();
      if (!one) break;
      const visual = isVisual(one.recommendation.action);
      const ready = (): boolean => one !== this.#lapsed() || !visual || this.#settled();
      if (!(await this.#quiet.until(ready, this.#patience)) || one !== this.#lapsed()) continue;
      this.#end(one);
      if (visual) this.#changed = performance.now();
    }
    this.#tidying = false;
  }

  #lapsed(): Entry | undefined {
    const offered = this.#client.recommendations.get();
    for (const entry of this.#entries.values()) {
      const { id, action, parameters } = entry.recommendation;
      if (!entry.told || offered.some((one) => one.id === id)) continue;
      // A new decision for the same: what is in effect stays, and belongs to it. What a handler
      // did, a break for example, was for one decision.
      const successor = offered.find(
        (one) =>
          entry.layer &&
          one.action === action &&
          same(one.parameters, parameters) &&
          !this.#entries.has(one.id),
      );
      if (!successor) return entry;
      this.#entries.delete(id);
      this.#entries.set(successor.id, { ...entry, recommendation: successor });
      this.#client.apply(successor);
      this.#show();
    }
    return undefined;
  }
}

function remember(ids: Set<string>, id: string): void {
  ids.add(id);
  const [oldest] = ids;
  if (ids.size > REMEMBERED) ids.delete(oldest!);
}

/** Resolves once the page has painted what was changed. */
function painted(): Promise<void> {
  return new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(() => go())));
}
