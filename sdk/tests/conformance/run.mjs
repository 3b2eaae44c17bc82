// The wire of docs/wire.md, said as tests of whichever gateway answers at URL: the real one
// (tests/sdk/test_conformance.py) and @masterx/sdk/testing (sdk/tests/conformance.test.ts).
//
// A line of JSON on stdout for each case, and for each thing that only the gateway's owner can do
// (`ask`: a token, a push, a restart); the owner answers with a line on stdin.
import { createInterface } from "node:readline";
import { cases as pushes } from "./pushes.mjs";
import { cases as rest } from "./rest.mjs";
import { cases as sdk } from "./sdk.mjs";
import { cases as sockets } from "./sockets.mjs";
import { WireSocket } from "./socket.mjs";

const { URL: url } = process.env;
const PREFIX = "/api/v1/ml-personalization";
/** Milliseconds that a case may take. */
const LONGEST = 30_000;

const print = (line) => console.log(JSON.stringify(line));

const asked = new Map();
const answers = createInterface({ input: process.stdin });
answers.on("line", (line) => {
  const { n, value } = JSON.parse(line);
  asked.get(n)(value);
  asked.delete(n);
});

let asks = 0;
function ask(what, more = {}) {
  const n = ++asks;
  return new Promise((go) => {
    asked.set(n, go);
    print({ ask: what, n, ...more });
  });
}

/** What a case works with; each has a learner of its own. */
function tools(user) {
  const open = [];
  const token = (claims = {}, who = user) => ask("token", { user: who, claims });
  const address = (who = user) => `${url}${PREFIX}/ws/${encodeURIComponent(who)}`;
  return {
    url,
    user,
    open,
    token,
    address,
    /** The causes that the push got. */
    push: (kind, body, who = user) => ask("push", { user: who, kind, body }),
    restart: () => ask("restart"),
    /** A socket that is in: its `hello` has come. */
    async connect(options = {}) {
      const socket = await this.knock(options);
      socket.hello = await socket.next();
      return socket;
    },
    /** A socket, whatever becomes of it. */
    async knock({ claims, token: given, who, headers = {}, query = "", ...options } = {}) {
      const shown = given === undefined ? await token(claims) : given;
      const authorization = shown && { Authorization: `Bearer ${shown}` };
      const socket = await WireSocket.open(address(who) + query, {
        headers: { ...authorization, ...headers },
        ...options,
      });
      open.push(socket);
      return socket;
    },
    async rest(method, path, { claims, token: given, body, headers = {} } = {}) {
      const shown = given === undefined ? await token(claims) : given;
      const answer = await fetch(`${url}${PREFIX}${path}`, {
        method,
        headers: {
          ...(shown && { Authorization: `Bearer ${shown}` }),
          ...(body !== undefined && { "Content-Type": "application/json" }),
          ...headers,
        },
        ...(body !== undefined && {
          body: typeof body === "string" ? body : JSON.stringify(body),
        }),
      });
      const text = await answer.text();
      return {
        status: answer.status,
        headers: answer.headers,
        body: text ? JSON.parse(text) : null,
      };
    },
    /** A poll's frames. */
    async poll(query, options) {
      const path = `/pushes/${encodeURIComponent(user)}?${new URLSearchParams(query)}`;
      const { status, body } = await this.rest("GET", path, options);
      if (status !== 200) throw new Error(`${status}: ${JSON.stringify(body)}`);
      return body.frames;
    },
  };
}

// The last case ends the gateway, as far as clients see.
const all = { ...sockets, ...rest, ...pushes, ...sdk };
const last = "a gateway that ends says so, and when to come back";
const { [last]: end, ...others } = all;
const { ONLY } = process.env;
let number = 0;
for (const [name, run] of Object.entries({ ...others, [last]: end })) {
  if (ONLY && !name.includes(ONLY)) continue;
  const at = tools(`learner-${++number}`);
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`took more than ${LONGEST} ms`)), LONGEST);
  });
  try {
    await Promise.race([run(at), late]);
    print({ case: name });
  } catch (error) {
    print({ case: name, error: String(error.stack) });
  }
  clearTimeout(timer);
  for (const socket of at.open) socket.end();
}
print({ done: number });
answers.close();
process.stdin.destroy();
