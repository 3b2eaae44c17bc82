/** What a visual action changes on an element, and how that is undone exactly. */
import type { Recommendation } from "../core/wire.gen.ts";
import type { VisualAction } from "./actions.ts";

/** Attributes by name, and custom properties, whose names begin with `--`. */
export type Changes = Readonly<Record<string, string>>;

type Parameters = Recommendation["parameters"];

/** The action's numbers and switches in the words of `adapt.css`. docs/sdk.md lists them. */
const EFFECTS: Readonly<Record<VisualAction, (given: Parameters) => Changes>> = {
  lower_information_density: ({ density }) => ({
    "data-mx-density": "low",
    ...number("--mx-density", density, 0, 1),
  }),
  reduce_visual_complexity: ({ max_colours, simpler_navigation }) => ({
    "data-mx-complexity": "low",
    ...number("--mx-colours", max_colours, 1, 16),
    ...(simpler_navigation === true && { "data-mx-navigation": "simple" }),
  }),
  slow_animation: ({ speed }) => motion(speed),
  enlarge_targets: ({ factor }) => ({
    "data-mx-targets": "large",
    ...number("--mx-target", factor, 1, 3),
  }),
  soften_interface: ({ scale, transition_speed, fewer_required_interactions }) => ({
    "data-mx-soft": "on",
    ...number("--mx-scale", scale, 1, 2),
    ...motion(transition_speed),
    ...(fewer_required_interactions === true && { "data-mx-required": "fewer" }),
  }),
  attention_cues: ({ highlight, contrast, progress_indicators }) => ({
    "data-mx-cues": "on",
    ...number("--mx-highlight", highlight, 1, 3),
    ...(contrast === true && { "data-mx-contrast": "more" }),
    ...(progress_indicators === true && { "data-mx-progress": "show" }),
  }),
  reduce_distractions: () => ({ "data-mx-distractions": "fewer" }),
};

export const changes = (action: VisualAction, given: Parameters): Changes => EFFECTS[action](given);

/** Speed, and what durations are multiplied with. */
function motion(speed: unknown): Changes {
  const given = number("--mx-motion", speed, 0.1, 1);
  const factor = given["--mx-motion"];
  return {
    "data-mx-motion": "slow",
    ...given,
    ...(factor && { "--mx-duration": String(Math.round(1000 / +factor) / 1000) }),
  };
}

/** What is no number changes nothing; a catalogue's slip does not make a page unusable. */
function number(name: string, given: unknown, least: number, most: number): Changes {
  if (typeof given !== "number" || !Number.isFinite(given)) return {};
  return { [name]: String(Math.min(most, Math.max(least, given))) };
}

const STILL = new Set(["--mx-motion", "--mx-duration"]);

const ROOTS = new WeakMap<HTMLElement, StyleLayers>();

/** Those of an element: all clients of a page share them, or one would restore another's change. */
export function layersOf(root: HTMLElement): StyleLayers {
  const layers = ROOTS.get(root) ?? new StyleLayers(root);
  ROOTS.set(root, layers);
  return layers;
}

/** Changes of an element, one upon the other. The host's own changes win. */
class StyleLayers {
  readonly #root: HTMLElement;
  readonly #layers = new Set<Changes>();
  /** Value, and priority of a property. */
  readonly #before = new Map<string, readonly [string | null, string]>();
  readonly #written = new Map<string, string>();
  readonly #reduced = matchMedia("(prefers-reduced-motion: reduce)");
  #styled = false;

  constructor(root: HTMLElement) {
    this.#root = root;
  }

  put(layer: Changes): void {
    if (!this.#layers.size) {
      this.#styled = this.#root.hasAttribute("style");
      this.#reduced.addEventListener("change", this.#rewrite);
    }
    this.#layers.add(layer);
    this.#write(Object.keys(layer));
  }

  take(layer: Changes): void {
    this.#layers.delete(layer);
    this.#write(Object.keys(layer));
    if (!this.#layers.size) this.#reduced.removeEventListener("change", this.#rewrite);
  }

  #rewrite = (): void => this.#write([...this.#written.keys()]);

  #write(names: readonly string[]): void {
    for (const name of names) {
      const [value] = [...this.#layers].flatMap((one) => one[name] ?? []).reverse();
      const now = this.#get(name);
      const written = this.#written.get(name);
      if (written === undefined) {
        if (value === undefined) continue; // the host has taken it over
        this.#before.set(name, [now, this.#root.style.getPropertyPriority(name)]);
      } else if (now !== written) {
        this.#written.delete(name); // the host has set it since: it stays
        continue;
      }
      if (value === undefined) {
        this.#set(name, ...this.#before.get(name)!);
        this.#written.delete(name);
      } else {
        const clamped = STILL.has(name) && this.#reduced.matches ? "0" : value;
        this.#set(name, clamped);
        this.#written.set(name, clamped);
      }
    }
  }

  #get(name: string): string | null {
    const { style } = this.#root;
    if (!name.startsWith("--")) return this.#root.getAttribute(name);
    return style.getPropertyValue(name) || null;
  }

  #set(name: string, value: string | null, priority = ""): void {
    const root = this.#root;
    if (name.startsWith("--")) {
      // Not by the attribute: a strict Content-Security-Policy forbids that.
      if (value === null) root.style.removeProperty(name);
      else root.style.setProperty(name, value, priority);
      // Chromium removes the attribute only once it has been read.
      if (!this.#styled && root.getAttribute("style") === "") root.removeAttribute("style");
    } else if (value === null) root.removeAttribute(name);
    else root.setAttribute(name, value);
  }
}
