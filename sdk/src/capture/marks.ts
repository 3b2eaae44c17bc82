/** What the host has marked: the allow-list. Nothing else of an element is read. */
import type { TaskData } from "../core/wire.gen.ts";

export const MARKED = "[data-mx-id], [data-mx-problem]";
/** Characters, as the wire has it. What is longer is left out. */
const LONGEST_ID = 256;
const LONGEST_TASK = 128;
const FIELDS = new Set(["input", "select", "textarea"]);

export interface Marks {
  readonly id: string;
  readonly task: TaskData | undefined;
  /** Clicking it answers the problem. */
  readonly response: boolean;
}

/** Fields that were for a password once: a page may show what is in them later. */
const secrets = new WeakSet<Element>();

/** Of an element itself. A form's fields hide what they are named like, also `getAttribute`. */
export const attribute = (element: Element, name: string): string | null =>
  Element.prototype.getAttribute.call(element, name);
export const property = (of: { prototype: object }, name: string, element: Node): unknown =>
  Reflect.get(of.prototype, name, element);
const has = (element: Element, name: string): boolean => attribute(element, name) !== null;

/**
 * The marks of the innermost marked element of an event's path.
 *
 * @returns undefined if there is none, or if anything on the path is not to be captured
 */
export function marks(path: readonly EventTarget[]): Marks | undefined {
  const elements = path.filter((one): one is Element => one instanceof Element);
  if (elements.some(forbidden)) return undefined;
  const element = elements.find((one) => has(one, "data-mx-id"));
  return element && read(element, elements);
}

/** The same for an element by itself. */
export function marksOf(element: Element): Marks | undefined {
  const path = lineage(element);
  return path.some(forbidden) || !has(element, "data-mx-id") ? undefined : read(element, path);
}

export function problemOf(path: readonly EventTarget[]): Element | undefined {
  return path.find((one): one is Element => one instanceof Element && has(one, "data-mx-problem"));
}

/** Whether all that is captured is to be left out: then nothing is told of the page, either. */
export const ignored = (root: Document | ShadowRoot | Element): boolean =>
  lineage(root instanceof Document ? (root.body ?? root.documentElement) : root).some((one) =>
    has(one, "data-mx-ignore"),
  );

/** An element and what it is in, also through shadow roots. */
function lineage(element: Node): Element[] {
  const path: Element[] = [];
  for (let at: Node | null = element; at;) {
    if (at instanceof Element) path.push(at);
    at = at instanceof ShadowRoot ? at.host : (property(Node, "parentNode", at) as Node | null);
  }
  return path;
}

function read(element: Element, path: readonly Element[]): Marks | undefined {
  const id = value(element, "data-mx-id", LONGEST_ID);
  if (!id) return undefined;
  const first = (name: string): string | undefined => {
    const holder = path.find((one) => has(one, name));
    return holder && value(holder, name, LONGEST_TASK);
  };
  const problemId = first("data-mx-problem");
  const skill = first("data-mx-skill");
  const task = { ...(problemId && { problemId }), ...(skill && { skill }) };
  return {
    id,
    task: problemId || skill ? task : undefined,
    response: has(element, "data-mx-response"),
  };
}

function value(element: Element, name: string, longest: number): string | undefined {
  const text = attribute(element, name);
  return text && text.length <= longest ? text : undefined;
}

/** Ignored, a field that a browser may fill in, or a form with such a field. */
function forbidden(element: Element): boolean {
  if (has(element, "data-mx-ignore") || secret(element)) return true;
  if (element instanceof HTMLLabelElement && element.control) return secret(element.control);
  if (!(element instanceof HTMLFormElement)) return false;
  const fields = property(HTMLFormElement, "elements", element) as HTMLFormControlsCollection;
  return [...fields].some(secret);
}

function secret(element: Element): boolean {
  if (!FIELDS.has(element.localName)) return false;
  if (element.getAttribute("type")?.toLowerCase() === "password") secrets.add(element);
  return secrets.has(element) || element.hasAttribute("autocomplete");
}
