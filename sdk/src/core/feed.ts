/** What masterx says of a learner: followed by a learner's own page, or by an observer's. */
import { Clock } from "./clock.ts";
import { type Environment, browser } from "./environment.ts";
import { type ConnectionStatus, Link } from "./link.ts";
import type { Frame } from "./socket.ts";
import { type Observable, Source } from "./observable.ts";
import { Problems, type Problem } from "./problems.ts";
import { type Left, type Place, Pushes } from "./pushes.ts";
import { Replies, type ReplyText } from "./replies.ts";
import { type GetToken, Tokens } from "./tokens.ts";
import type {
  Hello,
  Intervention,
  Recommendation,
  Resumed,
  TutorDelta,
  TutorReply,
  UserState,
} from "./wire.gen.ts";

export interface FeedOptions {
  /** Of the gateway, for example `https://masterx.example`. */
  readonly url: string;
  readonly userId: string;
  readonly getToken: GetToken;
  /** What the SDK needs of its surroundings; by default the browser's. */
  readonly environment?: Environment;
}

/** What can be followed. */
export interface Followed {
  /** Undefined until masterx knows something of the learner. Look at each figure's `source`. */
  readonly userState: Observable<UserState | undefined>;
  readonly recommendations: Observable<readonly Recommendation[]>;
  /** The newest last; the last 50. */
  readonly interventions: Observable<readonly Intervention[]>;
  /** Also those that nobody asked for. The newest last; the last 50. */
  readonly replies: Observable<readonly ReplyText[]>;
  readonly connection: Observable<ConnectionStatus>;
  /** The newest last; the last 50. */
  readonly problems: Observable<readonly Problem[]>;
}

export interface Feed extends Followed {
  close(): void;
}

/** What a sender hears of the line. */
export interface LineEvents {
  live(token: string): void;
  down(via: number): void;
  smaller(): void;
  hello(hello: Hello): void;
  answer(frame: Frame): void;
  reply(reply: ReplyText): void;
  /** The pushes up to here have been applied. */
  applied(place: Place): void;
}

export const KEPT_INTERVENTIONS = 50;

/** The line, and what comes by it. */
export class Following implements Followed {
  readonly userState: Source<UserState | undefined>;
  readonly recommendations: Source<readonly Recommendation[]>;
  readonly interventions: Source<readonly Intervention[]>;
  readonly replies: Source<readonly ReplyText[]>;
  readonly connection: Source<ConnectionStatus>;
  readonly problems: Problems;
  readonly clock: Clock;
  readonly tokens: Tokens;
  readonly link: Link;
  readonly #env: Environment;
  readonly #pushes = new Pushes();
  readonly #threads = new Replies();
  readonly #line: LineEvents | undefined;
  /** What `hello` said of the server's clock, and when, by `elapsed`. */
  #told: { time: number; at: number } | undefined;
  #pinged: { id: string; sent: number } | undefined;

