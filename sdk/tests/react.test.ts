/** What React shows: nothing that is not known, one client a learner, no complaint of a server. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { UserState } from "../src/core/wire.gen.ts";
import {
  type HostOptions,
  type Key,
  RELEASE_AFTER,
  learner,
  present,
} from "../src/react/learners.ts";
import { describeFigure, learnerState, offered } from "../src/react/state.ts";
import { World, token } from "./world.ts";

const ALL = "";
const measured = (value: number) => ({ value, confidence: 0.5, source: "measured" as const });
const prior = { value: 0.5, confidence: 0, source: "prior" as const };
const STATE = {
  valence: measured(0.3),
  arousal: prior,
  dominance: prior,
  emotions: { joy: 0.2 },
  trajectory: { points: 0 },
  behaviour: {
    focus: prior,
    cognitiveLoad: { value: 0.8, confidence: 0.6, source: "derived" },
    engagement: { value: 0.9, confidence: 1, source: "guessed" },
    fatigue: measured(0),
    helpNeed: prior,
    nextCorrect: prior,
    tendencies: { video: { share: 0.8, count: 4 }, reading: { share: 0.2, count: 1 } },
  },
  updatedAt: 1,
} as unknown as UserState;

test("a prior, an absent figure and a source nobody knows have no number", () => {
  const state = learnerState(STATE, ALL);
  assert.equal(state.focusLevel, undefined);
  assert.equal(state.engagementScore, undefined);
  assert.equal(state.cognitiveLoad, 0.8);
  assert.equal(state.fatigueLevel, 0); // a finding
  assert.deepEqual(state.emotionalState, {
    valence: 0.3,
    arousal: undefined,
    dominance: undefined,
  });
  assert.deepEqual(state.learningStyle, { video: 0.8, reading: 0.2 });
  assert.equal(describeFigure(state.figures.focus), "not known yet");
  assert.equal(describeFigure(state.figures.cognitiveLoad), "80%, derived, confidence 60%");
  assert.match(`${Math.round(state.focusLevel! * 100)}%`, /NaN/); // not "0%", and not "50%"
  const { focusLevel, learningStyle } = learnerState({ ...STATE, behaviour: undefined! }, ALL);
  assert.deepEqual([focusLevel, learningStyle], [undefined, {}]);
});

test("a message that was not read says why, unless emotions are off", () => {
  const state = { ...STATE, modelReason: "unsupported_language" as const };
  assert.equal(learnerState(state, ALL).unread, "unsupported_language");
  assert.equal(learnerState(state, "emotionalAnalysis").unread, undefined);
  assert.equal(learnerState(STATE, ALL).unread, undefined);
});

test("a state is frozen, all of it", () => {
  const walk = (one: unknown): void => {
    if (typeof one !== "object" || !one) return;
    assert.ok(Object.isFrozen(one));
    Object.values(one).forEach(walk);
  };
  walk(learnerState(STATE, ALL));
});

test("a feature that is off shows nothing of itself", () => {
  const calm = learnerState(STATE, "emotionalAnalysis");
  assert.deepEqual([calm.emotionalState.valence, calm.emotions], [undefined, {}]);
  assert.equal(calm.figures.valence.source, "prior");
  assert.equal(calm.cognitiveLoad, 0.8);
  const light = learnerState(STATE, "cognitiveLoadAssessment");
  assert.deepEqual([light.cognitiveLoad, light.emotionalState.valence], [undefined, 0.3]);
  const both = [{ action: "slow_animation" }, { action: "suggest_break" }] as never[];
  const actions = (off: string) => offered(both, off).map(({ action }) => action);
  assert.deepEqual(actions("visualAdaptation"), ["suggest_break"]);
  assert.deepEqual(actions("adaptiveLearning"), ["slow_animation"]);
  assert.deepEqual(actions(ALL), ["slow_animation", "suggest_break"]);
});

const options = (world: World, more: HostOptions = {}): { current: HostOptions } => ({
  current: {
    getToken: async () => token(world.now + 3_600_000),
    consent: "granted",
    environment: world.tab().environment,
    ...more,
  },
});
const KEY: Key = { url: "http://gateway", userId: "ada", memory: true };

test("who lets go and holds again within a second finds the same client", async () => {
  const world = new World();
  const given = options(world);
  const first = learner(KEY, given).hold(() => {}, false);
  await world.advance(50);
  first();
  await world.advance(RELEASE_AFTER - 1);
  const second = learner(KEY, given).hold(() => {}, false);
  const third = learner(KEY, given).hold(() => {}, false);
  await world.advance(5_000);
  assert.equal(world.gateway.handshakes.length, 1);
  second();
  second(); // twice is once
  await world.advance(5_000);
  assert.ok(present(KEY)?.snapshot.isPersonalizationActive);
  third();
  await world.advance(RELEASE_AFTER);
  assert.equal(present(KEY), undefined);
  assert.equal(world.gateway.sockets.size, 0);
  assert.equal(world.timers, 0);
});

test("what nobody holds goes by itself, and each outcome is sent once", async () => {
  const world = new World();
  const given = options(world);
  const one = learner(KEY, given);
  one.client.apply({ id: "r-1" });
  one.client.apply({ id: "r-1" });
  await world.advance(RELEASE_AFTER);
  const sent = world.gateway.received.filter(({ type }) => type === "feedback");
  assert.deepEqual(
    sent.map(({ targetId }) => targetId),
    ["r-1"],
  );
  assert.equal(present(KEY), undefined);
});

test("privacy mode keeps nothing on disk and captures nothing", async () => {
  const world = new World();
  let captured = 0;
  const given = options(world, {
    capture: () => {
      captured += 1;
      return () => void (captured -= 1);
    },
  });
  world.gateway.rule = () => "silence";
  const secret = learner(KEY, given);
  secret.client.record({ interactionType: "click" });
  await world.advance(100);
  assert.equal(captured, 0);
  assert.equal(secret.client.stats().storage, "memory");
  assert.deepEqual(await world.indexedDB!.databases(), []);
  const open = learner({ ...KEY, memory: false }, given);
  assert.notEqual(open, secret);
  assert.equal(captured, 1);
  await world.advance(RELEASE_AFTER);
  assert.equal(captured, 0);
});

test("consent counts when the host's prop changes; the newest getToken is asked", async () => {
  const world = new World();
  const given = options(world, { consent: "pending" });
  const one = learner(KEY, given);
  const end = one.hold(() => {}, false);
  await world.advance(100);
  assert.equal(world.gateway.handshakes.length, 0);
  given.current = { ...given.current, getToken: async ({ userId }) => `h.${btoa("{}")}.${userId}` };
  one.given("granted");
  await world.advance(100);
  assert.match(world.gateway.handshakes[0]!, /ada$/);
  assert.ok(one.snapshot.isPersonalizationActive);
  one.setConsent("denied"); // the learner's own word
  one.given("granted"); // which the prop, as it was, does not undo
  assert.equal(one.snapshot.isPersonalizationActive, false);
  end();
  await world.advance(RELEASE_AFTER);
});

test("a page without getToken hears of it as a problem", async () => {
  const world = new World();
  const given = options(world);
  delete (given.current as { getToken?: unknown }).getToken;
  const one = learner(KEY, given);
  const end = one.hold(() => {}, false);
  await world.advance(100);
  assert.equal(one.snapshot.problems[0]?.code, "token");
  end();
  await world.advance(RELEASE_AFTER);
});

const script = `${process.cwd()}/tests/browser/render.mjs`;
const { rendered } = (await import(script)) as {
  rendered(major: number): Promise<{ version: string; html: string; complaints: unknown[] }>;
};

for (const [major, wanted] of [
  [18, "18.3.1"],
  [19, "19.3.1"],
] as const)
  test(`a server renders the snippets with React ${wanted}, and nothing complains`, async () => {
    const { version, html, complaints } = await rendered(major);
    assert.equal(version, wanted);
    assert.match(html, /^<section aria-busy="true"><button id="next">Next<\/button>/);
    assert.deepEqual(complaints, []);
  });
