/** Clients that come and go, and a page that is too busy to read. */
import { createClient } from "../../../src/index.ts";

const query = new URLSearchParams(location.search);
const userId = query.get("user") ?? "ada";
const url = query.get("gateway") ?? location.origin;
const getToken = async () => (await fetch(`/token?user=${userId}`)).text();

Object.assign(globalThis, {
  churn: {
    /** Clients that record, and are closed at once or after a while. */
    async clients(count: number): Promise<void> {
      for (let at = 0; at < count; at++) {
        const client = createClient({ url, userId, getToken, consent: "granted" });
        const ignore = client.userState.subscribe(() => {});
        const receipt = client.record({ interactionType: "click", elementId: `e-${at}` });
        receipt.accepted.catch(() => {});
        await receipt.stored;
        if (at % 10 === 0) await client.flush(2_000);
        ignore();
        client.close();
      }
    },
    /** Do nothing else for so many milliseconds. */
    block(ms: number): void {
      for (const end = performance.now() + ms; performance.now() < end; );
    },
  },
});
told(JSON.stringify({ ready: true }));
