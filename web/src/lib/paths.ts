import { day, plusDays } from "./clock.ts";

// The address of a page and what it requests. Nothing here uses the page, so that the
// prefetch script stays small.

export interface Route {
  /** Name of the page, "" for the first. */
  page: string;
  /** What follows it in the path. */
  id: string;
  query: URLSearchParams;
}

/** Reads the fragment of an address. */
export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [page = "", ...rest] = path.split("/");
  let id = rest.join("/");
  try {
    id = decodeURIComponent(id);
  } catch {
    // an address that was typed wrongly; nothing has that name
  }
  return { page, id, query: new URLSearchParams(query) };
}

/** Builds a path with a query; what is empty is left out. */
export function path(base: string, query: Record<string, string | number | string[] | undefined>): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) {
    for (const one of Array.isArray(v) ? v : [v]) if (one !== undefined && one !== "") q.append(k, String(one));
  }
  const s = q.toString();
  return s ? `${base}?${s}` : base;
}

/** The path of a run. */
export const runPath = (id: string): string => `/v1/runs/${encodeURIComponent(id)}`;

/** The path of the newest runs, by the filters of the page. */
export function runsPath(q: URLSearchParams): string {
  const [k, v] = (q.get("only") ?? "").split("=");
  return path("/v1/runs", { pool: q.get("pool") ?? "", ...(k && v ? { [k]: v } : {}), page_size: 50 });
}

/** The path of the newest slots of a pool; "" is both. */
export const slotsPath = (pool: string): string => path("/v1/slots", { pool, page_size: 60 });

/** The path of the explanation of a slot. */
export const slotPath = (id: string): string => `/v1/slots/${encodeURIComponent(id)}:explain`;

/** The path of the slots that an evening is judged by. */
export const eveningSlots = "/v1/slots?page_size=80";

/** How many days before today are looked at: longer than any closure of the exchange. */
const lookBack = 31;

/** Gives the first day that an evening is judged by. */
export const judgeFrom = (now: number): string => plusDays(day(now), -lookBack);

/** The path of the coverage that an evening of a pool is judged by. */
export const eveningCoverage = (pool: string, now: number): string => path(`/v1/pools/${pool}/coverage`, { start_date: judgeFrom(now) });

/** The pool of the page of coverage. */
export const coveragePool = (q: URLSearchParams): string => (q.get("pool") === "targets" ? "targets" : "universe");

/** The path of the coverage that the page of that name shows. */
export const coveragePath = (q: URLSearchParams): string =>
  path(`/v1/pools/${coveragePool(q)}/coverage`, { start_date: q.get("from") ?? "", end_date: q.get("to") ?? "" });

/** Gives what a page cannot show its data without, the slowest first. */
export function needs({ page, id, query }: Route, now: number): string[] {
  switch (page) {
    case "":
      return ["/v1/pools", eveningCoverage("universe", now), eveningCoverage("targets", now), "/v1/domains", eveningSlots, "/v1/schedule", "/v1/targets"];
    case "runs":
      return [id ? runPath(id) : runsPath(query)];
    case "coverage":
      return [coveragePath(query)];
    case "schedule":
      return id ? [slotPath(id)] : [slotsPath(query.get("pool") ?? ""), "/v1/schedule"];
    case "preflight":
      return ["/v1/domains", "/v1/probes"];
    case "modules":
      return ["/v1/domains"];
    case "targets":
      return ["/v1/targets", "/v1/targets/sets"];
    case "settings":
      return ["/v1/settings", "/v1/pools"];
    case "notices":
      return ["/v1/channels"];
    case "about":
      return ["/v1/info"];
  }
  return [];
}

/** The path of who the caller is, which every page asks for. */
export const sessionPath = "/v1/session";
