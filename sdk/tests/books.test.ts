import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Client } from "../src/core/api.ts";
import { createClient } from "../src/core/client.ts";
import { type Receipt } from "../src/core/receipts.ts";
import { ERROR_REACTIONS } from "../src/core/problems.ts";
import { type Ruling, type Tab, World, eventsOf, settled, shared } from "./world.ts";

const RUNS = Number(process.env["MASTERX_RUNS"] ?? 60);

/** In which of two tabs. */
type Act = { tab: 0 | 1 } & What;
type What =
  | { do: "record"; kind: "click" | "answer" | "chat" | "feedback" }
  | { do: "wait"; ms: number }
  | { do: "cut"; code: number }
  /** The next messages are answered so, one after another. */
  | { do: "rule"; answers: (string | null)[] }
  /** The page is killed or closed, and another begins on the same disk. */
  | { do: "restart"; how: "kill" | "close" }
  | { do: "leave" }
  | { do: "hide" }
  | { do: "show" }
  /** WebSockets do not get through for a while: REST serves. */
  | { do: "bar"; tries: number }
  /** Consent is withdrawn, and given again. */
  | { do: "withdraw" }
  | { do: "flush" };

const what: fc.Arbitrary<What> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant("record" as const),
      kind: fc.constantFrom(
        "click" as const,
        "answer" as const,
        "chat" as const,
        "feedback" as const,
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("wait" as const),
      ms: fc.constantFrom(0, 1, 2, 3, 5, 50, 1_100, 16_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("cut" as const),
      code: fc.constantFrom(1006, 1011, 1012, 4408, 4503, 1009),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("rule" as const),
      answers: fc.array(
        fc.constantFrom(
          null,
          "silence",
          "close",
          "lost",
          "reject",
          ...Object.keys(ERROR_REACTIONS),
        ),
        { maxLength: 5 },
      ),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("restart" as const),
      how: fc.constantFrom("kill" as const, "close" as const),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ do: "leave" as const }, { do: "flush" as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ do: "hide" as const }, { do: "show" as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("bar" as const),
      tries: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "withdraw" as const }) },
);
const act: fc.Arbitrary<Act> = fc
  .tuple(what, fc.constantFrom(0 as const, 1 as const))
  .map(([one, tab]) => ({ ...one, tab }));

function balanced(client: Client): void {
  const { recorded, accepted, refused, dropped, pending } = client.stats();
  const lost = Object.values(dropped).reduce((sum, one) => sum + one, 0);
  assert.equal(recorded, accepted + refused + lost + pending, JSON.stringify(client.stats()));
  assert.ok(pending >= 0);
}

/** One run: what was promised, and what came of it. */
class Run {
  readonly world = new World();
  readonly tabs: Tab[] = [];
  readonly clients: Client[] = [];
  readonly shared: boolean;
  tokens = 0;
  /** Stored while the page lived. */
  readonly stored = new Set<string>();
  /** The server refused them, or the learner withdrew them: they need not arrive. */
  readonly refused = new Set<string>();
  readonly recorded: string[] = [];
  withdrawnAt = 0;
  answers: (string | null)[] = [];
  /** Message id -> its body, and its last try. */
  readonly messages = new Map<string, { body: string; attempt: number }>();

  /** @param tabs how many share the outbox */
  constructor(tabs: number) {
    this.shared = tabs > 1;
    this.world.gateway.rule = (message) => this.#rule(message);
    for (let at = 0; at < tabs; at++) this.#begin(at);
  }

