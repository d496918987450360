import { moment, shanghai } from "./clock.ts";
import type { Coverage, DomainSetting, Issue, PoolStatus, PoolVerdict, Run, Schedule, Slot } from "./types.ts";
import { short } from "./words.ts";

// How an evening is judged, by the rule of clients/go (Evening). The browser test
// compares the two.

/** "empty": the target list has no symbols, so there is nothing to judge. */
export type EveningVerdict = "whole" | "blocked" | "not_whole" | "not_due" | "empty";

export interface Facts {
  now: number;
  pool: string;
  status: PoolStatus;
  domains: DomainSetting[];
  coverages: Coverage[];
  schedule: Schedule;
  slots: Slot[];
  readiness?: PoolVerdict;
  emptyTargets: boolean;
}

export interface Evening {
  verdict: EveningVerdict;
  date: string;
  /** Datasets that count on the date, snapshots included. */
  counted: Coverage[];
  lacking: Coverage[];
  /** Datasets that are not due yet. */
  pending: string[];
  run: Run | null;
  issues: Issue[];
  /** When something is fetched next automatically; 0 when nothing is. */
  next: number;
}

/** Whether a verdict leaves nothing to fetch. */
export const settled = (v: string): boolean => ["COMPLETE", "EXPECTED_EMPTY", "ACCEPTED_SHORT"].includes(short(v, "VERDICT"));

/** Gives the datasets that count for a pool, by their due time; "" for snapshots. */
export function dueTimes(domains: DomainSetting[], pool: string): Map<string, string> {
  const due = new Map<string, string>();
  for (const d of domains) {
    for (const m of d.modules) {
      if (!m.module.syncCapable || !m.module.pools.includes(pool) || !d.enabled || !m.enabled) continue;
      for (const ds of m.module.datasets) due.set(ds.datasetId, ds.dueTime);
    }
  }
  return due;
}

export function judge(f: Facts): Evening {
  const due = dueTimes(f.domains, f.pool);
  const coverages = f.coverages.filter((c) => due.has(c.datasetId));
  const today = shanghai(f.now).slice(0, 10);
  const date = dateOf(f, due, coverages, today);
  const counted = coverages.filter((c) => !c.tradeDate || c.tradeDate === date);
  const lacking = counted.filter((c) => !settled(c.verdict));
  const pending = [...due].filter(([id, clock]) =>
    date && clock && f.now < moment(date, clock) && !coverages.some((c) => c.datasetId === id && c.tradeDate === date)).map(([id]) => id).sort();
  const run = f.status.currentRun ?? f.status.queuedRuns[0] ?? null;
  const again = pending.length > 0 || lacking.some((c) => c.fetchedAgain); // by a run without dates
  const verdict = verdictOf(f, due, date, counted, lacking, pending, run);
  return { verdict, date, counted, lacking, pending, run, issues: issuesOf(f, verdict, lacking, again, run), next: again || verdict === "not_due" ? nextOf(f) : 0 };
}

function dateOf(f: Facts, due: Map<string, string>, coverages: Coverage[], today: string): string {
  const open = new Set(coverages.map((c) => c.tradeDate).filter(Boolean));
  if (opensToday(f, due, today)) open.add(today);
  const days = [...open].sort().reverse();
  return days.find((d) => f.now >= eveningOf(f, due, d)) ?? days[0] ?? "";
}

function opensToday(f: Facts, due: Map<string, string>, today: string): boolean {
  if (f.slots.some((s) => s.date === today && s.issues.some((i) => i.reason === "REASON_NOT_TRADING_DAY"))) return false;
  const weekday = new Date(today + "T00:00:00Z").getUTCDay();
  if (weekday === 0 || weekday === 6) return false;
  return [...due.values()].some((clock) => clock && f.now < moment(today, clock));
}

/** When all data of a date is due and the schedule has had a chance to fetch it. */
function eveningOf(f: Facts, due: Map<string, string>, date: string): number {
  let last = 0;
  for (const clock of due.values()) if (clock) last = Math.max(last, moment(date, clock));
  const s = f.schedule;
  if (!scheduled(f)) return last;
  const run = inZone(date, s.runAt, s.timeZone);
  if (run === null) return last;
  if (run >= last) return run;
  let next = last;
  for (const slot of f.slots) {
    const at = Date.parse(slot.dueTime);
    if (slot.pool === f.pool && at > last) next = at;
  }
  return next;
}

/** Whether the schedule runs the pool. */
const scheduled = ({ schedule: s, pool }: Facts): boolean => s.enabled && !s.paused && (s.pools.length === 0 || s.pools.includes(pool));

