import { useComputed } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { ApiError, useLive, type Live } from "../lib/api.ts";
import { day, moment } from "../lib/clock.ts";
import { daysBehind, dueTimes, judge, settled, type Evening } from "../lib/evening.ts";
import { count, num, t } from "../lib/i18n.ts";
import { eveningCoverage, eveningSlots, judgeFrom } from "../lib/paths.ts";
import { to } from "../lib/router.ts";
import { Countdown, now, span, weekday, When, ZoneHead } from "../lib/time.tsx";
import type { Coverage, DomainSetting, PoolStatus, PoolVerdict, Schedule, Settings, Slot } from "../lib/types.ts";
import { cellName, cellOf, dataset, moduleName, poolId, poolName, runState, type Tone } from "../lib/words.ts";
import { Act, Card, CellIcon, Empty, Failure, Issues, Loaded, Mark, Page, RunLink } from "../ui.tsx";

const pools = ["POOL_TARGETS", "POOL_UNIVERSE"];

/** Writes a date with its weekday, and "today" if it is. No line ends within the date. */
const named = (date: string): string =>
  `${date.slice(5).replace("-", "-\u2060")} ${weekday(date)}${date === day(now.peek()) ? t("（今天）", " (today)") : ""}`;

export default function Tonight() {
  const status = useLive<{ pools: PoolStatus[] }>("/v1/pools", 3000);
  const busy = status.data?.pools.some((p) => p.currentRun) ?? false;
  const schedule = useLive<{ schedule: Schedule }>("/v1/schedule", 15000);
  const slots = useLive<{ slots: Slot[] }>(eveningSlots, 15000);
  const readiness = useLive<{ verdicts: PoolVerdict[] }>("/v1/readiness", 15000);
  const domains = useLive<{ domains: DomainSetting[] }>("/v1/domains", 60000);
  const settings = useLive<{ settings: Settings }>("/v1/settings", 60000);
  const targets = useLive<{ targets: { symbols: string[] } }>("/v1/targets", 60000);
  const coverage: Record<string, Live<{ coverages: Coverage[] }>> = {
    POOL_TARGETS: useLive(eveningCoverage("targets", now.peek()), busy ? 5000 : 15000),
    POOL_UNIVERSE: useLive(eveningCoverage("universe", now.peek()), busy ? 5000 : 15000),
  };
  const minute = useComputed(() => Math.floor(now.value / 30000) * 30000).value; // a verdict turns by the clock, and twice a minute is enough

  const refresh = () => {
    for (const l of [status, ...Object.values(coverage)]) l.refresh();
  };
  const evenings = new Map<string, Evening>();
  const all = status.data && schedule.data && slots.data && domains.data && targets.data;
  if (all) {
    for (const pool of pools) {
      const held = coverage[pool]!.data;
      const p = status.data!.pools.find((x) => x.pool === pool);
      if (!held || !p) continue;
      evenings.set(pool, judge({
        now: Math.max(minute, coverage[pool]!.at), pool, status: p, domains: domains.data!.domains, coverages: held.coverages, schedule: schedule.data!.schedule,
        slots: slots.data!.slots.filter((s) => s.pool === pool), readiness: readiness.data?.verdicts.find((v) => v.pool === pool),
        emptyTargets: pool === "POOL_TARGETS" && targets.data!.targets.symbols.length === 0,
      }));
    }
  }
  const failed = Object.values(coverage).find((c) => c.error && !c.data)?.error ?? status.error;
  const head = headline(evenings, status.data?.pools, !!all && failed ? failed : undefined);
  const stale = Object.values(coverage).filter((c) => c.error && c.data).map((c) => c.at);
  const old = stale.length ? Math.min(...stale) : 0;
  const next = schedule.data?.schedule;

  return (
    <Page name={t("今晚", "Tonight")} answer={<>{head.text}{old > 0 && <small class="dim"> {t("依据上海时间 ", "As of ")}<When at={old} />{t(" 的内容", " (Shanghai)")}</small>}</>} tone={head.tone}>
      {status.data && all && !evenings.size && failed && <Failure error={failed} retry={refresh} />}
      <div class="grid two">
        {status.data ? status.data.pools.map((p) => (
          <PoolCard key={p.pool} p={p} e={evenings.get(p.pool)} live={coverage[p.pool]!} refresh={refresh} told={!evenings.size} empty={p.pool === "POOL_TARGETS" && targets.data?.targets.symbols.length === 0} />
        )) : <Loaded live={status}>{() => null}</Loaded>}
      </div>
      <div class="grid wide-left">
        <Card title={t("各数据集的到期时间", "What is due when")} note={t("数据源在此之后发布", "the provider publishes after it")} flush>
          {all ? <Expected domains={domains.data!.domains} coverage={coverage} evenings={evenings} /> : <Loaded live={domains}>{() => null}</Loaded>}
        </Card>
        <div class="stack">
          <Card title={t("下一个时段", "The next slot")}>
            <Loaded live={schedule} lines={2}>{() => next!.paused ? (
              <p><Mark tone="hold" /> {t("计划已暂停，到时间的时段会被跳过。", "The schedule is paused; slots that are due are skipped.")} <a href={to("schedule")}>{t("恢复", "Resume it")}</a></p>
            ) : !next!.enabled ? (
              <p><Mark tone="idle" /> {t("计划已停用，不会自动运行。", "The schedule is disabled; nothing runs automatically.")} <a href={to("schedule")}>{t("启用", "Enable it")}</a></p>
            ) : next!.nextTime ? (
              <>
                <p class="big"><Countdown to={next!.nextTime} /></p>
                <p class="dim"><When at={next!.nextTime} seconds={false} full /> · {weekday(day(next!.nextTime))} · {next!.pools.map(poolName).join(t("、", ", "))}</p>
              </>
            ) : <Empty>{t("没有待触发的时段。", "No slot is scheduled.")}</Empty>}</Loaded>
            {next?.enabled && !next.paused && <Issues list={next.issues} most={2} />}
          </Card>
          <Card title={t("如果有数据晚到", "If something is late")}>
            <Loaded live={settings} lines={2}>{({ settings: s }) => (
              <ul class="plain">
                <li>{t(`尚未发布或不足：每 15 分钟重新获取，直到上海时间 ${s.followUpDeadline}。`, `Not published or incomplete: fetched again every 15 minutes until ${s.followUpDeadline} (Shanghai).`)}</li>
                <li>{t("之后：次日上海时间 07:30、08:15，再每两小时一次，直到下一个交易日的数据到期。", "After that: at 07:30, 08:15 and every two hours (Shanghai), until the next trading day's data is due.")}</li>
                <li>{t(`暂时故障：最多重试 ${s.maxFollowUps} 次，间隔渐长。`, `A temporary failure: up to ${count(s.maxFollowUps, "", "more attempt")}, with growing pauses.`)}</li>
              </ul>
            )}</Loaded>
          </Card>
        </div>
      </div>
      <Card title={t("数据新鲜度", "Freshness")} note={t("每个模块最近完整的交易日", "the last complete trade date of each module")} flush>
        {status.data && <Freshness pools={status.data.pools} coverage={coverage} domains={domains.data?.domains} />}
      </Card>
    </Page>
  );
}

