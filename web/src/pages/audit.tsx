import { useMemo, useState } from "preact/hooks";
import { num, t } from "../lib/i18n.ts";
import { Rows, useList } from "../lib/list.tsx";
import { path } from "../lib/paths.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { When, ZoneHead } from "../lib/time.tsx";
import { poolName, roleName } from "../lib/words.ts";
import { Card, Command, curl, Empty, Loaded, Page, quote, Twin } from "../ui.tsx";

interface Entry {
  entryId: string;
  time: string;
  actor: string;
  keyId: string;
  role: string;
  via: string;
  address: string;
  method: string;
  request: string;
  before: string;
  after: string;
}

const methods: Record<string, [string, string]> = {
  "RunService.CreateRun": ["开始运行", "started a run"], "RunService.CancelRun": ["取消运行", "cancelled a run"], "RunService.DeleteRun": ["删除运行", "deleted a run"], "RunService.VerifyRun": ["校验运行", "verified a run"],
  "PoolService.PausePool": ["暂停股票池", "paused a pool"], "PoolService.ResumePool": ["恢复股票池", "resumed a pool"], "PreflightService.RunPreflight": ["做预检", "ran a preflight"],
  "ScheduleService.UpdateSchedule": ["修改计划", "changed the schedule"], "ScheduleService.PauseSchedule": ["暂停计划", "paused the schedule"], "ScheduleService.ResumeSchedule": ["恢复计划", "resumed the schedule"],
  "SettingsService.UpdateSettings": ["修改设置", "changed settings"], "ModuleService.UpdateModule": ["修改模块", "changed a module"], "ModuleService.UpdateDomain": ["修改领域", "changed a domain"],
  "TargetService.UpdateTargets": ["修改目标列表", "changed the target list"], "TargetService.ReplaceTargetSet": ["替换目标集合", "replaced a set of targets"], "TargetService.AddTargetSymbols": ["加入目标", "added targets"],
  "TargetService.RemoveTargetSymbols": ["移出目标", "removed targets"], "TargetService.DeleteTargetSet": ["删除目标集合", "deleted a set of targets"],
  "NoticeService.CreateChannel": ["新建通知渠道", "created a channel"], "NoticeService.UpdateChannel": ["修改通知渠道", "changed a channel"], "NoticeService.DeleteChannel": ["删除通知渠道", "deleted a channel"], "NoticeService.TestChannel": ["测试通知渠道", "tested a channel"],
  "KeyService.CreateKey": ["创建密钥", "created a key"], "KeyService.RevokeKey": ["吊销密钥", "revoked a key"], "TokenService.SetToken": ["存入令牌", "stored a token"], "TokenService.ClearToken": ["删除令牌", "deleted a token"],
  "LimitService.ForgetLimits": ["清除限额", "discarded limits"], "Session.Create": ["登录", "logged in"], "Session.Delete": ["退出登录", "logged out"],
};
const services: [string, string, string][] = [
  ["RunService", "运行", "Runs"], ["PoolService", "股票池", "Pools"], ["PreflightService", "预检", "Preflights"], ["ScheduleService", "计划", "Schedule"], ["SettingsService", "设置", "Settings"], ["ModuleService", "模块和领域", "Modules and domains"],
  ["TargetService", "目标列表", "Target list"], ["NoticeService", "通知", "Notices"], ["KeyService", "密钥", "Keys"], ["TokenService", "令牌", "Tokens"], ["LimitService", "限额", "Limits"], ["Session", "登录", "Sessions"],
];

