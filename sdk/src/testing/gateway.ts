/** The testing gateway: one port, the wire of docs/wire.md, and learners whom nobody measures. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { WebSocketServer, type WebSocket } from "ws";
import type { Limits } from "../core/wire.gen.ts";
import type { GatewayOptions, SimulatedLearner, TestGateway } from "./api.ts";
import { closeSocket, Connection, errorFrame, type Bounds } from "./connection.ts";
import { Intake, RateLimit, type Accepted } from "./intake.ts";
import { PushLog } from "./log.ts";
import { wrongUserId } from "./messages.ts";
import { CLOSE, NO_ANSWER, Refusal, TRY_AGAIN, UNAUTHORIZED } from "./refusal.ts";
import { bearer, decoded, REQUESTS_PER_MINUTE, Rest, type Poll } from "./rest.ts";
import { Simulation } from "./simulation.ts";
import { makeToken, verify, type Principal } from "./tokens.ts";

const PREFIX = "/api/v1/ml-personalization";
const SUBPROTOCOL = "masterx.v1";
const LOCAL_ORIGIN = /^https?:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?$/;
const TOKEN_PARAMETERS = ["token", "access_token", "jwt", "bearer", "authorization"];
/** Bytes of a request's line and headers. */
const MAX_HEAD_BYTES = 32 * 1024;
/** Frames up to this many times the bound get an error; larger ones are not read (1009). */
const HARD_LIMIT = 2;
/** Milliseconds in which a ping has to be answered when a learner has too many connections. */
const PROBE = 2_000;
/** Events that `accepted` holds. */
const MOST_ACCEPTED = 10_000;
const LIMITS: Limits = {
  maxMessageBytes: 256 * 1024,
  maxTextLength: 8_000,
  maxInteractions: 500,
  messagesPerSecond: 30,
  burst: 300,
  dedupeSeconds: 600,
  unacknowledged: 200,
};

/** Start a gateway on this machine. Rejects where the port is taken. */
export async function startGateway(options: GatewayOptions = {}): Promise<TestGateway> {
  const gateway = new Gateway(options);
  await gateway.listen(options.port ?? 0, options.host ?? "127.0.0.1");
  return gateway;
}