function headline(evenings: Map<string, Evening>, status: PoolStatus[] | undefined, error?: Error): { text: ComponentChildren; tone?: Tone } {
  if (!evenings.size) {
    if (error instanceof ApiError && error.reason === "WORKER_UNREACHABLE") {
      return { tone: "warn", text: t("采集器没有应答，无法判断最近一晚的数据是否完整。", "The worker does not respond, so it is unknown whether the last evening's data is complete.") };
    }
    if (error) return { tone: "warn", text: t("现在无法判断。", "The state is unknown now.") };
    return { text: t("正在读取…", "Loading…") };
  }
  const order = ["blocked", "not_whole", "not_due", "whole", "empty"];
  const sorted = [...evenings].sort((a, b) => order.indexOf(a[1].verdict) - order.indexOf(b[1].verdict));
  const [pool, e] = sorted[0]!;
  const p = status?.find((x) => x.pool === pool);
  const name = poolName(pool);
  const gap = idle(p);
  const d = e.date ? named(e.date) : "";
  if (p?.paused && e.verdict !== "whole" && e.verdict !== "empty") return { tone: "hold", text: t(`${name}已暂停，${d} 的数据要等恢复后才会补齐。`, `${name} is paused; ${d} is fetched once it is resumed.`) };
  switch (e.verdict) {
    case "blocked":
      return { tone: "bad", text: t(`${name} ${d} 的数据不完整，而且下一次运行会被阻止。`, `${name}: ${d} is not complete, and the next run is blocked.`) };
    case "not_whole":
      if (e.run && e.run.state !== "STATE_QUEUED") {
        const done = e.run.partitionCount ? t(`，已完成 ${num(e.run.completedPartitionCount)} / ${num(e.run.partitionCount)}`, `: ${num(e.run.completedPartitionCount)} of ${num(e.run.partitionCount)} done`) : "";
        if (gap) return { tone: "run", text: t(`${name}停了 ${gap}，正在补齐${done}。`, `${name} was idle for ${gap} and is catching up${done}.`) };
        return e.run.mode === "MODE_BOOTSTRAP" || unfilled(p)
          ? { tone: "run", text: t(`${name}正在首次填充${done}。`, `${name} is being filled for the first time${done}.`) }
          : { tone: "run", text: t(`${name} ${d} 正在更新${done}。`, `${name}: ${d} is being updated${done}.`) };
      }
      if (unfilled(p)) return { tone: "idle", text: t(`${name}还没有数据：开始第一次运行来填充它。`, `${name} has no data yet: start the first run to fill it.`) };
      return { tone: "warn", text: gap ? t(`${name} ${d} 的数据不完整，已有 ${gap} 没有运行。`, `${name}: ${d} is not complete; nothing has run for ${gap}.`) : t(`${name} ${d} 的数据不完整。`, `${name}: ${d} is not complete.`) };
    case "not_due":
      return { tone: "idle", text: t(`${d} 的数据还没到发布时间。`, `${d} is not due yet.`) };
  }
  const date = [...evenings.values()].filter((x) => x.verdict === "whole").map((x) => x.date).filter(Boolean).sort().pop();
  return { tone: "ok", text: date ? t(`${named(date)} 的数据完整。`, `All data of ${named(date)} is complete.`) : t("没有需要更新的内容。", "There is nothing to update.") };
}

