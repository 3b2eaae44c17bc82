// Pushes: their order, resume, polls, slow clients.
import assert from "node:assert/strict";

const figure = (value) => ({ value, confidence: 0.8, source: "measured" });

/** A whole state, as a learner worker makes one. */
export const state = (version, more = {}) => ({
  schemaVersion: 1,
  eventId: `s-${version}`,
  userId: "ada",
  eventTime: 1_795_280_621_452,
  ingestTime: 1_795_280_621_452,
  causedBy: [],
  sourceTopic: "interactions",
  sourcePartition: 0,
  sourceOffset: version,
  version,
  updatedAt: 1_795_280_621_452,
  modelStatus: "ok",
  valence: figure(0.36),
  arousal: figure(0.56),
  dominance: figure(0.49),
  emotions: { curiosity: 0.1 },
  trajectory: { points: 6 },
  activity: { interactions: 84, messages: 6 },
  ...more,
});
const longTerm = {
  valence: figure(0.4),
  arousal: figure(0.5),
  dominance: figure(0.5),
  emotions: {},
};
const advice = (id) => ({
  id,
  action: "lower_information_density",
  parameters: { density: 0.35 },
  confidence: 0.733,
  because: ["cognitive_load 0.747 is above 0.7"],
});
const pushState = (at, version, more) =>
  at.push("user_state_update", { userState: state(version, more) });
const pushAdvice = (at, ...ids) => at.push("recommendations", { recommendations: ids.map(advice) });
const intervention = (id, more = {}) => ({
  id,
  level: "moderate",
  confidence: 0.5,
  because: ["need of moderate help"],
  raisedAt: 1_795_280_621_452,
  ...more,
});

const places = (frames) => frames.map(({ type, offset }) => [type, offset]);

/** The frames of a socket or of polls until there are so many. */
async function take(socket, number) {
  const frames = [];
  while (frames.length < number) frames.push(await socket.next());
  return frames;
}

