import assert from "node:assert/strict";
import { test } from "node:test";
import type { Client, ClientOptions } from "../src/core/api.ts";
import { LOGOUT_FLUSH, createClient } from "../src/core/client.ts";
import { RESUME_WITHIN } from "../src/core/pushes.ts";
import { Ids } from "../src/core/ids.ts";
import { HIDDEN_FOR } from "../src/core/presence.ts";
import { EVENT_AGE, MOST_BYTES, MOST_ENTRIES, Outbox, SENT_BEFORE } from "../src/core/outbox.ts";
import { ERROR_REACTIONS } from "../src/core/problems.ts";
import {
  DATABASE,
  type Entry,
  type Loaded,
  OPEN_TIMEOUT,
  WriteAhead,
} from "../src/core/write_ahead.ts";
import { type Tab, World, eventsOf, settled, shared, token } from "./world.ts";

const click = { interactionType: "click", elementId: "next" };

function open(world: World, more: Partial<ClientOptions> = {}, tab: Tab = world.tab()): Client {
  return createClient({
    url: "https://masterx.test",
    userId: "ada",
    getToken: async () => token(world.now + 3_600_000),
    consent: "granted",
    environment: tab.environment,
    ...more,
  });
}

function balanced(client: Client): void {
  const { recorded, accepted, refused, dropped, pending } = client.stats();
  const lost = Object.values(dropped).reduce((sum, one) => sum + one, 0);
  assert.equal(recorded, accepted + refused + lost + pending, JSON.stringify(client.stats()));
}

test("an interaction is stored, sent and accepted", async () => {
  const world = new World();
  const client = open(world);
  const receipt = client.record(click);
  await receipt.stored;
  assert.equal(client.stats().pending, 1);
  await world.advance(50);
  assert.equal(await receipt.accepted, "new");
  const [message] = world.gateway.received;
  assert.equal(message!.type, "interaction_batch");
  assert.equal(message!.attempt, 1);
  assert.deepEqual(eventsOf(message!), [receipt.id]);
  assert.equal(client.stats().accepted, 1);
  balanced(client);
  client.close();
});

test("nothing is sent before it is in the write-ahead log", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(100);
  let inDatabase = 0;
  world.gateway.rule = () => {
    inDatabase = client.stats().pending;
    return "silence";
  };
  client.record(click);
  assert.equal(world.gateway.received.length, 0);
  await world.advance(50);
  assert.equal(inDatabase, 1);
  // The page dies before an answer: the next one finds it, and sends the same again.
  const first = world.gateway.received[0]!;
  world.gateway.cut();
  world.gateway.rule = () => undefined;
  const next = open(world);
  await world.advance(50);
  const again = world.gateway.received.at(-1)!;
  assert.equal(again.attempt, 2);
  assert.deepEqual({ ...again, attempt: 0, sentAt: 0 }, { ...first, attempt: 0, sentAt: 0 });
  assert.notEqual(again["sentAt"], first["sentAt"]);
  assert.deepEqual([next.stats().restored, next.stats().accepted], [1, 1]);
  balanced(next);
  client.close();
  next.close();
});

test("a frozen batch is sent again as it was, with its tries counted", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  world.gateway.rule = () => "close";
  client.record(click);
  await world.advance(20);
  client.record({ interactionType: "later" });
  await world.advance(40_000);
  world.gateway.rule = () => undefined;
  await world.advance(20_000);
  const [first] = world.gateway.received;
  const tries = world.gateway.received.filter(({ id }) => id === first!.id);
  assert.ok(tries.length > 2);
  assert.deepEqual(
    tries.map(({ attempt }) => attempt),
    tries.map((_, at) => at + 1),
  );
  for (const one of tries) assert.deepEqual(one["interactions"], first!["interactions"]);
  assert.equal(client.stats().accepted, 2);
  assert.equal(
    [...world.gateway.effects.values()].every((times) => times === 1),
    true,
  );
  balanced(client);
  client.close();
});

test("after an acknowledgement nothing is left on the disk", async () => {
  const world = new World();
  const client = open(world);
  for (let at = 0; at < 120; at++) client.record(click);
  await world.advance(5_000);
  assert.equal(client.stats().accepted, 120);
  client.close();
  const next = open(world);
  await world.advance(5_000);
  assert.equal(next.stats().recorded, 0);
  next.close();
});

test("the first event goes at once, then they gather; answers and chat do not wait", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(100);
  client.record(click);
  await world.advance(20);
  assert.equal(world.gateway.received.length, 1);
  for (let at = 0; at < 3; at++) {
    client.record(click);
    await world.advance(100);
  }
  assert.equal(world.gateway.received.length, 1);
  await world.advance(1_000);
  assert.deepEqual(
    world.gateway.received.map((one) => eventsOf(one).length),
    [1, 3],
  );
  client.record({ ...click, taskData: { correct: true } });
  client.say("why?");
  await world.advance(20);
  assert.equal(world.gateway.received.length, 4);
  client.close();
});

test("at most 200 events are unacknowledged, or as many as the server says", async () => {
  for (const [limits, bound] of [
    [{}, 200],
    [{ unacknowledged: 70 }, 70],
  ] as const) {
    const world = new World();
    world.gateway.hello = { limits };
    world.gateway.rule = () => "silence";
    const client = open(world);
    await world.advance(50);
    for (let at = 0; at < 600; at++) client.record(click);
    await world.advance(5_000);
    assert.equal(world.gateway.mostUnderWay, bound);
    client.close();
  }
});

