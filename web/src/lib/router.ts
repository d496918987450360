import { computed, signal } from "@preact/signals";
import { routeOf, type Route } from "./paths.ts";

const hash = signal(location.hash);
addEventListener("hashchange", () => (hash.value = location.hash));
addEventListener("popstate", () => (hash.value = location.hash));

/** Where the page is. Everything that it shows is in it. */
export const route = computed<Route>(() => routeOf(hash.value));

type Query = Record<string, string | number | boolean | undefined | null>;

function text(query: Query | URLSearchParams): string {
  const q = new URLSearchParams();
  for (const [k, v] of query instanceof URLSearchParams ? query : Object.entries(query)) {
    if (v !== undefined && v !== null && v !== "" && v !== false) q.set(k, v === true ? "1" : String(v));
  }
  // Colons and commas are allowed in a fragment and read better as they are.
  const s = q.toString().replaceAll("%2C", ",").replaceAll("%3A", ":");
  return s ? "?" + s : "";
}

/** Gives the address of a page. */
export const to = (page: string, id = "", query: Query = {}): string =>
  `#/${page}${id ? "/" + encodeURIComponent(id) : ""}${text(query)}`;

/** Opens an address that to returned. */
export function go(address: string): void {
  location.hash = address;
}

/** Changes the query of the page in place, without a step in the history. */
export function setQuery(change: Query): void {
  const r = route.peek();
  const q: Query = Object.fromEntries(r.query);
  history.replaceState(null, "", to(r.page, r.id, { ...q, ...change }));
  hash.value = location.hash;
}
