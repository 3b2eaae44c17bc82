/** Parts that need no world: ids, clock, replies, pushes, consent, and the types of the wire. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import fc from "fast-check";
import { Clock, LEAST_OFFSET } from "../src/core/clock.ts";
import { ConsentGate } from "../src/core/consent.ts";
import { Ids, madeAt } from "../src/core/ids.ts";
import { Pushes } from "../src/core/pushes.ts";
import { Replies, type ReplyText } from "../src/core/replies.ts";
import { expiry } from "../src/core/tokens.ts";
import type { TutorDelta, TutorReply } from "../src/core/wire.gen.ts";
import { createClient } from "../src/core/client.ts";
import { World, token } from "./world.ts";

test("the types are those of contracts/wire", () => {
  const run = spawnSync(process.execPath, ["scripts/types.mjs", "--check"], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});

test("ids are UUIDv7s, and sort as they were made, also when the clock is set back", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -5_000, max: 5_000 }), { maxLength: 50 }), (moves) => {
      let now = 1_795_000_000_000;
      const ids = new Ids({
        now: () => now,
        randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
      });
      let last = ids.next();
      for (const move of moves) {
        now += move;
        for (let at = 0; at < 100; at++) {
          const next = ids.next();
          assert.match(
            next,
            /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
          );
          assert.ok(next > last, `${next} after ${last}`);
          last = next;
        }
      }
    }),
    { numRuns: 50 },
  );
});

test("an id says when it was made", () => {
  const now = 1_795_000_000_123;
  const ids = new Ids({ now: () => now, randomBytes: (length) => new Uint8Array(length) });
  assert.equal(madeAt(ids.next()), now);
});

test("more ids in a millisecond than the counter holds still sort", () => {
  const ids = new Ids({ now: () => 1, randomBytes: (length) => new Uint8Array(length) });
  const all = Array.from({ length: 10_000 }, () => ids.next());
  assert.deepEqual([...all].sort(), all);
  assert.equal(new Set(all).size, all.length);
});

test("a device's clock that is set back does not move the server's time; set forward, who knows", () => {
  let [wall, elapsed] = [1_000_000, 0];
  const clock = new Clock({ now: () => wall, elapsed: () => elapsed });
  assert.equal(clock.steady, false);
  clock.sample(5_000_000, 0);
  assert.deepEqual([clock.now(), clock.steady], [5_000_000, true]);
  elapsed += 10_000;
  wall += 10_000 - 86_400_000;
  assert.deepEqual([clock.now(), clock.steady], [5_010_000, true]);
  wall += 2 * 86_400_000; // or it has slept for a day
  assert.equal(clock.steady, false);
  clock.restart();
  clock.sample(5_010_000, elapsed);
  assert.deepEqual([clock.now(), clock.steady], [5_010_000, true]);
});

test("the clock takes the offset of the shortest trip, and leaves noise alone", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -100_000_000, max: 100_000_000 }),
      fc.array(fc.tuple(fc.nat(4_000), fc.nat(4_000)), { minLength: 1, maxLength: 8 }),
      (offset, trips) => {
        let elapsed = 0;
        const start = 1_795_000_000_000;
        const clock = new Clock({ now: () => start + elapsed - offset, elapsed: () => elapsed });
        for (const [out, back] of trips) {
          const sent = elapsed;
          elapsed += out;
          const serverTime = start + elapsed;
          elapsed += back;
          clock.sample(serverTime, sent);
        }
        const shortest = Math.min(...trips.map(([out, back]) => out + back));
        if (clock.offset === 0) {
          assert.ok(Math.abs(offset) <= Math.max(LEAST_OFFSET, shortest) + shortest / 2 + 1);
          return;
        }
        assert.ok(Math.abs(clock.offset - offset) <= shortest / 2 + 1);
        assert.ok(Math.abs(clock.now() - (start + elapsed)) <= shortest / 2 + 1);
      },
    ),
  );
});

test("events of a device whose clock is wrong carry the server's time, those from before too", async () => {
  const world = new World();
  world.skew = -86_400_000;
  world.gateway.serverTime = () => world.now;
  const early = world.now;
  const client = createClient({
    url: "https://masterx.test",
    userId: "ada",
    getToken: async () => "opaque",
    consent: "granted",
    environment: world.tab().environment,
  });
  client.record({ interactionType: "before contact" });
  client.record({ interactionType: "given", timestamp: world.now + world.skew - 60_000 });
  await world.advance(5_000);
  const late = world.now;
  client.record({ interactionType: "after" });
  await world.advance(2_000);
  const sent = world.gateway.received.flatMap(
    (one) => one["interactions"] as { interactionType: string; timestamp: number }[],
  );
  const times = Object.fromEntries(sent.map((one) => [one.interactionType, one.timestamp]));
  for (const [name, expected] of [
    ["before contact", early],
    ["given", early - 60_000],
    ["after", late],
  ] as const)
    assert.ok(
      Math.abs(times[name]! - expected) < 20,
      `${name} is off by ${times[name]! - expected}`,
    );
  for (const one of world.gateway.received)
    assert.ok(Math.abs((one["sentAt"] as number) - world.now) < 10_000);
  client.close();
});

test("sentAt is by the clock of the times, also over reconnects and page restarts", async () => {
  const world = new World();
  world.skew = 5_000_000;
  let checked = 0;
  let lose = false;
  world.gateway.rule = (message) => {
    const { sentAt, interactions } = message as unknown as {
      sentAt: number;
      interactions: { timestamp: number; elementId: string }[];
    };
    // What the server makes of it: it adds what the sender's clock is behind.
    for (const { timestamp, elementId } of interactions) {
      const corrected = timestamp + (world.now - sentAt);
      assert.ok(Math.abs(corrected - Number(elementId)) < 1_000, `${corrected} for ${elementId}`);
      checked += 1;
    }
    return lose ? "close" : undefined;
  };
  const open = () =>
    createClient({
      url: "https://masterx.test",
      userId: "ada",
      getToken: async () => token(world.now + 100_000),
      consent: "granted",
      environment: world.tab().environment,
    });
  let client = open();
  for (let round = 0; round < 12; round++) {
    const knows = round % 4 >= 2;
    world.gateway.serverTime = knows ? () => world.now : undefined;
    lose = round % 3 === 1;
    if (round % 2) world.gateway.cut();
    if (round % 5 === 4) {
      client.close();
      client = open();
    }
    for (let at = 0; at < 3; at++) {
      client.record({ interactionType: "click", elementId: String(world.now) });
      await world.advance(700);
    }
    await world.advance(lose ? 900 : 20_000);
  }
  lose = false;
  await world.advance(60_000);
  assert.equal(client.stats().pending, 0);
  assert.ok(checked >= 36);
  client.close();
});

// -- replies: a model that follows the three rules of wire.md, word by word ---------------------

interface Shown {
  attempt: number;
  text: string;
  next: number;
  /** A delta was left out: nothing more is appended. */
  gap: boolean;
  over: number;
  final: string | undefined;
}

