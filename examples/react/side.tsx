/** The tutor, what masterx knows, and what it recommends. */
import { type FormEvent, useState } from "react";
import type { ReplyText } from "@masterx/sdk";
import {
  type Figure,
  type FigureName,
  describeFigure,
  useMLPersonalization,
} from "@masterx/sdk/react";

const STATUS: Readonly<Record<string, string>> = {
  off: "There is no tutor here.",
  unavailable: "The tutor cannot answer now.",
  superseded: "…",
};

const words = ({ text, status }: ReplyText): string => text || STATUS[status ?? ""] || "…";

export function Chat() {
  const { replies, sendMessage } = useMLPersonalization();
  const [mine, setMine] = useState<readonly { id: string; text: string }[]>([]);
  const [text, setText] = useState("");
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
      <h2>Tutor</h2>
      <div className="talk" role="log">
        {mine.map((message) => (
          <div key={message.id}>
            <p className="mine">{message.text}</p>
            {replies
              .filter(({ causedBy }) => causedBy.includes(message.id))
              .map((reply) => (
                <p key={reply.replyId}>{words(reply)}</p>
              ))}
          </div>
        ))}
        {unasked.map((reply) => (
          <p key={reply.replyId}>{words(reply)}</p>
        ))}
      </div>
      <form onSubmit={send}>
        <label>
          Ask, or say how it goes
          <input value={text} onChange={(event) => setText(event.target.value)} />
        </label>
        <button data-mx-id="send">Send</button>
      </form>
    </section>
  );
}

// No forecast of failing: docs/not-built.md says why a learner sees none.
const FIGURES: readonly (readonly [FigureName, string])[] = [
  ["focus", "Focus"],
  ["cognitiveLoad", "Load"],
  ["engagement", "Engagement"],
  ["fatigue", "Fatigue"],
  ["valence", "Mood of messages"],
];

export function State() {
  const { userState, connection, problems } = useMLPersonalization();
  const problem = problems.at(-1);
  return (
    <section data-mx-optional>
      <h2>What masterx knows</h2>
      {FIGURES.map(([name, label]) => (
        <Meter key={name} label={label} figure={userState?.figures[name]} />
      ))}
      <p className="quiet">
        {userState?.trajectory?.replace("_", " ") ?? "no trend yet"} · {connection.phase}
        {problem && ` · ${problem.code}: ${problem.message}`}
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
      <small>{figure ? describeFigure(figure) : "not known yet"}</small>
    </div>
  );
}

export function Advice() {
  const {
    recommendations,
    adaptations,
    acceptRecommendation,
    dismissRecommendation,
    revertRecommendation,
  } = useMLPersonalization();
  const [said, setSaid] = useState<Readonly<Record<string, string>>>({});
  const active = new Set(adaptations.map(({ id }) => id));
  return (
    <section>
      <h2>Recommendations</h2>
      {!recommendations.length && <p className="quiet">None now.</p>}
      <ul>
        {recommendations.map((one) => (
          <li key={one.id}>
            <strong>{one.action.replaceAll("_", " ")}</strong>{" "}
            <small>confidence {Math.round(one.confidence * 100)}%</small>
            <details>
              <summary>Why?</summary>
              {one.because.join("; ")}
            </details>
            {active.has(one.id) ? (
              <button onClick={() => revertRecommendation(one)}>Undo</button>
            ) : (
              <>
                <button
                  onClick={async () => {
                    const became = await acceptRecommendation(one);
                    if (became !== "applied") setSaid({ ...said, [one.id]: became });
                  }}
                >
                  Do it
                </button>
                <button onClick={() => dismissRecommendation(one)}>No</button>
                <small>{said[one.id]}</small>
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
