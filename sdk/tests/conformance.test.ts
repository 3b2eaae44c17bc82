/** The wire's conformance suite, run against the testing gateway; pytest runs it on the real one. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { startGateway, type Claims, type PushKind } from "../src/testing/index.ts";

interface Line {
  ask?: "token" | "push" | "restart";
  n?: number;
  user?: string;
  claims?: Claims;
  kind?: PushKind;
  body?: object;
  case?: string;
  error?: string;
  done?: number;
}

test("the testing gateway keeps the wire", { timeout: 240_000 }, async (t) => {
  const gateway = await startGateway({ simulate: false });
  t.after(() => gateway.close());
  const suite = spawn(
    process.execPath,
    ["--experimental-websocket", "--no-warnings", "tests/conformance/run.mjs"],
    { env: { ...process.env, URL: gateway.url }, stdio: ["pipe", "pipe", "inherit"] },
  );
  t.after(() => void suite.kill());
  let cases = 0;
  let done: number | undefined;
  for await (const text of createInterface({ input: suite.stdout })) {
    const line = JSON.parse(text) as Line;
    if (line.ask) {
      const value = owner(gateway, line);
      suite.stdin.write(`${JSON.stringify({ n: line.n, value })}\n`);
    } else if (line.case) {
      cases += 1;
      await t.test(line.case, () => assert.equal(line.error, undefined));
    } else done = line.done;
  }
  assert.equal(done, cases);
  assert.ok(process.env["ONLY"] || cases > 40, `only ${cases} cases`);
});

function owner(gateway: Awaited<ReturnType<typeof startGateway>>, line: Line): unknown {
  if (line.ask === "token") return gateway.token(line.user!, line.claims);
  if (line.ask === "restart") return gateway.restart();
  const causedBy = [crypto.randomUUID()];
  gateway.learner(line.user!).push(line.kind!, line.body!, causedBy);
  return causedBy;
}
