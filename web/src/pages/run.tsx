import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, follow, session, useLive, type Following } from "../lib/api.ts";
import { count, num, t } from "../lib/i18n.ts";
import { path, runPath } from "../lib/paths.ts";
import { go, route, setQuery, to } from "../lib/router.ts";
import { Countdown, now, span, took, When, ZoneHead } from "../lib/time.tsx";
import type { Partition, Phases, Revision, Run, RunEvent } from "../lib/types.ts";
import { cellOf, dataset, mode, partitionState, poolId, poolName, reasonName, runState, short, source, stage, verdict } from "../lib/words.ts";
import { Act, again, Badge, Card, CellIcon, Chain, Choice, Command, Empty, Failure, Here, Issues, Loaded, Mark, Page, reading, RunBadge, runCommand, RunLink, Skeleton } from "../ui.tsx";

/** A stretch of a partition: a dispatch, or the wait for the next one. */
interface Piece {
  id: string;
  kind: "work" | "wait";
  /** Number of the dispatch. */
  attempt: number;
  from: number;
  to: number;
  lane: number;
  end: string;
  phases?: Phases;
}

/** What the events of a run tell, gathered as they come. */
class Story {
  parts = new Map<string, Partition>();
  pieces: Piece[] = [];
  open = new Map<string, Piece>();
  mine = new Map<string, Piece[]>(); // by partition
  lanes: number[] = [];
  planned: { at: number; n: number }[] = [];
  state = "";
  finished?: Run;

  add(e: RunEvent): void {
    const at = Date.parse(e.eventTime);
    if (e.stateChanged) {
      this.state = e.stateChanged.toState;
    } else if (e.planned) {
      this.planned.push({ at, n: e.planned.partitionCount });
    } else if (e.partitionChanged) {
      this.change(e.partitionChanged.partition, at);
    } else if (e.finished) {
      this.finished = e.finished;
      for (const p of this.open.values()) p.to = at;
      this.open.clear();
    }
  }

  private change(p: Partition, at: number): void {
    this.parts.set(p.partitionId, p);
    const state = short(p.state, "STATE");
    const before = this.open.get(p.partitionId);
    if (before) {
      before.to = at;
      before.end = state;
      this.lanes[before.lane] = at;
      this.open.delete(p.partitionId);
    }
    if (p.phases && before) this.merge(p, p.phases, at);
    if (state !== "RUNNING" && state !== "WAITING") return;
    let lane = before?.lane ?? 0;
    if (!before) {
      const busy = new Set([...this.open.values()].map((x) => x.lane));
      while (busy.has(lane)) lane++;
    }
    const piece: Piece = { id: p.partitionId, kind: state === "RUNNING" ? "work" : "wait", attempt: p.attemptCount, from: at, to: Infinity, lane, end: "" };
    this.lanes[lane] = at;
    this.pieces.push(piece);
    this.mine.set(p.partitionId, [...(this.mine.get(p.partitionId) ?? []), piece]);
    this.open.set(p.partitionId, piece);
  }

  /** Makes one piece of a dispatch, waits for limits included, whose phases are known. */
  private merge(p: Partition, phases: Phases, at: number): void {
    const [first, ...rest] = this.mine.get(p.partitionId)!.filter((x) => x.attempt === p.attemptCount);
    if (!first) return;
    first.kind = "work";
    first.to = at;
    first.end = short(p.state, "STATE");
    first.phases = phases;
    for (const x of rest) x.to = x.from = -1; // drawn as part of the first
  }
}

