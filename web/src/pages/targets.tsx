import { useEffect, useState } from "preact/hooks";
import { call, useLive } from "../lib/api.ts";
import { count, num, t } from "../lib/i18n.ts";
import { route, setQuery, to } from "../lib/router.ts";
import { moduleName } from "../lib/words.ts";
import { Act, Card, Empty, Failure, Loaded, Page } from "../ui.tsx";

interface Resolved {
  symbol: string;
  kind: string;
  reasons: string[];
}
interface List {
  targets: { symbols: string[] };
  resolved: Resolved[];
}
interface Preview {
  resolved: Resolved[];
  addedSymbols: string[];
  removedSymbols: string[];
  moduleIds: string[];
}

const split = (text: string): string[] => [...new Set(text.toUpperCase().split(/[\s,，、;；]+/).filter(Boolean))];

export default function Targets() {
  const live = useLive<List>("/v1/targets", 0);
  const kinds = live.data?.resolved.reduce((n, r) => (r.kind === "INSTRUMENT_KIND_ETF" ? { ...n, etf: n.etf + 1 } : { ...n, stock: n.stock + 1 }), { stock: 0, etf: 0 });
  const find = route.value.query.get("q") ?? "";
  const shown = live.data?.resolved.filter((r) => r.symbol.includes(find.toUpperCase())) ?? [];
  return (
    <Page name={t("目标", "Targets")} tone={live.data && !live.data.resolved.length ? "idle" : undefined} answer={!live.data ? t("正在读取…", "Reading…")
      : live.data.resolved.length ? t(`目标池跟踪 ${num(kinds!.stock)} 只股票和 ${num(kinds!.etf)} 只 ETF。`, `The targets pool follows ${count(kinds!.stock, "", "stock")} and ${count(kinds!.etf, "", "ETF")}.`)
      : t("列表是空的：目标池没有要更新的内容。", "The list is empty: the targets pool has nothing to fetch.")}>
      <Loaded live={live}>{(d) => (
        <div class="grid wide-left">
          <Edit key={d.targets.symbols.join()} list={d.targets.symbols} done={live.refresh} />
          <Card title={t("列表", "The list")} flush note={<input type="search" aria-label={t("筛选", "Filter")} placeholder={t("筛选", "Filter")} value={find} onInput={(e) => setQuery({ q: e.currentTarget.value })} />}>
            {shown.length ? <div class="scroll tall"><table class="rows"><tbody>{shown.map((r) => <tr key={r.symbol}><td><a data-row href={to("look", r.symbol, { pool: "targets" })}>{r.symbol}</a></td><td class="dim">{r.kind === "INSTRUMENT_KIND_ETF" ? "ETF" : t("股票", "stock")}</td><td class="dim">{r.reasons.join(", ")}</td></tr>)}</tbody></table></div>
              : <Empty>{find ? t("没有符合的。", "None matches.") : t("还没有代码。", "No symbols yet.")}</Empty>}
          </Card>
        </div>
      )}</Loaded>
    </Page>
  );
}

function Edit({ list, done }: { list: string[]; done: () => void }) {
  const [text, setText] = useState(list.join("\n"));
  const [preview, setPreview] = useState<Preview | null>(null);
  const [error, fail] = useState<Error | null>(null);
  const symbols = split(text);
  const key = symbols.join(" ");
  const changed = key !== list.join(" ");
  useEffect(() => {
    setPreview(null);
    fail(null);
    if (!changed) return;
    const stop = new AbortController();
    const timer = setTimeout(() => {
      call<Preview>("POST", "/v1/targets:preview", { targets: { symbols } }, stop.signal).then(setPreview, (e) => !stop.signal.aborted && fail(e as Error));
    }, 300);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key]);
  const body = { targets: { symbols } };
  return (
    <Card title={t("编辑", "Edit")} note={t("六位数字加 .SH、.SZ 或 .BJ，用空格、逗号或换行分开，最多 2,000 个", "six digits with .SH, .SZ or .BJ, separated by spaces, commas or lines; at most 2,000")}>
      <textarea rows={14} spellcheck={false} aria-label={t("代码", "Symbols")} value={text} onInput={(e) => setText(e.currentTarget.value)} />
      {error && <Failure error={error} />}
      {preview && (
        <ul class="plain" role="status">
          <li>{t(`将有 ${num(preview.resolved.length)} 个代码`, `The list would have ${count(preview.resolved.length, "", "symbol")}`)}</li>
          {preview.addedSymbols.length > 0 && <li><b class="plus">+{preview.addedSymbols.length}</b> {preview.addedSymbols.slice(0, 12).join(" ")}{preview.addedSymbols.length > 12 && " …"}</li>}
          {preview.removedSymbols.length > 0 && <li><b class="minus">−{preview.removedSymbols.length}</b> {preview.removedSymbols.slice(0, 12).join(" ")}{preview.removedSymbols.length > 12 && " …"} <small class="dim">{t("已有数据保留", "their rows stay")}</small></li>}
          {preview.moduleIds.length > 0 && <li class="dim">{t("需要的模块：", "Modules needed: ")}{preview.moduleIds.map((m) => moduleName(m)).join(t("、", ", "))}</li>}
        </ul>
      )}
      <p class="buttons">
        <Act label={t("保存列表", "Save the list")} tone="primary" method="PUT" path="/v1/targets" body={body} disabled={!changed || !preview} cli={`afterbell targets set ${symbols.slice(0, 40).join(" ")}${symbols.length > 40 ? " …" : ""}`}
          ask={preview && t(`加 ${preview.addedSymbols.length} 个，减 ${preview.removedSymbols.length} 个。`, `${preview.addedSymbols.length} added, ${preview.removedSymbols.length} removed.`)} done={done} />
        {changed && <button onClick={() => setText(list.join("\n"))}>{t("还原", "Undo")}</button>}
      </p>
    </Card>
  );
}
