/**
 * One learner's line to the gateway: a WebSocket, or REST where no WebSocket gets through.
 *
 * It carries out what `connection.ts` decides. Each socket, and each turn to REST, has a number
 * (`via`), so that a sender knows which of its messages went down with which line.
 */
import {
  type Event,
  FORBIDDEN,
  OFF,
  type Phase,
  type State,
  reaction,
  step,
} from "./connection.ts";
import type { Clock } from "./clock.ts";
import type { Environment, Socket, Timer } from "./environment.ts";
import { Source } from "./observable.ts";
import type { Problems } from "./problems.ts";
import type { Place } from "./pushes.ts";
import { Rest, type Posted } from "./rest.ts";
import { type Frame, open, read, silence } from "./socket.ts";
import type { Token, Tokens } from "./tokens.ts";

export interface ConnectionStatus {
  readonly phase: Phase;
  readonly transport: "socket" | "rest" | undefined;
  /** Of the last connection that ended. */
  readonly code?: number;
  readonly reason?: string;
}

export interface LinkEvents {
  /** Every frame, in order. `via` is the line that it came by. */
  frame(frame: Frame, via: number): void;
  /** Messages may be sent from now on. */
  live(token: string): void;
  /** A line has ended: what it left unanswered has to be sent again. */
  down(via: number): void;
  /** Messages have to become smaller. */
  smaller(): void;
  /** Where the pushes stand, for REST. */
  place(): Place | undefined;
}

export interface LinkOptions {
  readonly env: Environment;
  /** Of the gateway: `https://masterx.example`, or with a path before `/api`. */
  readonly url: string;
  readonly userId: string;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly problems: Problems;
  readonly events: LinkEvents;
}

