/**
 * Who is speaking? A JWT of any issuer in, a principal out.
 *
 * **No signature is checked**: whoever writes a token is whom it names. Its claims are checked as
 * the gateway checks them, but for `iss` and `aud`.
 */
import { isObject, wrongUserId, type Json } from "./messages.ts";
import { Refusal } from "./refusal.ts";

const MAX_TOKEN_LENGTH = 8_192;
/** Seconds of clock difference forgiven. */
const LEEWAY = 5;
/** Seconds from now that a token's `exp` may lie ahead. */
const MAX_LIFETIME = 31_536_000;
const ROLES = ["learner", "observer", "service", "admin"] as const;

/** Claims of a token; what you leave out gets a default of a learner with consent. */
export interface Claims {
  role?: (typeof ROLES)[number];
  consent?: boolean;
  /** Whom an observer may see. */
  learners?: readonly string[];
  /** Seconds since 1970 at which it expires; by default in an hour. */
  exp?: number;
  [claim: string]: unknown;
}

export class Principal {
  readonly subject: string;
  readonly role: (typeof ROLES)[number];
  readonly consent: unknown;
  /** Seconds since 1970, leeway included. */
  readonly expiresAt: number;
  readonly token: string;
  readonly #learners: readonly string[];

  constructor(token: string, claims: Json) {
    this.token = token;
    this.subject = claims["sub"] as string;
    this.role = (claims["role"] ?? "learner") as (typeof ROLES)[number];
    this.consent = claims["consent"];
    this.expiresAt = (claims["exp"] as number) + LEEWAY;
    this.#learners = (claims["learners"] ?? []) as string[];
  }

  /** Whether it acts for anybody: a back end, an operator. */
  get acts(): boolean {
    return this.role === "service" || this.role === "admin";
  }

  mayActAs(userId: string): boolean {
    return this.role === "learner" ? userId === this.subject : this.acts;
  }

  maySee(userId: string): boolean {
    return this.role === "observer" ? this.#learners.includes(userId) : this.mayActAs(userId);
  }
}

/** An unsigned JWT. */
export function makeToken(userId: string, claims: Claims = {}): string {
  const now = Math.floor(Date.now() / 1000);
  const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString("base64url");
  const body = { sub: userId, iat: now, exp: now + 3_600, jti: crypto.randomUUID() };
  return `${encode({ alg: "none" })}.${encode({ ...body, consent: true, ...claims })}.`;
}

/** Throws Refusal: unauthorized. */
export function verify(token: string | undefined): Principal {
  if (!token) throw refused("a token is needed");
  if (token.length > MAX_TOKEN_LENGTH) throw refused("the token is too long");
  const claims = decode(token);
  const now = Date.now() / 1000;
  for (const name of ["exp", "iat", "nbf"]) {
    const value = claims[name];
    if (value === undefined && name !== "exp") continue;
    if (typeof value !== "number" || !Number.isFinite(value))
      throw refused(`the token is not valid (invalid_claim: ${name})`);
    if (name !== "exp" && value > now + LEEWAY)
      throw refused(`the token is not valid (invalid_claim: ${name})`);
  }
  const exp = claims["exp"] as number;
  if (exp + LEEWAY <= now) throw refused("the token has expired");
  if (exp > now + MAX_LIFETIME)
    throw refused(
      "the token's `exp` is more than 365 days ahead; it is seconds since 1970, not milliseconds",
    );
  const { sub, role, learners } = claims;
  if (typeof sub !== "string" || wrongUserId(sub))
    throw refused("the token's `sub` is no usable user id");
  if (role !== undefined && !ROLES.includes(role as never))
    throw refused("the token's `role` is no role of ours");
  if (learners !== undefined && !isStrings(learners))
    throw refused("the token's `learners` is no list of user ids");
  return new Principal(token, claims);
}

/** Why the `consent` claim is none; undefined where it is consent. */
export function whyNoConsent(claim: unknown): string | undefined {
  if (claim === true) return undefined;
  if (claim === undefined || claim === null || claim === false)
    return "the token's `consent` is not true: without consent nothing is processed";
  const kind = Array.isArray(claim) ? "array" : typeof claim;
  return `the token's \`consent\` is a JSON ${kind}; only the boolean true is consent`;
}

function decode(token: string): Json {
  const parts = token.split(".");
  try {
    if (parts.length !== 3) throw new Error("not three parts");
    const [header, claims] = parts
      .slice(0, 2)
      .map((part): unknown => JSON.parse(Buffer.from(part, "base64url").toString("utf8")));
    if (!isObject(header) || !isObject(claims)) throw new Error("not two objects");
    return claims;
  } catch {
    throw refused("the token is not valid (malformed)");
  }
}

const isStrings = (value: unknown): boolean =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

const refused = (why: string): Refusal => new Refusal("unauthorized", why);
