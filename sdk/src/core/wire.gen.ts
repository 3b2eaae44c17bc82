// Generated from contracts/wire by scripts/types.mjs. Do not edit.

/**
 * How a learner may ask to be helped.
 */
export type ReplyMode = "direct" | "socratic" | "encouragement" | "worked_example";
/**
 * What went wrong, for programs.
 */
export type ErrorCode =
  | "invalid_json"
  | "invalid_message"
  | "unknown_type"
  | "unsupported_media_type"
  | "method_not_allowed"
  | "too_large"
  | "unauthorized"
  | "forbidden"
  | "consent_required"
  | "rate_limited"
  | "slow_down"
  | "unavailable"
  | "not_found"
  | "internal";
/**
 * What feedback is about.
 */
export type TargetType = "recommendation" | "intervention" | "reply";
/**
 * The 41 classes, in their fixed order (the order of every probability vector).
 */
export type Emotion =
  | "joy"
  | "sadness"
  | "anger"
  | "fear"
  | "surprise"
  | "disgust"
  | "pride"
  | "shame"
  | "guilt"
  | "gratitude"
  | "jealousy"
  | "admiration"
  | "sympathy"
  | "frustration"
  | "satisfaction"
  | "curiosity"
  | "confidence"
  | "anxiety"
  | "excitement"
  | "confusion"
  | "engagement"
  | "flow_state"
  | "cognitive_overload"
  | "breakthrough_moment"
  | "mastery"
  | "elation"
  | "affection"
  | "concentration"
  | "doubt"
  | "boredom"
  | "awe"
  | "disappointment"
  | "distress"
  | "bitterness"
  | "contempt"
  | "embarrassment"
  | "fatigue"
  | "pain"
  | "contentment"
  | "serenity"
  | "neutral";
/**
 * How strongly to step in; ordered from nothing to at once.
 */
export type Level = "none" | "preventive" | "mild" | "moderate" | "significant" | "critical";
/**
 * Fifths of the readiness scores that the training run saw, ascending.
 *
 * Of a learner of whom nothing is known (source `prior`): the middle one.
 */
export type ReadinessState = "very_low" | "low" | "moderate" | "high" | "very_high";
/**
 * Where a figure comes from.
 */
export type Source = "measured" | "derived" | "prior";
/**
 * Where valence is heading.
 */
export type Trajectory = "improving" | "declining" | "stable_positive" | "stable_neutral" | "stable_negative";
/**
 * Why a message was not read although the model worked.
 */
export type Unread = "unsupported_language" | "nothing_to_read" | "not_the_learner";
/**
 * What a reply is.
 */
export type ReplyStatus = "answered" | "superseded" | "unavailable" | "off" | "human_help";

/**
 * An interaction that was not accepted; the others of its batch were.
 */
export interface Rejected {
  /**
   * path within the interaction
   */
  field?: string;
  /**
   * where it stood in the batch as sent, from 0
   */
  index: number;
  message: string;
}
/**
 * 202: the events are in Kafka.
 */
export interface Accepted {
  duplicates: string[];
  eventIds: string[];
  id: string;
  rejected: Rejected[];
}
/**
 * The events are in Kafka, acknowledged by all in-sync replicas.
 */
export interface Ack {
  /**
   * those of event_ids that had been accepted before
   */
  duplicates: string[];
  eventIds: string[];
  id: string;
  /**
   * interactions that are not what they should be, left out
   */
  rejected: Rejected[];
  type: "ack";
}
/**
 * What the learner wrote; `id` makes a retry harmless.
 */
export interface ChatMessage {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  eventId?: string | null;
  /**
   * makes a retry harmless; without it the server makes one, and a message that is sent again is a new event
   */
  id?: string;
  /**
   * how the learner chose to be helped; absent: the tutor chooses
   */
  replyMode?: ReplyMode | null;
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  text: string;
  /**
   * UTC, milliseconds since the epoch; epoch seconds and ISO 8601 with an offset are accepted; not before March 1973
   */
  timestamp: number | string;
  type: "chat_message";
  /**
   * whether the tutor is to reply; absent: as the server is set
   */
  wantsReply?: boolean | null;
}
/**
 * Body of POST /chat.
 */
export interface ChatRequest {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  eventId?: string | null;
  /**
   * or the header Idempotency-Key
   */
  id?: string | null;
  /**
   * how the learner chose to be helped; absent: the tutor chooses
   */
  replyMode?: ReplyMode | null;
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  text: string;
  timestamp?: (number | string) | null;
  userId?: string | null;
  /**
   * whether the tutor is to reply; absent: as the server is set
   */
  wantsReply?: boolean | null;
}
/**
 * What was wrong with a message; the connection lives on.
 */