export default function Audit() {
  const q = route.value.query;
  const actor = q.get("actor") ?? "";
  const method = q.get("method") ?? "";
  const opened = q.get("entry") ?? "";
  const address = path("/v1/audit", { actor, method, page_size: 50 });
  const { live, all: entries, older } = useList(address, 10000, "entries", (e: Entry) => e.entryId);
  const [name, setName] = useState(actor);
  const last = entries[0];
  const head = !live.data ? (live.error ? t("审计记录读不到。", "The audit trail cannot be read.") : t("正在读取…", "Loading…"))
    : last ? t(`最近一次更改：${who(last.actor)} ${what(last.method)}。`, `The last change: ${last.actor} ${what(last.method)}.`)
    : actor || method ? t("没有符合条件的更改。", "No change matches.") : t("还没有人改过什么。", "Nothing has been changed yet.");
  const cli = ["afterbell audit", actor && `--actor ${quote(actor)}`, method && `--method ${method}`].filter(Boolean).join(" ");
  return (
    <Page name={t("审计", "Audit")} answer={head} tone={last ? "idle" : undefined}>
      <form class="bar" onSubmit={(e) => { e.preventDefault(); setQuery({ actor: String(new FormData(e.currentTarget).get("actor")).trim() }); }}>
        <label class="field"><span>{t("谁（密钥名、loopback 或 host）", "Who (name of a key, loopback or host)")}</span><input name="actor" value={name} onInput={(e) => setName(e.currentTarget.value)} onBlur={() => setQuery({ actor: name.trim() })} size={18} /></label>
        <label class="field"><span>{t("改了什么", "What")}</span>
          <select name="method" value={method} onChange={(e) => setQuery({ method: e.currentTarget.value })}>
            <option value="">{t("全部", "Everything")}</option>
            {services.map(([id, zh, en]) => (
              <optgroup key={id} label={t(zh, en)}>
                <option value={id}>{t(`${zh}：全部`, `${en}: all`)}</option>
                {Object.keys(methods).filter((m) => m.startsWith(id + ".")).map((m) => <option key={m} value={m}>{what(m)}</option>)}
              </optgroup>
            ))}
          </select></label>
        {(actor || method) && <button type="button" class="low" onClick={() => { setName(""); setQuery({ actor: "", method: "" }); }}>{t("清除筛选", "Clear the filters")}</button>}
      </form>
      <Card title={t("更改", "Changes")} note={t("最新的在前", "newest first")} flush>
        <Loaded live={live} lines={8}>{() => entries.length ? (
          <>
            <div class="scroll"><table class="rows">
              <thead><tr><ZoneHead>{t("时间", "Time")}</ZoneHead><th>{t("谁", "Who")}</th><th>{t("改了什么", "What")}</th><th>{t("途径", "Via")}</th></tr></thead>
              <Rows of={entries} each={(e) => <Row key={e.entryId} e={e} open={opened === e.entryId} />} />
            </table></div>
            {older}
          </>
        ) : <Empty>{actor || method ? t("没有符合条件的更改。", "No change matches.") : t("还没有更改。", "There are no changes yet.")}</Empty>}</Loaded>
      </Card>
      <Card title={t("同样的命令", "As a command")}><Twin curl={curl("GET", address)} cli={cli} /></Card>
    </Page>
  );
}

/** Names an actor: a key by its name, a caller without one by where it was. */
const who = (actor: string): string => (actor === "loopback" ? t("本机（loopback）", actor) : actor === "host" ? t("主机命令（host）", actor) : actor);

function what(method: string): string {
  const w = methods[method];
  return w ? t(w[0], w[1]) : method;
}

const ways: Record<string, [string, string]> = { console: ["控制台", "console"], rest: ["REST", "REST"], grpc: ["gRPC", "gRPC"], host: ["主机命令", "host"] };
function via(v: string): string {
  const w = ways[v];
  return w ? t(w[0], w[1]) : v;
}

function Row({ e, open }: { e: Entry; open: boolean }) {
  const read = useMemo(() => readEntry(e), [e.entryId]); // an entry never changes
  return (
    <tr data-entry={e.entryId} class={open ? "lit" : ""}>
      <td><When at={e.time} /></td>
      <td>{who(e.actor)} <span class="dim">{roleName(e.role)}</span></td>
      <td>
        <button class="link" data-row aria-expanded={open} onClick={() => setQuery({ entry: open ? "" : e.entryId })}>{what(e.method)}</button> <code class="dim">{brief(read)}</code>
        {open && <Detail e={e} read={read} />}
      </td>
      <td>{via(e.via)} <span class="dim">{e.address}</span></td>
    </tr>
  );
}