export const cases = {
  async "pushes arrive in order, each with its place and causes"(at) {
    const socket = await at.connect();
    const { epoch } = socket.hello;
    const causes = [
      await pushState(at, 1),
      await pushAdvice(at, "r-1"),
      await at.push("intervention", intervention("i-1")),
      await at.push("tutor_delta", { replyId: "t-1", attempt: 1, index: 0, text: "Let " }),
      await at.push("tutor_reply", {
        replyId: "t-1",
        status: "answered",
        final: true,
        attempt: 1,
        text: "Let us",
      }),
    ];
    const frames = await take(socket, 5);
    assert.deepEqual(places(frames), [
      ["user_state_update", 1],
      ["recommendations", 2],
      ["intervention", 3],
      ["tutor_delta", 4],
      ["tutor_reply", 5],
    ]);
    assert.deepEqual(
      frames.map(({ causedBy }) => causedBy),
      causes,
    );
    for (const frame of frames) assert.equal(frame.epoch, epoch);
    assert.equal(frames[0].userState.valence.value, 0.36);
    assert.equal(frames[1].recommendations[0].id, "r-1");
    assert.deepEqual([frames[2].id, frames[2].level], ["i-1", "moderate"]);
    assert.deepEqual([frames[3].text, frames[4].text], ["Let ", "Let us"]);
    const other = await at.connect();
    assert.equal(other.hello.offset, 5);
    assert.deepEqual(await other.all(700), [], "what hello knew does not come again");
  },

  async "what moves over weeks is in hello and the profile, not in a push"(at) {
    const socket = await at.connect();
    await pushState(at, 1, { longTerm });
    const { userState } = await socket.until("user_state_update");
    assert.equal(userState.longTerm, undefined);
    await pushAdvice(at, "r-1");
    const { hello } = await at.connect();
    assert.deepEqual(hello.userState.longTerm, longTerm);
    assert.deepEqual(
      hello.recommendations.map(({ id }) => id),
      ["r-1"],
    );
    const { status, body } = await at.rest("GET", `/profile/${at.user}`);
    assert.equal(status, 200);
    const { details, ...profile } = body;
    assert.equal(details.source, "live");
    assert.deepEqual([profile.userId, profile.known], [at.user, true]);
    assert.deepEqual(profile.userState.longTerm.valence, longTerm.valence);
    assert.equal(profile.recommendations[0].id, "r-1");
  },

  async "recovered: what was missed follows, of states the newest with all causes"(at) {
    const { hello } = await at.connect();
    const causes = [
      await pushState(at, 1),
      await pushAdvice(at, "r-1"),
      await at.push("intervention", intervention("i-1")),
      await pushState(at, 2),
      await pushAdvice(at, "r-2"),
    ].map(([cause]) => cause);
    const socket = await at.connect();
    assert.equal(socket.hello.offset, 5);
    socket.send({ type: "resume", epoch: hello.epoch, offset: 0 });
    const [resumed, ...frames] = await take(socket, 4);
    const expected = { type: "resumed", recovered: true, epoch: hello.epoch, offset: 0 };
    assert.deepEqual(resumed, expected);
    assert.deepEqual(places(frames), [
      ["intervention", 3],
      ["user_state_update", 4],
      ["recommendations", 5],
    ]);
    assert.deepEqual(frames[1].causedBy, [causes[0], causes[3]]);
    assert.deepEqual(frames[2].causedBy, [causes[1], causes[4]]);
    await at.push("intervention", intervention("i-2"));
    assert.equal((await socket.next()).offset, 6, "then live pushes");
    socket.send({ type: "resume", epoch: hello.epoch, offset: 5 });
    assert.deepEqual(places(await take(socket, 2)), [
      ["resumed", 5],
      ["intervention", 6],
    ]);
    assert.deepEqual(await socket.all(300), []);
  },

  async "a resume right after hello comes before any push"(at) {
    for (let offset = 0; offset < 5; offset++) {
      const socket = await at.connect();
      const began = performance.now();
      await at.push("intervention", intervention(`i-${offset}`));
      if (performance.now() - began > 300) continue; // half a second has to suffice
      socket.send({ type: "resume", epoch: socket.hello.epoch, offset });
      assert.deepEqual(places(await take(socket, 2)), [
        ["resumed", offset],
        ["intervention", offset + 1],
      ]);
      assert.deepEqual(await socket.all(700), []);
      return;
    }
    assert.fail("this machine is too busy: each push took longer than the window is open");
  },

  async "not recovered: an unknown epoch, a place ahead, a place that left the log"(at) {
    await pushState(at, 1, { longTerm });
    await pushAdvice(at, "r-1");
    const socket = await at.connect();
    const { epoch } = socket.hello;
    for (const place of [
      { epoch: "another", offset: 0 },
      { epoch, offset: 3 },
    ]) {
      socket.send({ type: "resume", ...place });
      const { userState, recommendations, ...resumed } = await socket.next();
      assert.deepEqual(resumed, { type: "resumed", recovered: false, epoch, offset: 2 });
      assert.equal(userState.version, 1);
      assert.deepEqual(userState.longTerm, longTerm);
      assert.equal(recommendations[0].id, "r-1");
    }
    assert.deepEqual(await socket.all(300), [], "nothing comes twice");
  },

  async "not recovered: more than 64 events led to states that a newer one replaced"(at) {
    const { epoch } = (await at.connect()).hello;
    for (let version = 1; version <= 67; version++) await pushState(at, version);
    const socket = await at.connect();
    socket.send({ type: "resume", epoch, offset: 0 });
    const [resumed, update] = await take(socket, 2);
    assert.deepEqual([resumed.recovered, resumed.epoch, resumed.offset], [false, epoch, 0]);
    assert.equal(resumed.userState.version, 67);
    assert.deepEqual([update.type, update.offset], ["user_state_update", 67]);
    assert.equal(update.causedBy.length, 65);
    socket.send({ type: "resume", epoch, offset: 2 });
    const [again, rest] = await take(socket, 2);
    assert.deepEqual([again.recovered, again.offset], [true, 2]);
    assert.equal(rest.causedBy.length, 65);
  },

  async "a poll: hello without a place, then resumed and what follows it"(at) {
    const [hello, ...none] = await at.poll({});
    assert.deepEqual([hello.type, none], ["hello", []]);
    assert.equal(hello.limits.maxMessageBytes, 262_144);
    const place = { epoch: hello.epoch, offset: hello.offset };
    const resumed = { type: "resumed", recovered: true, epoch: hello.epoch };
    assert.deepEqual(await at.poll({ ...place, wait: 0.05 }), [{ ...resumed, offset: 0 }]);
    const waiting = at.poll({ ...place, wait: 20 });
    await new Promise((go) => setTimeout(go, 200));
    const [cause] = await at.push("intervention", intervention("i-1"));
    const [first, push] = await waiting;
    assert.deepEqual(first, { ...resumed, offset: 0 });
    assert.deepEqual([push.id, push.offset, push.causedBy], ["i-1", 1, [cause]]);
    const causes = [await pushState(at, 1), await pushState(at, 2)].flat();
    const missed = await at.poll({ ...place, offset: 1 });
    assert.deepEqual(places(missed), [
      ["resumed", 1],
      ["user_state_update", 3],
    ]);
    assert.deepEqual(missed[1].causedBy, causes);
    const [lost] = await at.poll({ epoch: "another", offset: 1 });
    assert.deepEqual([lost.type, lost.recovered, lost.offset], ["resumed", false, 3]);
    assert.equal(lost.userState.version, 2);
  },

  async "a poll's parameters are checked, its answer is not stored"(at) {
    for (const [query, field] of [
      [{ epoch: "e" }, "offset"],
      [{ offset: "1" }, "epoch"],
      [{ epoch: "", offset: "1" }, "epoch"],
      [{ epoch: "e", offset: "-1" }, "offset"],
      [{ epoch: "e", offset: "1.5" }, "offset"],
      [{ wait: "26" }, "wait"],
      [{ wait: "-1" }, "wait"],
      [{ wait: "soon" }, "wait"],
    ]) {
      const path = `/pushes/${at.user}?${new URLSearchParams(query)}`;
      const { status, body } = await at.rest("GET", path);
      const found = [status, body.error.code, body.error.field];
      assert.deepEqual(found, [422, "invalid_message", field], path);
    }
    const { headers } = await at.rest("GET", `/pushes/${at.user}`);
    assert.equal(headers.get("Cache-Control"), "no-store");
  },

  async "a poll takes no more than half of what may wait, the next one goes on"(at) {
    const [{ epoch }] = await at.poll({});
    const size = 120_000;
    for (let n = 0; n < 8; n++)
      await at.push("intervention", intervention(`i-${n}`, { because: ["x".repeat(size)] }));
    const found = [];
    let [offset, polls] = [0, 0];
    while (found.length < 8) {
      const frames = await at.poll({ epoch, offset, wait: 1 });
      found.push(...frames.slice(1).map(({ id }) => id));
      ({ offset } = frames.at(-1));
      polls += 1;
      assert.ok(frames.length > 1 && frames.length <= 6, String(frames.length));
    }
    assert.deepEqual(
      found,
      Array.from(Array(8), (_, n) => `i-${n}`),
    );
    assert.equal(polls, 2);
  },

  async "a poll with a token that expires meanwhile is answered; the next gets 401"(at) {
    const [{ epoch, offset }] = await at.poll({});
    const token = await at.token({ exp: Date.now() / 1000 - 2 }); // 5 s are forgiven
    const [frame] = await at.poll({ epoch, offset, wait: 20 }, { token });
    assert.equal(frame.type, "resumed");
    const { status } = await at.rest("GET", `/pushes/${at.user}`, { token });
    assert.equal(status, 401);
  },

  async "4408: a client that reads nothing"(at) {
    const socket = await at.connect();
    await socket.call({ type: "ping" }); // pushes are live: what is replayed goes at its pace
    socket.stopReading();
    const because = ["x".repeat(500_000)];
    for (let n = 0; n < 40; n++) await at.push("intervention", intervention(`i-${n}`, { because }));
    socket.readOn();
    assert.equal((await socket.closed()).code, 4408);
    const { offset } = (await at.connect()).hello;
    assert.equal(offset, 40, "what it missed is in the log");
  },

  async "a client that reads slowly gets the newest state, with the causes of all"(at) {
    const socket = await at.connect();
    await socket.call({ type: "ping" });
    socket.stopReading();
    const padding = "x".repeat(300_000);
    const causes = [];
    for (let version = 1; version <= 60; version++)
      causes.push(...(await pushState(at, version, { padding })));
    socket.readOn();
    const states = [];
    while (states.at(-1)?.offset !== 60) states.push(await socket.next());
    assert.ok(states.length < 60, "none was conflated");
    assert.deepEqual(new Set(states.map(({ type }) => type)), new Set(["user_state_update"]));
    assert.deepEqual(
      states.flatMap(({ causedBy }) => causedBy),
      causes,
    );
    const offsets = states.map(({ offset }) => offset);
    assert.deepEqual(
      offsets,
      offsets.toSorted((a, b) => a - b),
    );
  },

  async "what a slow client resumes goes at its pace: nothing is lost, nothing closes"(at) {
    const { epoch } = (await at.connect()).hello;
    const because = ["x".repeat(250_000)];
    for (let n = 0; n < 16; n++) await at.push("intervention", intervention(`i-${n}`, { because }));
    const socket = await at.connect();
    socket.stopReading();
    socket.send({ type: "resume", epoch, offset: 0 });
    await new Promise((go) => setTimeout(go, 300));
    socket.readOn();
    const [resumed, ...frames] = await take(socket, 17);
    assert.equal(resumed.recovered, true);
    assert.deepEqual(
      frames.map(({ id }) => id),
      Array.from(Array(16), (_, n) => `i-${n}`),
    );
  },

  async "a gateway that ends says so, and when to come back"(at) {
    const socket = await at.connect();
    const [{ epoch, offset }] = await at.poll({});
    const waiting = at.poll({ epoch, offset, wait: 20 });
    await new Promise((go) => setTimeout(go, 300));
    await at.restart();
    const { reconnectAfter } = await socket.until("restarting");
    assert.ok(reconnectAfter >= 0 && reconnectAfter <= 5);
    assert.equal((await socket.closed()).code, 1012);
    assert.equal((await waiting)[0].type, "resumed");
  },
};
