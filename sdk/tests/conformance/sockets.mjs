// Handshake, answers to messages, close codes.
import assert from "node:assert/strict";

export const interaction = (more = {}) => ({
  timestamp: Date.now(),
  interactionType: "click",
  elementId: "next",
  ...more,
});
export const batch = (id, ...interactions) => ({ type: "interaction_batch", id, interactions });
export const chat = (id, more = {}) => ({
  type: "chat_message",
  id,
  timestamp: Date.now(),
  text: "I still do not see why",
  ...more,
});
export const feedback = (id, more = {}) => ({
  type: "feedback",
  id,
  targetType: "recommendation",
  targetId: "r-1",
  outcome: "helpful",
  ...more,
});

export const LIMITS = {
  maxMessageBytes: 262_144,
  maxTextLength: 8_000,
  maxInteractions: 500,
  messagesPerSecond: 30,
  burst: 300,
  dedupeSeconds: 600,
  unacknowledged: 200,
};

const YEAR = 31_557_600_000;
const soon = (seconds) => Date.now() / 1000 + seconds;

/** [what is wrong, message, code, field]; `id` is m unless the message says none that can be read. */
const WRONG = [
  ["no type", { id: "m" }, "invalid_message", "type"],
  ["a type that is no string", { id: "m", type: 1 }, "invalid_message", "type"],
  ["an unknown type", { id: "m", type: "telepathy" }, "unknown_type", "type"],
  ["no text", { ...chat("m"), text: undefined }, "invalid_message", "text"],
  ["a blank text", chat("m", { text: " \n" }), "invalid_message", "text"],
  ["a text that is a number", chat("m", { text: 5 }), "invalid_message", "text"],
  ["no time", { ...chat("m"), timestamp: undefined }, "invalid_message", "timestamp"],
  ["a duration for a time", chat("m", { timestamp: 12.5 }), "invalid_message", "timestamp"],
  [
    "a time without offset",
    chat("m", { timestamp: "2026-01-05T12:00:00" }),
    "invalid_message",
    "timestamp",
  ],
  ["a word for a time", chat("m", { timestamp: "noon" }), "invalid_message", "timestamp"],
  [
    "microseconds",
    chat("m", { timestamp: Date.now() + 11 * YEAR }),
    "invalid_message",
    "timestamp",
  ],
  [
    "microseconds of sending",
    chat("m", { sentAt: Date.now() + 11 * YEAR }),
    "invalid_message",
    "sentAt",
  ],
  ["attempt 0", chat("m", { attempt: 0 }), "invalid_message", "attempt"],
  ["a reply mode of no kind", chat("m", { replyMode: "song" }), "invalid_message", "replyMode"],
  ["yes for true", chat("m", { wantsReply: "yes" }), "invalid_message", "wantsReply"],
  ["a target of no kind", feedback("m", { targetType: "page" }), "invalid_message", "targetType"],
  ["no outcome", feedback("m", { outcome: "" }), "invalid_message", "outcome"],
  [
    "a target that cannot be seen",
    feedback("m", { targetId: "\u200b" }),
    "invalid_message",
    "targetId",
  ],
  ["no interactions", batch("m"), "invalid_message", "interactions"],
  [
    "interactions that are no list",
    { ...batch("m"), interactions: {} },
    "invalid_message",
    "interactions",
  ],
  [
    "501 interactions",
    batch("m", ...Array(501).fill(interaction())),
    "invalid_message",
    "interactions",
  ],
  ["an interaction that is none", batch("m", 7), "invalid_message", "interactions.0"],
  [
    "an interaction without type",
    batch("m", { timestamp: Date.now() }),
    "invalid_message",
    "interactions.0.interactionType",
  ],
  [
    "a time in quotes",
    batch("m", interaction({ timingData: { responseTime: "5" } })),
    "invalid_message",
    "interactions.0.timingData.responseTime",
  ],
  [
    "true for a count",
    batch("m", interaction({ taskData: { hintCount: true } })),
    "invalid_message",
    "interactions.0.taskData.hintCount",
  ],
  [
    "half a hint",
    batch("m", interaction({ taskData: { hintCount: 1.5 } })),
    "invalid_message",
    "interactions.0.taskData.hintCount",
  ],
  [
    "a long element id",
    batch("m", interaction({ elementId: "x".repeat(257) })),
    "invalid_message",
    "interactions.0.elementId",
  ],
  ["resume without epoch", { type: "resume", offset: 1 }, "invalid_message", "epoch"],
  [
    "resume before the beginning",
    { type: "resume", epoch: "e", offset: -1 },
    "invalid_message",
    "offset",
  ],
  ["an empty id", chat(""), "invalid_message", "id"],
  ["an id of 65 characters", chat("x".repeat(65)), "invalid_message", "id"],
  ["an id that cannot be seen", chat("a\u0000"), "invalid_message", "id"],
];

