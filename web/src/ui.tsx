import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { ApiError, call, Unreachable, type Live } from "./lib/api.ts";
import { num, t } from "./lib/i18n.ts";
import { may } from "./lib/session.ts";
import { When } from "./lib/time.tsx";
import { route, to } from "./lib/router.ts";
import type { Issue, Localized, Run } from "./lib/types.ts";
import { cells, cellName, moduleName, poolId, reasonName, runState, severity, short, type Cell, type Tone } from "./lib/words.ts";

/** Draws a tone as a shape, so that it can be told without colour. */
export function Mark({ tone }: { tone: Tone }) {
  const shape: Record<Tone, JSX.Element> = {
    ok: <path d="M3.5 8.5l3 3 6-7" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round" />,
    warn: <path d="M8 2.2l6.3 11.3H1.7z" fill="currentColor" />,
    bad: <path d="M3.8 3.8l8.4 8.4M12.2 3.8l-8.4 8.4" fill="none" stroke="currentColor" stroke-width="2.4" stroke-linecap="round" />,
    run: <path class="spin" d="M8 2a6 6 0 1 1-6 6" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" />,
    idle: <circle cx="8" cy="8" r="3.4" fill="none" stroke="currentColor" stroke-width="1.8" />,
    hold: <path d="M5.3 3.5v9M10.7 3.5v9" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round" />,
  };
  return <svg class={"mark " + tone} viewBox="0 0 16 16" aria-hidden="true">{shape[tone]}</svg>;
}

export function Badge({ tone, children }: { tone: Tone; children: ComponentChildren }) {
  return <span class={"badge " + tone}><Mark tone={tone} />{children}</span>;
}

export const RunBadge = ({ run }: { run: Run }) => {
  const s = runState(run);
  return <Badge tone={s.tone}>{s.text}</Badge>;
};

/** Whether a page was there before. */
let arrived = false;

