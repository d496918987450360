import { useEffect, useState } from "preact/hooks";
import { call } from "./api.ts";
import { path } from "./paths.ts";

export interface Instrument {
  symbol: string;
  name: string;
  kind: string;
  listStatus: string;
}

/** Finds instruments by code, name or initials, a moment after the typing stops. */
export function useInstruments(query: string): Instrument[] {
  const [found, setFound] = useState<{ query: string; list: Instrument[] }>({ query: "", list: [] });
  useEffect(() => {
    if (query.length < 2) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<{ instruments: Instrument[] }>("GET", path("/v1/instruments", { query, page_size: 8 }), undefined, stop.signal)
        .then((a) => setFound({ query, list: a.instruments }), () => setFound({ query, list: [] })); // before any list is held there is nothing to suggest
    }, 150);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [query]);
  return query.length < 2 ? [] : found.list;
}
