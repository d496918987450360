import { useState } from "preact/hooks";
import { call, useLive } from "../lib/api.ts";
import { count, lang, num, t } from "../lib/i18n.ts";
import { path } from "../lib/paths.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { may } from "../lib/session.ts";
import { Ago, Countdown, When, ZoneHead } from "../lib/time.tsx";
import { dataset, poolName, reasonName, type Tone } from "../lib/words.ts";
import { Act, Badge, Card, Choice, Command, commandOf, curl, Empty, Failure, Here, Loaded, Mark, Page, quoted, reading, Remedy, RunLink, Switch, Twin } from "../ui.tsx";

interface Channel {
  channelId: string;
  kind: string;
  enabled: boolean;
  language: string;
  host: string;
  smtpHost: string;
  to: string[];
  waitingCount: number;
  givenUpCount: number;
  failingSinceTime: string | null;
  nextTime: string | null;
  lastSentTime: string | null;
  error: string;
}

interface Notice {
  noticeId: string;
  kind: string;
  date: string;
  whole: boolean;
  createTime: string;
  text: string;
  textZh: string;
  pools: { pool: string; verdict: string; lackingIds: string[]; reason: string; message: string; remedy: string; runId: string; nextTime: string | null }[];
}

interface Delivery {
  deliveryId: string;
  noticeId: string;
  channelId: string;
  state: string;
  signal: string;
  attemptCount: number;
  createTime: string;
  nextTime: string | null;
  endTime: string | null;
  error: string;
}

const kinds: [string, string, string][] = [
  ["KIND_DINGTALK", "钉钉", "DingTalk"], ["KIND_WECOM", "企业微信", "WeCom"], ["KIND_FEISHU", "飞书", "Feishu"], ["KIND_TELEGRAM", "Telegram", "Telegram"],
  ["KIND_SLACK", "Slack", "Slack"], ["KIND_MAIL", "邮件", "Mail"], ["KIND_WEBHOOK", "Webhook", "Webhook"], ["KIND_HEARTBEAT", "心跳", "Heartbeat"],
];
const kindName = (k: string): string => {
  const w = kinds.find(([id]) => id === k);
  return w ? t(w[1], w[2]) : k;
};
const about: Record<string, [string, string, Tone]> = {
  KIND_EVENING: ["当晚结果", "evening", "idle"], KIND_BETTER: ["好转", "better", "ok"], KIND_WORSE: ["变差", "worse", "bad"], KIND_LATE: ["逾时", "late", "warn"],
  KIND_TEST: ["测试", "test", "idle"],
};
const verdicts: Record<string, [string, string, Tone]> = {
  VERDICT_PENDING: ["未结束", "pending", "run"], VERDICT_WHOLE: ["完整", "whole", "ok"], VERDICT_LACKING: ["不完整", "lacking", "warn"], VERDICT_FAILED: ["失败", "failed", "bad"],
  VERDICT_BLOCKED: ["被阻止", "blocked", "bad"], VERDICT_ABSENT: ["没有运行", "no run", "bad"],
};
const states: Record<string, [string, string, Tone]> = {
  STATE_PENDING: ["待发", "waiting", "hold"], STATE_SENT: ["已送达", "sent", "ok"], STATE_GIVEN_UP: ["已放弃", "given up", "bad"],
};
const word = (w: [string, string, Tone] | undefined, raw: string): { text: string; tone: Tone } => (w ? { text: t(w[0], w[1]), tone: w[2] } : { text: raw, tone: "idle" });

