/** How far a page, or a marked part of it, was scrolled: one record for 5 s of scrolling. */
import { marksOf, property } from "./marks.ts";

/** Milliseconds that are told together. */
export const SCROLL_EVERY = 5_000;

export class Scrolling {
  readonly #page: Document;
  readonly #tell: (id: string | undefined, pixels: number) => void;
  readonly #places = new WeakMap<Element, number>();
  readonly #distances = new Map<string | undefined, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(page: Document, tell: (id: string | undefined, pixels: number) => void) {
    this.#page = page;
    this.#tell = tell;
    const whole = page.scrollingElement;
    if (whole) this.#places.set(whole, place(whole));
  }

  scrolled(target: EventTarget | null): void {
    const whole = target === this.#page;
    const element = whole ? this.#page.scrollingElement : target;
    if (!(element instanceof Element)) return;
    const id = whole ? undefined : marksOf(element)?.id;
    if (!whole && !id) return;
    const now = place(element);
    const distance = Math.abs(now - (this.#places.get(element) ?? 0));
    this.#places.set(element, now);
    this.#distances.set(id, (this.#distances.get(id) ?? 0) + distance);
    this.#timer ??= setTimeout(() => this.tell(), SCROLL_EVERY);
  }

  tell(): void {
    for (const [id, pixels] of this.#distances) if (pixels) this.#tell(id, Math.round(pixels));
    this.forget();
  }

  forget(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#distances.clear();
  }
}

const place = (element: Element): number =>
  Number(property(Element, "scrollTop", element)) +
  Number(property(Element, "scrollLeft", element));
