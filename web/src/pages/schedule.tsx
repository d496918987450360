import { useState } from "preact/hooks";
import { ApiError, useLive } from "../lib/api.ts";
import { t } from "../lib/i18n.ts";
import { Rows, useList } from "../lib/list.tsx";
import { slotPath, slotsPath } from "../lib/paths.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { Countdown, span, weekday, When, ZoneHead } from "../lib/time.tsx";
import type { Run, Schedule as Plan, Slot } from "../lib/types.ts";
import { poolId, poolName, reasonName, runState, slotState } from "../lib/words.ts";
import { Act, Badge, Card, Chain, Choice, Command, Empty, Issues, Loaded, Mark, Page, reading, RunBadge, RunLink, Switch } from "../ui.tsx";

export default function Schedule() {
  const id = route.value.id;
  return id ? <SlotPage key={id} id={id} /> : <Overview />;
}

function SlotPage({ id }: { id: string }) {
  const live = useLive<{ slot: Slot; runs: Run[]; explanation: string[]; localizedExplanation: string[]; nextCommand: string }>(slotPath(id), 5000);
  const [date = "", pool = ""] = id.split(/\.(.*)/s);
  const d = live.data;
  const name = poolName("POOL_" + pool.toUpperCase());
  const s = d && slotState(d.slot.state);
  const last = d?.runs.at(-1);
  const late = Number(d?.slot.lateSeconds) > 60 ? t(`，晚了 ${span(Number(d!.slot.lateSeconds) * 1000, 1)}`, `, ${span(Number(d!.slot.lateSeconds) * 1000, 1)} late`) : "";
  const answer = !d ? (live.error instanceof ApiError && live.error.reason === "NOT_FOUND" ? t(`没有 ${date} 的时段。`, `There is no slot for ${date}.`) : live.error ? reading(live) : t("正在读取…", "Loading…"))
    : d.slot.issues[0] && !last ? t(`${name} ${date}：${s!.text}，${reasonName(d.slot.issues[0].reason)}。`, `${name}, ${date}: ${s!.text}. ${reasonName(d.slot.issues[0].reason)}.`)
    : last ? t(`${name} ${date}：${s!.text}${late}；运行${runState(last).text}。`, `${name}, ${date}: ${s!.text}${late}; the run: ${runState(last).text}.`)
    : t(`${name} ${date}：${s!.text}。`, `${name}, ${date}: ${s!.text}.`);
  return (
    <Page name={t("时段", "Slot")} answer={answer} tone={s?.tone} side={<a class="button" href={to("schedule")}>{t("所有时段", "All slots")}</a>}>
      <Loaded live={live}>{(x) => (
        <div class="grid wide-left">
          <Card title={t("经过", "What happened")} note={t("按时间顺序", "in order")}>
            <Chain told={x} />
          </Card>
          <div class="stack">
            <Card title={t("时段", "Slot")}>
              <ul class="plain">
                <li><Badge tone={slotState(x.slot.state).tone}>{slotState(x.slot.state).text}</Badge> {name} · <span class="num">{x.slot.date}</span> {weekday(x.slot.date)}</li>
                <li class="dim">{t("到期：上海时间 ", "Due at ")}<When at={x.slot.dueTime} full />{t("", " (Shanghai)")}{Number(x.slot.lateSeconds) > 0 && t(`，晚了 ${span(Number(x.slot.lateSeconds) * 1000)}`, `, ${span(Number(x.slot.lateSeconds) * 1000)} late`)}</li>
                {x.slot.lateNote && <li class="dim" lang={x.slot.localizedLateNote ? undefined : "en"}>{x.slot.localizedLateNote || x.slot.lateNote}</li>}
              </ul>
              <Issues list={x.slot.issues} />
            </Card>
            <Card title={t("运行", "Runs")}>
              {x.runs.length ? <ul class="plain">{x.runs.map((r) => <li key={r.runId}><RunBadge run={r} /> <RunLink id={r.runId} /> <span class="dim"><When at={r.startTime ?? r.createTime} /></span></li>)}</ul> : <Empty>{t("没有运行。", "There are no runs.")}</Empty>}
            </Card>
            <Card title={t("同样的命令", "As a command")}><Command label="afterbell" text={`afterbell explain ${id}`} /></Card>
          </div>
        </div>
      )}</Loaded>
    </Page>
  );
}

