/** One open WebSocket: what comes in is answered, what the learner's log gains goes out. */
import type { RawData, WebSocket } from "ws";
import type { Limits } from "../core/wire.gen.ts";
import type { Intake, Kind, Submission } from "./intake.ts";
import type { RateLimit } from "./intake.ts";
import {
  answer,
  Feed,
  LATEST_WINS,
  standing,
  type Frame,
  type Latest,
  type PushLog,
} from "./log.ts";
import { isObject, parse, read, readableId, readBatch, type Json } from "./messages.ts";
import { NO_ANSWER, Refusal, RESTART, TOO_SLOW, UNAUTHORIZED } from "./refusal.ts";
import type { Principal } from "./tokens.ts";

/** Milliseconds after `hello` in which a client's `resume` comes before any push. */
const RESUME_WINDOW = 500;
/** Milliseconds in which a client may answer a close frame. */
const CLOSE_GRACE = 3_000;
/** A timer takes no longer time than this. */
const LONGEST_TIMER = 2 ** 31 - 1;

export interface Bounds {
  readonly limits: Limits;
  /** Unsent bytes at which a slow client is closed. */
  readonly maxOutboxBytes: number;
  /** Milliseconds between WebSocket pings. */
  readonly pingInterval: number;
}

export const hello = (latest: Latest, limits: Limits): Frame =>
  standing("hello", latest, { limits, serverTime: Date.now() });

export class Connection {
  readonly principal: Principal;
  readonly userId: string;
  readonly #socket: WebSocket;
  readonly #bounds: Bounds;
  readonly #intake: Intake;
  readonly #rate: RateLimit;
  readonly #feed: Feed;
  #unsent: { frame: Frame; size: number }[] = [];
  #bytes = 0;
  #sending = false;
  #closed = false;
  #heardAt = performance.now();

