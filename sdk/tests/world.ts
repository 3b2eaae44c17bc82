/** Surroundings under a test's control: time, chance, a disk that outlives a page, a gateway. */
import { IDBFactory, IDBKeyRange } from "fake-indexeddb";
import type { Channel, Environment, PageEvent, Socket } from "../src/core/environment.ts";
import type { Frame } from "../src/core/socket.ts";

type Message = { type: string; id?: string; attempt?: number } & Record<string, unknown>;

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

/** What the gateway does with a message; undefined: it accepts it. */
export type Ruling = Frame | "silence" | "close" | undefined;

const NOWHERE = (): void => {};

/** A gateway that keeps what it accepts, and does what a test says. */
export class Gateway {
  readonly sockets = new Set<FakeSocket>();
  /** Every message, with the token that brought it. */
  readonly received: Message[] = [];
  /** Event id -> how often it took effect. */
  readonly effects = new Map<string, number>();
  readonly handshakes: string[] = [];
  /** The learner's log of pushes. */
  readonly log: Frame[] = [];
  epoch = "e1";
  /** Close code of a handshake, or "refuse", one after another; then they are let in. */
  readonly doors: (number | "refuse")[] = [];
  rule: (message: Message) => Ruling = () => undefined;
  hello: Record<string, unknown> = {};
  serverTime: (() => number) | undefined;
  /** Status of every REST call; undefined: they work. */
  restStatus: number | undefined;
  readonly polls: string[] = [];
  /** How many events were unacknowledged at most. */
  mostUnderWay = 0;
  #underWay = 0;

  get offset(): number {
    return this.log.length;
  }

  greet(): Frame {
    return {
      type: "hello",
      epoch: this.epoch,
      offset: this.offset,
      recommendations: [],
      limits: { maxMessageBytes: 262144, maxTextLength: 8000, maxInteractions: 500 },
      ...(this.serverTime && { serverTime: this.serverTime() }),
      ...this.hello,
    };
  }

  /** Append a push, and send it to whoever is connected. */
  push(type: string, body: Record<string, unknown>): Frame {
    const frame: Frame = {
      type,
      epoch: this.epoch,
      offset: this.offset + 1,
      causedBy: [],
      ...body,
    };
    this.log.push(frame);
    for (const socket of this.sockets) socket.deliver(frame);
    return frame;
  }

  /** What answers a message. */
  answer(message: Message): Frame | "silence" | "close" {
    if (message.type === "ping")
      return {
        type: "pong",
        id: message.id,
        ...(this.serverTime && { serverTime: this.serverTime() }),
      } as Frame;
    if (message.type === "resume") return this.resumed(message);
    this.received.push(message);
    const events = eventsOf(message);
    this.#underWay += events.length;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
    const ruling = this.rule(message);
    if (ruling !== "silence") this.#underWay -= events.length;
    if (ruling && ruling !== "silence" && ruling !== "close") return ruling;
    const duplicates = events.filter((id) => this.effects.has(id));
    for (const id of events) if (!this.effects.has(id)) this.effects.set(id, 1);
    const named = (ids: string[]) =>
      message.type === "feedback" ? ids.map((id) => `derived of ${id}`) : ids;
    return (
      ruling ?? {
        type: "ack",
        id: message.id!,
        eventIds: named(events),
        duplicates: named(duplicates),
        rejected: [],
      }
    );
  }

  resumed({ epoch, offset }: Message): Frame {
    const recovered = epoch === this.epoch;
    return {
      type: "resumed",
      recovered,
      epoch: this.epoch,
      offset: recovered ? offset : this.offset,
      ...(!recovered && { userState: { version: 1000 }, recommendations: [] }),
    };
  }

  cut(code = 1006, reason = ""): void {
    for (const socket of [...this.sockets]) socket.drop(code, reason);
    this.#underWay = 0;
  }
}

export function eventsOf(message: Message): string[] {
  const interactions = message["interactions"] as { eventId: string }[] | undefined;
  return interactions ? interactions.map(({ eventId }) => eventId) : [message.id!];
}

export class FakeSocket implements Socket {
  readyState = 0;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onerror: Socket["onerror"] = null;
  onclose: Socket["onclose"] = null;
  /** The network went away: what was sent does not arrive. What `close` finds sent does. */
  #cut = false;
  readonly world: World;
  readonly gateway: Gateway;

  constructor(world: World, protocols: string[]) {
    this.world = world;
    this.gateway = world.gateway;
    this.gateway.handshakes.push(protocols[1]!.slice("bearer.".length));
    world.later(() => {
      if (this.readyState !== 0) return;
      const door = this.gateway.doors.shift();
      if (door !== undefined) {
        this.drop(door === "refuse" ? 1006 : door, "");
        return;
      }
      this.readyState = 1;
      this.gateway.sockets.add(this);
      this.deliver(this.gateway.greet());
    });
  }

