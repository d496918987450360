import { signal, useComputed, type Signal } from "@preact/signals";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, call, useLive } from "../lib/api.ts";
import { settled } from "../lib/evening.ts";
import { count, num, t } from "../lib/i18n.ts";
import { coveragePath, coveragePool, path } from "../lib/paths.ts";
import { go, route, setQuery, to } from "../lib/router.ts";
import { may } from "../lib/session.ts";
import { span, weekday, When } from "../lib/time.tsx";
import type { Coverage as Row, DomainSetting, Plan, PoolStatus, Run } from "../lib/types.ts";
import { cellName, cellOf, cells, dataset, poolName, runState, verdict, type Cell, type Tone } from "../lib/words.ts";
import { Card, cellPath, CellIcon, Choice, curl, Empty, Failure, Issues, Legend, Loaded, Mark, Page, RunLink, Twin, runCommand, type RunRequest } from "../ui.tsx";

const SIDE = 10, PITCH = 12, TOP = 14, LEFT = 32;

/** One dataset of a pool, by its open days. */
interface Grid {
  id: string;
  module: string;
  days: string[];
  rows: Map<string, Row>;
}

function grids(all: Row[]): { grids: Grid[]; lists: Row[] } {
  const by = new Map<string, Grid>();
  const lists: Row[] = [];
  for (const c of all) {
    if (!c.tradeDate) {
      lists.push(c);
      continue;
    }
    let g = by.get(c.datasetId);
    if (!g) by.set(c.datasetId, (g = { id: c.datasetId, module: c.moduleId, days: [], rows: new Map() }));
    g.rows.set(c.tradeDate, c);
  }
  for (const g of by.values()) g.days = [...g.rows.keys()].sort();
  return { grids: [...by.values()], lists };
}

/** A selection: the days of each dataset. */
type Chosen = Map<string, Set<string>>;

/** Reads a selection: daily:2026-01-05..2026-01-09,2026-01-12;moneyflow:… */
function parse(text: string, all: Grid[]): Chosen {
  const chosen: Chosen = new Map();
  for (const part of text.split(";")) {
    const [id = "", days = ""] = part.split(/:(.*)/s);
    const g = all.find((x) => x.id === id);
    if (!g) continue;
    const set = new Set<string>();
    for (const one of days.split(",")) {
      const [from = "", until = from] = one.split("..");
      for (const d of g.days) if (d >= from && d <= until) set.add(d);
    }
    if (set.size) chosen.set(id, set);
  }
  return chosen;
}

/** Writes a selection as parse reads it. */
function write(chosen: Chosen, all: Grid[]): string {
  return all.filter((g) => chosen.get(g.id)?.size).map((g) =>
    g.id + ":" + ranges(g.days, (d) => chosen.get(g.id)!.has(d), () => false).map(([a, b]) => (a === b ? a : `${a}..${b}`)).join(",")).join(";");
}

/** Returns the ranges of selected days; days between them that may be skipped do not end a range. */
function ranges(days: string[], within: (d: string) => boolean, pass: (d: string) => boolean): [string, string][] {
  const out: [string, string][] = [];
  let open: [string, string] | null = null;
  for (const d of days) {
    if (within(d)) {
      if (open) open[1] = d;
      else out.push((open = [d, d]));
    } else if (open && !pass(d)) open = null;
  }
  return out;
}

/** The fewest requests for runs that fetch a selection. They may include complete days, which are not fetched again. */
function requests(pool: string, chosen: Chosen, all: Grid[], refetch: boolean): RunRequest[] {
  const byModule = new Map<string, Grid[]>();
  for (const g of all) if (chosen.get(g.id)?.size) byModule.set(g.module, [...(byModule.get(g.module) ?? []), g]);
  const byRange = new Map<string, string[]>();
  for (const [module, list] of byModule) {
    const days = [...new Set(all.filter((g) => g.module === module).flatMap((g) => g.days))].sort();
    const whole = (d: string) => all.every((g) => g.module !== module || !g.rows.has(d) || settled(g.rows.get(d)!.verdict));
    for (const [a, b] of ranges(days, (d) => list.some((g) => chosen.get(g.id)!.has(d)), (d) => !refetch && whole(d))) {
      byRange.set(`${a} ${b}`, [...(byRange.get(`${a} ${b}`) ?? []), module]);
    }
  }
  return [...byRange].sort().map(([range, moduleIds]) => {
    const [startDate, endDate] = range.split(" ");
    return { pools: [pool], startDate, endDate, moduleIds, ...(refetch ? { refetch } : {}) };
  });
}

