import { useState } from "preact/hooks";
import { t } from "./lib/i18n.ts";
import { login } from "./lib/session.ts";
import { Command, Failure } from "./ui.tsx";

/** Asks for a key when the API asks for one. */
export function Login() {
  const [key, setKey] = useState("");
  const [busy, work] = useState(false);
  const [error, fail] = useState<Error | null>(null);
  const send = async (e: Event) => {
    e.preventDefault();
    work(true);
    fail(null);
    try {
      await login(key.trim());
    } catch (x) {
      fail(x as Error);
    }
    work(false);
  };
  return (
    <div class="page login">
      <h1 tabIndex={-1}>{t("请用密钥登录。", "Log in with a key.")}</h1>
      <form class="card" onSubmit={(e) => void send(e)}>
        <label class="field"><span>{t("API 密钥", "API key")}</span><input type="password" name="key" autocomplete="current-password" autofocus value={key} onInput={(e) => setKey(e.currentTarget.value)} /></label>
        {error && <Failure error={error} />}
        <p class="buttons"><button class="primary" type="submit" disabled={busy || !key.trim()}>{busy ? t("请稍候…", "One moment…") : t("登录", "Log in")}</button></p>
        <p class="dim">{t("密钥只发给这个编排器，用来开启 12 小时的会话；页面不保存密钥。如果没有密钥，请管理员创建；第一个密钥在编排器的主机上、编排器停止时创建：", "The key is sent only to this orchestrator and opens a session of 12 hours; the page does not store it. If you have no key, ask an admin to create one. The first key is created on the orchestrator's host while the orchestrator is stopped:")}</p>
        <Command text="bin/orchestrator keys create NAME --role admin --data-dir DIR" />
      </form>
    </div>
  );
}
