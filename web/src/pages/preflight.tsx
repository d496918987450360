import { useEffect, useRef, useState } from "preact/hooks";
import { call, stream, useLive } from "../lib/api.ts";
import { count, num, t } from "../lib/i18n.ts";
import { go, route, setQuery, to } from "../lib/router.ts";
import { may } from "../lib/session.ts";
import { Ago, duration, When, ZoneHead } from "../lib/time.tsx";
import type { DomainSetting, PoolVerdict, Preflight as Record_, PreflightEvent, Probe, Run } from "../lib/types.ts";
import { decision, moduleName, poolId, poolName, probeStatus, reasonName, type Tone } from "../lib/words.ts";
import { Badge, Card, Choice, curl, Empty, Failure, Here, Issues, Loaded, Mark, Page, runCommand, Twin } from "../ui.tsx";

interface Line {
  id: string;
  state: "waiting" | "checking" | "done";
  probe?: Probe;
  reused?: boolean;
  since?: number;
}

export default function Preflight() {
  const pool = route.value.query.get("pool") ?? "both";
  const pools = pool === "targets" ? ["POOL_TARGETS"] : pool === "universe" ? ["POOL_UNIVERSE"] : ["POOL_TARGETS", "POOL_UNIVERSE"];
  const reuse = route.value.query.get("reuse") === "1";
  const probes = useLive<{ probes: Probe[] }>("/v1/probes", 0);
  const domains = useLive<{ domains: DomainSetting[] }>("/v1/domains", 0);
  const past = useLive<{ preflights: Record_[] }>("/v1/preflights?page_size=8", 0);
  const readiness = useLive<{ verdicts: PoolVerdict[] }>("/v1/readiness", 0);
  const [lines, setLines] = useState<Line[]>([]);
  const [verdicts, setVerdicts] = useState<PoolVerdict[] | null>(null);
  const [state, setState] = useState<"idle" | "running" | "done" | "cut">("idle");
  const [error, setError] = useState<Error | null>(null);
  const [started, setStarted] = useState<Run[]>([]);
  const [refused, setRefused] = useState<Error | null>(null);
  const stop = useRef<AbortController | null>(null);
  useEffect(() => () => stop.current?.abort(), []);

  const body = { pools, ...(reuse ? { maxProbeAge: "86400s" } : {}) };
  const check = async (): Promise<PoolVerdict[] | null> => {
    stop.current?.abort();
    const mine = (stop.current = new AbortController());
    setState("running");
    setError(null);
    setVerdicts(null);
    setLines([]);
    setStarted([]);
    setRefused(null);
    const found: PoolVerdict[] = [];
    let whole = false;
    try {
      for await (const m of stream<{ event?: PreflightEvent }>("POST", "/v1/preflights:run", body, mine.signal)) {
        const e = m.event;
        if (!e) continue;
        if (e.started) setLines(e.started.moduleIds.map((id) => ({ id, state: "waiting" })));
        else if (e.moduleStarted) {
          const id = e.moduleStarted.moduleId;
          setLines((all) => upsert(all, { id, state: "checking", since: Date.parse(e.eventTime) }));
        } else if (e.moduleChecked) {
          const { probe, reused } = e.moduleChecked;
          setLines((all) => upsert(all, { id: probe.moduleId, state: "done", probe, reused }));
        } else if (e.poolDecided) {
          found.push(e.poolDecided);
          setVerdicts([...found]);
        } else if (e.completed) whole = true;
      }
      setState(whole ? "done" : "cut");
    } catch (e) {
      if (mine.signal.aborted) return null;
      setError(e as Error);
      setState("cut");
    }
    probes.refresh();
    past.refresh();
    readiness.refresh();
    return whole ? found : null;
  };
  // A run is started whatever the verdict: a blocked one is recorded as blocked, and
  // its page says what the ledger says.
  const run = async () => {
    if (!(await check())) return;
    try {
      const answer = await call<{ runs: Run[] }>("POST", "/v1/runs", { pools });
      setStarted(answer.runs);
      if (answer.runs.length === 1) go(to("runs", answer.runs[0]!.runId));
    } catch (e) {
      setRefused(e as Error);
    }
  };

  const shown = verdicts ?? readiness.data?.verdicts.filter((v) => pools.includes(v.pool)) ?? [];
  const blocked = shown.filter((v) => v.decision === "DECISION_BLOCKED" || v.decision === "DECISION_RETRY");
  const later = blocked.every((v) => v.decision === "DECISION_RETRY");
  const worst = blocked.flatMap((v) => v.issues).find((i) => i.severity !== "SEVERITY_WARNING");
  const why = worst ? reasonName(worst.reason) : "";
  const unprobed = !verdicts && !!probes.data && probes.data.probes.every((p) => p.status === "STATUS_UNTESTED" || p.status === "STATUS_UNSUPPORTED");
  const head: [string, Tone?] = state === "running"
    ? [t(`正在检查 ${lines.filter((l) => l.state === "done").length} / ${lines.length || "…"} 个模块。`, `Checking: ${lines.filter((l) => l.state === "done").length} of ${lines.length || "…"} done.`), "run"]
    : state === "cut" ? [t("预检在得出结论前中断，没有结果。", "The preflight was interrupted before its verdict, so nothing is known."), "warn"]
    : !shown.length ? [t("按下按钮，看看现在能不能采集。", "Press the button to see whether data can be fetched now.")]
    : blocked.length ? [t(`${blocked.map((v) => poolName(v.pool)).join("、")}${later ? "暂时" : "现在"}不能运行${why && `：${why}`}。`, `${blocked.map((v) => poolName(v.pool)).join(" and ")} cannot run ${later ? "for the moment" : "now"}${why && `: ${why}`}.`), later ? "warn" : "bad"]
    : unprobed ? [t("还没有探测过：检查一次，看看现在能不能采集。", "Nothing has been probed yet: check whether data can be fetched now."), "idle"]
    : [verdicts ? t("可以运行。", "Data can be fetched now.") : t("按最近的探测，可以运行。", "According to the last probes, data can be fetched."), "ok"];

  const cliPool = pool === "both" ? "" : ` ${pool}`;
  return (
    <Page name={t("预检", "Preflight")} answer={head[0]} tone={head[1]}>
      <div class="bar">
        <Choice label={t("股票池", "Pool")} value={pool} options={[["both", t("两个", "Both")], ["targets", t("目标池", "targets")], ["universe", t("全市场", "universe")]]} change={(v) => setQuery({ pool: v === "both" ? "" : v })} />
        <label class="check"><input type="checkbox" checked={reuse} onChange={(e) => setQuery({ reuse: e.currentTarget.checked })} />{t("24 小时内通过的不再探测", "Reuse probes that passed within 24 h")}</label>
        <span class="grow" />
        <button class="plain" disabled={state === "running" || !may("ROLE_OPERATOR")} onClick={() => void check()} data-act="check">{t("只检查", "Check only")}</button>
        <button class="primary" disabled={state === "running" || !may("ROLE_OPERATOR")} onClick={() => void run()} data-act="run">{t("检查并运行", "Check and run")}</button>
      </div>
      {error && <Failure error={error} retry={() => void check()} />}
      {refused && <Failure error={refused} />}
      {started.length > 0 && <p class="notice">{t("已排队：", "Queued: ")}{started.map((r) => <a key={r.runId} class="button" href={to("runs", r.runId)}>{poolName(r.pool)}</a>)}</p>}
      <div class="grid wide-left answer-first">
        <Card title={t("模块", "Modules")} note={state === "idle" ? t("最近一次探测", "the last probes") : t("一个接一个", "one after the other")} flush>
          {state === "idle" || !lines.length ? (
            <Loaded live={probes}>{(d) => <Lines list={d.probes.filter((p) => p.status !== "STATUS_UNSUPPORTED").map((p) => ({ id: p.moduleId, state: "done", probe: p }))} titles={titlesOf(domains.data?.domains)} past />}</Loaded>
          ) : <Lines list={lines} titles={titlesOf(domains.data?.domains)} />}
        </Card>
        <div class="stack">
          {shown.map((v) => <Verdict key={v.pool} v={v} />)}
        </div>
      </div>
      <Card title={t("以前的预检", "Earlier preflights")} flush>
        <Loaded live={past}>{(d) => d.preflights.length ? (
          <div class="scroll"><table>
            <thead><tr><ZoneHead>{t("时间", "When")}</ZoneHead><th>{t("为谁", "For")}</th><th>{t("结论", "Verdict")}</th><th class="r">{t("调用", "Calls")}</th></tr></thead>
            <tbody>{d.preflights.map((p) => (
              <tr key={p.preflightId}>
                <td><Here row={p.preflightId}><When at={p.startTime} /></Here></td>
                <td>{p.runId ? <a href={to("runs", p.runId)}>{t("运行", "a run")}</a> : t("手动", "manual")}</td>
                <td>{p.state === "STATE_CANCELLED" ? <Badge tone="idle">{t("中断", "interrupted")}</Badge> : !p.endTime ? <Badge tone="run">{t("检查中", "checking")}</Badge> : p.verdicts.map((v) => <Badge key={v.pool} tone={decision(v.decision).tone}>{poolName(v.pool)} {decision(v.decision).text}</Badge>)}</td>
                <td class="r num">{p.callCount}</td>
              </tr>
            ))}</tbody>
          </table></div>
        ) : <Empty>{t("还没有预检。", "There are no preflights yet.")}</Empty>}</Loaded>
      </Card>
      <Card title={t("同样的命令", "As a command")}>
        <p class="dim">{t("只检查", "Check only")}</p>
        <Twin curl={curl("POST", "/v1/preflights:run", body, true)} cli={`afterbell preflight${cliPool}${reuse ? " --reuse 24h" : ""}`} />
        <p class="dim">{t("运行（先按设置检查）", "Run (checks first, as the settings say)")}</p>
        <Twin curl={curl("POST", "/v1/runs", { pools })} cli={pool === "both" ? "afterbell run" : runCommand({ pools })} />
      </Card>
    </Page>
  );
}

