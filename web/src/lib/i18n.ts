import { effect, signal } from "@preact/signals";
import { keptLang, langKey, type Lang } from "./lang.ts";

/** The language of the page. */
export const lang = signal<Lang>(keptLang());

effect(() => {
  document.documentElement.lang = lang.value === "zh" ? "zh-CN" : "en";
  try {
    localStorage.setItem(langKey, lang.value);
  } catch {
    // as in keptLang
  }
});

/** Returns the text in the language of the page. */
export const t = (zh: string, en: string): string => (lang.value === "zh" ? zh : en);

/** Writes a number with separators. 64-bit numbers come as strings. */
export function num(n: number | string | null | undefined): string {
  if (n === null || n === undefined || n === "") return "–";
  const v = Number(n);
  return Number.isInteger(v) ? String(v).replace(/\B(?=(\d{3})+$)/g, ",") : v.toLocaleString("en-US", { maximumFractionDigits: 6 });
}

/** Writes a size in bytes: "12.3 MB", by 1024. */
export function bytes(n: number | string): string {
  let v = Number(n), unit = 0;
  while (v >= 1024 && unit < 4) {
    v /= 1024;
    unit++;
  }
  return `${unit === 0 || v >= 100 ? Math.round(v) : v.toFixed(1)} ${["B", "kB", "MB", "GB", "TB"][unit]}`;
}

/** Joins a count and a noun. English adds an s. */
export const count = (n: number | string, zh: string, en: string, plural = en + "s"): string =>
  lang.value === "zh" ? `${num(n)} ${zh}` : `${num(n)} ${Number(n) === 1 ? en : plural}`;