export function RunPage({ id }: { id: string }) {
  const live = useLive<{ run: Run }>(runPath(id), 0);
  const [turn, render] = useState(0); // handed on, as the story stays the same object
  const story = useRef(new Story());
  const [line, setLine] = useState<Following>({ state: "connecting", cuts: 0, missed: 0 });
  const [gone, setGone] = useState<Error | null>(null);
  const fetched = useRef(live);
  fetched.current = live;
  useEffect(() => {
    const stop = new AbortController();
    story.current = new Story();
    follow(id, (events) => {
      const s = story.current;
      const states = events.some((e) => !e.partitionChanged);
      for (const e of events) s.add(e);
      render((n) => n + 1);
      if (states && fetched.current.data?.run.state !== "STATE_FINISHED") fetched.current.refresh(); // one that has ended stays as it is
    }, setLine, stop.signal).catch((e) => !stop.signal.aborted && setGone(e as Error));
    return () => stop.abort();
  }, [id, session.value]);

  if (gone instanceof ApiError && gone.reason === "NOT_FOUND") {
    return <Page name={t("运行", "Run")} answer={t("账本里没有这次运行。", "The ledger has no such run.")} tone="idle"><Failure error={gone} /><p><a class="button" href={to("runs")}>{t("所有运行", "All runs")}</a></p></Page>;
  }
  const s = story.current;
  const base = live.data?.run;
  if (!base) return <Page name={t("运行", "Run")} answer={reading(live)}><Loaded live={live} lines={8}>{() => null}</Loaded></Page>;
  const settledNow = [...s.parts.values()].filter((p) => p.state === "STATE_COMPLETED").length;
  const plannedNow = s.planned.reduce((n, p) => n + p.n, 0);
  const over = base.state === "STATE_FINISHED";
  const r: Run = s.finished && !over ? { ...base, ...s.finished, explanation: base.explanation, localizedExplanation: base.localizedExplanation, nextCommand: base.nextCommand }
    : over ? base : { ...base, state: s.state || base.state, partitionCount: Math.max(base.partitionCount, plannedNow), completedPartitionCount: Math.max(base.completedPartitionCount, settledNow) };
  const ended = r.state === "STATE_FINISHED";
  const st = runState(r);
  const body = again(r);
  return (
    <Page name={t("运行", "Run")} tone={st.tone} answer={headline(r)} side={
      <div class="buttons">
        {!ended && <Act<{ run: Run }> label={t("取消", "Cancel")} tone="danger" method="POST" path={`/v1/runs/${id}:cancel`} body={{ note: "" }} cli={`afterbell cancel ${id}`}
          disabled={r.state === "STATE_CANCELLING"} ask={t("彻底停止这次运行。已提交的分区保留，进行中的回滚。", "Stops the run permanently. What is committed is kept; what is in progress is rolled back.")} done={live.refresh} />}
        {r.state === "STATE_PAUSED" && <Act label={t("恢复股票池", "Resume the pool")} tone="primary" method="POST" path={`/v1/pools/${poolId(r.pool)}:resume`} body={{ note: "" }} cli={`afterbell resume ${poolId(r.pool)}`} ask={t("这次运行先重新检查，再继续。", "The run is checked again, then continues.")} done={live.refresh} />}
        {ended && <Act<{ runs: Run[] }> label={t("再运行一次", "Run again")} tone="primary" method="POST" path="/v1/runs" body={body} cli={runCommand(body)} ask={t("以同样的范围再排一次运行。已完整的不会重取。", "Queues the same run again. Complete data is not fetched again.")} done={(a) => a.runs[0] && go(to("runs", a.runs[0].runId))} />}
        {ended && <Verify id={id} />}
      </div>
    }>
      {line.state === "cut" && <p class="stale" role="status" data-stream="cut"><Mark tone="warn" />{t("事件流断开，正在重连；下面停在断开时。", "The event stream was interrupted and is being resumed. The data below is from before the interruption.")}</p>}
      {line.state !== "cut" && line.cuts > 0 && <p class="notice" role="status" data-stream="resumed"><Mark tone="ok" />{t(`事件流断开过 ${line.cuts} 次，已接上；补回 ${line.missed} 个事件，没有遗漏。`, `The stream was cut ${line.cuts === 1 ? "once" : `${line.cuts} times`} and resumed; ${count(line.missed, "", "event")} received late, none lost.`)}</p>}
      {ended && r.issues.length > 0 && r.outcome !== "OUTCOME_SUCCEEDED" && <Card title={r.outcome === "OUTCOME_BLOCKED" ? t("为什么被阻止", "Why it was blocked") : t("没有成功的原因", "Why it did not succeed")} note={t("账本原文", "as in the ledger")}><Issues list={r.issues} /></Card>}
      <dl class="facts">
        <div><dt>{t("状态", "State")}</dt><dd><RunBadge run={r} /></dd></div>
        <div><dt>{t("股票池", "Pool")}</dt><dd>{poolName(r.pool)}</dd></div>
        <div><dt>{t("触发", "Trigger")}</dt><dd>{source(r.source)} · {mode(r.mode)}{r.slotId && <> · <a href={to("schedule", r.slotId)}>{r.slotId}</a></>}</dd></div>
        <div><dt>{t("开始（上海）", "Started (Shanghai)")}</dt><dd><When at={r.startTime} /></dd></div>
        <div><dt>{r.endTime || !r.startTime ? t("结束（上海）", "Ended (Shanghai)") : t("已用时", "Time so far")}</dt><dd>{r.endTime ? <When at={r.endTime} /> : r.startTime ? <span class="num">{span(now.value - Date.parse(r.startTime))}</span> : "–"}</dd></div>
        <div><dt>{t("分区", "Partitions")}</dt><dd class="num">{num(r.completedPartitionCount)} / {num(r.partitionCount)}</dd></div>
        <div><dt>{t("调用", "Calls")}</dt><dd class="num">{num(r.callCount)}</dd></div>
        <div><dt>{t("行", "Rows")}</dt><dd class="num">{num(r.rowCount)} <small class="dim">{t(`新 ${num(r.newCount)} · 变 ${num(r.changedCount)} · 去 ${num(r.goneCount)}`, `new ${num(r.newCount)} · changed ${num(r.changedCount)} · gone ${num(r.goneCount)}`)}</small></dd></div>
      </dl>
      {!ended && r.partitionCount > 0 && <div class="progress-line"><progress max={r.partitionCount} value={r.completedPartitionCount} aria-label={t("进度", "Progress")} /><span class="num">{Math.floor((100 * r.completedPartitionCount) / r.partitionCount)}%</span></div>}
      <Card title={t("时间线", "Timeline")} note={ended && line.state === "live" ? <span aria-busy="true">{t("正在读取事件，时间线和分区还不完整", "reading the events; timeline and partitions are not complete yet")}</span> : t("每条是一个分区：等待、获取、检查、提交", "each bar is a partition: wait, fetch, check, commit")}>{!s.pieces.length && (line.state === "connecting" || (ended && line.state === "live")) ? <Skeleton lines={3} /> : <Timeline story={s} turn={turn} tick={line.state === "live" && !ended ? now.value : 0} />}</Card>
      <div class="grid wide-left">
        <Partitions story={s} turn={turn} run={r} />
        <div class="stack">
          <Card title={t("经过", "What happened")}>
            <Chain told={r} />
          </Card>
          <Related run={r} />
          {ended && r.outcome === "OUTCOME_SUCCEEDED" && r.issues.length > 0 && <Card title={t("提示", "Notes")}><Issues list={r.issues} /></Card>}
        </div>
      </div>
      {r.revisions && <Revisions run={r} />}
    </Page>
  );
}

