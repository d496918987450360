// The shapes of the API's answers that the console reads; see /openapi.json. 64-bit
// numbers are strings, a time that is not set is null.

/** What an issue or an error says, in the language of the page. */
export interface Localized {
  message: string;
  remedy: string;
}

export interface Issue {
  reason: string;
  severity: string;
  domainId: string;
  moduleId: string;
  message: string;
  remedy: string;
  /** Null in English, and for what has no translation. */
  localized: Localized | null;
  metadata?: Record<string, string>;
}

export interface Revision {
  revisionId: string;
  datasetId: string;
  symbol: string;
  tradeDate: string;
  column: string;
  oldValue?: string | null;
  newValue?: string | null;
  change: string;
  seenTime: string;
  runId: string;
}

export interface RevisionSummary {
  valueCount: string;
  rowCount: string;
  largest: Revision | null;
  largestChange: number;
}

export interface Run {
  runId: string;
  pool: string;
  mode: string;
  source: string;
  slotId: string;
  followsRunId: string;
  startDate: string;
  endDate: string;
  moduleIds: string[];
  state: string;
  outcome: string;
  blockedStage: string;
  preflightId: string;
  issues: Issue[];
  partitionCount: number;
  completedPartitionCount: number;
  rowCount: string;
  newCount: string;
  changedCount: string;
  goneCount: string;
  callCount: number;
  asOfTradeDate: string;
  createTime: string | null;
  startTime: string | null;
  endTime: string | null;
  notBeforeTime: string | null;
  retryTime: string | null;
  note: string;
  explanation: string[];
  /** The explanation in Chinese; empty in English. */
  localizedExplanation: string[];
  nextCommand: string;
  refetch: boolean;
  revisions: RevisionSummary | null;
}

/** How long the worker spent on each phase, ms. */
export interface Phases {
  waitMs: string;
  fetchMs: string;
  checkMs: string;
  commitMs: string;
}

export interface Partition {
  partitionId: string;
  moduleId: string;
  datasetId: string;
  startDate: string;
  endDate: string;
  state: string;
  verdict: string;
  attemptCount: number;
  rowCount: string;
  expectedCount: string;
  newCount: string;
  changedCount: string;
  goneCount: string;
  callCount: number;
  retryTime: string | null;
  issues: Issue[];
  symbols: string[];
  recheck: boolean;
  /** Null where they are not known. */
  phases: Phases | null;
}

export interface RunEvent {
  runId: string;
  sequence: string;
  eventTime: string;
  stateChanged?: { fromState: string; toState: string; note: string };
  preflight?: { preflightId: string; moduleId: string; message: string; issues: Issue[] };
  planned?: { partitionCount: number; estimatedCallCount: number; lastTradeDate: string };
  partitionChanged?: { partition: Partition };
  finished?: Run;
}

export interface Plan {
  pool: string;
  partitions: Partition[];
  partitionCount: number;
  estimatedCallCount: number;
  estimatedDuration: string | null;
  lastTradeDate: string;
  issues: Issue[];
}

export interface PoolStatus {
  pool: string;
  paused: boolean;
  note: string;
  noteTime: string | null;
  currentRun: Run | null;
  queuedRuns: Run[];
  lastRun: Run | null;
  moduleDates: { moduleId: string; tradeDate: string }[];
  nextAsk: string;
  nextAskTime: string | null;
}

export interface Coverage {
  datasetId: string;
  moduleId: string;
  tradeDate: string;
  rowCount: string;
  expectedCount: string;
  verdict: string;
  commitTime: string | null;
  runId: string;
  filteredCount: string;
  rejectedCount: string;
  unknownCount: string;
  sameAnswerDayCount: number;
  issues: Issue[];
  /** Whether a run without dates fetches it again. */
  fetchedAgain: boolean;
}

export interface Probe {
  moduleId: string;
  domainId: string;
  status: string;
  stale: boolean;
  probeTime: string | null;
  latency: string | null;
  rowCount: string;
  callCount: number;
  issues: Issue[];
}

export interface Dataset {
  datasetId: string;
  table: string;
  snapshot: boolean;
  dueTime: string;
  points: number;
}

export interface ModuleSetting {
  module: { moduleId: string; domainId: string; title: string; pools: string[]; syncCapable: boolean; datasets: Dataset[] };
  enabled: boolean;
  probe: Probe | null;
}

export interface DomainSetting {
  domain: { domainId: string; title: string };
  enabled: boolean;
  providerId: string;
  modules: ModuleSetting[];
}

export interface PoolVerdict {
  pool: string;
  decision: string;
  clearedModuleIds: string[];
  blockedModuleIds: string[];
  issues: Issue[];
  retryTime: string | null;
}

export interface Preflight {
  preflightId: string;
  state: string;
  runId: string;
  startTime: string;
  endTime: string | null;
  verdicts: PoolVerdict[];
  callCount: number;
}

export interface PreflightEvent {
  preflightId: string;
  sequence: string;
  eventTime: string;
  started?: { pools: string[]; moduleIds: string[]; tradeDate: string };
  moduleStarted?: { moduleId: string; providerApis: string[] };
  moduleChecked?: { probe: Probe; reused: boolean };
  poolDecided?: PoolVerdict;
  completed?: Preflight;
}

export interface Schedule {
  enabled: boolean;
  runAt: string;
  timeZone: string;
  pools: string[];
  runOnStartup: boolean;
  catchUp: string;
  tradingDaysOnly: boolean;
  paused: boolean;
  note: string;
  noteTime: string | null;
  nextTime: string | null;
  issues: Issue[];
}

export interface Slot {
  slotId: string;
  pool: string;
  date: string;
  dueTime: string;
  state: string;
  decideTime: string | null;
  runId: string;
  issues: Issue[];
  lateSeconds: string;
  lateNote: string;
  /** The note in Chinese; only where a slot is explained, and empty in English. */
  localizedLateNote: string;
}

export interface Settings {
  preflightPolicy: string;
  readinessPolicy: string;
  orderWait: string;
  dispatchWidth: number;
  retentionDays: number;
  followUpDeadline: string;
  maxFollowUps: number;
  recheckDays: number;
}

export interface Ready {
  ready: boolean;
  ledger: string;
  worker: string;
  workerAddress: string;
}
