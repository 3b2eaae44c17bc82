// REST: what it answers, with which status and body.
import assert from "node:assert/strict";
import { chat, feedback, interaction, LIMITS } from "./sockets.mjs";

const bare = ({ type, ...body }) => body;

/** An error's status, code and field; its body is that of the wire. */
function problem({ status, headers, body }) {
  assert.deepEqual(Object.keys(body), ["error"]);
  const { type, code, field, message } = body.error;
  assert.equal(type, "error");
  assert.ok(message.length > 3);
  assert.match(headers.get("Content-Type"), /^application\/json/);
  return field === undefined ? [status, code] : [status, code, field];
}

export const cases = {
  async "202 is what ack is there, and shares its ids"(at) {
    const body = { id: "b-1", interactions: [interaction({ eventId: "e-1" }), interaction()] };
    const first = await at.rest("POST", "/interaction", { body });
    assert.equal(first.status, 202);
    const { eventIds, ...rest } = first.body;
    assert.deepEqual(rest, { id: "b-1", duplicates: [], rejected: [] });
    assert.equal(eventIds[0], "e-1");
    const socket = await at.connect();
    const ack = await socket.call({ type: "interaction_batch", ...body });
    assert.deepEqual([ack.eventIds, ack.duplicates], [eventIds, eventIds]);
    const said = await socket.call(chat("m-1"));
    const again = await at.rest("POST", "/chat", { body: { ...bare(chat("m-1")), attempt: 2 } });
    assert.deepEqual(again.body, { ...bare(said), duplicates: said.eventIds });
    const told = await at.rest("POST", "/feedback", { body: bare(feedback("f-1")) });
    assert.deepEqual([told.status, told.body.id, told.body.duplicates], [202, "f-1", []]);
  },

  async "the header Idempotency-Key is the id; without either one is made"(at) {
    const send = (headers) =>
      at.rest("POST", "/chat", { body: { text: "Why?" }, ...(headers && { headers }) });
    const first = await send({ "Idempotency-Key": "m-1" });
    assert.deepEqual([first.status, first.body.id], [202, "m-1"]);
    const again = await send({ "Idempotency-Key": "m-1" });
    assert.deepEqual(again.body.duplicates, first.body.eventIds);
    const [one, other] = [await send(), await send()];
    assert.ok(one.body.id && one.body.id !== other.body.id);
    const wrong = await send({ "Idempotency-Key": "x".repeat(65) });
    assert.deepEqual(problem(wrong), [422, "invalid_message", "Idempotency-Key"]);
  },

  async "a single interaction object is taken, its errors name its field alone"(at) {
    const one = await at.rest("POST", "/interaction", { body: interaction({ eventId: "e-1" }) });
    assert.deepEqual([one.status, one.body.eventIds], [202, ["e-1"]]);
    const wrong = await at.rest("POST", "/interaction", {
      body: interaction({ timingData: { dwellTime: "5" } }),
    });
    assert.deepEqual(problem(wrong), [422, "invalid_message", "timingData.dwellTime"]);
  },

  async "of a batch the invalid interactions are rejected, over REST as well"(at) {
    const body = { id: "b", interactions: [{ interactionType: "x" }, interaction()] };
    const { status, body: answer } = await at.rest("POST", "/interaction", { body });
    assert.equal(status, 202);
    const [{ index, field }] = answer.rejected;
    assert.deepEqual([index, field, answer.eventIds.length], [0, "timestamp", 1]);
  },

  async "401: no token, or no valid one"(at) {
    for (const [path, token] of [
      ["/chat", ""],
      ["/chat", "no.token"],
      [`/chat?token=${"x"}`, undefined],
    ]) {
      const answer = await at.rest("POST", path, { token, body: { text: "Why?" } });
      assert.deepEqual(problem(answer), [401, "unauthorized"], path);
      assert.equal(answer.headers.get("WWW-Authenticate"), "Bearer");
    }
    for (const path of ["profile", "pushes"])
      assert.equal((await at.rest("GET", `/${path}/${at.user}`, { token: "" })).status, 401);
    const claims = { exp: Math.floor(Date.now() / 1000) - 60 };
    const expired = await at.rest("GET", `/pushes/${at.user}`, { claims });
    assert.deepEqual(problem(expired), [401, "unauthorized"]);
  },

  async "403: another learner, no consent"(at) {
    const body = { text: "Why?", userId: "somebody", id: "m" };
    const other = await at.rest("POST", "/chat", { body });
    assert.deepEqual(problem(other), [403, "forbidden"]);
    assert.equal(other.body.error.id, "m");
    for (const path of ["profile", "pushes"])
      assert.deepEqual(problem(await at.rest("GET", `/${path}/somebody`)), [
        403,
        "forbidden",
        "userId",
      ]);
    const without = { claims: { consent: false } };
    const chatted = await at.rest("POST", "/chat", { ...without, body: { text: "Why?" } });
    assert.deepEqual(problem(chatted), [403, "consent_required"]);
    const polled = await at.rest("GET", `/pushes/${at.user}`, without);
    assert.equal(polled.status, 200, "pushes arrive without consent");
  },

  async "404 and 405"(at) {
    const unknown = await at.rest("GET", `/profile/${at.user}`);
    assert.deepEqual(problem(unknown), [404, "not_found", "userId"]);
    assert.deepEqual(problem(await at.rest("GET", "/nowhere")), [404, "not_found"]);
    const wrong = await at.rest("GET", "/chat");
    assert.deepEqual(problem(wrong), [405, "method_not_allowed"]);
    assert.equal(wrong.headers.get("Allow"), "POST");
    assert.equal((await at.rest("POST", `/pushes/${at.user}`, { body: {} })).status, 405);
  },

  async "413, 415 and 422"(at) {
    const post = (body, headers) => at.rest("POST", "/chat", { body, ...(headers && { headers }) });
    const long = await post({ text: "x".repeat(8_001), id: "m" });
    assert.deepEqual(problem(long), [413, "too_large", "text"]);
    assert.equal(long.body.error.id, "m");
    const whole = await post({ text: "x".repeat(LIMITS.maxMessageBytes) });
    assert.deepEqual(problem(whole), [413, "too_large"]);
    const plain = await post('{"text": "Why?"}', { "Content-Type": "text/plain" });
    assert.deepEqual(problem(plain), [415, "unsupported_media_type", "Content-Type"]);
    const packed = await post('{"text": "Why?"}', { "Content-Encoding": "gzip" });
    assert.deepEqual(problem(packed), [415, "unsupported_media_type", "Content-Encoding"]);
    assert.deepEqual(problem(await post("{")), [422, "invalid_json"]);
    assert.deepEqual(problem(await post("[]")), [422, "invalid_message"]);
    assert.deepEqual(problem(await post({})), [422, "invalid_message", "text"]);
    const wrong = await post({ text: "Why?", replyMode: "song", id: "m" });
    assert.deepEqual(problem(wrong), [422, "invalid_message", "replyMode"]);
    assert.equal(wrong.body.error.id, "m");
    assert.deepEqual(problem(await post({ text: "Why?", id: "" })), [422, "invalid_message", "id"]);
    const token = await at.token({ role: "service" }, "backend");
    const whose = await at.rest("POST", "/chat", { token, body: { text: "Why?" } });
    assert.deepEqual(problem(whose), [422, "invalid_message", "userId"]);
    const named = { text: "Why?", userId: at.user };
    assert.equal((await at.rest("POST", "/chat", { token, body: named })).status, 202);
  },

  async "429 after 100 requests a minute, with Retry-After"(at) {
    const token = await at.token();
    const answers = [];
    const send = () => at.rest("POST", "/feedback", { token, body: {} });
    while (answers.length < 160) answers.push(...(await Promise.all(Array.from(Array(20), send))));
    const refused = answers.filter(({ status }) => status === 422).length;
    const limited = answers.find(({ status }) => status === 429);
    assert.ok(refused >= 100 && refused < 130, String(refused));
    assert.deepEqual(problem(limited), [429, "rate_limited"]);
    assert.ok(Number(limited.headers.get("Retry-After")) >= 1);
    assert.ok(limited.body.error.retryAfter > 0);
    const polled = await at.rest("GET", `/pushes/${at.user}`, { token });
    assert.equal(polled.status, 200, "a poll is no request of these");
  },

  async "CORS: pages of this machine may call, foreign ones may not"(at) {
    const address = `${at.url}/api/v1/ml-personalization/chat`;
    const asks = (origin) =>
      fetch(address, {
        method: "OPTIONS",
        headers: {
          Origin: origin,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
        },
      });
    const here = "http://localhost:5173";
    const local = await asks(here);
    assert.deepEqual([local.status, local.headers.get("Access-Control-Allow-Origin")], [200, here]);
    const allowed = local.headers.get("Access-Control-Allow-Headers").toLowerCase();
    for (const name of ["authorization", "content-type", "idempotency-key"])
      assert.ok(allowed.includes(name), name);
    assert.match(local.headers.get("Access-Control-Allow-Methods"), /POST/);
    assert.equal((await asks("https://school.example")).status, 400);
    const call = (Origin) =>
      at.rest("POST", "/chat", { body: { text: "Why?" }, headers: { Origin } });
    const answer = await call(here);
    assert.equal(answer.headers.get("Access-Control-Allow-Origin"), here);
    assert.match(answer.headers.get("Access-Control-Expose-Headers"), /Retry-After/i);
    const foreign = await call("https://school.example");
    assert.equal(foreign.headers.get("Access-Control-Allow-Origin"), null);
  },
};
