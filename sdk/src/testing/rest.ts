/** The same messages over HTTP, the learner's profile, and polls for pushes. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { errorFrame, hello, type Bounds } from "./connection.ts";
import type { Intake, Kind, RateLimit, Submission } from "./intake.ts";
import { answer, Feed, standing, type Frame, type PushLog } from "./log.ts";
import {
  isObject,
  parse,
  read,
  readableId,
  readBatch,
  readInteraction,
  type Json,
} from "./messages.ts";
import { Refusal, STATUS, unavailable, type ErrorFrame } from "./refusal.ts";
import { type Principal } from "./tokens.ts";

/** Seconds that a poll may wait. */
const MOST_WAIT = 25;
/** Requests a minute of one learner. */
export const REQUESTS_PER_MINUTE = 100;

export interface RestParts {
  readonly bounds: Bounds;
  readonly intake: Intake;
  /** Of requests, and of messages: a poll counts as a message. */
  readonly requests: RateLimit;
  readonly messages: RateLimit;
  log(userId: string): PushLog;
  known(userId: string): PushLog | undefined;
  principal(token: string | undefined, query: URLSearchParams): Principal;
  /** Throws Refusal: this principal may not see this learner. */
  admit(principal: Principal, userId: string): void;
  /** Why one more connection of this learner cannot come in. */
  full(userId: string): Promise<string | undefined>;
  readonly polls: Set<Poll>;
}

/** A poll that waits. `end` answers it now. */
export interface Poll {
  readonly userId: string;
  readonly token: string;
  end(how: "restart" | "expired" | "cut"): void;
}

type Answer = { status: number; body: object; headers?: Record<string, string> };

export class Rest {
  readonly #parts: RestParts;

  constructor(parts: RestParts) {
    this.#parts = parts;
  }

  /** @param path below the API's prefix, still percent-encoded. */
  async serve(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: URLSearchParams,
  ): Promise<void> {
    const said: { id?: string } = {};
    let found: Answer;
    try {
      found = await this.#route(request, response, path, query, said);
    } catch (error) {
      const frame = errorFrame(error, said.id) as ErrorFrame;
      const headers: Record<string, string> = {};
      if (frame.retryAfter !== undefined)
        headers["Retry-After"] = String(Math.max(1, Math.ceil(frame.retryAfter)));
      if (frame.code === "unauthorized") headers["WWW-Authenticate"] = "Bearer";
      if (frame.code === "method_not_allowed") headers["Allow"] = frame.field ?? "";
      const { field, ...rest } = frame;
      const body = frame.code === "method_not_allowed" ? rest : frame;
      found = { status: STATUS[frame.code], body: { error: body }, headers };
    }
    if (response.destroyed) return;
    if (!request.complete) response.setHeader("Connection", "close");
    response.writeHead(found.status, { "Content-Type": "application/json", ...found.headers });
    response.end(JSON.stringify(found.body), () => {
      if (!request.complete) request.destroy();
    });
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    query: URLSearchParams,
    said: { id?: string },
  ): Promise<Answer> {
    const [, name, encoded] = /^\/(\w+)(?:\/(.*))?$/s.exec(path) ?? [];
    const sends = name === "interaction" || name === "chat" || name === "feedback";
    const reads = name === "profile" || name === "pushes";
    if ((sends && encoded !== undefined) || (reads && encoded === undefined) || !(sends || reads))
      throw new Refusal("not_found", "Not Found");
    const method = sends ? "POST" : "GET";
    if (request.method !== method)
      throw new Refusal("method_not_allowed", "Method Not Allowed", method);
    const principal = this.#parts.principal(bearer(request), query);
    if (sends) return this.#submit(name, request, principal, said);
    const userId = decoded(encoded!);
    if (name === "profile") return this.#profile(principal, userId);
    this.#parts.messages.count(principal, userId);
    this.#parts.admit(principal, userId);
    return this.#poll(response, principal, userId, readPlace(query), readWait(query));
  }