function expected(frames: (TutorDelta | TutorReply)[]): Shown {
  const shown: Shown = { attempt: 0, text: "", next: 0, gap: false, over: 0, final: undefined };
  for (const frame of frames) {
    if (shown.final !== undefined) break;
    if (frame.type === "tutor_delta") {
      if (frame.attempt < shown.attempt || frame.attempt <= shown.over) continue;
      if (frame.attempt > shown.attempt) {
        Object.assign(shown, { attempt: frame.attempt, text: "", next: 0, gap: false });
      }
      if (frame.index < shown.next) continue;
      if (frame.index > shown.next) shown.gap = true;
      if (shown.gap) continue;
      shown.text += frame.text;
      shown.next += 1;
    } else if (frame.final) shown.final = frame.text;
    else if (frame.attempt === 0 || frame.attempt >= shown.attempt) {
      const attempt = Math.max(frame.attempt, shown.attempt);
      Object.assign(shown, { attempt, text: "", next: 0, gap: false, over: attempt });
    }
  }
  return shown;
}

test("deltas, attempts, voids and finals in any order show what wire.md says", () => {
  const place = { epoch: "e", offset: 1, causedBy: ["m"], replyId: "r" };
  const delta = fc
    .record({ attempt: fc.integer({ min: 1, max: 3 }), index: fc.nat(3) })
    .map(({ attempt, index }): TutorDelta => ({
      ...place,
      type: "tutor_delta",
      attempt,
      index,
      text: `${attempt}.${index} `,
    }));
  const whole = fc
    .record({ attempt: fc.nat(3), final: fc.boolean() })
    .map(({ attempt, final }): TutorReply => ({
      ...place,
      type: "tutor_reply",
      attempt,
      final,
      text: final ? "whole" : "",
      status: final ? "answered" : "superseded",
      because: [],
      cutShort: false,
    }));
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 4, arbitrary: delta }, whole), { maxLength: 25 }),
      (frames) => {
        const replies = new Replies();
        for (const frame of frames)
          if (frame.type === "tutor_delta") replies.delta(frame);
          else replies.reply(frame);
        const [shown] = replies.all() as (ReplyText | undefined)[];
        const model = expected(frames);
        if (!shown) return assert.equal(frames.length, 0);
        if (model.final !== undefined)
          return assert.deepEqual([shown.text, shown.final], [model.final, true]);
        assert.deepEqual(
          [shown.text, shown.attempt, shown.gap, shown.final],
          [model.text, model.attempt, model.gap, false],
        );
      },
    ),
    { numRuns: 2_000 },
  );
});

