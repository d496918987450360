import { ApiError, useLive } from "../lib/api.ts";
import { bytes, count, num, t } from "../lib/i18n.ts";
import { path } from "../lib/paths.ts";
import { to } from "../lib/router.ts";
import { now, span, When, ZoneHead } from "../lib/time.tsx";
import type { Issue, Ready } from "../lib/types.ts";
import { poolId, poolName } from "../lib/words.ts";
import { Badge, Card, Command, curl, Empty, Here, Issues, Loaded, Mark, Page, reading, RunLink } from "../ui.tsx";

interface Tables {
  version: string;
  tables: { table: string; description: string; columns: { name: string; type: string; unit: string; description: string }[]; firstDate: string; lastDate: string; rowCount: string }[];
}

interface Service {
  commit: string;
  commitTime: string | null;
  goVersion: string;
  platform: string;
  startTime: string;
  files: { name: string; sizeBytes: string; walBytes: string }[];
  freeBytes: string;
}

interface Publication {
  pool: string;
  version: string;
  publishTime: string;
  runId: string;
  fileCount: number;
  sizeBytes: string;
}

interface Info {
  orchestrator: Service;
  worker: Service | null;
  publications: Publication[];
  workerIssue: Issue | null;
}

const files: Record<string, [string, string]> = {
  "market-cache.sqlite": ["账本：运行、时段、队列、设置", "the ledger: runs, slots, queue, settings"],
  "targets.sqlite": ["目标池", "the targets pool"],
  "analysis.duckdb": ["全市场，请勿打开", "the universe pool; do not open it"],
};

export default function About() {
  const ready = useLive<Ready>("/readyz", 10000);
  const info = useLive<Info>("/v1/info", 30000);
  const r = ready.data;
  const i = info.data;
  const differ = i?.worker && i.worker.commit !== i.orchestrator.commit;
  const answer = !r ? reading(ready)
    : !r.ready ? t("编排器读不到账本。", "The orchestrator cannot read its ledger.")
    : r.worker !== "reachable" ? t("编排器在运行，采集器没有应答。", "The orchestrator is running; the worker does not respond.")
    : differ ? t("两个服务由不同的提交构建。", "The two services were built from different commits.")
    : t("编排器和采集器都在运行。", "The orchestrator and the worker are running.");
  return (
    <Page name={t("关于", "About")} tone={r ? (r.ready && r.worker === "reachable" && !differ ? "ok" : "warn") : undefined} answer={answer}>
      <Card title={t("服务", "Services")} flush>
        <Loaded live={info} lines={3}>{(d) => (
          <>
            <div class="scroll"><table>
              <thead><tr><th>{t("服务", "Service")}</th><th>{t("地址", "Address")}</th><th>{t("提交", "Commit")}</th><th>Go</th><th>{t("平台", "Platform")}</th><ZoneHead>{t("启动", "Started")}</ZoneHead><th class="r">{t("磁盘剩余", "Disk free")}</th></tr></thead>
              <tbody>
                <Row name={t("编排器", "orchestrator")} address={location.host} s={d.orchestrator} />
                <Row name={t("采集器", "worker")} address={r?.workerAddress ?? ""} s={d.worker} />
              </tbody>
            </table></div>
            {d.workerIssue && <div class="pad"><Issues list={[d.workerIssue]} /></div>}
          </>
        )}</Loaded>
        <p class="more"><Command label="afterbell" text="afterbell doctor" />{" · "}<a href="/openapi.json">OpenAPI</a>{" · "}<a href="/assets/licenses.txt">{t("所用软件的许可证", "Licences of what this page is built from")}</a></p>
      </Card>
      <Card title={t("文件", "Files")} note={t("在数据目录中", "in the data directory")} flush>
        <Loaded live={info} lines={4}>{(d) => (
          <div class="scroll"><table>
            <thead><tr><th>{t("文件", "File")}</th><th>{t("内容", "Contents")}</th><th>{t("属于", "Owner")}</th><th class="r">{t("大小", "Size")}</th><th class="r">{t("预写日志", "Write-ahead log")}</th></tr></thead>
            <tbody>
              {[d.orchestrator, d.worker].flatMap((s, n) => (s?.files ?? []).map((f) => (
                <tr key={f.name} data-file={f.name}><td><Here row={f.name}><code>{f.name}</code></Here></td><td class="dim wordy">{files[f.name] && t(files[f.name]![0], files[f.name]![1])}</td><td>{n ? t("采集器", "worker") : t("编排器", "orchestrator")}</td><td class="r num">{bytes(f.sizeBytes)}</td><td class="r num">{Number(f.walBytes) ? bytes(f.walBytes) : "–"}</td></tr>
              )))}
              {d.publications.map((p) => (
                <tr key={p.pool} data-publication={poolId(p.pool)}><td><code>published/{p.pool === "POOL_TARGETS" ? "targets/" : ""}</code></td><td class="dim wordy">{t(`${poolName(p.pool)}的发布副本，${num(p.fileCount)} 个文件`, `the published copy of ${poolName(p.pool)}, ${count(p.fileCount, "", "file")}`)}</td><td>{t("采集器", "worker")}</td><td class="r num">{bytes(p.sizeBytes)}</td><td class="r">–</td></tr>
              ))}
            </tbody>
          </table></div>
        )}</Loaded>
      </Card>
      {["universe", "targets"].map((pool) => <Published key={pool} pool={pool} p={i?.publications.find((x) => poolId(x.pool) === pool)} />)}
    </Page>
  );
}

