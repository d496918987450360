import { signal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { lang } from "./i18n.ts";
import { accepts } from "./lang.ts";
import type { Localized, RunEvent } from "./types.ts";

/** A refusal or failure that the API answered. */
export class ApiError extends Error {
  reason = "";
  metadata: Record<string, string> = {};
  remedies: string[] = [];
  localized?: Localized;
  constructor(public http: number, body: unknown) {
    const e = (body as { error?: { message?: string; details?: Record<string, unknown>[] } })?.error;
    super(e?.message || `HTTP ${http}`);
    for (const d of e?.details ?? []) {
      const type = String(d["@type"]);
      if (type.endsWith("ErrorInfo")) {
        this.reason = String(d.reason ?? "");
        this.metadata = (d.metadata as Record<string, string>) ?? {};
      } else if (type.endsWith("Help")) {
        for (const l of (d.links as { description?: string }[]) ?? []) if (l.description) this.remedies.push(l.description);
      } else if (type.endsWith("fault.v1.Localized")) {
        this.localized = d as unknown as Localized;
      }
    }
  }
}

/** The orchestrator did not respond. */
export class Unreachable extends Error {}

/** Since when the orchestrator does not respond; 0 while it does. */
export const lostSince = signal(0);
/** When the orchestrator answered last. */
export const heardAt = signal(Date.now());
/** Whether the API asks for a key. */
export const loginNeeded = signal(false);
/** Counts logins and changes of the language, after which everything is fetched again. */
export const session = signal(0);

/** Sends the session's token against forged requests, where there is one. */
let csrf = "";
export function setCsrf(token: string): void {
  csrf = token;
}

/** The responses that prefetch.ts requested. */
const prefetched = window.prefetched ?? new Map<string, Promise<Response>>();

async function request(method: string, path: string, body?: unknown, signal?: AbortSignal, accept?: string): Promise<Response> {
  let answer: Response;
  const headers: Record<string, string> = { Accept: accept ?? "application/json", "Accept-Language": accepts(lang.peek()) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (csrf && method !== "GET") headers["X-CSRF-Token"] = csrf;
  const early = accept ? undefined : prefetched.get(path);
  if (early) prefetched.delete(path);
  try {
    answer = await (early ?? fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: "no-store" }));
  } catch (e) {
    if (signal?.aborted) throw e;
    if (!lostSince.peek()) lostSince.value = Date.now();
    throw new Unreachable(String((e as Error).message ?? e));
  }
  lostSince.value = 0;
  heardAt.value = Date.now();
  if (!answer.ok) {
    const error = new ApiError(answer.status, await answer.json().catch(() => null));
    if (answer.status === 401) loginNeeded.value = true;
    throw error;
  }
  return answer;
}

/** The prefetched data, until it is used. */
const early = new Map<string, Promise<unknown>>();

/** Reads the prefetched responses. Resolves when all of them are read. */
export function readAhead(): Promise<unknown> {
  return Promise.all([...prefetched.keys()].map((path) => {
    const data = request("GET", path).then((r) => r.json() as unknown);
    early.set(path, data);
    return data.then((d) => keep(path, d), () => {}); // its user reports the error
  }));
}

/** Calls the API and returns the JSON. */
export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const known = method === "GET" ? early.get(path) : undefined;
  if (known) {
    early.delete(path);
    return (await known) as T;
  }
  const answer = await request(method, path, body, signal);
  return (await answer.json()) as T;
}

/** Reads a stream of lines, each a JSON value. */
export async function* lines<T>(method: string, path: string, body?: unknown, signal?: AbortSignal, accept = "application/x-ndjson"): AsyncGenerator<T> {
  const answer = await request(method, path, body, signal, accept);
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch (e) {
        if (signal?.aborted) throw e;
        throw new Unreachable(String((e as Error).message ?? e));
      }
      if (chunk.done) break;
      const all = (rest + chunk.value).split("\n");
      rest = all.pop()!;
      for (const line of all) if (line) yield JSON.parse(line) as T;
    }
    if (rest) yield JSON.parse(rest) as T;
  } finally {
    void reader.cancel().catch(() => {});
  }
}

/** Reads a stream of the API; an error in it is thrown. */
export async function* stream<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): AsyncGenerator<T> {
  for await (const m of lines<{ result?: T; error?: unknown }>(method, path, body, signal)) {
    if (m.error) throw new ApiError(200, m);
    if (m.result) yield m.result;
  }
}

export const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((done, gone) => {
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      gone(signal.reason);
    });
  });

/** State of the stream of a run. */
export interface Following {
  state: "connecting" | "live" | "cut" | "ended";
  /** How often it was cut. */
  cuts: number;
  /** Events that were read late, after the last cut. */
  missed: number;
}