export default function Coverage() {
  const q = route.value.query;
  const pool = coveragePool(q);
  const live = useLive<{ coverages: Row[] }>(coveragePath(q), 30000);
  const status = useLive<{ pool: PoolStatus }>(`/v1/pools/${pool}`, 5000);
  const domains = useLive<{ domains: DomainSetting[] }>("/v1/domains", 0);
  // Disabled modules are shown and not counted.
  const off = useMemo(() => new Set(domains.data?.domains.flatMap((d) => d.modules.filter((m) => !d.enabled || !m.enabled).map((m) => m.module.moduleId))), [domains.data]);
  const { grids: every, lists } = useMemo(() => grids(live.data?.coverages ?? []), [live.data]);
  const all = useMemo(() => every.filter((g) => !off.has(g.module)), [every, off]);
  const sel = q.get("sel") ?? "";
  const chosen = useMemo(() => parse(sel, all), [sel, all]);
  const cursor = useRef<Signal<string>>(signal(q.get("at") ?? "")).current;
  useEffect(() => {
    cursor.value = q.get("at") ?? "";
  }, [q.get("at")]);

  const looking = useComputed(() => cursor.value !== "").value;
  const counts = useMemo(() => {
    const n: Partial<Record<Cell, number>> = {};
    for (const g of all) for (const c of g.rows.values()) n[cellOf(c.verdict)] = (n[cellOf(c.verdict)] ?? 0) + 1;
    return n;
  }, [all]);
  const lacking = (counts.missing ?? 0) + (counts.short ?? 0) + (counts.pending ?? 0);
  const days = Math.max(0, ...all.map((g) => g.days.length));
  const paused = status.data?.pool.paused;
  const run = status.data?.pool.currentRun;
  const head: [string, Tone?] = !live.data ? [live.error instanceof ApiError && live.error.reason === "INVALID_ARGUMENT" ? t("这样的日期范围读不了。", "This range of dates cannot be read.") : live.error ? t("现在无法确定存有哪些数据。", "What is stored cannot be determined now.") : t("正在读取…", "Loading…"), live.error ? "warn" : undefined]
    : !every.length ? [t("还没有任何交易日。", "There are no trade dates yet."), "idle"]
    : lacking ? [t(`${poolName(pool)}：${num(days)} 个交易日里有 ${num(lacking)} 格未完整。`, `${poolName(pool)}: ${count(lacking, "", "cell")} of ${count(days, "", "trading day")} ${lacking === 1 ? "is" : "are"} not complete.`), paused ? "hold" : run ? "run" : "warn"]
    : [t(`${poolName(pool)}：${num(days)} 个交易日全部完整。`, days === 1 ? `${poolName(pool)}: the only trading day is complete.` : `${poolName(pool)}: all ${num(days)} trading days are complete.`), "ok"];
  const choose = (next: Chosen) => setQuery({ sel: write(next, all) });
  const lackingOnly = () => {
    const from: Chosen = chosen.size ? chosen : new Map(all.map((g) => [g.id, new Set(g.days)]));
    const next: Chosen = new Map();
    for (const g of all) next.set(g.id, new Set([...(from.get(g.id) ?? [])].filter((d) => !settled(g.rows.get(d)!.verdict))));
    choose(next);
  };
  const side = [<Inspector key="day" pool={pool} grids={all} cursor={cursor} />, <Backfill key="backfill" pool={pool} grids={all} chosen={chosen} />]; // what is selected comes first
  return (
    <Page name={t("覆盖", "Coverage")} answer={head[0]} tone={head[1]}>
      <div class="bar">
        <Choice label={t("股票池", "Pool")} value={pool} options={[["universe", t("全市场", "universe")], ["targets", t("目标池", "targets")]]} change={(p) => setQuery({ pool: p, sel: "", at: "" })} />
        <label class="check">{t("从", "From")} <input type="date" value={q.get("from") ?? ""} onChange={(e) => setQuery({ from: e.currentTarget.value, sel: "" })} /></label>
        <label class="check">{t("到", "to")} <input type="date" value={q.get("to") ?? ""} onChange={(e) => setQuery({ to: e.currentTarget.value, sel: "" })} /></label>
        <span class="grow" />
        <button onClick={lackingOnly} disabled={!lacking} data-act="missing-only">{chosen.size ? t("只留未完整的", "Keep only incomplete days") : t("选中所有未完整的", "Select all incomplete days")}</button>
        <button onClick={() => choose(new Map())} disabled={!chosen.size}>{t("清除选择", "Clear")}</button>
      </div>
      {paused && <p class="notice" role="status"><Mark tone="hold" />{t("股票池已暂停：下面的空缺不是失败，恢复后会补齐。", "The pool is paused. The gaps below are not failures; they are fetched after it is resumed.")}{status.data?.pool.note && ` ${status.data.pool.note}`}</p>}
      {run && <p class="notice" role="status"><Mark tone="run" />{t("正在更新：", "Updating: ")}<RunLink id={run.runId} /> <span class="num">{run.partitionCount ? `${num(run.completedPartitionCount)} / ${num(run.partitionCount)}` : runState(run).text}</span></p>}
      <Loaded live={live} lines={12}>{() => every.length ? (
        <div class="grid heat-side">
          <div class="stack">
            <Card title={<Legend counts={counts} />}>
              {lists.length > 0 && <ul class="legend">{lists.filter((c) => !off.has(c.moduleId)).map((c) => <li key={c.datasetId}><CellIcon cell={cellOf(c.verdict)} /> {dataset(c.datasetId)} <span class="num">{num(c.rowCount)}</span> <When at={c.commitTime} seconds={false} /></li>)}</ul>}
            </Card>
            {every.length > all.length && <p class="notice"><Mark tone="idle" />{t("已停用，不计入：", "Disabled and not counted: ")}{every.filter((g) => off.has(g.module)).map((g) => <a key={g.id} href={to("modules", g.module)}>{dataset(g.id)}</a>)}</p>}
            {all.map((g) => <Heat key={g.id} g={g} chosen={chosen.get(g.id)} cursor={cursor} choose={(days) => choose(new Map(chosen).set(g.id, days))} clear={() => choose(new Map())} />)}
          </div>
          <div class={looking || chosen.size ? "stack sticky live" : "stack sticky"}>
            {chosen.size ? side.reverse() : side}
          </div>
        </div>
      ) : <Empty>{pool === "targets" ? t("目标列表是空的，或股票池还没有运行过。", "The target list is empty, or the pool has not run yet.") : t("第一次填充还没有开始。", "The first fill has not started.")} <a href={to(pool === "targets" ? "targets" : "preflight")}>{pool === "targets" ? t("编辑列表", "Edit the list") : t("预检并运行", "Check and run")}</a></Empty>}</Loaded>
    </Page>
  );
}

