import { useEffect, useState } from "preact/hooks";
import { call, useLive } from "../lib/api.ts";
import { count, num, t } from "../lib/i18n.ts";
import { route, to } from "../lib/router.ts";
import { may } from "../lib/session.ts";
import { Ago, duration, When, ZoneHead } from "../lib/time.tsx";
import type { DomainSetting, ModuleSetting } from "../lib/types.ts";
import { dataset, domainName, moduleName, poolName, probeStatus } from "../lib/words.ts";
import { Act, Badge, Card, curl, Empty, Failure, Here, Issues, Loaded, Page, reading, Switch, Twin } from "../ui.tsx";

interface Limit {
  providerApi: string;
  window: string;
  callCount: number;
  learnTime: string | null;
  openTime: string | null;
  inForce: boolean;
}

export default function Modules() {
  const live = useLive<{ domains: DomainSetting[] }>("/v1/domains", 15000);
  const limits = useLive<{ limits: Limit[] }>("/v1/limits", 30000);
  const [error, fail] = useState<Error | null>(null);
  const [twin, setTwin] = useState<{ curl: string; cli: string } | null>(null);
  const focus = route.value.id;
  const built = live.data?.domains.map((d) => ({ ...d, modules: d.modules.filter((m) => m.module.syncCapable) })).filter((d) => d.modules.length) ?? [];
  const listed = live.data?.domains.flatMap((d) => d.modules.filter((m) => !m.module.syncCapable)) ?? [];
  const all = built.flatMap((d) => d.modules.map((m) => ({ d, m })));
  const on = all.filter(({ d, m }) => d.enabled && m.enabled);
  const bad = on.filter(({ m }) => m.probe?.status === "STATUS_FAIL");
  const proven = on.every(({ m }) => m.probe?.status === "STATUS_PASS");
  useEffect(() => {
    if (focus && live.data) document.getElementById("m-" + focus)?.scrollIntoView({ block: "center" });
  }, [focus, !!live.data]);
  const turn = async (kind: "domains" | "modules", id: string, enabled: boolean) => {
    fail(null);
    setTwin({ curl: curl("PATCH", `/v1/${kind}/${id}`, { enabled }), cli: `afterbell ${kind} ${enabled ? "enable" : "disable"} ${id}` });
    try {
      await call("PATCH", `/v1/${kind}/${id}`, { enabled });
    } catch (e) {
      fail(e as Error);
    }
    live.refresh();
  };
  return (
    <Page name={t("模块", "Modules")} tone={live.data ? (bad.length ? "bad" : proven ? "ok" : "idle") : undefined} answer={!live.data ? reading(live)
      : bad.length ? t(`${bad.map(({ m }) => moduleName(m.module.moduleId, m.module.title)).join("、")}的最近一次探测没有通过。`, `The last ${bad.length === 1 ? "probe" : "probes"} of ${bad.map(({ m }) => m.module.title).join(", ")} failed.`)
      : proven ? t(`启用了 ${on.length} / ${all.length} 个模块，最近的探测都通过。`, `${on.length} of ${count(all.length, "", "module")} ${on.length === 1 ? "is" : "are"} enabled; the last probes passed.`)
      : t(`启用了 ${on.length} / ${all.length} 个模块，还没有都探测过。`, `${on.length} of ${count(all.length, "", "module")} ${on.length === 1 ? "is" : "are"} enabled; not all have been probed.`)} side={<a class="button" href={to("preflight")}>{t("现在探测", "Probe now")}</a>}>
      {error && <Failure error={error} />}
      {twin && !error && <p class="notice" role="status">{t("已更改。同样的命令：", "Changed. As a command: ")}<Twin {...twin} /></p>}
      <Loaded live={live} lines={10}>{() => (
        <>
          {built.map((d) => (
            <Card key={d.domain.domainId} flush title={<>{domainName(d.domain.domainId, d.domain.title)} <code class="dim">{d.domain.domainId}</code></>} note={<span class="line">{t("数据源", "provider")} {d.providerId} <Switch label={t("启用领域 ", "Enable domain: ") + d.domain.domainId} on={d.enabled} disabled={!may("ROLE_ADMIN")} change={(x) => void turn("domains", d.domain.domainId, x)} /></span>}>
              <div class="scroll"><table class="rows">
                <thead><tr><th>{t("模块", "Module")}</th><th>{t("启用", "Enabled")}</th><ZoneHead>{t("数据集和到期时间", "Datasets and due times")}</ZoneHead><th>{t("池", "Pools")}</th><th>{t("探测", "Probe")}</th><th class="r">{t("延迟", "Latency")}</th><th class="r">{t("积分", "Points")}</th></tr></thead>
                <tbody>{d.modules.map((m) => <Row key={m.module.moduleId} m={m} off={!d.enabled} focus={focus === m.module.moduleId} turn={(x) => void turn("modules", m.module.moduleId, x)} />)}</tbody>
              </table></div>
            </Card>
          ))}
          <Card title={t("学到的限额", "Learned limits")} note={t("数据源拒绝时学到的", "from the provider's refusals")} flush>
            <Loaded live={limits} lines={2}>{(l) => l.limits.length ? (
              <>
                <div class="scroll"><table><thead><tr><th>API</th><th>{t("窗口", "Window")}</th><th class="r">{t("次数", "Calls")}</th><ZoneHead>{t("学到于", "Learned")}</ZoneHead><ZoneHead>{t("可再次调用", "Next call")}</ZoneHead></tr></thead>
                  <tbody>{l.limits.map((x) => <tr key={x.providerApi + x.window}><td><Here row={x.providerApi + "." + x.window}><code>{x.providerApi}</code></Here></td><td>{({ WINDOW_MINUTE: t("每分钟", "per minute"), WINDOW_HOUR: t("每小时", "per hour"), WINDOW_DAY: t("每天", "per day") } as Record<string, string>)[x.window]}</td><td class="r num">{x.callCount || "?"}</td><td><When at={x.learnTime} /></td><td>{x.inForce ? <When at={x.openTime} /> : <span class="dim">{t("可调用", "open")}</span>}</td></tr>)}</tbody></table></div>
                <p class="more"><Act label={t("全部清除", "Discard all")} method="POST" path="/v1/limits:forget" body={{}} cli="afterbell limits forget" ask={t("令牌升级后可以立即重试。仍然有效的限额会在一次被拒后重新学到。", "Use this after you have upgraded the token. A limit that still applies is learned again at the cost of one refused call.")} done={limits.refresh} /></p>
              </>
            ) : <Empty>{t("没有学到任何限额。", "No limits are known.")}</Empty>}</Loaded>
          </Card>
          <Card title={t("已列出、尚未实现", "Listed, not implemented")}><p class="dim">{listed.map((m) => m.module.moduleId).join(t("、", ", "))}</p></Card>
        </>
      )}</Loaded>
    </Page>
  );
}

