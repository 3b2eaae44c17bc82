import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Client, createClient } from "../src/core/client.ts";
import { type Receipt } from "../src/core/receipts.ts";
import { ERROR_REACTIONS } from "../src/core/sender.ts";
import { type Ruling, type Tab, World, eventsOf, settled } from "./world.ts";

const RUNS = Number(process.env["MASTERX_RUNS"] ?? 60);

type Act =
  | { do: "record"; kind: "click" | "answer" | "chat" | "feedback" }
  | { do: "wait"; ms: number }
  | { do: "cut"; code: number }
  /** The next messages are answered so, one after another. */
  | { do: "rule"; answers: (string | null)[] }
  /** The page is killed or closed, and another begins on the same disk. */
  | { do: "restart"; how: "kill" | "close" }
  | { do: "leave" }
  | { do: "flush" };

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("record" as const), kind: fc.constantFrom("click" as const, "answer" as const, "chat" as const, "feedback" as const) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.constantFrom(0, 1, 2, 3, 5, 50, 1_100, 16_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("cut" as const), code: fc.constantFrom(1006, 1011, 1012, 4408, 4503, 1009) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("rule" as const),
      answers: fc.array(fc.constantFrom(null, "silence", "close", "lost", "reject", ...Object.keys(ERROR_REACTIONS)), { maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("restart" as const), how: fc.constantFrom("kill" as const, "close" as const) }) },
  { weight: 1, arbitrary: fc.constantFrom({ do: "leave" as const }, { do: "flush" as const }) },
);

function balanced(client: Client): void {
  const { recorded, accepted, refused, dropped, pending } = client.stats();
  const lost = Object.values(dropped).reduce((sum, one) => sum + one, 0);
  assert.equal(recorded, accepted + refused + lost + pending, JSON.stringify(client.stats()));
  assert.ok(pending >= 0);
}

/** One run: what was promised, and what came of it. */
class Run {
  readonly world = new World();
  tab!: Tab;
  client!: Client;
  tokens = 0;
  /** Stored while the page lived. */
  readonly stored = new Set<string>();
  readonly refused = new Set<string>();
  answers: (string | null)[] = [];
  /** Message id -> its body, and its last try. */
  readonly messages = new Map<string, { body: string; attempt: number }>();

  constructor() {
    this.world.gateway.rule = (message) => this.#rule(message);
    this.#begin();
  }

  #begin(): void {
    this.tab = this.world.tab();
    this.client = createClient({
      url: "https://masterx.test",
      userId: "ada",
      getToken: async () => `token-${this.tokens++}`,
      consent: "granted",
      environment: this.tab.environment,
    });
  }

  #rule(message: { id?: string; attempt?: number } & Record<string, unknown>): Ruling {
    const { sentAt, attempt, ...body } = message;
    assert.equal(sentAt, this.world.now - 1, "sentAt is that of the try");
    const text = JSON.stringify(body);
    const before = this.messages.get(message.id!);
    if (before) {
      assert.equal(text, before.body, "a batch is sent again as it was");
      assert.ok(attempt! > before.attempt, "a try counts");
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

  #follow(receipt: Receipt): void {
    const { tab } = this;
    void receipt.stored.then(
      () => tab.dead || this.stored.add(receipt.id),
      () => {},
    );
  }

  async act(one: Act): Promise<void> {
    const { client, world } = this;
    if (one.do === "record") {
      const outcome = { targetType: "reply", targetId: "r", outcome: "helpful" } as const;
      if (one.kind === "chat") this.#follow(client.say("why?"));
      else if (one.kind === "feedback") this.#follow(client.feedback(outcome));
      else if (one.kind === "click") this.#follow(client.record({ interactionType: "click" }));
      else this.#follow(client.exercise({}).finish());
    } else if (one.do === "wait") await world.advance(one.ms);
    else if (one.do === "cut") world.gateway.cut(one.code);
    else if (one.do === "rule") this.answers = [...one.answers];
    else if (one.do === "flush") void client.flush();
    else if (one.do === "leave") {
      this.tab.page("leave");
      this.tab.page("return");
    } else {
      if (one.how === "kill") this.tab.kill();
      else client.close();
      balanced(client);
      await settled(); // what was handed to the database is there
      this.#begin();
    }
    balanced(this.client);
  }

  /** Everything works again, for long enough. */
  async end(): Promise<void> {
    this.answers = [];
    for (let round = 0; round < 6; round++) {
      this.client.setConsent("granted");
      await this.world.advance(61_000);
      balanced(this.client);
    }
  }
}

test("the books balance, and what was stored counts once, whatever happens", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 60, size: "max" }), async (acts) => {
      const run = new Run();
      for (const one of acts) await run.act(one);
      await run.end();
      const { stored, refused, world, client } = run;
      assert.equal(client.stats().pending, 0, JSON.stringify(client.stats()));
      for (const id of stored)
        assert.ok(world.gateway.effects.has(id) || refused.has(id), `${id} is lost`);
      client.close();
      assert.deepEqual(world.complaints, []);
      await world.advance(1);
      assert.equal(world.timers, 0);
    }),
    { numRuns: RUNS, includeErrorInReport: true },
  );
});
