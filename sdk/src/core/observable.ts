/** A value that is read now and followed later. Its identity changes only when its content does. */

export interface Observable<T> {
  get(): T;
  /** Call `heard` after each change; returns what ends that. */
  subscribe(heard: (value: T) => void): () => void;
}

export class Source<T> implements Observable<T> {
  #value: T;
  readonly #heard = new Set<(value: T) => void>();
  readonly #complain: (error: unknown) => void;

  constructor(value: T, complain: (error: unknown) => void) {
    this.#value = value;
    this.#complain = complain;
  }

  get = (): T => this.#value;

  subscribe = (heard: (value: T) => void): (() => void) => {
    const one = (value: T) => heard(value); // the same function may be given twice
    this.#heard.add(one);
    return () => void this.#heard.delete(one);
  };

  set(value: T): void {
    if (same(this.#value, value)) return;
    this.#value = value;
    for (const heard of [...this.#heard]) {
      try {
        heard(value);
      } catch (error) {
        this.#complain(error);
      }
    }
  }

  /** Followers, for tests of leaks. */
  get followers(): number {
    return this.#heard.size;
  }
}

/** Whether two values of JSON have the same content. */
export function same(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true;
  if (typeof one !== "object" || typeof other !== "object" || !one || !other) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every(
      (name) =>
        name in other &&
        same((one as Record<string, unknown>)[name], (other as Record<string, unknown>)[name]),
    )
  );
}
