/** The words of the page, in the browser's language if they are there, else in English. */
import { german as sdkGerman } from "@masterx/sdk/words/de";
import { english as sdkEnglish } from "@masterx/sdk/words/en";
import { german } from "./de.ts";
import { english } from "./en.ts";

const LANGUAGES = {
  de: { words: german, sdk: sdkGerman },
  en: { words: english, sdk: sdkEnglish },
};
const [wanted] = navigator.language.split("-");

export const language = wanted === "de" ? "de" : "en";
export const { words, sdk } = LANGUAGES[language];

/** Fill the blanks of a text, such as `{count}`. */
export const fill = (text: string, blanks: Readonly<Record<string, string>>): string =>
  text.replace(/{(\w+)}/g, (blank, name: string) => blanks[name] ?? blank);

export const number = (value: number): string => value.toLocaleString(language);
export const percent = (share: number): string =>
  share.toLocaleString(language, { style: "percent" });
export const minutes = (value: number): string =>
  value.toLocaleString(language, { style: "unit", unit: "minute", unitDisplay: "long" });
