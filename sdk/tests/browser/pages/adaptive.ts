/** A page that is adapted: the test recommends, and asks what became of it. */
import "../../../src/adapt/adapt.css";
import { createAdaptation } from "../../../src/adapt/index.ts";
import { Source } from "../../../src/core/observable.ts";
import type { Recommendation } from "../../../src/index.ts";

const query = new URLSearchParams(location.search);
const recommendations = new Source<readonly Recommendation[]>([], console.error);
const sent: string[] = [];
const receipt = (outcome: string) => (one: Pick<Recommendation, "id">) => {
  sent.push(`${outcome} ${one.id}`);
  return undefined as never;
};
const handled: string[] = [];
const handlers = Object.fromEntries(
  (query.get("handlers") ?? "")
    .split(",")
    .filter(Boolean)
    .map((action) => [
      action,
      () => {
        handled.push(action);
        if (query.get("hangs")) return new Promise<void>(() => {});
        return query.get("declines") ? false : () => void handled.push(`undo ${action}`);
      },
    ]),
);
/** Of another client, on the same page. */
const others = new Source<readonly Recommendation[]>([], console.error);
const nobody = { apply: receipt("other"), revert: receipt("other"), recommendations: others };
const other = createAdaptation(nobody, { every: 0, notice: false });
const adaptation = createAdaptation(
  { apply: receipt("applied"), revert: receipt("reverted"), recommendations },
  {
    handlers,
    every: Number(query.get("every") ?? 0),
    patience: Number(query.get("patience") ?? 10_000),
  },
);
const root = document.documentElement;

Object.assign(globalThis, {
  recommend: (list: Recommendation[]) => recommendations.set(list),
  apply: (id: string) => adaptation.apply(find(id)),
  accept: (id: string) => adaptation.accept(find(id)),
  revert: (id: string) => adaptation.revert({ id }),
  automatic: (on: boolean) => adaptation.automatic(on),
  closeAll: () => adaptation.close(),
  acceptOther: (list: Recommendation[]) => (others.set(list), other.accept(list[0]!)),
  closeOther: () => other.close(),
  sent,
  handled,
  /** What stands on the root: attributes, the style among them. */
  state: () => Object.fromEntries(root.getAttributeNames().map((n) => [n, root.getAttribute(n)])),
  active: () => adaptation.active.get().map(({ id }) => id),
  computed: (name: string) => getComputedStyle(root).getPropertyValue(name),
});

function find(id: string): Recommendation {
  return recommendations.get().find((one) => one.id === id)!;
}