/** How long no run of a pool has ended, where that is longer than any closure of the exchange. */
function idle(p?: PoolStatus): string {
  const ms = p?.lastRun?.endTime ? now.peek() - Date.parse(p.lastRun.endTime) : 0;
  const days = Math.floor(ms / 86400e3);
  return days > 14 ? t(`${days} 天`, count(days, "", "day")) : "";
}

/** Whether no run of a pool has ended with data yet. */
const unfilled = (p?: PoolStatus): boolean => !!p && !p.lastRun && p.moduleDates.every((m) => !m.tradeDate);

function PoolCard({ p, e, live, refresh, told, empty }: { p: PoolStatus; e?: Evening; live: Live<{ coverages: Coverage[] }>; refresh: () => void; told: boolean; empty?: boolean }) {
  const id = poolId(p.pool);
  const run = p.currentRun;
  const tone: Tone = p.paused ? "hold" : run ? "run" : e?.verdict === "whole" ? "ok" : e?.verdict === "blocked" ? "bad" : e?.verdict === "not_whole" ? "warn" : "idle";
  return (
    <section class={"card pool " + tone} data-pool={id} data-verdict={e?.verdict}>
      <h2><Mark tone={tone} />{poolName(p.pool)} {poolName(p.pool) !== id && <code class="dim">{id}</code>}</h2>
      {live.error && !live.data ? (told ? <p class="dim">{t("现在不知道存有哪些数据。", "It is unknown now what is stored.")}</p> : <Failure error={live.error} retry={live.refresh} />) : <p class="verdict">{sentence(p, e, empty)}</p>}
      {live.error && live.data && <p class="stale" role="status"><Mark tone="warn" />{t("判断依据为 ", "Based on data from ")}<When at={live.at} />{t("，之后采集器或编排器没有应答。", "; there has been no response since.")}</p>}
      {run && (
        <div class="progress-line">
          <progress max={Math.max(1, run.partitionCount)} value={run.completedPartitionCount} aria-label={t("进度", "Progress")} />
          <span class="num">{run.partitionCount ? `${num(run.completedPartitionCount)} / ${num(run.partitionCount)}` : runState(run).text}</span>
          <RunLink id={run.runId} />
        </div>
      )}
      {e && <Issues list={e.issues} most={3} />}
      <p class="buttons">
        {p.paused ? (
          <Act label={t("恢复", "Resume")} tone="primary" method="POST" path={`/v1/pools/${id}:resume`} body={{ note: "" }} cli={`afterbell resume ${id}`} ask={t(`恢复${poolName(p.pool)}：被暂停的运行先重新检查，再继续。`, `Resume ${poolName(p.pool)}: a paused run is checked again, then continues.`)} done={refresh} />
        ) : empty ? <a class="button primary" href={to("targets")}>{t("添加代码", "Add symbols")}</a>
          : e?.verdict === "blocked" ? <a class="button primary" href={to("preflight", "", { pool: id })}>{t("预检并运行", "Check and run")}</a>
          : e?.verdict === "not_whole" && !run && p.queuedRuns[0] && !p.queuedRuns[0].notBeforeTime ? <a class="button primary" href={to("runs", p.queuedRuns[0].runId)}>{t("看排队的运行", "See the queued run")}</a>
          : e?.verdict === "not_whole" && !run ? <a class="button primary" href={to("preflight", "", { pool: id })}>{t("现在运行", "Run now")}</a> : null}
        <a class="button" href={to("coverage", "", { pool: id })}>{t("看覆盖", "See coverage")}</a>
        {e?.date && <a class="button" href={to("schedule", `${e.date}.${id}`)}>{t("这一晚的经过", "What happened this evening")}</a>}
      </p>
      <p class="foot">
        {p.lastRun ? <>{t("最近一次运行", "Last run")} <a href={to("runs", p.lastRun.runId)}>{runState(p.lastRun).text}</a> · <When at={p.lastRun.endTime} /></> : t("还没有运行过。", "It has not run yet.")}
        {p.nextAsk && <> · {t("下次", "next")} {p.nextAskTime ? <When at={p.nextAskTime} seconds={false} /> : p.queuedRuns[0] ? <>{t("排队的运行 ", "the queued run ")}<RunLink id={p.queuedRuns[0].runId} /></> : t("随即开始", "at once")}</>}
      </p>
    </section>
  );
}

