import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { day, shanghai } from "./clock.ts";
import { lang, t } from "./i18n.ts";

/** The clock, by the second. Reading it renders again each second. */
export const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) now.value = Date.now();
});

const weekdays = ["日", "一", "二", "三", "四", "五", "六"];
const weekdaysEn = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** Names the weekday of a date. */
export function weekday(date: string): string {
  const n = new Date(date + "T00:00:00Z").getUTCDay();
  return lang.value === "zh" ? "周" + weekdays[n] : weekdaysEn[n]!;
}

/** Writes a length of time in words, its two largest units. */
export function span(ms: number, most = 2): string {
  const s = Math.max(0, Math.round(ms / 1000));
  const units: [number, string, string][] = [[86400, "天", "d"], [3600, "小时", "h"], [60, "分", "min"], [1, "秒", "s"]];
  const i = units.findIndex(([n]) => s >= n);
  if (i < 0) return t("0 秒", "0 s");
  const [n, zh, en] = units[i]!;
  let text = `${Math.floor(s / n)} ${t(zh, en)}`;
  const next = units[i + 1];
  const rest = next && most > 1 ? Math.floor((s % n) / next[0]) : 0;
  if (next && rest > 0) text += ` ${rest} ${t(next[1], next[2])}`;
  return text;
}

/** Writes a length of time that may be short: in ms, or in seconds. */
export const took = (ms: number): string =>
  ms < 1000 ? t(`${Math.round(ms)} 毫秒`, `${Math.round(ms)} ms`) : ms < 60e3 ? t(`${(ms / 1000).toFixed(1)} 秒`, `${(ms / 1000).toFixed(1)} s`) : span(ms);

/** Writes a protobuf duration ("0.011s"). */
export const duration = (text: string | null | undefined): string => (text ? took(parseFloat(text) * 1000) : "–");

/** Shows a moment in Shanghai; on hover the browser's own. The day is left out when it is today. */
export function When({ at, full, seconds = true }: { at: string | number | null | undefined; full?: boolean; seconds?: boolean }) {
  if (!at) return <span class="dim">–</span>;
  const text = shanghai(at);
  const clock = text.slice(11, seconds ? 19 : 16);
  const date = text.slice(0, 10);
  const today = day(now.peek());
  const shown = !full && date === today ? clock : `${date.slice(0, 4) === today.slice(0, 4) && !full ? date.slice(5) : date} ${clock}`;
  return <time dateTime={text.replace(" ", "T") + "+08:00"} onPointerEnter={hover(at)}>{shown}</time>;
}

/** Says of a moment on hover what it is in Shanghai, and on the browser's own clock. */
const hover = (at: string | number) => (e: Event) => {
  (e.currentTarget as HTMLElement).title = `${t("上海", "Shanghai")} ${shanghai(at)} +08:00\n${t("本机", "Here")} ${here(at)}`;
};

/** Writes a moment as the browser's own clock has it. */
const here = (at: string | number): string => new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" }).format(new Date(at));

/** Heads a column of moments, and names their zone. */
export const ZoneHead = ({ children }: { children: ComponentChildren }) => <th>{children} <small>{t("上海", "Shanghai")}</small></th>;

/** Counts down to a moment. */
export function Countdown({ to }: { to: string | number }) {
  const left = new Date(to).getTime() - now.value;
  return <span class="num" onPointerEnter={hover(new Date(to).getTime())}>{left > 0 ? t(`还有 ${span(left)}`, `in ${span(left)}`) : t("就在此刻", "now")}</span>;
}

/** Says how long ago a moment was. */
export function Ago({ at }: { at: string | number }) {
  const past = now.value - new Date(at).getTime();
  return <span class="num" onPointerEnter={hover(new Date(at).getTime())}>{t(`${span(past, 1)}前`, `${span(past, 1)} ago`)}</span>;
}