export default function Notices() {
  const q = route.value.query;
  const channels = useLive<{ channels: Channel[] }>("/v1/channels", 10000);
  const notices = useLive<{ notices: Notice[]; nextPageToken: string }>("/v1/notices?page_size=30", 10000);
  const state = q.get("state") ?? "";
  const channel = q.get("channel") ?? "";
  const deliveries = useLive<{ deliveries: Delivery[] }>(path("/v1/deliveries", { channel_id: channel, state, page_size: 50 }), 10000);
  const [error, fail] = useState<Error | null>(null);
  const [twin, setTwin] = useState<{ curl: string; cli: string } | null>(null);
  const list = channels.data?.channels ?? [];
  const failing = list.filter((c) => c.enabled && c.failingSinceTime);
  const on = list.filter((c) => c.enabled);
  const turn = async (c: Channel, enabled: boolean) => {
    fail(null);
    setTwin({ curl: curl("PATCH", `/v1/channels/${c.channelId}`, { enabled }), cli: `afterbell notify set ${c.channelId} --enabled ${enabled}` });
    try {
      await call("PATCH", `/v1/channels/${c.channelId}`, { enabled });
    } catch (e) {
      fail(e as Error);
    }
    channels.refresh();
  };
  const head = !channels.data ? reading(channels)
    : failing.length ? t(`${failing.map((c) => c.channelId).join("、")} 无法送达。`, `Delivery fails to ${failing.map((c) => c.channelId).join(", ")}.`)
    : on.length ? t(`每晚的结果会发到 ${on.length} 个渠道。`, `Each evening's result is sent to ${count(on.length, "", "channel")}.`)
    : t("还没有通知渠道：出了问题没有人会知道。", "There are no channels yet: nobody is notified when something goes wrong.");
  return (
    <Page name={t("通知", "Notices")} answer={head} tone={!channels.data ? undefined : failing.length ? "bad" : on.length ? "ok" : "idle"}>
      {error && <Failure error={error} />}
      {twin && !error && <p class="notice" role="status">{t("已更改。同样的命令：", "Changed. As a command: ")}<Twin {...twin} /></p>}
      <div class="grid wide-left">
        <div class="stack">
          <Card title={t("渠道", "Channels")} flush>
            <Loaded live={channels}>{() => list.length ? (
              <div class="scroll"><table class="rows">
                <thead><tr><th>{t("名称", "Name")}</th><th>{t("发往", "Destination")}</th><th>{t("状态", "State")}</th><th>{t("启用", "Enabled")}</th><th><span class="hidden">{t("操作", "Action")}</span></th></tr></thead>
                <tbody>{list.map((c) => (
                  <tr key={c.channelId} data-channel={c.channelId}>
                    <td><a data-row href={to("notices", "", { channel: c.channelId })}>{c.channelId}</a></td>
                    <td>{kindName(c.kind)} <span class="dim">{c.host || c.smtpHost} {c.to.join(", ")}</span></td>
                    <td>{!c.enabled ? <Badge tone="idle">{t("已停用", "disabled")}</Badge> : c.failingSinceTime ? <><Badge tone="bad">{t("无法送达", "failing")}</Badge> <small class="dim">{t("自 ", "since ")}<When at={c.failingSinceTime} /></small></> : c.lastSentTime ? <Badge tone="ok">{t("正常", "working")}</Badge> : <Badge tone="idle">{t("尚未送达过", "nothing sent yet")}</Badge>}
                      {c.waitingCount > 0 && <small> {t(`待发 ${c.waitingCount}`, `${c.waitingCount} waiting`)}{c.nextTime && <>, <Countdown to={c.nextTime} /></>}</small>}{c.givenUpCount > 0 && <small> {t(`放弃 ${c.givenUpCount}`, `${c.givenUpCount} given up`)}</small>}
                      {c.lastSentTime && <small class="dim"> {t("最近送达 ", "last sent ")}<Ago at={c.lastSentTime} /></small>}
                      {c.error && <p class="dim"><Trouble text={c.error} /></p>}</td>
                    <td><Switch label={t("启用 ", "Enable: ") + c.channelId} on={c.enabled} disabled={!may("ROLE_ADMIN")} change={(x) => void turn(c, x)} /></td>
                    <td class="r"><span class="buttons"><Test c={c} done={deliveries.refresh} /><Act label={t("删除", "Delete")} tone="danger" role="ROLE_ADMIN" method="DELETE" path={`/v1/channels/${c.channelId}`} cli={`afterbell notify remove ${c.channelId}`} ask={t(`删除渠道 ${c.channelId}。`, `Delete the channel ${c.channelId}.`)} done={channels.refresh} /></span></td>
                  </tr>
                ))}</tbody>
              </table></div>
            ) : <Empty>{t("没有渠道。请在“新渠道”中新建。", "There are no channels. Create one under “New channel”.")}</Empty>}</Loaded>
          </Card>
          <Card title={t("已发出的通知", "Notices sent")} note={t("上海时间", "Shanghai time")} flush>
            <Loaded live={notices}>{(d) => d.notices.length ? (
              <ul class="told">{d.notices.map((n) => {
                const w = word(about[n.kind], n.kind);
                return (
                  <li key={n.noticeId}>
                    <p><Badge tone={n.whole ? "ok" : w.tone}>{w.text}</Badge> <span class="num">{n.date}</span> <span class="dim"><Here row={n.noticeId}><When at={n.createTime} /></Here></span></p>
                    <p class="words">{t(n.textZh || n.text, n.text)}</p>
                    {n.pools.map((p) => {
                      const v = word(verdicts[p.verdict], p.verdict);
                      return <div key={p.pool} class="dim"><Mark tone={v.tone} /> {poolName(p.pool)} {v.text}{p.lackingIds.length > 0 && t("：", ": ") + p.lackingIds.map(dataset).join(t("、", ", "))}{p.reason && p.reason !== "REASON_UNSPECIFIED" && ` · ${reasonName(p.reason)}`} {p.runId && <RunLink id={p.runId} />}{p.nextTime && <> · {t("下次 ", "next ")}<When at={p.nextTime} seconds={false} /></>}{p.remedy && (lang.value === "en" ? <Remedy text={p.remedy} /> : commandOf(p.remedy) && <div><Command text={commandOf(p.remedy)} /></div>)}</div>;
                    })}
                  </li>
                );
              })}</ul>
            ) : <Empty>{t("还没有发出通知。", "No notices have been sent yet.")}</Empty>}</Loaded>
          </Card>
          <Card title={t("发送记录", "Deliveries")} flush note={<Choice label={t("状态", "State")} value={state} options={[["", t("全部", "All")], ["pending", t("待发", "Waiting")], ["sent", t("已送达", "Sent")], ["given_up", t("已放弃", "Given up")]]} change={(s) => setQuery({ state: s })} />}>
            <Loaded live={deliveries}>{(d) => d.deliveries.length ? (
              <div class="scroll"><table>
                <thead><tr><ZoneHead>{t("时间", "When")}</ZoneHead><th>{t("渠道", "Channel")}</th><th>{t("结果", "Result")}</th><th class="r">{t("次", "Tries")}</th></tr></thead>
                <tbody>{d.deliveries.map((x) => {
                  const s = word(states[x.state], x.state);
                  return <tr key={x.deliveryId}><td><Here row={x.deliveryId}><When at={x.createTime} /></Here></td><td>{x.channelId} <span class="dim">{x.signal}</span></td><td><Badge tone={s.tone}>{s.text}</Badge>{x.error && <span class="dim"> <Trouble text={x.error} /></span>}{x.state === "STATE_PENDING" && x.nextTime && <> <Countdown to={x.nextTime} /></>}</td><td class="r num">{num(x.attemptCount)}</td></tr>;
                })}</tbody>
              </table></div>
            ) : <Empty>{channel || state ? t("没有符合条件的。", "Nothing matches.") : t("还没有发送过。", "Nothing has been delivered yet.")}</Empty>}</Loaded>
          </Card>
        </div>
        <Create done={channels.refresh} />
      </div>
    </Page>
  );
}