function headline(r: Run): ComponentChildren {
  const name = poolName(r.pool);
  switch (short(r.state, "STATE")) {
    case "QUEUED":
      return r.notBeforeTime ? <>{t(`${name}：排队，上海时间 `, `${name}: queued, starts after `)}<When at={r.notBeforeTime} seconds={false} />{t(" 之后开始。", " in Shanghai.")}</> : t(`${name}：排队中。`, `${name}: queued.`);
    case "CHECKING":
      return t(`${name}：正在检查能否运行。`, `${name}: checking whether it can run.`);
    case "RUNNING":
      if (!r.partitionCount) return t(`${name}：进行中，正在计划。`, `${name}: running, planning.`);
      return t(`${name}：进行中，完成 ${num(r.completedPartitionCount)} / ${num(r.partitionCount)}。`, `${name}: running, ${num(r.completedPartitionCount)} of ${num(r.partitionCount)} done.`);
    case "PAUSED":
      return t(`${name}：已暂停，恢复后继续。这不是失败。`, `${name}: paused; it continues after it is resumed. This is not a failure.`);
    case "CANCELLING":
      return t(`${name}：正在取消，等采集器确认。`, `${name}: cancelling; waiting for the worker to confirm.`);
  }
  const why = r.issues[0] ? reasonName(r.issues[0].reason) : "";
  switch (short(r.outcome, "OUTCOME")) {
    case "SUCCEEDED":
      return t(`${name}：成功，到 ${r.asOfTradeDate || "–"}。`, `${name}: succeeded, up to ${r.asOfTradeDate || "–"}.`);
    case "UNCHANGED":
      return t(`${name}：没有需要更新的内容。`, `${name}: nothing to update.`);
    case "PARTIAL":
      return t(`${name}：部分完成，${num(r.partitionCount - r.completedPartitionCount)} 个分区未完成：${why}。`, `${name}: partial, ${count(r.partitionCount - r.completedPartitionCount, "", "partition")} not complete: ${why}.`);
    case "BLOCKED":
      return t(`${name}：在${stage(r.blockedStage)}被阻止：${why}。`, `${name}: blocked at ${stage(r.blockedStage)}: ${why}.`);
    case "CANCELLED":
      return t(`${name}：已取消，完成的 ${num(r.completedPartitionCount)} 个分区保留。`, `${name}: cancelled; ${count(r.completedPartitionCount, "", "partition")} that were complete are kept.`);
  }
  return t(`${name}：失败：${why}。`, `${name}: failed: ${why}.`);
}