test("a full outbox drops the oldest that is neither answer nor chat, and tells", async () => {
  const world = new World();
  world.gateway.doors.push(...Array<number>(50).fill(4503));
  const client = open(world);
  const answer = client.record({ ...click, taskData: { correct: true } });
  const said = client.say("hello");
  const oldest = client.record(click);
  for (let at = 3; at < MOST_ENTRIES; at++) client.record(click);
  balanced(client);
  assert.equal(client.stats().pending, MOST_ENTRIES);
  client.record(click);
  await assert.rejects(oldest.accepted, { code: "full" });
  assert.deepEqual(client.stats().dropped, { full: 1 });
  assert.equal(client.problems.get().at(-1)!.code, "outbox_full");
  let gone = false;
  for (const kept of [answer, said]) kept.accepted.catch(() => (gone = true));
  await settled();
  assert.equal(gone, false);
  balanced(client);
  client.close();
});

test("nothing is recorded, sent or connected before consent; withdrawing purges", async () => {
  const world = new World();
  const client = open(world, { consent: "pending" });
  const early = client.record(click);
  await world.advance(5_000);
  await assert.rejects(early.accepted, { code: "no_consent" });
  assert.equal(world.gateway.handshakes.length, 0);
  client.setConsent("granted");
  world.gateway.rule = () => "silence";
  await world.advance(50);
  const late = client.record(click);
  await world.advance(50);
  client.setConsent("denied");
  await world.advance(50);
  await assert.rejects(late.accepted, { code: "withdrawn" });
  assert.equal(world.gateway.sockets.size, 0);
  assert.deepEqual(client.stats().dropped, { no_consent: 1, withdrawn: 1 });
  balanced(client);
  client.close();
  const next = open(world);
  await world.advance(50);
  assert.equal(next.stats().recorded, 0);
  next.close();
});

/** A page leaves an event that was not sent. @returns its id */
async function leaveOne(world: World, tab: Tab = world.tab()): Promise<string> {
  const page = open(world, { getToken: () => new Promise(() => {}) }, tab);
  const { id, stored } = page.record(click);
  await world.advance(20);
  await stored;
  page.close();
  return id;
}

test("denied also purges what an earlier page left, pending does not", async () => {
  for (const [consent, then, left] of [
    ["denied", undefined, 0],
    ["pending", "denied", 0],
    ["pending", undefined, 1],
  ] as const) {
    const world = new World();
    await leaveOne(world);
    const page = open(world, { consent });
    await world.advance(20);
    if (then) page.setConsent(then);
    await world.advance(20);
    page.setConsent("granted");
    await world.advance(500);
    assert.deepEqual(
      [page.stats().recorded, world.gateway.received.length],
      [left, left],
      `${consent}, ${then}`,
    );
    assert.equal(world.gateway.handshakes.length, 1);
    page.close();
  }
});

test("a page that begins denied makes the other tabs forget; logout tells them why", async () => {
  for (const reason of ["withdrawn", "logout"] as const) {
    const world = new World();
    const one = open(world, {}, world.tab(shared(world)));
    world.gateway.rule = () => "silence";
    await world.advance(100);
    const { accepted } = one.record(click);
    await world.advance(50);
    const consent = reason === "logout" ? "granted" : "denied";
    const two = open(world, { consent }, world.tab(shared(world)));
    await world.advance(50);
    if (reason === "logout") void two.logout();
    await world.advance(2_100);
    assert.deepEqual(one.stats().dropped, { [reason]: 1 });
    await assert.rejects(accepted, { code: reason });
    for (const client of [one, two]) {
      balanced(client);
      client.close();
    }
  }
});

test("what was settled while the store was read is not taken over from it", async (t) => {
  for (const how of ["settled", "purged"] as const) {
    const world = new World();
    const id = await leaveOne(world);
    let hand: () => void = () => {};
    const { load } = WriteAhead.prototype;
    const slow = t.mock.method(WriteAhead.prototype, "load", async function (this: WriteAhead) {
      const loaded = await load.call(this);
      await new Promise<void>((go) => (hand = go));
      return loaded;
    });
    const client = open(world, {}, world.tab(shared(world)));
    await world.advance(50);
    assert.equal(slow.mock.callCount(), 1);
    const other = shared(world).openChannel!("masterx|https://masterx.test|ada");
    if (how === "settled") other.postMessage({ settled: [[id, "new"]] });
    else open(world, { consent: "denied" }, world.tab(shared(world))).close();
    await world.advance(50);
    hand();
    await world.advance(500);
    assert.deepEqual([client.stats().recorded, world.gateway.received.length], [0, 0], how);
    client.close();
    other.close();
    slow.mock.restore();
  }
});

test("the store is read after every change that was asked for before", async () => {
  const world = new World();
  const id = await leaveOne(world);
  const { environment } = world.tab();
  const log = new WriteAhead(environment, "https://masterx.test|ada", true, () => {});
  assert.equal((await log.load()).entries.length, 1);
  void log.write({ thawed: ["under way"] });
  void log.write({ settled: [id] }); // shares the next transaction
  assert.deepEqual((await log.load()).entries, []);
  log.close();
});

