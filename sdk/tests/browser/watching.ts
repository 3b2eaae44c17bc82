/** A page's surroundings that show each frame of the wire: no observable of the SDK does. */
import { browser, type Environment } from "../../src/index.ts";

/** @param heard called with each frame that a socket or a poll brings, before the SDK reads it */
export function watching(heard: (frame: Record<string, unknown>) => void): Environment {
  const here = browser();
  return {
    ...here,
    openSocket: (url, protocols) => {
      const socket = here.openSocket!(url, protocols);
      (socket as unknown as WebSocket).addEventListener("message", ({ data }) =>
        heard(JSON.parse(String(data))),
      );
      return socket;
    },
    fetch: async (input, init) => {
      const answer = await here.fetch(input, init);
      if (answer.ok && String(input).includes("/pushes/"))
        (await answer.clone().json()).frames.forEach(heard);
      return answer;
    },
  };
}