function Row({ m, off, focus, turn }: { m: ModuleSetting; off: boolean; focus: boolean; turn: (on: boolean) => void }) {
  const s = probeStatus(m.probe?.status);
  const id = m.module.moduleId;
  return (
    <tr id={"m-" + id} class={focus ? "lit" : ""} data-module={id}>
      <td><a data-row href={to("modules", id)}>{moduleName(id, m.module.title)}</a> <code class="dim">{id}</code>{m.probe && <Issues list={m.probe.issues} />}</td>
      <td>{off ? <span class="dim">{t("领域已停用", "domain disabled")}</span> : <Switch label={t("启用 ", "Enable: ") + id} on={m.enabled} disabled={!may("ROLE_ADMIN")} change={turn} />}</td>
      <td>{m.module.datasets.map((d) => <div key={d.datasetId}>{dataset(d.datasetId)} <span class="dim num">{d.dueTime || t("每天一次", "once a day")}</span></div>)}</td>
      <td>{m.module.pools.map(poolName).join(t("、", ", "))}</td>
      <td><Badge tone={s.tone}>{s.text}</Badge>{m.probe?.stale && <small class="dim"> {t("已过期", "stale")}</small>}{m.probe?.probeTime && <small class="dim"> <Ago at={m.probe.probeTime} /></small>}</td>
      <td class="r num">{duration(m.probe?.latency)}</td>
      <td class="r num">{num(Math.max(0, ...m.module.datasets.map((d) => d.points)))}</td>
    </tr>
  );
}