test("an outbox takes over nothing that was settled, or had to go, while it was read", async () => {
  const world = new World();
  const ids = new Ids(world.tab().environment);
  const entries = [0, 1, 2].map((): Entry => {
    const bytes = MOST_BYTES / 2;
    const head = { scope: "s", id: ids.next(), kind: "interactions" as const };
    return { ...head, body: { interactionType: "click" }, at: 0, offset: undefined, bytes };
  });
  let stored: Loaded = { entries: [], batches: [] };
  const log = { load: async () => stored, write: async () => {} } as unknown as WriteAhead;
  const outbox = new Outbox(log, false);
  for (const entry of entries.slice(0, 2)) await outbox.add(entry).stored;
  const limits = { events: 1, bytes: 1 };
  const batch = outbox.freeze(ids.next(), limits, undefined, world.now)!;
  stored = { entries: entries.slice(0, 2), batches: [batch] };
  const loaded = await outbox.load();
  assert.deepEqual(outbox.add(entries[2]!).dropped, [entries[1]]); // it was full
  void outbox.settle(batch.members, batch);
  assert.deepEqual(outbox.restore(loaded), { entries: [], batches: [] });
  assert.deepEqual(outbox.ids(), [entries[2]!.id]);
  // What is settled now says nothing of what is read later.
  void outbox.settle(outbox.ids());
  stored = { entries: [entries[2]!], batches: [] };
  assert.deepEqual(outbox.restore(await outbox.load()).entries, [entries[2]]);
});

test("every error has its reaction", async (t) => {
  for (const [code, reaction] of Object.entries(ERROR_REACTIONS))
    await t.test(`${code}: ${reaction}`, async () => {
      const world = new World();
      const client = open(world);
      await world.advance(50);
      let errors = 1;
      world.gateway.rule = ({ id }) =>
        errors-- > 0
          ? {
              type: "error",
              code,
              id,
              message: "no",
              ...(reaction === "pause" && { retryAfter: 2 }),
            }
          : undefined;
      client.record(click);
      await world.advance(5); // the first goes alone
      const answers = [1, 2, 3].map(() => client.record({ ...click, taskData: {} }));
      await world.advance(200);
      const before = world.gateway.received.length;
      await world.advance(10_000);
      const { refused, accepted, pending } = client.stats();
      balanced(client);
      if (reaction === "refuse" || reaction === "split") {
        assert.deepEqual([refused, accepted, pending], [1, 3, 0]);
        assert.equal(client.problems.get()[0]!.code, "invalid_message");
      } else if (reaction === "park") {
        assert.equal(pending, 4 - accepted);
        assert.ok(pending >= 1);
        assert.equal(world.gateway.received.length, before);
        client.setConsent("granted");
        await world.advance(5_000);
        assert.equal(client.stats().accepted, 4);
      } else {
        assert.deepEqual([refused, accepted, pending], [0, 4, 0]);
        assert.equal(world.gateway.received.at(-1)!.attempt! >= 1, true);
        assert.equal(client.stats().retries, 1);
      }
      void answers;
      client.close();
    });
});

test("retryAfter is obeyed", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  let at = 0;
  world.gateway.rule = ({ id, attempt }) => {
    if (attempt! > 1) return undefined;
    at = world.now;
    return { type: "error", code: "slow_down", id, message: "slow down", retryAfter: 7 };
  };
  client.record(click);
  await world.advance(6_900);
  client.say("not yet", { wantsReply: false });
  assert.equal(world.gateway.received.length, 1);
  world.gateway.rule = () => undefined;
  await world.advance(500);
  assert.equal(world.gateway.received.length, 3);
  assert.ok(world.now - at >= 7_000);
  client.close();
});

test("a batch that is too large is split until the one event is found", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  client.record(click);
  await world.advance(20);
  world.gateway.rule = (message) =>
    JSON.stringify(message).includes("poison")
      ? { type: "error", code: "too_large", id: message.id, message: "too large" }
      : undefined;
  for (let at = 0; at < 12; at++) client.record({ interactionType: at === 5 ? "poison" : "click" });
  await world.advance(5_000);
  const { accepted, refused, pending } = client.stats();
  assert.deepEqual([accepted, refused, pending], [12, 1, 0]);
  client.close();
});

test("a close with 1009 makes messages smaller", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  client.record(click);
  await world.advance(20);
  world.gateway.rule = (message) => {
    if (eventsOf(message).length <= 6) return undefined;
    world.gateway.cut(1009);
    return "silence";
  };
  for (let at = 0; at < 20; at++) client.record(click);
  await world.advance(60_000);
  assert.deepEqual([client.stats().accepted, client.stats().pending], [21, 0]);
  client.close();
});

test("rejected interactions of a batch are refused, the others accepted", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  client.record(click); // goes at once, the others together
  await world.advance(20);
  world.gateway.rule = (message) => ({
    type: "ack",
    id: message.id,
    eventIds: eventsOf(message).slice(1),
    duplicates: eventsOf(message).slice(2, 3),
    rejected: [{ index: 0, field: "taskData.correct", message: "Input should be a boolean" }],
  });
  const receipts = [0, 1, 2].map(() => client.record(click));
  await world.advance(2_000);
  await assert.rejects(receipts[0]!.accepted, { code: "refused", field: "taskData.correct" });
  assert.equal(await receipts[1]!.accepted, "new");
  assert.equal(await receipts[2]!.accepted, "duplicate");
  assert.equal(client.problems.get()[0]!.field, "taskData.correct");
  balanced(client);
  client.close();
});

test("an acknowledgement that never comes ends the line, and the message goes again", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  world.gateway.rule = ({ attempt }) => (attempt === 1 ? "silence" : undefined);
  client.record(click);
  await world.advance(45_000);
  assert.equal(client.stats().accepted, 1);
  assert.equal(world.gateway.handshakes.length, 2);
  client.close();
});

