import { useEffect, useState } from "preact/hooks";
import { call, useLive } from "../lib/api.ts";
import { count, num, t } from "../lib/i18n.ts";
import { useInstruments } from "../lib/instruments.ts";
import { path } from "../lib/paths.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { When } from "../lib/time.tsx";
import { moduleName } from "../lib/words.ts";
import { Act, Badge, Card, Choice, Empty, Failure, Loaded, Page, reading } from "../ui.tsx";

interface Resolved {
  symbol: string;
  kind: string;
  name: string;
  memberships: { setId: string; expireTime: string | null }[];
  expireTime: string | null;
}
interface List {
  targets: { symbols: string[] };
  resolved: Resolved[];
}
interface Set_ {
  setId: string;
  entries: { symbol: string; expireTime: string | null }[];
  etag: string;
  note: string;
  updateTime: string | null;
}
interface Preview {
  resolved: Resolved[];
  addedSymbols: string[];
  removedSymbols: string[];
  moduleIds: string[];
  replacedSymbols: { oldSymbol: string; symbol: string; name: string }[];
  unlistedSymbols: string[];
}

const split = (text: string): string[] => [...new Set(text.toUpperCase().split(/[\s,，、;；]+/).filter(Boolean))];

export default function Targets() {
  const live = useLive<List>("/v1/targets", 0);
  const sets = useLive<{ sets: Set_[] }>("/v1/targets/sets", 0);
  const name = route.value.query.get("set") ?? "default";
  const kinds = live.data?.resolved.reduce((n, r) => (r.kind === "INSTRUMENT_KIND_ETF" ? { ...n, etf: n.etf + 1 } : { ...n, stock: n.stock + 1 }), { stock: 0, etf: 0 });
  const find = (route.value.query.get("q") ?? "").toUpperCase();
  const shown = live.data?.resolved.filter((r) => r.symbol.includes(find) || r.name.includes(find)) ?? [];
  const refresh = () => {
    live.refresh();
    sets.refresh();
  };
  return (
    <Page name={t("目标", "Targets")} tone={live.data && !live.data.resolved.length ? "idle" : undefined} answer={!live.data ? reading(live)
      : live.data.resolved.length ? t(`目标池跟踪 ${num(kinds!.stock)} 只股票和 ${num(kinds!.etf)} 只 ETF。`, `The targets pool follows ${count(kinds!.stock, "", "stock")} and ${count(kinds!.etf, "", "ETF")}.`)
      : t("列表是空的：目标池没有要更新的内容。", "The list is empty: the targets pool has nothing to fetch.")}>
      <Loaded live={sets}>{(d) => {
        const set = d.sets.find((s) => s.setId === name) ?? { setId: name, entries: [], etag: "", note: "", updateTime: null };
        const names = d.sets.some((s) => s.setId === name) ? d.sets : [...d.sets, set];
        return (
          <div class="grid wide-left">
            <div class="stack">
              {names.length > 1 && <div class="bar"><Choice label={t("集合", "Set")} value={name} options={names.map((s) => [s.setId, `${s.setId} ${s.entries.length}`])} change={(s) => setQuery({ set: s === "default" ? "" : s })} /></div>}
              <Edit key={name + set.etag} set={set} done={refresh} />
            </div>
            <Card title={t("目标列表（所有集合）", "Target list (all sets)")} flush note={<input type="search" aria-label={t("筛选", "Filter")} placeholder={t("筛选", "Filter")} value={route.value.query.get("q") ?? ""} onInput={(e) => setQuery({ q: e.currentTarget.value })} />}>
              {shown.length ? <div class="scroll tall" tabIndex={0}><table class="rows"><tbody>{shown.map((r) => (
                <tr key={r.symbol}><td><a data-row href={to("look", r.symbol, { pool: "targets" })}>{r.symbol}</a> {r.name}</td><td class="dim">{r.kind === "INSTRUMENT_KIND_ETF" ? "ETF" : t("股票", "stock")}</td>
                  <td>{r.memberships.filter((m) => m.setId !== "default" || r.memberships.length > 1).map((m) => <Badge key={m.setId} tone="idle">{m.setId}</Badge>)}{r.expireTime && <small class="dim">{t("到 ", "until ")}<When at={r.expireTime} seconds={false} /></small>}</td></tr>
              ))}</tbody></table></div>
                : <Empty>{find ? t("没有符合条件的。", "Nothing matches.") : t("还没有代码。", "No symbols yet.")}</Empty>}
            </Card>
          </div>
        );
      }}</Loaded>
    </Page>
  );
}

