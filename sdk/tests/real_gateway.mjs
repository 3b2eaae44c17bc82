// A page against a real gateway, started by tests/sdk/test_real_gateway.py:
//   URL, USER_ID, TOKEN in the environment; a line of JSON on stdout for each step.
// It records 300 events while the gateway is killed and its sockets are cut, and says what became
// of each.
import { browser, createClient } from "../../app/gateway/pages/sdk/v1.js";
import { until, wait } from "./page.mjs";

const { URL: url, USER_ID: userId, TOKEN: token } = process.env;
const EVENTS = 300;
const KILL_AT = 100;
const CUTS = new Set([40, 170, 230]);

const say = (step) => console.log(JSON.stringify(step));

process.on("unhandledRejection", (error) => {
  say({ failed: `unhandled: ${error}` });
  process.exit(1);
});

// The network that goes away under the client, just after it has sent an event.
let cut = false;
const here = browser();
const environment = {
  ...here,
  openSocket: (address, protocols) => {
    const socket = here.openSocket(address, protocols);
    const send = socket.send.bind(socket);
    socket.send = (text) => {
      send(text);
      if (!cut || !("attempt" in JSON.parse(text))) return;
      cut = false;
      socket.close();
    };
    return socket;
  },
};

const client = createClient({
  url,
  userId,
  getToken: async () => token,
  consent: "granted",
  storage: "memory",
  environment,
});

const receipts = [];
const settled = new Map(); // id -> "new", "duplicate", or the code of an error
const unanswered = new Set(); // what waited when a line ended: only this may reach Kafka twice
const stored = new Set();

client.connection.subscribe(({ phase }) => {
  if (phase === "waiting" || phase === "connecting")
    for (const { id } of receipts) if (!settled.has(id)) unanswered.add(id);
});

function follow(receipt, kind = "event") {
  receipts.push({ ...receipt, id: receipt.id, kind });
  receipt.stored.then(() => stored.add(receipt.id));
  receipt.accepted.then(
    (how) => settled.set(receipt.id, how),
    (error) => settled.set(receipt.id, error.code),
  );
}

await until(client.connection, ({ phase }) => phase === "live");
say({ step: "live" });
for (let at = 0; at < EVENTS; at++) {
  if (CUTS.has(at)) cut = true;
  if (at % 10 === 3) follow(client.say(`message ${at}`, { wantsReply: false }));
  else if (at % 10 === 7) {
    const exercise = client.exercise({ problemId: `p-${at}`, skill: "fractions", hintTotal: 2 });
    exercise.attempt(at % 3 > 0);
    follow(exercise.finish());
  } else if (at % 50 === 9)
    follow(
      client.feedback({ targetType: "reply", targetId: `r-${at}`, outcome: "helpful" }),
      "feedback",
    );
  else follow(client.record({ interactionType: "click", elementId: `e-${at}` }));
  if (at === KILL_AT) say({ step: "kill" });
  await wait(25);
}
say({ step: "recorded" });
const flushed = await client.flush(30_000);
await until(client.interventions, (all) => all.length >= 4);
await wait(500); // for one that would come twice
say({
  step: "done",
  flushed,
  events: receipts.map(({ id, kind }) => ({
    id,
    kind,
    stored: stored.has(id),
    outcome: settled.get(id) ?? null,
    unanswered: unanswered.has(id),
  })),
  interventions: client.interventions.get().map(({ id }) => id),
  stats: client.stats(),
  problems: client.problems.get(),
});
client.close();
