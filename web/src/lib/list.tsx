import type { ComponentChildren, VNode } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Failure } from "../ui.tsx";
import { call, useLive, type Live } from "./api.ts";
import { t } from "./i18n.ts";

type Page<K extends string, T> = Record<K, T[]> & { nextPageToken: string };

/** A list of the API, whose first page is kept up to date and whose older pages come on demand. */
export interface List<K extends string, T> {
  live: Live<Page<K, T>>;
  /** The newest page. */
  first: T[];
  /** All that has been fetched, each once. */
  all: T[];
  /** The button for the next older page, and why it failed; nothing after the last one. */
  older: ComponentChildren;
}

/** Lists what a path answers in a field, page by page. id tells two items apart. */
export function useList<K extends string, T>(address: string, interval: number, field: K, id: (item: T) => string): List<K, T> {
  const live = useLive<Page<K, T>>(address, interval);
  const [older, setOlder] = useState<{ address: string; items: T[]; next: string }>({ address, items: [], next: "" });
  const [error, fail] = useState<Error | null>(null);
  const first = live.data?.[field] ?? [];
  const mine = older.address === address && older.items.length ? older : { address, items: [], next: live.data?.nextPageToken ?? "" };
  const more = async () => {
    fail(null);
    try {
      const page = await call<Page<K, T>>("GET", `${address}${address.includes("?") ? "&" : "?"}page_token=${encodeURIComponent(mine.next)}`);
      setOlder({ address, items: [...mine.items, ...page[field]], next: page.nextPageToken });
    } catch (e) {
      fail(e as Error);
    }
  };
  const newest = new Set(first.map(id));
  return {
    live, first, all: [...first, ...mine.items.filter((x) => !newest.has(id(x)))],
    older: <>{error && <Failure error={error} />}{mine.next && <p class="more"><button onClick={() => void more()}>{t("更早的", "Older")}</button></p>}</>,
  };
}

/** How many rows a window holds. */
const windowful = 16;

/** Draws the rows of a table: at first those that a window holds, so that they are seen soon, and then the rest. */
export function Rows<T>({ of, each }: { of: T[]; each: (item: T) => VNode }) {
  const [most, setMost] = useState(windowful);
  useEffect(() => setMost(Infinity), []);
  return <tbody>{of.slice(0, most).map(each)}</tbody>;
}
