/** A host whose props change: who the learner is, with what consent, and what is shown. */
import { createRoot } from "react-dom/client";
import { createAdaptation } from "../../../src/adapt/index.ts";
import type { Client, MasterxError, Recorded, Stats } from "../../../src/index.ts";
import {
  MLPersonalizationProvider,
  type MLPersonalizationProviderProps,
  type Personalization,
  useMLPersonalization,
  useUserState,
} from "../../../src/react/index.ts";

interface Shown extends MLPersonalizationProviderProps {
  readonly lesson?: boolean;
  readonly active?: boolean;
  /** It reads more of the same hook than before. */
  readonly panel?: boolean;
  /** Another component, which asks for nothing but the state. */
  readonly beside?: boolean;
  /** What the lesson adapts. */
  readonly visual?: boolean;
}

let last: Personalization;
const captured: string[] = [];

function Lesson({ panel, visual }: { readonly panel: boolean; readonly visual: boolean }) {
  const personal = (last = useMLPersonalization(undefined, {
    features: { visualAdaptation: visual },
  }));
  const known = personal.userState ? "known" : "unknown";
  if (!panel) return <p id="lesson">{known}</p>;
  const { interventions } = personal;
  const advice = personal.recommendations.length > 0 ? personal.recommendations[0]!.action : "none";
  return <p id="lesson">{`${known} ${interventions.length} ${advice}`}</p>;
}

const Active = () => {
  const { isPersonalizationActive } = (last = useMLPersonalization());
  return <p id="active">{`${isPersonalizationActive}`}</p>;
};
const Beside = () => <p id="beside">{useUserState((state) => state?.updatedAt) ?? "none"}</p>;

const place = document.createElement("main");
document.body.append(place);
const root = createRoot(place);
let shown: Shown = {};

const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "stored",
    (error: MasterxError) => error.code,
  );

Object.assign(globalThis, {
  captured,
  /** All changes are of one commit. */
  show: (more: Shown) => {
    shown = { ...shown, ...more };
    const { lesson, active, panel = false, beside, visual = true, ...props } = shown;
    root.render(
      <MLPersonalizationProvider
        getToken={async ({ userId }) => (await fetch(`/token?user=${userId}`)).text()}
        adapt={(client) => createAdaptation(client, { every: 0, notice: false })}
        capture={() => (captured.push(`${props.userId}`), () => {})}
        {...props}
      >
        {active && <Active />}
        {lesson && <Lesson {...{ panel, visual }} />}
        {beside && <Beside />}
      </MLPersonalizationProvider>,
    );
  },
  unmount: () => root.unmount(),
  record: (one?: Recorded) => code(last.recordInteraction(one!).stored),
  apply: () => last.applyRecommendation({ action: "slow_animation" } as never),
  logout: () => (last.client() as Client).logout(),
  stats: (): Stats | undefined => last.stats(),
  /** Asked of the client: nothing on the page reads it. */
  phase: () => last.client()?.connection.get().phase,
});
