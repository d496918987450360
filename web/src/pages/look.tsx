import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { ApiError, lines, useLive } from "../lib/api.ts";
import { day, plusDays } from "../lib/clock.ts";
import { count, num, t } from "../lib/i18n.ts";
import { useInstruments } from "../lib/instruments.ts";
import { path } from "../lib/paths.ts";
import { go, route, setQuery, to } from "../lib/router.ts";
import { now, weekday } from "../lib/time.tsx";
import { Card, Choice, curl, Empty, Failure, Here, Page, Skeleton, Twin } from "../ui.tsx";

type Row = Record<string, string | number | null>;

interface Column {
  name: string;
  unit: string;
  description: string;
}

const tables: [string, string, string, string][] = [
  ["daily_prices", "行情", "Prices", "close"], ["daily_basics", "指标", "Indicators", "pe_ttm"], ["daily_moneyflows", "资金", "Money flow", "net_mf_amount"],
];
const reach: [string, string, string][] = [["90", "三个月", "3 months"], ["365", "一年", "1 year"], ["1095", "三年", "3 years"]];
const adjustments: [string, string, string][] = [["", "不复权", "Unadjusted"], ["forward", "前复权", "Forward"], ["backward", "后复权", "Backward"]];

const offered = (list: [string, ...string[]][], wanted: string | null): string => (list.find(([n]) => n === wanted) ?? list[0]!)[0];

interface Found {
  rows: Row[];
  open: string[];
  meta?: Row;
}

async function all(address: string, stop: AbortSignal): Promise<Row[]> {
  const out: Row[] = [];
  for await (const r of lines<Row>("GET", address, undefined, stop)) out.push(r);
  return out;
}

