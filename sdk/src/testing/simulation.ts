/**
 * A learner who reacts, so that a page has something to show. **Nothing here measures anybody**:
 * figures move by simple rules, and each state says `modelStatus: "simulated"`.
 */
import type { Estimate, Recommendation, Source, UserState } from "../core/wire.gen.ts";
import type { FigureName, ReplyOptions } from "./api.ts";
import type { Accepted } from "./intake.ts";
import type { PushLog } from "./log.ts";

/** In `modelStatus`, `because`, `provider`, `model` and `policyVersion`. */
export const SIMULATED = "simulated";

const READ: readonly FigureName[] = ["valence", "arousal", "dominance"];
const DERIVED: readonly FigureName[] = ["engagement", "fatigue"];
const MIDDLE: Readonly<Record<FigureName, number>> = {
  valence: 0.5,
  arousal: 0.5,
  dominance: 0.5,
  focus: 0.8,
  cognitiveLoad: 0.4,
  engagement: 0.6,
  fatigue: 0.1,
  helpNeed: 0.3,
  nextCorrect: 0.6,
};
/** A load above it recommends a calmer page. */
const HIGH_LOAD = 0.7;
/** How far one answer moves a figure towards what it says. */
const STEP = 0.25;
const TEXT = "This is a simulated reply. No model wrote it, and it knows nothing of your question.";

const rounded = (figure: number): number => Math.round(figure * 10_000) / 10_000;

export interface Pacing {
  readonly reactAfter: number;
  readonly pace: number;
  /** False once the gateway has ended. */
  running(): boolean;
}

export class Simulation {
  readonly #userId: string;
  readonly #log: PushLog;
  readonly #pacing: Pacing;
  readonly #figures = { ...MIDDLE };
  readonly #told = new Set<FigureName>();
  #version = 0;
  #messages = 0;
  #interactions = 0;
  #answers = 0;
  #right = 0;
  #lastChat: string[] = [];
  #calmer: Recommendation | undefined;
  #others: Recommendation[] = [];
  #refused = false;
  #waiting: string[] = [];

  constructor(userId: string, log: PushLog, pacing: Pacing) {
    this.#userId = userId;
    this.#log = log;
    this.#pacing = pacing;
  }

  /** Events were accepted; the state follows after a moment. */
  react(events: readonly Accepted[]): void {
    for (const one of events) {
      if (one.kind === "chat_message") this.#heard(one);
      else if (one.kind === "interaction_batch") this.#did(one.event);
      else this.#answered(one.event);
    }
    if (!this.#waiting.length)
      setTimeout(() => {
        const causes = this.#waiting.splice(0);
        if (this.#pacing.running()) this.pushState(causes);
      }, this.#pacing.reactAfter);
    this.#waiting.push(...events.map(({ eventId }) => eventId));
  }

  set(figures: Partial<Record<FigureName, number>>): void {
    for (const [name, value] of Object.entries(figures) as [FigureName, number][]) {
      if (!(name in MIDDLE) || !(value >= 0 && value <= 1))
        throw new RangeError(`${name} is ${value}: a figure has a known name and is in [0, 1]`);
      this.#figures[name] = value;
      this.#told.add(name);
    }
    this.pushState([]);
  }

  recommend(wanted: readonly (Partial<Recommendation> & { action: string })[]): void {
    this.#others = wanted.map((one) => ({
      id: crypto.randomUUID(),
      parameters: {},
      confidence: 0.8,
      because: [SIMULATED],
      policyVersion: SIMULATED,
      ...one,
    }));
    this.pushState([]);
  }