interface Place {
  day: string;
  x: number;
  y: number;
}

interface YearGrid {
  year: string;
  places: Place[];
  width: number;
  rows: number;
  /** The week of the year that the first column stands for. */
  first: number;
}

/** Places the days by year: a column a week, a row a weekday. A single year begins with its first week that counts. */
function layout(days: string[]): YearGrid[] {
  const years = new Map<string, { day: string; week: number; weekday: number }[]>();
  for (const day of days) {
    const year = day.slice(0, 4);
    const first = Date.parse(year + "-01-01T00:00:00Z");
    const n = Math.round((Date.parse(day + "T00:00:00Z") - first) / 86400e3) + ((new Date(first).getUTCDay() + 6) % 7);
    let list = years.get(year);
    if (!list) years.set(year, (list = []));
    list.push({ day, week: Math.floor(n / 7), weekday: n % 7 });
  }
  return [...years].map(([year, list]) => {
    const first = years.size === 1 ? list[0]!.week : 0;
    const last = years.size === 1 ? list.at(-1)!.week : 52;
    return {
      year, first, rows: list.some((d) => d.weekday > 4) ? 7 : 5, width: LEFT + Math.max(last - first + 1, 4) * PITCH,
      places: list.map((d) => ({ day: d.day, x: LEFT + (d.week - first) * PITCH, y: TOP + d.weekday * PITCH })),
    };
  }).reverse();
}

