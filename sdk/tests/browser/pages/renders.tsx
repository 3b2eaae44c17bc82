/** Counts renders: of a component that reads one thing, and of one that selects. */
import { createRoot } from "react-dom/client";
import type { MasterxError } from "../../../src/index.ts";
import {
  MLPersonalizationProvider,
  useMLPersonalization,
  useUserState,
} from "../../../src/react/index.ts";

const counted: Record<string, number> = {};
const count = (name: string): void => void (counted[name] = (counted[name] ?? 0) + 1);

function Advice() {
  count("advice");
  const { recommendations } = useMLPersonalization();
  return <p id="advice">{recommendations.length}</p>;
}

function Focus() {
  count("focus");
  return <p id="focus">{useUserState((state) => state?.figures.focus.source) ?? "none"}</p>;
}

function Whole() {
  count("whole");
  const { userState, isPersonalizationActive } = useMLPersonalization();
  return <p id="whole">{`${isPersonalizationActive} ${userState?.updatedAt}`}</p>;
}

/** What a component does that reads nothing, with a feature off. */
function Deeds() {
  count("deeds");
  const { recordInteraction, sendMessage, stats } = useMLPersonalization("ada", {
    features: { emotionalAnalysis: false },
  });
  const { sendMessage: nobody } = useMLPersonalization("ada", { enableRealTimeAnalysis: false });
  const code = (reply: ReturnType<typeof nobody>) =>
    reply.accepted.catch((error: MasterxError) => error.code);
  Object.assign(globalThis, {
    click: () => recordInteraction({ interactionType: "click", elementId: "ada-private" }).accepted,
    say: async () => [await code(sendMessage("secret")), await code(nobody("secret"))],
    stats,
  });
  return null;
}

const place = document.createElement("main");
document.body.append(place);
createRoot(place).render(
  <MLPersonalizationProvider
    userId="ada"
    consent="granted"
    enablePrivacyMode
    getToken={async ({ userId }) => (await fetch(`/token?user=${userId}`)).text()}
  >
    <Advice />
    <Focus />
    <Whole />
    <Deeds />
  </MLPersonalizationProvider>,
);
Object.assign(globalThis, { counted });
