import { useState } from "preact/hooks";
import { useLive } from "../lib/api.ts";
import { count, t } from "../lib/i18n.ts";
import { to } from "../lib/router.ts";
import { who } from "../lib/session.ts";
import { now, When, ZoneHead } from "../lib/time.tsx";
import { roleName, roles, type Tone } from "../lib/words.ts";
import { Act, Badge, Card, Command, Empty, Loaded, Mark, Page, quote } from "../ui.tsx";

interface Key {
  keyId: string;
  name: string;
  role: string;
  createTime: string;
  creator: string;
  expireTime: string | null;
  revokeTime: string | null;
  lastUseTime: string | null;
  lastUseAddress: string;
  active: boolean;
}

/** How soon an expiry is worth a warning. */
const soon = 14 * 86400e3;

function state(k: Key): { text: string; tone: Tone } {
  if (k.revokeTime) return { text: t("已吊销", "revoked"), tone: "idle" };
  if (!k.active) return { text: t("已过期", "expired"), tone: "idle" };
  if (k.expireTime && Date.parse(k.expireTime) - now.peek() < soon) return { text: t("即将过期", "expires soon"), tone: "warn" };
  return { text: t("有效", "active"), tone: "ok" };
}

export default function Keys() {
  const live = useLive<{ keys: Key[] }>("/v1/keys", 15000);
  const [made, show] = useState<{ key: Key; secret: string } | null>(null);
  const keys = live.data?.keys ?? [];
  const active = keys.filter((k) => k.active);
  const ending = active.filter((k) => state(k).tone === "warn");
  const head = !live.data ? (live.error ? t("密钥读不到。", "The keys cannot be read.") : t("正在读取…", "Loading…"))
    : ending.length ? t(`${ending.length} 个密钥即将过期：${ending.map((k) => k.name).join("、")}。`, `${count(ending.length, "", "key expires", "keys expire")} soon: ${ending.map((k) => k.name).join(", ")}.`)
    : active.length ? t(`${active.length} 个密钥有效。`, `${count(active.length, "", "key is", "keys are")} active.`)
    : t("没有有效的密钥。", "No key is active.");
  return (
    <Page name={t("密钥", "Keys")} answer={head} tone={!live.data ? undefined : ending.length ? "warn" : active.length ? "ok" : "idle"}>
      {made && (
        <Card title={<><Mark tone="warn" /> {t(`${made.key.name} 的密钥，只显示这一次`, `The key of ${made.key.name}, shown only once`)}</>}>
          <p>{t("把它保存到只有使用者能读的文件里。编排器只保存它的散列值，以后无法再次显示。", "Save it in a file that only its user can read. The orchestrator keeps only a hash and cannot show it again.")}</p>
          <div data-secret><Command text={made.secret} /></div>
          <p class="buttons"><button onClick={() => show(null)}>{t("我已保存，不再显示", "I have saved it; hide it")}</button></p>
        </Card>
      )}
      <div class="grid wide-left">
        <Card title={t("所有密钥", "All keys")} flush>
          <Loaded live={live} lines={6}>{() => keys.length ? (
            <div class="scroll"><table class="rows">
              <thead><tr><th>{t("名称", "Name")}</th><th>{t("角色", "Role")}</th><th>{t("状态", "State")}</th><ZoneHead>{t("最近使用", "Last use")}</ZoneHead><ZoneHead>{t("到期", "Expires")}</ZoneHead><ZoneHead>{t("创建", "Created")}</ZoneHead><th><span class="hidden">{t("操作", "Action")}</span></th></tr></thead>
              <tbody>{keys.map((k) => {
                const s = state(k);
                return (
                  <tr key={k.keyId} data-key={k.keyId}>
                    <td><a data-row href={to("audit", "", { actor: k.name })} title={t("看它改过什么", "See what it changed")}>{k.name}</a> <code class="dim">{k.keyId}</code></td>
                    <td class="nowrap">{roleName(k.role)}</td>
                    <td><Badge tone={s.tone}>{s.text}</Badge>{k.revokeTime && <small class="dim"> <When at={k.revokeTime} /></small>}</td>
                    <td>{k.lastUseTime ? <><When at={k.lastUseTime} seconds={false} /> <span class="dim">{k.lastUseAddress}</span></> : <span class="dim">{t("从未使用", "never")}</span>}</td>
                    <td>{k.expireTime ? <When at={k.expireTime} seconds={false} /> : <span class="dim">{t("不过期", "never")}</span>}</td>
                    <td><When at={k.createTime} seconds={false} /> <span class="dim">{t(`由 ${k.creator}`, `by ${k.creator}`)}</span></td>
                    <td class="r">{k.active && <Act label={t("吊销", "Revoke")} tone="danger" role="ROLE_ADMIN" method="POST" path={`/v1/keys/${k.keyId}:revoke`} body={{}} cli={`afterbell keys revoke ${k.keyId}`}
                      ask={<p>{t(`立即吊销 ${k.name}（${k.keyId}）：用它的程序和会话随即断开，不能恢复。`, `Revokes ${k.name} (${k.keyId}) at once: its programs and sessions are cut off. This cannot be undone.`)}{who.value?.name === k.name && <b> {t("您可能正用着它。", "You may be using it yourself.")}</b>}</p>} done={live.refresh} />}</td>
                  </tr>
                );
              })}</tbody>
            </table></div>
          ) : <Empty>{t("还没有密钥。在回环地址上，调用方不用密钥也是管理员。", "There are no keys. On loopback, callers are admins without a key.")}</Empty>}</Loaded>
        </Card>
        <Create done={(made) => { show(made); live.refresh(); scrollTo(0, 0); }} />
      </div>
    </Page>
  );
}