type Json = Record<string, unknown>;

/** What the JSON of an entry says. */
interface Read {
  request: Json | null;
  /** What differs; empty where either side is not known. */
  changes: Change[];
}

function readEntry(e: Entry): Read {
  const before = read(e.before), after = read(e.after);
  return { request: read(e.request), changes: before && after ? changes(before, after) : [] };
}

/** Reads an object; a text that was cut at 64 KiB is none. */
function read(text: string): Json | null {
  try {
    const v: unknown = JSON.parse(text);
    return v && typeof v === "object" && !Array.isArray(v) ? (v as Json) : null;
  } catch {
    return null;
  }
}

const show = (v: unknown): string => (v === undefined || v === null || v === "" ? "–" : typeof v === "string" ? (v.startsWith("POOL_") ? poolName(v) : v)
  : Array.isArray(v) && v.every((x) => typeof x === "string") ? v.map(show).join(", ") : JSON.stringify(v));

interface Change {
  field: string;
  before: string;
  after: string;
}

/** Lists what differs, field by field. */
function changes(before: Json, after: Json, prefix = ""): Change[] {
  const out: Change[] = [];
  for (const k of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const a = before[k], b = after[k];
    if (JSON.stringify(a) === JSON.stringify(b)) continue;
    if (a && b && typeof a === "object" && typeof b === "object" && !Array.isArray(a) && !Array.isArray(b)) out.push(...changes(a as Json, b as Json, `${prefix}${k}.`));
    else out.push({ field: prefix + k, before: show(a), after: show(b) });
  }
  return out;
}

/** Says an entry in a few words. */
function brief(e: Read): string {
  const all = e.changes.filter((c) => !/[Aa]t$/.test(c.field)); // when it was, is in the first column
  const text = all.slice(0, 2).map((c) => `${c.field}: ${cut(c.before)} → ${cut(c.after)}`).join(", ");
  if (text) return text + (all.length > 2 ? t(` 等 ${num(all.length)} 项`, `, ${num(all.length - 2)} more`) : "");
  return cut(Object.entries(e.request ?? {}).map(([k, v]) => `${k}: ${show(v)}`).join(", "), 90);
}

const cut = (s: string, most = 40): string => (s.length > most ? s.slice(0, most) + "…" : s);

function Detail({ e, read: { changes: all } }: { e: Entry; read: Read }) {
  const raw: [string, string][] = [[t("请求", "Request"), e.request], ...(all.length ? [] : [[t("之前", "Before"), e.before], [t("之后", "After"), e.after]] as [string, string][])];
  return (
    <div class="stack detail" data-detail>
      {all.length > 0 && (
        <table class="bare"><thead><tr><th>{t("字段", "Field")}</th><th>{t("之前", "Before")}</th><th>{t("之后", "After")}</th></tr></thead>
          <tbody>{all.map((c) => <tr key={c.field}><td><code>{c.field}</code></td><td class="minus wrap">{c.before}</td><td class="plus wrap">{c.after}</td></tr>)}</tbody></table>
      )}
      {raw.filter(([, text]) => text && text !== "{}").map(([label, text]) => <div key={label}><p class="dim small">{label}</p><pre lang="en">{pretty(text)}</pre></div>)}
      <p class="dim small"><code>{e.method}</code>{e.keyId && <> · {t("密钥 ", "key ")}<a href={to("keys")}>{e.keyId}</a></>} · {t("编号 ", "entry ")}{e.entryId}</p>
      <Command label="afterbell" text={`afterbell audit --method ${e.method} --output json`} />
    </div>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}