  constructor(
    socket: WebSocket,
    principal: Principal,
    userId: string,
    log: PushLog,
    parts: { bounds: Bounds; intake: Intake; rate: RateLimit },
  ) {
    this.principal = principal;
    this.userId = userId;
    this.#socket = socket;
    ({ bounds: this.#bounds, intake: this.#intake, rate: this.#rate } = parts);
    this.#feed = new Feed(log, {
      push: (frame) => this.#queue(frame),
      dropPushes: () => this.#dropPushes(),
      recovered: (epoch, offset) =>
        this.#queue(answer({ type: "resumed", recovered: true, epoch, offset })),
      notRecovered: (latest) => this.#queue(standing("resumed", latest, { recovered: false })),
      room: () => (this.#bytes > this.#bounds.maxOutboxBytes / 16 ? "later" : "yes"),
    });
    this.#queue(hello(log.latest, this.#bounds.limits));
    const expires = Math.max(0, principal.expiresAt * 1000 - Date.now());
    const timers = [
      setTimeout(() => this.#feed.open(), RESUME_WINDOW),
      setTimeout(
        () => this.close(UNAUTHORIZED, "the token has expired"),
        Math.min(expires, LONGEST_TIMER),
      ),
    ];
    const pings = setInterval(() => {
      void this.silent(this.#bounds.pingInterval).then((silent) => {
        if (silent) this.close(NO_ANSWER, "no answer to a ping");
      });
    }, this.#bounds.pingInterval);
    const alive = (): void => void (this.#heardAt = performance.now());
    socket.on("pong", alive);
    socket.on("ping", alive);
    socket.on("message", (data, binary) => {
      alive();
      this.#take(data, binary);
    });
    socket.on("error", () => {}); // ws closes it, with the code that fits
    socket.on("close", () => {
      this.#closed = true;
      timers.forEach(clearTimeout);
      clearInterval(pings);
      this.#feed.close();
      this.#unsent = [];
    });
  }

  close(code: number, reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#feed.close();
    closeSocket(this.#socket, code, reason);
  }

  /** The network fails: no close frame. */
  cut(): void {
    this.#socket.terminate();
  }

  /** Say that this gateway ends, and close behind it. */
  restart(reconnectAfter: number): void {
    if (this.#closed) return;
    // The first of them is on its way; what is owed goes out before the close frame.
    const owed = this.#unsent.slice(1).map(({ frame }) => frame.body);
    for (const body of [...owed, { type: "restarting", reconnectAfter }])
      this.#socket.send(JSON.stringify(body));
    this.#unsent = [];
    this.close(RESTART, "the server restarts");
  }

  /** Whether a ping is not answered within so many milliseconds. */
  async silent(within: number): Promise<boolean> {
    const asked = performance.now();
    this.#socket.ping();
    while (performance.now() - asked < within && this.#heardAt < asked && !this.#closed)
      await new Promise((go) => setTimeout(go, Math.min(20, within)).unref());
    return this.#heardAt < asked && !this.#closed;
  }

  // -- in ------------------------------------------------------------------------------------

  #take(data: RawData, binary: boolean): void {
    const raw = data as Buffer;
    let id: string | undefined;
    try {
      let found: unknown;
      try {
        found = binary && !isUtf8(raw) ? undefined : parse(raw.toString("utf8"));
      } catch {
        found = undefined;
      }
      if (isObject(found)) id = readableId(found["id"]);
      this.#rate.count(this.principal, this.userId);
      this.#answer(found, raw.length);
    } catch (error) {
      this.#queue(answer(errorFrame(error, id)));
    }
    // The client had its chance to resume first.
    this.#feed.open();
  }

  #answer(found: unknown, size: number): void {
    const { maxMessageBytes } = this.#bounds.limits;
    if (size > maxMessageBytes)
      throw new Refusal(
        "too_large",
        `a message has at most ${maxMessageBytes} bytes; send smaller batches`,
      );
    if (found === undefined) throw new Refusal("invalid_json", "not JSON in UTF-8");
    if (!isObject(found)) throw new Refusal("invalid_message", "a message is a JSON object");
    const type = found["type"];
    if (type === "resume") {
      const { epoch, offset } = read("resume", found);
      this.#feed.resume(epoch as string, offset as number);
    } else if (type === "ping") {
      const ping = read("ping", found);
      const said = ping["id"] === undefined ? {} : { id: ping["id"] };
      this.#queue(answer({ type: "pong", ...said, serverTime: Date.now() }));
    } else {
      const sent = readSubmission(type, found);
      const ack = this.#intake.submit(sent, this.principal, this.userId);
      this.#queue(answer({ type: "ack", ...ack }));
    }
  }

  // -- out -----------------------------------------------------------------------------------

  #queue(frame: Frame): void {
    if (this.#closed) return;
    const { maxOutboxBytes } = this.#bounds;
    const slow = this.#bytes > maxOutboxBytes / 8;
    if (slow && frame.kind === "tutor_delta") return;
    if (slow && frame.kind && LATEST_WINS.includes(frame.kind)) frame = this.#conflated(frame);
    const size = Buffer.byteLength(JSON.stringify(frame.body));
    if (this.#unsent.length && this.#bytes + size > maxOutboxBytes)
      return this.close(TOO_SLOW, "too slow to take what it is sent");
    this.#unsent.push({ frame, size });
    this.#bytes += size;
    if (!this.#sending) this.#send();
  }

  /** A newer state takes the place of all unsent ones, with the union of their causes. */
  #conflated(frame: Frame): Frame {
    const older = this.#unsent.slice(1).filter(({ frame: { kind } }) => kind === frame.kind);
    if (!older.length) return frame;
    this.#unsent = this.#unsent.filter((one) => !older.includes(one));
    for (const { size } of older) this.#bytes -= size;
    const inherited = older.flatMap((one) => one.frame.causedBy);
    const causedBy = [...new Set([...inherited, ...frame.causedBy])];
    return { ...frame, causedBy, body: { ...frame.body, causedBy } };
  }

  /** One at a time, so that what the client does not take can still be conflated. */
  #send(): void {
    const next = this.#unsent[0];
    this.#sending = next !== undefined;
    if (!next) return;
    this.#socket.send(JSON.stringify(next.frame.body), (error) => {
      if (this.#unsent[0] === next) this.#unsent.shift();
      this.#bytes -= next.size;
      if (error) this.#sending = false;
      else {
        this.#feed.goOn();
        this.#send();
      }
    });
  }

  #dropPushes(): void {
    const kept = this.#unsent.filter(({ frame }, at) => at === 0 || !frame.offset);
    this.#bytes = kept.reduce((sum, { size }) => sum + size, 0);
    this.#unsent = kept;
  }
}

/** Close, and cut who does not answer. */
export function closeSocket(socket: WebSocket, code: number, reason: string): void {
  socket.close(code, reason.slice(0, 120));
  const cut = setTimeout(() => socket.terminate(), CLOSE_GRACE);
  socket.once("close", () => clearTimeout(cut));
}

/** A message with effects. Throws Refusal. */
function readSubmission(type: unknown, document: Json): Submission {
  const known = "should be one of interaction_batch, chat_message, feedback, resume, ping";
  if (typeof type !== "string") throw new Refusal("invalid_message", known, "type");
  if (type !== "interaction_batch" && type !== "chat_message" && type !== "feedback")
    throw new Refusal("unknown_type", known, "type");
  if (type === "interaction_batch") {
    const { message, ...triage } = readBatch(type, document);
    return { kind: type, id: idOf(message), message, ...triage };
  }
  const message = read(type, document);
  return { kind: type satisfies Kind, id: idOf(message), message };
}

const idOf = (message: Json): string =>
  (message["id"] as string | undefined) ?? crypto.randomUUID();

export function errorFrame(error: unknown, id: string | undefined): object {
  if (error instanceof Refusal) return error.frame(id);
  console.error("@masterx/sdk/testing:", error);
  return new Refusal("internal", "the testing gateway failed; try again with the same id").frame(
    id,
  );
}

function isUtf8(data: Buffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(data);
    return true;
  } catch {
    return false;
  }
}