test("what is not an event is refused here, and nothing throws", async () => {
  const world = new World();
  const client = open(world);
  const circle: Record<string, unknown> = { interactionType: "click" };
  circle["contextData"] = circle;
  const wrong = [undefined, null, 7, {}, { interactionType: "" }, circle];
  for (const one of wrong) client.record(one as never);
  client.record({ interactionType: "click", timestamp: "yesterday" });
  client.record({ interactionType: "click", elementId: "x".repeat(300_000) });
  client.record({ interactionType: "click", timestamp: 5n as never });
  client.say("");
  client.say(7 as never, null as never);
  client.exercise(null as never);
  client.feedback({} as never);
  client.feedback(undefined as never);
  client.apply(undefined as never);
  client.dismiss(null as never);
  await world.advance(1_000);
  assert.deepEqual(client.stats().dropped, { invalid: 14, too_large: 1 });
  balanced(client);
  client.close();
  await assert.rejects(client.record(click).accepted, { code: "closed" });
  balanced(client);
});

test("what the page changes afterwards is not sent", async () => {
  const world = new World();
  const client = open(world);
  const interaction = { interactionType: "click", taskData: { correct: false } };
  client.record(interaction);
  interaction.taskData.correct = true;
  await world.advance(50);
  const [one] = world.gateway.received[0]!["interactions"] as { taskData: unknown }[];
  assert.deepEqual(one!.taskData, { correct: false });
  client.close();
});

test("an exercise is sent once, with the first try and all of them", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  const exercise = client.exercise({ problemId: "p-9", skill: "fractions", hintTotal: 3 });
  exercise.attempt(false);
  exercise.hint();
  exercise.attempt(true);
  await world.advance(2_000);
  const receipt = exercise.finish();
  exercise.attempt(true);
  assert.equal(exercise.finish(), receipt);
  await world.advance(50);
  const all = world.gateway.received.flatMap((one) => one["interactions"]) as object[];
  assert.equal(all.length, 1);
  const { taskData, timingData } = all[0] as { taskData: unknown; timingData: unknown };
  assert.deepEqual(taskData, {
    problemId: "p-9",
    skill: "fractions",
    hintTotal: 3,
    correct: false,
    attemptCount: 2,
    hintCount: 1,
  });
  assert.deepEqual(timingData, { responseTime: 2 });
  client.close();
});

test("each outcome of a recommendation goes once", async () => {
  const world = new World();
  const client = open(world);
  const receipt = client.apply({ id: "r-1" });
  assert.equal(client.apply({ id: "r-1" }), receipt);
  client.revert({ id: "r-1" });
  client.dismiss({ id: "r-2" });
  await world.advance(50);
  assert.deepEqual(
    world.gateway.received.map(({ type, targetId, outcome }) => [type, targetId, outcome]),
    [
      ["feedback", "r-1", "applied"],
      ["feedback", "r-1", "reverted"],
      ["feedback", "r-2", "dismissed"],
    ],
  );
  client.close();
});

test("an outcome that was dropped for want of consent is sent when it is said again", async () => {
  const world = new World();
  const client = open(world, { consent: "pending" });
  await assert.rejects(client.apply({ id: "r-1" }).accepted, { code: "no_consent" });
  client.setConsent("granted");
  client.apply({ id: "r-1" });
  await world.advance(50);
  assert.deepEqual(
    world.gateway.received.map(({ targetId, outcome }) => [targetId, outcome]),
    [["r-1", "applied"]],
  );
  client.close();
});

test("a reply is read as it comes, by any number of readers", async () => {
  const world = new World();
  const client = open(world, { getToken: async () => "opaque" });
  await world.advance(50);
  const reply = client.say("Why?", { wantsReply: true });
  const seen: unknown[] = [];
  const read = (async () => {
    for await (const event of reply) seen.push(event);
  })();
  await world.advance(20);
  const about = { causedBy: [reply.id], replyId: "r-2" };
  const piece = (attempt: number, index: number, text: string) =>
    world.gateway.push("tutor_delta", { ...about, attempt, index, text });
  piece(1, 0, "Let ");
  await world.advance(5);
  piece(1, 1, "me");
  await world.advance(5);
  piece(2, 0, "Look");
  await world.advance(5);
  piece(2, 2, " there");
  await world.advance(5);
  world.gateway.push("tutor_reply", {
    ...about,
    attempt: 2,
    status: "superseded",
    final: false,
    text: "",
  });
  await world.advance(5);
  world.gateway.push("tutor_reply", {
    ...about,
    attempt: 3,
    status: "answered",
    final: true,
    text: "So.",
  });
  await world.advance(5);
  await read;
  assert.deepEqual(
    seen.map((event) => {
      const { type, text, attempt, status } = event as Record<string, unknown>;
      return [type, text ?? attempt ?? status].filter((one) => one !== undefined);
    }),
    [
      ["delta", "Let "],
      ["delta", "me"],
      ["attempt", 2],
      ["delta", "Look"],
      ["gap"],
      ["void", "superseded"],
      ["final", "So."],
    ],
  );
  const late: string[] = [];
  for await (const event of reply) late.push(event.type);
  assert.deepEqual(late, ["final"]);
  await world.advance(200_000);
  assert.equal(world.timers, 0);
  client.close();
});