/** Shows the first line of a page, which is its answer. */
export function Page({ name, answer, tone, children, side }: { name: string; answer: ComponentChildren; tone?: Tone; children: ComponentChildren; side?: ComponentChildren }) {
  const h1 = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${name} · afterbell`;
  }, [name]);
  useEffect(() => { // the link that was followed is gone, and the focus with it
    if (arrived && document.activeElement === document.body) h1.current?.focus({ preventScroll: true });
    arrived = true;
  }, []);
  return (
    <div class="page">
      <header class="head">
        <div>
          <p class="crumb">{name}</p>
          <h1 ref={h1} tabIndex={-1}>{tone && <Mark tone={tone} />}<span>{answer}</span></h1>
        </div>
        {side && <div class="side">{side}</div>}
      </header>
      {children}
    </div>
  );
}

export function Card({ title, note, children, flush }: { title?: ComponentChildren; note?: ComponentChildren; children: ComponentChildren; flush?: boolean }) {
  return (
    <section class={"card" + (flush ? " flush" : "")}>
      {title && <h2><span>{title}</span>{note && <small>{note}</small>}</h2>}
      {children}
    </section>
  );
}

/** Links to a row of the page itself, which it then shows and lights up. */
export function Here({ row, children }: { row: string; children: ComponentChildren }) {
  const r = route.value;
  const lit = r.query.get("row") === row;
  const link = useRef<HTMLAnchorElement>(null);
  useEffect(() => {
    if (lit) link.current?.scrollIntoView({ block: "center" });
  }, [lit]);
  return <a ref={link} class="here" data-row href={to(r.page, r.id, { ...Object.fromEntries(r.query), row })} title={t("这一行的链接", "Link to this row")} aria-current={lit ? "true" : undefined}>{children}</a>;
}

export const Empty = ({ children }: { children: ComponentChildren }) => <p class="empty">{children}</p>;

/** Shows what went wrong with a call: the reason, the sentence, and what to do. */
export function Failure({ error, retry }: { error: Error; retry?: () => void }) {
  const away = error instanceof Unreachable;
  const api = error instanceof ApiError ? error : null;
  const mild = away || ["WORKER_UNREACHABLE", "NOT_FOUND"].includes(api?.reason ?? ""); // nothing is broken that the caller asked for
  const title = away ? t("编排器没有应答", "The orchestrator does not respond") : api?.reason ? reasonName(api.reason) : t("出错了", "An error occurred");
  return (
    <div class={mild ? "failure mild" : "failure"} role="alert">
      <Mark tone={mild ? "warn" : "bad"} />
      <div>
        <strong>{title}</strong> {api?.reason && <code class="code">{api.reason}</code>}
        {away ? <p>{t("正在重试。", "Trying again.")}</p> : <Said message={error.message} local={api?.localized} />}
        {api?.localized?.remedy ? <Remedy text={api.localized.remedy} /> : api?.remedies.map((r) => <Remedy key={r} text={r} lang="en" />)}
        {retry && api?.reason !== "INVALID_ARGUMENT" && <button class="small" onClick={retry}>{t("重试", "Try again")}</button>}
      </div>
    </div>
  );
}

/** Says instead of an answer that it is read, or that it cannot be. */
export const reading = (live: Live<unknown>): string => (live.error && live.data === undefined ? t("现在读不到。", "This cannot be read now.") : t("正在读取…", "Loading…"));

/** Stands where data will be. */
export function Skeleton({ lines }: { lines: number }) {
  return <div class="skeleton" aria-busy="true" aria-label={t("正在读取", "Loading")}>{Array.from({ length: lines }, (_, i) => <i key={i} />)}</div>;
}

/** Shows an answer once there is one; before, that it loads, and why it failed. */
export function Loaded<T>({ live, children, lines = 4 }: { live: Live<T>; children: (data: T) => ComponentChildren; lines?: number }) {
  if (live.data === undefined) {
    if (live.error) return <Failure error={live.error} retry={live.refresh} />;
    return <Skeleton lines={lines} />;
  }
  return (
    <>
      {live.error && (
        <p class="stale" role="status">
          <Mark tone="warn" />
          {t("以下为 ", "As of ")}<When at={live.at} />{t(" 的内容，之后未能更新：", "; updating has failed since: ")}
          {live.error instanceof ApiError ? live.error.localized?.message ?? <span lang="en">{live.error.message}</span> : t("编排器没有应答。", "the orchestrator does not respond.")}
        </p>
      )}
      {children(live.data)}
    </>
  );
}

export async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** Shows a command to copy. */
export function Command({ text, label }: { text: string; label?: string }) {
  const [done, say] = useState(false);
  return (
    <span class="command">
      {label && <span class="tag">{label}</span>}
      <code>{text}</code>
      <button class="small" aria-label={t("复制命令：", "Copy the command: ") + text} onClick={() => void copy(text).then(() => {
        say(true);
        setTimeout(() => say(false), 1500);
      })}>{done ? t("已复制", "copied") : t("复制", "copy")}</button>
    </span>
  );
}

const commandStart = /\b(curl |bin\/[a-z-]+|afterbell |AFTERBELL_|sqlite3 |make )/;

/** Gives the command that a text ends with; "" where there is none. */
export function commandOf(text: string): string {
  const at = text.search(commandStart);
  return at < 0 ? "" : text.slice(at).trim();
}

/** Shows a remedy: its words, and the command that it ends with to copy. */
export function Remedy({ text, lang }: { text: string; lang?: string }) {
  const at = text.search(commandStart);
  if (at < 0) return <p class="remedy" lang={lang}>{text}</p>;
  const words = text.slice(0, at).trim();
  return <div class="remedy">{words && <p lang={lang}>{words}</p>}<Command text={text.slice(at).trim()} /></div>;
}

/** Shows a sentence of the services: in the language of the page, and as it was written. */
function Said({ message, local }: { message: string; local?: Localized | null }) {
  return <>{local?.message && <p>{local.message}</p>}<p lang="en" class={local?.message ? "dim small" : undefined}>{message}</p></>;
}

interface Told {
  explanation: string[];
  localizedExplanation: string[];
  nextCommand: string;
}

/** Tells what happened, step by step, and what to type next. */
export function Chain({ told }: { told: Told }) {
  const local = told.localizedExplanation.length > 0;
  const said = local ? told.localizedExplanation : told.explanation;
  const next = told.nextCommand;
  return (
    <>
      <ol class="chain" lang={local ? undefined : "en"}>{said.map((x, i) => <li key={i}>{(next && x.endsWith(next)) || /[:：] ?curl /.test(x) ? <Remedy text={x} /> : x}</li>)}</ol>
      {next && !said.some((x) => x.endsWith(next)) && <><p class="dim">{t("下一条命令", "The next command")}</p><Command text={next} /></>}
    </>
  );
}

/** Puts issues together that say the same of different modules. */
function together(list: Issue[]): Issue[][] {
  const groups = new Map<string, Issue[]>();
  for (const i of list) {
    const names = i.moduleId ? [i.moduleId, i.metadata?.api].filter((x) => !!x) : [];
    const key = [i.reason, i.severity, i.remedy, names.reduce<string>((m, x) => m.replaceAll(x!, ""), i.message)].join("\n");
    groups.set(key, [...(groups.get(key) ?? []), i]);
  }
  return [...groups.values()];
}

/** Lists issues; most is how many, the worst first. */
export function Issues({ list, most = Infinity }: { list: Issue[]; most?: number }) {
  if (!list.length) return null;
  return (
    <ul class="issues">
      {together(list).slice(0, most).map(([i, ...others]) => i && (
        <li key={i.moduleId + i.message}>
          <Mark tone={severity(i.severity)} />
          <div>
            <p class="title"><strong>{reasonName(i.reason)}</strong> {[i, ...others].map((x, n) => x.moduleId && <span key={x.moduleId}>{n > 0 && t("、", ", ")}<a href={to("modules", x.moduleId)}>{moduleName(x.moduleId)}</a></span>)} <code class="code">{short(i.reason, "REASON")}</code></p>
            {others.every((x) => x.message === i.message) ? <Said message={i.message} local={i.localized} /> : (
              <details open={i.severity === "SEVERITY_BLOCKING"}><summary>{t(`${others.length + 1} 条消息`, `${others.length + 1} messages`)}</summary>{[i, ...others].map((x) => <Said key={x.message} message={x.message} local={x.localized} />)}</details>
            )}
            {i.localized?.remedy ? <Remedy text={i.localized.remedy} /> : i.remedy && <Remedy text={i.remedy} lang="en" />}
          </div>
        </li>
      ))}
    </ul>
  );
}

const origin = location.host;
/** Quotes a word for the shell. */
export const quote = (s: string): string => `'${s.replaceAll("'", `'\\''`)}'`;

/** Quotes a word for the shell, where it needs to be. */
export const quoted = (s: string): string => (/^[\w@%+=:,./-]+$/.test(s) ? s : quote(s));

/** Writes a call as a curl command. */
export function curl(method: string, path: string, body?: unknown, stream = false): string {
  const url = /[?&;]/.test(path) ? quote(origin + path) : origin + path;
  return `curl${stream ? " -N" : ""}${method === "GET" ? "" : ` -X ${method}`} ${url}${body === undefined ? "" : ` -d ${quote(JSON.stringify(body))}`}`;
}

export interface RunRequest {
  pools: string[];
  startDate?: string;
  endDate?: string;
  moduleIds?: string[];
  refetch?: boolean;
  validateOnly?: boolean;
}

/** Writes a request for runs as a command of afterbell. */
export function runCommand(r: RunRequest): string {
  const words = ["afterbell run", ...r.pools.map(poolId)];
  if (r.startDate) words.push("--from", r.startDate);
  if (r.endDate) words.push("--to", r.endDate);
  if (r.moduleIds?.length) words.push("--modules", r.moduleIds.join(","));
  if (r.refetch) words.push("--refetch");
  if (r.validateOnly) words.push("--dry-run");
  return words.join(" ");
}

/** Gives the request that repeats a run. */
export function again(r: Run): RunRequest {
  const body: RunRequest = { pools: [r.pool] };
  if (r.startDate) body.startDate = r.startDate;
  if (r.endDate) body.endDate = r.endDate;
  if (r.moduleIds.length) body.moduleIds = r.moduleIds;
  if (r.refetch) body.refetch = true;
  return body;
}

/** Shows the same action as commands. */
export function Twin({ curl, cli }: { curl: string; cli?: string }) {
  return (
    <div class="twins">
      {cli && <Command label="afterbell" text={cli} />}
      <Command label="curl" text={curl} />
    </div>
  );
}

export interface ActProps<T> {
  label: string;
  method: string;
  path: string;
  body?: unknown;
  /** The body as the command shows it, where the real one holds a secret. */
  shown?: unknown;
  cli?: string;
  /** Question before the call. Without it there is no confirmation. */
  ask?: ComponentChildren;
  tone?: "primary" | "danger" | "plain";
  disabled?: boolean;
  /** The role that the API asks for. */
  role?: "ROLE_OPERATOR" | "ROLE_ADMIN";
  done?: (answer: T) => void;
  children?: ComponentChildren;
}

/** An action of the API: confirms, calls, tells why a call was refused, and shows the same as commands. */
export function Act<T>(p: ActProps<T>) {
  const [open, show] = useState(false);
  const [busy, work] = useState(false);
  const [error, fail] = useState<Error | null>(null);
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  const allowed = may(p.role ?? "ROLE_OPERATOR");
  useEffect(() => {
    if (open) box.current?.showModal();
  }, [open]);
  const close = () => box.current?.close(); // gives the focus back
  const closed = () => {
    show(false);
    fail(null);
  };
  const act = async () => {
    work(true);
    fail(null);
    try {
      const answer = await call<T>(p.method, p.path, p.body);
      close();
      p.done?.(answer);
    } catch (e) {
      fail(e as Error);
      if (!p.ask) show(true);
    }
    work(false);
  };
  return (
    <>
      <button class={p.tone ?? "plain"} data-asks={p.ask ? "" : undefined} disabled={p.disabled || !allowed || (busy && !open)} title={allowed ? undefined : t("这个密钥的角色不允许此操作", "This key's role does not allow it")} onClick={() => (p.ask ? show(true) : void act())}>{p.label}</button>
      {open && (
        <dialog ref={box} aria-labelledby={id} onClose={closed} onClick={(e) => e.target === box.current && close()}>
          <div class="dialog">
            <h2 id={id}>{p.label}</h2>
            {p.ask && <div class="ask">{p.ask}</div>}
            {error && <Failure error={error} />}
            <Twin curl={curl(p.method, p.path, p.shown ?? p.body)} cli={p.cli} />
            <p class="buttons">
              <button autofocus={!p.ask || p.tone === "danger"} onClick={close}>{p.ask ? t("返回", "Back") : t("关闭", "Close")}</button>
              {p.ask && <button class={p.tone === "danger" ? "danger" : "primary"} autofocus={p.tone !== "danger"} disabled={busy} onClick={() => void act()}>{busy ? t("请稍候…", "One moment…") : p.label}</button>}
            </p>
          </div>
        </dialog>
      )}
    </>
  );
}

/** Draws a state of the heatmap as in the grid. */
export function CellIcon({ cell }: { cell: Cell }) {
  return <svg class="cell" viewBox="0 0 12 12" aria-hidden="true"><path class={"c-" + cell} d={cellPath(cell, 0, 0, 12)} /></svg>;
}

/** Gives a cell's shape at x, y with a side of s: square, cut square, half, ring, cross. */
export function cellPath(cell: Cell, x: number, y: number, s: number): string {
  const e = x + s, b = y + s, m = s / 2, r = s * 0.3;
  switch (cell) {
    case "complete":
      return `M${x} ${y}H${e}V${b}H${x}Z`;
    case "accepted": // a square with a corner cut off
      return `M${x} ${y}H${x + m}L${e} ${y + m}V${b}H${x}Z`;
    case "short": // filled to the half, framed
      return `M${x} ${y}H${e}V${b}H${x}ZM${x + 1.4} ${y + 1.4}V${y + m}H${e - 1.4}V${y + 1.4}Z`;
    case "pending": // a ring
      return `M${x + m - r} ${y + m}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0ZM${x + m - r * 0.45} ${y + m}a${r * 0.45} ${r * 0.45} 0 1 1 ${r * 0.9} 0a${r * 0.45} ${r * 0.45} 0 1 1 ${-r * 0.9} 0Z`;
    case "missing": { // a cross
      const w = s * 0.16, i = x + s * 0.14, j = y + s * 0.14, k = e - s * 0.14, l = b - s * 0.14, cx = x + m, cy = y + m;
      return `M${i} ${j + w}L${i + w} ${j}L${cx} ${cy - w}L${k - w} ${j}L${k} ${j + w}L${cx + w} ${cy}L${k} ${l - w}L${k - w} ${l}L${cx} ${cy + w}L${i + w} ${l}L${i} ${l - w}L${cx - w} ${cy}Z`;
    }
  }
}

export function Legend({ counts }: { counts?: Partial<Record<Cell, number>> }) {
  return (
    <ul class="legend">
      {cells.map((c) => <li key={c}><CellIcon cell={c} /> {cellName(c)}{counts && <b class="num">{num(counts[c] ?? 0)}</b>}</li>)}
    </ul>
  );
}

export function Choice({ label, value, options, change }: { label: string; value: string; options: [string, string][]; change: (v: string) => void }) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([v, text]) => (
        <button key={v} aria-pressed={v === value} class={v === value ? "on" : ""} onClick={() => change(v)}>{text}</button>
      ))}
    </div>
  );
}

export function Switch({ label, on, change, disabled }: { label: string; on: boolean; change: (on: boolean) => void; disabled?: boolean }) {
  return (
    <button class={"switch" + (on ? " on" : "")} role="switch" aria-checked={on} aria-label={label} disabled={disabled} onClick={() => change(!on)}><i /></button>
  );
}

/** A run id, shortened to the part that differs, as a link. */
export const RunLink = ({ id }: { id: string }) => <a class="mono" href={to("runs", id)} title={id}>{id.slice(0, 8)}…{id.slice(-6)}</a>;
