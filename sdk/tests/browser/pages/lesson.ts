/** A lesson that records without end, and tells the test what became of each event. */
import { createClient } from "../../../src/index.ts";
import { watching } from "../watching.ts";

declare global {
  var told: (text: string) => void;
}

const query = new URLSearchParams(location.search);
const userId = query.get("user") ?? "ada";
const tell = (what: object): void => told(JSON.stringify(what));

const greeted = ({ type, offset }: Record<string, unknown>): void => {
  if (type === "hello") tell({ hello: offset });
};
let skew = 0;
let seconds = 900;
const here = watching(greeted);
const client = createClient({
  url: query.get("gateway") ?? location.origin,
  userId,
  getToken: async ({ signal }) => {
    const path = `/token?user=${userId}&seconds=${seconds}`;
    seconds = 900; // a bad one comes once
    return (await fetch(path, { signal })).text();
  },
  consent: "granted",
  environment: { ...here, now: () => here.now() + skew },
});

// Another one after each load: names of events are never used again.
const page = `${query.get("page")}.${crypto.randomUUID().slice(0, 6)}`;
let recording = 0;

function one(): void {
  const name = `${page}-${recording++}`;
  const began = performance.now();
  const receipt =
    recording % 20 === 19
      ? client.say(name, { wantsReply: false })
      : client.record({ interactionType: "click", elementId: name });
  const took = performance.now() - began;
  void receipt.stored.then(() =>
    tell({
      stored: name,
      kept: client.stats().storage === "persistent",
      took,
      after: performance.now() - began,
    }),
  );
  receipt.accepted.then(
    (outcome) => tell({ settled: name, outcome }),
    (error) => tell({ settled: name, outcome: error.code }),
  );
}

client.interventions.subscribe((all) => tell({ intervention: all.at(-1)?.id }));
client.replies.subscribe((all) => tell({ reply: all.at(-1)?.replyId, at: Date.now() }));
client.connection.subscribe((status) => tell({ connection: status }));
client.problems.subscribe((all) => tell({ problem: all.at(-1) }));

Object.assign(globalThis, {
  lesson: {
    /** Record so many events, one every so many milliseconds. */
    async record(count: number, every: number): Promise<void> {
      for (let at = 0; at < count; at++) {
        one();
        await new Promise((done) => setTimeout(done, every));
      }
    },
    stats: () => client.stats(),
    flush: (ms: number) => client.flush(ms),
    state: () => client.userState.get() ?? null,
    skew(ms: number): void {
      skew = ms;
    },
    /** The next token is valid for so many seconds. */
    token(next: number): void {
      seconds = next;
    },
  },
});
tell({ ready: true });
