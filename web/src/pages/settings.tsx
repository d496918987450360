import { useState } from "preact/hooks";
import { useLive } from "../lib/api.ts";
import { t } from "../lib/i18n.ts";
import { When } from "../lib/time.tsx";
import type { PoolStatus, Settings as Values } from "../lib/types.ts";
import { poolId, poolName } from "../lib/words.ts";
import { Act, Badge, Card, Empty, Loaded, Page, reading } from "../ui.tsx";

interface Field {
  key: keyof Values;
  flag: string;
  zh: string;
  en: string;
  helpZh: string;
  helpEn: string;
  options?: [string, string, string][];
}

const fields: Field[] = [
  { key: "preflightPolicy", flag: "preflight-policy", zh: "何时探测", en: "When to probe", helpZh: "运行前探测哪些模块。", helpEn: "Which modules a run probes before it starts.", options: [["PREFLIGHT_POLICY_STALE_ONLY", "过期、失败或缺失的", "old, failed or missing"], ["PREFLIGHT_POLICY_ALWAYS", "每次探测全部模块", "all modules, every time"], ["PREFLIGHT_POLICY_READINESS_ONLY", "不探测，只看上次结果", "none; use the last probes"]] },
  { key: "readinessPolicy", flag: "readiness-policy", zh: "模块不可用时", en: "When a module cannot run", helpZh: "严格：阻止整个池。降级：只阻止那个模块，其余照常。", helpEn: "Strict blocks its pool. Degraded holds back that module only.", options: [["READINESS_POLICY_STRICT", "严格", "strict"], ["READINESS_POLICY_DEGRADED", "降级", "degraded"]] },
  { key: "orderWait", flag: "order-wait", zh: "全市场等待目标池", en: "Universe waits for targets", helpZh: "0s 到 3600s。", helpEn: "0s to 3600s." },
  { key: "dispatchWidth", flag: "dispatch-width", zh: "同时处理的分区数", en: "Partitions at a time", helpZh: "1 到 64。", helpEn: "1 to 64." },
  { key: "retentionDays", flag: "retention-days", zh: "运行记录保留天数", en: "Days that runs are kept", helpZh: "0 为永久。", helpEn: "0 keeps them forever." },
  { key: "followUpDeadline", flag: "follow-up-deadline", zh: "每 15 分钟重新获取，直到", en: "Fetched again every 15 min until", helpZh: "上海时间 HH:MM，之后改为固定时刻。", helpEn: "HH:MM in Shanghai; then at fixed times." },
  { key: "maxFollowUps", flag: "max-follow-ups", zh: "暂时故障后的再试次数", en: "Attempts after a temporary failure", helpZh: "0 到 20。", helpEn: "0 to 20." },
  { key: "recheckDays", flag: "recheck-days", zh: "每晚复查的旧日期", en: "Old dates re-checked each evening", helpZh: "0 到 100；0 为不复查。", helpEn: "0 to 100; 0 switches it off." },
];

export default function Settings() {
  const live = useLive<{ settings: Values }>("/v1/settings", 0);
  const pools = useLive<{ pools: PoolStatus[] }>("/v1/pools", 5000);
  return (
    <Page name={t("设置", "Settings")} answer={live.data ? (live.data.settings.readinessPolicy === "READINESS_POLICY_STRICT" ? t("严格：一个模块不可用，就阻止它的池。", "Strict: a module that cannot run blocks its pool.") : t("降级：只阻止不可用的模块。", "Degraded: only the module that cannot run is blocked.")) : reading(live)}>
      <div class="grid wide-left">
        <Loaded live={live} lines={8}>{({ settings }) => <Form key={JSON.stringify(settings)} s={settings} done={live.refresh} />}</Loaded>
        <Card title={t("股票池", "Pools")}>
          <Loaded live={pools}>{(d) => d.pools.length ? (
            <ul class="plain">{d.pools.map((p) => {
              const id = poolId(p.pool);
              return (
                <li key={id} class="line" data-pool={id}>
                  <span><b>{poolName(p.pool)}</b> {p.paused ? <Badge tone="hold">{t("已暂停", "paused")}</Badge> : <Badge tone="ok">{t("正常", "active")}</Badge>}{p.note && <small class="dim"> {p.note} · <When at={p.noteTime} /></small>}</span>
                  {p.paused ? <Act label={t("恢复", "Resume")} tone="primary" method="POST" path={`/v1/pools/${id}:resume`} body={{ note: "" }} cli={`afterbell resume ${id}`} ask={t("被暂停的运行先重新检查，再继续。", "A paused run is checked again and continues.")} done={pools.refresh} />
                    : <Act label={t("暂停", "Pause")} method="POST" path={`/v1/pools/${id}:pause`} body={{ note: "" }} cli={`afterbell pause ${id}`} ask={t("进行中的分区提交后即暂停；重启后仍然暂停，直到恢复。", "Partitions in progress are committed, then the run pauses. It stays paused over restarts until you resume it.")} done={pools.refresh} />}
                </li>
              );
            })}</ul>
          ) : <Empty>–</Empty>}</Loaded>
        </Card>
      </div>
    </Page>
  );
}

function Form({ s, done }: { s: Values; done: () => void }) {
  const [d, set] = useState<Record<string, string>>(Object.fromEntries(fields.map((f) => [f.key, String(s[f.key])])));
  const changed = fields.filter((f) => d[f.key] !== String(s[f.key]));
  const body = Object.fromEntries(changed.map((f) => [f.key, typeof s[f.key] === "number" ? (/^-?\d+$/.test(d[f.key]!) ? Number(d[f.key]) : d[f.key]) : d[f.key]]));
  const cli = "afterbell settings set " + changed.map((f) => `--${f.flag}=${f.options ? d[f.key]!.replace(/^[A-Z]+_POLICY_/, "").toLowerCase() : d[f.key]}`).join(" ");
  return (
    <Card title={t("运行的检查和次序", "How runs are checked and ordered")}>
      <div class="form">
        {fields.map((f) => (
          <label key={f.key} class="field">
            <span>{t(f.zh, f.en)}</span>
            {f.options ? <select value={d[f.key]} onChange={(e) => set({ ...d, [f.key]: e.currentTarget.value })}>{f.options.map(([v, zh, en]) => <option key={v} value={v}>{t(zh, en)}</option>)}</select>
              : <input value={d[f.key]} inputMode={typeof s[f.key] === "number" ? "numeric" : "text"} onInput={(e) => set({ ...d, [f.key]: e.currentTarget.value.trim() })} />}
            <small class="dim">{t(f.helpZh, f.helpEn)}</small>
          </label>
        ))}
      </div>
      <p class="buttons">
        <Act label={t("保存", "Save")} tone="primary" role="ROLE_ADMIN" method="PATCH" path="/v1/settings" body={body} disabled={!changed.length} cli={cli} ask={<ul class="plain">{changed.map((f) => <li key={f.key}>{t(f.zh, f.en)}{t("：", ": ")}<code>{String(s[f.key])}</code> → <code>{d[f.key]}</code></li>)}</ul>} done={done} />
        {changed.length > 0 && <button onClick={() => set(Object.fromEntries(fields.map((f) => [f.key, String(s[f.key])])))}>{t("还原", "Undo")}</button>}
      </p>
    </Card>
  );
}