const zoneName = (zone: string): string => (zone === "Asia/Shanghai" ? t("上海时间", "Shanghai") : zone);

const catchUps: [string, string, string][] = [["CATCH_UP_LAST", "只补跑最后一个", "the last one"], ["CATCH_UP_ALL", "全部补跑", "all"], ["CATCH_UP_NONE", "不补跑", "none"]];

function Overview() {
  const live = useLive<{ schedule: Plan }>("/v1/schedule", 10000);
  const pool = route.value.query.get("pool") ?? "";
  const { live: slots, all: days, older } = useList(slotsPath(pool), 10000, "slots", (x: Slot) => x.slotId);
  const s = live.data?.schedule;
  const off = s?.issues.some((i) => i.reason === "REASON_SCHEDULE_DISABLED"); // it was started so
  const head = !s ? reading(live) : s.paused ? t("计划已暂停。", "The schedule is paused.") : !s.enabled ? t("计划已停用，不会自动运行。", "The schedule is disabled; nothing runs automatically.")
    : off ? t("这个编排器不执行计划，不会自动运行。", "This orchestrator does not run the schedule; nothing runs automatically.")
    : t(`每${s.tradingDaysOnly ? "个交易日" : "天"} ${s.runAt}（${zoneName(s.timeZone)}）运行。`, `Runs at ${s.runAt} (${zoneName(s.timeZone)}) on every ${s.tradingDaysOnly ? "trading day" : "day"}.`);
  return (
    <Page name={t("计划与时段", "Schedule and slots")} answer={head} tone={!s ? undefined : s.paused ? "hold" : s.enabled && !off ? "ok" : "idle"} side={s && (s.paused
      ? <Act label={t("恢复计划", "Resume")} tone="primary" method="POST" path="/v1/schedule:resume" body={{ note: "" }} cli="afterbell schedule resume" ask={t("被跳过的时段按补跑设置处理。", "Skipped slots are caught up as the setting says.")} done={live.refresh} />
      : <Act label={t("暂停计划", "Pause")} method="POST" path="/v1/schedule:pause" body={{ note: "" }} cli="afterbell schedule pause" ask={t("暂停后，到时间的时段会被记为跳过。进行中的运行不受影响。", "Slots that are due while it is paused are skipped. A run in progress continues.")} done={live.refresh} />)}>
      <div class="grid wide-left">
        <Card title={t("时段", "Slots")} flush note={<Choice label={t("股票池", "Pool")} value={pool} options={[["", t("两个", "Both")], ["targets", t("目标池", "targets")], ["universe", t("全市场", "universe")]]} change={(p) => setQuery({ pool: p })} />}>
          <Loaded live={slots} lines={8}>{() => days.length ? (
            <>
              <div class="scroll"><table class="rows">
                <thead><tr><th>{t("日期", "Date")}</th><th>{t("池", "Pool")}</th><th>{t("状态", "State")}</th><ZoneHead>{t("原因，或到期", "Why, or when due")}</ZoneHead><th>{t("运行", "Run")}</th></tr></thead>
                <Rows of={days} each={(x) => {
                  const st = slotState(x.state);
                  return (
                    <tr key={x.slotId}>
                      <td class="num"><a data-row href={to("schedule", x.slotId)}>{x.date}</a> <span class="dim">{weekday(x.date)}</span></td><td>{poolName(x.pool)}</td>
                      <td><Badge tone={st.tone}>{st.text}</Badge>{Number(x.lateSeconds) > 60 && <small class="dim"> {t(`晚 ${span(Number(x.lateSeconds) * 1000, 1)}`, `${span(Number(x.lateSeconds) * 1000, 1)} late`)}</small>}</td>
                      <td>{x.issues[0] ? reasonName(x.issues[0].reason) : x.state === "STATE_PENDING" ? <span class="dim"><When at={x.dueTime} seconds={false} /></span> : ""}</td>
                      <td>{x.runId && <RunLink id={x.runId} />}</td>
                    </tr>
                  );
                }} />
              </table></div>
              {older}
            </>
          ) : <Empty>{t("还没有时段：到了计划的时刻，会有第一个。", "There are no slots yet: the first comes at the time of the schedule.")}</Empty>}</Loaded>
        </Card>
        <div class="stack">
          <Loaded live={live}>{({ schedule }) => <Form key={JSON.stringify(schedule)} s={schedule} done={live.refresh} />}</Loaded>
        </div>
      </div>
    </Page>
  );
}

