/** Exercises one after the other. Each is told once, when it is solved. */
import { type FormEvent, useEffect, useState } from "react";
import type { Exercise } from "@masterx/sdk";
import { useMLPersonalization } from "@masterx/sdk/react";
import { fill, number, words } from "./words/index.ts";

interface Task {
  readonly id: keyof typeof words.tasks;
  /** As a learner may write it, without spaces and with a decimal point. */
  readonly answers: readonly string[];
}

/** What there is to solve, from easy to hard. */
const LEVELS: readonly (readonly Task[])[] = [
  [
    { id: "half-of-8", answers: ["4"] },
    { id: "quarter-of-12", answers: ["3"] },
  ],
  [
    { id: "half-plus-quarter", answers: ["3/4", "0.75"] },
    { id: "third-of-half", answers: ["1/6"] },
  ],
  [
    { id: "two-thirds-minus", answers: ["5/12"] },
    { id: "divide", answers: ["3/2", "6/4", "1.5", "11/2"] },
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
      <h2>{words.exercises.heading}</h2>
      <p data-mx-when="progress">
        {fill(words.exercises.solved, { count: number(solved) })}{" "}
        <progress value={solved % 5} max={5} />
      </p>
      <One key={solved} task={task} done={next} />
      <p className="quiet" data-mx-optional>
        {words.exercises.explained}
      </p>
      <p className="confetti" data-mx-decoration data-mx-distraction aria-hidden="true">
        ½ ¼ ¾ ⅓ ⅔ ⅛
      </p>
    </section>
  );
}

function One({ task, done }: { task: Task; done: () => void }) {
  const { client, isPersonalizationActive } = useMLPersonalization();
  const { question, hints } = words.tasks[task.id];
  const [exercise, setExercise] = useState<Exercise>();
  const [text, setText] = useState("");
  const [given, setGiven] = useState(0);
  const [said, setSaid] = useState<"right" | "wrong">();
  const right = said === "right";

  useEffect(() => {
    if (!isPersonalizationActive) return;
    // From when the learner sees it: its response time is measured.
    const begun = client()?.exercise({
      problemId: task.id,
      skill: "fractions",
      hintTotal: hints.length,
    });
    setExercise((there) => there ?? begun);
  }, [client, isPersonalizationActive, task, hints]);

  const check = (event: FormEvent): void => {
    event.preventDefault();
    if (right) return done();
    const correct = task.answers.includes(text.replace(/\s/g, "").replace(",", "."));
    exercise?.attempt(correct);
    if (correct) exercise?.finish();
    setSaid(correct ? "right" : "wrong");
  };
  return (
    <form onSubmit={check} data-mx-ignore>
      <label data-mx-cue>
        {question}
        <input
          value={text}
          onChange={(event) => setText(event.target.value)}
          readOnly={right}
          inputMode="text"
        />
      </label>
      <button>{right ? words.exercises.next : words.exercises.check}</button>
      {given < hints.length && !right && (
        <button
          type="button"
          onClick={() => {
            exercise?.hint();
            setGiven(given + 1);
          }}
        >
          {words.exercises.hint}
        </button>
      )}
      <ul>
        {hints.slice(0, given).map((hint) => (
          <li key={hint}>{hint}</li>
        ))}
      </ul>
      <output className={said}>{said && words.exercises[said]}</output>
    </form>
  );
}
