/** The first snippet as a host would show it: in StrictMode, new or upon a server's markup. */
import { StrictMode } from "react";
import { createRoot, hydrateRoot } from "react-dom/client";
import { createAdaptation } from "../../../src/adapt/index.ts";
import { configure } from "../../../src/react/index.ts";
import { App } from "../../snippets.tsx";

configure({
  getToken: async ({ userId }) => (await fetch(`/token?user=${userId}`)).text(),
  consent: "granted",
  adapt: (client) => createAdaptation(client, { every: 200, notice: false }),
});
const tree = (
  <StrictMode>
    <App />
  </StrictMode>
);
const place = document.getElementById("root")!;
if (place.hasChildNodes()) hydrateRoot(place, tree, { onRecoverableError: console.error });
else createRoot(place).render(tree);
