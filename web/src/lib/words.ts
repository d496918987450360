import { t } from "./i18n.ts";

export type Tone = "ok" | "warn" | "bad" | "run" | "idle" | "hold";

/** Drops an enum's prefix: STATE_RUNNING gives RUNNING. */
export const short = (name: string, prefix: string): string => name.replace(prefix + "_", "");

/** Names a pool as a path has it. */
export const poolId = (pool: string): string => pool.replace("POOL_", "").toLowerCase();

/** Names a pool for people. */
export const poolName = (pool: string): string =>
  poolId(pool) === "targets" ? t("目标池", "targets") : poolId(pool) === "universe" ? t("全市场", "universe") : poolId(pool);

const outcomes: Record<string, [string, string, Tone]> = {
  SUCCEEDED: ["成功", "succeeded", "ok"],
  UNCHANGED: ["无需更新", "nothing to do", "ok"],
  PARTIAL: ["部分完成", "partial", "warn"],
  BLOCKED: ["被阻止", "blocked", "bad"],
  FAILED: ["失败", "failed", "bad"],
  CANCELLED: ["已取消", "cancelled", "idle"],
};
const states: Record<string, [string, string, Tone]> = {
  QUEUED: ["排队中", "queued", "idle"],
  CHECKING: ["检查中", "checking", "run"],
  RUNNING: ["进行中", "running", "run"],
  PAUSED: ["已暂停", "paused", "hold"],
  CANCELLING: ["正在取消", "cancelling", "hold"],
};

/** Says where a run is, or how it ended. */
export function runState(r: { state: string; outcome: string }): { text: string; tone: Tone } {
  const state = short(r.state, "STATE");
  const w = state === "FINISHED" ? outcomes[short(r.outcome, "OUTCOME")] : states[state];
  return w ? { text: t(w[0], w[1]), tone: w[2] } : { text: state.toLowerCase(), tone: "idle" };
}

const partitionStates: Record<string, [string, string, Tone]> = {
  PENDING: ["等待分派", "waiting to start", "idle"],
  RUNNING: ["处理中", "in progress", "run"],
  WAITING: ["等待重试", "waiting to retry", "hold"],
  COMPLETED: ["完成", "complete", "ok"],
  FAILED: ["未完成", "not complete", "bad"],
  CANCELLED: ["未执行", "not done", "idle"],
};
export function partitionState(state: string): { text: string; tone: Tone } {
  const w = partitionStates[short(state, "STATE")];
  return w ? { text: t(w[0], w[1]), tone: w[2] } : { text: state, tone: "idle" };
}

const decisions: Record<string, [string, string, Tone]> = {
  READY: ["可以运行", "ready", "ok"],
  DEGRADED: ["部分可运行", "degraded", "warn"],
  RETRY: ["稍后再试", "retry later", "warn"],
  BLOCKED: ["被阻止", "blocked", "bad"],
};
export function decision(d: string): { text: string; tone: Tone } {
  const w = decisions[short(d, "DECISION")];
  return w ? { text: t(w[0], w[1]), tone: w[2] } : { text: d, tone: "idle" };
}

const slotStates: Record<string, [string, string, Tone]> = {
  PENDING: ["未到时间", "not due yet", "idle"],
  FIRED: ["已触发", "fired", "ok"],
  SKIPPED: ["已跳过", "skipped", "idle"],
  MISSED: ["已错过", "missed", "bad"],
  COVERED: ["由别的运行覆盖", "covered", "ok"],
};
export function slotState(s: string): { text: string; tone: Tone } {
  const w = slotStates[short(s, "STATE")];
  return w ? { text: t(w[0], w[1]), tone: w[2] } : { text: s, tone: "idle" };
}