function sentence(p: PoolStatus, e: Evening | undefined, empty?: boolean): ComponentChildren {
  if (empty) return t("列表里没有代码，所以没有要更新的内容。", "The list has no symbols, so there is nothing to fetch.");
  if (!e) return t("正在读取…", "Loading…");
  const whole = e.counted.length - e.lacking.length;
  const of = e.counted.length + e.pending.length;
  const d = e.date ? named(e.date) : "";
  const pause = p.paused ? t(`已暂停${p.note ? `（${p.note}）` : ""}。`, `Paused${p.note ? ` (${p.note})` : ""}. `) : "";
  const queued = p.queuedRuns[0];
  const next = p.currentRun ? "" : queued && !queued.notBeforeTime ? t("下次获取：已在排队。", " The next run is queued.") : e.next ? <>{t("下次获取：上海时间 ", " It is fetched next at ")}<When at={e.next} seconds={false} />{t("。", " (Shanghai).")}</> : "";
  const names = [...new Set(e.lacking.map((c) => dataset(c.datasetId)))].join(t("、", ", "));
  switch (e.verdict) {
    case "whole":
      return pause + t(`${d}：${whole} 个数据集全部完整。`, whole === 1 ? `${d}: the only dataset is complete.` : `${d}: all ${whole} datasets are complete.`);
    case "not_due":
      return <>{pause}{t(`${d}：还没到时间，已有 ${whole} / ${of}。`, `${d}: not due yet, ${whole} of ${of} there.`)}{next}</>;
    case "blocked":
      return <>{pause}{t(`${d}：缺少 ${names}，而且检查没有通过。`, `${d}: ${names} missing, and a check blocks the run.`)}{next}</>;
    default:
      return <>{pause}{t(`${d}：完整 ${whole} / ${of}${names ? `，缺 ${names}` : ""}。`, `${d}: ${whole} of ${of} complete${names ? `, missing ${names}` : ""}.`)}{next}</>;
  }
}

