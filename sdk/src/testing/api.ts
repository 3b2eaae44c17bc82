/** What `@masterx/sdk/testing` offers: the types, without anything of Node's. */
import type { ErrorCode, Level, Limits, Recommendation, ReplyStatus } from "../core/wire.gen.ts";
import type { PushKind } from "./log.ts";
import type { Accepted } from "./intake.ts";
import type { Claims } from "./tokens.ts";

export interface GatewayOptions {
  /** 0, the default: any free one. */
  port?: number;
  /** 127.0.0.1 by default. */
  host?: string;
  /** Beside those of this machine, which may always connect. */
  allowedOrigins?: readonly string[];
  /** Whether learners react to what your page sends; true by default. */
  simulate?: boolean;
  /** Milliseconds until a learner's state follows an event; 50 by default. */
  reactAfter?: number;
  /** Milliseconds between the pieces of a tutor's reply; 30 by default. */
  pace?: number;
  /** Other bounds than the gateway's own. */
  limits?: Partial<Limits>;
  /** Connections of one learner, polls that wait among them; 20 by default. */
  maxConnectionsPerUser?: number;
  /** Unsent bytes at which a slow client is closed (4408); 1,000,000 by default. */
  maxOutboxBytes?: number;
  /** Milliseconds between WebSocket pings; 20,000 by default. */
  pingInterval?: number;
  /** Seconds over which clients are asked to come back after `restart`; 5 by default. */
  reconnectSpread?: number;
  /** What else to serve, by path: your page, for example. */
  files?: Readonly<Record<string, { contentType: string; body: string | Uint8Array }>>;
}

/** Figures that you set, each in [0, 1]. */
export type FigureName =
  | "valence"
  | "arousal"
  | "dominance"
  | "focus"
  | "cognitiveLoad"
  | "engagement"
  | "fatigue"
  | "helpNeed"
  | "nextCorrect";

export interface ReplyOptions {
  text?: string;
  /** How often the reply begins anew: what was shown of an earlier attempt is void. */
  attempts?: number;
  /** `answered` by default. One that is not answered brings no pieces. */
  status?: Exclude<ReplyStatus, "superseded">;
  mode?: string;
  /** Ids of the events that it answers; by default the learner's last chat message. */
  causedBy?: readonly string[];
}

/** One learner, whom nobody measures. */
export interface SimulatedLearner {
  readonly userId: string;
  /** Sockets and polls that are open now. */
  readonly connections: number;
  /** Push a state with these figures, and the recommendations that hold. */
  setState(figures: Partial<Record<FigureName, number>>): void;
  /** Push these recommendations, behind the state. What you leave out is filled in. */
  recommend(...recommendations: (Partial<Recommendation> & { action: string })[]): void;
  /** @returns the intervention's id. */
  intervene(options?: { level?: Level; confidence?: number; because?: string[] }): string;
  /** Push a tutor's reply, piece by piece. Resolves with its id once it is whole. */
  reply(options?: ReplyOptions): Promise<string>;
  /** Push a body as it is. Returns its offset. */
  push(kind: PushKind, body: object, causedBy?: readonly string[]): number;
  /** The tokens in use expire now: 4401, and 401 for them from here on. */
  expireToken(): void;
  /** The network fails: sockets and polls end with no close frame. */
  cut(): void;
  /** The push log is lost: who resumes is told `recovered: false`. */
  loseLog(): void;
}

export interface TestGateway {
  /** Such as `http://127.0.0.1:4711`, for `createClient`. */
  readonly url: string;
  readonly port: number;
  /** The events that were accepted, each once, oldest first; the last 10,000. */
  readonly accepted: readonly Accepted[];
  /** An unsigned token, of a learner with consent unless the claims say otherwise. */
  token(userId: string, claims?: Claims): string;
  learner(userId: string): SimulatedLearner;
  /** The next messages that could be accepted are refused with this code. */
  failNext(code: ErrorCode, options?: { times?: number; retryAfter?: number }): void;
  /** Tell every client to come back (`restarting`, 1012), as a gateway does that ends. */
  restart(): void;
  close(): Promise<void>;
}