interface Difference {
  partitionId: string;
  rowCount: string;
  duplicateCount: string;
  coverageCount: string;
  claimedCount: string;
  message: string;
  altered: boolean;
}

interface Verified {
  checkedCount: number;
  differences: Difference[];
}

/** Says a difference: in Chinese by its numbers, in English as the answer does. */
function differs(d: Difference): string {
  const counts = [
    `文件中 ${num(d.rowCount)} 行`, Number(d.duplicateCount) > 0 && `其中重复 ${num(d.duplicateCount)} 行`,
    d.coverageCount !== d.rowCount && `覆盖记录为 ${num(d.coverageCount)} 行`, d.claimedCount !== d.rowCount && `这次运行提交了 ${num(d.claimedCount)} 行`, d.altered && "内容已不是提交时的内容",
  ];
  return t(`${d.partitionId}：${counts.filter(Boolean).join("，")}。`, d.message);
}

function Verify({ id }: { id: string }) {
  const [found, tell] = useState<Verified | null>(null);
  return (
    <>
      <Act<Verified> label={t("校验", "Verify")} method="POST" path={`/v1/runs/${id}:verify`} body={{}} cli={`afterbell verify ${id}`} ask={t("从数据文件重新读取这次运行的分区，与提交时的内容比较。", "Reads the run's partitions from the pool's file again and compares them with what was committed.")} done={tell} />
      {found && <p class="notice" role="status" data-verified={found.differences.length}><Mark tone={found.differences.length ? "bad" : "ok"} />{found.differences.length
        ? t(`读了 ${found.checkedCount} 个分区，${found.differences.length} 个不同。`, `${count(found.checkedCount, "", "partition")} read, ${found.differences.length} ${found.differences.length === 1 ? "differs" : "differ"}.`)
        : t(`读了 ${num(found.checkedCount)} 个分区，全部一致。`, `${count(found.checkedCount, "", "partition")} read, no difference.`)}{found.differences.slice(0, 5).map((d) => <span key={d.partitionId} data-difference> {differs(d)}</span>)}</p>}
    </>
  );
}