  async #submit(
    name: "interaction" | "chat" | "feedback",
    request: IncomingMessage,
    principal: Principal,
    said: { id?: string },
  ): Promise<Answer> {
    const { requests, bounds, intake } = this.#parts;
    if (!principal.acts) requests.count(principal);
    const document = await readBody(request, bounds.limits.maxMessageBytes);
    const header = request.headers["idempotency-key"] as string | undefined;
    const readable = readableId("id" in document ? document["id"] : header);
    if (readable !== undefined) said.id = readable;
    const read = readRequest(name, document);
    const id = messageId(read.message["id"], header);
    const [first] = read.good ?? [];
    const named = (read.message["userId"] ?? first?.[1].userId) as string | undefined;
    if (named === undefined && principal.acts)
      throw new Refusal("invalid_message", "for which learner?", "userId");
    const userId = named ?? principal.subject;
    if (principal.acts) requests.count(principal, userId);
    const ack = intake.submit({ ...read, id }, principal, userId);
    return { status: 202, body: ack };
  }

  #profile(principal: Principal, userId: string): Answer {
    this.#parts.requests.count(principal, userId);
    if (!principal.maySee(userId))
      throw new Refusal("forbidden", "this token may not see this learner", "userId");
    const { userState, recommendations = [] } = this.#parts.known(userId)?.latest ?? {};
    if (!userState) throw new Refusal("not_found", "nothing is known of this learner", "userId");
    const details = { source: "live" };
    return { status: 200, body: { userId, known: true, userState, recommendations, details } };
  }

  async #poll(
    response: ServerResponse,
    principal: Principal,
    userId: string,
    place: { epoch: string; offset: number } | undefined,
    wait: number,
  ): Promise<Answer> {
    const { bounds, polls } = this.#parts;
    const full = await this.#parts.full(userId);
    if (full !== undefined) throw unavailable(`${full}; poll again from the same place`);
    const headers: Record<string, string> = { "Cache-Control": "no-store" };
    const log = this.#parts.log(userId);
    if (!place)
      return { status: 200, body: { frames: [hello(log.latest, bounds.limits).body] }, headers };
    const frames = new PollFrames(bounds.maxOutboxBytes / 2);
    const feed = new Feed(log, frames);
    const expires = Math.max(0, principal.expiresAt * 1000 - Date.now());
    let timer: NodeJS.Timeout | undefined;
    let waiting: Poll | undefined;
    try {
      await new Promise<void>((go, fail) => {
        waiting = {
          userId,
          token: principal.token,
          end: (how) => {
            if (how === "restart") headers["Connection"] = "close";
            if (how === "cut") response.destroy();
            if (how === "expired") fail(new Refusal("unauthorized", "the token has expired"));
            else go();
          },
        };
        polls.add(waiting);
        response.once("close", go);
        timer = setTimeout(go, Math.min(wait * 1000, expires));
        // A state's recommendations come right behind it.
        frames.onNews = () => setImmediate(go);
        feed.resume(place.epoch, place.offset);
      });
    } finally {
      clearTimeout(timer);
      if (waiting) polls.delete(waiting);
      feed.close();
    }
    return { status: 200, body: { frames: frames.bodies }, headers };
  }
}

/** The frames of a poll's answer: no more pushes once `most` bytes are taken. */
class PollFrames {
  onNews: () => void = () => {};
  readonly #most: number;
  #frames: Frame[] = [];
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get bodies(): object[] {
    return this.#frames.map(({ body }) => body);
  }

  push(frame: Frame): void {
    if (this.room() === "no") return;
    this.#bytes += Buffer.byteLength(JSON.stringify(frame.body));
    this.#frames.push(frame);
    this.onNews();
  }

  dropPushes(): void {
    this.#frames = [];
    this.#bytes = 0;
  }

  recovered(epoch: string, offset: number): void {
    this.#frames.push(answer({ type: "resumed", recovered: true, epoch, offset }));
  }