/** [what is wrong, claims] of a token that lets nobody in. */
const NO_TOKENS = [
  ["exp in milliseconds", { exp: Date.now() }],
  ["no exp", { exp: null }],
  ["not valid yet", { nbf: Math.floor(soon(60)) }],
  ["an unknown role", { role: "teacher" }],
  ["a list of roles", { role: ["learner"] }],
  ["learners that are no list", { role: "observer", learners: "ada" }],
  ["a user id that is none", { sub: ".." }],
  ["a number for a user id", { sub: 7 }],
  ["it has expired", { exp: Math.floor(soon(-60)) }],
];

async function closesWith(at, code, options) {
  const socket = await at.knock(options);
  assert.equal(socket.status, 101);
  const { code: found, reason } = await socket.closed();
  assert.equal(found, code, reason);
  assert.ok(reason.length > 0 && reason.length < 124);
  return reason;
}

async function refusesClaims(at) {
  for (const [what, claims] of NO_TOKENS) {
    const token = await at.token(claims);
    const reason = await closesWith(at, 4401, { token }).catch((error) => {
      throw new Error(`${what}: ${error.message}`);
    });
    if (what === "it has expired") assert.match(reason, /expired/);
    if (what === "exp in milliseconds") assert.match(reason, /milliseconds/);
  }
}

