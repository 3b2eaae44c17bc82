// The SDK's client over the same wire, as a page uses it.
import assert from "node:assert/strict";
import { browser, createClient, createFeed } from "../../../app/gateway/pages/sdk/v1.js";
import { until } from "../page.mjs";
import { state } from "./pushes.mjs";

async function visit(at, how, run) {
  const client = createClient({
    url: at.url,
    userId: at.user,
    getToken: () => at.token(),
    consent: "granted",
    storage: "memory",
    ...how,
  });
  try {
    await run(client);
  } finally {
    client.close();
  }
}

async function records(at, client) {
  await client.flush(10_000);
  const receipt = client.record({ interactionType: "click", elementId: "next" });
  assert.equal(await receipt.accepted, "new");
  const exercise = client.exercise({ problemId: "p-9", skill: "fractions", hintTotal: 3 });
  exercise.attempt(false);
  exercise.hint();
  exercise.attempt(true);
  assert.equal(await exercise.finish().accepted, "new");
  const said = client.say("Why?", { wantsReply: true });
  assert.equal(await said.accepted, "new");
  const wrong = client.record({ interactionType: "click", timingData: { responseTime: "5" } });
  await assert.rejects(wrong.accepted, { code: "refused" });
  const [problem] = client.problems.get();
  assert.equal(problem.id, wrong.id);
  assert.match(problem.field, /^(interactions\.0\.)?timingData\.responseTime$/);
  const { accepted, refused, pending } = client.stats();
  assert.deepEqual([accepted, refused, pending], [3, 1, 0]);
}

async function follows(at, client) {
  await at.push("user_state_update", { userState: state(1) });
  await at.push("recommendations", {
    recommendations: [
      { id: "r-1", action: "pause", parameters: {}, confidence: 0.8, because: ["it is late"] },
    ],
  });
  await at.push("intervention", {
    id: "i-1",
    level: "mild",
    confidence: 0.5,
    because: ["so"],
    raisedAt: Date.now(),
  });
  await until(client.interventions, (all) => all.length === 1);
  assert.equal(client.userState.get().valence.value, 0.36);
  const [advice] = client.recommendations.get();
  assert.equal(advice.id, "r-1");
  assert.equal(client.interventions.get()[0].id, "i-1");
  return advice;
}

export const cases = {
  async "the SDK's client over a WebSocket: records, talks, follows, answers"(at) {
    await visit(at, {}, async (client) => {
      await until(client.connection, ({ phase }) => phase === "live");
      await records(at, client);
      const advice = await follows(at, client);
      assert.equal(await client.apply(advice).accepted, "new");
      assert.equal(client.connection.get().transport, "socket");
    });
  },

  async "the SDK's client without WebSockets: the same over REST and polls"(at) {
    const environment = { ...browser(), openSocket: undefined };
    await visit(at, { environment }, async (client) => {
      await records(at, client);
      await follows(at, client);
      assert.equal(client.connection.get().transport, "rest");
    });
  },

  async "the SDK's feed: an observer follows, and sends nothing"(at) {
    const claims = { role: "observer", learners: [at.user], consent: false };
    const feed = createFeed({
      url: at.url,
      userId: at.user,
      getToken: () => at.token(claims, "teacher"),
    });
    try {
      await until(feed.connection, ({ phase }) => phase === "live");
      await follows(at, feed);
    } finally {
      feed.close();
    }
  },

  async "the SDK asks for a new token when one expires, and resumes"(at) {
    const reasons = [];
    const getToken = ({ reason }) => {
      reasons.push(reason);
      return at.token(reasons.length === 1 ? { exp: Date.now() / 1000 - 3.5 } : {});
    };
    await visit(at, { getToken }, async (client) => {
      await until(client.connection, ({ phase }) => phase === "live");
      await until(client.connection, () => reasons.length > 1);
      await follows(at, client);
      assert.ok(reasons.length <= 3, reasons.join());
    });
  },
};