const sources: Record<string, [string, string]> = {
  MANUAL: ["手动", "manual"], SCHEDULE: ["计划", "schedule"], STARTUP: ["启动", "start-up"], AUTO: ["后续", "follow-up"],
};
export const source = (s: string): string => {
  const w = sources[short(s, "SOURCE")];
  return w ? t(w[0], w[1]) : s;
};
const modes: Record<string, [string, string]> = {
  DAILY: ["每日", "daily"], BOOTSTRAP: ["首次填充", "first fill"], MANUAL: ["更新到最新", "update"], ON_DEMAND: ["指定范围", "on demand"],
};
export const mode = (s: string): string => {
  const w = modes[short(s, "MODE")];
  return w ? t(w[0], w[1]) : s;
};
const stages: Record<string, [string, string]> = {
  PREFLIGHT: ["预检", "preflight"], READINESS: ["就绪判断", "readiness"], TOKEN: ["令牌", "token"], ANALYSIS_INIT: ["数据文件", "the pool's file"],
};
export const stage = (s: string): string => {
  const w = stages[short(s, "BLOCKED_STAGE")];
  return w ? t(w[0], w[1]) : "";
};

const probes: Record<string, [string, string, Tone]> = {
  UNTESTED: ["未探测", "untested", "idle"], PASS: ["通过", "passed", "ok"], FAIL: ["未通过", "failed", "bad"], UNSUPPORTED: ["未实现", "not implemented", "idle"],
};
export function probeStatus(s: string | undefined): { text: string; tone: Tone } {
  const w = probes[short(s ?? "STATUS_UNTESTED", "STATUS")];
  return w ? { text: t(w[0], w[1]), tone: w[2] } : { text: String(s), tone: "idle" };
}

/** The roles of keys, from the least. */
export const roles = ["ROLE_VIEWER", "ROLE_OPERATOR", "ROLE_ADMIN"];
export const roleName = (r: string): string =>
  ({ ROLE_VIEWER: t("只读", "viewer"), ROLE_OPERATOR: t("操作员", "operator"), ROLE_ADMIN: t("管理员", "admin") })[r] ?? "–";

const datasets: Record<string, string> = {
  daily: "日线行情", daily_basic: "每日指标", moneyflow: "资金流向", fund_daily: "ETF 日线",
  stock_basic: "股票列表", fund_basic: "ETF 列表", trade_cal: "交易日历",
};
const datasetsEn: Record<string, string> = {
  daily: "Daily prices", daily_basic: "Daily indicators", moneyflow: "Money flow", fund_daily: "ETF quotes",
  stock_basic: "Stock list", fund_basic: "ETF list", trade_cal: "Calendar",
};
export const dataset = (id: string): string => t(datasets[id] ?? id, datasetsEn[id] ?? id);

const modules: Record<string, [string, string]> = {
  "stock.basic": ["股票列表", "Stock list"], "stock.market.daily": ["日线行情与指标", "Daily prices and indicators"], "stock.reference": ["交易日历", "Trading calendar"],
  "stock.moneyflow": ["资金流向", "Money flow"], "etf.basic_info": ["ETF 列表", "ETF list"], "etf.daily_quote": ["ETF 日线", "ETF daily prices"],
};
const domains: Record<string, string> = {
  stock: "股票", etf: "ETF", index: "指数", public_fund: "公募基金", futures: "期货", spot: "现货", options: "期权", bond: "债券",
  fx: "外汇", hk_stock: "港股", us_stock: "美股", industry_economy: "行业经济", macro: "宏观",
};
export const moduleName = (id: string, title = id): string => t(...(modules[id] ?? [title, title]));
export const domainName = (id: string, title: string): string => t(domains[id] ?? title, title);

/** The five states of a cell in the heatmap. */
export type Cell = "complete" | "accepted" | "short" | "pending" | "missing";
export const cells: Cell[] = ["complete", "accepted", "short", "pending", "missing"];