function Heat({ g, chosen, cursor, choose, clear }: { g: Grid; chosen?: Set<string>; cursor: Signal<string>; choose: (days: Set<string>) => void; clear: () => void }) {
  const years = useMemo(() => layout(g.days), [g.days]);
  const anchor = useRef("");
  const at = useMemo(() => new Map(years.flatMap((y) => y.places.map((p) => [p.day, { ...p, year: y.year }] as const))), [years]);
  const mine = cursor.value.startsWith(g.id + ":") ? cursor.value.slice(g.id.length + 1) : "";
  const set = (day: string) => (cursor.value = `${g.id}:${day}`);
  const pick = (day: string, extend: boolean) => {
    const next = new Set(chosen);
    if (extend && anchor.current) {
      const [a, b] = [anchor.current, day].sort() as [string, string];
      for (const d of g.days) if (d >= a && d <= b) next.add(d);
    } else {
      if (next.has(day)) next.delete(day);
      else next.add(day);
      anchor.current = day;
    }
    setQuery({ at: `${g.id}:${day}` });
    choose(next);
  };
  const key = (e: KeyboardEvent) => {
    const i = g.days.indexOf(mine);
    const now = i < 0 ? g.days.length - 1 : i;
    let next = now;
    const week = (dir: number) => {
      const want = Date.parse(g.days[now]! + "T00:00:00Z") + dir * 7 * 86400e3;
      let best = now;
      for (let k = now; k >= 0 && k < g.days.length; k += dir) {
        best = k;
        if (dir * (Date.parse(g.days[k]! + "T00:00:00Z") - want) >= 0) break;
      }
      return best;
    };
    switch (e.key) {
      case "ArrowUp": next = Math.max(0, now - 1); break;
      case "ArrowDown": next = Math.min(g.days.length - 1, now + 1); break;
      case "ArrowLeft": next = week(-1); break;
      case "ArrowRight": next = week(1); break;
      case "Home": next = 0; break;
      case "End": next = g.days.length - 1; break;
      case " ": pick(g.days[now]!, false); e.preventDefault(); return;
      case "Escape": clear(); return;
      default: return;
    }
    e.preventDefault();
    if (i < 0) next = now;
    if (e.shiftKey && !anchor.current) anchor.current = g.days[now]!;
    set(g.days[next]!);
    if (e.shiftKey) pick(g.days[next]!, true);
  };
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => { // a narrow window opens at the newest day
    const newest = at.get(g.days.at(-1)!);
    if (box.current && newest) box.current.scrollLeft = Math.max(0, newest.x + 3 * PITCH - box.current.clientWidth);
  }, [g.id]);
  const lacks = [...g.rows.values()].filter((c) => !settled(c.verdict)).length;
  return (
    <section class="card heat" data-dataset={g.id}>
      <h2>{dataset(g.id)} <code class="dim">{g.id}</code><span class="grow" /><small>{lacks ? t(`${num(lacks)} 天未完整`, `${count(lacks, "", "day")} not complete`) : t("全部完整", "all complete")} · <span class="num">{g.days[0]} – {g.days.at(-1)}</span></small></h2>
      <div ref={box} class="heat-box" tabIndex={0} role="group" aria-label={t(`${dataset(g.id)} 日历：方向键移动，空格选中`, `Calendar of ${dataset(g.id)}: arrows move, Space selects`)} onKeyDown={key}
        onFocus={() => { if (!cursor.peek()) set(g.days.at(-1)!); }}>
        {years.map((y) => (
          <Year key={y.year} y={y} g={g} chosen={chosen} over={set} pick={pick} cursor={at.get(mine)?.year === y.year ? at.get(mine)! : undefined} />
        ))}
      </div>
    </section>
  );
}