/** Gives the moment at which a clock in zone shows clock on date. */
function inZone(date: string, clock: string, zone: string): number | null {
  if (zone === "Asia/Shanghai") return moment(date, clock);
  try {
    const want = Date.parse(`${date}T${clock}:00Z`);
    const shown = (at: number) => Date.parse(new Intl.DateTimeFormat("sv-SE", {
      timeZone: zone, year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    }).format(at).replace(" ", "T") + "Z");
    let at = want - (shown(want) - want);
    at -= shown(at) - want; // once more, as the first guess may lie beyond a change of the clocks
    return at;
  } catch {
    return null; // a zone that the browser does not know
  }
}

function verdictOf(f: Facts, due: Map<string, string>, date: string, counted: Coverage[], lacking: Coverage[], pending: string[], run: Run | null): EveningVerdict {
  if (f.emptyTargets) return "empty";
  if (!lacking.length && !pending.length && counted.some((c) => c.tradeDate)) return "whole";
  if (date && f.now < eveningOf(f, due, date) && !lacking.some((c) => c.tradeDate && c.tradeDate < date)) return "not_due";
  if (underWay(f, run)) return "not_whole";
  // Readiness is the current state of token and modules; the last run is used if it is unknown, and for the pool's file.
  const decision = f.readiness?.decision ?? "DECISION_UNSPECIFIED";
  const last = f.status.lastRun;
  const blocked = decision === "DECISION_UNSPECIFIED" ? last?.outcome === "OUTCOME_BLOCKED" : decision === "DECISION_BLOCKED" || fileBlocks(last);
  return blocked ? "blocked" : "not_whole";
}

/** Whether the check of the pool's file blocked a run until a user acts, for example because the disk is full. */
const fileBlocks = (r: Run | null): boolean => r?.outcome === "OUTCOME_BLOCKED" && ofPool(r).some((i) => i.severity === "SEVERITY_BLOCKING");

/** Gives the issues of a run that concern all of the pool, except those of a check of token or modules: readiness has these. */
const ofPool = (r: Run | null): Issue[] =>
  !r || (r.outcome === "OUTCOME_BLOCKED" && r.blockedStage !== "BLOCKED_STAGE_ANALYSIS_INIT") ? [] : r.issues.filter((i) => rank(i) > 0 && !i.moduleId && !i.domainId);

/** Whether a run of the pool is in progress, or about to start. */
const underWay = (f: Facts, run: Run | null): boolean =>
  !!run && (run.state !== "STATE_QUEUED" || !run.notBeforeTime || Date.parse(run.notBeforeTime) <= f.now);

const rank = (i: Issue): number => ["SEVERITY_WARNING", "SEVERITY_RETRY", "SEVERITY_BLOCKING"].indexOf(i.severity);

function issuesOf(f: Facts, verdict: EveningVerdict, lacking: Coverage[], again: boolean, run: Run | null): Issue[] {
  if (verdict !== "blocked" && verdict !== "not_whole") return [];
  const last = f.status.lastRun;
  const now = f.readiness?.issues ?? [];
  const ofLacking = (issues: Issue[] | undefined) => (issues ?? []).filter((i) => rank(i) >= 0 && lacking.some((c) => c.moduleId === i.moduleId));
  const all = [
    ...(verdict === "blocked" ? [...now, ...(!now.length || fileBlocks(last) ? last?.issues ?? [] : [])] : []),
    ...lacking.flatMap((c) => c.issues),
    // why the last run did not get it, or the next will not
    ...(verdict === "not_whole" && again && !underWay(f, run) ? [...(outlived(f) ? [] : [...ofLacking(last?.issues), ...ofPool(last)]), ...ofLacking(now)] : []),
  ];
  const seen = new Set<string>();
  return all
    .filter((i) => {
      const key = i.reason + i.moduleId + i.message;
      return !seen.has(key) && seen.add(key);
    })
    .sort((a, b) => rank(b) - rank(a));
}

/** Whether the last run was stopped by a check of token or modules whose result is another one by now. */
const outlived = (f: Facts): boolean =>
  (f.readiness?.decision ?? "DECISION_UNSPECIFIED") !== "DECISION_UNSPECIFIED" && f.status.lastRun?.outcome === "OUTCOME_BLOCKED" &&
  ["BLOCKED_STAGE_TOKEN", "BLOCKED_STAGE_READINESS"].includes(f.status.lastRun.blockedStage);

function nextOf(f: Facts): number {
  const times: (string | null | undefined)[] = [f.status.nextAskTime];
  if (!f.status.paused) {
    times.push(...f.status.queuedRuns.map((r) => r.notBeforeTime), f.status.lastRun?.retryTime);
    if (scheduled(f)) times.push(f.schedule.nextTime);
  }
  const ahead = times.filter((x): x is string => !!x).map((x) => Date.parse(x)).filter((x) => x > f.now);
  return ahead.length ? Math.min(...ahead) : 0;
}

/** Counts the open days after date up to the newest one listed: 0 is up to date. */
export function daysBehind(coverages: Coverage[], date: string): number {
  const days = new Set(coverages.map((c) => c.tradeDate).filter((d) => d && d > date));
  return days.size;
}