export function cellOf(verdict: string): Cell {
  switch (short(verdict, "VERDICT")) {
    case "COMPLETE":
    case "EXPECTED_EMPTY":
      return "complete";
    case "ACCEPTED_SHORT":
      return "accepted";
    case "NOT_PUBLISHED":
      return "pending";
    case "INCOMPLETE":
    case "EMPTY":
      return "short";
  }
  return "missing";
}

export const cellName = (c: Cell): string =>
  ({
    complete: t("完整", "complete"), accepted: t("不足但已接受", "accepted short"), short: t("不足", "short"),
    pending: t("尚未发布", "pending"), missing: t("缺失", "missing"),
  })[c];

const verdicts: Record<string, [string, string]> = {
  MISSING: ["从未提交", "nothing has been committed"], COMPLETE: ["完整", "complete"], EXPECTED_EMPTY: ["按规则应为空", "empty as expected"],
  NOT_PUBLISHED: ["数据源尚未发布", "not published yet"], INCOMPLETE: ["少于应有", "fewer rows than expected"],
  EMPTY: ["应有数据却为空", "empty, but rows are expected"], ACCEPTED_SHORT: ["不足，三天相同，已接受", "incomplete in the same way on three days, accepted"],
};
export const verdict = (v: string): string => {
  const w = verdicts[short(v, "VERDICT")];
  return w ? t(w[0], w[1]) : "–";
};