const phaseNames: [keyof Phases, string, string, string][] = [["waitMs", "wait", "等待", "wait"], ["fetchMs", "fetch", "获取", "fetch"], ["checkMs", "check", "检查", "check"], ["commitMs", "commit", "提交", "commit"]];
const total = (p: Phases): number => phaseNames.reduce((n, [k]) => n + Number(p[k]), 0);
const phaseWords = (p: Phases): string => phaseNames.map(([k, , zh, en]) => `${t(zh, en)} ${took(Number(p[k]))}`).join(" · ");

/** Height and place of a phase within its lane, as shares, so that it can be told without colour. */
const shapes: Record<string, [number, number]> = { wait: [0.36, 0.28], fetch: [0, 1], check: [0.18, 0.64], commit: [0, 1], hold: [0.36, 0.28] };

function Timeline({ story, turn, tick }: { story: Story; turn: number; tick: number }) {
  const [over, hover] = useState<Piece | null>(null);
  const W = 1000, H = 9, gap = 3;
  const pieces = useMemo(() => story.pieces.filter((p) => p.from >= 0), [turn, story.pieces.length]);
  const first = pieces[0]?.from ?? 0;
  const end = Math.max(first + 1, tick, ...[story.finished?.endTime ? Date.parse(story.finished.endTime) : 0], pieces.reduce((m, p) => Math.max(m, p.to === Infinity ? p.from : p.to), 0));
  const lanes = Math.max(1, story.lanes.length);
  const x = (at: number) => ((at - first) / (end - first)) * W;
  const box = (from: number, to: number, lane: number, kind: string) => {
    const [top, height] = shapes[kind] ?? [0, 1];
    const a = x(from), b = Math.max(x(Math.min(to, end)), a + 0.8);
    return `M${a.toFixed(1)} ${(lane * (H + gap) + top * H).toFixed(1)}H${b.toFixed(1)}v${(height * H).toFixed(1)}H${a.toFixed(1)}Z`;
  };
  const sums = useMemo(() => [...story.parts.values()].reduce<Phases | null>((all, p) => p.phases ? Object.fromEntries(phaseNames.map(([k]) => [k, String(Number(all?.[k] ?? 0) + Number(p.phases![k]))])) as unknown as Phases : all, null), [turn, story]);
  const drawn = useMemo(() => {
    const d = new Map<string, string[]>();
    const put = (key: string, path: string) => {
      const all = d.get(key);
      if (all) all.push(path);
      else d.set(key, [path]);
    };
    for (const p of pieces) {
      if (!p.phases) {
        const key = p.kind === "wait" ? "hold" : p.end === "FAILED" ? "failed" : p.end === "CANCELLED" ? "cancelled" : p.end ? "plain" : "fetch";
        put(key, box(p.from, p.to, p.lane, key));
        continue;
      }
      // Events are stamped by another process, so that a dispatch may seem shorter than its phases.
      const scale = Math.min(1, (p.to - p.from) / Math.max(1, total(p.phases)));
      let at = p.from;
      for (const [k, name] of phaseNames) {
        const ms = Number(p.phases[k]) * scale;
        if (ms > 0) put(name, box(at, at + ms, p.lane, name));
        at += ms;
      }
      if (p.end === "FAILED") put("failed", box(p.to, p.to, p.lane, "failed"));
    }
    return [...d].map(([key, all]) => <path key={key} class={"t-" + key} d={all.join("")} />);
  }, [turn, end]);
  if (!pieces.length) return <Empty>{t("没有分区交给过采集器。", "No partition was sent to the worker.")}</Empty>;
  const find = (e: MouseEvent) => {
    const r = (e.currentTarget as Element).getBoundingClientRect();
    const at = first + ((e.clientX - r.left) / r.width) * (end - first);
    const lane = Math.floor(((e.clientY - r.top) / r.height) * lanes);
    const slack = (end - first) / 400;
    return pieces.findLast((p) => p.lane === lane && at >= p.from - slack && at <= Math.min(p.to, end) + slack) ?? null;
  };
  const key = (e: KeyboardEvent) => {
    const i = over ? pieces.indexOf(over) : -1;
    const next = ({ ArrowRight: i + 1, ArrowDown: i + 1, ArrowLeft: i < 0 ? pieces.length - 1 : i - 1, ArrowUp: i < 0 ? pieces.length - 1 : i - 1, Home: 0, End: pieces.length - 1 } as Record<string, number>)[e.key];
    if (e.key === "Escape") hover(null);
    else if (next === undefined) return;
    else hover(pieces[Math.max(0, Math.min(pieces.length - 1, next))]!);
    e.preventDefault();
  };
  return (
    <figure class="timeline">
      <div class="lanes" tabIndex={0} role="group" data-timeline onKeyDown={key} onFocus={() => over || hover(pieces[0]!)} onBlur={() => hover(null)}
        aria-label={t(`时间线，${num(pieces.length)} 段：方向键逐段查看`, `Timeline of ${count(pieces.length, "", "piece")}: use the arrow keys to go through them`)}>
        <svg viewBox={`0 0 ${W} ${lanes * (H + gap)}`} preserveAspectRatio="none" style={{ height: lanes * (H + gap) + "px" }} aria-hidden="true" onMouseMove={(e) => hover(find(e))} onMouseLeave={() => hover(null)}>
          {drawn}
          {over && over.from >= 0 && <path class="t-over" d={box(over.from, Math.max(over.to, over.from + (end - first) / 300), over.lane, "over")} />}
        </svg>
      </div>
      <div class="axis num"><When at={first} /><span>{span(end - first)} · {t("上海时间", "Shanghai time")}</span><When at={end} /></div>
      <figcaption aria-live="polite">
        {over ? <Told piece={over} story={story} end={end} />
          : <>
            <ul class="legend">{phaseNames.map(([, id, zh, en]) => <li key={id}><i class={"sw t-" + id} />{t(zh, en)}</li>)}<li><i class="sw t-hold" />{t("等待重试", "waits to retry")}</li><li><i class="sw t-failed" />{t("未完成", "not complete")}</li></ul>
            {sums ? <p class="dim num">{t("各阶段合计：", "Total of all partitions: ")}{phaseWords(sums)}</p> : story.finished && <p class="dim">{t("这次运行没有记录各阶段的时间。", "The times of the phases were not recorded for this run.")}</p>}
          </>}
      </figcaption>
    </figure>
  );
}

