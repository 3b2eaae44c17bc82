/** The tutor, what masterx knows, and what it recommends. */
import { type FormEvent, useEffect, useRef, useState } from "react";
import type { ReplyText } from "@masterx/sdk";
import { type Figure, describeFigure, useMLPersonalization } from "@masterx/sdk/react";
import { fill, percent, sdk, words } from "./words/index.ts";

const said = ({ text, status }: ReplyText): string =>
  text || (status === "off" || status === "unavailable" ? words.tutor[status] : "…");

export function Chat() {
  const { replies, sendMessage } = useMLPersonalization();
  const [mine, setMine] = useState<readonly { id: string; text: string }[]>([]);
  const [text, setText] = useState("");
  const talk = useRef<HTMLDivElement>(null);
  useEffect(() => {
    talk.current?.scrollTo(0, talk.current.scrollHeight);
  }, [mine, replies]);
  const send = (event: FormEvent): void => {
    event.preventDefault();
    if (!text.trim()) return;
    const { id } = sendMessage(text, { wantsReply: true });
    setMine([...mine, { id, text }]);
    setText("");
  };
  const asked = new Set(mine.map(({ id }) => id));
  const unasked = replies.filter(({ causedBy }) => !causedBy.some((id) => asked.has(id)));
  return (
    <section>
      <h2>{words.tutor.heading}</h2>
      <div className="talk" role="log" ref={talk}>
        {mine.map((message) => (
          <div key={message.id}>
            <p className="mine">{message.text}</p>
            {replies
              .filter(({ causedBy }) => causedBy.includes(message.id))
              .map((reply) => (
                <p key={reply.replyId}>{said(reply)}</p>
              ))}
          </div>
        ))}
        {unasked.map((reply) => (
          <p key={reply.replyId}>{said(reply)}</p>
        ))}
      </div>
      <form onSubmit={send}>
        <label>
          {words.tutor.ask}
          <input value={text} onChange={(event) => setText(event.target.value)} />
        </label>
        <button data-mx-id="send">{words.tutor.send}</button>
      </form>
    </section>
  );
}

// No forecast of failing: docs/not-built.md says why a learner sees none.
const FIGURES = ["focus", "cognitiveLoad", "engagement", "fatigue", "valence"] as const;

export function State() {
  const { userState, connection, problems } = useMLPersonalization();
  const problem = problems.at(-1);
  const unread = userState?.unread && words.unread[userState.unread];
  const trend = userState?.trajectory ? words.trends[userState.trajectory] : words.state.noTrend;
  return (
    <section data-mx-optional>
      <h2>{words.state.heading}</h2>
      {FIGURES.map((name) => (
        <Meter key={name} label={words.figures[name]} figure={userState?.figures[name]} />
      ))}
      {unread && (
        <p className="quiet" role="status">
          {unread} {words.state.kept}
        </p>
      )}
      <p className="quiet">
        {trend} · {words.phases[connection.phase]}
        {problem && ` · ${fill(words.state.problem, { code: problem.code })}`}
      </p>
    </section>
  );
}

function Meter({ label, figure }: { label: string; figure: Figure | undefined }) {
  const known = figure?.value !== undefined;
  return (
    <div className="figure">
      <span>{label}</span>
      {known ? <meter value={figure.value} aria-label={label} /> : <span className="none" />}
      <small>{figure ? describeFigure(figure, sdk.figures) : sdk.figures.unknown}</small>
    </div>
  );
}

/** An action that is newer than the page shows its own name. */
const named = (action: string): string =>
  (words.actions as Readonly<Record<string, string>>)[action] ?? action.replaceAll("_", " ");

export function Advice() {
  const {
    recommendations,
    adaptations,
    acceptRecommendation,
    dismissRecommendation,
    revertRecommendation,
  } = useMLPersonalization();
  const [outcomes, setOutcomes] = useState<Readonly<Record<string, string>>>({});
  const active = new Set(adaptations.map(({ id }) => id));
  return (
    <section>
      <h2>{words.advice.heading}</h2>
      {!recommendations.length && <p className="quiet">{words.advice.none}</p>}
      <ul>
        {recommendations.map((one) => (
          <li key={one.id}>
            <strong>{named(one.action)}</strong>{" "}
            <small>{fill(words.advice.confidence, { share: percent(one.confidence) })}</small>
            <details>
              <summary>{words.advice.why}</summary>
              {one.because.join("; ")}
            </details>
            {active.has(one.id) ? (
              <button onClick={() => revertRecommendation(one)}>{words.advice.undo}</button>
            ) : (
              <>
                <button
                  onClick={async () => {
                    const became = await acceptRecommendation(one);
                    if (became === "applied") return;
                    setOutcomes({ ...outcomes, [one.id]: words.outcomes[became] });
                  }}
                >
                  {words.advice.accept}
                </button>
                <button onClick={() => dismissRecommendation(one)}>{words.advice.dismiss}</button>
                <small>{outcomes[one.id]}</small>
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
