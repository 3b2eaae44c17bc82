// A page without WebSockets against a real gateway, started by tests/sdk/test_real_gateway.py.
import { browser, createClient } from "../../app/gateway/pages/sdk/v1.js";

const { URL: url, USER_ID: userId, TOKEN: token } = process.env;
const client = createClient({
  url,
  userId,
  getToken: async () => token,
  consent: "granted",
  storage: "memory",
  environment: { ...browser(), openSocket: undefined },
});
const receipts = [];
for (let at = 0; at < 120; at++) receipts.push(client.record({ interactionType: "click" }));
receipts.push(client.say("by REST", { wantsReply: false }));
receipts.push(client.record({ interactionType: "click", timingData: { responseTime: "wrong" } }));
const flushed = await client.flush(30_000);
const outcomes = await Promise.all(
  receipts.map(({ accepted }) => accepted.catch(({ code }) => code)),
);
console.log(
  JSON.stringify({
    step: "done",
    flushed,
    outcomes,
    ids: receipts.map(({ id }) => id),
    transport: client.connection.get().transport,
    problems: client.problems.get(),
    stats: client.stats(),
  }),
);
client.close();