export const cases = {
  async "hello comes first, with limits, a place and the time"(at) {
    const { hello } = await at.connect();
    const { epoch, serverTime, ...rest } = hello;
    assert.deepEqual(rest, { type: "hello", offset: 0, limits: LIMITS });
    assert.ok(typeof epoch === "string" && epoch.length > 0 && epoch.length <= 64);
    assert.ok(Math.abs(serverTime - Date.now()) < 5_000);
    assert.ok(Number.isInteger(serverTime));
    const again = await at.connect();
    assert.equal(again.hello.epoch, epoch, "the log of a learner keeps its epoch");
  },

  async "a browser's token comes as subprotocol; the server answers masterx.v1"(at) {
    const token = await at.token();
    const protocols = ["masterx.v1", `bearer.${token}`];
    const socket = await at.connect({ token: "", protocols });
    assert.equal(socket.headers["sec-websocket-protocol"], "masterx.v1");
    const plain = await at.connect();
    assert.equal(plain.headers["sec-websocket-protocol"], undefined);
  },

  async "user ids are percent-encoded, and may hold what names need"(at) {
    const who = "Zo\u00eb/\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 7%";
    const token = await at.token({}, who);
    const socket = await at.connect({ token, who });
    assert.equal(socket.hello.type, "hello");
    assert.equal((await socket.call(chat("m"))).type, "ack");
  },

  async "each message with effects gets an ack with its event ids"(at) {
    const socket = await at.connect();
    const sent = batch("b-1", interaction({ eventId: "e-1" }), interaction());
    const ack = await socket.call({ ...sent, attempt: 1, sentAt: Date.now() });
    assert.deepEqual(Object.keys(ack).sort(), ["duplicates", "eventIds", "id", "rejected", "type"]);
    const [given, derived] = ack.eventIds;
    assert.deepEqual([ack.type, ack.id, given], ["ack", "b-1", "e-1"]);
    assert.match(derived, /^[0-9a-f]{8}-[0-9a-f]{4}-5/);
    assert.deepEqual([ack.duplicates, ack.rejected], [[], []]);
    const said = await socket.call(chat("m-1", { eventId: "c-1", wantsReply: false }));
    assert.deepEqual([said.id, said.eventIds], ["m-1", ["c-1"]]);
    const told = await socket.call(feedback("f-1"));
    assert.equal(told.eventIds.length, 1);
  },

  async "a missing event id is derived from learner, kind and id"(at) {
    const token = await at.token({}, "ada");
    const socket = await at.connect({ token, who: "ada" });
    const { eventIds } = await socket.call(chat("m-3"));
    assert.deepEqual(eventIds, ["8c181d91-b49d-50b4-98e2-a1ef96eb5cba"]);
  },

  async "a message without id gets one, and is a new event each time"(at) {
    const socket = await at.connect();
    const [first, second] = [
      await socket.call(chat(undefined)),
      await socket.call(chat(undefined)),
    ];
    assert.ok(first.id && second.id && first.id !== second.id);
    assert.notDeepEqual(first.eventIds, second.eventIds);
    assert.deepEqual(second.duplicates, []);
  },

  async "what was accepted before is named as duplicate, by kind"(at) {
    const socket = await at.connect();
    const first = await socket.call(batch("b-1", interaction({ eventId: "e-1" }), interaction()));
    const again = await socket.call({
      ...batch("b-1", interaction({ eventId: "e-1" }), interaction()),
      attempt: 2,
    });
    assert.deepEqual(again.eventIds, first.eventIds);
    assert.deepEqual(again.duplicates, first.eventIds);
    const cut = await socket.call(
      batch("b-2", interaction({ eventId: "e-2" }), interaction({ eventId: "e-1" })),
    );
    assert.deepEqual([cut.eventIds, cut.duplicates], [["e-2", "e-1"], ["e-1"]]);
    const twice = await socket.call(
      batch("b-3", interaction({ eventId: "e-3" }), interaction({ eventId: "e-3" })),
    );
    assert.deepEqual([twice.eventIds, twice.duplicates], [["e-3", "e-3"], []]);
    assert.deepEqual((await socket.call(chat("b-1", { eventId: "e-1" }))).duplicates, []);
    const other = await at.connect();
    const told = await other.call(chat("b-1", { eventId: "e-1", attempt: 2 }));
    assert.deepEqual(told.duplicates, ["e-1"], "over another connection, too");
  },

  async "of a batch the invalid interactions are rejected, the others accepted"(at) {
    const socket = await at.connect();
    const ack = await socket.call(
      batch(
        "b-1",
        interaction({ timestamp: Date.now() + 11 * YEAR }),
        interaction({ eventId: "e-1" }),
        interaction({ taskData: { correct: "yes" } }),
        "no interaction",
        interaction(),
      ),
    );
    assert.equal(ack.type, "ack");
    assert.deepEqual(
      ack.rejected.map(({ index, field }) => [index, field]),
      [
        [0, "timestamp"],
        [2, "taskData.correct"],
        [3, undefined],
      ],
    );
    for (const { message } of ack.rejected) assert.ok(message.length > 5);
    assert.equal(ack.eventIds.length, 2);
    // By its place in the batch as sent: whoever sends it mended, or alone, means the same event.
    const mended = await socket.call(batch("b-1", ...Array(4).fill(interaction()), interaction()));
    assert.equal(mended.eventIds[4], ack.eventIds[1]);
    assert.deepEqual(mended.duplicates, [ack.eventIds[1]]);
  },

  async "what pages send is read: snake_case, seconds, ISO 8601, odd clocks, half an emoji"(at) {
    const socket = await at.connect();
    const snake = {
      type: "interaction_batch",
      id: "b-1",
      sent_at: Date.now() / 1000,
      interactions: [
        { event_id: "e-1", timestamp: "2026-01-05T12:00:00.5+01:00", interaction_type: "answer" },
        interaction({ eventId: "e-2", timestamp: Date.now() / 1000, later: "unknown" }),
        interaction({ eventId: "e-3", timingData: { responseTime: -3, dwellTime: 1e6 } }),
        interaction({ eventId: "e-4", elementId: null, taskData: { hintCount: 2.0 } }),
      ],
    };
    const ack = await socket.call(snake);
    assert.deepEqual([ack.eventIds, ack.rejected], [["e-1", "e-2", "e-3", "e-4"], []]);
    socket.sendText(
      `{"type":"chat_message","id":"m","timestamp":${Date.now()},"text":"so \\ud83d"}`,
    );
    assert.equal((await socket.until("ack")).id, "m");
    socket.sendFrame(2, Buffer.from(JSON.stringify(chat("bytes"))));
    assert.equal((await socket.until("ack")).id, "bytes");
  },

  async "a number that is not finite is refused by its field"(at) {
    const socket = await at.connect();
    for (const number of ["NaN", "1e400"]) {
      const one = `{"timestamp":${Date.now()},"interactionType":"x","timingData":{"responseTime":${number}}}`;
      socket.sendText(`{"type":"interaction_batch","id":"m","interactions":[${one}]}`);
      const { id, code, field } = await socket.until("error");
      const place = "interactions.0.timingData.responseTime";
      assert.deepEqual([id, code, field], ["m", "invalid_message", place]);
    }
  },

  async "an error names code, field and id, and the connection lives on"(at) {
    const socket = await at.connect();
    for (const [what, message, code, field] of WRONG) {
      const answer = await socket.call(message);
      const readable = message.id === "m" ? "m" : undefined;
      const { type, id, retryAfter } = answer;
      const found = [type, answer.code, answer.field, id, retryAfter];
      assert.deepEqual(found, ["error", code, field, readable, undefined], what);
      assert.ok(answer.message.length > 5, what);
    }
    for (const [text, code] of [
      ["{", "invalid_json"],
      ["[]", "invalid_message"],
      ["null", "invalid_message"],
    ]) {
      socket.sendText(text);
      const { field, ...answer } = await socket.until("error");
      assert.deepEqual([answer.code, field, answer.id], [code, undefined, undefined], text);
    }
    assert.equal((await socket.call(chat("m"))).type, "ack");
  },

  async "too_large: a text, a message; 1009 beyond twice the bound"(at) {
    const socket = await at.connect();
    const text = await socket.call(chat("m-1", { text: "x".repeat(8_001) }));
    assert.deepEqual([text.code, text.field, text.id], ["too_large", "text", "m-1"]);
    const emoji = await socket.call(chat("m-2", { text: "\u{1f600}".repeat(8_000) }));
    assert.equal(emoji.type, "ack", "characters, not UTF-16 units");
    const whole = await socket.call(chat("m-3", { text: "x".repeat(LIMITS.maxMessageBytes) }));
    assert.deepEqual([whole.code, whole.field, whole.id], ["too_large", undefined, "m-3"]);
    socket.sendText("x".repeat(2 * LIMITS.maxMessageBytes + 1));
    assert.equal((await socket.closed()).code, 1009);
  },

  async "forbidden and consent_required: what the token does not allow"(at) {
    const observer = await at.connect({
      token: await at.token({ role: "observer", learners: [at.user] }, "teacher"),
    });
    assert.equal((await observer.call(chat("m"))).code, "forbidden");
    assert.equal((await observer.call({ type: "ping", id: "p" })).type, "pong");
    const socket = await at.connect();
    const stray = batch("b", interaction(), interaction({ userId: "somebody" }));
    const { code, field, id } = await socket.call(stray);
    assert.deepEqual([code, field, id], ["forbidden", "interactions.1.userId", "b"]);
    const service = await at.connect({ token: await at.token({ role: "service" }, "backend") });
    assert.equal((await service.call(stray)).code, "invalid_message");
    const own = batch("b", interaction({ userId: at.user }));
    assert.equal((await service.call(own)).type, "ack");
    for (const consent of [false, null, "true", 1]) {
      const without = await at.connect({ claims: { consent } });
      const answer = await without.call(chat("m"));
      assert.deepEqual([answer.code, answer.id], ["consent_required", "m"], String(consent));
      if (consent === "true") assert.match(answer.message, /string/);
      assert.equal((await without.call({ ...chat("m"), text: 5 })).code, "invalid_message");
    }
  },

  async "ping is answered with pong and the time"(at) {
    const socket = await at.connect();
    const { serverTime, ...pong } = await socket.call({ type: "ping", id: "1" });
    assert.deepEqual(pong, { type: "pong", id: "1" });
    assert.ok(Math.abs(serverTime - Date.now()) < 5_000);
    const { id } = await socket.call({ type: "ping" });
    assert.equal(id, undefined);
  },

  async "rate_limited after a burst, also on invalid messages and polls, with retryAfter"(at) {
    const socket = await at.connect();
    for (let n = 0; n < 420; n++) socket.sendText(n % 2 ? "{" : '{"type":"ping","id":"p"}');
    const answers = [];
    while (answers.length < 420) answers.push(await socket.next());
    const limited = answers.filter(({ code }) => code === "rate_limited");
    assert.ok(limited.length > 0 && limited.length <= 120, String(limited.length));
    for (const { retryAfter } of limited) assert.ok(retryAfter > 0 && retryAfter < 1);
    assert.ok(limited.some(({ id }) => id === "p"));
    assert.equal(answers.slice(0, 300).filter(({ code }) => code === "rate_limited").length, 0);
    const token = await at.token();
    let polled;
    for (let tries = 0; tries < 20 && polled?.status !== 429; tries++) {
      while ((await socket.call({ type: "ping" })).type === "pong");
      polled = await at.rest("GET", `/pushes/${at.user}`, { token });
    }
    assert.equal(polled.body.error?.code, "rate_limited");
    assert.equal(polled.headers.get("Retry-After"), "1");
  },

  async "4401: no token, no valid one, one in the address"(at) {
    await closesWith(at, 4401, { token: "" });
    await closesWith(at, 4401, { token: "no.token" });
    await closesWith(at, 4401, { token: `${"x".repeat(8_200)}.y.z` });
    const token = await at.token();
    await closesWith(at, 4401, { token, query: `?token=${token}` });
    await closesWith(at, 4401, { token, query: "?Access_Token=x" });
    await refusesClaims(at);
  },

  async "4401 when the token expires while it is in use"(at) {
    const socket = await at.connect({ claims: { exp: soon(-2) } }); // 5 s are forgiven
    const { code, reason } = await socket.closed();
    assert.equal(code, 4401);
    assert.match(reason, /expired/);
  },

  async "4403: a learner whom the token may not see"(at) {
    await closesWith(at, 4403, { who: "somebody" });
    await closesWith(at, 4403, { claims: { role: "observer", learners: ["somebody"] } });
    await closesWith(at, 4403, { claims: { role: "observer" } });
  },

  async "403: a page of a foreign origin; this machine's may come"(at) {
    const foreign = await at.knock({ headers: { Origin: "https://school.example" } });
    assert.equal(foreign.status, 403);
    for (const Origin of ["http://localhost:5173", "http://127.0.0.1", "https://[::1]:8443"])
      assert.equal((await at.connect({ headers: { Origin } })).hello.type, "hello");
    for (const Origin of ["http://localhost.example", "null"])
      assert.equal((await at.knock({ headers: { Origin } })).status, 403);
  },

  async "1002 and 1007: a frame that breaks the protocol, a text that is not UTF-8"(at) {
    const unmasked = await at.connect();
    unmasked.sendFrame(1, Buffer.from("{}"), { masked: false });
    assert.equal((await unmasked.closed()).code, 1002);
    const unknown = await at.connect();
    unknown.sendFrame(3, Buffer.from("{}"));
    assert.equal((await unknown.closed()).code, 1002);
    const text = await at.connect();
    text.sendFrame(1, Buffer.from([0x22, 0xff, 0x22]));
    assert.equal((await text.closed()).code, 1007);
  },

  async "the 21st connection: 4503; 1011 for one that answers no ping"(at) {
    const token = await at.token();
    for (let n = 0; n < 20; n++) await at.connect({ token, answersPings: n > 0 });
    const [silent, ...others] = at.open;
    const next = await at.connect({ token });
    assert.equal(next.hello.type, "hello");
    assert.equal((await silent.closed()).code, 1011);
    assert.ok(others.every(({ pings }) => pings > 0));
    assert.match(await closesWith(at, 4503, { token }), /too many connections/);
    const { status, headers, body } = await at.rest("GET", `/pushes/${at.user}`, { token });
    assert.deepEqual([status, body.error.code], [503, "unavailable"]);
    assert.equal(headers.get("Retry-After"), "1");
    assert.equal(body.error.retryAfter, 1);
  },
};
