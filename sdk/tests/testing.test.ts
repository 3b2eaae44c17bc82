/** @masterx/sdk/testing and `masterx-sdk dev`: what conformance.test.ts does not say of them. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { WebSocket } from "ws";
import { browser } from "../src/core/environment.ts";
import type { Observable } from "../src/core/observable.ts";
import { createClient, type Client, type ClientOptions, type ReplyEvent } from "../src/index.ts";
import { startGateway, type GatewayOptions, type TestGateway } from "../src/testing/index.ts";
import { readObject, type Schema } from "../src/testing/messages.ts";

const CONTRACTS = "../contracts/wire/";
const environment = {
  ...browser(),
  openSocket: (url: string, protocols: string[]) => new WebSocket(url, protocols) as never,
};

async function serve(t: TestContext, options: GatewayOptions = {}): Promise<TestGateway> {
  const gateway = await startGateway({ reactAfter: 5, pace: 2, ...options });
  t.after(() => gateway.close());
  return gateway;
}

function visit(
  t: TestContext,
  gateway: TestGateway,
  more: Partial<ClientOptions> = {},
): { client: Client; reasons: string[] } {
  const reasons: string[] = [];
  const client = createClient({
    url: gateway.url,
    userId: "ada",
    getToken: async ({ reason }) => {
      reasons.push(reason);
      return gateway.token("ada");
    },
    consent: "granted",
    storage: "memory",
    environment,
    ...more,
  });
  t.after(() => client.close());
  return { client, reasons };
}

function until<T>(observable: Observable<T>, holds: (value: T) => boolean): Promise<T> {
  return new Promise((go) => {
    if (holds(observable.get())) return go(observable.get());
    const end = observable.subscribe((value) => {
      if (!holds(value)) return;
      end();
      go(value);
    });
  });
}

const live = (client: Client): Promise<unknown> =>
  until(client.connection, ({ phase }) => phase === "live");

test("a learner reacts to what the page sends, and says that it is simulated", async (t) => {
  const gateway = await serve(t);
  const { client } = visit(t, gateway);
  await live(client);
  assert.equal(client.userState.get(), undefined, "nobody is known before the first event");
  for (let n = 0; n < 4; n++) {
    const exercise = client.exercise({ problemId: `p-${n}`, skill: "fractions" });
    exercise.attempt(false);
    await exercise.finish().accepted;
  }
  const [advice] = await until(client.recommendations, (all) => all.length > 0);
  const state = client.userState.get()!;
  assert.equal(state.modelStatus, "simulated");
  assert.equal(state.behaviour?.fatigue.source, "derived");
  assert.deepEqual(state.valence, { value: 0.5, confidence: 0, source: "prior" });
  assert.ok(state.behaviour.cognitiveLoad.value > 0.7);
  assert.match(advice!.because.join(), /simulated/);
  await client.dismiss(advice!).accepted;
  await until(client.recommendations, (all) => all.length === 0);
  const { epoch } = await hello(gateway);
  assert.match(epoch, /^simulated-/);
  const kinds = gateway.accepted.map(({ kind }) => kind);
  assert.deepEqual(kinds, [...Array<string>(4).fill("interaction_batch"), "feedback"]);
  assert.equal((gateway.accepted[0]!.event["taskData"] as { correct: boolean }).correct, false);
});

async function hello(gateway: TestGateway): Promise<{ epoch: string }> {
  const headers = { Authorization: `Bearer ${gateway.token("ada")}` };
  const answer = await fetch(`${gateway.url}/api/v1/ml-personalization/pushes/ada`, { headers });
  const { frames } = (await answer.json()) as { frames: [{ epoch: string }] };
  return frames[0];
}

test("the tutor replies in pieces; an attempt that is given up is void", async (t) => {
  const gateway = await serve(t);
  const { client } = visit(t, gateway);
  await live(client);
  const events: ReplyEvent[] = [];
  for await (const event of client.say("Why?", { wantsReply: true })) events.push(event);
  const last = events.at(-1)!;
  assert.equal(last.type, "final");
  const shown = events.flatMap((event) => (event.type === "delta" ? [event.text] : []));
  assert.ok(shown.length > 5);
  assert.ok(last.type === "final" && last.reply.text.startsWith(shown.join("")));
  assert.equal(last.type === "final" && last.reply.provider, "simulated");

  const unasked = gateway
    .learner("ada")
    .reply({ text: "Look at the pies.", attempts: 3, causedBy: [] });
  const replies = await until(client.replies, (all) =>
    all.some(({ text }) => /pies\.$/.test(text)),
  );
  await unasked;
  assert.equal(replies.at(-1)!.text, "Look at the pies.");
  await gateway.learner("ada").reply({ status: "human_help", text: "Talk to somebody." });
  const help = await until(client.replies, (all) => all.some((one) => one.status === "human_help"));
  assert.equal(help.at(-1)!.text, "Talk to somebody.");
});

test("what a simulated learner is sent is what contracts/wire says", async (t) => {
  const gateway = await serve(t);
  const learner = gateway.learner("ada");
  const socket = new WebSocket(`${gateway.url}/api/v1/ml-personalization/ws/ada`, {
    headers: { Authorization: `Bearer ${gateway.token("ada")}` },
  });
  const frames: { type: string }[] = [];
  socket.on("message", (data) => frames.push(JSON.parse(String(data)) as { type: string }));
  await once(socket, "message");
  const send = (message: object): void => socket.send(JSON.stringify(message));
  send({ type: "ping" });
  send({ type: "chat_message", id: "m", timestamp: Date.now(), text: "Why?", wantsReply: true });
  send({
    type: "interaction_batch",
    interactions: [{ timestamp: 1.8e12, interactionType: "x" }, 7],
  });
  send({ type: "telepathy" });
  learner.setState({ valence: 0.2, cognitiveLoad: 0.9 });
  learner.recommend({ action: "suggest_break" });
  learner.intervene();
  await learner.reply({ attempts: 2 });
  await learner.reply({ status: "unavailable" });
  learner.loseLog();
  send({ type: "resume", epoch: "before", offset: 1 });
  while (!frames.some(({ type }) => type === "resumed")) await once(socket, "message");
  gateway.restart();
  const [code] = (await once(socket, "close")) as [number];
  assert.equal(code, 1012);
  const schemas = new Map<string, Schema>();
  for (const name of await readdir(CONTRACTS)) {
    const schema = JSON.parse(await readFile(CONTRACTS + name, "utf8")) as Schema;
    schemas.set(name.replace(".json", ""), schema);
  }
  for (const frame of frames) {
    const schema = schemas.get(frame.type);
    assert.ok(schema, frame.type);
    assert.doesNotThrow(() => readObject(schema, frame), JSON.stringify(frame));
    const known = Object.keys(schema.properties ?? {});
    for (const name of Object.keys(frame)) assert.ok(known.includes(name), `${frame.type}.${name}`);
  }
  const types = new Set(frames.map(({ type }) => type));
  const server = [
    ...["hello", "pong", "ack", "error", "resumed", "restarting", "user_state_update"],
    ...["recommendations", "intervention", "tutor_delta", "tutor_reply"],
  ];
  assert.deepEqual([...types].sort(), server.sort());
});

test("a figure that you set is pushed; a wrong one is refused", async (t) => {
  const gateway = await serve(t);
  const { client } = visit(t, gateway);
  const learner = gateway.learner("ada");
  learner.setState({ focus: 0.2, valence: 0.9 });
  const state = await until(client.userState, (found) => found !== undefined);
  assert.deepEqual(state?.behaviour?.focus, { value: 0.2, confidence: 0.9, source: "measured" });
  assert.equal(state.valence.value, 0.9);
  assert.throws(() => learner.setState({ focus: 2 }), RangeError);
  assert.throws(() => learner.setState({ charm: 0.5 } as never), RangeError);
  assert.throws(() => gateway.learner(".."), RangeError);
  learner.recommend({ action: "suggest_break", because: ["you asked"] });
  const [advice] = await until(client.recommendations, (all) => all.length > 0);
  assert.deepEqual([advice!.action, advice!.because], ["suggest_break", ["you asked"]]);
});

test("an expired token, a cut socket, a restart, a lost log: the client is back, once each", async (t) => {
  const gateway = await serve(t, { reconnectSpread: 0 });
  const { client, reasons } = visit(t, gateway);
  const learner = gateway.learner("ada");
  await live(client);
  const raised: string[] = [];
  for (const fault of ["expireToken", "cut", "restart", "loseLog"] as const) {
    await live(client);
    if (fault === "restart") gateway.restart();
    else learner[fault]();
    if (fault === "loseLog") learner.cut();
    await until(client.connection, ({ phase }) => phase !== "live");
    if (fault !== "loseLog") raised.push(learner.intervene()); // missed, and made up for
    await live(client);
    assert.equal(await client.record({ interactionType: fault }).accepted, "new");
    if (fault === "loseLog") raised.push(learner.intervene()); // behind `recovered: false`
    await until(client.interventions, (all) => all.length >= raised.length);
  }
  assert.deepEqual(
    client.interventions.get().map(({ id }) => id),
    raised,
  );
  assert.ok(reasons.includes("rejected"), reasons.join());
  assert.equal(learner.connections, 1);
});

test("a message that is refused for a while is sent again and counts once", async (t) => {
  const gateway = await serve(t);
  const { client } = visit(t, gateway);
  await live(client);
  gateway.failNext("unavailable", { retryAfter: 0.05 });
  gateway.failNext("internal", { retryAfter: 0.05 });
  assert.equal(await client.record({ interactionType: "click" }).accepted, "new");
  assert.equal(gateway.accepted.length, 1);
  assert.ok(client.stats().retries >= 2);
});

test("origins, limits and pings are as you set them", async (t) => {
  const gateway = await serve(t, {
    allowedOrigins: ["https://school.example"],
    limits: { maxTextLength: 10 },
    pingInterval: 50,
    maxConnectionsPerUser: 1,
  });
  const address = `${gateway.url}/api/v1/ml-personalization/ws/ada`;
  const open = (origin: string, autoPong = true) =>
    new WebSocket(address, {
      autoPong,
      origin,
      headers: { Authorization: `Bearer ${gateway.token("ada")}` },
    });
  const foreign = open("https://elsewhere.example");
  const [error] = (await once(foreign, "error")) as [Error];
  assert.match(error.message, /403/);
  const silent = open("https://school.example", false);
  const [data] = (await once(silent, "message")) as [Buffer];
  const { limits } = JSON.parse(String(data)) as { limits: Record<string, number> };
  assert.deepEqual([limits["maxTextLength"], limits["burst"]], [10, 300]);
  const [code] = (await once(silent, "close")) as [number];
  assert.equal(code, 1011, "it answered no ping");
  const answering = open("https://school.example");
  await once(answering, "message");
  const second = open("https://school.example");
  assert.equal(((await once(second, "close")) as [number])[0], 4503);
  await new Promise((go) => setTimeout(go, 200));
  assert.equal(answering.readyState, WebSocket.OPEN);
});

test("a restart loses nothing that a client is owed", async (t) => {
  const gateway = await serve(t, { simulate: false });
  const socket = new WebSocket(`${gateway.url}/api/v1/ml-personalization/ws/ada`, {
    headers: { Authorization: `Bearer ${gateway.token("ada")}` },
  });
  const types: string[] = [];
  socket.on("message", (data) => {
    types.push((JSON.parse(String(data)) as { type: string }).type);
  });
  await once(socket, "message");
  socket.send('{"type":"ping"}');
  await once(socket, "message");
  for (let n = 0; n < 5; n++) gateway.learner("ada").intervene();
  gateway.restart();
  await once(socket, "close");
  assert.deepEqual(types.slice(2), [...Array<string>(5).fill("intervention"), "restarting"]);
});

test("a port that is taken rejects; a gateway that ends frees it", async (t) => {
  const gateway = await startGateway();
  await assert.rejects(startGateway({ port: gateway.port }), { code: "EADDRINUSE" });
  await gateway.close();
  await serve(t, { port: gateway.port });
});

// -- the command ---------------------------------------------------------------------------------

const COMMAND = "dist/testing/dev.js";

test("the bill of materials names what is in the built files, and nothing else", async (t) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/sbom.mjs"], {
    encoding: "utf8",
  });
  if (stderr.includes("Unknown command")) return t.skip("this npm has no sbom: make dist needs it");
  assert.equal(status, 0, stderr);
  const { components, dependencies, metadata } = JSON.parse(stdout) as {
    components: { name: string; version: string; scope: string; hashes: unknown[] }[];
    dependencies: { ref: string; dependsOn: string[] }[];
    metadata: { component: { purl: string } };
  };
  const { devDependencies, version } = JSON.parse(await readFile("package.json", "utf8")) as {
    devDependencies: Record<string, string>;
    version: string;
  };
  assert.equal(metadata.component.purl, `pkg:npm/%40masterx/sdk@${version}`);
  assert.deepEqual(
    components.map((one) => [one.name, one.version, one.scope, one.hashes.length]),
    [["ws", devDependencies["ws"], "required", 1]],
  );
  assert.deepEqual(dependencies[0]!.dependsOn, [`ws@${devDependencies["ws"]}`]);
  const { build } = await import("esbuild");
  const { metafile } = await build({
    entryPoints: ["src/index.ts", "src/testing/index.ts", "src/testing/dev.ts"],
    outdir: "/",
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["bufferutil", "utf-8-validate"],
    write: false,
    metafile: true,
  });
  const packages = Object.keys(metafile.inputs).flatMap(
    (path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  );
  assert.deepEqual([...new Set(packages)], ["ws"]);
});

test("the built package is what is committed, and runs as a command", async (t) => {
  const built = spawnSync(process.execPath, ["scripts/build.mjs", "--check"], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);

  await t.test("ws is in the built file, with its licence", async () => {
    const text = await readFile("dist/testing/index.js", "utf8");
    const licence = (await readFile("node_modules/ws/LICENSE", "utf8")).trim();
    assert.ok(text.includes(licence));
    assert.doesNotMatch(text, /from "ws"/);
    assert.equal(await readFile("LICENSE", "utf8"), await readFile("../LICENSE", "utf8"));
  });

  await t.test("the example of docs/sdk.md runs as it stands", async () => {
    const page = await readFile("../docs/sdk.md", "utf8");
    const blocks = [...page.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);
    const example = blocks.find((code) => code.includes('from "@masterx/sdk/testing"'));
    assert.ok(example);
    const built = new URL("dist/testing/index.js", `file://${process.cwd()}/`).href;
    const code = example.replace("@masterx/sdk/testing", built);
    const run = spawnSync(process.execPath, ["--input-type=module", "--eval", code], {
      encoding: "utf8",
      timeout: 20_000,
    });
    assert.deepEqual([run.status, run.stdout, run.stderr], [0, "[]\n", ""]);
  });

  await t.test("--help, a wrong use, a port that is taken", async () => {
    const run = (...given: string[]) =>
      spawnSync(process.execPath, [COMMAND, ...given], { encoding: "utf8" });
    assert.deepEqual([run("--help").status, run("--help").stdout.includes("dev")], [0, true]);
    for (const wrong of [[], ["serve"], ["dev", "--port", "x"]]) {
      const { status, stderr } = run(...wrong);
      assert.equal(status, 2);
      assert.match(stderr, /masterx-sdk dev/);
    }
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const { status, stderr } = run("dev", "--port", String(port));
    assert.equal(status, 1);
    assert.match(stderr, /--port/);
    taken.close();
  });

  await t.test("without a terminal its keys are lines, and it ends with q", async (t) => {
    const child = spawn(process.execPath, [COMMAND, "dev", "--port", "0", "--user", "ada"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    t.after(() => void child.kill());
    const lines: string[] = [];
    const said = createInterface({ input: child.stdout });
    said.on("line", (line) => lines.push(line));
    while (!lines.some((line) => line.includes("quit"))) await once(said, "line");
    const [page = "", sdk = ""] = lines.slice(0, 2).map((line) => line.split(" ")[0]);
    assert.match(await (await fetch(page)).text(), /simulated/);
    const script = await (await fetch(new URL("/page.js", page))).text();
    assert.match(script, /createClient/);
    const served = await readFile("../app/gateway/pages/sdk/v1.js", "utf8");
    assert.equal(await (await fetch(sdk)).text(), served);

    const { origin } = new URL(page);
    const { makeToken } = await import("../src/testing/index.ts");
    const reasons: string[] = [];
    const { client } = visit(t, { url: origin } as TestGateway, {
      getToken: async ({ reason }) => (reasons.push(reason), makeToken("ada")),
    });
    await live(client);
    const press = (key: string): void => void child.stdin.write(`${key}\n`);
    press("i");
    await until(client.interventions, (all) => all.length === 1);
    press("t");
    await until(client.replies, (all) => all.some(({ status }) => status === "answered"));
    for (const key of ["e", "c", "r"]) {
      press(key);
      await until(client.connection, ({ phase }) => phase !== "live");
      if (key === "e") assert.ok(client.connection.get());
      await live(client);
    }
    assert.ok(reasons.includes("rejected"));
    press("q");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });

  await t.test("without input it serves on, until a signal ends it", async (t) => {
    const child = spawn(process.execPath, [COMMAND, "dev", "--port", "0"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => void child.kill("SIGKILL"));
    const [text] = (await once(child.stdout, "data")) as [Buffer];
    const [page = ""] = String(text).split(" ");
    await new Promise((go) => setTimeout(go, 300));
    assert.equal((await fetch(page)).status, 200);
    child.kill("SIGINT");
    assert.deepEqual(await once(child, "exit"), [0, null]);
  });
});
