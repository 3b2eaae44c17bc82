/** `@masterx/sdk/words/de`: what the SDK shows by itself, in German. */
import type { Words } from "./en.ts";

export const german: Words = {
  notice: {
    changed: "Diese Seite wurde angepasst:",
    undo: "Rückgängig machen",
    undone: "Rückgängig gemacht",
    why: "Warum?",
    close: "Schließen",
    actions: {
      lower_information_density: "Sie zeigt weniger auf einmal",
      reduce_visual_complexity: "Sie sieht einfacher aus",
      slow_animation: "Alles bewegt sich langsamer",
      enlarge_targets: "Die Schaltflächen sind größer",
      soften_interface: "Alles ist größer und ruhiger",
      attention_cues: "Wichtiges ist hervorgehoben",
      reduce_distractions: "Ablenkungen sind ausgeblendet",
    },
  },
  figures: {
    locale: "de",
    known: "{value}, {source}, zu {confidence} sicher",
    unknown: "noch nicht bekannt",
    measured: "gemessen",
    derived: "abgeleitet",
  },
};