function Form({ s, done }: { s: Plan; done: () => void }) {
  const [d, set] = useState(s);
  const change: Record<string, unknown> = {};
  const flags: string[] = [];
  const put = (k: keyof Plan, flag: string, v: unknown) => {
    if (JSON.stringify(s[k]) === JSON.stringify(d[k])) return;
    change[k] = d[k];
    flags.push(`--${flag}=${v}`);
  };
  put("enabled", "enabled", d.enabled);
  put("runAt", "run-at", d.runAt);
  put("timeZone", "time-zone", d.timeZone);
  put("pools", "pools", d.pools.map(poolId).join(","));
  put("runOnStartup", "run-on-startup", d.runOnStartup);
  put("catchUp", "catch-up", d.catchUp.replace("CATCH_UP_", "").toLowerCase());
  put("tradingDaysOnly", "trading-days-only", d.tradingDaysOnly);
  const pools = ["POOL_TARGETS", "POOL_UNIVERSE"];
  return (
    <>
      <Card title={t("计划", "Schedule")}>
        {s.nextTime && !s.paused && <p class="big"><Countdown to={s.nextTime} /> <small class="dim"><When at={s.nextTime} seconds={false} full /></small></p>}
        {s.note && <p class="dim">{s.note} · <When at={s.noteTime} /></p>}
        <Issues list={s.issues} />
        <div class="form">
          <div class="line"><span>{t("启用", "Enabled")}</span><Switch label={t("启用计划", "Enable the schedule")} on={d.enabled} change={(enabled) => set({ ...d, enabled })} /></div>
          <label class="field"><span>{t("时刻", "Time of day")}</span><input value={d.runAt} onInput={(e) => set({ ...d, runAt: e.currentTarget.value })} /></label>
          <label class="field"><span>{t("时区", "Time zone")}</span><input value={d.timeZone} onInput={(e) => set({ ...d, timeZone: e.currentTarget.value })} /></label>
          <label class="field"><span>{t("错过的时段", "Missed slots")}</span><select value={d.catchUp} onChange={(e) => set({ ...d, catchUp: e.currentTarget.value })}>{catchUps.map(([v, zh, en]) => <option key={v} value={v}>{t(zh, en)}</option>)}</select></label>
          {pools.map((p) => <label key={p} class="check"><input type="checkbox" checked={d.pools.includes(p)} disabled={d.pools.length === 1 && d.pools.includes(p)} onChange={(e) => set({ ...d, pools: pools.filter((x) => (x === p ? e.currentTarget.checked : d.pools.includes(x))) })} />{poolName(p)}</label>)}
          <div class="line"><span>{t("编排器启动时也运行", "Run when the orchestrator starts")}</span><Switch label={t("启动时运行", "Run at start")} on={d.runOnStartup} change={(runOnStartup) => set({ ...d, runOnStartup })} /></div>
          <div class="line"><span>{t("只在交易日", "Trading days only")}</span><Switch label={t("只在交易日", "Trading days only")} on={d.tradingDaysOnly} change={(tradingDaysOnly) => set({ ...d, tradingDaysOnly })} /></div>
        </div>
        <p class="buttons">
          <Act label={t("保存", "Save")} tone="primary" role="ROLE_ADMIN" method="PATCH" path="/v1/schedule" body={change} disabled={!flags.length} cli={`afterbell schedule set ${flags.join(" ")}`} ask={<ul class="plain">{flags.map((f) => <li key={f}><code>{f.slice(2)}</code></li>)}</ul>} done={done} />
          {flags.length > 0 && <button onClick={() => set(s)}>{t("还原", "Undo")}</button>}
        </p>
      </Card>
      <p class="dim small"><Mark tone="idle" /> {t("每个时段都记录结果（触发、跳过、错过或被覆盖）和原因。", "Each slot records its result (fired, skipped, missed or covered) and the reason.")}</p>
    </>
  );
}

