import { path, useLive } from "../lib/api.ts";
import { num, t } from "../lib/i18n.ts";
import { to } from "../lib/router.ts";
import type { Ready } from "../lib/types.ts";
import { poolName } from "../lib/words.ts";
import { Badge, Card, Command, curl, Empty, Loaded, Page } from "../ui.tsx";

interface Tables {
  version: string;
  tables: { table: string; description: string; columns: { name: string; type: string; unit: string; description: string }[]; firstDate: string; lastDate: string; rowCount: string }[];
}

export default function About() {
  const ready = useLive<Ready>("/readyz", 10000);
  const doc = useLive<{ info: { title: string; version: string } }>("/openapi.json");
  const r = ready.data;
  return (
    <Page name={t("关于", "About")} tone={r ? (r.ready && r.worker === "reachable" ? "ok" : "warn") : undefined} answer={!r ? t("正在读取…", "Reading…") : !r.ready ? t("编排器读不到账本。", "The orchestrator cannot read its ledger.") : r.worker === "reachable" ? t("编排器和采集器都在。", "The orchestrator and the worker are there.") : t("编排器在，采集器不在。", "The orchestrator is there, the worker is away.")}>
      <div class="grid two">
        <Card title={t("服务", "Services")}>
          <Loaded live={ready} lines={3}>{(x) => (
            <ul class="plain">
              <li><Badge tone="ok">{t("编排器", "orchestrator")}</Badge> <code>{location.host}</code></li>
              <li><Badge tone={x.worker === "reachable" ? "ok" : "warn"}>{t("采集器", "worker")}</Badge> <code>{x.workerAddress}</code> {x.worker === "unknown" && <span class="dim">{t("还没有问过", "not asked yet")}</span>}</li>
              <li>{t("账本", "Ledger")} <code>{x.ledger}</code></li>
              {doc.data && <li>{doc.data.info.title} <code>{doc.data.info.version}</code> · <a href="/openapi.json">OpenAPI</a></li>}
              <li><a href="/assets/licenses.txt">{t("所用软件的许可", "Licences of what this page is built from")}</a></li>
            </ul>
          )}</Loaded>
        </Card>
        <Card title={t("文件", "Files")} note={t("在数据目录里", "in the data directory")}>
          <table class="bare"><tbody>
            {[["market-cache.sqlite", t("编排器：运行、时段、队列、设置", "orchestrator: runs, slots, queue, settings")], ["targets.sqlite", t("采集器：目标池", "worker: the targets pool")], ["analysis.duckdb", t("采集器：全市场，请不要打开", "worker: the universe pool; do not open it")], ["published/", t("给读者的副本：DuckDB、Parquet、清单", "copies for readers: DuckDB, Parquet, manifest")]].map(([f, w]) => <tr key={f}><td><code>{f}</code></td><td class="dim">{w}</td></tr>)}
          </tbody></table>
          <Command label="afterbell" text="afterbell doctor" />
        </Card>
      </div>
      {["universe", "targets"].map((pool) => <Published key={pool} pool={pool} />)}
    </Page>
  );
}

function Published({ pool }: { pool: string }) {
  const live = useLive<Tables>(path("/v1/data", { pool }), 30000);
  const prefix = pool === "targets" ? "targets." : "";
  return (
    <Card flush title={<>{t("已发布", "Published")} · {poolName(pool)}</>} note={live.data && <span class="num">{t("版本 ", "version ")}{live.data.version}</span>}>
      <Loaded live={live} lines={4}>{(d) => d.tables.length ? (
        <div class="scroll"><table>
          <thead><tr><th>{t("表", "Table")}</th><th>{t("说明", "What a row is")}</th><th class="r">{t("行", "Rows")}</th><th>{t("日期", "Dates")}</th><th>{t("读取", "Read")}</th></tr></thead>
          <tbody>{d.tables.map((x) => (
            <tr key={x.table}>
              <td><code>{x.table}</code></td><td lang="en">{x.description}</td><td class="r num">{num(x.rowCount)}</td><td class="num">{x.firstDate && `${x.firstDate} – ${x.lastDate}`}</td>
              <td>{["parquet", "arrow", "csv", "ndjson"].map((f) => <span key={f}><a href={`/v1/data/${prefix}${x.table}.${f}`} download>{f}</a> </span>)}</td>
            </tr>
          ))}</tbody>
        </table></div>
      ) : <Empty>{t("还没有发布。", "Nothing is published yet.")}</Empty>}</Loaded>
      <p class="more"><Command label="curl" text={curl("GET", path("/v1/data", { pool }))} /> <a href={to("coverage", "", { pool })}>{t("看覆盖", "See coverage")}</a></p>
    </Card>
  );
}