export const API = "/api/v1/ml-personalization";
/** Milliseconds from opening a socket to `hello`. */
export const CONNECT_TIMEOUT = 15_000;
/** A new token is fetched so many milliseconds before the old one expires. */
export const REFRESH_BEFORE = 30_000;
/** Milliseconds in which a socket that was replaced may still acknowledge. */
export const RETIRE_WITHIN = 5_000;
/** The longest time that a timer can hold, milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

interface Line {
  readonly via: number;
  readonly socket: Socket;
  readonly token: Token;
  readonly began: number;
  greetedAt: number | undefined;
  after: number | undefined;
  timer: Timer;
}

export class Link {
  readonly status: Source<ConnectionStatus>;
  readonly #options: LinkOptions;
  readonly #rest: Rest;
  #state: State = OFF;
  #via = 0;
  /** The socket that is live, or becomes it. */
  #line: Line | undefined;
  /** The one with a newer token that will replace it. */
  #successor: Line | undefined;
  /** Those that were replaced. */
  readonly #retired = new Set<Line>();
  #timer: Timer | undefined;
  #renewal: Timer | undefined;
  /** Grows with each start and stop: an answer of an earlier life is void. */
  #life = 0;
  /** Grows with each try: a token that comes late opens nothing. */
  #tries = 0;
  #restVia = 0;

  constructor(options: LinkOptions) {
    const { env, url, userId, tokens, clock } = options;
    this.#options = options;
    this.status = new Source<ConnectionStatus>(
      { phase: "off", transport: undefined },
      env.complain,
    );
    this.#rest = new Rest({
      env,
      base: url.replace(/\/+$/, "") + API,
      userId,
      token: () => tokens.get("connect", clock.now()),
      place: () => options.events.place(),
      frame: (frame) => options.events.frame(frame, this.#restVia),
      unauthorized: (token) => {
        // Two calls may be refused for one token.
        if (tokens.reject(token)) this.#happen({ type: "unauthorized", proven: token.proven });
      },
      // As if a socket had been closed with it.
      forbidden: (reason) =>
        this.#happen(
          { type: "closed", code: FORBIDDEN, greeted: true, uptime: 0, proven: true },
          { code: FORBIDDEN, reason },
        ),
    });
  }

  start(): void {
    this.#happen({ type: "start", sockets: this.#options.env.openSocket !== undefined });
  }

  /** Close whatever is open. `start` begins anew. */
  stop(): void {
    this.#happen({ type: "stop" });
  }

  /** The page is left: hold no socket. What was stopped for good stays so. */
  pause(): void {
    if (this.#state.phase !== "stopped") this.stop();
  }

  /** The page is back, or online: go on, at once. */
  resume(): void {
    this.start();
    this.nudge();
  }

  /** Try at once, if it waits. */
  nudge(): void {
    this.#happen({ type: "nudge" });
  }

  get live(): boolean {
    return this.#rest.running || this.#line?.greetedAt !== undefined;
  }

  /** Whether messages go by REST now. */
  get byRest(): boolean {
    return this.#rest.running;
  }

  /** Send by the socket. @returns the line that took it; undefined if there is none */
  send(text: string): number | undefined {
    const line = this.#line;
    if (line?.greetedAt === undefined || line.socket.readyState !== 1) return undefined;
    try {
      line.socket.send(text);
    } catch {
      return undefined;
    }
    return line.via;
  }

  /** Send by REST. */
  post(message: Posted): Promise<Frame> {
    return this.#rest.post(message);
  }

  get via(): number {
    return this.#rest.running ? this.#restVia : (this.#line?.via ?? 0);
  }

  /** Cut the line: it does not answer any more. */
  cut(): void {
    if (this.#line) this.#end(this.#line, 4000, "no answer");
  }

  /** A replaced socket whose messages are all answered can go. */
  drained(via: number): void {
    for (const line of this.#retired) if (line.via === via) this.#end(line, 1000, "replaced");
  }

  /** Get a new token, and a new socket with it, before the old one is let go. */
  async renew(reason: "expiring" | "rejected" = "expiring"): Promise<void> {
    const { tokens, clock } = this.#options;
    if (this.#successor || !this.#line || this.#state.phase !== "live") return;
    const life = this.#life;
    try {
      const token = await tokens.get(reason, clock.now());
      if (life !== this.#life || this.#successor || this.#state.phase !== "live") return;
      this.#successor = this.#open(token);
    } catch {
      // The server closes when the old token has expired; then there is another try.
    }
  }

  // -- what the state machine decides ---------------------------------------------------------

  #happen(event: Event, ended?: { code: number; reason: string }): void {
    const { env, problems } = this.#options;
    const before = this.#state;
    const next = step(before, event, env.random());
    this.#state = next.state;
    const { phase } = next.state;
    if (next.connect || next.wait !== undefined || phase !== before.phase) {
      env.clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    if (phase === "off" || phase === "stopped") this.#close();
    if (phase === "polling" && !this.#rest.running) {
      this.#restVia = ++this.#via;
      this.#rest.start();
      void this.#announce();
    }
    this.#tell(ended);
    if (next.problem) {
      const why = ended?.reason || { token: "the token was refused" }[next.problem as "token"];
      problems.tell(next.problem, why ?? `closed with ${ended?.code}`);
    }
    if (next.wait !== undefined)
      this.#timer = env.setTimeout(() => this.#happen({ type: "due" }), next.wait);
    if (next.connect) void this.#connect(next.connect);
  }

  #tell(ended?: { code: number; reason: string }): void {
    const { phase } = this.#state;
    const transport = phase === "live" ? "socket" : phase === "polling" ? "rest" : undefined;
    const last = ended ?? this.status.get();
    this.status.set({
      phase,
      transport,
      ...(last.code !== undefined && { code: last.code, reason: last.reason ?? "" }),
    });
  }

  async #announce(): Promise<void> {
    const life = this.#life;
    try {
      const token = await this.#options.tokens.get("connect", this.#options.clock.now());
      if (life === this.#life && this.#rest.running) this.#options.events.live(token.value);
    } catch (error) {
      this.#options.problems.tell("token", String(error));
    }
  }

  async #connect(kind: "cached" | "fresh"): Promise<void> {
    const { tokens, clock, problems } = this.#options;
    const life = this.#life;
    const tries = ++this.#tries;
    const wanted = (): boolean => life === this.#life && tries === this.#tries;
    try {
      const token = await tokens.get(kind === "fresh" ? "rejected" : "connect", clock.now());
      if (wanted()) this.#line = this.#open(token);
    } catch (error) {
      if (!wanted()) return;
      problems.tell("token", error instanceof Error ? error.message : String(error));
      this.#happen({ type: "no_token" });
    }
  }

  // -- sockets --------------------------------------------------------------------------------

  #open(token: Token): Line {
    const { env, url, userId, clock } = this.#options;
    const base = url.replace(/\/+$/, "").replace(/^http/, "ws");
    const address = `${base}${API}/ws/${encodeURIComponent(userId)}`;
    clock.restart();
    const line: Line = {
      via: ++this.#via,
      socket: open(env, address, token.value),
      token,
      began: env.elapsed(),
      greetedAt: undefined,
      after: undefined,
      timer: undefined,
    };
    line.timer = env.setTimeout(() => this.#end(line, 4000, "no hello"), CONNECT_TIMEOUT);
    line.socket.onmessage = ({ data }) => this.#received(line, data);
    line.socket.onclose = ({ code, reason }) => this.#closed(line, code, reason);
    return line;
  }

  #received(line: Line, data: unknown): void {
    const frame = read(data);
    if (!frame) return;
    const { env, clock, events } = this.#options;
    if (frame.type === "restarting") {
      if (typeof frame["reconnectAfter"] === "number") line.after = frame["reconnectAfter"] * 1000;
      return;
    }
    if (this.#retired.has(line)) {
      // Its successor brings the pushes; answers are still welcome.
      if (frame.type === "ack" || frame.type === "error") events.frame(frame, line.via);
      return;
    }
    if (frame.type === "hello" && line.greetedAt === undefined) {
      env.clearTimeout(line.timer);
      line.greetedAt = env.elapsed();
      line.token.proven = true;
      if (typeof frame["serverTime"] === "number") clock.sample(frame["serverTime"], line.began);
      if (line === this.#successor) this.#succeed(line);
      this.#endRest();
      this.#happen({ type: "hello" });
      this.#renewLater(line.token);
      events.frame(frame, line.via);
      events.live(line.token.value);
    } else if (line.greetedAt !== undefined) events.frame(frame, line.via);
  }

  #succeed(line: Line): void {
    const old = this.#line;
    this.#successor = undefined;
    this.#line = line;
    if (!old) return;
    this.#retired.add(old);
    const { env } = this.#options;
    old.timer = env.setTimeout(() => this.#end(old, 1000, "replaced"), RETIRE_WITHIN);
  }

  #closed(line: Line, code: number, reason: string): void {
    const { env, tokens, events } = this.#options;
    env.clearTimeout(line.timer);
    silence(line.socket);
    const current = line === this.#line;
    this.#retired.delete(line);
    if (line === this.#successor) this.#successor = undefined;
    if (current) this.#line = undefined;
    const { token: blamed, smaller } = reaction(code);
    if (smaller) events.smaller(); // while it is known what was under way
    events.down(line.via);
    if (!current) return;
    const { greetedAt, token, after } = line;
    if (this.#successor) {
      // Its successor is on the way, and takes its place as if it were the first.
      this.#line = this.#successor;
      this.#successor = undefined;
      this.#happen({ type: "replaced" }, { code, reason });
      return;
    }
    env.clearTimeout(this.#renewal);
    if (blamed) tokens.clear();
    const uptime = greetedAt === undefined ? 0 : env.elapsed() - greetedAt;
    this.#happen(
      {
        type: "closed",
        code,
        greeted: greetedAt !== undefined,
        uptime,
        proven: token.proven,
        after,
      },
      { code, reason },
    );
  }

  /** Close a line and treat it as closed at once: a dead one takes minutes to say so. */
  #end(line: Line, code: number, reason: string): void {
    silence(line.socket);
    try {
      line.socket.close(code, reason);
    } catch {
      // It was closed already.
    }
    this.#closed(line, code === 1000 ? 1000 : 1006, reason);
  }

  #renewLater(token: Token): void {
    const { env, clock } = this.#options;
    env.clearTimeout(this.#renewal);
    if (token.expiresAt === undefined) return;
    const left = token.expiresAt - clock.now();
    const wait = left > 2 * REFRESH_BEFORE ? left - REFRESH_BEFORE : left / 2;
    if (wait < 1_000) return; // it closes before a new one is there
    this.#renewal = env.setTimeout(
      () => {
        if (wait > LONGEST_TIMER) this.#renewLater(token);
        else void this.renew();
      },
      Math.min(wait, LONGEST_TIMER),
    );
  }

  #close(): void {
    const { env, events } = this.#options;
    this.#life += 1;
    env.clearTimeout(this.#timer);
    env.clearTimeout(this.#renewal);
    this.#timer = this.#renewal = undefined;
    const lines = [this.#line, this.#successor, ...this.#retired];
    this.#line = this.#successor = undefined;
    this.#retired.clear();
    for (const line of lines) {
      if (!line) continue;
      env.clearTimeout(line.timer);
      silence(line.socket);
      try {
        line.socket.close(1000, "");
      } catch {
        // It was closed already.
      }
      events.down(line.via);
    }
    this.#endRest();
  }

  #endRest(): void {
    if (!this.#rest.running) return;
    this.#rest.stop();
    this.#options.events.down(this.#restVia);
  }
}
