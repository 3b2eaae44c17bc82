/**
 * Learners that a page follows, outside React: one client for each, however often React mounts.
 *
 * A client is closed a second after its last component has gone. StrictMode, a route that changes
 * and Suspense mount again within that second, and find it.
 */
import type { Adaptation } from "../adapt/actions.ts";
import type { Client } from "../core/api.ts";
import { createClient } from "../core/client.ts";
import type { Consent } from "../core/consent.ts";
import { type Environment, type Timer, browser } from "../core/environment.ts";
import type { Followed } from "../core/feed.ts";
import type { ConnectionStatus } from "../core/link.ts";
import type { Observable } from "../core/observable.ts";
import type { Problem } from "../core/problems.ts";
import type { ReplyText } from "../core/replies.ts";
import type { TokenReason } from "../core/tokens.ts";
import type { Intervention, Recommendation, UserState } from "../core/wire.gen.ts";

/** What the host gives, to the provider or once by `configure`. */
export interface HostOptions {
  /** Of the gateway. Default: the page's own origin. */
  readonly url?: string;
  /** Gives the token of a learner. Without it `problems` says `token`. */
  readonly getToken?: (need: {
    userId: string;
    reason: TokenReason;
    signal: AbortSignal;
  }) => Promise<string>;
  /** Default: `pending`. Nothing is recorded, sent or connected before it is `granted`. */
  readonly consent?: Consent;
  /** From `@masterx/sdk/adapt`: what carries recommendations out. */
  readonly adapt?: (client: Client) => Adaptation;
  /** From `@masterx/sdk/capture`: records what learners do. Privacy mode leaves it out. */
  readonly capture?: (client: Client) => () => void;
  readonly environment?: Environment;
}

/** Which client: `memory` keeps nothing on disk. */
export interface Key {
  readonly url: string;
  readonly userId: string;
  readonly memory: boolean;
}

export interface Snapshot {
  readonly userState: UserState | undefined;
  readonly recommendations: readonly Recommendation[];
  readonly interventions: readonly Intervention[];
  readonly replies: readonly ReplyText[];
  readonly connection: ConnectionStatus;
  readonly problems: readonly Problem[];
  /** What is in effect on the page. */
  readonly adaptations: readonly Recommendation[];
  readonly isPersonalizationActive: boolean;
}

const EMPTY: readonly never[] = Object.freeze([]);
/** What a page shows before its client is there, and once it has gone. */
export const NOTHING: Snapshot = Object.freeze({
  userState: undefined,
  recommendations: EMPTY,
  interventions: EMPTY,
  replies: EMPTY,
  connection: Object.freeze({ phase: "off", transport: undefined }),
  problems: EMPTY,
  adaptations: EMPTY,
  isPersonalizationActive: false,
});

/** Milliseconds that a client outlives its last component. */
export const RELEASE_AFTER = 1_000;

const LEARNERS = new Map<string, Learner>();
const named = ({ url, userId, memory }: Key): string => JSON.stringify([url, userId, memory]);

export const present = (key: Key): Learner | undefined => LEARNERS.get(named(key));

/** The learner of a key; made if it is not there. Only where a page is: never while rendering. */
export function learner(key: Key, options: { current: HostOptions }): Learner {
  const name = named(key);
  let one = LEARNERS.get(name);
  if (!one) {
    one = new Learner(key, options, () => LEARNERS.delete(name));
    LEARNERS.set(name, one);
  }
  return one;
}

export class Learner {
  readonly client: Client;
  readonly adaptation: Adaptation | undefined;
  snapshot: Snapshot = NOTHING;
  #given: Consent | undefined;
  #holders = 0;
  #automatic = 0;
  #timer: Timer;
  readonly #env: Environment;
  readonly #heard = new Set<() => void>();
  readonly #ends: (() => void)[];
  readonly #followed: readonly (readonly [string, Observable<unknown>])[];

  constructor(key: Key, options: { current: HostOptions }, gone: () => void) {
    const { consent, adapt, capture } = options.current;
    const environment = (this.#env = options.current.environment ?? browser());
    this.#given = consent;
    const { userId } = key;
    this.client = createClient({
      url: key.url,
      userId,
      getToken: async (need) => {
        const { getToken } = options.current; // the newest: a host may write it inline
        if (!getToken) throw new Error("no getToken: give the provider one");
        return getToken({ ...need, userId });
      },
      consent: consent ?? "pending",
      storage: key.memory ? "memory" : "persistent",
      environment,
    });
    this.adaptation = adapt?.(this.client);
    const stop = key.memory ? undefined : capture?.(this.client);
    const { client, adaptation } = this;
    this.#followed = Object.keys(NOTHING).flatMap((name) => {
      const one = name === "adaptations" ? adaptation?.active : client[name as keyof Followed];
      return one ? [[name, one]] : [];
    });
    this.#ends = [...this.#followed.map(([, one]) => one), client.consent].map((one) =>
      one.subscribe(() => this.#refresh()),
    );
    this.#ends.push(
      client.closed.subscribe(() => this.#end()),
      () => {
        stop?.();
        adaptation?.close();
        client.close();
        gone();
      },
    );
    this.#refresh();
    this.#later();
  }

  /** Hold it, and hear of changes; returns what lets it go. React gives each hook a `heard`. */
  hold(heard: () => void, automatic: boolean): () => void {
    this.#env.clearTimeout(this.#timer);
    this.#holders += 1;
    this.#heard.add(heard);
    if (automatic && ++this.#automatic === 1) this.adaptation?.automatic(true);
    return () => {
      if (!this.#heard.delete(heard)) return;
      if (automatic && --this.#automatic === 0) this.adaptation?.automatic(false);
      this.#holders -= 1;
      this.#later();
    };
  }

  /** What the host's prop says: it counts when it changes. */
  given(consent: Consent | undefined): void {
    if (consent === this.#given) return;
    this.#given = consent;
    if (consent !== undefined) this.setConsent(consent);
  }

  setConsent(consent: Consent): void {
    this.client.setConsent(consent);
  }

  #later(): void {
    if (!this.#holders && this.#ends.length)
      this.#timer = this.#env.setTimeout(() => this.#end(), RELEASE_AFTER);
  }

  /** Let go of, or logged out: whoever still holds it has nothing to show any more. */
  #end(): void {
    this.#env.clearTimeout(this.#timer);
    for (const end of this.#ends.splice(0)) end();
    this.snapshot = NOTHING;
    this.#tell();
  }

  #refresh(): void {
    const { phase } = this.client.connection.get();
    const isPersonalizationActive =
      (phase === "live" || phase === "polling") && this.client.consent.get() === "granted";
    const now = { ...NOTHING, isPersonalizationActive };
    for (const [name, one] of this.#followed)
      Object.assign(now, { [name]: Object.freeze(one.get()) });
    this.snapshot = Object.freeze(now);
    this.#tell();
  }

  #tell(): void {
    for (const heard of [...this.#heard]) heard();
  }
}