const monthsZh = (m: number) => `${m}月`;
const monthsEn = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function Year({ y, g, chosen, over, pick, cursor }: { y: YearGrid; g: Grid; chosen?: Set<string>; over: (day: string) => void; pick: (day: string, extend: boolean) => void; cursor?: Place }) {
  const height = TOP + y.rows * PITCH;
  const index = useMemo(() => new Map(y.places.map((p) => [`${p.x} ${p.y}`, p.day])), [y]);
  // A path for each state draws a year at once, however many days it has.
  const drawn = useMemo(() => {
    const d: Record<Cell, string> = { complete: "", accepted: "", short: "", pending: "", missing: "" };
    for (const p of y.places) {
      const c = cellOf(g.rows.get(p.day)!.verdict);
      d[c] += cellPath(c, p.x, p.y, SIDE);
    }
    return cells.map((c) => d[c] && <path key={c} class={"c-" + c} d={d[c]} />);
  }, [y, g]);
  const months = useMemo(() => {
    const seen = new Map<string, number>();
    for (const p of y.places) if (!seen.has(p.day.slice(5, 7))) seen.set(p.day.slice(5, 7), p.x);
    let last = -99;
    return [...seen].filter(([, x]) => x - last > 23 && (last = x));
  }, [y]);
  const frame = chosen ? y.places.filter((p) => chosen.has(p.day)).map((p) => `M${p.x - 1.5} ${p.y - 1.5}h${SIDE + 3}v${SIDE + 3}h${-SIDE - 3}Z`).join("") : "";
  const find = (e: MouseEvent) => {
    const box = (e.currentTarget as Element).getBoundingClientRect();
    const x = LEFT + Math.floor((e.clientX - box.left - LEFT) / PITCH) * PITCH;
    const yy = TOP + Math.floor((e.clientY - box.top - TOP) / PITCH) * PITCH;
    return index.get(`${x} ${yy}`);
  };
  return (
    <svg width={y.width} height={height} viewBox={`0 0 ${y.width} ${height}`} aria-hidden="true" data-year={y.year} data-first={y.first}
      onMouseMove={(e) => { const d = find(e); if (d) over(d); }} onClick={(e) => { const d = find(e); if (d) pick(d, e.shiftKey); }}>
      <text x="0" y={TOP + 9}>{y.year}</text>
      {months.map(([m, x]) => <text key={m} class="month" x={x} y="9">{t(monthsZh(Number(m)), monthsEn[Number(m) - 1]!)}</text>)}
      {drawn}
      {frame && <path class="chosen" d={frame} />}
      {cursor && <rect class="cursor" x={cursor.x - 2} y={cursor.y - 2} width={SIDE + 4} height={SIDE + 4} rx="2" />}
    </svg>
  );
}

function Inspector({ pool, grids: all, cursor }: { pool: string; grids: Grid[]; cursor: Signal<string> }) {
  const [id = "", date = ""] = cursor.value.split(":");
  const c = all.find((g) => g.id === id)?.rows.get(date);
  const [absent, show] = useState(false);
  useEffect(() => show(false), [cursor.value]);
  return (
    <Card title={c ? <>{dataset(id)} · <span class="num">{date}</span> {weekday(date)}</> : t("一天", "A day")}>
      <div aria-live="polite" data-inspector={c ? cellOf(c.verdict) : ""}>
        {!c ? <Empty>{t("指向或点一格，或用方向键移动，这里显示详情。", "Point at or touch a cell, or move with the arrow keys, to see its details here.")}</Empty> : (
          <div class="plain">
            <p class="verdict"><CellIcon cell={cellOf(c.verdict)} /> {cellName(cellOf(c.verdict))}{verdict(c.verdict) !== cellName(cellOf(c.verdict)) && t("：", ": ") + verdict(c.verdict)}</p>
            <p class="num">{t(`已存 ${num(c.rowCount)} 行`, `${count(c.rowCount, "", "row")} stored`)}{Number(c.expectedCount) > 0 ? t(`，应有 ${num(c.expectedCount)} 行（${((100 * Number(c.rowCount)) / Number(c.expectedCount)).toFixed(1)}%）`, `, ${num(c.expectedCount)} expected (${((100 * Number(c.rowCount)) / Number(c.expectedCount)).toFixed(1)}%)`) : ""}</p>
            {c.commitTime && <p class="dim">{t("提交于上海时间 ", "Committed at ")}<When at={c.commitTime} full /> {c.runId && <RunLink id={c.runId} />}</p>}
            {(Number(c.rejectedCount) > 0 || Number(c.unknownCount) > 0 || Number(c.filteredCount) > 0) && <p class="dim num">{t(`拒收 ${num(c.rejectedCount)} · 未知代码 ${num(c.unknownCount)} · 按规则过滤 ${num(c.filteredCount)}`, `rejected ${num(c.rejectedCount)} · unknown ${num(c.unknownCount)} · filtered ${num(c.filteredCount)}`)}</p>}
            {c.sameAnswerDayCount > 0 && <p class="dim">{t(`同样的不足在 ${c.sameAnswerDayCount} 天里出现过`, `The same incomplete response came on ${count(c.sameAnswerDayCount, "", "day")}`)}</p>}
            <Issues list={c.issues} />
          </div>
        )}
      </div>
      {c?.commitTime && (absent ? <Absent pool={pool} id={id} date={date} /> : <p><button class="small" onClick={() => show(true)}>{t("哪些代码没有数据", "Which symbols have no row")}</button></p>)}
    </Card>
  );
}