  constructor(options: FeedOptions, line?: LineEvents) {
    const env = (this.#env = options.environment ?? browser());
    const complain = (error: unknown): void => env.complain(error);
    this.#line = line;
    this.userState = new Source<UserState | undefined>(undefined, complain);
    this.recommendations = new Source<readonly Recommendation[]>([], complain);
    this.interventions = new Source<readonly Intervention[]>([], complain);
    this.replies = new Source<readonly ReplyText[]>([], complain);
    this.problems = new Problems(env);
    this.clock = new Clock(env);
    this.tokens = new Tokens(env, options.getToken);
    this.link = new Link({
      env,
      url: options.url,
      userId: options.userId,
      tokens: this.tokens,
      clock: this.clock,
      problems: this.problems,
      events: {
        frame: (frame, via) => this.#frame(frame, via),
        live: (token) => line?.live(token),
        down: (via) => line?.down(via),
        smaller: () => line?.smaller(),
        place: () => {
          this.#pushes.polled();
          return this.#pushes.place;
        },
      },
    });
    this.connection = this.link.status;
  }

  #frame(frame: Frame, via: number): void {
    const known = frame as unknown;
    switch (frame.type) {
      case "hello":
        return this.#hello(known as Hello, via);
      case "resumed":
        if (this.#pushes.resumed(known as Resumed)) this.#stand(known as Resumed);
        return;
      case "ack":
      case "error":
        return this.#line?.answer(frame);
      case "pong":
        return this.#pong(frame);
    }
    if (typeof frame["epoch"] !== "string" || typeof frame["offset"] !== "number") return;
    const place = { epoch: frame["epoch"], offset: frame["offset"] };
    if (!this.#pushes.take(place)) return;
    this.#apply(frame);
    this.#line?.applied(place); // after it: a page that dies in between gets it again
  }

  /**
   * UTC milliseconds by the server's clock, counted by `elapsed` since the last `hello`: setting the
   * device's clock does not move it. Where no `hello` said it, by the device's.
   */
  get serverNow(): number {
    const { time, at } = this.#told ?? { time: this.#env.now(), at: this.#env.elapsed() };
    return Math.round(time + this.#env.elapsed() - at);
  }

  /** Go on where an earlier page of this learner stood. Before the first connection. */
  restore(place: Left): void {
    this.#pushes.restore(place);
  }

  /** Forget what came: the next who looks at the page may be somebody else. */
  clear(): void {
    this.userState.set(undefined);
    for (const list of [this.recommendations, this.interventions, this.replies]) list.set([]);
  }

  #apply(frame: Frame): void {
    const known = frame as unknown;
    switch (frame.type) {
      case "user_state_update":
        return this.#state(frame["userState"] as UserState);
      case "recommendations":
        return this.recommendations.set(frame["recommendations"] as Recommendation[]);
      case "intervention":
        return this.interventions.set([
          ...this.interventions.get().slice(1 - KEPT_INTERVENTIONS),
          known as Intervention,
        ]);
      case "tutor_delta":
        return this.#reply(this.#threads.delta(known as TutorDelta));
      case "tutor_reply":
        return this.#reply(this.#threads.reply(known as TutorReply));
    }
  }

  #hello(hello: Hello, via: number): void {
    const known = this.#pushes.place !== undefined;
    const { serverTime } = hello;
    if (serverTime !== undefined) this.#told = { time: serverTime, at: this.#env.elapsed() };
    if (this.link.byRest && known) {
      // It does not know our place any more, or it would have gone on from there.
      this.#pushes.resumed({ ...hello, type: "resumed", recovered: false });
      this.#stand(hello);
    } else {
      const resume = this.#pushes.hello(hello, this.serverNow);
      if (resume && !this.link.byRest) this.link.send(JSON.stringify(resume));
      if (!known) this.#stand(hello);
      this.#line?.applied(this.#pushes.place!);
    }
    if (!this.link.byRest && this.clock.known) {
      // The trip of a ping is shorter than that of a handshake: it tells the clock better.
      this.#pinged = { id: `c-${via}`, sent: this.#env.elapsed() };
      this.link.send(JSON.stringify({ type: "ping", id: this.#pinged.id }));
    }
    this.#line?.hello(hello);
  }

  #pong(frame: Frame): void {
    if (this.#pinged?.id !== frame["id"]) return;
    const { sent } = this.#pinged!;
    this.#pinged = undefined;
    if (typeof frame["serverTime"] === "number") this.clock.sample(frame["serverTime"], sent);
  }

  #stand({ userState, recommendations }: Hello | Resumed): void {
    if (userState) this.userState.set(userState);
    if (recommendations) this.recommendations.set(recommendations);
  }

  /** A push leaves the long term out: that it has gone is not said. */
  #state(state: UserState): void {
    const longTerm = state.longTerm ?? this.userState.get()?.longTerm;
    this.userState.set(longTerm ? { ...state, longTerm } : state);
  }

  #reply(reply: ReplyText | undefined): void {
    if (!reply) return;
    this.replies.set(this.#threads.all());
    this.#line?.reply(reply);
  }
}

/** Follow a learner without sending anything: a dashboard with an observer's token. */
export function createFeed(options: FeedOptions): Feed {
  const env = options.environment ?? browser();
  const following = new Following({ ...options, environment: env });
  const { link, tokens } = following;
  const ignore = env.listen((event) => {
    if (event === "leave") link.pause();
    else if (event === "return") link.resume();
  });
  link.start();
  const { userState, recommendations, interventions, replies, connection, problems } = following;
  return {
    userState,
    recommendations,
    interventions,
    replies,
    connection,
    problems,
    close: () => {
      ignore();
      link.stop();
      tokens.clear();
    },
  };
}