export default function Look() {
  const q = route.value.query;
  const symbol = route.value.id.toUpperCase();
  const pool = q.get("pool") === "targets" ? "targets" : "universe";
  // An address that somebody typed may ask for what is not on offer. Then it is the first offer.
  const table = offered(tables, q.get("table"));
  const adjust = table === "daily_prices" ? offered(adjustments, q.get("adjust")) : "";
  const back = offered(reach, q.get("days"));
  const today = day(now.peek());
  const start = plusDays(today, -Number(back));
  const prefix = pool === "targets" ? "targets." : "";
  const address = path(`/v1/data/${prefix}${table}.ndjson`, { symbols: symbol, start_date: start, adjust });
  const [found, setFound] = useState<Found | null>(null);
  const [failed, fail] = useState<Error | null>(null);
  const [text, setText] = useState(symbol);
  const [most, setMost] = useState(60);
  const catalog = useLive<{ tables: { table: string; columns: Column[]; firstDate: string }[] }>(path("/v1/data", { pool }));
  const error = failed ?? (catalog.data ? null : catalog.error);
  const ready = found && catalog.data;
  useEffect(() => setText(symbol), [symbol]);
  const typed = text.trim().toUpperCase();
  const matches = useInstruments(typed === symbol || /^\d{6}\.[A-Z]{2}$/.test(typed) ? "" : text.trim());
  const ask = { ...Object.fromEntries(q), row: "" };
  useEffect(() => {
    setFound(null);
    fail(null);
    setMost(60);
    if (!symbol) return;
    const stop = new AbortController();
    Promise.all([
      all(address, stop.signal),
      all(path(`/v1/data/${prefix}trade_calendar.ndjson`, { start_date: start, end_date: today, columns: "cal_date,is_open,exchange" }), stop.signal),
      all(path(`/v1/data/${prefix}instrument_meta.ndjson`, { symbols: symbol }), stop.signal),
    ]).then(([rows, cal, meta]) => {
      const open = [...new Set(cal.filter((c) => c.is_open === 1).map((c) => String(c.cal_date)))].sort();
      setFound({ rows, open, meta: meta[0] });
    }, (e) => !stop.signal.aborted && fail(e as Error));
    return () => stop.abort();
  }, [address]);

  const column = q.get("column") ?? tables.find(([n]) => n === table)?.[3] ?? "close";
  const columns = catalog.data?.tables.find((x) => x.table === table)?.columns ?? [];
  // Days before the first stored day of the table are not holes.
  const held = catalog.data?.tables.find((x) => x.table === table)?.firstDate ?? "";
  const days = useMemo(() => {
    // Without any row there is nothing to have holes: the symbol may not exist, or not be fetched.
    if (!found?.rows.length) return [];
    const by = new Map(found.rows.map((r) => [String(r.trade_date), r]));
    const last = String(found.rows.at(-1)!.trade_date);
    const listed = String(found.meta?.list_date ?? "");
    const gone = String(found.meta?.delist_date ?? "") || "9999";
    const span = found.open.filter((d) => d >= listed && d >= held && d < gone && d <= last);
    // Days after the newest row may not be due yet, so they are not holes.
    return [...new Set([...span, ...by.keys()])].sort().map((d) => ({ date: d, row: by.get(d) }));
  }, [found, held]);
  const holes = days.filter((d) => !d.row).length;
  const named = found?.meta?.name ? `${symbol} ${found.meta.name}` : symbol;
  const unit = columns.find((c) => c.name === column)?.unit ?? "";
  const newest = found?.rows.at(-1);
  // The values of a column have as many decimals as the one that has most, so that they line up.
  const places = useMemo(() => new Map(columns.concat({ name: "factor", unit: "", description: "" }).map((c) => [c.name, Math.max(0, ...(found?.rows ?? []).map((r) => decimals(r[c.name])))])), [found, columns]);
  const write = (v: string | number | null | undefined) => fixed(v, places.get(column));
  const none = error instanceof ApiError && error.reason === "NOT_FOUND"; // nothing is published yet
  const head = !symbol ? t("输入一个代码，看它的数据。", "Enter a symbol to see its rows.")
    : none ? t(`${symbol} 还读不到：还没有发布过数据。`, `${symbol} cannot be read yet: nothing has been published.`)
    : error instanceof ApiError && error.reason === "INVALID_ARGUMENT" ? t(`${symbol} 不是代码。`, `${symbol} is not a symbol.`)
    : error ? t(`${symbol} 现在读不到。`, `${symbol} cannot be read now.`) : !found ? t("正在读取…", "Loading…")
    : !found.rows.length ? (found.meta ? t(`${named}：这段时间没有数据。`, `${named}: no rows in this period.`) : t(`没有 ${symbol} 这只证券。`, `There is no instrument ${symbol}.`))
    : t(`${named}：${columnName(column)} ${write(newest![column])}${unit && " " + unit}，${newest!.trade_date}${holes ? `，${holes} 个空洞` : ""}`, `${named}: ${column} ${write(newest![column])}${unit && " " + unit}, ${newest!.trade_date}${holes ? `, ${count(holes, "", "hole")}` : ""}`);
  return (
    <Page name={t("查数", "Look")} answer={head} tone={holes ? "warn" : undefined}>
      <form class="bar" onSubmit={(e) => { e.preventDefault(); const s = (matches[0]?.symbol ?? text).trim().toUpperCase(); if (s) go(to("look", s, ask)); }}>
        <input type="search" aria-label={t("代码、名称或拼音首字母", "Code, name or pinyin initials")} placeholder={t("600519、茅台、gzmt", "600519, gzmt")} value={text} onInput={(e) => setText(e.currentTarget.value)} size={16} />
        <button class="primary" type="submit">{t("查看", "Show")}</button>
        <Choice label={t("股票池", "Pool")} value={pool} options={[["universe", t("全市场", "universe")], ["targets", t("目标池", "targets")]]} change={(p) => setQuery({ pool: p })} />
        <Choice label={t("表", "Table")} value={table} options={tables.map(([n, zh, en]) => [n, t(zh, en)])} change={(n) => setQuery({ table: n, column: "", adjust: "" })} />
        <Choice label={t("时间", "Period")} value={back} options={reach.map(([n, zh, en]) => [n, t(zh, en)])} change={(n) => setQuery({ days: n })} />
        {table === "daily_prices" && <Choice label={t("复权", "Adjustment")} value={adjust} options={adjustments.map(([n, zh, en]) => [n, t(zh, en)])} change={(a) => setQuery({ adjust: a })} />}
      </form>
      {matches.length > 0 && <ul class="suggest">{matches.map((i) => <li key={i.symbol}><a class="button" href={to("look", i.symbol, ask)}>{i.symbol} {i.name}</a></li>)}</ul>}
      {none ? <Card><Empty>{t("一次运行结束时会发布数据，然后就能查。", "A run publishes its data when it ends; then it can be read.")} <a href={to("preflight", "", { pool })}>{t("预检并运行", "Check and run")}</a></Empty></Card> : error && <Failure error={error} />}
      {symbol && !error && !ready && <Card><Skeleton lines={8} /></Card>}
      {ready && days.length > 0 && (
        <>
          <Card title={<>{columnName(column)} {unit && <small>{unit}</small>}</>} note={<select aria-label={t("列", "Column")} value={column} onChange={(e) => setQuery({ column: e.currentTarget.value })}>{columns.filter((c) => c.name !== "symbol" && c.name !== "trade_date").map((c) => <option key={c.name} value={c.name}>{columnName(c.name)}{c.unit && ` (${c.unit})`}</option>)}</select>}>
            <Line days={days} column={column} unit={unit} />
          </Card>
          <Card title={t("行", "Rows")} note={t(`${num(found.rows.length)} 行，${holes} 个空洞`, `${count(found.rows.length, "", "row")}, ${count(holes, "", "hole")}`)} flush>
            <div class="scroll dated"><table>
              <thead><tr><th>{t("日期", "Date")}</th>{shownColumns(columns, adjust).map((c) => <th key={c.name} class="r" title={t(columnName(c.name), c.description)}>{columnName(c.name)}{c.unit && <small> {c.unit}</small>}{columnName(c.name) !== c.name && <><br /><code>{c.name}</code></>}</th>)}</tr></thead>
              <tbody>{days.slice().reverse().slice(0, most).map((d) => d.row
                ? <tr key={d.date}><td class="num"><Here row={d.date}>{d.date}</Here> <span class="dim">{weekday(d.date)}</span></td>{shownColumns(columns, adjust).map((c) => <td key={c.name} class="r num">{d.row![c.name] === null || d.row![c.name] === undefined ? <span class="dim">–</span> : fixed(d.row![c.name], places.get(c.name))}</td>)}</tr>
                : <tr key={d.date} class="hole"><td class="num">{d.date} <span class="dim">{weekday(d.date)}</span></td><td colSpan={Math.max(1, shownColumns(columns, adjust).length)}>{t("没有这一天的行：停牌、无成交，或缺失。", "No row: suspended, not traded, or missing.")} <a href={to("coverage", "", { pool, at: `daily:${d.date}` })}>{t("看覆盖", "See coverage")}</a></td></tr>)}</tbody>
            </table></div>
            {days.length > most && <p class="more"><button onClick={() => setMost(most + 250)}>{t("更早的", "Older")}</button></p>}
          </Card>
        </>
      )}
      {ready && symbol && !found.rows.length && <Card><Empty>{
        !found.meta ? t("已发布的证券列表里没有这个代码。请在上面按代码、名称或拼音首字母查找。", "The published list of instruments does not have it. Search above by code, name or pinyin initials.")
        : pool === "targets" ? <>{t("目标池只有目标列表中的证券。", "The pool has only the symbols of the target list.")} <a href={to("targets")}>{t("看目标", "See targets")}</a> <a href={to("look", symbol, { ...ask, pool: "universe" })}>{t("在全市场里看", "Look in universe")}</a></>
        : <>{t("可能停牌、无成交、还没有取，或缺失。", "It was suspended or not traded, or its data is not fetched yet or missing.")} <a href={to("coverage", "", { pool })}>{t("看覆盖", "See coverage")}</a></>
      }</Empty></Card>}
      {symbol && <Card title={t("同样的命令", "As a command")}><Twin curl={curl("GET", address)} cli={`afterbell export ${table} -o ${table}.csv${pool === "targets" ? " --pool targets" : ""} --symbols ${symbol} --from ${start}${adjust && ` --adjust ${adjust}`}`} /></Card>}
    </Page>
  );
}

