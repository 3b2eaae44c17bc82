/** Exercises one after the other. Each is told once, when it is solved. */
import { type FormEvent, useEffect, useState } from "react";
import type { Exercise } from "@masterx/sdk";
import { useMLPersonalization } from "@masterx/sdk/react";

interface Task {
  readonly id: string;
  readonly question: string;
  /** As a learner may write it, without spaces. */
  readonly answers: readonly string[];
  readonly hints: readonly string[];
}

/** What there is to solve, from easy to hard. */
const LEVELS: readonly (readonly Task[])[] = [
  [
    {
      id: "half-of-8",
      question: "What is a half of 8?",
      answers: ["4"],
      hints: ["Share 8 apples with a friend."],
    },
    {
      id: "quarter-of-12",
      question: "What is a quarter of 12?",
      answers: ["3"],
      hints: ["A quarter is a half of a half.", "A half of 12 is 6."],
    },
  ],
  [
    {
      id: "half-plus-quarter",
      question: "What is 1/2 + 1/4?",
      answers: ["3/4", "0.75"],
      hints: ["Write both with the same denominator.", "1/2 is 2/4."],
    },
    {
      id: "third-of-half",
      question: "What is a third of 1/2?",
      answers: ["1/6"],
      hints: ["Of means times.", "Multiply above, and below."],
    },
  ],
  [
    {
      id: "two-thirds-minus",
      question: "What is 2/3 − 1/4?",
      answers: ["5/12"],
      hints: ["Which number do 3 and 4 both divide?", "2/3 is 8/12."],
    },
    {
      id: "divide",
      question: "What is 3/4 ÷ 1/2?",
      answers: ["3/2", "6/4", "1.5", "11/2"],
      hints: ["How often does 1/2 go into 3/4?", "Multiply by 2/1."],
    },
  ],
];

export function Exercises({ level }: { level: number }) {
  // Another level begins with the next exercise: none is taken away under the learner's hands.
  const [{ solved, chosen }, setNow] = useState({ solved: 0, chosen: level });
  const tasks = LEVELS[Math.min(LEVELS.length - 1, Math.max(0, chosen))]!;
  const task = tasks[solved % tasks.length]!;
  const next = (): void => setNow({ solved: solved + 1, chosen: level });
  return (
    <section>
      <h2>Exercises</h2>
      <p data-mx-when="progress">
        {solved} solved <progress value={solved % 5} max={5} />
      </p>
      <One key={solved} task={task} done={next} />
      <p className="quiet" data-mx-optional>
        A fraction is a number of equal parts of a whole. The number below says into how many parts
        it was cut, the number above how many of them there are.
      </p>
      <p className="confetti" data-mx-decoration data-mx-distraction aria-hidden="true">
        ½ ¼ ¾ ⅓ ⅔ ⅛
      </p>
    </section>
  );
}

function One({ task, done }: { task: Task; done: () => void }) {
  const { client, isPersonalizationActive } = useMLPersonalization();
  const [exercise, setExercise] = useState<Exercise>();
  const [text, setText] = useState("");
  const [hints, setHints] = useState(0);
  const [said, setSaid] = useState("");
  const right = said === "right";

  useEffect(() => {
    if (!isPersonalizationActive) return;
    // From when the learner sees it: its response time is measured.
    const begun = client()?.exercise({
      problemId: task.id,
      skill: "fractions",
      hintTotal: task.hints.length,
    });
    setExercise((there) => there ?? begun);
  }, [client, isPersonalizationActive, task]);

  const check = (event: FormEvent): void => {
    event.preventDefault();
    if (right) return done();
    const correct = task.answers.includes(text.replace(/\s/g, ""));
    exercise?.attempt(correct);
    if (correct) exercise?.finish();
    setSaid(correct ? "right" : "Not yet. Try again, or take a hint.");
  };
  return (
    <form onSubmit={check} data-mx-ignore>
      <label data-mx-cue>
        {task.question}
        <input
          value={text}
          onChange={(event) => setText(event.target.value)}
          readOnly={right}
          inputMode="text"
        />
      </label>
      <button>{right ? "Next" : "Check"}</button>
      {hints < task.hints.length && !right && (
        <button
          type="button"
          onClick={() => {
            exercise?.hint();
            setHints(hints + 1);
          }}
        >
          Hint
        </button>
      )}
      <ul>
        {task.hints.slice(0, hints).map((hint) => (
          <li key={hint}>{hint}</li>
        ))}
      </ul>
      <output className={right ? "right" : "wrong"}>{right ? "Right!" : said}</output>
    </form>
  );
}