/** Follows a run to its last event. After a cut it resumes without losing or repeating an event. */
export async function follow(id: string, each: (events: RunEvent[]) => void, state: (s: Following) => void, signal: AbortSignal): Promise<void> {
  let last = 0, cuts = 0, wait = 500, batch: RunEvent[] = [], frame = 0; // frame is the timer of the next flush
  const flush = () => {
    frame = 0;
    if (batch.length && !signal.aborted) each(batch.splice(0));
  };
  state({ state: "connecting", cuts, missed: 0 });
  while (!signal.aborted) {
    const since = Date.now();
    let missed = 0;
    try {
      const from = `/v1/runs/${encodeURIComponent(id)}:watch` + (last ? `?after_sequence=${last}` : "");
      let told = "";
      for await (const m of stream<{ event?: RunEvent }>("GET", from, undefined, signal)) {
        wait = 500;
        const e = m.event;
        if (e && cuts > 0 && Date.parse(e.eventTime) < since) missed++;
        const say = `${cuts}/${missed}`;
        if (told !== say) {
          told = say;
          state({ state: "live", cuts, missed });
        }
        if (!e || Number(e.sequence) <= last) continue;
        last = Number(e.sequence);
        batch.push(e);
        if (!frame) frame = window.setTimeout(flush, 120);
        if (e.finished) {
          clearTimeout(frame);
          flush();
          state({ state: "ended", cuts, missed });
          return;
        }
      }
      if (last > 0 && !told) return state({ state: "ended", cuts, missed }); // a finished run has nothing after its last event
    } catch (e) {
      if (signal.aborted) return;
      if (e instanceof ApiError && (e.reason === "NOT_FOUND" || e.http === 401)) throw e;
    }
    cuts++;
    state({ state: "cut", cuts, missed: 0 });
    await sleep(wait, signal).catch(() => {});
    wait = Math.min(wait * 2, 8000);
  }
}

interface Kept {
  data: unknown;
  at: number;
}
const kept = new Map<string, Kept>();

/** Tells answers apart: by their path and their language. */
const keyOf = (path: string): string => `${lang.value} ${path}`;

/** Keeps an answer to show at once when its page is opened again. */
function keep(path: string, data: unknown): void {
  kept.delete(keyOf(path));
  kept.set(keyOf(path), { data, at: Date.now() });
  if (kept.size > 24) kept.delete(kept.keys().next().value!);
}

/** An answer that is kept up to date. */
export interface Live<T> {
  data?: T;
  /** Why the last try failed; data is then of the time at. */
  error?: Error;
  /** When data was answered. */
  at: number;
  loading: boolean;
  refresh: () => void;
}

/**
 * Fetches a path, and again every interval while the page is visible. The last response
 * stays while a later try fails. null fetches nothing.
 */
export function useLive<T>(address: string | null, interval = 0): Live<T> {
  const [, render] = useState(0);
  const state = useRef<{ key: string | null; data?: T; error?: Error; at: number; loading: boolean }>({ key: null, at: 0, loading: true });
  const again = useRef<() => void>(() => {});
  const turn = session.value;
  const s = state.current;
  const key = address === null ? null : keyOf(address); // in another language it is another answer
  if (s.key !== key) {
    const old = key === null ? undefined : kept.get(key);
    state.current = { key, data: old?.data as T | undefined, at: old?.at ?? 0, loading: true };
  }
  useEffect(() => {
    if (address === null) return;
    let timer = 0, flight: AbortController | null = null, failures = 0, onceMore = false;
    const ask = async () => {
      clearTimeout(timer);
      if (flight) {
        onceMore = true; // what is on its way may be too old; it is shown all the same
        return;
      }
      const mine = (flight = new AbortController());
      try {
        const data = await call<T>("GET", address, undefined, mine.signal);
        if (mine.signal.aborted) return;
        keep(address, data);
        failures = 0;
        state.current = { key, data, at: Date.now(), loading: false };
      } catch (e) {
        if (mine.signal.aborted) return;
        failures++;
        state.current = { ...state.current, error: e as Error, loading: false };
      }
      flight = null;
      render((n) => n + 1);
      if (onceMore) {
        onceMore = false;
        return void ask();
      }
      later();
    };
    const later = () => {
      const wait = interval || (failures ? 4000 : 0);
      if (wait && !document.hidden) timer = window.setTimeout(ask, Math.min(wait * 2 ** Math.min(failures, 3), 30000));
    };
    const seen = () => {
      if (document.hidden || !(interval || failures)) return;
      flight?.abort(); // a connection that broke while the machine slept never answers
      flight = null;
      void ask();
    };
    again.current = () => void ask();
    document.addEventListener("visibilitychange", seen);
    const known = kept.get(keyOf(address));
    if (known && early.delete(address)) { // it arrived before the page was drawn
      if (state.current.at !== known.at) render((n) => n + 1);
      state.current = { key, data: known.data as T, at: known.at, loading: false };
      later();
    } else void ask();
    return () => {
      clearTimeout(timer);
      flight?.abort();
      document.removeEventListener("visibilitychange", seen);
    };
  }, [address, interval, turn]);
  return { ...state.current, refresh: () => again.current() };
}