const columnsZh: Record<string, string> = {
  open: "开盘价", high: "最高价", low: "最低价", close: "收盘价", pre_close: "前收盘价（除权后）", change: "涨跌额", pct_chg: "涨跌幅", volume: "成交量", amount: "成交额", factor: "复权因子",
  turnover_rate: "换手率", turnover_rate_f: "换手率（自由流通）", volume_ratio: "量比", pe: "市盈率", pe_ttm: "市盈率 TTM", pb: "市净率", ps: "市销率", ps_ttm: "市销率 TTM", dv_ratio: "股息率", dv_ttm: "股息率 TTM",
  total_share: "总股本", float_share: "流通股本", free_share: "自由流通股本", total_mv: "总市值", circ_mv: "流通市值", net_mf_vol: "净流入量", net_mf_amount: "净流入额",
};
const orders: Record<string, string> = { sm: "小单", md: "中单", lg: "大单", elg: "特大单" };

/** Names a column: in Chinese in words, where it has some, in English as the table does. */
function columnName(name: string): string {
  const [, side, size = "", what] = /^(buy|sell)_(sm|md|lg|elg)_(vol|amount)$/.exec(name) ?? [];
  return t(columnsZh[name] ?? (side ? `${orders[size]}${side === "buy" ? "买入" : "卖出"}${what === "vol" ? "量" : "额"}` : name), name);
}

