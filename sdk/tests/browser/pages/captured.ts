/** A page with everything that may not be captured, and a little that may. */
import { capture } from "../../../src/capture/index.ts";
import { Source } from "../../../src/core/observable.ts";
import type { Consent, Recorded } from "../../../src/index.ts";

const recorded: Recorded[] = [];
const make = (html: string): void => {
  document.body.append(document.createRange().createContextualFragment(html));
};
make(`
  <style>main > * { display: block; margin: 4px } .tall { height: 3000px; width: 10px }
    #scroller { height: 60px; overflow: auto } #scroller > * { height: 600px }</style>
  <main>
    <form id="f" data-mx-id="exercise" data-mx-problem="p-9" data-mx-skill="fractions" title="T-SECRET">
      <p>TEXT-SECRET</p>
      <input id="free" data-mx-id="answer" aria-label="A-SECRET" value="VALUE-SECRET">
      <textarea id="area" data-mx-id="essay"></textarea>
      <select id="choice" data-mx-id="choice"><option value="OPTION-SECRET">o</option></select>
      <button id="send" data-mx-id="send">LABEL-SECRET</button>
    </form>
    <div id="edit" contenteditable data-mx-id="editor">EDIT-SECRET</div>
    <form id="login" data-mx-id="login-SECRET">
      <label id="label" data-mx-id="label-SECRET">x<input id="password" type="password" data-mx-id="password-SECRET"></label>
      <button id="enter" data-mx-id="enter-SECRET">go</button>
    </form>
    <input id="mail" autocomplete="email" data-mx-id="mail-SECRET">
    <div data-mx-ignore><button id="ignored" data-mx-id="ignored-SECRET">i</button></div>
    <div data-mx-id="outer"><span data-mx-ignore id="inner">s</span></div>
    <button id="unmarked" name="NAME-SECRET">u</button>
    <button id="hidden" data-other="OTHER-SECRET" data-mx-id="marked">m</button>
    <div id="scroller" data-mx-id="reader"><div></div></div>
    <div class="tall"></div>
  </main>`);
for (const form of document.forms)
  form.addEventListener("submit", (event) => event.preventDefault());
const query = new URLSearchParams(location.search);
const consent = new Source((query.get("consent") ?? "granted") as Consent, console.error);
const end = capture({
  consent,
  record: (one) => {
    recorded.push(structuredClone(one));
    return undefined as never;
  },
});
const setConsent = (state: Consent): void => consent.set(state);
Object.assign(globalThis, { recorded, end, make, setConsent });