  pushState(causedBy: readonly string[]): void {
    this.#version += 1;
    const userState = this.#state(causedBy);
    this.#log.append("user_state_update", { userState }, causedBy);
    const high = this.#figures.cognitiveLoad > HIGH_LOAD && !this.#refused;
    if (!high) this.#calmer = undefined;
    else
      this.#calmer ??= {
        id: crypto.randomUUID(),
        action: "lower_information_density",
        parameters: { density: 0.35 },
        confidence: 0.8,
        because: [`${SIMULATED}: cognitive_load is above ${HIGH_LOAD}`],
        variant: "lower-density",
        propensity: 1,
        policyVersion: SIMULATED,
      };
    const recommendations = [...(this.#calmer ? [this.#calmer] : []), ...this.#others];
    this.#log.append("recommendations", { recommendations }, causedBy);
  }

  async reply(options: ReplyOptions): Promise<string> {
    const { text = TEXT, attempts = 1, status = "answered", mode = "direct" } = options;
    const causedBy = options.causedBy ?? this.#lastChat;
    const replyId = crypto.randomUUID();
    const began = performance.now();
    const latency = { firstText: 0, total: 0 };
    const seconds = (): number => rounded((performance.now() - began) / 1000);
    for (let attempt = 1; attempt <= attempts && status === "answered"; attempt++) {
      const last = attempt === attempts;
      const pieces = text.match(/\S+\s*/g) ?? [text];
      // An attempt that is given up breaks off half-way.
      const shown = last ? pieces : pieces.slice(0, Math.ceil(pieces.length / 2));
      for (const [index, piece] of shown.entries()) {
        await new Promise((go) => setTimeout(go, this.#pacing.pace));
        if (!this.#pacing.running()) return replyId;
        latency.firstText ||= seconds();
        const delta = { replyId, attempt, index, text: piece };
        this.#log.append("tutor_delta", delta, causedBy);
      }
      if (last) continue;
      const given = { replyId, status: "superseded", final: false, attempt, text: "" };
      this.#log.append(
        "tutor_reply",
        { ...given, because: [SIMULATED], cutShort: false },
        causedBy,
      );
    }
    const answered = status === "answered";
    latency.total = seconds();
    const usage = { inputTokens: 0, outputTokens: 0, micros: 0, reported: false };
    const written = { mode, provider: SIMULATED, model: SIMULATED, usage, latency };
    this.#log.append(
      "tutor_reply",
      {
        replyId,
        status,
        final: true,
        attempt: answered ? attempts : 0,
        text: answered || status === "human_help" ? text : "",
        because: [SIMULATED],
        cutShort: false,
        ...(answered && written),
      },
      causedBy,
    );
    return replyId;
  }

  #heard({ eventId, event }: Accepted): void {
    this.#messages += 1;
    this.#lastChat = [eventId];
    // No reading of the text: a page has to see a figure move, and that is all.
    this.#towards("valence", this.#messages % 2 ? 0.35 : 0.65);
    if (event["wantsReply"] !== true) return;
    const mode = (event["replyMode"] as string | undefined) ?? "direct";
    void this.reply({ mode, causedBy: [eventId] });
  }

  #did(event: Accepted["event"]): void {
    this.#interactions += 1;
    const { correct } = (event["taskData"] ?? {}) as { correct?: boolean };
    if (correct === undefined) return;
    this.#answers += 1;
    this.#right += Number(correct);
    this.#towards("nextCorrect", Number(correct));
    this.#towards("helpNeed", Number(!correct));
    this.#towards("cognitiveLoad", correct ? 0.3 : 1);
    if (correct) this.#refused = false;
  }

  #answered(event: Accepted["event"]): void {
    const { targetId, outcome } = event as { targetId: string; outcome: string };
    if (!["dismissed", "reverted", "not_helpful"].includes(outcome)) return;
    if (this.#calmer?.id === targetId) this.#refused = true;
    this.#others = this.#others.filter(({ id }) => id !== targetId);
  }

  #towards(name: FigureName, goal: number): void {
    this.#figures[name] += STEP * (goal - this.#figures[name]);
  }

  #estimate(name: FigureName): Estimate {
    const evidence = READ.includes(name) ? this.#messages : this.#interactions;
    const told = this.#told.has(name);
    const source: Source = DERIVED.includes(name) ? "derived" : "measured";
    if (!told && !evidence) return { value: MIDDLE[name], confidence: 0, source: "prior" };
    const confidence = told ? 0.9 : evidence / (evidence + (READ.includes(name) ? 1 : 5));
    return { value: rounded(this.#figures[name]), confidence: rounded(confidence), source };
  }

  #state(causedBy: readonly string[]): UserState {
    const now = Date.now();
    const valence = this.#estimate("valence");
    const feel = valence.source === "prior" ? 0 : 0.6;
    return {
      schemaVersion: 1,
      eventId: crypto.randomUUID(),
      userId: this.#userId,
      eventTime: now,
      ingestTime: now,
      causedBy: [...causedBy],
      sourceTopic: SIMULATED,
      sourcePartition: -1,
      sourceOffset: -1,
      version: this.#version,
      updatedAt: now,
      modelStatus: SIMULATED,
      valence,
      arousal: this.#estimate("arousal"),
      dominance: this.#estimate("dominance"),
      emotions: feel
        ? {
            curiosity: rounded(feel * valence.value),
            frustration: rounded(feel * (1 - valence.value)),
          }
        : {},
      trajectory: { points: this.#messages },
      activity: {
        interactions: this.#interactions,
        messages: this.#messages,
        ...(this.#answers && { correct: rounded(this.#right / this.#answers) }),
      },
      behaviour: {
        helpNeed: this.#estimate("helpNeed"),
        nextCorrect: this.#estimate("nextCorrect"),
        focus: this.#estimate("focus"),
        cognitiveLoad: this.#estimate("cognitiveLoad"),
        engagement: this.#estimate("engagement"),
        fatigue: this.#estimate("fatigue"),
        tendencies: {},
      },
    };
  }
}
