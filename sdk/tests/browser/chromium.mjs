// A real Chromium with a profile of its own, as a process that can be killed.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { existsSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { chromium } from "playwright-core";

const PROGRAMS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const STARTS_WITHIN = 60_000;
// Playwright's own flags would hide what browsers do to pages: so none of them is here.
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--no-default-browser-check",
  "--disable-component-update",
  "--disable-background-networking",
  "--disable-sync",
  "--password-store=basic",
  "--remote-debugging-port=0",
];

/** Where Chromium is. Throws if it is nowhere: a test without it shows nothing. */
export function program() {
  const found = [process.env.CHROMIUM, ...PROGRAMS].find((path) => path && existsSync(path));
  if (!found) throw new Error("install Chromium (Debian: apt-get install chromium)");
  return found;
}

/**
 * Start Chromium on a profile.
 *
 * @param profile folder of what outlives the browser; made if it is not there
 * @returns Playwright's browser, its context, and what kills it
 */
export async function launch(profile, flags = []) {
  const port = `${profile}/DevToolsActivePort`;
  await mkdir(profile, { recursive: true });
  // A browser that was killed has left these.
  for (const name of ["DevToolsActivePort", "SingletonLock", "SingletonCookie", "SingletonSocket"])
    await rm(`${profile}/${name}`, { force: true });
  const child = spawn(program(), [...FLAGS, ...flags, `--user-data-dir=${profile}`, "about:blank"], {
    detached: true, // a group of its own: killed as a whole
    stdio: ["ignore", "ignore", "ignore"],
  });
  const ended = once(child, "exit");
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid, "SIGKILL");
    await ended;
  };
  try {
    const address = await devtools(port, child);
    const browser = await chromium.connectOverCDP(address);
    const [context] = browser.contexts();
    return { browser, context, kill, pid: child.pid };
  } catch (error) {
    await kill();
    throw error;
  }
}

async function devtools(path, child) {
  for (const until = Date.now() + STARTS_WITHIN; Date.now() < until; await wait(20)) {
    if (child.exitCode !== null) throw new Error(`Chromium ended with ${child.exitCode}`);
    const [port, rest] = (await readFile(path, "utf8").catch(() => "")).split("\n");
    if (rest) return `ws://127.0.0.1:${port}${rest}`;
  }
  throw new Error("Chromium did not start");
}

/** SIGKILL for every renderer of a browser. @returns how many there were */
export async function killRenderers(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const pids = processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  for (const pid of pids) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It had ended.
    }
  }
  await session.detach();
  return pids.length;
}