function Expected({ domains, coverage, evenings }: { domains: DomainSetting[]; coverage: Record<string, Live<{ coverages: Coverage[] }>>; evenings: Map<string, Evening> }) {
  const due = dueTimes(domains, "POOL_UNIVERSE");
  const rows = [...due].filter(([, clock]) => clock).sort((a, b) => a[1].localeCompare(b[1]));
  const date = [...evenings.values()].map((e) => e.date).filter(Boolean).sort().pop() ?? "";
  if (!rows.length) return <Empty>{t("没有启用的模块。", "No module is enabled.")}</Empty>;
  return (
    <div class="scroll"><table>
      <thead><tr><ZoneHead>{t("从", "From")}</ZoneHead><th>{t("数据集", "Dataset")}</th>{pools.map((p) => <th key={p}>{poolName(p)} {date.slice(5)}</th>)}</tr></thead>
      <tbody>
        {rows.map(([id, clock]) => (
          <tr key={id}>
            <td class="num">{clock}</td><td>{dataset(id)} <code class="dim">{id}</code></td>
            {pools.map((p) => {
              const c = coverage[p]!.data?.coverages.find((x) => x.datasetId === id && x.tradeDate === date);
              const early = date && now.value < moment(date, clock);
              if (!c) return <td key={p} class="dim">{early ? t(`${span(moment(date, clock) - now.value)}后`, `in ${span(moment(date, clock) - now.value)}`) : "–"}</td>;
              const cell = cellOf(c.verdict);
              return <td key={p}><span class="nowrap"><CellIcon cell={cell} /> <a href={to("coverage", "", { pool: poolId(p), at: `${id}:${date}` })}>{cellName(cell)}</a></span> <span class="num dim">{num(c.rowCount)}{Number(c.expectedCount) > 0 && ` / ${num(c.expectedCount)}`}</span></td>;
            })}
          </tr>
        ))}
      </tbody>
    </table></div>
  );
}

function Freshness({ pools: list, coverage, domains }: { pools: PoolStatus[]; coverage: Record<string, Live<{ coverages: Coverage[] }>>; domains?: DomainSetting[] }) {
  const off = new Set(domains?.flatMap((d) => d.modules.filter((m) => !d.enabled || !m.enabled).map((m) => m.module.moduleId)));
  const ids = [...new Set(list.flatMap((p) => p.moduleDates.map((m) => m.moduleId)))].filter((id) => !off.has(id));
  if (!ids.length) return <Empty>{t("采集器没有应答，只有它知道存有哪些日期。", "The worker does not respond; only it knows what is stored.")}</Empty>;
  const title = (id: string) => domains?.flatMap((d) => d.modules).find((m) => m.module.moduleId === id)?.module.title ?? id;
  return (
    <div class="scroll"><table>
      <thead><tr><th>{t("模块", "Module")}</th>{list.map((p) => <th key={p.pool}>{poolName(p.pool)}</th>)}</tr></thead>
      <tbody>
        {ids.map((id) => (
          <tr key={id}>
            <td><a href={to("modules", id)}>{moduleName(id, title(id))}</a> <code class="dim">{id}</code></td>
            {list.map((p) => {
              const m = p.moduleDates.find((x) => x.moduleId === id);
              if (!m) return <td key={p.pool} class="dim">–</td>;
              if (!m.tradeDate) return <td key={p.pool}><Mark tone="idle" /> {t("还没有完整的日期", "no complete date yet")}</td>;
              const held = coverage[p.pool]!.data?.coverages.filter((c) => c.moduleId === id && !settled(c.verdict)) ?? [];
              const behind = daysBehind(held, m.tradeDate);
              const far = coverage[p.pool]!.data && m.tradeDate < judgeFrom(now.peek());
              return (
                <td key={p.pool}>
                  <span class="num nowrap"><Mark tone={behind ? "warn" : "ok"} /> {m.tradeDate}</span>{" "}
                  <span class="dim">{behind ? t(`落后 ${far ? "超过 " : ""}${behind} 个交易日`, `${far ? "more than " : ""}${count(behind, "", "trading day")} behind`) : t("最新", "up to date")}</span>
                </td>
              );
            })}
          </tr>
        ))}
      </tbody>
    </table></div>
  );
}