  notRecovered(latest: Parameters<typeof standing>[1]): void {
    this.#frames.push(standing("resumed", latest, { recovered: false }));
    this.onNews();
  }

  room(): "yes" | "no" {
    return this.#bytes < this.#most ? "yes" : "no";
  }
}

/** A percent-encoded user id; what is wrongly encoded stays as it is. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The token of an Authorization header. */
export function bearer({ headers: { authorization = "" } }: IncomingMessage): string | undefined {
  return /^bearer +(.*)$/is.exec(authorization)?.[1]?.trim();
}

function readRequest(
  name: "interaction" | "chat" | "feedback",
  document: Json,
): Omit<Submission, "id"> {
  if (name === "interaction") {
    const kind: Kind = "interaction_batch";
    const single =
      !("interactions" in document) &&
      ("interactionType" in document || "interaction_type" in document);
    if (single) {
      const { userId } = readInteraction(document); // first: an error names its field alone
      document = { ...document, ...(userId && { userId }), interactions: [document] };
    }
    const { message, ...triage } = readBatch("interaction_request", document);
    return { kind, message, ...triage };
  }
  const message = read(name === "chat" ? "chat_request" : "feedback_request", document);
  if (name === "feedback") return { kind: "feedback", message };
  return { kind: "chat_message", message: { timestamp: Date.now(), ...message } };
}

function messageId(fromBody: unknown, header: string | undefined): string {
  const value = fromBody ?? header;
  if (value === undefined) return crypto.randomUUID();
  const id = readableId(value);
  if (id !== undefined) return id;
  const field = fromBody === undefined ? "Idempotency-Key" : "id";
  throw new Refusal("invalid_message", "an id has 1 to 64 characters that can be seen", field);
}

async function readBody(request: IncomingMessage, most: number): Promise<Json> {
  const [media = ""] = (request.headers["content-type"] ?? "").split(";");
  const encoding = request.headers["content-encoding"]?.trim().toLowerCase() ?? "identity";
  const json = media.trim().toLowerCase() === "application/json";
  if (!json || encoding !== "identity")
    throw new Refusal(
      "unsupported_media_type",
      "the body is application/json, not compressed",
      json ? "Content-Encoding" : "Content-Type",
    );
  const tooLarge = new Refusal("too_large", `a body has at most ${most} bytes`);
  if (Number(request.headers["content-length"] ?? 0) > most) throw tooLarge;
  const chunks: Buffer[] = [];
  let size = 0;
  // Not `for await`: to leave that would destroy the connection, and with it the answer.
  await new Promise<void>((go, fail) => {
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > most) {
        request.pause();
        fail(tooLarge);
      } else chunks.push(chunk);
    });
    request.on("end", go);
    request.on("error", fail);
  });
  let document: unknown;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
    document = parse(text);
  } catch {
    throw new Refusal("invalid_json", "not JSON in UTF-8");
  }
  if (!isObject(document)) throw new Refusal("invalid_message", "the body is a JSON object");
  return document;
}

function readPlace(query: URLSearchParams): { epoch: string; offset: number } | undefined {
  const [epoch, offset] = [query.get("epoch"), query.get("offset")];
  if (epoch === null && offset === null) return undefined;
  if (epoch === null || offset === null)
    throw new Refusal(
      "invalid_message",
      "a place has both, epoch and offset; hello has one",
      epoch === null ? "epoch" : "offset",
    );
  const number = /^\d+$/.test(offset) ? Number(offset) : offset;
  return read("resume", { type: "resume", epoch, offset: number }) as {
    epoch: string;
    offset: number;
  } & Json;
}

function readWait(query: URLSearchParams): number {
  const wait = query.get("wait");
  if (wait === null) return MOST_WAIT;
  const seconds = Number(wait);
  if (wait.trim() !== "" && seconds >= 0 && seconds <= MOST_WAIT) return seconds;
  throw new Refusal("invalid_message", `should be seconds, from 0 to ${MOST_WAIT}`, "wait");
}