export interface Error {
  code: ErrorCode;
  field?: string;
  /**
   * the message's id, where it could be read
   */
  id?: string;
  message: string;
  /**
   * seconds
   */
  retryAfter?: number;
  type: "error";
}
/**
 * What came of a recommendation, intervention or reply.
 */
export interface Feedback {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  /**
   * makes a retry harmless; without it the server makes one, and a message that is sent again is a new event
   */
  id?: string;
  outcome: string;
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  targetId: string;
  targetType: TargetType;
  type: "feedback";
}
/**
 * Body of POST /feedback.
 */
export interface FeedbackRequest {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  /**
   * or the header Idempotency-Key
   */
  id?: string | null;
  outcome: string;
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  targetId: string;
  targetType: TargetType;
  userId?: string | null;
}
/**
 * Time-decayed sums over interactions; `interactions` itself is a plain count.
 */
export interface Activity {
  /**
   * mean where sent
   */
  attempts?: number;
  /**
   * share of answers
   */
  correct?: number;
  /**
   * mean, seconds
   */
  dwellTime?: number;
  /**
   * mean where sent
   */
  hints?: number;
  interactions: number;
  messages: number;
  /**
   * mean, seconds
   */
  responseTime?: number;
  /**
   * share of interactions
   */
  tabActive?: number;
}
/**
 * What a learner's interactions say (docs/state.md); `source` tells how far each is learned.
 */
export interface Behaviour {
  /**
   * probability that the load is above the learner's own mean
   */
  cognitiveLoad: Estimate;
  /**
   * derived from taking part and from the text
   */
  engagement: Estimate;
  /**
   * derived from time on task and slowing down
   */
  fatigue: Estimate;
  /**
   * 1 - probability of being off task
   */
  focus: Estimate;
  /**
   * probability of asking for a hint on the next exercise
   */
  helpNeed: Estimate;
  /**
   * probability that the next answer is right
   */
  nextCorrect: Estimate;
  /**
   * kinds of content by use, as the settings name them
   */
  tendencies: {
    [k: string]: Tendency;
  };
}
/**
 * A figure with how far to trust it.
 */
export interface Estimate {
  /**
   * in the evidence as it was at `updatedAt`: low with little of it. A stored state does not fade by itself: hold `updatedAt` against your clock
   */
  confidence: number;
  source: Source;
  /**
   * the figure itself
   */
  value: number;
}
/**
 * How strongly somebody should step in, as the trained net sees it now.
 *
 * An intervention itself also waits for its level's gap; see topic `interventions`.
 */
export interface InterventionNeed {
  /**
   * probability that the need is of this level or a higher one
   */
  atLeast: {
    [k: string]: number;
  };
  /**
   * which sides were known: text, behaviour
   */
  inputs: string[];
  level: Level;
}
/**
 * The bounds that this server holds a client to.
 */
export interface Limits {
  burst: number;
  /**
   * so long a retry is known without `attempt`
   */
  dedupeSeconds?: number;
  /**
   * in one batch
   */
  maxInteractions: number;
  /**
   * of one WebSocket message
   */
  maxMessageBytes: number;
  /**
   * characters of a chat message
   */
  maxTextLength: number;
  messagesPerSecond: number;
  /**
   * events that a client may have under way at a time
   */
  unacknowledged?: number;
}
/**
 * What messages said over weeks, by the longer of two half-lives (docs/state.md).
 */
export interface LongTerm {
  arousal: Estimate;
  dominance: Estimate;
  /**
   * mean share of each class, summing to at most 1
   */
  emotions: {
    [k: string]: number;
  };
  valence: Estimate;
}
/**
 * Readiness to learn: the probability of getting the next exercise right.
 *
 * `weights` explains the score: the attention that each known input got, summing to 1;
 * empty where nothing is known.
 */
export interface Readiness {
  /**
   * of the inputs, by their weights
   */
  confidence: number;
  score: number;
  source: Source;
  state: ReadinessState;
  weights: {
    [k: string]: number;
  };
}
/**
 * One adaptive-UI suggestion.
 */
export interface Recommendation {
  action: string;
  /**
   * the facts of the state that led to it
   */
  because: string[];
  confidence: number;
  id: string;
  parameters: {
    [k: string]: unknown;
  };
  /**
   * names the catalogue, what was learned, and the settings
   */
  policyVersion?: string;
  /**
   * exact probability with which it was to be among those shown
   */
  propensity?: number;
  /**
   * the catalogue's entry: the action with these parameters
   */
  variant?: string;
}
/**
 * How much of what a learner used was of one kind: a share of use, not a type of person.
 */
export interface Tendency {
  /**
   * interactions with it, ever
   */
  count: number;
  /**
   * time-decayed over weeks; all kinds sum to 1
   */
  share: number;
}
/**
 * The trend of valence; `call` is absent while there are too few points.
 */
