/** A learner's client: records what the learner does, and follows what masterx makes of it. */
import type { Client, ClientOptions, Recorded, SayOptions } from "./api.ts";
import type { DropReason, Stats } from "./books.ts";
import { type Consent, ConsentGate } from "./consent.ts";
import { Answer, type Reply } from "./conversation.ts";
import { asEntry } from "./entry.ts";
import { type Environment, type Timer, browser } from "./environment.ts";
import { type Exercise, type ExerciseOptions, exercise } from "./exercise.ts";
import { Following } from "./feed.ts";
import { Ids } from "./ids.ts";
import { Ledger } from "./ledger.ts";
import type { Frame } from "./socket.ts";
import { Source } from "./observable.ts";
import { Outbox } from "./outbox.ts";
import { Presence } from "./presence.ts";
import type { Receipt } from "./receipts.ts";
import { Sender } from "./sender.ts";
import { type Settled, Tabs } from "./tabs.ts";
import type { Ack, Feedback, Hello, Interaction, Recommendation } from "./wire.gen.ts";
import { type Entry, type Kind, type Loaded, OPEN_TIMEOUT, WriteAhead } from "./write_ahead.ts";

/** The largest event that is taken before `hello` names the server's bound, bytes. */
const LARGEST = 262_144;
/** Milliseconds that logout tries to send. */
export const LOGOUT_FLUSH = 2_000;
/** Feedback on recommendations that is remembered, so that each outcome goes once. */
const REMEMBERED = 1_000;

export function createClient(options: ClientOptions): Client {
  return new LearnerClient(options);
}

class LearnerClient implements Client {
  readonly userState;
  readonly recommendations;
  readonly interventions;
  readonly replies;
  readonly connection;
  readonly problems;
  readonly consent;
  readonly closed;
  readonly #env: Environment;
  readonly #scope: string;
  readonly #following: Following;
  readonly #log: WriteAhead;
  readonly #outbox: Outbox;
  readonly #sender: Sender;
  readonly #tabs: Tabs;
  readonly #ids: Ids;
  readonly #consent: ConsentGate;
  readonly #ledger: Ledger;
  readonly #answers = new Set<Answer>();
  readonly #outcomes = new Map<string, Receipt>();
  readonly #idle = new Set<() => void>();
  readonly #presence: Presence;
  #largest = LARGEST;
  /** Whether the line may begin: it is known where an earlier page stood. */
  #placed = false;
  #loading = false;
  #more = false;
  #leaving: Promise<void> | undefined;
  #forgets = false;
  #closed = false;