const lifetimes: [string, string, string][] = [["30d", "30 天", "30 days"], ["90d", "90 天", "90 days"], ["365d", "一年", "1 year"], ["", "不过期", "does not expire"]];

function Create({ done }: { done: (made: { key: Key; secret: string }) => void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState("ROLE_VIEWER");
  const [life, setLife] = useState("90d");
  const body = { name: name.trim(), role, ...(life && { ttl: `${parseInt(life) * 86400}s` }) };
  const shell = /^[\w.-]+$/.test(body.name) ? body.name : quote(body.name);
  return (
    <Card title={t("新密钥", "New key")}>
      <label class="field"><span>{t("给谁或什么程序用", "Who or what uses it")}</span><input name="name" value={name} maxLength={100} onInput={(e) => setName(e.currentTarget.value)} placeholder="notebooks" /></label>
      <label class="field"><span>{t("角色", "Role")}</span><select name="role" value={role} onChange={(e) => setRole(e.currentTarget.value)}>{roles.map((r) => <option key={r} value={r}>{roleName(r)}</option>)}</select></label>
      <p class="dim small">{role === "ROLE_VIEWER" ? t("可查看密钥和审计以外的一切。", "May read everything except keys and the audit trail.")
        : role === "ROLE_OPERATOR" ? t("还可以启动、取消、校验和删除运行，暂停和恢复，做预检，修改目标列表。", "May also start, cancel, verify and delete runs, pause and resume, run preflights, and change the list of targets.")
        : t("还可以修改计划、设置、模块、通知和密钥，查看审计。", "May also change schedule, settings, modules, notices and keys, and read the audit trail.")}</p>
      <label class="field"><span>{t("有效期", "Valid for")}</span><select name="ttl" value={life} onChange={(e) => setLife(e.currentTarget.value)}>{lifetimes.map(([v, zh, en]) => <option key={v} value={v}>{t(zh, en)}</option>)}</select></label>
      <p class="buttons"><Act<{ key: Key; secret: string }> label={t("创建", "Create")} tone="primary" role="ROLE_ADMIN" disabled={!body.name} method="POST" path="/v1/keys" body={body}
        cli={`afterbell keys create ${shell} --role ${role.replace("ROLE_", "").toLowerCase()}${life && ` --expires ${life}`}`}
        ask={t("密钥只显示一次，请准备好保存它的地方。", "The key is shown only once. Have a place ready to save it.")} done={(made) => { setName(""); done(made); }} /></p>
    </Card>
  );
}