/** Says a piece of the timeline in words. */
function Told({ piece: p, story, end }: { piece: Piece; story: Story; end: number }) {
  const part = story.parts.get(p.id)!;
  const plan = p.attempt === 1 && p.kind === "work" ? story.planned.findLast((x) => x.at <= p.from) : undefined;
  return (
    <p data-told>
      <b>{dataset(part.datasetId)}</b> <span class="num">{part.startDate || t("快照", "snapshot")}{part.endDate !== part.startDate && part.endDate ? ` – ${part.endDate}` : ""}</span>
      {" · "}{p.kind === "wait" ? t("等待", "waiting") : p.end ? partitionState("STATE_" + p.end).text : partitionState("STATE_RUNNING").text}
      {p.attempt > 1 && t(`（第 ${p.attempt} 次）`, ` (attempt ${p.attempt})`)}
      <span class="num">
        {plan && ` · ${t("排队", "queued")} ${took(p.from - plan.at)}`}
        {" · "}{p.phases ? phaseWords(p.phases) : `${t("共", "in all")} ${took((p.to === Infinity ? end : p.to) - p.from)}`}
        {p.end && p.kind === "work" && ` · ${num(part.rowCount)} ${t("行", "rows")}`}
      </span>
      {!p.phases && p.kind === "work" && p.end && <span class="dim"> · {t("没有各阶段的时间：未提交，或由旧版本记录。", "no times of the phases: nothing was committed, or an earlier release recorded it.")}</span>}
    </p>
  );
}