function Test({ c, done }: { c: Channel; done: () => void }) {
  const [found, tell] = useState<{ delivered: boolean; error: string } | null>(null);
  return (
    <>
      <Act<{ delivered: boolean; error: string }> label={t("测试", "Test")} method="POST" path={`/v1/channels/${c.channelId}:test`} body={{}} cli={`afterbell notify test ${c.channelId}`} ask={t("立即发送一条测试消息。", "Sends a test message now.")} done={(a) => { tell(a); done(); }} />
      {found && <small role="status"><Mark tone={found.delivered ? "ok" : "bad"} /> {found.delivered ? t("已送达", "delivered") : <Trouble text={found.error} />}</small>}
    </>
  );
}

const troubles: [RegExp, string][] = [
  [/connection refused/, "连接被拒绝"], [/no such host|server misbehaving/, "找不到主机"], [/timeout|deadline exceeded/i, "没有及时应答"], [/x509|tls:/, "TLS 证书或握手有误"],
  [/connection reset|EOF/, "连接中断"], [/unreachable/, "网络不可达"],
];

/** Says why a message was not delivered: in Chinese what kind of trouble it is, and as it was written. */
function Trouble({ text }: { text: string }) {
  const zh = troubles.find(([kind]) => kind.test(text))?.[1] ?? "平台没有接受";
  return <>{t(`${zh}：`, "")}<span lang="en">{text}</span></>;
}

interface Input {
  key: string;
  zh: string;
  en: string;
  secret?: boolean;
  on: string[];
}