  constructor(options: ClientOptions) {
    const env = (this.#env = options.environment ?? browser());
    this.#scope = `${options.url}|${options.userId}`;
    const persistent = options.storage !== "memory";
    this.#following = new Following(
      { ...options, environment: env },
      {
        live: (token) => this.#sender.live(token),
        down: (via) => this.#sender.down(via),
        smaller: () => this.#sender.smaller(),
        hello: (hello) => this.#hello(hello),
        answer: (frame) => this.#answer(frame),
        applied: ({ epoch, offset }) => {
          // Not by the device's clock: once it is set, the next page would not go on from here.
          const at = this.#following.serverNow;
          void this.#log.write({ place: { scope: this.#scope, id: "place", epoch, offset, at } });
        },
        reply: (text) => {
          for (const answer of this.#answers) if (answer.take(text)) break;
        },
      },
    );
    const { link, clock, problems } = this.#following;
    this.userState = this.#following.userState;
    this.recommendations = this.#following.recommendations;
    this.interventions = this.#following.interventions;
    this.replies = this.#following.replies;
    this.connection = this.#following.connection;
    this.problems = problems;
    this.#ledger = new Ledger(problems);
    this.#ids = new Ids(env);
    this.#log = new WriteAhead(env, this.#scope, persistent, (code) =>
      problems.tell(code, "events that wait are kept in memory, and end with this page"),
    );
    this.#tabs = new Tabs(env, `masterx|${this.#scope}`, persistent, {
      turn: () => void this.#load(),
      stored: () => void this.#load(),
      settled: (settled) => this.#elsewhere(settled),
      purged: (reason) => this.#purgedElsewhere(reason),
      impatient: () => this.#pump(),
    });
    this.#outbox = new Outbox(this.#log, this.#tabs.shared);
    this.#sender = new Sender({
      env,
      outbox: this.#outbox,
      link,
      clock,
      ids: this.#ids,
      allowed: () => this.#allowed(),
      answered: {
        settled: (outcomes) => {
          for (const one of outcomes) this.#ledger.settle(...one);
          this.#tabs.tellSettled(outcomes.map(([id, outcome]) => [id, outcome]));
        },
        problem: (code, message, more) => problems.tell(code, message, more),
        drained: () => {
          if (this.#tabs.looked) this.#tabs.release();
          for (const done of this.#idle) done();
        },
        parked: () => {},
      },
    });
    const placed = { pause: () => link.pause(), resume: () => this.#placed && link.resume() };
    this.#presence = new Presence(env, placed, {
      hidden: () => {
        this.#sender.hurry();
        this.#tabs.release();
        this.#pump();
      },
      leave: () => {
        this.#sender.leave();
        this.#tabs.release();
        if (this.#forgets) void this.#forget(); // the page will not be here when the flush ends
      },
      back: () => this.#pump(),
      busy: () => this.#ledger.books.pending > 0 || this.#answers.size > 0,
    });
    const complain = (error: unknown): void => env.complain(error);
    this.closed = new Source(false, complain);
    const change = (granted: boolean): void => (granted ? this.#begin() : this.#withdraw());
    this.#consent = new ConsentGate(options.consent ?? "pending", change, complain);
    this.consent = this.#consent.observable;
    if (this.#consent.open) this.#begin();
    else if (this.#consent.state === "denied") this.#withdraw();
  }

  // -- what a page calls ----------------------------------------------------------------------

  record(interaction: Recorded): Receipt {
    const { timestamp, ...rest } = { ...interaction } as Recorded & Partial<Interaction>;
    delete rest.eventId;
    delete rest.userId;
    const sound = typeof rest.interactionType === "string" && rest.interactionType !== "";
    return this.#take("interactions", sound ? rest : undefined, timestamp);
  }

  exercise(options: ExerciseOptions = {}): Exercise {
    return exercise(
      { ...options },
      () => this.#env.elapsed(),
      (interaction) => this.record(interaction),
    );
  }

  say(text: string, options: SayOptions = {}): Reply {
    const { wantsReply, replyMode } = { ...options };
    const body = {
      text,
      ...(wantsReply !== undefined && { wantsReply }),
      ...(replyMode !== undefined && { replyMode }),
    };
    const sound = typeof text === "string" && text !== "";
    const receipt = this.#take("chat", sound ? body : undefined);
    const answer: Answer = new Answer(this.#env, receipt, wantsReply !== false, () =>
      this.#answers.delete(answer),
    );
    if (!answer.over) this.#answers.add(answer);
    return answer;
  }

  feedback(feedback: Pick<Feedback, "targetType" | "targetId" | "outcome">): Receipt {
    const { targetType, targetId, outcome } = { ...feedback };
    const sound = [targetType, targetId, outcome].every((one) => typeof one === "string" && one);
    return this.#take("feedback", sound ? { targetType, targetId, outcome } : undefined);
  }

  apply(recommendation: Pick<Recommendation, "id">): Receipt {
    return this.#once(recommendation, "applied");
  }

  dismiss(recommendation: Pick<Recommendation, "id">): Receipt {
    return this.#once(recommendation, "dismissed");
  }

  revert(recommendation: Pick<Recommendation, "id">): Receipt {
    return this.#once(recommendation, "reverted");
  }

  setConsent(consent: Consent): void {
    if (this.#closed) return;
    const parked = consent === "granted" && this.#sender.parked;
    this.#consent.set(consent);
    if (!parked) return;
    const { link, tokens } = this.#following;
    if (!link.byRest) return void link.renew("rejected");
    tokens.clear();
    this.#sender.unpark();
  }

  flush(timeout = 5_000): Promise<boolean> {
    if (!this.#ledger.books.pending) return Promise.resolve(true);
    if (this.#closed) return Promise.resolve(false);
    return new Promise((resolve) => {
      const end = (): void => {
        this.#env.clearTimeout(timer);
        this.#idle.delete(end);
        resolve(this.#ledger.books.pending === 0);
      };
      const timer = this.#env.setTimeout(end, timeout);
      this.#idle.add(end);
      this.#tabs.want();
      this.#sender.hurry();
    });
  }

  logout({ purge = true } = {}): Promise<void> {
    this.#forgets ||= purge;
    this.#leaving ??= this.#leave();
    return this.#leaving;
  }

  async #leave(): Promise<void> {
    await this.flush(LOGOUT_FLUSH);
    if (this.#forgets) await this.#forget();
    this.#end();
  }

  close(): void {
    if (!this.#leaving) this.#end(); // else logout does, once it has forgotten
  }

  #end(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#presence.stop();
    this.#following.link.stop();
    this.#following.tokens.clear();
    this.#sender.close();
    this.#tabs.close();
    this.#log.close();
    this.#ledger.receipts.close();
    for (const answer of this.#answers) answer.fail("closed", "the client was closed");
    for (const done of this.#idle) done();
    this.#following.clear();
    this.closed.set(true);
  }

  stats(): Stats {
    return {
      ...this.#ledger.books.balance(),
      storage: this.#log.persistent ? "persistent" : "memory",
      bytes: this.#outbox.bytes,
      sent: this.#sender.sent,
      retries: this.#sender.retries,
    };
  }

  // -- recording ------------------------------------------------------------------------------

  #take(kind: Kind, body: object | undefined, timestamp?: number | string): Receipt {
    const id = this.#ids.next();
    const receipt = this.#ledger.open(id);
    const why = this.#unfit(body);
    const { clock } = this.#following;
    const entry =
      why ??
      asEntry(
        { scope: this.#scope, id, kind, body: body!, timestamp },
        this.#env.now(),
        clock.steady ? clock.offset : undefined,
        this.#largest,
      );
    if (typeof entry === "string") this.#ledger.drop(id, entry);
    else this.#put(entry);
    return receipt;
  }

  #unfit(body: object | undefined): DropReason | undefined {
    if (this.#closed) return "closed";
    if (this.#leaving) return "logout";
    if (!this.#consent.open) return "no_consent";
    return body ? undefined : "invalid";
  }

  #put(entry: Entry): void {
    this.#presence.wake();
    const { stored, dropped } = this.#outbox.add(entry);
    for (const { id } of dropped) this.#ledger.drop(id, "full");
    void stored.then(() => {
      if (this.#closed) return this.#ledger.receipts.stored(entry.id);
      this.#ledger.receipts.stored(entry.id);
      this.#tabs.tellStored();
      this.#pump();
    });
  }

  #once(recommendation: Pick<Recommendation, "id">, outcome: string): Receipt {
    const { id } = { ...recommendation };
    const name = `${outcome}|${id}`;
    const before = this.#outcomes.get(name);
    if (before) return before;
    const receipt = this.feedback({ targetType: "recommendation", targetId: id, outcome });
    this.#outcomes.set(name, receipt);
    // What did not get through, for want of consent perhaps, may be said again.
    receipt.accepted.catch(() => this.#outcomes.delete(name));
    const [oldest] = this.#outcomes.keys();
    if (this.#outcomes.size > REMEMBERED) this.#outcomes.delete(oldest!);
    return receipt;
  }

  // -- settling -------------------------------------------------------------------------------

  /** Another tab has settled these. */
  #elsewhere(settled: Settled): void {
    void this.#outbox.settle(settled.map(([id]) => id));
    for (const [id, outcome] of settled) this.#ledger.settle(id, outcome);
    this.#sender.forget();
  }

  /** Nothing of the learner stays on this machine, and nothing comes any more. */
  #forget(): Promise<void> {
    this.#presence.stop();
    this.#following.link.stop();
    this.#forgetAll("logout");
    this.#tabs.tellPurged("logout");
    return this.#outbox.purge();
  }

  /** In one tab is in all: else this one would write of a learner who has left. */
  #purgedElsewhere(reason: DropReason): void {
    this.#forgetAll(reason);
    if (reason === "logout") this.#end();
    else if (this.#consent.open) this.#consent.set("denied");
  }

  #forgetAll(reason: DropReason): void {
    const ids = this.#outbox.ids();
    for (const id of ids) this.#ledger.drop(id, reason);
    void this.#outbox.settle(ids);
    this.#outbox.unread();
    this.#sender.forget();
  }

  // -- beginning, leaving ---------------------------------------------------------------------

  #begin(): void {
    this.#presence.start();
    void this.#goOn();
    if (!this.#tabs.shared) void this.#load();
    else this.#tabs.want();
  }

  /** Connect, and take the pushes from where an earlier page of this learner stood. */
  async #goOn(): Promise<void> {
    // A page that has just been shown would connect without it, and a disk may hang.
    let timer: Timer;
    const late = new Promise<undefined>((go) => {
      timer = this.#env.setTimeout(() => go(undefined), OPEN_TIMEOUT);
    });
    const place = await Promise.race([this.#log.place(), late]);
    this.#env.clearTimeout(timer!);
    if (this.#closed || this.#leaving || !this.#consent.open) return;
    if (place) this.#following.restore(place);
    this.#placed = true;
    this.#following.link.start();
  }

  /** Also where nothing has begun: an earlier page may have left something. */
  #withdraw(): void {
    this.#presence.stop();
    this.#following.link.stop();
    this.#forgetAll("withdrawn");
    this.#tabs.tellPurged("withdrawn");
    void this.#outbox.purge();
    this.#tabs.release();
  }

  /** Take over what an earlier page, or another tab, has left in the store. */
  async #load(): Promise<void> {
    this.#more = true;
    if (this.#loading) return;
    this.#loading = true;
    while (this.#more) {
      this.#more = false; // what is stored from now on may need another look
      this.#restore(await this.#outbox.load());
    }
    this.#loading = false;
  }

  #restore(loaded: Loaded): void {
    if (this.#closed || !this.#consent.open) return;
    const { entries, batches } = this.#outbox.restore(loaded);
    for (const { id } of entries) this.#ledger.books.restore(id);
    this.#sender.restore(batches);
    this.#dropOld();
    this.#pump();
  }

  #dropOld(): void {
    const { clock } = this.#following;
    // A clock that was just set makes nothing old.
    if (clock.known && !clock.steady) return;
    const old = this.#outbox.old(clock.now(), clock.offset);
    for (const { id } of old) this.#ledger.drop(id, "old");
    void this.#outbox.settle(old.map(({ id }) => id));
  }

  #pump(): void {
    if (this.#closed || !this.#consent.open) return;
    if (this.#outbox.size || !this.#tabs.looked) this.#tabs.want();
    this.#sender.pump();
  }

  #allowed(): ReadonlySet<string> | undefined | "none" {
    if (!this.#consent.open) return "none";
    if (this.#tabs.holding) return undefined;
    return this.#tabs.alone ? this.#ledger.receipts.ids() : "none";
  }

  #hello({ limits }: Hello): void {
    this.#dropOld();
    if (!limits) return;
    this.#largest = limits.maxMessageBytes ?? this.#largest;
    this.#sender.bound(limits);
  }

  #answer(frame: Frame): void {
    if (frame.type === "ack") this.#sender.ack(frame as unknown as Ack);
    else this.#sender.error(frame);
  }
}
