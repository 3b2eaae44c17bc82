/** Whether the learner is in the middle of something. It notes that, not what. */

/** Milliseconds after the last sign of it. */
const TYPED = 2_000;
const SCROLLED = 300;
/** Milliseconds between looks, while somebody waits. */
const LOOK_EVERY = 100;

export class Quiet {
  readonly #page: Document;
  readonly #pointers = new Set<number>();
  readonly #ends: (() => void)[] = [];
  #typed = -Infinity;
  #scrolled = -Infinity;
  #composing = false;
  #dragging = false;
  #closed = false;

  constructor(page: Document) {
    this.#page = page;
    this.#on("input", () => (this.#typed = performance.now()));
    this.#on("scroll", () => (this.#scrolled = performance.now()));
    this.#on("compositionstart", () => (this.#composing = true));
    for (const end of ["compositionend", "focusout"])
      this.#on(end, () => (this.#composing = false));
    this.#on("dragstart", () => (this.#dragging = true));
    for (const end of ["dragend", "drop"]) this.#on(end, () => (this.#dragging = false));
    this.#on("pointerdown", ({ pointerId }) => this.#pointers.add(pointerId));
    for (const end of ["pointerup", "pointercancel"])
      this.#on(end, ({ pointerId }) => this.#pointers.delete(pointerId));
    // An end that was not heard, outside of the window perhaps: a pointer that moves with no
    // button pressed is up, and nothing is dragged while pointers move.
    this.#on("pointermove", ({ pointerId, buttons }) => {
      if (buttons) return;
      this.#pointers.delete(pointerId);
      this.#dragging = false;
    });
  }

  get busy(): boolean {
    const now = performance.now();
    return (
      this.#composing ||
      this.#dragging ||
      this.#pointers.size > 0 ||
      now - this.#typed < TYPED ||
      now - this.#scrolled < SCROLLED ||
      this.#page.visibilityState !== "visible" // nobody would see it change
    );
  }

  /**
   * @returns whether it came to that: quiet, and `ready`, within so many milliseconds. Not at once
   *   if not: who asks again and again lets the page go on in between
   */
  async until(ready: () => boolean, within: number): Promise<boolean> {
    const end = performance.now() + within;
    for (let over = false; this.busy || !ready();) {
      if (this.#closed || over) return false;
      over = performance.now() >= end;
      await new Promise((go) => setTimeout(go, LOOK_EVERY));
    }
    return true;
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends.splice(0)) end();
  }

  #on(name: string, heard: (event: PointerEvent) => void): void {
    const options = { capture: true, passive: true } as const;
    this.#page.addEventListener(name, heard as EventListener, options);
    this.#ends.push(() => this.#page.removeEventListener(name, heard as EventListener, options));
  }
}