function Partitions({ story, run }: { story: Story; turn: number; run: Run }) {
  const q = route.value.query;
  const only = q.get("parts") ?? "";
  const [most, setMost] = useState(40);
  const all = [...story.parts.values()].reverse();
  const bad = all.filter((p) => p.state === "STATE_FAILED" || p.state === "STATE_WAITING");
  const found = all.filter((p) => p.issues.length);
  const some = only === "bad" ? bad : only === "found" ? found : all;
  const one = some.find((p) => p.partitionId === q.get("row")); // an address names it: it comes first, so that it is drawn
  const shown = one ? [one, ...some.filter((p) => p !== one)] : some;
  const groups = new Map<string, { n: number; done: number; rows: number; calls: number }>();
  for (const p of all) {
    const g = groups.get(p.datasetId) ?? { n: 0, done: 0, rows: 0, calls: 0 };
    g.n++;
    if (p.state === "STATE_COMPLETED") g.done++;
    g.rows += Number(p.rowCount);
    g.calls += p.callCount;
    groups.set(p.datasetId, g);
  }
  return (
    <div class="stack">
      <Card title={t("数据集", "Datasets")} flush>
        {groups.size ? <div class="scroll"><table><thead><tr><th>{t("数据集", "Dataset")}</th><th class="r">{t("完成", "Settled")}</th><th class="r">{t("行", "Rows")}</th><th class="r">{t("调用", "Calls")}</th></tr></thead>
          <tbody>{[...groups].map(([id, g]) => <tr key={id}><td><Here row={id}>{dataset(id)}</Here> <code class="dim">{id}</code></td><td class="r num">{num(g.done)} / {num(g.n)}</td><td class="r num">{num(g.rows)}</td><td class="r num">{num(g.calls)}</td></tr>)}</tbody></table></div>
          : <Empty>{run.state === "STATE_FINISHED" ? t("没有计划任何分区。", "No partitions were planned.") : t("还没有计划。", "Nothing has been planned yet.")}</Empty>}
      </Card>
      <Card title={t("分区", "Partitions")} flush note={<Choice label={t("分区", "Partitions")} value={only} options={[["", t(`全部 ${num(all.length)}`, `All ${num(all.length)}`)], ["bad", t(`未完成 ${bad.length}`, `Not complete ${bad.length}`)], ["found", t(`有发现 ${found.length}`, `Findings ${found.length}`)]]} change={(v) => setQuery({ parts: v })} />}>
        {shown.length ? (
          <div class="scroll"><table>
            <thead><tr><th>{t("数据集", "Dataset")}</th><th>{t("日期", "Date")}</th><th>{t("状态", "State")}</th><th>{t("结论", "Verdict")}</th><th class="r">{t("行 / 应有", "Rows / expected")}</th><th class="r">{t("次", "Tries")}</th></tr></thead>
            <tbody>{shown.slice(0, most).map((p) => {
              const s = partitionState(p.state);
              return (
                <Fragment key={p.partitionId}><tr data-partition={p.partitionId}>
                  <td><Here row={p.partitionId}>{dataset(p.datasetId)}</Here>{p.recheck && <small class="dim"> {t("复查", "recheck")}</small>}</td>
                  <td class="num">{p.startDate ? <a href={to("coverage", "", { pool: poolId(run.pool), at: `${p.datasetId}:${p.startDate}` })}>{p.startDate}{p.endDate !== p.startDate ? ` – ${p.endDate}` : ""}</a> : t("快照", "snapshot")}</td>
                  <td><Badge tone={s.tone}>{s.text}</Badge>{p.retryTime && p.state === "STATE_WAITING" && <small> <Countdown to={p.retryTime} /></small>}</td>
                  <td class="nowrap">{p.verdict !== "VERDICT_UNSPECIFIED" && <><CellIcon cell={cellOf(p.verdict)} /> {verdict(p.verdict)}</>}</td>
                  <td class="r num">{num(p.rowCount)}{Number(p.expectedCount) > 0 && ` / ${num(p.expectedCount)}`}</td><td class="r num">{p.attemptCount}</td>
                </tr>{p.issues.length > 0 && <tr class="more-of"><td colSpan={6}><Issues list={p.issues} /></td></tr>}</Fragment>
              );
            })}</tbody>
          </table></div>
        ) : <Empty>{only ? t("没有这样的分区。", "There are none.") : t("还没有分区。", "There are no partitions yet.")}</Empty>}
        {shown.length > most && <p class="more"><button onClick={() => setMost(most + 200)}>{t(`再显示 200 个（共 ${num(shown.length)}）`, `200 more of ${num(shown.length)}`)}</button></p>}
      </Card>
    </div>
  );
}

