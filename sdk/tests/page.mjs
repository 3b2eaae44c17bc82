// What the pages that Node runs against a real gateway have in common.

export const wait = (ms) => new Promise((go) => setTimeout(go, ms));

/** Resolves once an observable's value holds. */
export const until = (observable, holds) =>
  new Promise((go) => {
    if (holds(observable.get())) return go();
    const end = observable.subscribe((value) => holds(value) && (end(), go()));
  });
