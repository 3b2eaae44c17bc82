/**
 * The life of a connection as a state machine: pure, so that a test can walk all of it.
 *
 *     off -> connecting -> live -> waiting -> connecting ...
 *                    \-> polling (REST; a WebSocket is tried every minute) -> live
 *     any -> stopped (a token that is refused, a learner that may not be seen)
 */
import { LONGEST_WAIT, backoff, GOOD_UPTIME } from "./backoff.ts";
import type { ProblemCode } from "./problems.ts";

export type Phase = "off" | "connecting" | "live" | "waiting" | "polling" | "stopped";

/** What follows a close code. */
export interface Reaction {
  /** retry: after the backoff. slow: after its longest wait. stop: not again. */
  readonly then: "retry" | "slow" | "stop";
  /** The token is to blame. */
  readonly token?: true;
  /** Messages have to become smaller. */
  readonly smaller?: true;
  readonly problem?: ProblemCode;
}

/** Close code of a token that may not see this learner. */
export const FORBIDDEN = 4403;
/** docs/wire.md, "Close codes". */
export const CLOSE_REACTIONS: Readonly<Record<number, Reaction>> = {
  4401: { then: "retry", token: true },
  [FORBIDDEN]: { then: "stop", problem: "forbidden" },
  4408: { then: "retry" },
  4503: { then: "retry" },
  1012: { then: "retry" },
  1009: { then: "retry", smaller: true },
  1011: { then: "retry" },
  1002: { then: "slow", problem: "protocol" },
  1007: { then: "slow", problem: "protocol" },
};
const CUT: Reaction = { then: "retry" };
export const reaction = (code: number): Reaction => CLOSE_REACTIONS[code] ?? CUT;

/** WebSockets that were cut or refused before `hello`, one after another, until REST is used. */
export const UPGRADES = 3;
/** Fresh tokens that are refused, one after another, until no more are asked for. */
export const FRESH_TOKENS = 2;
/** Milliseconds between tries of a WebSocket while REST is used. */
export const PROBE_EVERY = 60_000;
/** The longest wait that a server may ask for, milliseconds. */
export const LONGEST_RESTART = 60_000;

export interface State {
  readonly phase: Phase;
  /** Tries that failed one after another. */
  readonly failures: number;
  /** WebSockets that were cut or refused before `hello`, one after another. */
  readonly refused: number;
  /** Fresh tokens that were refused, one after another. */
  readonly rejected: number;
  /** A WebSocket is being tried while REST is used. */
  readonly probing: boolean;
}

export const OFF: State = { phase: "off", failures: 0, refused: 0, rejected: 0, probing: false };

export type Event =
  | { type: "start"; sockets: boolean }
  | { type: "stop" }
  /** The wait is over. */
  | { type: "due" }
  /** The page is back, or online: try at once. */
  | { type: "nudge" }
  | { type: "hello" }
  | { type: "no_token" }
  /** It closed while its successor, with a newer token, was being opened. */
  | { type: "replaced" }
  /** REST answered 401. */
  | { type: "unauthorized"; proven: boolean }
  | {
      type: "closed";
      code: number;
      /** `hello` had come. */
      greeted: boolean;
      /** Milliseconds since `hello`. */
      uptime: number;
      /** The token had been accepted before. */
      proven: boolean;
      /** Milliseconds to wait, where the server said so. */
      after?: number | undefined;
    };

export interface Step {
  readonly state: State;
  /** Open a WebSocket, with the token that is there or with a new one. */
  readonly connect?: "cached" | "fresh";
  /** Say `due` after so many milliseconds. */
  readonly wait?: number;
  readonly problem?: ProblemCode;
}

/** What an event makes of a state. @param share random, in [0, 1) */
export function step(state: State, event: Event, share: number): Step {
  if (event.type === "stop") return { state: OFF };
  if (event.type === "start") {
    if (state.phase !== "off") return { state };
    if (!event.sockets) return { state: { ...OFF, phase: "polling" } };
    return { state: { ...OFF, phase: "connecting" }, connect: "cached" };
  }
  if (state.phase === "off" || state.phase === "stopped") return { state };
  switch (event.type) {
    case "due":
    case "nudge":
      if (state.phase === "waiting")
        return { state: { ...state, phase: "connecting" }, connect: "cached" };
      if (state.phase === "polling" && !state.probing && state.refused >= UPGRADES)
        return { state: { ...state, probing: true }, connect: "cached" };
      return { state };
    case "hello":
      return { state: { ...state, phase: "live", refused: 0, rejected: 0, probing: false } };
    case "replaced":
      return { state: { ...state, phase: "connecting" } };
    case "no_token":
      return again(
        state,
        { ...state, failures: state.failures + 1, probing: false },
        share,
        undefined,
      );
    case "unauthorized":
      return refusedToken(state, event.proven, share);
    case "closed":
      return closed(state, event, share);
  }
}

function closed(state: State, event: Event & { type: "closed" }, share: number): Step {
  const { then, token, problem } = reaction(event.code);
  if (then === "stop")
    return { state: { ...state, phase: "stopped", probing: false }, ...(problem && { problem }) };
  const good = event.greeted && event.uptime >= GOOD_UPTIME;
  const spoke = event.greeted || event.code >= 4000; // then WebSockets do get through
  const next: State = {
    ...state,
    probing: false,
    failures: good ? 1 : state.failures + 1,
    refused: spoke ? 0 : state.refused + 1,
  };
  if (token) return refusedToken(next, event.proven, share);
  const told = event.after === undefined ? undefined : Math.min(event.after, LONGEST_RESTART);
  const wait = then === "slow" ? LONGEST_WAIT : told;
  return { ...again(state, next, share, wait), ...(problem && { problem }) };
}

/** A token that had been accepted has expired; one that never was is wrong. */
function refusedToken(state: State, proven: boolean, share: number): Step {
  const rejected = proven ? 0 : state.rejected + 1;
  if (rejected >= FRESH_TOKENS)
    return { state: { ...state, phase: "stopped", rejected, probing: false }, problem: "token" };
  const next = { ...state, rejected };
  if (proven && state.failures <= 1 && state.phase !== "polling")
    return { state: { ...next, phase: "connecting" }, connect: "fresh" };
  return again(state, next, share, undefined);
}

/** Wait and try again; by REST where WebSockets do not get through. */
function again(before: State, next: State, share: number, wait: number | undefined): Step {
  if (before.phase === "polling" || next.refused >= UPGRADES) {
    const polling: State = { ...next, phase: "polling" };
    return polling.probing ? { state: polling } : { state: polling, wait: PROBE_EVERY };
  }
  const state: State = { ...next, phase: "waiting", probing: false };
  return { state, wait: wait ?? backoff(next.failures, share) };
}