function Related({ run }: { run: Run }) {
  const live = useLive<{ runs: Run[] }>(path("/v1/runs", { pool: poolId(run.pool), page_size: 100 }), 0);
  const follow = live.data?.runs.filter((r) => r.followsRunId === run.runId) ?? [];
  if (!run.followsRunId && !follow.length && !run.retryTime && !run.preflightId) return null;
  return (
    <Card title={t("前后", "Before and after")}>
      <ul class="plain">
        {run.followsRunId && <li>{t("接着 ", "Follows ")}<RunLink id={run.followsRunId} /></li>}
        {follow.map((r) => <li key={r.runId}>{t("后续 ", "Followed by ")}<RunLink id={r.runId} /> <RunBadge run={r} /></li>)}
        {run.retryTime && !follow.length && <li>{t("将在上海时间 ", "A follow-up is due at ")}<When at={run.retryTime} />{t(" 再试", " (Shanghai)")}</li>}
        {run.preflightId && <li class="dim">{t("预检 ", "Preflight ")}<code>{run.preflightId.slice(-12)}</code></li>}
      </ul>
    </Card>
  );
}

function Revisions({ run }: { run: Run }) {
  const live = useLive<{ revisions: Revision[]; nextPageToken: string }>(path("/v1/revisions", { pool: poolId(run.pool), run_id: run.runId, page_size: 50 }), 0);
  return (
    <Card title={t("修订", "Revisions")} note={t(`数据源改动了 ${num(run.revisions!.valueCount)} 个值，旧值保留`, `the provider changed ${count(run.revisions!.valueCount, "", "value")}; the old values are kept`)} flush>
      <Loaded live={live}>{(d) => (
        <div class="scroll"><table>
          <thead><tr><th>{t("代码", "Symbol")}</th><th>{t("日期", "Date")}</th><th>{t("列", "Column")}</th><th class="r">{t("旧值", "Old")}</th><th class="r">{t("新值", "New")}</th><ZoneHead>{t("看到时间", "Seen")}</ZoneHead></tr></thead>
          <tbody>{d.revisions.map((v) => <tr key={v.revisionId}><td><a href={to("look", v.symbol, { pool: poolId(run.pool) })}>{v.symbol}</a></td><td class="num">{v.tradeDate || "–"}</td><td><Here row={v.revisionId}>{v.column}</Here></td><td class="r num">{v.oldValue ?? "null"}</td><td class="r num">{v.change === "CHANGE_DROPPED" ? t("行已消失", "row gone") : v.newValue ?? "null"}</td><td><When at={v.seenTime} /></td></tr>)}</tbody>
        </table></div>
      )}</Loaded>
      <p class="more"><Command label="afterbell" text={`afterbell revisions ${poolId(run.pool)} --run ${run.runId}`} /></p>
    </Card>
  );
}