const inputs: Input[] = [
  { key: "url", zh: "地址（含密钥，保存后不再显示）", en: "Address (not shown again)", secret: true, on: ["KIND_DINGTALK", "KIND_WECOM", "KIND_FEISHU", "KIND_SLACK", "KIND_WEBHOOK", "KIND_HEARTBEAT"] },
  { key: "secret", zh: "密钥（保存后不再显示）", en: "Secret (not shown again)", secret: true, on: ["KIND_DINGTALK", "KIND_FEISHU", "KIND_WEBHOOK", "KIND_TELEGRAM", "KIND_MAIL"] },
  { key: "chatId", zh: "会话编号", en: "Chat ID", on: ["KIND_TELEGRAM"] },
  { key: "smtpHost", zh: "SMTP 主机", en: "SMTP host", on: ["KIND_MAIL"] },
  { key: "smtpPort", zh: "SMTP 端口", en: "SMTP port", on: ["KIND_MAIL"] },
  { key: "smtpUser", zh: "SMTP 用户", en: "SMTP user", on: ["KIND_MAIL"] },
  { key: "from", zh: "发件人", en: "From", on: ["KIND_MAIL"] },
  { key: "to", zh: "收件人，用逗号分隔", en: "To, separated by commas", on: ["KIND_MAIL"] },
];

function Create({ done }: { done: () => void }) {
  const [id, setId] = useState("");
  const [kind, setKind] = useState("KIND_DINGTALK");
  const [language, setLanguage] = useState("LANGUAGE_ZH");
  const [d, set] = useState<Record<string, string>>({});
  const shown = inputs.filter((i) => i.on.includes(kind));
  const value = (i: Input, hide: boolean): unknown => {
    const v = d[i.key]!.trim();
    return i.key === "to" ? v.split(/[,，\s]+/).filter(Boolean) : i.key === "smtpPort" ? (/^\d+$/.test(v) ? Number(v) : v) : hide && i.secret ? "…" : v;
  };
  const body = (hide: boolean) => ({ channelId: id.trim(), kind, language, ...Object.fromEntries(shown.filter((i) => d[i.key]?.trim()).map((i) => [i.key, value(i, hide)])) });
  const cli = (): string => ["afterbell notify add", quoted(id.trim()), "--kind", kind.replace("KIND_", "").toLowerCase(), ...(kind === "KIND_HEARTBEAT" ? [] : ["--language", language.replace("LANGUAGE_", "").toLowerCase()]),
    ...shown.filter((i) => d[i.key]?.trim()).flatMap((i) => {
      const flag = i.key.replace(/[A-Z]/g, (c) => "-" + c.toLowerCase());
      const v = value(i, false);
      return i.secret ? [`--${flag}-file`, `${flag}.txt`] : [`--${flag}`, quoted(Array.isArray(v) ? v.join(",") : String(v))];
    })].join(" ");
  return (
    <Card title={t("新渠道", "New channel")}>
      <label class="field"><span>{t("名称", "Name")}</span><input value={id} onInput={(e) => setId(e.currentTarget.value)} placeholder="desk" /></label>
      <label class="field"><span>{t("种类", "Kind")}</span><select value={kind} onChange={(e) => setKind(e.currentTarget.value)}>{kinds.map(([k, zh, en]) => <option key={k} value={k}>{t(zh, en)}</option>)}</select></label>
      {kind !== "KIND_HEARTBEAT" && <label class="field"><span>{t("语言", "Language")}</span><select value={language} onChange={(e) => setLanguage(e.currentTarget.value)}><option value="LANGUAGE_ZH">中文</option><option value="LANGUAGE_EN">English</option></select></label>}
      {shown.map((i) => <label key={i.key} class="field"><span>{t(i.zh, i.en)}</span>{i.secret ? <input type="password" autocomplete="off" value={d[i.key] ?? ""} onInput={(e) => set({ ...d, [i.key]: e.currentTarget.value })} /> : <input value={d[i.key] ?? ""} onInput={(e) => set({ ...d, [i.key]: e.currentTarget.value })} />}</label>)}
      <p class="buttons"><Act label={t("创建", "Create")} tone="primary" role="ROLE_ADMIN" disabled={!id.trim()} method="POST" path="/v1/channels" body={body(false)} shown={body(true)} cli={cli()}
        ask={t("地址和密钥保存后不再显示，只显示主机和指纹。", "The address and the secret are not shown again, only the host and a fingerprint.")} done={() => { set({}); setId(""); done(); }} /></p>
    </Card>
  );
}
