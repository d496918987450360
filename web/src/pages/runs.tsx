import { num, t } from "../lib/i18n.ts";
import { Rows, useList } from "../lib/list.tsx";
import { runsPath } from "../lib/paths.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { span, When, ZoneHead } from "../lib/time.tsx";
import type { Run } from "../lib/types.ts";
import { mode, poolName, reasonName, runState, source } from "../lib/words.ts";
import { Choice, Empty, Loaded, Page, reading, RunBadge } from "../ui.tsx";
import { RunPage } from "./run.tsx";

export default function Runs() {
  return route.value.id ? <RunPage key={route.value.id} id={route.value.id} /> : <List />;
}

const filters: [string, string, string][] = [
  ["", "全部", "All"], ["state=running", "进行中", "Running"], ["state=queued", "排队", "Queued"], ["outcome=succeeded", "成功", "Succeeded"], ["outcome=partial", "部分", "Partial"],
  ["outcome=blocked", "被阻止", "Blocked"], ["outcome=failed", "失败", "Failed"], ["outcome=cancelled", "已取消", "Cancelled"],
];

function List() {
  const q = route.value.query;
  const pool = q.get("pool") ?? "";
  const only = q.get("only") ?? "";
  const { live, first, all, older } = useList(runsPath(q), 3000, "runs", (r: Run) => r.runId);
  const active = first.filter((r) => r.state !== "STATE_FINISHED" && r.state !== "STATE_QUEUED");
  const last = first.find((r) => r.state === "STATE_FINISHED");
  const head = active.length
    ? t(`${active.map((r) => poolName(r.pool)).join("、")}正在运行。`, `${active.map((r) => poolName(r.pool)).join(" and ")} ${active.length === 1 ? "is" : "are"} running now.`)
    : last ? t(`没有正在进行的运行；最近一次：${poolName(last.pool)}，${runState(last).text}。`, `Nothing is running. The last run, of ${poolName(last.pool)}: ${runState(last).text}.`)
    : live.data ? (only || pool ? t("没有符合条件的运行。", "No run matches.") : t("还没有运行过。", "Nothing has run yet.")) : reading(live);
  return (
    <Page name={t("运行", "Runs")} answer={head} tone={active.length ? "run" : undefined}>
      <div class="bar">
        <Choice label={t("股票池", "Pool")} value={pool} options={[["", t("两个", "Both")], ["targets", t("目标池", "targets")], ["universe", t("全市场", "universe")]]} change={(p) => setQuery({ pool: p })} />
        <Choice label={t("状态", "State")} value={only} options={filters.map(([f, zh, en]) => [f, t(zh, en)])} change={(f) => setQuery({ only: f })} />
      </div>
      <section class="card flush">
        <Loaded live={live} lines={8}>{() => all.length ? (
          <>
            <div class="scroll"><table class="rows">
              <thead><tr><th>{t("状态", "State")}</th><th>{t("池", "Pool")}</th><ZoneHead>{t("开始", "Started")}</ZoneHead><th>{t("用时", "Took")}</th><th>{t("触发", "Trigger")}</th><th>{t("范围", "Dates")}</th><th class="r">{t("分区", "Partitions")}</th><th class="r">{t("行", "Rows")}</th><th class="r">{t("调用", "Calls")}</th><th>{t("原因", "Reason")}</th></tr></thead>
              <Rows of={all} each={(r) => <Row key={r.runId} r={r} />} />
            </table></div>
            {older}
          </>
        ) : <Empty>{only || pool ? t("没有符合条件的运行。", "No run matches.") : t("先做一次预检，再开始第一次运行。", "Run a preflight, then start the first run.")} {only || pool ? <a href={to("runs")}>{t("看全部", "Show all")}</a> : <a href={to("preflight")}>{t("预检并运行", "Check and run")}</a>}</Empty>}</Loaded>
      </section>
    </Page>
  );
}

function Row({ r }: { r: Run }) {
  const end = r.endTime ? Date.parse(r.endTime) : 0;
  return (
    <tr data-run={r.runId}>
      <td><a data-row href={to("runs", r.runId)}><RunBadge run={r} /></a></td>
      <td>{poolName(r.pool)}</td>
      <td>{r.startTime ? <When at={r.startTime} /> : <span class="dim">{r.notBeforeTime ? <>{t("不早于 ", "not before ")}<When at={r.notBeforeTime} /></> : t("排队中", "queued")}</span>}</td>
      <td class="num">{r.startTime && end ? span(end - Date.parse(r.startTime)) : r.startTime ? <progress max={Math.max(1, r.partitionCount)} value={r.completedPartitionCount} aria-label={t("进度", "Progress")} /> : "–"}</td>
      <td>{source(r.source)} <span class="dim">{mode(r.mode)}</span></td>
      <td class="num">{r.startDate || r.endDate ? `${r.startDate || "…"} – ${r.endDate || "…"}` : r.asOfTradeDate || <span class="dim">–</span>}</td>
      <td class="r num">{r.partitionCount ? `${num(r.completedPartitionCount)} / ${num(r.partitionCount)}` : "–"}</td>
      <td class="r num">{num(r.rowCount)}</td><td class="r num">{num(r.callCount)}</td>
      <td>{r.issues[0] && r.outcome !== "OUTCOME_SUCCEEDED" ? reasonName(r.issues[0].reason) : ""}</td>
    </tr>
  );
}
