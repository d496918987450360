export type Lang = "zh" | "en";

export const langKey = "afterbell.lang";

/** Gives the language that was chosen last; Chinese at first. */
export function keptLang(): Lang {
  try {
    if (localStorage.getItem(langKey) === "en") return "en";
  } catch {
    // storage is switched off; the choice lasts as long as the page
  }
  return "zh";
}

/** The header of a request for a language. */
export const accepts = (l: Lang): string => (l === "zh" ? "zh-CN" : "en");
