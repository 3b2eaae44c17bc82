/** What the lesson says, in German. */
import type { Words } from "./en.ts";

export const german: Words = {
  title: "Eine Übungsstunde mit masterx",
  heading: "Bruchrechnen",
  consent: "masterx darf auswerten, was ich hier tue und schreibe",
  login: { paste: "Füge ein Token ein", begin: "Los geht’s" },
  pause: {
    offer: "Wie wäre es mit einer Pause von {time}?",
    take: "Pause machen",
    later: "Jetzt nicht",
  },
  exercises: {
    heading: "Aufgaben",
    solved: "{count} gelöst",
    check: "Prüfen",
    hint: "Tipp",
    next: "Weiter",
    right: "Richtig!",
    wrong: "Noch nicht. Versuch es noch einmal, oder nimm einen Tipp.",
    explained:
      "Ein Bruch ist eine Anzahl gleich großer Teile eines Ganzen. Die Zahl unten sagt, in wie " +
      "viele Teile das Ganze geteilt ist, die Zahl oben, wie viele davon gemeint sind.",
  },
  tasks: {
    "half-of-8": {
      question: "Wie viel ist die Hälfte von 8?",
      hints: ["Teile 8 Äpfel gerecht mit einer Freundin."],
    },
    "quarter-of-12": {
      question: "Wie viel ist ein Viertel von 12?",
      hints: ["Ein Viertel ist die Hälfte der Hälfte.", "Die Hälfte von 12 ist 6."],
    },
    "half-plus-quarter": {
      question: "Wie viel ist 1/2 + 1/4?",
      hints: ["Bring beide Brüche auf denselben Nenner.", "1/2 ist dasselbe wie 2/4."],
    },
    "third-of-half": {
      question: "Wie viel ist ein Drittel von 1/2?",
      hints: ["„Von“ bedeutet hier „mal“.", "Multipliziere Zähler mit Zähler und Nenner mit Nenner."],
    },
    "two-thirds-minus": {
      question: "Wie viel ist 2/3 − 1/4?",
      hints: ["Welche Zahl ist durch 3 und durch 4 teilbar?", "2/3 ist dasselbe wie 8/12."],
    },
    divide: {
      question: "Wie viel ist 3/4 : 1/2?",
      hints: ["Wie oft passt 1/2 in 3/4?", "Multipliziere mit 2/1."],
    },
  },
  tutor: {
    heading: "Tutor",
    ask: "Frag etwas, oder erzähl, wie es läuft",
    send: "Senden",
    off: "Hier gibt es keinen Tutor.",
    unavailable: "Der Tutor kann gerade nicht antworten.",
  },
  state: {
    heading: "Was masterx weiß",
    kept: "Es bleibt bei dem, was vorher bekannt war.",
    noTrend: "noch kein Trend",
    problem: "Problem: {code}",
  },
  figures: {
    focus: "Konzentration",
    cognitiveLoad: "Belastung",
    engagement: "Beteiligung",
    fatigue: "Müdigkeit",
    valence: "Stimmung in Nachrichten",
  },
  unread: {
    unsupported_language:
      "Deine letzte Nachricht war in einer Sprache, die masterx nicht auswertet.",
    nothing_to_read: "In deiner letzten Nachricht war nichts, was masterx auswerten kann.",
    not_the_learner:
      "Deine letzte Nachricht sieht kopiert aus. Darum liest masterx daraus keine Gefühle.",
  },
  trends: {
    improving: "es geht aufwärts",
    declining: "es geht abwärts",
    stable_positive: "gleichbleibend positiv",
    stable_neutral: "gleichbleibend neutral",
    stable_negative: "gleichbleibend negativ",
  },
  phases: {
    off: "nicht verbunden",
    connecting: "verbindet sich",
    live: "verbunden",
    waiting: "wartet auf die Verbindung",
    polling: "verbunden, etwas langsamer",
    stopped: "getrennt",
  },
  advice: {
    heading: "Vorschläge",
    none: "Gerade keine.",
    confidence: "zu {share} sicher",
    why: "Warum?",
    accept: "Ja, bitte",
    dismiss: "Nein, danke",
    undo: "Rückgängig machen",
  },
  actions: {
    lower_information_density: "Weniger auf einmal zeigen",
    reduce_visual_complexity: "Die Seite einfacher gestalten",
    slow_animation: "Bewegungen verlangsamen",
    enlarge_targets: "Schaltflächen vergrößern",
    soften_interface: "Die Seite ruhiger gestalten",
    attention_cues: "Wichtiges hervorheben",
    reduce_distractions: "Ablenkungen ausblenden",
    lower_difficulty: "Leichtere Aufgaben stellen",
    raise_difficulty: "Schwierigere Aufgaben stellen",
    slow_pace: "Langsamer vorgehen",
    raise_pace: "Schneller vorgehen",
    suggest_break: "Eine Pause machen",
    more_interactive_elements: "Mehr zum Ausprobieren anbieten",
    achievement_feedback: "Zeigen, was ich geschafft habe",
  },
  handled: {
    lower_difficulty: "Die Aufgaben werden leichter",
    raise_difficulty: "Die Aufgaben werden schwieriger",
    suggest_break: "Du machst eine Pause",
  },
  outcomes: {
    no_handler: "Das kann diese Seite nicht.",
    feature_off: "Das ist hier ausgeschaltet.",
    declined: "Es ist nichts geändert worden.",
    later: "Du warst gerade mitten in etwas. Versuch es gleich noch einmal.",
    reverted: "Es wurde rückgängig gemacht.",
  },
};