function Row({ name, address, s }: { name: string; address: string; s: Service | null }) {
  return (
    <tr data-service={name}>
      <td><Badge tone={s ? "ok" : "warn"}>{name}</Badge></td><td><code>{address}</code></td>
      {s ? <>
        <td>{s.commit === "unknown" ? <span class="dim">{t("构建时未记录", "not recorded by the build")}</span> : <code>{s.commit}</code>}{s.commitTime && <small class="dim"> <When at={s.commitTime} seconds={false} /></small>}</td><td>{s.goVersion.replace(/^go/, "")}</td><td>{s.platform}</td>
        <td><When at={s.startTime} /> <small class="dim">{t(`已运行 ${span(now.value - Date.parse(s.startTime))}`, `up ${span(now.value - Date.parse(s.startTime))}`)}</small></td><td class="r num">{Number(s.freeBytes) ? bytes(s.freeBytes) : "–"}</td>
      </> : <td colSpan={5} class="dim">{t("没有应答", "does not respond")}</td>}
    </tr>
  );
}

function Published({ pool, p }: { pool: string; p?: Publication }) {
  const live = useLive<Tables>(path("/v1/data", { pool }), 30000);
  const prefix = pool === "targets" ? "targets." : "";
  return (
    <Card flush title={<>{t("已发布", "Published")} · {poolName(pool)}</>} note={live.data?.version && <span class="num">{t("版本 ", "version ")}{live.data.version}</span>}>
      {p && <p class="pad dim"><Mark tone="ok" /> {t("发布于上海时间 ", "Published at ")}<When at={p.publishTime} />{p.runId && <>{t("，在运行 ", " after run ")}<RunLink id={p.runId} />{t(" 之后", "")}</>}{t(`，${num(p.fileCount)} 个文件，${bytes(p.sizeBytes)}。`, `: ${count(p.fileCount, "", "file")}, ${bytes(p.sizeBytes)}.`)}</p>}
      {live.error instanceof ApiError && live.error.reason === "NOT_FOUND" ? <Empty>{t("还没有发布；一次运行结束时会发布。", "Nothing is published yet; a run publishes when it ends.")} <a href={to("preflight", "", { pool })}>{t("预检并运行", "Check and run")}</a></Empty>
        : live.error instanceof ApiError && live.error.reason === "WORKER_UNREACHABLE" && !live.data ? <Empty>{t("采集器没有应答，由它提供已发布的数据。", "The worker does not respond; it serves what is published.")}</Empty> : <Loaded live={live} lines={4}>{(d) => d.tables.length ? (
        <div class="scroll"><table>
          <thead><tr><th>{t("表", "Table")}</th><th>{t("说明", "What a row is")}</th><th class="r">{t("行", "Rows")}</th><th>{t("日期", "Dates")}</th><th>{t("下载", "Download")}</th></tr></thead>
          <tbody>{d.tables.map((x) => (
            <tr key={x.table}>
              <td><Here row={`${pool}.${x.table}`}><code>{x.table}</code></Here></td><td class="wordy" lang={tableZh[x.table] ? undefined : "en"}>{t(tableZh[x.table] ?? x.description, x.description)}</td><td class="r num">{num(x.rowCount)}</td><td class="num">{x.firstDate && `${x.firstDate} – ${x.lastDate}`}</td>
              <td class="nowrap">{["parquet", "arrow", "csv", "ndjson"].map((f) => <span key={f}><a href={`/v1/data/${prefix}${x.table}.${f}`} download>{f}</a> </span>)}</td>
            </tr>
          ))}</tbody>
        </table></div>
      ) : <Empty>{t("还没有发布。", "Nothing is published yet.")}</Empty>}</Loaded>}
      <p class="more"><Command label="curl" text={curl("GET", path("/v1/data", { pool }))} />{" · "}<a href={to("coverage", "", { pool })}>{t("看覆盖", "See coverage")}</a></p>
    </Card>
  );
}

const tableZh: Record<string, string> = {
  daily_prices: "股票和 ETF 的日线行情，未复权", daily_basics: "股票的每日指标", daily_moneyflows: "股票的资金流向", instrument_meta: "股票和 ETF 的列表", trade_calendar: "交易日历",
};
