// Drives Chromium for a test in Python (tests/sdk/chromium.py), by lines of JSON.
//   stdin    {"id", "do", ...arguments}
//   stdout   {"id", "value"} or {"id", "error"};  {"event", "page", ...} for what pages tell
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { killRenderers, launch } from "./chromium.mjs";
import { serve } from "./site.mjs";

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const browsers = new Map();
const pages = new Map();

/** Right after a kill, a browser may give the new page to a process that is just dying. */
async function newPage(context, tries = 5) {
  try {
    return await context.newPage();
  } catch (error) {
    if (tries <= 1 || !String(error).includes("Target crashed")) throw error;
    await wait(200);
    return newPage(context, tries - 1);
  }
}

const steps = {
  async serve(options) {
    return (await serve(options)).url;
  },
  /** `flags` are Chromium's own, such as `--accept-lang=de`. */
  async launch({ profile, flags }) {
    browsers.set(profile, await launch(profile, flags));
  },
  /** A new page; what its script passes to `told` is said as an event. */
  async open({ browser, page: name, url, before }) {
    const page = await newPage(browsers.get(browser).context);
    const session = await page.context().newCDPSession(page);
    session.on("Runtime.bindingCalled", ({ payload }) =>
      say({ event: "told", page: name, told: JSON.parse(payload) }),
    );
    page.on("console", (line) => {
      if (["error", "warning"].includes(line.type()))
        say({ event: "console", page: name, text: line.text() });
    });
    page.on("pageerror", (error) => say({ event: "thrown", page: name, text: String(error) }));
    page.on("crash", () => say({ event: "crashed", page: name }));
    await session.send("Runtime.enable");
    await session.send("Runtime.addBinding", { name: "told" });
    pages.set(name, { page, session });
    if (before) await page.addInitScript(before);
    await page.goto(url);
  },
  evaluate: ({ page, code }) => pages.get(page).page.evaluate(code),
  /** A real mouse or keyboard: `device` has that `method`. */
  input: ({ page, device, method, given = [] }) =>
    pages.get(page).page[device][method](...given).then(() => null),
  emulate: ({ page, media }) => pages.get(page).page.emulateMedia(media).then(() => null),
  goto: ({ page, url }) => pages.get(page).page.goto(url).then(() => null),
  // A page that comes out of the back/forward cache does not load again.
  back: ({ page }) =>
    pages
      .get(page)
      .page.goBack({ waitUntil: "commit" })
      .then(() => null),
  screenshot: ({ page, path }) => pages.get(page).page.screenshot({ path }).then(() => null),
  cdp: ({ page, method, parameters }) => pages.get(page).session.send(method, parameters),
  close: ({ page }) => pages.get(page).page.close(),
  killRenderers: ({ browser }) => killRenderers(browsers.get(browser).browser),
  async killBrowser({ browser }) {
    await browsers.get(browser).kill();
    browsers.delete(browser);
  },
};

process.on("unhandledRejection", () => {}); // Playwright's, of a page that was killed
const end = async () => {
  for (const { kill } of browsers.values()) await kill();
  process.exit();
};
process.on("SIGTERM", end);

const lines = createInterface({ input: process.stdin });
lines.on("close", end);
lines.on("line", async (line) => {
  const { id, do: step, ...given } = JSON.parse(line);
  try {
    say({ id, value: (await steps[step](given)) ?? null });
  } catch (error) {
    say({ id, error: String(error?.stack ?? error) });
  }
});