test("a reply that does not come ends, and so does one to a message that is refused", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  const ends = async (reply: AsyncIterable<{ type: string; code?: string }>) => {
    const all = [];
    for await (const event of reply) all.push(`${event.type} ${event.code}`);
    return all;
  };
  const silent = ends(client.say("one"));
  await world.advance(121_000);
  assert.deepEqual(await silent, ["failed timeout"]);
  world.gateway.rule = ({ id }) => ({ type: "error", code: "invalid_message", id, message: "no" });
  const refused = ends(client.say("two"));
  await world.advance(100);
  assert.deepEqual(await refused, ["failed refused"]);
  const open_ = ends(client.say("three"));
  client.close();
  assert.deepEqual(await open_, ["failed closed"]);
});

test("feedback that the server knew is a duplicate, although it names it by another id", async () => {
  const world = new World();
  const client = open(world);
  await world.advance(50);
  world.gateway.rule = ({ attempt }) => {
    if (attempt! > 1) return undefined;
    return "close";
  };
  const receipt = client.dismiss({ id: "r-1" });
  world.gateway.effects.set(receipt.id, 1);
  await world.advance(20_000);
  assert.equal(await receipt.accepted, "duplicate");
  client.close();
});

test("flush hurries, and says whether everything was settled", async () => {
  const world = new World();
  const client = open(world);
  assert.equal(await client.flush(), true);
  await world.advance(50);
  client.record(click);
  await world.advance(10);
  client.record(click);
  const flushed = client.flush();
  await world.advance(10);
  assert.equal(await flushed, true);
  world.gateway.rule = () => "silence";
  client.record(click);
  const not = client.flush(500);
  await world.advance(600);
  assert.equal(await not, false);
  client.close();
});

/** What a learner has left on the disk: events, batches, places. */
async function left(world: World): Promise<unknown[]> {
  await world.advance(50);
  const database = await new Promise<IDBDatabase>((resolve) => {
    const request = world.indexedDB!.open(DATABASE);
    request.onsuccess = () => resolve(request.result as unknown as IDBDatabase);
  });
  const all: unknown[] = [];
  for (const name of Array.from(database.objectStoreNames)) {
    const request = database.transaction(name, "readonly").objectStore(name).getAll();
    await new Promise((done) => (request.onsuccess = done));
    all.push(...request.result);
  }
  database.close();
  return all;
}

test("logout forgets all, also if the client is closed, records, or is left meanwhile", async () => {
  const meanwhile: ((client: Client, tab: Tab) => void)[] = [
    (client) => client.close(),
    (client) => void client.record(click).accepted.catch(() => {}),
    (_, tab) => tab.page("leave"),
    (_, tab) => tab.page("return"),
  ];
  for (const happens of meanwhile) {
    const world = new World();
    const tab = world.tab();
    const client = open(world, {}, tab);
    await world.advance(50);
    world.gateway.push("intervention", { id: "i-1", level: "mild" });
    world.gateway.rule = () => "silence";
    const said = client.say("a secret", { wantsReply: false });
    await world.advance(50);
    assert.equal((await left(world)).length, 3);
    void client.logout();
    happens(client, tab);
    await world.advance(1);
    happens(client, tab);
    await world.advance(LOGOUT_FLUSH + 100);
    await assert.rejects(said.accepted, { code: "logout" });
    assert.deepEqual(await left(world), [], String(happens));
    assert.equal(world.gateway.sockets.size, 0);
    world.gateway.push("intervention", { id: "i-2", level: "mild" });
    await assert.rejects(client.record(click).accepted, { code: "closed" });
    assert.deepEqual(await left(world), []);
    assert.equal(world.timers, 0);
  }
});

test("who logs out or withdraws in one tab does so in all", async () => {
  for (const how of ["logout", "denied"] as const) {
    const world = new World();
    const locks = shared(world);
    const [one, two] = [open(world, {}, world.tab(locks)), open(world, {}, world.tab(locks))];
    await world.advance(50);
    if (how === "logout") void one.logout();
    else one.setConsent("denied");
    await world.advance(100);
    world.gateway.push("intervention", { id: "i-1", level: "mild" });
    await assert.rejects(two.record(click).accepted, {
      code: how === "logout" ? "closed" : "no_consent",
    });
    await world.advance(100);
    assert.equal(world.gateway.sockets.size, 0);
    assert.deepEqual(await left(world), []);
    two.close();
    one.close();
  }
});

test("consent is followed; what hears of it finds a client that has acted on it", async () => {
  const world = new World();
  const client = open(world, { consent: "pending" });
  const heard: unknown[] = [];
  client.consent.subscribe((consent) => heard.push(consent, client.connection.get().phase));
  for (const consent of ["granted", "granted", "denied"] as const) {
    client.setConsent(consent);
    await world.advance(100);
  }
  assert.deepEqual(heard, ["granted", "off", "denied", "off"]);
  assert.equal(client.consent.get(), "denied");
  client.close();
  client.setConsent("granted");
  assert.equal(client.consent.get(), "denied");
});

test("a closed client holds nothing of the learner", async () => {
  for (const end of ["close", "logout"] as const) {
    const world = new World();
    const client = open(world);
    const heard: boolean[] = [];
    client.closed.subscribe((closed) => heard.push(closed));
    await world.advance(100);
    world.gateway.push("user_state_update", { userState: { version: 3, userId: "ada" } });
    world.gateway.push("intervention", { id: "i1" });
    world.gateway.push("recommendations", { recommendations: [{ id: "r1" }] });
    await world.advance(100);
    assert.ok(client.userState.get() && client.interventions.get().length);
    void client[end]();
    await world.advance(5_000);
    const { userState, recommendations, interventions, replies } = client;
    const left = [userState, recommendations, interventions, replies].map((one) => one.get());
    assert.deepEqual(left, [undefined, [], [], []]);
    assert.deepEqual([client.closed.get(), heard], [true, [true]]);
  }
});

