import { render, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { heardAt, loginNeeded, lostSince, readAhead, session, sleep, useLive } from "./lib/api.ts";
import { shanghai } from "./lib/clock.ts";
import { useInstruments } from "./lib/instruments.ts";
import { lang, t } from "./lib/i18n.ts";
import { go, route, to } from "./lib/router.ts";
import { ask, logout, may, who } from "./lib/session.ts";
import { Ago, now, When } from "./lib/time.tsx";
import type { Ready } from "./lib/types.ts";
import { Login } from "./login.tsx";
import { Mark } from "./ui.tsx";

interface PageEntry {
  id: string;
  zh: string;
  en: string;
  load: () => Promise<{ default: ComponentType }>;
  /** The role that the page asks for; others do not see it. */
  role?: string;
}

const pages: PageEntry[] = [
  { id: "", zh: "今晚", en: "Tonight", load: () => import("./pages/tonight.tsx") },
  { id: "preflight", zh: "预检", en: "Preflight", load: () => import("./pages/preflight.tsx") },
  { id: "runs", zh: "运行", en: "Runs", load: () => import("./pages/runs.tsx") },
  { id: "coverage", zh: "覆盖", en: "Coverage", load: () => import("./pages/coverage.tsx") },
  { id: "look", zh: "查数", en: "Look", load: () => import("./pages/look.tsx") },
  { id: "targets", zh: "目标", en: "Targets", load: () => import("./pages/targets.tsx") },
  { id: "modules", zh: "模块", en: "Modules", load: () => import("./pages/modules.tsx") },
  { id: "schedule", zh: "计划与时段", en: "Schedule", load: () => import("./pages/schedule.tsx") },
  { id: "notices", zh: "通知", en: "Notices", load: () => import("./pages/notices.tsx") },
  { id: "settings", zh: "设置", en: "Settings", load: () => import("./pages/settings.tsx") },
  { id: "keys", zh: "密钥", en: "Keys", role: "ROLE_ADMIN", load: () => import("./pages/keys.tsx") },
  { id: "audit", zh: "审计", en: "Audit", role: "ROLE_ADMIN", load: () => import("./pages/audit.tsx") },
  { id: "about", zh: "关于", en: "About", load: () => import("./pages/about.tsx") },
];

/** The pages that the caller may see. */
const seen = (): PageEntry[] => pages.filter((p) => !p.role || (who.value && may(p.role)));

const loaded = new Map<string, ComponentType>();

const load = (p: PageEntry): Promise<void> => p.load().then((m) => void loaded.set(p.id, m.default));

function Shown({ id }: { id: string }) {
  const entry = pages.find((p) => p.id === id);
  const [, render] = useState(0);
  const [failed, fail] = useState(false);
  useEffect(() => {
    if (!entry || loaded.has(id)) return;
    load(entry).then(() => render((n) => n + 1), () => fail(true));
  }, [id]);
  if (!entry) return <div class="page"><h1>{t("没有这个页面。", "There is no such page.")}</h1><p><a class="button" href={to("")}>{t("回到今晚", "Back to tonight")}</a></p></div>;
  if (entry.role && who.value && !may(entry.role)) return <div class="page"><h1>{t(`“${entry.zh}”需要管理员密钥。`, `The page ${entry.en} needs the key of an admin.`)}</h1><p><a class="button" href={to("")}>{t("回到今晚", "Back to tonight")}</a></p></div>;
  const C = loaded.get(id);
  if (C) return <C />;
  return failed
    ? <div class="page"><h1>{t("页面没有载入。", "The page could not be loaded.")}</h1><p>{t("编排器可能已更新或停止。", "The orchestrator may have been updated or stopped.")} <button onClick={() => location.reload()}>{t("重新载入", "Reload")}</button></p></div>
    : <div class="page" aria-busy="true" />;
}

const keys: [string, string, string][] = [
  ["/", "跳到页面、运行、代码或日期", "jump to a page, run, symbol or date"],
  ["j  k", "下一行，上一行", "next row, previous row"],
  ["Enter", "打开所选的行", "open the row"],
  ["← ↑ → ↓", "在热图中移动；Shift 扩大选择，空格选中", "move in the heatmap; Shift extends, Space selects"],
  ["Esc", "关闭，或清除选择", "close, or clear the selection"],
  ["?", "这份帮助", "this help"],
];

function Help({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => box.current?.showModal(), []);
  return (
    <dialog ref={box} aria-label={t("键盘", "Keyboard")} onClose={close}>
      <div class="dialog">
        <h2>{t("键盘", "Keyboard")}</h2>
        <dl class="keys">{keys.map(([k, zh, en]) => <div key={k}><dt><kbd>{k}</kbd></dt><dd>{t(zh, en)}</dd></div>)}</dl>
        <p class="buttons"><button onClick={() => box.current?.close()}>{t("关闭", "Close")}</button></p>
      </div>
    </dialog>
  );
}

function Jump({ close }: { close: () => void }) {
  const box = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  useEffect(() => box.current?.showModal(), []);
  const s = text.trim().replace(/^\//, ""); // the key that opened it
  const found: [string, string][] = [];
  if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(s)) found.push([t("运行 ", "Run ") + s, to("runs", s)]);
  if (/^\d{4}-\d\d-\d\d$/.test(s)) {
    for (const p of ["targets", "universe"]) {
      found.push([t(`${s} 那一晚，${p}`, `The evening of ${s}, ${p}`), to("schedule", `${s}.${p}`)], [t(`${s} 的覆盖，${p}`, `Coverage of ${s}, ${p}`), to("coverage", "", { pool: p, at: `daily:${s}` })]);
    }
  }
  for (const p of seen()) if (!s || p.zh.includes(s) || p.en.toLowerCase().includes(s.toLowerCase())) found.push([t(p.zh, p.en), to(p.id)]);
  const search = useInstruments(/^[0-9a-f-]{20,}$/i.test(s) ? "" : s);
  for (const i of search) found.push([`${i.symbol} ${i.name}`, to("look", i.symbol)]);
  const pick = Math.min(at, found.length - 1);
  const open = (address: string) => {
    box.current?.close();
    go(address);
  };
  return (
    <dialog ref={box} class="jump" aria-label={t("跳转", "Jump")} onClose={close} onClick={(e) => e.target === box.current && box.current?.close()}>
      <div class="dialog">
        <input type="text" autofocus aria-label={t("跳到", "Jump to")} placeholder={t("页面、运行编号、600519、茅台、gzmt、2026-11-27", "page, run id, 600519, gzmt, 2026-11-27")}
          role="combobox" aria-expanded="true" aria-controls="jump-list" aria-activedescendant={found.length ? `jump-${pick}` : undefined}
          onInput={(e) => { setText(e.currentTarget.value); setAt(0); }}
          onKeyDown={(e) => {
            if (e.key === "ArrowDown") setAt(Math.min(found.length - 1, pick + 1));
            else if (e.key === "ArrowUp") setAt(Math.max(0, pick - 1));
            else if (e.key === "Enter" && found[pick]) open(found[pick][1]);
            else return;
            e.preventDefault();
          }} />
        <ul id="jump-list" role="listbox" aria-label={t("结果", "Results")}>{found.map(([label, address], i) => <li key={address} id={`jump-${i}`} role="option" aria-selected={i === pick} class={i === pick ? "on" : ""} onClick={() => open(address)}>{label}</li>)}</ul>
        {!found.length && <p class="empty">{t("没有结果。", "Nothing found.")}</p>}
      </div>
    </dialog>
  );
}

/** Moves the focus to the next or previous row of the page. */
function step(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("main [data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement as HTMLElement);
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (by > 0 ? 0 : rows.length - 1) : at + by))]!;
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function Link() {
  const ready = useLive<Ready>(who.value && !loginNeeded.value ? "/readyz" : null, 4000);
  const lost = lostSince.value;
  useEffect(() => {
    if (!lost && !who.peek()) void ask();
  }, [lost]);
  if (lost) {
    return (
      <div class="banner bad" role="alert" data-link="lost">
        <Mark tone="bad" />{t("编排器没有应答，自上海时间 ", "The orchestrator has not responded since ")}<When at={lost} />{t("（", " (")}<Ago at={lost} />{t("）。页面显示的是 ", "). The page shows what was known at ")}<When at={heardAt.peek()} />{t(" 的内容，正在重试。", "; trying again.")}
      </div>
    );
  }
  if (ready.data && ready.data.worker === "unreachable") {
    return (
      <div class="banner warn" role="status" data-link="worker-away">
        <Mark tone="warn" />{t("采集器没有应答（", "The worker does not respond (")}<code>{ready.data.workerAddress}</code>{t("）：运行和覆盖要等它恢复。启动它：", "). Runs and coverage need it. Start it: ")}<code>bin/ingest-worker --data-dir …</code>
      </div>
    );
  }
  if (who.value && !loginNeeded.value && !may("ROLE_OPERATOR")) {
    return <div class="banner idle" role="status"><Mark tone="idle" />{t("这个密钥只有查看权限。", "This key can only view.")}</div>;
  }
  return null;
}