class Gateway implements TestGateway {
  readonly accepted: Accepted[] = [];
  readonly #options: GatewayOptions;
  readonly #bounds: Bounds;
  readonly #intake: Intake;
  readonly #messages: RateLimit;
  readonly #rest: Rest;
  readonly #logs = new Map<string, PushLog>();
  readonly #simulations = new Map<string, Simulation>();
  /** The oldest first. */
  readonly #connections = new Set<Connection>();
  readonly #polls = new Set<Poll>();
  readonly #expired = new Set<string>();
  readonly #server = createServer({ maxHeaderSize: MAX_HEAD_BYTES });
  readonly #sockets: WebSocketServer;
  #running = true;
  url = "";
  port = 0;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const limits = { ...LIMITS, ...options.limits };
    const { maxOutboxBytes = 1_000_000, pingInterval = 20_000 } = options;
    this.#bounds = { limits, maxOutboxBytes, pingInterval };
    this.#intake = new Intake(limits, (events) => this.#hear(events));
    this.#messages = new RateLimit(limits.messagesPerSecond, limits.burst, "messages");
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: HARD_LIMIT * limits.maxMessageBytes,
      perMessageDeflate: false,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    });
    this.#rest = new Rest({
      bounds: this.#bounds,
      intake: this.#intake,
      requests: new RateLimit(REQUESTS_PER_MINUTE / 60, REQUESTS_PER_MINUTE, "requests"),
      messages: this.#messages,
      log: (userId) => this.#log(userId),
      known: (userId) => this.#logs.get(userId),
      principal: (token, query) => this.#principal(token, query),
      admit,
      full: (userId) => this.#full(userId),
      polls: this.#polls,
    });
    this.#server.on("request", (request, response) => void this.#serve(request, response));
    this.#server.on("upgrade", (request, socket: Socket, head) =>
      this.#upgrade(request, socket, head),
    );
  }

  async listen(port: number, host: string): Promise<void> {
    await new Promise<void>((go, fail) => {
      this.#server.once("error", fail);
      this.#server.listen(port, host, go);
    });
    this.port = (this.#server.address() as AddressInfo).port;
    this.url = `http://${host.includes(":") ? `[${host}]` : host}:${this.port}`;
  }

  token: TestGateway["token"] = (userId, claims) => makeToken(userId, claims);

  failNext: TestGateway["failNext"] = (code, { times = 1, retryAfter } = {}) =>
    this.#intake.failNext(new Refusal(code, `${code}: asked for`, undefined, retryAfter), times);

  restart(): void {
    const { reconnectSpread = 5 } = this.#options;
    for (const poll of [...this.#polls]) poll.end("restart");
    for (const connection of [...this.#connections])
      connection.restart(Math.round(Math.random() * reconnectSpread * 1000) / 1000);
  }

  async close(): Promise<void> {
    this.#running = false;
    for (const poll of [...this.#polls]) poll.end("cut");
    for (const connection of [...this.#connections]) connection.cut();
    const ended = new Promise((go) => this.#server.close(go));
    this.#server.closeAllConnections();
    await ended;
  }

  learner(userId: string): SimulatedLearner {
    const wrong = wrongUserId(userId);
    if (wrong) throw new RangeError(`the user id ${wrong}`);
    const [log, simulation] = [this.#log(userId), this.#simulation(userId)];
    const own = (): (Connection | Poll)[] => this.#own(userId);
    const connections = this.#connections;
    const expired = this.#expired;
    return {
      userId,
      get connections() {
        return own().length;
      },
      setState: (figures) => simulation.set(figures),
      recommend: (...wanted) => simulation.recommend(wanted),
      intervene: ({ level = "moderate", confidence = 0.6, because = ["simulated"] } = {}) => {
        const id = crypto.randomUUID();
        const body = { id, level, confidence, because, raisedAt: Date.now() };
        log.append("intervention", body, []);
        return id;
      },
      reply: (options = {}) => simulation.reply(options),
      push: (kind, body, causedBy = []) => log.append(kind, body, causedBy),
      expireToken: () => {
        for (const one of own()) {
          expired.add(one instanceof Connection ? one.principal.token : one.token);
          if (one instanceof Connection) one.close(UNAUTHORIZED, "the token has expired");
          else one.end("expired");
        }
      },
      cut: () => {
        for (const one of own())
          if (one instanceof Connection) one.cut();
          else one.end("cut");
        for (const one of [...connections]) if (one.userId === userId) connections.delete(one);
      },
      loseLog: () => log.beginAnew(),
    };
  }

  #own(userId: string): (Connection | Poll)[] {
    return [...this.#connections, ...this.#polls].filter((one) => one.userId === userId);
  }

  #log(userId: string): PushLog {
    const log = this.#logs.get(userId) ?? new PushLog();
    this.#logs.set(userId, log);
    return log;
  }

  #simulation(userId: string): Simulation {
    const { reactAfter = 50, pace = 30 } = this.#options;
    const pacing = { reactAfter, pace, running: () => this.#running };
    const found = this.#simulations.get(userId);
    const simulation = found ?? new Simulation(userId, this.#log(userId), pacing);
    this.#simulations.set(userId, simulation);
    return simulation;
  }

  #hear(events: readonly Accepted[]): void {
    this.accepted.push(...events);
    this.accepted.splice(0, Math.max(0, this.accepted.length - MOST_ACCEPTED));
    const [first] = events;
    if (first && this.#options.simulate !== false) this.#simulation(first.userId).react(events);
  }

  // -- who comes in --------------------------------------------------------------------------

  #originAllowed(origin: string | undefined): boolean {
    if (origin === undefined) return true;
    const said = origin.trim().toLowerCase();
    const { allowedOrigins = [] } = this.#options;
    return LOCAL_ORIGIN.test(said) || allowedOrigins.some((one) => one.toLowerCase() === said);
  }

  #principal(token: string | undefined, query: URLSearchParams): Principal {
    if ([...query.keys()].some((name) => TOKEN_PARAMETERS.includes(name.toLowerCase())))
      throw new Refusal("unauthorized", "send the token in a header, never in the address");
    const principal = verify(token);
    if (this.#expired.has(principal.token))
      throw new Refusal("unauthorized", "the token has expired");
    return principal;
  }

  /** Why one more cannot come in; the oldest that answers no ping makes way. */
  async #full(userId: string): Promise<string | undefined> {
    const { maxConnectionsPerUser: most = 20 } = this.#options;
    const own = this.#own(userId);
    if (own.length < most) return undefined;
    const silent = await Promise.all(
      own.map((one) => (one instanceof Connection ? one.silent(PROBE) : false)),
    );
    for (const [at, one] of own.entries()) {
      if (this.#own(userId).length < most) break;
      if (!silent[at] || !(one instanceof Connection)) continue;
      this.#connections.delete(one);
      one.close(NO_ANSWER, "no answer to a ping; a newer connection took its place");
    }
    const full = this.#own(userId).length >= most;
    return full ? "too many connections of this learner" : undefined;
  }

  // -- doors ---------------------------------------------------------------------------------

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on("error", () => {});
    const { path, query } = address(request);
    const match = new RegExp(`^${PREFIX}/ws/(.+)$`, "s").exec(path);
    if (!match || !this.#originAllowed(request.headers.origin)) {
      const status = match ? "403 Forbidden" : "404 Not Found";
      socket.end(`HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    // Accepted and closed at once: a browser shows its page no status of a refused handshake.
    this.#sockets.handleUpgrade(request, socket, head, (accepted) => {
      try {
        const principal = this.#principal(tokenOf(request), query);
        const userId = decoded(match[1]!);
        admit(principal, userId);
        void this.#enter(accepted, principal, userId);
      } catch (error) {
        const { code, message } = errorFrame(error, undefined) as Refusal;
        accepted.on("error", () => {});
        closeSocket(accepted, CLOSE[code] ?? TRY_AGAIN, message);
      }
    });
  }

  async #enter(socket: WebSocket, principal: Principal, userId: string): Promise<void> {
    socket.on("error", () => {});
    socket.pause(); // what it sends waits until it is in
    const full = await this.#full(userId);
    socket.resume();
    if (full !== undefined) return closeSocket(socket, TRY_AGAIN, full);
    const connection = new Connection(socket, principal, userId, this.#log(userId), {
      bounds: this.#bounds,
      intake: this.#intake,
      rate: this.#messages,
    });
    this.#connections.add(connection);
    socket.once("close", () => this.#connections.delete(connection));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { origin } = request.headers;
    const allowed = this.#originAllowed(origin);
    if (origin !== undefined && allowed) {
      response.setHeader("Access-Control-Allow-Origin", origin);
      response.setHeader("Access-Control-Expose-Headers", "Retry-After");
      response.setHeader("Vary", "Origin");
    }
    if (request.method === "OPTIONS" && request.headers["access-control-request-method"]) {
      response.writeHead(allowed ? 200 : 400, {
        "Access-Control-Allow-Methods": "GET, POST",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, traceparent",
        "Access-Control-Max-Age": "600",
      });
      response.end();
      return;
    }
    const { path, query } = address(request);
    const file = request.method === "GET" ? this.#options.files?.[path] : undefined;
    if (file) {
      response.writeHead(200, {
        "Content-Type": file.contentType,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
      });
      response.end(file.body);
      return;
    }
    const below = path.startsWith(`${PREFIX}/`) ? path.slice(PREFIX.length) : "";
    await this.#rest.serve(request, response, below, query);
  }
}

/** Throws Refusal: this principal may not see this learner, or it is no learner's id. */
function admit(principal: Principal, userId: string): void {
  if (!principal.maySee(userId))
    throw new Refusal("forbidden", "this token may not see this learner", "userId");
  const wrong = wrongUserId(userId);
  if (wrong) throw new Refusal("forbidden", `the user id ${wrong}`, "userId");
}

function tokenOf(request: IncomingMessage): string | undefined {
  const token = bearer(request);
  if (token !== undefined) return token;
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",");
  const found = offered.map((one) => one.trim()).find((one) => one.startsWith("bearer."));
  return found?.slice("bearer.".length);
}

function address({ url = "/" }: IncomingMessage): { path: string; query: URLSearchParams } {
  const [path = "/", ...rest] = url.split("?");
  return { path, query: new URLSearchParams(rest.join("?")) };
}
