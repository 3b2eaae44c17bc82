/**
 * A lesson: exercises, a tutor, what masterx makes of it, and a page that adapts.
 *
 * Open it with a token after the `#`, as `masterx token demo` prints one. A real page gets its
 * tokens from its own server.
 */
import { type FormEvent, StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { type AdaptOptions, createAdaptation } from "@masterx/sdk/adapt";
import { capture } from "@masterx/sdk/capture";
import { MLPersonalizationProvider, useMLPersonalization } from "@masterx/sdk/react";
import { Exercises } from "./exercises.tsx";
import { Advice, Chat, State } from "./side.tsx";
import { fill, language, minutes, sdk, words } from "./words/index.ts";

const notice = { ...sdk.notice, actions: { ...sdk.notice.actions, ...words.handled } };

/** What the handlers of the page do to it. */
interface Lesson {
  readonly level: number;
  readonly break: { minutes: number; answer: (taken: boolean) => void } | undefined;
}

function App({ token, userId }: { token: string; userId: string }) {
  const [lesson, setLesson] = useState<Lesson>({ level: 1, break: undefined });
  const step = (by: number) => () => {
    setLesson((now) => ({ ...now, level: now.level + by }));
    return () => setLesson((now) => ({ ...now, level: now.level - by }));
  };
  const [handlers] = useState<AdaptOptions["handlers"]>({
    lower_difficulty: step(-1),
    raise_difficulty: step(1),
    // `applied` is sent if the learner takes the break, and nothing if not.
    suggest_break: ({ parameters }) =>
      new Promise<boolean>((answer) => {
        const minutes = Number(parameters["minutes"] ?? 5);
        setLesson((now) => ({ ...now, break: { minutes, answer } }));
      }),
  });
  const answer = (taken: boolean): void => {
    lesson.break?.answer(taken);
    setLesson((now) => ({ ...now, break: undefined }));
  };
  return (
    <MLPersonalizationProvider
      userId={userId}
      getToken={async () => token}
      enableRealTimeAdaptation
      adapt={(client) => createAdaptation(client, { handlers: handlers ?? {}, notice })}
      capture={capture}
    >
      <Top />
      {lesson.break && (
        <section className="break" role="status">
          <p>{fill(words.pause.offer, { time: minutes(lesson.break.minutes) })}</p>
          <button onClick={() => answer(true)}>{words.pause.take}</button>
          <button onClick={() => answer(false)}>{words.pause.later}</button>
        </section>
      )}
      <main>
        <Exercises level={lesson.level} />
        <Chat />
        <State />
        <Advice />
      </main>
    </MLPersonalizationProvider>
  );
}

/** Nothing is recorded, sent or connected before the learner agrees; the lesson works without. */
function Top() {
  const { setConsent } = useMLPersonalization();
  return (
    <header>
      <h1>{words.heading}</h1>
      <label>
        <input
          type="checkbox"
          onChange={(event) => setConsent(event.target.checked ? "granted" : "denied")}
        />{" "}
        {words.consent}
      </label>
    </header>
  );
}

function Login() {
  const [token, setToken] = useState(() => location.hash.slice(1));
  const [userId, setUserId] = useState(() => subject(token));
  if (userId) return <App token={token} userId={userId} />;
  const login = (event: FormEvent): void => {
    event.preventDefault();
    setUserId(subject(token));
  };
  return (
    <form className="login" onSubmit={login}>
      <h1>{words.title}</h1>
      <label>
        {words.login.paste} (<code>masterx token demo</code>)
        <input value={token} onChange={(event) => setToken(event.target.value.trim())} />
      </label>
      <button>{words.login.begin}</button>
    </form>
  );
}

/** Whom a token is for; empty if it is no token. */
function subject(token: string): string {
  try {
    const part = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(part), (one) => one.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)).sub ?? "";
  } catch {
    return "";
  }
}

document.documentElement.lang = language;
document.title = words.title;
createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Login />
  </StrictMode>,
);