/** The time in Shanghai. It stands alone, so that each second draws it and nothing else. */
const Clock = () => <span class="clock num" title={t("上海时间", "Shanghai time")}>{shanghai(now.value).slice(5)} <small>{t("上海", "Shanghai")}</small></span>;

function App() {
  const [help, setHelp] = useState(false);
  const [jump, setJump] = useState(false);
  const [menu, setMenu] = useState(false);
  const page = route.value.page;
  const main = useRef<HTMLElement>(null);
  useEffect(() => {
    setMenu(false);
    main.current?.scrollTo(0, 0);
    scrollTo(0, 0);
  }, [page, route.value.id]);
  useEffect(() => {
    const press = (e: KeyboardEvent) => {
      const el = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || el.closest("input, textarea, select, dialog")) return;
      if (e.key === "/") setJump(true);
      else if (e.key === "?") setHelp(true);
      else if (e.key === "j") step(1);
      else if (e.key === "k") step(-1);
      else return;
      e.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.querySelector<HTMLElement>("h1")?.focus(); }}>{t("跳到内容", "Skip to the content")}</a>
      <header class="top">
        <a class="brand" href={to("")}><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" class="b" /><path d="M7 21V15m6 6V11m6 10v-7m6 7V8" class="c" /></svg>afterbell</a>
        <button class="menu" aria-expanded={menu} aria-controls="nav" onClick={() => setMenu(!menu)}>{t("菜单", "Menu")}</button>
        <span class="grow" />
        <Clock />
        {who.value?.csrfToken && <button class="ghost" title={t("退出登录", "Log out")} onClick={() => void logout()}>{who.value.name} ⏏</button>}
        <button class="ghost" onClick={() => setJump(true)} aria-keyshortcuts="/">{t("跳转", "Jump")} <kbd>/</kbd></button>
        <button class="ghost" onClick={() => setHelp(true)} aria-keyshortcuts="?" aria-label={t("键盘帮助", "Keyboard help")}><kbd>?</kbd></button>
        <button class="ghost" data-lang lang={lang.value === "zh" ? "en" : "zh"} onClick={() => { lang.value = lang.value === "zh" ? "en" : "zh"; session.value++; }}>{lang.value === "zh" ? "English" : "中文"}</button>
      </header>
      <nav id="nav" class={menu ? "open" : ""} aria-label={t("页面", "Pages")}>
        <ul>{seen().map((p) => <li key={p.id}><a href={to(p.id)} aria-current={p.id === page ? "page" : undefined}>{t(p.zh, p.en)}</a></li>)}</ul>
      </nav>
      <main ref={main} id="main">
        <Link />
        {loginNeeded.value ? <Login /> : <Shown key={page} id={page} />}
      </main>
      {help && <Help close={() => setHelp(false)} />}
      {jump && <Jump close={() => setJump(false)} />}
    </>
  );
}

/** How long the first page waits for its data, ms, before it shows that it loads. */
const patience = 400;

// The first page is drawn once, with its code and its data there.
const first = pages.find((p) => p.id === route.value.page);
const code = first ? load(first).catch(() => {}) : Promise.resolve(); // Shown tries again, and tells
const data = Promise.all([readAhead(), ask()]);
void Promise.all([code, Promise.race([data, sleep(patience)])]).then(() => render(<App />, document.getElementById("app")!));