function Edit({ set, done }: { set: Set_; done: () => void }) {
  const list = set.entries.map((e) => e.symbol);
  const [text, setText] = useState(list.join("\n"));
  const [query, setQueryText] = useState("");
  const [unlisted, allow] = useState(false);
  const [preview, setPreview] = useState<Preview | null>(null);
  const [error, fail] = useState<Error | null>(null);
  const found = useInstruments(query.trim());
  const symbols = split(text);
  const key = symbols.join(" ");
  const changed = key !== list.join(" ");
  useEffect(() => {
    setPreview(null);
    fail(null);
    if (!changed) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<Preview>("POST", "/v1/targets:preview", { targets: { symbols }, setId: set.setId, allowUnlisted: unlisted }, stop.signal).then(setPreview, (e) => !stop.signal.aborted && fail(e as Error));
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, unlisted]);
  const some = symbols.slice(0, 40).join(" ") + (symbols.length > 40 ? " …" : "");
  const extra = unlisted ? { allowUnlisted: true } : {};
  return (
    <Card title={<>{t("编辑", "Edit")} <code class="dim">{set.setId}</code></>} note={set.note || t("六位数字加 .SH、.SZ 或 .BJ，用空格、逗号或换行分开", "six digits with .SH, .SZ or .BJ, separated by spaces, commas or lines")}>
      <label class="field"><span>{t("按代码、名称或拼音首字母添加", "Add by code, name or pinyin initials")}</span><input type="search" value={query} placeholder="gzmt" onInput={(e) => setQueryText(e.currentTarget.value)} /></label>
      {found.length > 0 && <ul class="suggest">{found.map((i) => <li key={i.symbol}><button disabled={symbols.includes(i.symbol)} onClick={() => { setText((x) => (x.trim() ? x.trimEnd() + "\n" : "") + i.symbol); setQueryText(""); }}>+ {i.symbol} {i.name} {i.listStatus !== "L" && <small class="dim">{i.listStatus}</small>}</button></li>)}</ul>}
      <textarea rows={12} spellcheck={false} aria-label={t("代码", "Symbols")} value={text} onInput={(e) => setText(e.currentTarget.value)} />
      {error && <Failure error={error} />}
      {changed && <label class="check"><input type="checkbox" checked={unlisted} onChange={(e) => allow(e.currentTarget.checked)} />{t("也接受列表中尚无的代码（即将上市）", "Accept symbols that are not listed yet")}</label>}
      {preview && (
        <ul class="plain" role="status">
          <li>{t(`合起来将有 ${num(preview.resolved.length)} 个代码`, `All sets together would have ${count(preview.resolved.length, "", "symbol")}`)}</li>
          {preview.addedSymbols.length > 0 && <li><b class="plus">+{preview.addedSymbols.length}</b> {preview.addedSymbols.slice(0, 12).join(" ")}{preview.addedSymbols.length > 12 && " …"}</li>}
          {preview.removedSymbols.length > 0 && <li><b class="minus">−{preview.removedSymbols.length}</b> {preview.removedSymbols.slice(0, 12).join(" ")}{preview.removedSymbols.length > 12 && " …"} <small class="dim">{t("已有数据保留", "their rows stay")}</small></li>}
          {preview.replacedSymbols.map((r) => <li key={r.oldSymbol} class="dim">{r.oldSymbol} → {r.symbol} {r.name}</li>)}
          {preview.moduleIds.length > 0 && <li class="dim">{t("需要的模块：", "Modules needed: ")}{preview.moduleIds.map((m) => moduleName(m)).join(t("、", ", "))}</li>}
        </ul>
      )}
      <p class="buttons">
        <Act label={t("保存列表", "Save the list")} tone="primary" method="PUT" path={set.setId === "default" ? "/v1/targets" : `/v1/targets/sets/${set.setId}`} body={set.setId === "default" ? { targets: { symbols }, etag: set.etag, ...extra } : { symbols, etag: set.etag, note: set.note, ...extra }}
          disabled={!changed || !preview} cli={(set.setId === "default" ? `afterbell targets set ${some}` : `afterbell targets replace ${set.setId} ${some}`) + (unlisted ? " --allow-unlisted" : "")}
          ask={preview && t(`加 ${preview.addedSymbols.length} 个，减 ${preview.removedSymbols.length} 个。`, `${preview.addedSymbols.length} added, ${preview.removedSymbols.length} removed.`)} done={done} />
        {changed && <button onClick={() => setText(list.join("\n"))}>{t("还原", "Undo")}</button>}
        {set.setId !== "default" && set.etag && <Act label={t("删除集合", "Delete the set")} tone="danger" method="DELETE" path={path(`/v1/targets/sets/${set.setId}`, { etag: set.etag })} cli={`afterbell targets delete ${set.setId}`} ask={t("只在这个集合里的代码会离开列表；已有数据保留。", "Symbols that are only in this set leave the list; their rows stay.")} done={() => { setQuery({ set: "" }); done(); }} />}
      </p>
    </Card>
  );
}