test("replies that are kept are bounded", () => {
  const replies = new Replies();
  for (let at = 0; at < 200; at++)
    replies.delta({
      type: "tutor_delta",
      epoch: "e",
      offset: at,
      causedBy: [],
      replyId: `r${at}`,
      attempt: 1,
      index: 0,
      text: "x",
    });
  assert.equal(replies.all().length, 50);
  assert.equal(replies.all().at(-1)!.replyId, "r199");
});

test("pushes count once and in order, none while resuming", () => {
  const pushes = new Pushes();
  const hello = { type: "hello", epoch: "e", offset: 5, limits: {} as never } as const;
  assert.equal(pushes.hello(hello, 0), undefined);
  assert.deepEqual(
    [6, 6, 5, 8].map((offset) => pushes.take({ epoch: "e", offset })),
    [true, false, false, true],
  );
  assert.deepEqual(pushes.hello({ ...hello, offset: 12 }, 0), {
    type: "resume",
    epoch: "e",
    offset: 8,
  });
  assert.equal(pushes.take({ epoch: "e", offset: 13 }), false);
  assert.equal(
    pushes.resumed({ type: "resumed", recovered: true, epoch: "e", offset: 8 } as never),
    false,
  );
  assert.equal(pushes.take({ epoch: "e", offset: 10 }), true);
  assert.equal(
    pushes.resumed({ type: "resumed", recovered: false, epoch: "f", offset: 2 } as never),
    true,
  );
  assert.deepEqual(pushes.place, { epoch: "f", offset: 2 });
});

test("the gate of consent tells its changes, and each denial", () => {
  const told: boolean[] = [];
  const fail = (error: unknown): void => assert.fail(String(error));
  const gate = new ConsentGate("pending", (granted) => told.push(granted), fail);
  for (const state of ["denied", "granted", "granted", "pending", "denied"] as const)
    gate.set(state);
  assert.deepEqual(told, [false, true, false, false]);
});

test("the expiry of a token is read where there is one", () => {
  assert.equal(expiry(token(1_795_000_000_000, "ünï")), 1_795_000_000_000);
  for (const one of ["", "opaque", "a.b.c", "a.e30.c"]) assert.equal(expiry(one), undefined);
});
