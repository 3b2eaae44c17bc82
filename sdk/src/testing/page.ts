/** The page that `masterx-sdk dev` serves: what a first page with the SDK looks like. */

export const PAGE: string = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>masterx, simulated</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  button, input { font: inherit; padding: .3rem .6rem }
  ol { padding-left: 1.2rem }
  [role=note] { border-left: .3rem solid; padding-left: .7rem }
</style>
<h1>Hello, learner</h1>
<p role="note">Nobody is measured here: every figure is simulated.</p>
<p>Connection: <strong id="connection">idle</strong></p>
<p>
  <button id="right">A right answer</button>
  <button id="wrong">A wrong answer</button>
</p>
<form id="chat">
  <label>Ask the tutor: <input id="text" value="Why do both parts have to be the same?"></label>
  <button>Ask</button>
</form>
<p id="reply" aria-live="polite"></p>
<h2>State</h2>
<dl id="state"></dl>
<h2>What came</h2>
<ol id="log"></ol>
<script type="module" src="/page.js"></script>
</html>
`;

/** Works as it stands with a real gateway, too, but for the token. */
export const SCRIPT: string = `import { createClient } from "/sdk/v1.js";

const userId = new URLSearchParams(location.search).get("user") ?? "demo";

// The testing gateway takes any token that names the learner. A real one is signed by your back end.
function getToken() {
  const now = Math.floor(Date.now() / 1000);
  const encode = (part) => btoa(JSON.stringify(part)).replaceAll("=", "");
  const claims = { sub: userId, exp: now + 3600, consent: true, jti: crypto.randomUUID() };
  return encode({ alg: "none" }) + "." + encode(claims) + ".";
}

const client = createClient({
  url: location.origin,
  userId,
  getToken: async () => getToken(),
  consent: "granted",
});
window.masterx = client; // for the console

const at = (id) => document.getElementById(id);
function log(text) {
  const line = document.createElement("li");
  line.textContent = new Date().toLocaleTimeString() + "  " + text;
  at("log").prepend(line);
}

client.connection.subscribe(({ phase }) => {
  at("connection").textContent = phase;
  log("connection: " + phase);
});
client.userState.subscribe((state) => {
  if (!state) return;
  const figures = { valence: state.valence, ...state.behaviour };
  at("state").replaceChildren(
    ...Object.entries(figures).flatMap(([name, figure]) => {
      if (!figure.source) return [];
      const [term, value] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      // A prior says something about our default, and nothing about the learner.
      value.textContent =
        figure.source === "prior" ? "not known yet" : figure.value + " (" + figure.source + ")";
      return [term, value];
    }),
  );
});
client.recommendations.subscribe((all) => {
  if (all.length) log("recommended: " + all.map(({ action }) => action).join(", "));
});
client.interventions.subscribe((all) => {
  const last = all.at(-1);
  if (last) log("intervention: " + last.level + ", " + last.because.join("; "));
});
client.replies.subscribe((all) => {
  const last = all.at(-1);
  if (last) at("reply").textContent = last.text;
});
client.problems.subscribe((all) => {
  const last = all.at(-1);
  if (last) log("problem: " + last.code + ", " + last.message);
});

for (const [id, correct] of [["right", true], ["wrong", false]])
  at(id).addEventListener("click", () => {
    const exercise = client.exercise({ problemId: crypto.randomUUID(), skill: "fractions" });
    exercise.attempt(correct);
    exercise.finish();
  });
at("chat").addEventListener("submit", (event) => {
  event.preventDefault();
  client.say(at("text").value, { wantsReply: true });
});
`;