function Absent({ pool, id, date }: { pool: string; id: string; date: string }) {
  const live = useLive<{ absentSymbols: { symbol: string; name: string; tradedBefore: boolean }[] }>(path(`/v1/pools/${pool}/absent-symbols`, { dataset_id: id, trade_date: date }));
  return (
    <Loaded live={live} lines={2}>{(d) => d.absentSymbols.length ? (
      <ul class="plain absent">{d.absentSymbols.slice(0, 60).map((s) => <li key={s.symbol}><a href={to("look", s.symbol, { pool })}>{s.symbol}</a> {s.name} {s.tradedBefore && <small class="dim">{t("前一日还有", "had a row the day before")}</small>}</li>)}{d.absentSymbols.length > 60 && <li class="dim">{t(`另有 ${d.absentSymbols.length - 60} 个`, `and ${d.absentSymbols.length - 60} more`)}</li>}</ul>
    ) : <Empty>{t("没有。", "None.")}</Empty>}</Loaded>
  );
}

const MOST = 24;

function Backfill({ pool, grids: all, chosen }: { pool: string; grids: Grid[]; chosen: Chosen }) {
  const refetch = route.value.query.get("refetch") === "1";
  const [price, setPrice] = useState<{ partitions: number; calls: number; ms: number; plans: Plan[] } | null>(null);
  const [error, fail] = useState<Error | null>(null);
  const [asking, ask] = useState(false);
  const [busy, work] = useState(false);
  const [started, setStarted] = useState<Run[]>([]);
  const box = useRef<HTMLDialogElement>(null);
  const list = useMemo(() => requests(`POOL_${pool.toUpperCase()}`, chosen, all, refetch), [pool, chosen, all, refetch]);
  const key = JSON.stringify(list);
  const cellsChosen = [...chosen.values()].reduce((n, s) => n + s.size, 0);
  useEffect(() => {
    setPrice(null);
    fail(null);
    if (!list.length || list.length > MOST) return;
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const sum = { partitions: 0, calls: 0, ms: 0, plans: [] as Plan[] };
        for (const r of list) {
          const a = await call<{ plans: Plan[] }>("POST", "/v1/runs", { ...r, validateOnly: true }, stop.signal);
          for (const p of a.plans) {
            sum.partitions += p.partitionCount;
            sum.calls += p.estimatedCallCount;
            sum.ms += parseFloat(p.estimatedDuration ?? "0") * 1000;
            sum.plans.push(p);
          }
        }
        setPrice(sum);
      } catch (e) {
        if (!stop.signal.aborted) fail(e as Error);
      }
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key]);
  useEffect(() => {
    if (asking) box.current?.showModal();
  }, [asking]);
  const start = async () => {
    work(true);
    fail(null);
    try {
      const runs: Run[] = [];
      for (const r of list) runs.push(...(await call<{ runs: Run[] }>("POST", "/v1/runs", r)).runs);
      setStarted(runs);
      box.current?.close();
      if (runs.length === 1) go(to("runs", runs[0]!.runId));
    } catch (e) {
      fail(e as Error);
    }
    work(false);
  };
  const issues = price?.plans.flatMap((p) => p.issues) ?? [];
  return (
    <Card title={t("补数", "Backfill")}>
      {!cellsChosen ? <Empty>{t("点击选一格，Shift 点击选一段，或选中所有未完整的；确认之前显示调用次数和用时。", "Click a cell, Shift-click a span, or select all that is not complete. The number of calls and the time are shown before you confirm.")}</Empty> : (
        <>
          <p><b class="num" data-selected={cellsChosen}>{num(cellsChosen)}</b> {t("格已选", cellsChosen === 1 ? "cell selected" : "cells selected")}<span class="dim"> · {[...chosen].filter(([, s]) => s.size).map(([id, s]) => `${dataset(id)} ${s.size}`).join(t("，", ", "))}</span></p>
          <label class="check"><input type="checkbox" checked={refetch} onChange={(e) => setQuery({ refetch: e.currentTarget.checked })} />{t("已完整的也重新获取，以便看到修订", "Also fetch complete days again, to see revisions")}</label>
          {list.length > MOST ? <p class="dim">{t(`选择分成了 ${list.length} 段，一次最多 ${MOST} 段。请选连续的日子。`, `The selection has ${list.length} separate spans; at most ${MOST} are allowed. Select consecutive days.`)}</p>
            : error && !asking ? <Failure error={error} />
            : !price ? <p class="dim" aria-busy="true">{t("正在估算…", "Estimating…")}</p>
            : <p class="big" data-price={price.calls}>{price.partitions ? t(`约 ${num(price.calls)} 次调用，${minutes(price.ms)}`, `about ${count(price.calls, "", "call")}, ${minutes(price.ms)}`) : t("没有要取的：都已完整。勾选上面一项可以重新获取。", "Nothing to fetch: everything is complete. Tick the box to fetch it again.")}</p>}
          {issues.length > 0 && <Issues list={issues.slice(0, 4)} />}
          <p class="buttons"><button class="primary" disabled={!price?.partitions || !may("ROLE_OPERATOR")} onClick={() => ask(true)} data-act="backfill">{t("补这些", "Backfill these")}</button></p>
        </>
      )}
      {started.length > 1 && <p class="notice"><Mark tone="ok" />{t("已排队：", "Queued: ")}{started.map((r) => <RunLink key={r.runId} id={r.runId} />)}</p>}
      {asking && price && (
        <dialog ref={box} onClose={() => ask(false)} aria-label={t("确认补数", "Confirm the backfill")}>
          <div class="dialog">
            <h2>{t(`补 ${num(price.partitions)} 个分区`, `Backfill ${count(price.partitions, "", "partition")}`)}</h2>
            <p>{t(`约 ${num(price.calls)} 次调用，${minutes(price.ms)}。`, `About ${count(price.calls, "", "call")}, ${minutes(price.ms)}.`)}{list.length > 1 && t(` 分 ${list.length} 次运行，一个接一个。`, ` In ${list.length} runs, one after the other.`)}</p>
            {error && <Failure error={error} />}
            {list.slice(0, 3).map((r) => <Twin key={runCommand(r)} curl={curl("POST", "/v1/runs", r)} cli={runCommand(r)} />)}
            {list.length > 3 && <p class="dim">{t(`另有 ${list.length - 3} 条`, `and ${list.length - 3} more`)}</p>}
            <p class="buttons"><button onClick={() => box.current?.close()}>{t("返回", "Back")}</button><button class="primary" disabled={busy} onClick={() => void start()} data-act="confirm">{t("开始", "Start")}</button></p>
          </div>
        </dialog>
      )}
    </Card>
  );
}

const minutes = (ms: number): string => (ms < 60000 ? t("不到 1 分钟", "less than a minute") : t(`约 ${span(ms)}`, `about ${span(ms)}`));