test("logout tries to send, then forgets; without purge it keeps", async () => {
  for (const purge of [true, false]) {
    const world = new World();
    const client = open(world);
    await world.advance(50);
    world.gateway.rule = () => "silence";
    const receipt = client.record(click);
    await world.advance(20);
    const out = client.logout({ purge });
    await world.advance(2_100);
    await out;
    await assert.rejects(receipt.accepted, { code: purge ? "logout" : "closed" });
    balanced(client);
    assert.equal(world.gateway.sockets.size, 0);
    world.gateway.rule = () => undefined;
    const next = open(world);
    await world.advance(100);
    assert.equal(next.stats().accepted, purge ? 0 : 1);
    next.close();
  }
});

test("another learner's events stay where they are", async () => {
  const world = new World();
  world.gateway.rule = () => "silence";
  const ada = open(world);
  ada.record(click);
  await world.advance(50);
  ada.close();
  world.gateway.rule = () => undefined;
  const eve = open(world, { userId: "eve" });
  await world.advance(500);
  assert.equal(eve.stats().recorded, 0);
  eve.close();
});

test("without IndexedDB it works in memory, and says so", async () => {
  const world = new World();
  world.indexedDB = undefined;
  const client = open(world);
  const receipt = client.record(click);
  await world.advance(50);
  assert.equal(await receipt.accepted, "new");
  assert.equal(client.stats().storage, "memory");
  assert.equal(client.problems.get()[0]!.code, "storage_unavailable");
  client.close();
  const quiet = open(world, { storage: "memory" });
  await world.advance(50);
  assert.deepEqual([quiet.stats().storage, quiet.problems.get()], ["memory", []]);
  quiet.close();
});

test("a database that dies is opened once more; then memory serves", async () => {
  const world = new World();
  const real = world.indexedDB!;
  const databases: IDBDatabase[] = [];
  let opens = 0;
  const dying = {
    open: (name: string, version: number) => {
      if (++opens > 2) throw new Error("server lost");
      const request = real.open(name, version);
      request.addEventListener("success", () => databases.push(request.result));
      return request;
    },
  } as unknown as IDBFactory;
  const client = open(world, {}, world.tab({ indexedDB: dying }));
  await world.advance(50);
  client.record(click);
  await world.advance(50);
  databases[0]!.close();
  client.record(click);
  await world.advance(2_000);
  assert.deepEqual([client.stats().storage, client.stats().accepted], ["persistent", 2]);
  databases[1]!.close();
  client.record(click);
  await world.advance(2_000);
  assert.deepEqual([client.stats().storage, client.stats().accepted], ["memory", 3]);
  assert.equal(client.problems.get().at(-1)!.code, "storage_lost");
  balanced(client);
  client.close();
});

test("a page in the back/forward cache holds no socket, and goes on when it is back", async () => {
  const world = new World();
  const tab = world.tab();
  const client = open(world, {}, tab);
  await world.advance(50);
  world.gateway.rule = () => "silence";
  client.record(click);
  await world.advance(20);
  tab.page("leave");
  assert.equal(world.gateway.sockets.size, 0);
  assert.equal(client.connection.get().phase, "off");
  await world.advance(100);
  assert.equal(world.timers, 0);
  world.gateway.rule = () => undefined;
  world.gateway.push("intervention", { id: "i-1", level: "mild" });
  tab.page("return");
  await world.advance(100);
  assert.equal(client.stats().accepted, 1);
  assert.deepEqual(
    client.interventions.get().map(({ id }) => id),
    ["i-1"],
  );
  client.close();
});

test("a page goes on where an earlier one stood: its pushes come, and the state at once", async () => {
  for (const sockets of [true, false]) {
    const world = new World();
    world.sockets = sockets;
    const first = world.tab();
    const before = open(world, {}, first);
    await world.advance(60_000);
    world.gateway.push("intervention", { id: "i-1", level: "mild" });
    await world.advance(60_000);
    assert.equal(before.interventions.get().length, 1);
    first.kill();
    world.gateway.push("intervention", { id: "i-2", level: "mild" });
    world.gateway.push("tutor_reply", {
      replyId: "r-1",
      status: "human_help",
      final: true,
      attempt: 1,
      text: "Ask somebody",
    });
    world.gateway.hello = { userState: { version: 7 } };
    const next = open(world);
    await world.advance(60_000);
    assert.deepEqual(
      next.interventions.get().map(({ id }) => id),
      ["i-2"],
    );
    assert.equal(next.replies.get().length, 1);
    assert.equal(next.userState.get()?.version, 7);
    next.close();
  }
});

test("where an earlier page stood counts for ten minutes, in its epoch, until it is forgotten", async () => {
  const cases: ((world: World, client: Client) => Promise<void> | void)[] = [
    (world) => world.advance(RESUME_WITHIN + 1),
    (world) => void (world.gateway.epoch = "e2"),
    (_, client) => client.logout(),
    (_, client) => client.setConsent("denied"),
  ];
  for (const change of cases) {
    const world = new World();
    world.gateway.serverTime = () => world.now;
    const client = open(world);
    await world.advance(50);
    world.gateway.push("intervention", { id: "i-1", level: "mild" });
    await world.advance(50);
    await change(world, client);
    await world.advance(50);
    client.close();
    world.gateway.push("intervention", { id: "i-2", level: "mild" });
    const next = open(world);
    await world.advance(100);
    assert.deepEqual(next.interventions.get(), [], String(change));
    world.gateway.push("intervention", { id: "i-3", level: "mild" });
    await world.advance(50);
    assert.deepEqual(
      next.interventions.get().map(({ id }) => id),
      ["i-3"],
    );
    next.close();
  }
});

