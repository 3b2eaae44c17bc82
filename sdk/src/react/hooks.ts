/** What components read and do. They render again only for what they have read. */
import { useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import type { AdaptOutcome } from "../adapt/actions.ts";
import type { Client, Recorded, SayOptions } from "../core/api.ts";
import type { Stats } from "../core/books.ts";
import type { Consent } from "../core/consent.ts";
import type { Reply } from "../core/conversation.ts";
import type { ConnectionStatus } from "../core/link.ts";
import { same } from "../core/observable.ts";
import { MasterxError, type Problem } from "../core/problems.ts";
import type { Receipt } from "../core/receipts.ts";
import type { ReplyText } from "../core/replies.ts";
import type { Intervention, Recommendation } from "../core/wire.gen.ts";
import { type Learner, NOTHING, type Snapshot, learner, present } from "./learners.ts";
import { PersonalizationContext, type Provided } from "./provider.ts";
import {
  type Features,
  type LearnerState,
  type Off,
  isOff,
  isOffered,
  learnerState,
  offered,
} from "./state.ts";

export interface PersonalizationOptions {
  /** False: nothing is followed, recorded or sent here. */
  readonly enableRealTimeAnalysis?: boolean;
  /** Each is on unless it is `false`. One that is off sends nothing and shows nothing. */
  readonly features?: Partial<Features>;
}

export interface Personalization {
  /** Undefined until masterx knows something of the learner. */
  readonly userState: LearnerState | undefined;
  readonly recommendations: readonly Recommendation[];
  readonly interventions: readonly Intervention[];
  readonly replies: readonly ReplyText[];
  /** Recommendations in effect on the page. */
  readonly adaptations: readonly Recommendation[];
  readonly connection: ConnectionStatus;
  readonly problems: readonly Problem[];
  /** Consent is granted, and the gateway answers. */
  readonly isPersonalizationActive: boolean;
  readonly recordInteraction: (interaction: Recorded) => Receipt;
  readonly sendMessage: (text: string, options?: SayOptions) => Reply;
  /** Have it carried out by `adapt`; `applied` is sent once it is done. */
  readonly applyRecommendation: (recommendation: Recommendation) => Promise<AdaptOutcome>;
  /** The same, because the learner asked for it. */
  readonly acceptRecommendation: (recommendation: Recommendation) => Promise<AdaptOutcome>;
  readonly dismissRecommendation: (recommendation: Recommendation) => void;
  readonly revertRecommendation: (recommendation: Recommendation) => void;
  readonly setConsent: (consent: Consent) => void;
  /** Both are undefined where nobody is followed. */
  readonly stats: () => Stats | undefined;
  /** For what no hook does: `exercise`, `flush`, `logout`. */
  readonly client: () => Client | undefined;
}

type Actions = Pick<
  Personalization,
  | "recordInteraction"
  | "sendMessage"
  | "applyRecommendation"
  | "acceptRecommendation"
  | "dismissRecommendation"
  | "revertRecommendation"
  | "setConsent"
  | "stats"
  | "client"
>;

/** @param userId default: that of the provider */
export function useMLPersonalization(
  userId?: string,
  { enableRealTimeAnalysis = true, features = {} }: PersonalizationOptions = {},
): Personalization {
  const off = Object.entries(features)
    .filter(([, on]) => on === false)
    .join();
  const visual = !isOff(off, "visualAdaptation");
  const store = useStore(userId, enableRealTimeAnalysis, visual);
  const { get, show } = useMemo(() => viewOf(store, off), [store, off]);
  const now = useSyncExternalStore(store.subscribe, get, served);
  return useMemo(() => show(now), [show, now]);
}

/**
 * Part of the learner's state; the component renders again only when that part has changed.
 *
 * @param userId default: that of the provider
 */
export function useUserState<T>(
  selector: (state: LearnerState | undefined) => T,
  userId?: string,
): T {
  // It asks for no change of the page: whether there is one, useMLPersonalization says.
  const store = useStore(userId, true, false);
  const kept = useRef<T | undefined>(undefined);
  // The value before stays the value while its content does: React compares them by identity.
  const select = ({ userState }: Snapshot): T => {
    const value = selector(stateOf(userState, ""));
    return same(kept.current, value) ? (kept.current as T) : (kept.current = value);
  };
  return useSyncExternalStore(
    store.subscribe,
    () => select(store.get()),
    () => select(NOTHING),
  );
}

/** What a server renders, and what a page then has to render first. */
const SERVED: Snapshot = { ...NOTHING };
const served = (): Snapshot => SERVED;

interface Store {
  subscribe(heard: () => void): () => void;
  get(): Snapshot;
  present(): Learner | undefined;
  /** For what a component does. Made, if it is not mounted yet; not again once it has gone. */
  acting(): Learner | undefined;
  readonly memory: boolean;
}

/** The learner that a component follows. */
function useStore(named: string | undefined, followed: boolean, visual: boolean): Store {
  const provided = useContext(PersonalizationContext);
  const store = useMemo(
    () => storeOf(followed ? provided : undefined, named, visual),
    [followed, provided, named, visual],
  );
  useEffect(() => store.present()?.given(provided?.consent), [store, provided]);
  return store;
}

function storeOf(
  provided: Provided | undefined,
  named: string | undefined,
  visual: boolean,
): Store {
  const { url = "", memory = false, automatic, options } = provided ?? {};
  const userId = named ?? provided?.userId;
  const key = { url, userId: userId!, memory };
  const there = (): Learner | undefined => present(key);
  const open = (): Learner | undefined => {
    const page = typeof document !== "undefined" || options?.current.environment;
    return userId && page && options ? learner(key, options) : undefined;
  };
  let begun = false;
  return {
    subscribe: (heard) => {
      begun = true;
      return open()?.hold(heard, !!automatic && visual) ?? (() => {});
    },
    get: () => there()?.snapshot ?? NOTHING,
    present: there,
    acting: () => (begun ? there() : open()),
    memory,
  };
}

/** Notes what a component reads, and holds its snapshot still while nothing of that changes. */
function viewOf(store: Store, off: Off): { get(): Snapshot; show(now: Snapshot): Personalization } {
  const read: Partial<Record<keyof Snapshot, unknown>> = {}; // as it was read
  const actions = actionsOf(store, off);
  let held = store.get();
  return {
    get: () => {
      const newest = store.get();
      const names = Object.keys(read) as (keyof Snapshot)[];
      if (names.some((name) => read[name] !== newest[name])) {
        for (const name of names) read[name] = newest[name];
        held = newest;
      }
      return held;
    },
    show: (now) => {
      const shown = { ...actions };
      const from = { ...now };
      for (const name of Object.keys(now) as (keyof Snapshot)[])
        Object.defineProperty(shown, name, {
          enumerable: true,
          get: () => {
            // What was not read before, nobody kept up to date. From here on it is.
            if (!(name in read)) {
              const newest = now === SERVED ? now : store.get();
              Object.assign(from, { [name]: (read[name] = newest[name]) });
            }
            if (name === "userState") return stateOf(from[name], off);
            if (name === "recommendations") return offersOf(from[name], off);
            return name === "replies" && isOff(off, "emotionalAnalysis")
              ? NOTHING[name]
              : from[name];
          },
        });
      return shown as Personalization;
    },
  };
}

/** The same state, with the same features off, gives the same object. */
function cached<T extends object, R>(make: (from: T, off: Off) => R): (from: T, off: Off) => R {
  const made = new WeakMap<T, Record<string, R>>();
  return (from, off) => {
    const results = made.get(from) ?? {};
    made.set(from, results);
    return (results[off] ??= make(from, off));
  };
}

const states = /* @__PURE__ */ cached(learnerState);
const offersOf = /* @__PURE__ */ cached(offered);
const stateOf = (state: Snapshot["userState"], off: Off): LearnerState | undefined =>
  state && states(state, off);

function actionsOf({ acting, memory }: Store, off: Off): Actions {
  const adapted = (
    how: "apply" | "accept",
    recommendation: Recommendation,
  ): Promise<AdaptOutcome> => {
    if (!isOffered(recommendation, off)) return Promise.resolve("feature_off");
    const adaptation = acting()?.adaptation;
    return adaptation ? adaptation[how](recommendation) : Promise.resolve("no_handler");
  };
  return {
    recordInteraction: (interaction) => {
      const given = { ...interaction };
      if (memory) delete given.elementId;
      return acting()?.client.record(given) ?? refusal("not_followed");
    },
    sendMessage: (text, options) => {
      if (isOff(off, "emotionalAnalysis")) return refusal("feature_off");
      return acting()?.client.say(text, options) ?? refusal("not_followed");
    },
    applyRecommendation: (recommendation) => adapted("apply", recommendation),
    acceptRecommendation: (recommendation) => adapted("accept", recommendation),
    dismissRecommendation: (recommendation) => void acting()?.client.dismiss(recommendation),
    revertRecommendation: (recommendation) => {
      const one = acting();
      if (!one?.adaptation?.revert(recommendation)) one?.client.revert(recommendation);
    },
    setConsent: (consent) => acting()?.setConsent(consent),
    stats: () => acting()?.client.stats(),
    client: () => acting()?.client,
  };
}

/** Of what is not sent at all. */
function refusal(code: "feature_off" | "not_followed"): Reply {
  const message = `not sent: ${code}`;
  const rejected = Promise.reject<never>(new MasterxError(code, message));
  rejected.catch(() => {}); // the host need not
  return {
    id: "",
    stored: rejected,
    accepted: rejected,
    current: () => undefined,
    async *[Symbol.asyncIterator]() {
      yield { type: "failed" as const, code, message };
    },
  };
}