  send(text: string): void {
    const message = JSON.parse(text) as Message;
    this.world.later(() => {
      if (this.#cut) return;
      const answer = this.gateway.answer(message);
      if (answer === "close") this.drop(1006, "");
      else if (answer !== "silence") {
        this.deliver(answer);
        if (answer.type === "resumed" && answer["recovered"])
          for (const frame of this.gateway.log)
            if ((frame["offset"] as number) > (answer["offset"] as number)) this.deliver(frame);
      }
    });
  }

  close(): void {
    this.readyState = 3;
    this.gateway.sockets.delete(this);
  }

  deliver(frame: Frame): void {
    const data = JSON.stringify(frame);
    this.world.later(() => {
      if (this.readyState === 1) this.onmessage?.({ data });
    });
  }

  drop(code: number, reason: string): void {
    this.#cut = true;
    this.readyState = 3;
    this.gateway.sockets.delete(this);
    this.world.later(() => this.onclose?.({ code, reason }));
  }
}

/** The turn of a browser: tabs of one world share its disk, locks and channels. */
export class World {
  readonly gateway = new Gateway();
  indexedDB: IDBFactory | undefined = new IDBFactory();
  readonly complaints: unknown[] = [];
  readonly buried = new Set<unknown>();
  /** Name of a lock -> whose it is. */
  readonly held = new Map<string, unknown>();
  readonly channels = new Set<FakeChannel>();
  sockets = true;
  /** What the device's clock is ahead of the true time. */
  skew = 0;
  /** Milliseconds that each frame takes. */
  latency = 1;
  #now = 1_795_000_000_000;
  #timers = new Set<Timer>();
  #seed = 1;

  get now(): number {
    return this.#now;
  }

  get timers(): number {
    return this.#timers.size;
  }

  later(run: () => void, ms = this.latency): Timer {
    // As a browser does it: what does not fit into 31 bits comes at once.
    const timer = { at: this.#now + (ms > 2 ** 31 - 1 ? 1 : ms), run };
    this.#timers.add(timer);
    return timer;
  }

  clear(timer: unknown): void {
    this.#timers.delete(timer as Timer);
  }

  /** Let time pass, with everything that it brings. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end);
      const first = due.sort((one, other) => one.at - other.at)[0];
      if (!first) break;
      this.#now = Math.max(this.#now, first.at);
      // What is due in the same moment runs together: a step costs real time.
      for (const timer of due.filter(({ at }) => at === first.at))
        if (this.#timers.delete(timer)) timer.run();
      await settled();
    }
    this.#now = end;
  }

  /** A tab has died: its locks are let go, its channels hear nothing. */
  bury(owner: unknown): void {
    this.buried.add(owner);
    for (const [name, one] of this.held) if (one === owner) this.held.delete(name);
    for (const channel of this.channels) if (channel.owner === owner) channel.close();
  }

  /** A tab. `page` says what happens to it. */
  tab(changes: Partial<Environment> = {}): Tab {
    return new Tab(this, changes);
  }

  random(): number {
    this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return this.#seed / 2 ** 31;
  }
}

export class Tab {
  readonly listeners = new Set<(event: PageEvent) => void>();
  readonly environment: Environment;
  visible = true;
  readonly sockets = new Set<FakeSocket>();
  /** A page that was killed does nothing any more. */
  dead = false;

  readonly world: World;

  constructor(world: World, changes: Partial<Environment>) {
    this.world = world;
    const alive = (run: () => void) => () => (this.dead ? undefined : run());
    this.environment = {
      openSocket: world.sockets
        ? (_, protocols) => {
            if (this.dead) throw new Error("the page was killed");
            const socket = new FakeSocket(world, protocols);
            this.sockets.add(socket);
            return socket;
          }
        : undefined,
      fetch: (input, init) =>
        this.dead ? new Promise(() => {}) : fakeFetch(world, String(input), init),
      indexedDB: world.indexedDB,
      keyRange: IDBKeyRange,
      now: () => world.now + world.skew,
      elapsed: () => world.now,
      random: () => world.random(),
      randomBytes: (length) => Uint8Array.from({ length }, () => world.random() * 256),
      setTimeout: (run, ms) => world.later(alive(run), ms),
      clearTimeout: (timer) => world.clear(timer),
      listen: (heard) => {
        this.listeners.add(heard);
        return () => void this.listeners.delete(heard);
      },
      hidden: () => !this.visible,
      complain: (error) => void world.complaints.push(error),
      ...changes,
    };
  }