export interface TrajectoryCall {
  call?: Trajectory;
  points: number;
  /**
   * change of valence per minute
   */
  slope?: number;
  /**
   * its standard error
   */
  slopeError?: number;
}
/**
 * The state of one learner after one update.
 *
 * `version` grows by one with each applied record of this learner; a reader
 * keeps the highest. `emotions` is the time-decayed mix of readings, summing to
 * at most 1. A class that it does not name has a share below `learner.least_emotion`, or
 * the model does not know it: the profile's `details.classes` tells. Figures have 4 decimals.
 */
export interface UserState {
  activity: Activity;
  arousal: Estimate;
  /**
   * absent in states from before it was estimated
   */
  behaviour?: Behaviour;
  /**
   * ids of the client's events that led to this record
   */
  causedBy: string[];
  dominance: Estimate;
  /**
   * time-decayed share of this class in the readings
   */
  emotions: {
    [k: string]: number;
  };
  /**
   * names the event; a repetition has the same one
   */
  eventId: string;
  /**
   * when it happened, by the sender's clock; UTC, milliseconds since the epoch
   */
  eventTime: number;
  /**
   * when masterx received it; UTC, milliseconds since the epoch
   */
  ingestTime: number;
  /**
   * absent without its net, or where none of its inputs is known
   */
  intervention?: InterventionNeed;
  /**
   * absent in `user_state_update`: `hello`, `resumed` and the profile have it
   */
  longTerm?: LongTerm;
  /**
   * why the last message was not read; absent where it was, or the model was down
   */
  modelReason?: Unread;
  /**
   * ok, or unavailable: the last message was not read and is not in the state; simulated: the SDK's testing gateway made the state up, of nobody
   */
  modelStatus: string;
  /**
   * absent without its net
   */
  readiness?: Readiness;
  /**
   * major version of the message
   */
  schemaVersion: 1;
  /**
   * offset of that record
   */
  sourceOffset: number;
  /**
   * partition of that record
   */
  sourcePartition: number;
  /**
   * topic of the record it was computed from
   */
  sourceTopic: string;
  trajectory: TrajectoryCall;
  /**
   * newest receipt among its events; UTC, milliseconds since the epoch
   */
  updatedAt: number;
  /**
   * the learner
   */
  userId: string;
  valence: Estimate;
  /**
   * grows by one with each applied record of this learner
   */
  version: number;
}
/**
 * First message on a connection; `user_state` is absent for a learner we know nothing of.
 */
export interface Hello {
  epoch: string;
  limits: Limits;
  offset: number;
  recommendations?: Recommendation[];
  /**
   * when it was sent
   */
  serverTime?: number;
  type: "hello";
  userState?: UserState;
}
/**
 * Around the interaction.
 */
export interface ContextData {
  /**
   * milliseconds since the session began
   */
  sessionDuration?: number | null;
  tabActive?: boolean | null;
}
/**
 * One thing that a learner did.
 */
export interface Interaction {
  contextData?: ContextData | null;
  elementId?: string | null;
  eventId?: string | null;
  interactionType: string;
  taskData?: TaskData | null;
  /**
   * UTC, milliseconds since the epoch; epoch seconds and ISO 8601 with an offset are accepted; not before March 1973
   */
  timestamp: number | string;
  timingData?: TimingData | null;
  userId?: string | null;
  viewportData?: ViewportData | null;
}
/**
 * An exercise that is finished, when the page knows it: once for each.
 */
export interface TaskData {
  /**
   * all tries that it took
   */
  attemptCount?: number | null;
  /**
   * whether the first try was right
   */
  correct?: boolean | null;
  /**
   * hints that were used
   */
  hintCount?: number | null;
  /**
   * hints on offer
   */
  hintTotal?: number | null;
  problemId?: string | null;
  skill?: string | null;
}
/**
 * How long it took, in seconds.
 */
export interface TimingData {
  dwellTime?: number | null;
  responseTime?: number | null;
}
/**
 * What the screen showed.
 */
export interface ViewportData {
  deviceType?: string | null;
  /**
   * pixels
   */
  scrollDistance?: number | null;
}
/**
 * A batch of interactions; `id` makes a retry harmless.
 */
export interface InteractionBatch {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  /**
   * makes a retry harmless; without it the server makes one, and a message that is sent again is a new event
   */
  id?: string;
  interactions: Interaction[];
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  type: "interaction_batch";
}
/**
 * Body of POST /interaction; a single interaction or a batch, for a service or a learner.
 */
export interface InteractionRequest {
  /**
   * 1 when it is sent for the first time, 2 for the second, and so on: from 2 on the server also looks among events that it accepted long ago
   */
  attempt?: number | null;
  /**
   * or the header Idempotency-Key
   */
  id?: string | null;
  interactions: Interaction[];
  /**
   * when the client sent it, by the clock that gave the other times: what that clock is off by is taken into account
   */
  sentAt?: (number | string) | null;
  userId?: string | null;
}
/**
 * A reason to step in; never conflated.
 */
