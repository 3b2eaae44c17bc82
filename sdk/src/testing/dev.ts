/** `npx @masterx/sdk dev`: a gateway and a page on this machine, and keys that make it fail. */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { startGateway, type TestGateway } from "./index.ts";
import { PAGE, SCRIPT } from "./page.ts";

const USAGE = `masterx-sdk dev [--port 8000] [--user demo]

Start a simulated masterx gateway and a page that uses it. Nothing is installed, measured or kept.
`;

/** What a key does to the learner on the page. */
const KEYS: Readonly<
  Record<string, readonly [string, (gateway: TestGateway, user: string) => unknown]>
> = {
  t: [
    "the tutor answers, at its second attempt",
    (g, user) => g.learner(user).reply({ attempts: 2 }),
  ],
  i: ["an intervention is raised", (g, user) => g.learner(user).intervene()],
  e: ["the token expires (4401)", (g, user) => g.learner(user).expireToken()],
  c: ["the socket is cut, without a close frame", (g, user) => g.learner(user).cut()],
  r: ["the gateway restarts (1012)", (g) => g.restart()],
  l: ["the push log is lost, the socket cut: recovered is false", lose],
  u: [
    "the next message is refused as unavailable",
    (g) => g.failNext("unavailable", { retryAfter: 1 }),
  ],
};

function lose(gateway: TestGateway, user: string): void {
  gateway.learner(user).loseLog();
  gateway.learner(user).cut();
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      port: { type: "string", default: "8000" },
      user: { type: "string", default: "demo" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const port = Number(values.port);
  const wrong =
    positionals.join() !== "dev" || !Number.isInteger(port) || port < 0 || port > 65_535;
  if (values.help || wrong) {
    (values.help ? process.stdout : process.stderr).write(USAGE);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const { user } = values;
  const sdk = await readFile(new URL("../v1.js", import.meta.url));
  const script = "text/javascript; charset=utf-8";
  const gateway = await startGateway({
    port,
    files: {
      "/": { contentType: "text/html; charset=utf-8", body: PAGE },
      "/page.js": { contentType: script, body: SCRIPT },
      "/sdk/v1.js": { contentType: script, body: sdk },
    },
  });
  console.log(
    `${gateway.url}/?user=${encodeURIComponent(user)}   the page; all that it shows is simulated`,
  );
  console.log(
    `${gateway.url}/sdk/v1.js   the SDK; any page of this machine may use this gateway\n`,
  );
  for (const [key, [what]] of Object.entries(KEYS)) console.log(`  ${key}  ${what}`);
  console.log("  q  quit\n");
  listen((key) => {
    if (key === "q") return end();
    const [what, run] = KEYS[key] ?? [];
    if (!run) return;
    const open = gateway.learner(user).connections;
    console.log(`${what}${open ? "" : ` (${user} is not connected)`}`);
    void run(gateway, user);
  });
  let ending = false;
  function end(): void {
    if (ending) return;
    ending = true;
    void gateway.close().then(() => process.exit(0));
  }
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
}

/** Keys as they are pressed; without a terminal a key is a line. Without input it serves on. */
function listen(pressed: (key: string) => void): void {
  const { stdin } = process;
  if (stdin.isTTY) {
    stdin.setRawMode(true);
    stdin.setEncoding("utf8");
    stdin.on("data", (keys: string) => {
      for (const key of keys) pressed(key === "\u0003" || key === "\u0004" ? "q" : key);
    });
  } else createInterface({ input: stdin }).on("line", (line) => pressed(line.trim()));
}

main().catch((error: NodeJS.ErrnoException) => {
  const taken = error.code === "EADDRINUSE";
  console.error(taken ? "the port is taken: choose another with --port" : error.message);
  process.exit(1);
});