  /** SIGKILL: no handler runs, no timer, and nothing is said to the gateway but a cut. */
  kill(): void {
    this.dead = true;
    this.world.bury(this.environment.locks);
    for (const socket of this.sockets) {
      socket.onmessage = socket.onclose = null;
      socket.drop(1006, "");
    }
  }

  /** Something happens to the page. */
  page(event: PageEvent): void {
    if (event === "hidden") this.visible = false;
    if (event === "return") this.visible = true;
    for (const heard of [...this.listeners]) heard(event);
  }
}

export class FakeChannel implements Channel {
  onmessage: Channel["onmessage"] = null;
  readonly world: World;
  readonly name: string;
  readonly owner: unknown;

  constructor(world: World, name: string, owner: unknown) {
    this.world = world;
    this.name = name;
    this.owner = owner;
    world.channels.add(this);
  }

  postMessage(data: unknown): void {
    for (const other of this.world.channels)
      if (other !== this && other.name === this.name)
        this.world.later(() => other.onmessage?.({ data: structuredClone(data) }));
  }

  close(): void {
    this.world.channels.delete(this);
    this.onmessage = NOWHERE;
  }
}

/** Locks and channels of a browser with several tabs. */
export function shared(world: World): Partial<Environment> {
  const request = ((name: string, _: unknown, run: (lock: unknown) => unknown) => {
    return new Promise((resolve) => {
      world.later(() => {
        if (world.buried.has(locks)) return;
        if (world.held.has(name)) return resolve(run(null));
        world.held.set(name, locks);
        void Promise.resolve(run({ name }))
          .then(() => world.held.get(name) === locks && world.held.delete(name))
          .then(resolve);
      });
    });
  }) as unknown as LockManager["request"];
  const locks = { request };
  return { locks, openChannel: (name) => new FakeChannel(world, name, locks) };
}

async function fakeFetch(world: World, url: string, init: RequestInit = {}): Promise<Response> {
  const { gateway } = world;
  await new Promise<void>((resolve, reject) => {
    world.later(resolve);
    init.signal?.addEventListener("abort", () => reject(new Error("aborted")));
  });
  if (gateway.restStatus !== undefined)
    return Response.json(
      { error: { type: "error", code: codeOf(gateway.restStatus), message: "so it is" } },
      { status: gateway.restStatus },
    );
  const { pathname, searchParams } = new URL(url);
  const name = pathname.split("/v1/ml-personalization/")[1]!.split("/")[0]!;
  if (name === "pushes") {
    gateway.polls.push(searchParams.toString());
    const offset = searchParams.get("offset");
    if (offset === null) return Response.json({ frames: [gateway.greet()] });
    const frames = gateway.log.filter((frame) => (frame["offset"] as number) > Number(offset));
    if (!frames.length)
      await new Promise<void>((resolve, reject) => {
        const held = world.later(resolve, 25_000);
        init.signal?.addEventListener("abort", () => {
          world.clear(held);
          reject(new Error("aborted"));
        });
      });
    return Response.json({ frames });
  }
  const types = { interaction: "interaction_batch", chat: "chat_message", feedback: "feedback" };
  const message = { ...JSON.parse(String(init.body)), type: types[name as keyof typeof types] };
  const answer = gateway.answer(message as Message);
  if (typeof answer === "string") throw new TypeError("network");
  const { type, ...rest } = answer;
  return type === "ack"
    ? Response.json(rest, { status: 202 })
    : Response.json({ error: answer }, { status: 422 });
}

const CODES: Readonly<Record<number, string>> = {
  401: "unauthorized",
  403: "forbidden",
  429: "rate_limited",
  503: "unavailable",
};
const codeOf = (status: number): string => CODES[status] ?? "internal";

/** Tasks of the database (fake-indexeddb uses setImmediate for each) that have not run. */
let tasks = 0;
const immediately = globalThis.setImmediate;
globalThis.setImmediate = ((run: (...args: unknown[]) => void, ...args: unknown[]) => {
  tasks += 1;
  return immediately(() => {
    tasks -= 1;
    run(...args);
  });
}) as typeof setImmediate;

/** What waits for the database, or for a promise, has had its turn. */
export async function settled(): Promise<void> {
  for (let quiet = 0; quiet < 4; quiet = tasks ? 0 : quiet + 1)
    await new Promise<void>((go) => immediately(go));
}

/** A token that says when it expires, UTC milliseconds. */
export function token(expiresAt: number, name = "t"): string {
  const body = btoa(JSON.stringify({ sub: "ada", exp: Math.floor(expiresAt / 1000), name }));
  return `h.${body.replace(/=/g, "").replace(/\+/g, "-").replace(/\//g, "_")}.s`;
}
