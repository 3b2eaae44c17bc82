/**
 * `@masterx/sdk/testing`: a gateway for your own tests, in Node 20 or newer. It speaks the wire of
 * docs/wire.md and forgets everything when it ends. Its learners are simulated, and say so.
 */
export { startGateway } from "./gateway.ts";
export { makeToken } from "./tokens.ts";
export type {
  FigureName,
  GatewayOptions,
  ReplyOptions,
  SimulatedLearner,
  TestGateway,
} from "./api.ts";
export type { Claims } from "./tokens.ts";
export type { Accepted } from "./intake.ts";
export type { PushKind } from "./log.ts";