const titlesOf = (d?: DomainSetting[]): Map<string, string> => new Map(d?.flatMap((x) => x.modules.map((m) => [m.module.moduleId, m.module.title])));

function upsert(all: Line[], line: Line): Line[] {
  return all.some((l) => l.id === line.id) ? all.map((l) => (l.id === line.id ? { ...l, ...line } : l)) : [...all, line];
}

function Lines({ list, titles, past }: { list: Line[]; titles: Map<string, string>; past?: boolean }) {
  if (!list.length) return <Empty>{t("没有选中的模块。", "No modules are selected.")}</Empty>;
  return (
    <div class="scroll"><table aria-live={past ? undefined : "polite"}>
      <thead><tr><th>{t("模块", "Module")}</th><th>{t("状态", "State")}</th><th class="r">{t("延迟", "Latency")}</th><th class="r">{t("行", "Rows")}</th><th class="r">{t("调用", "Calls")}</th></tr></thead>
      <tbody>{list.map((l) => {
        const s = l.state === "waiting" ? { text: t("等待", "waiting"), tone: "idle" as Tone } : l.state === "checking" ? { text: t("检查中", "checking"), tone: "run" as Tone } : probeStatus(l.probe?.status);
        return (
          <tr key={l.id} data-module={l.id} data-state={l.state === "done" ? l.probe?.status : l.state}>
            <td><a href={to("modules", l.id)}>{moduleName(l.id, titles.get(l.id))}</a> <code class="dim">{l.id}</code>{l.probe && l.probe.issues.length > 0 && <Issues list={l.probe.issues} />}</td>
            <td><Badge tone={s.tone}>{s.text}</Badge>{l.reused && <small class="dim"> {t("复用", "reused")}</small>}{past && l.probe?.stale && <small class="dim"> {t("已过期", "stale")}</small>}{past && l.probe?.probeTime && <small class="dim"> <Ago at={l.probe.probeTime} /></small>}</td>
            {[duration(l.probe?.latency), num(l.probe?.rowCount), num(l.probe?.callCount)].map((x, n) => <td key={n} class="r num">{l.probe?.probeTime ? x : "–"}</td>)}
          </tr>
        );
      })}</tbody>
    </table></div>
  );
}

function Verdict({ v }: { v: PoolVerdict }) {
  const cleared = v.clearedModuleIds.length, held = v.blockedModuleIds.length;
  const none = cleared + held === 0 && !v.issues.length;
  const d = none ? { text: "", tone: "idle" as Tone } : decision(v.decision);
  return (
    <section class={"card pool " + d.tone} data-decision={v.decision} data-pool={poolId(v.pool)}>
      <h2><Mark tone={d.tone} />{poolName(v.pool)} <small>{d.text}</small></h2>
      <p class="dim">{none ? t("没有要更新的模块。", "There is no module to update.") : v.decision !== "DECISION_RETRY" && t(`放行 ${cleared} 个模块，阻止 ${held} 个。`, `${count(cleared, "", "module")} can run, ${held} ${held === 1 ? "is" : "are"} blocked.`)}{v.retryTime && <> {t("可重试：上海时间 ", "Can be retried at ")}<When at={v.retryTime} />{t("", " (Shanghai)")}</>}{none && v.pool === "POOL_TARGETS" && <> <a href={to("targets")}>{t("编辑目标列表", "Edit the target list")}</a></>}</p>
      <Issues list={v.issues} />
    </section>
  );
}

