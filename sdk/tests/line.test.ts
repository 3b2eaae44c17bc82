/** The line and what comes by it: no outbox. An observer's page uses it so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "../src/core/client.ts";
import { type Feed, type FeedOptions, createFeed } from "../src/core/feed.ts";
import { same } from "../src/core/observable.ts";
import { type Tab, World, settled, token } from "./world.ts";

function follow(world: World, more: Partial<FeedOptions> = {}, tab: Tab = world.tab()): Feed {
  return createFeed({
    url: "https://masterx.test/",
    userId: "ada",
    getToken: async () => "opaque",
    environment: tab.environment,
    ...more,
  });
}

const levels = (feed: Feed): unknown[] => feed.interventions.get().map(({ id }) => id);

test("state and recommendations come with hello and with pushes; longTerm stays", async () => {
  const world = new World();
  const longTerm = { valence: { value: 0.5, confidence: 0.1, source: "prior" } };
  world.gateway.hello = { userState: { version: 1, longTerm }, recommendations: [{ id: "r" }] };
  const feed = follow(world);
  const seen: unknown[] = [];
  feed.userState.subscribe((state) => seen.push(state?.version));
  await world.advance(20);
  world.gateway.push("user_state_update", { userState: { version: 2 } });
  world.gateway.push("recommendations", { recommendations: [] });
  await world.advance(20);
  assert.deepEqual(feed.userState.get(), { version: 2, longTerm });
  assert.deepEqual([seen, feed.recommendations.get()], [[1, 2], []]);
  const before = feed.userState.get();
  world.gateway.push("user_state_update", { userState: { version: 2 } });
  await world.advance(20);
  assert.equal(feed.userState.get(), before, "identity changes only when the content does");
  feed.close();
});

test("a subscriber that throws harms nobody", async () => {
  const world = new World();
  const feed = follow(world);
  const seen: unknown[] = [];
  feed.interventions.subscribe(() => {
    throw new Error("of the page");
  });
  feed.interventions.subscribe((all) => seen.push(all.length));
  await world.advance(20);
  world.gateway.push("intervention", { id: "i-1" });
  await world.advance(20);
  assert.deepEqual([seen, world.complaints.length], [[1], 1]);
  feed.close();
});

test("after a cut every push comes once, in order", async () => {
  const world = new World();
  const feed = follow(world);
  await world.advance(20);
  for (let round = 0; round < 6; round++) {
    world.gateway.push("intervention", { id: `a-${round}` });
    if (round % 2) await world.advance(5);
    world.gateway.cut();
    world.gateway.push("intervention", { id: `b-${round}` });
    // It comes between `resume` and `resumed`, too.
    await world.advance(round);
    world.gateway.push("intervention", { id: `c-${round}` });
    await world.advance(20_000);
  }
  const expected = [0, 1, 2, 3, 4, 5].flatMap((one) => [`a-${one}`, `b-${one}`, `c-${one}`]);
  assert.deepEqual(levels(feed), expected);
  feed.close();
});

test("recovered: false takes over state and place", async () => {
  const world = new World();
  const feed = follow(world);
  await world.advance(20);
  world.gateway.push("intervention", { id: "i-1" });
  await world.advance(20);
  world.gateway.cut();
  world.gateway.epoch = "e2";
  world.gateway.log.length = 0;
  await world.advance(20_000);
  assert.equal(feed.userState.get()!.version, 1000);
  world.gateway.push("intervention", { id: "i-2" });
  await world.advance(20);
  assert.deepEqual(levels(feed), ["i-1", "i-2"]);
  feed.close();
});

test("a new token is there before the old one expires, and no push is missed or doubled", async () => {
  const world = new World();
  let asked: string[] = [];
  const feed = follow(world, {
    getToken: async ({ reason }) => {
      asked.push(reason);
      return token(world.now + 120_000, `t${asked.length}`);
    },
  });
  let dark = 0;
  feed.connection.subscribe(({ phase }) => (dark += phase === "live" ? 0 : 1));
  const expected = [];
  for (let second = 0; second < 400; second++) {
    world.gateway.push("intervention", { id: `i-${second}` });
    expected.push(`i-${second}`);
    await world.advance(1_000);
  }
  assert.deepEqual(levels(feed), expected.slice(-50));
  assert.deepEqual(asked, ["connect", "expiring", "expiring", "expiring", "expiring"]);
  assert.equal(new Set(world.gateway.handshakes).size, 5);
  assert.equal(world.gateway.sockets.size, 1);
  assert.equal(dark, 0, "it was live all the time");
  feed.close();
});

test("a token that lasts a year sets no timer off at once", async () => {
  const world = new World();
  let asked = 0;
  const year = 365 * 86_400_000;
  const feed = follow(world, { getToken: async () => (asked++, token(world.now + year)) });
  await world.advance(60_000);
  assert.equal(asked, 1);
  feed.close();
});

test("an expired token is replaced at once; two fresh ones that are refused end it", async () => {
  const world = new World();
  const reasons: string[] = [];
  const feed = follow(world, { getToken: async ({ reason }) => (reasons.push(reason), "opaque") });
  await world.advance(20);
  world.gateway.cut(4401, "the token has just expired");
  await world.advance(20);
  assert.deepEqual([feed.connection.get().phase, reasons], ["live", ["connect", "rejected"]]);
  world.gateway.doors.push(...Array<number>(9).fill(4401));
  world.gateway.cut(4401);
  await world.advance(120_000);
  assert.equal(feed.connection.get().phase, "stopped");
  assert.equal(feed.problems.get().at(-1)!.code, "token");
  assert.equal(reasons.length, 4);
  assert.equal(world.timers, 0);
  feed.close();
});

test("getToken that throws, hangs or answers nonsense is a problem, and is tried again", async () => {
  const world = new World();
  const ways = [
    () => Promise.reject(new Error("no session")),
    () => {
      throw new Error("at once");
    },
    () => new Promise<string>(() => {}),
    async () => undefined as unknown as string,
    async () => "opaque",
  ];
  const feed = follow(world, { getToken: () => (ways.shift() ?? (async () => "opaque"))() });
  await world.advance(120_000);
  assert.equal(feed.connection.get().phase, "live");
  assert.deepEqual(
    feed.problems.get().map(({ code, message }) => [code, message]),
    [
      ["token", "no session"],
      ["token", "at once"],
      ["token", "getToken took more than 15 s"],
      ["token", "getToken gave no token"],
    ],
  );
  feed.close();
});

test("a learner that may not be seen stops it", async () => {
  const world = new World();
  world.gateway.doors.push(4403);
  const tab = world.tab();
  const feed = follow(world, {}, tab);
  await world.advance(120_000);
  tab.page("leave");
  tab.page("return");
  await world.advance(120_000);
  assert.equal(world.gateway.handshakes.length, 1);
  assert.deepEqual(
    [feed.connection.get(), feed.problems.get()[0]!.code],
    [{ phase: "stopped", transport: undefined, code: 4403, reason: "" }, "forbidden"],
  );
  feed.close();
});

test("without WebSockets, a learner that may not be seen stops it as well", async () => {
  const world = new World();
  world.sockets = false;
  const feed = follow(world);
  await world.advance(1_000);
  assert.equal(feed.connection.get().phase, "polling");
  world.gateway.restStatus = 403;
  await world.advance(120_000);
  assert.deepEqual(
    [feed.connection.get(), feed.problems.get().map(({ code, message }) => [code, message])],
    [
      { phase: "stopped", transport: undefined, code: 4403, reason: "so it is" },
      [["forbidden", "so it is"]],
    ],
  );
  assert.equal(world.timers, 0);
  feed.close();
});

test("a server that restarts says when to come back", async () => {
  const world = new World();
  const feed = follow(world);
  await world.advance(20);
  for (const socket of world.gateway.sockets)
    socket.deliver({ type: "restarting", reconnectAfter: 9 });
  await world.advance(5);
  world.gateway.cut(1012);
  await world.advance(8_900);
  assert.equal(world.gateway.handshakes.length, 1);
  await world.advance(200);
  assert.equal(feed.connection.get().phase, "live");
  feed.close();
});

test("a page that is back or online tries at once", async () => {
  const world = new World();
  const tab = world.tab();
  world.gateway.doors.push(...Array<number>(8).fill(4503));
  const feed = follow(world, {}, tab);
  await world.advance(30_000);
  const tries = world.gateway.handshakes.length;
  world.gateway.doors.length = 0;
  if (feed.connection.get().phase === "waiting") tab.page("return");
  await world.advance(10);
  assert.equal(feed.connection.get().phase, "live");
  assert.equal(world.gateway.handshakes.length <= tries + 1, true);
  feed.close();
});

test("where WebSockets do not get through: REST, then a WebSocket again", async () => {
  const world = new World();
  world.gateway.doors.push(...Array<"refuse">(4).fill("refuse"));
  const client = createClient({
    url: "https://masterx.test",
    userId: "ada",
    getToken: async () => "opaque",
    consent: "granted",
    environment: world.tab().environment,
  });
  await world.advance(5_000);
  assert.deepEqual(client.connection.get().transport, "rest");
  const receipt = client.say("by REST", { wantsReply: false });
  world.gateway.push("intervention", { id: "i-1" });
  await world.advance(30_000);
  assert.equal(await receipt.accepted, "new");
  world.gateway.push("intervention", { id: "i-2" });
  await world.advance(100_000);
  assert.deepEqual([client.connection.get().transport, world.gateway.sockets.size], ["socket", 1]);
  world.gateway.push("intervention", { id: "i-3" });
  client.say("by WebSocket", { wantsReply: false });
  await world.advance(100);
  assert.deepEqual(
    client.interventions.get().map(({ id }) => id),
    ["i-1", "i-2", "i-3"],
  );
  assert.equal(client.stats().accepted, 2);
  const polls = world.gateway.polls.length;
  await world.advance(60_000);
  assert.equal(world.gateway.polls.length, polls, "it polls no more");
  client.close();
});

test("without WebSockets at all REST serves; a 401 gets a new token, two fresh ones end it", async () => {
  for (const lasting of [false, true]) {
    const world = new World();
    world.sockets = false;
    const tokens: string[] = [];
    const client = createClient({
      url: "https://masterx.test",
      userId: "ada",
      getToken: async ({ reason }) => {
        tokens.push(reason);
        if (tokens.length > 1 && !lasting) world.gateway.restStatus = undefined;
        return `t${tokens.length}`;
      },
      consent: "granted",
      environment: world.tab().environment,
    });
    await world.advance(100);
    world.gateway.restStatus = 503;
    client.record({ interactionType: "click" });
    await world.advance(5_000);
    assert.equal(client.stats().pending, 1);
    world.gateway.restStatus = 401;
    await world.advance(120_000);
    const { phase } = client.connection.get();
    assert.deepEqual(
      [phase, client.stats().accepted, tokens.length],
      lasting ? ["stopped", 0, 3] : ["polling", 1, 2],
    );
    if (lasting) assert.equal(client.problems.get().at(-1)!.code, "token");
    client.close();
    await settled();
    assert.equal(world.timers, 0);
  }
});

test("a constructor of WebSockets that throws is a line that was cut", async () => {
  const world = new World();
  const tab = world.tab({
    openSocket: () => {
      throw new SyntaxError("a bad subprotocol");
    },
  });
  const feed = follow(world, {}, tab);
  await world.advance(20_000);
  assert.equal(feed.connection.get().transport, "rest");
  feed.close();
});

test("create and close, over and over: nothing is left", async () => {
  const world = new World();
  const tab = world.tab();
  for (let round = 0; round < 60; round++) {
    const feed = follow(world, {}, tab);
    await world.advance(round % 4);
    feed.close();
  }
  await world.advance(20);
  assert.deepEqual([world.timers, tab.listeners.size, world.gateway.sockets.size], [0, 0, 0]);
});

test("same: content, whatever the order of names", () => {
  assert.ok(same({ a: [1, { b: null }], c: "x" }, { c: "x", a: [1, { b: null }] }));
  for (const other of [{ a: 1 }, { a: [2] }, [1], null, { a: [1], b: undefined }])
    assert.equal(same({ a: [1] }, other), false);
});

test("messages that went down with the network wait together, not each twice as long", async () => {
  for (const sockets of [true, false]) {
    const world = new World();
    world.sockets = sockets;
    let away = true;
    const base = world.tab().environment;
    const client = createClient({
      url: "https://m.example",
      userId: "ada",
      getToken: async () => token(1),
      consent: "granted",
      environment: {
        ...base,
        fetch: (input, init) =>
          away ? Promise.reject(new TypeError("no network")) : base.fetch(input, init),
      },
    });
    if (sockets) world.gateway.doors.push(...Array<"refuse">(20).fill("refuse"));
    const said = Array.from({ length: 12 }, (_, at) =>
      client.say(`message ${at}`, { wantsReply: false }),
    );
    await world.advance(300_000);
    assert.equal(client.stats().accepted, 0);
    away = false;
    world.gateway.doors.length = 0;
    // The longest wait, and one message a second by REST; a WebSocket is tried every minute.
    await world.advance(15_000 + said.length * 1_000 + 1_000);
    assert.equal(client.stats().accepted, said.length);
    client.close();
  }
});