export interface Intervention {
  because: string[];
  causedBy: string[];
  confidence: number;
  epoch: string;
  id: string;
  level: Level;
  offset: number;
  /**
   * UTC, milliseconds since the epoch
   */
  raisedAt: number;
  type: "intervention";
}
/**
 * Are you there?
 */
export interface Ping {
  id?: string | null;
  type: "ping";
}
/**
 * Answer to ping.
 */
export interface Pong {
  id?: string;
  /**
   * when it was sent
   */
  serverTime?: number;
  type: "pong";
}
/**
 * Body of every REST error.
 */
export interface Problem {
  error: Error;
}
/**
 * What is known of a learner, and where it comes from.
 */
export interface Profile {
  /**
   * `source`: live or history. `classes`: those that the emotion model knows; one that the state does not name has a share below the setting `learner.least_emotion`
   */
  details: {
    [k: string]: unknown;
  };
  known: boolean;
  recommendations: Recommendation[];
  userId: string;
  userState?: UserState;
}
/**
 * Seconds from the worker's asking.
 */
export interface Latency {
  firstText: number;
  total: number;
}
/**
 * A frame of a type that only a newer release knows. It has a place, too.
 */
export interface LaterFrame {
  epoch: string;
  offset: number;
  type: string;
}
/**
 * The suggestions that hold now, possibly none; follows every state update.
 */
export interface Recommendations {
  causedBy: string[];
  epoch: string;
  offset: number;
  recommendations: Recommendation[];
  type: "recommendations";
}
/**
 * Answer to resume: with `recovered` true the missed pushes follow, in order.
 *
 * With false they are no longer known: `user_state` is where things stand.
 */
export interface Resumed {
  epoch: string;
  offset: number;
  recommendations?: Recommendation[];
  recovered: boolean;
  type: "resumed";
  userState?: UserState;
}
/**
 * What the attempt used whose words these are.
 *
 * Attempts that broke off or lost a race, and a summary, are paid as well: the metrics
 * `masterx_tutor_tokens_total` and `masterx_tutor_cost_dollars_total` hold them all.
 */
export interface TokenUsage {
  inputTokens: number;
  /**
   * cost in millionths of a dollar
   */
  micros: number;
  outputTokens: number;
  /**
   * by the provider; else estimated from the text
   */
  reported: boolean;
}
/**
 * A piece of a reply that is being written.
 *
 * `attempt` grows by one when the reply begins anew: what came of earlier ones is void.
 * `index` counts the pieces of an attempt from 0. Not sent to a slow client, so that one
 * may be missing: the reply that follows holds the whole text.
 */
export interface TutorDelta {
  attempt: number;
  causedBy: string[];
  epoch: string;
  index: number;
  offset: number;
  replyId: string;
  text: string;
  type: "tutor_delta";
}
/**
 * What became of a reply; never conflated. With `final`, nothing of this reply id follows.
 */
export interface TutorReply {
  /**
   * whose pieces the text is made of; 0: of none
   */
  attempt: number;
  /**
   * why this mode, or why no answer
   */
  because: string[];
  causedBy: string[];
  /**
   * ended at the limit of its length, or in a way that masterx does not know
   */
  cutShort: boolean;
  epoch: string;
  /**
   * true exactly once for each reply id: nothing follows
   */
  final: boolean;
  latency?: Latency;
  /**
   * direct, socratic, ... (docs/tutor.md)
   */
  mode?: string;
  model?: string;
  offset: number;
  promptVersion?: string;
  provider?: string;
  replyId: string;
  /**
   * with `unavailable`, not final
   */
  retryUntil?: number;
  status: ReplyStatus;
  /**
   * the whole reply
   */
  text: string;
  type: "tutor_reply";
  usage?: TokenUsage;
}
/**
 * The state changed. Conflated for a slow client: the latest wins, `caused_by` is the union.
 */
export interface UserStateUpdate {
  causedBy: string[];
  epoch: string;
  offset: number;
  type: "user_state_update";
  userState: UserState;
}
/**
 * Answer of GET /pushes: the frames that a WebSocket would bring, in order.
 *
 * The last frame's `epoch` and `offset` are the place to poll from next.
 */
export interface Pushes {
  frames: (Hello | Resumed | UserStateUpdate | Recommendations | Intervention | TutorDelta | TutorReply | LaterFrame)[];
}
/**
 * This gateway ends, and closes the connection (1012) behind this message.
 */
export interface Restarting {
  /**
   * seconds to wait, another number for each connection
   */
  reconnectAfter: number;
  type: "restarting";
}
/**
 * Ask for every push after (epoch, offset).
 */
export interface Resume {
  epoch: string;
  offset: number;
  type: "resume";
}
