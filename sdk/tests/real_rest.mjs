// A page without WebSockets against a real gateway, started by tests/sdk/test_real_gateway.py.
import { browser, createClient } from "../../app/gateway/pages/sdk/v1.js";
import { until, wait } from "./page.mjs";

const { URL: url, USER_ID: userId, TOKEN: token } = process.env;
// `hello` is the first poll's answer: what is pushed after it has to arrive.
let greet;
const greeted = new Promise((go) => (greet = go));
const here = browser();
const fetch = async (address, options) => {
  const answer = await here.fetch(address, options);
  if (answer.ok && String(address).includes("/pushes/")) greet();
  return answer;
};
const client = createClient({
  url,
  userId,
  getToken: async () => token,
  consent: "granted",
  storage: "memory",
  environment: { ...here, fetch, openSocket: undefined },
});

await greeted;
console.log(JSON.stringify({ step: "live" }));
const receipts = [];
for (let at = 0; at < 120; at++) receipts.push(client.record({ interactionType: "click" }));
receipts.push(client.say("by REST", { wantsReply: false }));
receipts.push(client.record({ interactionType: "click", timingData: { responseTime: "wrong" } }));
const flushed = await client.flush(30_000);
const outcomes = await Promise.all(
  receipts.map(({ accepted }) => accepted.catch(({ code }) => code)),
);
await until(client.interventions, (all) => all.length >= 6);
await wait(500); // for one that would come twice
console.log(
  JSON.stringify({
    step: "done",
    flushed,
    outcomes,
    ids: receipts.map(({ id }) => id),
    transport: client.connection.get().transport,
    problems: client.problems.get(),
    interventions: client.interventions.get().map(({ id }) => id),
    stats: client.stats(),
  }),
);
client.close();
