import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FIRST_WAIT, LONGEST_WAIT, backoff } from "../src/core/backoff.ts";
import {
  CLOSE_REACTIONS,
  type Event,
  FRESH_TOKENS,
  LONGEST_RESTART,
  OFF,
  PROBE_EVERY,
  type State,
  type Step,
  UPGRADES,
  step,
} from "../src/core/connection.ts";

const CODES = [...Object.keys(CLOSE_REACTIONS).map(Number), 1000, 1001, 1005, 1006, 4999];

/** What a link may have open, and which events can therefore come. */
interface Model {
  state: State;
  /** A WebSocket is being opened or is open. */
  socket: "none" | "opening" | "open";
  timer: boolean;
}

function apply(model: Model, next: Step): void {
  const { phase, probing } = next.state;
  if (next.wait !== undefined) model.timer = true;
  else if (next.connect || phase !== model.state.phase) model.timer = false;
  if (next.connect) {
    assert.equal(model.socket, "none", "one WebSocket at a time");
    model.socket = "opening";
  }
  if (phase === "off" || phase === "stopped") model.socket = "none";
  model.state = next.state;
  // What each phase means, and that something always happens next unless nobody wants it.
  if (phase === "connecting") assert.equal(model.socket, "opening");
  if (phase === "live") assert.equal(model.socket, "open");
  if (phase === "waiting") assert.ok(model.timer && model.socket === "none");
  if (phase === "polling") assert.equal(model.socket === "opening", probing);
  if (phase === "polling" && !probing && next.state.refused >= UPGRADES) assert.ok(model.timer);
  if (next.wait !== undefined) assert.ok(next.wait >= 0 && next.wait <= LONGEST_RESTART);
}

test("from any sequence of events: one socket, one timer, never stuck", () => {
  const event = fc.record({
    kind: fc.constantFrom(
      "start",
      "stop",
      "due",
      "nudge",
      "hello",
      "closed",
      "no_token",
      "unauthorized",
    ),
    code: fc.constantFrom(...CODES),
    uptime: fc.constantFrom(0, 4_999, 5_000, 100_000),
    proven: fc.boolean(),
    after: fc.constantFrom(undefined, 0, 3_000, 1e9),
    share: fc.double({ min: 0, max: 0.999, noNaN: true }),
    sockets: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60, size: "max" }), (events) => {
      const model: Model = { state: OFF, socket: "none", timer: false };
      for (const { kind, code, uptime, proven, after, share, sockets } of events) {
        let one: Event;
        if (kind === "start") one = { type: "start", sockets };
        else if (kind === "due") {
          if (!model.timer) continue;
          model.timer = false;
          one = { type: "due" };
        } else if (kind === "hello") {
          if (model.socket !== "opening") continue;
          model.socket = "open";
          one = { type: "hello" };
        } else if (kind === "closed") {
          if (model.socket === "none") continue;
          const greeted = model.socket === "open";
          model.socket = "none";
          one = { type: "closed", code, greeted, uptime: greeted ? uptime : 0, proven, after };
        } else if (kind === "no_token") {
          if (model.socket !== "opening") continue;
          model.socket = "none";
          one = { type: "no_token" };
        } else if (kind === "unauthorized") {
          if (model.state.phase !== "polling") continue;
          one = { type: "unauthorized", proven };
        } else one = { type: kind as "stop" | "nudge" };
        apply(model, step(model.state, one, share));
      }
    }),
    { numRuns: 2_000 },
  );
});

const LIVE: State = { ...OFF, phase: "live" };
const closed = (code: number, more: Partial<Event & { type: "closed" }> = {}): Event => ({
  type: "closed",
  code,
  greeted: true,
  uptime: 60_000,
  proven: true,
  ...more,
});

test("every close code has its reaction", () => {
  for (const code of [4408, 4503, 1012, 1009, 1011, 1006, 1000, 1001, 1005]) {
    const next = step(LIVE, closed(code), 0.5);
    assert.deepEqual([next.state.phase, next.wait, next.problem], ["waiting", 250, undefined]);
  }
  for (const code of [1002, 1007]) {
    const next = step(LIVE, closed(code), 0.5);
    assert.deepEqual(
      [next.state.phase, next.wait, next.problem],
      ["waiting", LONGEST_WAIT, "protocol"],
    );
  }
  const forbidden = step(LIVE, closed(4403), 0.5);
  assert.deepEqual([forbidden.state.phase, forbidden.problem], ["stopped", "forbidden"]);
  const expired = step(LIVE, closed(4401), 0.5);
  assert.deepEqual([expired.state.phase, expired.connect], ["connecting", "fresh"]);
});

test("a restart is waited for as long as the server says, within a bound", () => {
  assert.equal(step(LIVE, closed(1012, { after: 3_000 }), 0.9).wait, 3_000);
  assert.equal(step(LIVE, closed(1012, { after: 1e9 }), 0.9).wait, LONGEST_RESTART);
});

test("two fresh tokens that are refused end it; one that was accepted does not count", () => {
  const refused = closed(4401, { greeted: false, uptime: 0, proven: false });
  const first = step({ ...OFF, phase: "connecting" }, refused, 0.5);
  assert.equal(first.state.phase, "waiting");
  const again = step(first.state, { type: "due" }, 0.5);
  const second = step(again.state, refused, 0.5);
  assert.deepEqual([second.state.phase, second.problem], ["stopped", "token"]);
  assert.equal(FRESH_TOKENS, 2);
  const between = step(again.state, { type: "hello" }, 0.5);
  assert.equal(between.state.rejected, 0);
});

test("three cut or refused upgrades: REST, and a WebSocket is tried every minute", () => {
  let state: State = step(OFF, { type: "start", sockets: true }, 0).state;
  const cut = closed(1006, { greeted: false, uptime: 0, proven: false });
  for (let at = 1; at < UPGRADES; at++) {
    state = step(state, cut, 0.5).state;
    assert.equal(state.phase, "waiting");
    state = step(state, { type: "due" }, 0.5).state;
  }
  const third = step(state, cut, 0.5);
  assert.deepEqual([third.state.phase, third.wait], ["polling", PROBE_EVERY]);
  const probe = step(third.state, { type: "due" }, 0.5);
  assert.deepEqual([probe.state.phase, probe.connect], ["polling", "cached"]);
  const failed = step(probe.state, cut, 0.5);
  assert.deepEqual([failed.state.phase, failed.wait], ["polling", PROBE_EVERY]);
  assert.equal(step(probe.state, { type: "hello" }, 0).state.phase, "live");
});

test("a close code of ours shows that WebSockets get through", () => {
  let state: State = step(OFF, { type: "start", sockets: true }, 0).state;
  for (let at = 0; at < 10; at++) {
    state = step(state, closed(4503, { greeted: false, uptime: 0 }), 0.5).state;
    assert.equal(state.phase, "waiting");
    state = step(state, { type: "due" }, 0.5).state;
  }
});

test("waits double up to 15 s times a random share, and begin anew after 5 s of uptime", () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 100].map((failures) => backoff(failures, 0.5));
  assert.deepEqual(waits, [250, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500]);
  assert.equal(backoff(1, 0.999) < FIRST_WAIT, true);
  const worn: State = { ...LIVE, failures: 5 };
  assert.equal(step(worn, closed(1006, { uptime: 4_999 }), 0.5).state.failures, 6);
  assert.equal(step(worn, closed(1006, { uptime: 5_000 }), 0.5).state.failures, 1);
});