  #begin(at: number): void {
    const tab = (this.tabs[at] = this.world.tab(this.shared ? shared(this.world) : {}));
    this.clients[at] = createClient({
      url: "https://masterx.test",
      userId: "ada",
      getToken: async () => `token-${this.tokens++}`,
      consent: "granted",
      environment: tab.environment,
    });
  }

  #rule(message: { id?: string; attempt?: number } & Record<string, unknown>): Ruling {
    const { sentAt, attempt, type, ...body } = message;
    assert.equal(sentAt, this.world.now - 1, "sentAt is that of the try");
    const text = JSON.stringify([type, body]);
    const before = this.messages.get(message.id!);
    if (before) {
      assert.equal(text, before.body, "a batch is sent again as it was");
      // Two tabs may try the same at once; neither knows of the other's try.
      assert.ok(this.shared || attempt! > before.attempt, "a try counts");
    }
    this.messages.set(message.id!, { body: text, attempt: attempt! });
    const answer = this.answers.shift();
    if (!answer) return undefined;
    if (answer === "silence" || answer === "close") return answer;
    const events = eventsOf(message as never);
    if (answer === "lost") {
      // It took effect, and nobody hears of it.
      for (const id of events) this.world.gateway.effects.set(id, 1);
      return "silence";
    }
    if (answer === "reject") {
      if (!message["interactions"]) return undefined;
      this.refused.add(events[0]!);
      for (const id of events.slice(1)) this.world.gateway.effects.set(id, 1);
      const rejected = [{ index: 0, field: "f", message: "wrong" }];
      return { type: "ack", id: message.id, eventIds: events.slice(1), duplicates: [], rejected };
    }
    const reaction = ERROR_REACTIONS[answer as keyof typeof ERROR_REACTIONS];
    if (reaction === "refuse" || (reaction === "split" && events.length === 1))
      for (const id of events) this.refused.add(id);
    const after = reaction === "pause" ? { retryAfter: 2 } : {};
    return { type: "error", code: answer, id: message.id, message: "no", ...after };
  }

  #follow(tab: Tab, receipt: Receipt): void {
    this.recorded.push(receipt.id);
    // In the moment until every tab knows, a withdrawal covers what the others record.
    if (this.shared && this.world.now - this.withdrawnAt < 10) this.refused.add(receipt.id);
    void receipt.stored.then(
      () => tab.dead || this.stored.add(receipt.id),
      () => {},
    );
  }

  async act(one: Act): Promise<void> {
    const { world } = this;
    const at = one.tab % this.tabs.length;
    const client = this.clients[at]!;
    const tab = this.tabs[at]!;
    if (one.do === "record") {
      const outcome = { targetType: "reply", targetId: "r", outcome: "helpful" } as const;
      if (one.kind === "chat") this.#follow(tab, client.say("why?"));
      else if (one.kind === "feedback") this.#follow(tab, client.feedback(outcome));
      else if (one.kind === "click") this.#follow(tab, client.record({ interactionType: "click" }));
      else this.#follow(tab, client.exercise({}).finish());
    } else if (one.do === "wait") await world.advance(one.ms);
    else if (one.do === "cut") world.gateway.cut(one.code);
    else if (one.do === "rule") this.answers = [...one.answers];
    else if (one.do === "flush") void client.flush();
    else if (one.do === "hide") tab.page("hidden");
    else if (one.do === "show") tab.page("return");
    else if (one.do === "bar")
      world.gateway.doors.push(...Array<"refuse">(one.tries).fill("refuse"));
    else if (one.do === "withdraw") {
      client.setConsent("denied");
      client.setConsent("granted");
      for (const id of this.recorded) this.refused.add(id);
      this.withdrawnAt = world.now;
    } else if (one.do === "leave") {
      tab.page("leave");
      tab.page("return");
    } else {
      if (one.how === "kill") tab.kill();
      else client.close();
      balanced(client);
      await settled(); // what was handed to the database is there
      this.#begin(at);
    }
    for (const each of this.clients) balanced(each);
  }

  /** Everything works again, for long enough. */
  async end(): Promise<void> {
    this.answers = [];
    this.world.gateway.doors.length = 0;
    for (const tab of this.tabs) tab.page("return");
    for (let round = 0; round < 6; round++) {
      for (const client of this.clients) client.setConsent("granted");
      await this.world.advance(61_000);
      for (const client of this.clients) balanced(client);
    }
  }
}

for (const tabs of [1, 2])
  test(`the books balance, and what was stored counts, whatever happens (tabs: ${tabs})`, () =>
    proven(tabs));

async function proven(tabs: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60, size: "max" }), async (acts) => {
      const run = new Run(tabs);
      for (const one of acts) await run.act(one);
      await run.end();
      const { stored, refused, world, clients } = run;
      for (const client of clients)
        assert.equal(client.stats().pending, 0, JSON.stringify(client.stats()));
      for (const id of stored)
        assert.ok(world.gateway.effects.has(id) || refused.has(id), `${id} is lost`);
      for (const client of clients) client.close();
      assert.deepEqual(world.complaints, []);
      await world.advance(1);
      assert.equal(world.timers, 0);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
}
