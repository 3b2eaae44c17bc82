/** How long a page is kept by `record()`, and how soon an event is stored. */
import { createClient } from "../../../src/index.ts";

const query = new URLSearchParams(location.search);
const userId = query.get("user") ?? "ada";
const client = createClient({
  url: query.get("gateway") ?? location.origin,
  userId,
  getToken: async () => (await fetch(`/token?user=${userId}`)).text(),
  consent: "granted",
});

Object.assign(globalThis, {
  pace: {
    /**
     * Record so many events, one every so many milliseconds. @returns of each, in ms: `record()`;
     * that and what it left for the end of the task; the time until `stored`
     */
    async run(count: number, every: number): Promise<[number, number, number][]> {
      const times: Promise<[number, number, number]>[] = [];
      for (let at = 0; at < count; at++) {
        await new Promise((done) => setTimeout(done, every));
        const began = performance.now();
        const { stored } = client.record({ interactionType: "click", elementId: `e-${at}` });
        const called = performance.now() - began;
        // Twice, so that it runs after the microtasks that `record` has left.
        await Promise.resolve().then(() => {});
        const task = performance.now() - began;
        times.push(stored.then(() => [called, task, performance.now() - began]));
      }
      return Promise.all(times);
    },
  },
});