const reasons: Record<string, [string, string]> = {
  TOKEN_MISSING: ["没有令牌", "No token"], TOKEN_INVALID: ["令牌无效", "Invalid token"], TOO_MANY_IPS: ["令牌使用的 IP 过多", "Token used from too many addresses"],
  PERMISSION_DENIED: ["权限或积分不足", "No permission"], PROVIDER_UNAVAILABLE: ["数据源不可用", "Provider unavailable"],
  PROVIDER_REFUSED: ["数据源拒绝请求", "Request rejected by the provider"], RATE_LIMITED: ["达到频率限额", "Rate limit reached"], QUOTA_EXHAUSTED: ["额度用尽", "Quota used up"],
  WORKER_UNREACHABLE: ["采集器没有应答", "Worker does not respond"], PREFLIGHT_FAILED: ["预检失败", "Preflight failed"], MODULE_TEST_FAILED: ["模块探测未通过", "Module probe failed"],
  DOMAIN_TEST_FAILED: ["领域探测未通过", "Domain probes failed"], MODULE_TEST_STALE: ["模块探测已过期", "Module probe too old"],
  DOMAIN_TEST_STALE: ["领域探测已过期", "Domain probes too old"], MODULE_TEST_REQUIRED: ["模块尚未探测", "Module never probed"],
  DOMAIN_TEST_REQUIRED: ["领域尚未探测", "Domain never probed"], NO_SYNC_MODULE_SELECTED: ["没有启用的模块", "No module enabled"],
  DOMAIN_HAS_NO_ENABLED_MODULES: ["领域没有启用的模块", "Domain without an enabled module"], DOMAIN_PROVIDER_NOT_ACTIVE: ["数据源尚未实现", "Provider not implemented"],
  MODULE_NOT_SYNC_CAPABLE: ["模块尚未实现", "Module not implemented"], ANALYSIS_DB_LOCKED: ["全市场文件被占用", "Universe file in use"],
  ANALYSIS_DB_NOT_INITIALIZED: ["全市场文件不可用", "Universe file unusable"], TARGETS_DB_LOCKED: ["目标池文件被占用", "Targets file in use"],
  TARGETS_DB_NOT_INITIALIZED: ["目标池文件不可用", "Targets file unusable"], SOURCE_MISMATCH: ["数据来自另一个数据源", "Data from a different provider"], DISK_FULL: ["磁盘已满", "Disk full"],
  STORE_FAILED: ["写入失败", "Write failed"], NOT_PUBLISHED: ["尚未发布", "Not published yet"], INCOMPLETE: ["行数不足", "Too few rows"], EMPTY_ANSWER: ["应答为空", "Empty response"],
  ACCEPTED_SHORT: ["不足但已接受", "Accepted short"], PROBE_EMPTY: ["探测没有返回数据", "Probe returned no rows"], UNKNOWN_SYMBOLS: ["未知代码", "Unknown symbols"],
  ROWS_REJECTED: ["有行被拒收", "Rows rejected"], ROWS_INCONSISTENT: ["字段相互矛盾", "Contradictory fields"], CALENDAR_ENDED: ["日历已到末尾", "Calendar ended"],
  CALENDAR_UNAVAILABLE: ["没有交易日历", "No trading calendar"], INTERRUPTED: ["运行中断", "Interrupted"], CANCELLED: ["已取消", "Cancelled"], STALLED: ["没有进展", "No progress"],
  STALE_EPOCH: ["已被重新分派", "Dispatched again"], WRONG_STATE: ["当前状态不允许", "Not allowed in this state"], SCHEDULE_PAUSED: ["计划已暂停", "Schedule paused"],
  SCHEDULE_DISABLED: ["计划已停用", "Schedule disabled"], NOT_TRADING_DAY: ["非交易日", "Not a trading day"], SLOT_MISSED: ["时段已错过", "Slot missed"],
  SLOT_COVERED: ["时段已被覆盖", "Slot covered"], SLOT_REOPENED: ["时段再次到期", "Slot due again"], INVALID_ARGUMENT: ["输入有误", "Invalid input"], NOT_FOUND: ["不存在", "Not found"],
  REQUEST_ID_REUSED: ["请求编号已用过", "Request ID already used"], DATA_DIR_LOCKED: ["数据目录被占用", "Data directory in use"], INTERNAL: ["内部错误", "Internal error"],
  VALUES_REPEATED: ["数值与另一日相同", "Repeated values"], VALUES_MISSING: ["数值缺失", "Missing values"], VALUES_CONFLICT: ["数值相互矛盾", "Contradictory values"],
  UNIT_SUSPECT: ["单位可疑", "Suspicious unit"], SYMBOLS_MISSING: ["有代码缺少数据", "Symbols missing"], SYMBOLS_ABSENT: ["部分代码没有数据", "Symbols absent"],
  SUSPENSIONS_CONFIRMED: ["停牌已证实", "Suspensions confirmed"], VALUES_REVISED: ["数据源修订了数值", "Values revised"], SYMBOL_RENAMED: ["代码变更", "Symbol renamed"],
  CLOCK_WRONG: ["时钟不准", "Wrong clock"], WAL_HELD: ["预写日志无法截断", "Write-ahead log held open"], RUN_AT_EARLY: ["计划早于数据到期", "Scheduled too early"],
  FILE_REPLACED: ["文件被替换", "File replaced"], STORE_ALTERED: ["数据被改动", "Data altered"], PUBLICATION_FAILED: ["发布失败", "Publication failed"],
  PUBLICATION_REPAIRED: ["发布副本已重建", "Publication repaired"], DATA_INCOMPLETE: ["数据不完整", "Incomplete data"], UNAUTHENTICATED: ["密钥无效", "Invalid key"],
  ROLE_REQUIRED: ["角色权限不足", "Role not sufficient"], TOO_MANY_ATTEMPTS: ["无效密钥过多", "Too many invalid keys"], ETAG_MISMATCH: ["已被他人更改", "Changed in the meantime"],
  TOO_MANY_CALLS: ["调用过多", "Too many calls"], CALL_TIMEOUT: ["调用超时", "Call timed out"],
};

/** Names a reason in a few words; one that is not known keeps its code. */
export function reasonName(reason: string): string {
  const code = short(reason, "REASON");
  const w = reasons[code];
  return w ? t(w[0], w[1]) : code;
}

export function severity(s: string): Tone {
  return s === "SEVERITY_BLOCKING" ? "bad" : s === "SEVERITY_RETRY" ? "warn" : "idle";
}