test("a page goes on where an earlier one stood, whose device's clock was set meanwhile", async () => {
  for (const day of [86_400_000, -86_400_000]) {
    const world = new World();
    world.gateway.serverTime = () => world.now;
    const tab = world.tab();
    const first = open(world, {}, tab);
    await world.advance(50);
    world.skew = day;
    world.gateway.push("intervention", { id: "i-1", level: "mild" });
    await world.advance(50);
    assert.equal(first.interventions.get().length, 1);
    tab.kill();
    world.skew = 0;
    world.gateway.push("intervention", { id: "i-2", level: "mild" });
    const next = open(world);
    await world.advance(100);
    assert.deepEqual(
      next.interventions.get().map(({ id }) => id),
      ["i-2"],
    );
    next.close();
  }
});

test("a page that is shown before its disk has answered still goes on where an earlier one stood", async (t) => {
  const world = new World();
  const tab = world.tab();
  open(world, {}, tab);
  await world.advance(50);
  tab.kill();
  world.gateway.push("intervention", { id: "i-1", level: "mild" });
  let hand = (): void => {};
  const { place } = WriteAhead.prototype;
  t.mock.method(WriteAhead.prototype, "place", async function (this: WriteAhead) {
    const stored = await place.call(this);
    await new Promise<void>((go) => (hand = go));
    return stored;
  });
  const after = world.tab();
  const next = open(world, {}, after);
  after.page("return"); // browsers fire `pageshow` once a page has loaded
  await world.advance(100);
  hand();
  await world.advance(100);
  assert.equal(next.interventions.get().length, 1);
  next.close();
});

test("a disk that hangs keeps no page from its line", async (t) => {
  const world = new World();
  t.mock.method(WriteAhead.prototype, "place", () => new Promise(() => {}));
  const client = open(world);
  await world.advance(100);
  assert.equal(world.gateway.sockets.size, 0);
  await world.advance(OPEN_TIMEOUT);
  assert.equal(world.gateway.sockets.size, 1);
  client.close();
});

test("a tab that is hidden for a minute closes its socket, and opens it for what it records", async () => {
  const world = new World();
  const tab = world.tab();
  const client = open(world, {}, tab);
  await world.advance(50);
  tab.page("hidden");
  await world.advance(HIDDEN_FOR - 100);
  assert.equal(world.gateway.sockets.size, 1);
  await world.advance(200);
  assert.equal(world.gateway.sockets.size, 0);
  assert.equal(world.timers, 0);
  world.gateway.push("intervention", { id: "i-1", level: "mild" });
  const receipt = client.record(click);
  await world.advance(100);
  assert.equal(await receipt.accepted, "new");
  assert.equal(client.interventions.get().length, 1);
  await world.advance(HIDDEN_FOR + 100);
  assert.equal(world.gateway.sockets.size, 0);
  world.gateway.push("intervention", { id: "i-2", level: "mild" });
  tab.page("return");
  await world.advance(100);
  assert.deepEqual(
    client.interventions.get().map(({ id }) => id),
    ["i-1", "i-2"],
  );
  client.close();
  assert.equal(world.timers, 0);
});

test("a tab that was opened behind another, or is online again there, keeps no socket either", async () => {
  const world = new World();
  const tab = world.tab();
  tab.visible = false;
  const client = open(world, {}, tab);
  await world.advance(HIDDEN_FOR + 100);
  assert.equal(world.gateway.sockets.size, 0);
  for (const heard of [...tab.listeners]) heard("return"); // `online`, and nobody looks
  await world.advance(100);
  assert.equal(world.gateway.sockets.size, 1);
  await world.advance(HIDDEN_FOR);
  assert.equal(world.gateway.sockets.size, 0);
  client.close();
});

test("a hidden tab that waits for an answer, or for a reply, keeps its socket", async () => {
  const world = new World();
  const tab = world.tab();
  const client = open(world, {}, tab);
  await world.advance(50);
  client.say("why?", { wantsReply: true });
  await world.advance(50);
  tab.page("hidden");
  await world.advance(HIDDEN_FOR + 100);
  assert.equal(world.gateway.sockets.size, 1);
  client.close();
});

test("a page that is left sends what it has gathered; if it comes back, that goes again", async () => {
  const world = new World();
  const tab = world.tab();
  const client = open(world, {}, tab);
  await world.advance(50);
  client.record(click);
  await world.advance(20);
  const last = client.record(click);
  await world.advance(20);
  assert.equal(world.gateway.received.length, 1);
  tab.page("leave");
  await world.advance(20);
  assert.deepEqual(eventsOf(world.gateway.received[1]!), [last.id]);
  tab.page("return");
  await world.advance(50);
  const { attempt, id } = world.gateway.received[2]!;
  assert.deepEqual([attempt, id], [2, world.gateway.received[1]!.id]);
  assert.equal(await last.accepted, "duplicate");
  client.close();
});

test("what an earlier page left in no batch may have been sent by it, and says so after a minute", async () => {
  for (const [waited, attempt] of [
    [10_000, 1],
    [SENT_BEFORE + 1_000, 2],
  ] as const) {
    const world = new World();
    const tab = world.tab();
    const first = open(world, { getToken: () => new Promise(() => {}) }, tab);
    const { id, stored } = first.record(click);
    await world.advance(20);
    await stored;
    first.close();
    await world.advance(waited);
    const next = open(world);
    await world.advance(50);
    const fresh = next.record(click);
    await world.advance(1_100);
    const [left, own] = world.gateway.received;
    assert.deepEqual([eventsOf(left!), left!.attempt], [[id], attempt]);
    assert.deepEqual([eventsOf(own!), own!.attempt], [[fresh.id], 1]);
    next.close();
  }
});

