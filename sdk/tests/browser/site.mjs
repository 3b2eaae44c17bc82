// The host's site: serves the pages of `pages/` with the SDK in them, and signs tokens.
import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { connect } from "node:net";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { breaking } from "./mutants.mjs";

const PAGES = new URL("./pages/", import.meta.url);
/** What a strict host allows. */
export const CSP =
  "default-src 'none'; script-src 'self'; connect-src 'self' ws:; style-src 'self'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'";

/** @param options.mutant name of a fault to build into the SDK @returns text of each page's script */
export async function bundles({ mutant, options = {} } = {}) {
  const names = (await readdir(PAGES)).filter((name) => /\.tsx?$/.test(name));
  const { outputFiles } = await build({
    entryPoints: names.map((name) => fileURLToPath(new URL(name, PAGES))),
    outdir: "/",
    bundle: true,
    format: "esm",
    target: "es2022",
    sourcemap: "inline",
    write: false,
    logLevel: "warning",
    plugins: mutant ? [breaking(mutant)] : [],
    ...options,
  });
  return new Map(outputFiles.map(({ path, text }) => [path.split("/").at(-1), text]));
}

/**
 * Serve `/NAME.html`, its script `/NAME.js`, and `/token?user=&seconds=`. Every other path goes to
 * the gateway, also an upgrade: a host whose gateway is behind its own origin.
 *
 * @param options.secret that the gateway checks tokens with
 * @param options.gateway port of it
 * @param options.csp whether pages are served with `CSP`
 * @param options.html adds to the page's body
 */
export async function serve({ secret, gateway, csp = false, mutant, html = "", options }) {
  const scripts = await bundles({ mutant, options });
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://site");
    const [, name, ending] = /^\/(\w+)\.(html|js)$/.exec(pathname) ?? [];
    if (pathname === "/token") {
      const token = sign(secret, searchParams.get("user"), +(searchParams.get("seconds") ?? 900));
      response.writeHead(200, { "Cache-Control": "no-store" }).end(token);
    } else if (name && scripts.has(`${name}.js`)) {
      const type = ending === "js" ? "text/javascript" : "text/html";
      const headers = { "Content-Type": `${type}; charset=utf-8` };
      if (csp) headers["Content-Security-Policy"] = CSP;
      const page = `<!doctype html><html lang="en"><title>${name}</title><body>${html}
<script type="module" src="/${name}.js"></script>`;
      response.writeHead(200, headers).end(ending === "js" ? scripts.get(`${name}.js`) : page);
    } else if (pathname === "/favicon.ico") response.writeHead(204).end();
    else pass(request, response.socket, gateway);
  });
  server.on("upgrade", (request, socket) => pass(request, socket, gateway));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** What docs/tokens.md shows. */
function sign(secret, user, seconds) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: "masterx",
    aud: "masterx",
    sub: user,
    role: "learner",
    consent: true,
    iat: now - 60,
    exp: now + seconds,
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** Pass a request on as it came, byte for byte, and what comes back: one request a connection. */
function pass(request, socket, port) {
  const there = connect(port, "127.0.0.1");
  const upgrade = "upgrade" in request.headers;
  const head = [`${request.method} ${request.url} HTTP/1.1`];
  for (let at = 0; at < request.rawHeaders.length; at += 2) {
    const [name, value] = request.rawHeaders.slice(at, at + 2);
    if (upgrade || name.toLowerCase() !== "connection") head.push(`${name}: ${value}`);
  }
  if (!upgrade) head.push("Connection: close");
  there.write(`${head.join("\r\n")}\r\n\r\n`);
  if (upgrade) socket.pipe(there);
  else request.pipe(there, { end: false });
  there.pipe(socket);
  const end = () => (there.destroy(), socket.destroy());
  for (const stream of [there, socket]) stream.on("error", end).on("close", end);
}
