import { path } from "./api.ts";

// Paths that a page asks for, and that are asked for while its code still loads.

/** The path of a run. */
export const runPath = (id: string): string => `/v1/runs/${encodeURIComponent(id)}`;

/** What the list of runs asks for, with its filters. */
export function runsQuery(q: URLSearchParams): Record<string, string | number> {
  const [k, v] = (q.get("only") ?? "").split("=");
  return { pool: q.get("pool") ?? "", ...(k && v ? { [k]: v } : {}), page_size: 50 };
}
export const runsPath = (q: URLSearchParams): string => path("/v1/runs", runsQuery(q));

/** The path of the newest slots of a pool; "" is both. */
export const slotsPath = (pool: string): string => path("/v1/slots", { pool, page_size: 60 });