const decimals = (v: string | number | null | undefined): number => (typeof v === "number" ? Math.min(6, (String(v).split(".")[1] ?? "").length) : 0);

/** Writes a value with a number of decimals. */
const fixed = (v: string | number | null | undefined, places = 0): string =>
  typeof v === "number" ? v.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }) : v === null || v === undefined ? "–" : String(v);

const shownColumns = (columns: Column[], adjust: string): Column[] => {
  const list = columns.filter((c) => c.name !== "symbol" && c.name !== "trade_date");
  return adjust ? [...list, { name: "factor", unit: "", description: "" }] : list;
};

/** A line over the open days; where a day has no value the line is broken and a band stands there. */
function Line({ days, column, unit }: { days: { date: string; row?: Row }[]; column: string; unit: string }) {
  const [at, point] = useState(-1);
  const box = useRef<SVGSVGElement>(null);
  const W = 1000, H = 220, P = 8;
  const { d, holes, lo, hi, x, y } = useMemo(() => {
    const values = days.map((r) => (typeof r.row?.[column] === "number" ? (r.row[column] as number) : null));
    const held = values.filter((v): v is number => v !== null);
    const lo = Math.min(...held), hi = Math.max(...held);
    const x = (i: number) => P + ((W - 2 * P) * (i + 0.5)) / days.length;
    const y = (v: number) => H - P - ((H - 2 * P) * (v - lo)) / (hi - lo || 1);
    let d = "", pen = false, holes = "";
    const w = (W - 2 * P) / days.length;
    values.forEach((v, i) => {
      if (v === null) {
        pen = false;
        holes += `M${(x(i) - w / 2).toFixed(1)} 0h${Math.max(w, 1.5).toFixed(1)}v${H}h${-Math.max(w, 1.5).toFixed(1)}Z`;
        return;
      }
      d += `${pen ? "L" : "M"}${x(i).toFixed(1)} ${y(v).toFixed(1)}${pen ? "" : "h0.01"}`;
      pen = true;
    });
    return { d, holes, lo, hi, x, y };
  }, [days, column]);
  if (!isFinite(lo)) return <Empty>{t("这一列没有值。", "The column has no values.")}</Empty>;
  const v = at >= 0 ? days[at]?.row?.[column] : null;
  return (
    <figure class="line-chart">
      <svg ref={box} viewBox={`0 0 ${W} ${H}`} preserveAspectRatio="none" role="img" aria-label={t(`${columnName(column)}：最低 ${num(lo)}，最高 ${num(hi)}`, `${column}: lowest ${num(lo)}, highest ${num(hi)}`)}
        onMouseMove={(e) => { const b = box.current!.getBoundingClientRect(); point(Math.max(0, Math.min(days.length - 1, Math.floor((((e.clientX - b.left) / b.width) * W - P) / ((W - 2 * P) / days.length))))); }} onMouseLeave={() => point(-1)}>
        <path class="hole-band" d={holes} />
        <path class="price" d={d} />
        {at >= 0 && <path class="rule" d={`M${x(at)} 0V${H}`} />}
        {typeof v === "number" && <circle cx={x(at)} cy={y(v)} r="4" class="dot" />}
      </svg>
      <figcaption class="axis num"><span>{days[0]!.date}</span><span>{at >= 0 ? `${days[at]!.date} · ${typeof v === "number" ? `${num(v)} ${unit}` : t("空洞", "hole")}` : `${num(lo)} – ${num(hi)} ${unit}`}</span><span>{days.at(-1)!.date}</span></figcaption>
    </figure>
  );
}