test("how long an event has waited counts from its recording, not its timestamp", async () => {
  const world = new World();
  const client = open(world); // its first hello drops what is old
  client.record({ ...click, timestamp: world.now - EVENT_AGE - 86_400_000 });
  await world.advance(500);
  assert.deepEqual([client.stats().accepted, client.problems.get()], [1, []]);
  client.close();
  world.gateway.received.length = 0;
  const page = open(world, { getToken: () => new Promise(() => {}) });
  await page.record({ ...click, timestamp: world.now + 86_400_000 }).stored;
  page.close();
  await world.advance(SENT_BEFORE + 1_000);
  const next = open(world);
  await world.advance(500);
  assert.deepEqual(
    world.gateway.received.map(({ attempt }) => attempt),
    [2],
  );
  next.close();
});

test("a clock that is set by a day, forward or back, makes no chat message old", async () => {
  for (const jump of [86_460_000, -86_460_000]) {
    const world = new World();
    world.gateway.serverTime = () => world.now;
    const client = open(world);
    await world.advance(500);
    world.gateway.doors.push(4503, 4503, 4503);
    world.gateway.cut();
    await world.advance(5);
    const said = [client.say("before", { wantsReply: false })];
    await world.advance(10);
    world.skew = jump;
    said.push(client.say("meanwhile", { wantsReply: false }));
    await world.advance(60_000);
    world.skew = 0;
    world.gateway.doors.push(4503, 4503, 4503);
    world.gateway.cut();
    await world.advance(5);
    said.push(client.say("after", { wantsReply: false }));
    await world.advance(60_000);
    assert.deepEqual(client.problems.get(), []);
    for (const one of said) assert.equal(await one.accepted, "new");
    client.close();
  }
});

test("where tabs share, another one may have sent what has waited for a minute", async () => {
  const world = new World();
  const tab = world.tab(shared(world));
  let token: (token: string) => void = () => {};
  const client = open(world, { getToken: () => new Promise((go) => (token = go)) }, tab);
  await world.advance(100);
  client.record(click);
  await world.advance(20);
  tab.page("leave");
  await world.advance(SENT_BEFORE + 1_000);
  tab.page("return");
  await world.advance(20);
  const fresh = client.record({ ...click, taskData: {} });
  token("opaque");
  await world.advance(2_500);
  assert.deepEqual(
    world.gateway.received.map(({ attempt }) => attempt),
    [2],
  );
  assert.ok(eventsOf(world.gateway.received[0]!).includes(fresh.id));
  client.record(click);
  await world.advance(2_500);
  assert.equal(world.gateway.received[1]!.attempt, 1);
  client.close();
});

test("no timer while idle, and neither timer nor listener after close", async () => {
  const world = new World();
  const tab = world.tab();
  for (let round = 0; round < 30; round++) {
    const client = open(world, { getToken: async () => "opaque" }, tab);
    if (round % 3) client.record(click);
    if (round % 2) await world.advance(3_000);
    if (round % 2) assert.equal(world.timers, 0, "idle");
    client.close();
    client.close();
  }
  await world.advance(10);
  assert.equal(world.timers, 0);
  assert.equal(tab.listeners.size, 0);
  assert.equal(world.gateway.sockets.size, 0);
});

test("tabs share the outbox: one sends for all, and each hears what became of its own", async () => {
  const world = new World();
  const [one, two] = [0, 1].map(() => open(world, {}, world.tab(shared(world))));
  await world.advance(100);
  const receipts = [one!, two!].map((client) => client.record(click));
  await world.advance(1_500);
  for (const receipt of receipts) assert.match(await receipt.accepted, /new|duplicate/);
  const sent = world.gateway.received.flatMap(eventsOf);
  assert.deepEqual(new Set(sent), new Set(receipts.map(({ id }) => id)));
  assert.equal(sent.length, 2, "none was sent twice");
  for (const client of [one!, two!]) {
    assert.equal(client.stats().pending, 0);
    balanced(client);
    client.close();
  }
});

test("a tab whose fellow holds the turn and does nothing sends its own after 2 s", async () => {
  const world = new World();
  const tabs = shared(world);
  world.held.set("masterx|https://masterx.test|ada", "another tab");
  const client = open(world, {}, world.tab(tabs));
  await world.advance(100);
  client.record(click);
  await world.advance(1_500);
  assert.equal(world.gateway.received.length, 0);
  await world.advance(1_000);
  assert.equal(client.stats().accepted, 1);
  world.held.clear(); // now it has a look itself, once
  await world.advance(10_000);
  assert.equal(world.timers - 1, 0, "only the renewal of the token");
  client.close();
});

test("a tab that was closed leaves its events to the others", async () => {
  const world = new World();
  const one = open(world, {}, world.tab(shared(world)));
  world.gateway.rule = () => "silence";
  await world.advance(100);
  one.record(click);
  await world.advance(100);
  one.close();
  world.gateway.rule = () => undefined;
  const two = open(world, {}, world.tab(shared(world)));
  await world.advance(500);
  assert.deepEqual([two.stats().restored, two.stats().accepted], [1, 1]);
  two.close();
});
