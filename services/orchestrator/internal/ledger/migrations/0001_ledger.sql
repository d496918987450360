-- Times are Unix ms, days are 'YYYY-MM-DD', lists are JSON. Absent times and days
-- are NULL; absent text is ''.

-- What people's SQL reads. It repeats what run_details and run_partitions say, and is
-- written with them in one transaction.
CREATE TABLE ingest_runs (
  id               TEXT PRIMARY KEY NOT NULL,
  scope            TEXT NOT NULL CHECK (scope IN ('targets', 'universe')),
  mode             TEXT NOT NULL CHECK (mode IN ('daily', 'bootstrap', 'manual', 'on_demand')),
  status           TEXT NOT NULL CHECK (status IN ('running', 'success', 'partial', 'failed', 'canceled')),
  as_of_trade_date TEXT CHECK (as_of_trade_date IS date(as_of_trade_date)),
  started_at       INTEGER NOT NULL,
  finished_at      INTEGER,
  symbol_count     INTEGER NOT NULL DEFAULT 0,
  inserted         INTEGER NOT NULL DEFAULT 0, -- rows that were not held before
  updated          INTEGER NOT NULL DEFAULT 0, -- rows with another value than before
  errors           INTEGER NOT NULL DEFAULT 0, -- partitions not complete, once finished
  error_message    TEXT,
  meta_json        TEXT NOT NULL,
  CHECK ((status = 'running') = (finished_at IS NULL)),
  CHECK (status NOT IN ('partial', 'failed') OR coalesce(error_message, '') <> ''),
  CHECK (json_extract(meta_json, '$.scope') IS scope),
  CHECK (coalesce(json_extract(meta_json, '$.source'), '') IN ('manual', 'schedule', 'startup', 'auto'))
);
CREATE INDEX ingest_runs_started ON ingest_runs (started_at DESC);
CREATE INDEX ingest_runs_scope_status ON ingest_runs (scope, status, started_at DESC);

-- Runs that wait for their turn. Leaving the queue writes ingest_runs and run_details.
CREATE TABLE run_queue (
  id         TEXT PRIMARY KEY NOT NULL,
  pool       TEXT NOT NULL CHECK (pool IN ('targets', 'universe')),
  mode       TEXT NOT NULL CHECK (mode IN ('daily', 'bootstrap', 'manual', 'on_demand')),
  source     TEXT NOT NULL CHECK (source IN ('manual', 'schedule', 'startup', 'auto')),
  slot_id    TEXT NOT NULL,
  trigger_id TEXT NOT NULL,
  follows    TEXT NOT NULL,
  attempt    INTEGER NOT NULL CHECK (attempt >= 0),
  start_date TEXT,
  end_date   TEXT,
  modules    TEXT NOT NULL CHECK (json_valid(modules)),
  refetch    INTEGER NOT NULL CHECK (refetch IN (0, 1)),
  created_at INTEGER NOT NULL,
  not_before INTEGER,
  note       TEXT NOT NULL,
  CHECK ((source = 'auto') = (follows <> ''))
) WITHOUT ROWID;
CREATE INDEX run_queue_order ON run_queue (pool, created_at, id);
CREATE INDEX run_queue_follows ON run_queue (follows);

-- A run that left the queue, whole. The columns up to note are those of run_queue.
CREATE TABLE run_details (
  id           TEXT PRIMARY KEY NOT NULL REFERENCES ingest_runs (id) ON DELETE CASCADE,
  pool         TEXT NOT NULL CHECK (pool IN ('targets', 'universe')),
  mode         TEXT NOT NULL,
  source       TEXT NOT NULL,
  slot_id      TEXT NOT NULL,
  trigger_id   TEXT NOT NULL,
  follows      TEXT NOT NULL,
  attempt      INTEGER NOT NULL CHECK (attempt >= 0),
  start_date   TEXT,
  end_date     TEXT,
  modules      TEXT NOT NULL CHECK (json_valid(modules)),
  refetch      INTEGER NOT NULL CHECK (refetch IN (0, 1)),
  created_at   INTEGER NOT NULL,
  not_before   INTEGER,
  note         TEXT NOT NULL,
  state        TEXT NOT NULL CHECK (state IN ('checking', 'running', 'paused', 'cancelling', 'finished')),
  outcome      TEXT NOT NULL CHECK (outcome IN ('', 'succeeded', 'partial', 'blocked', 'failed', 'cancelled', 'unchanged')),
  stage        TEXT NOT NULL CHECK (stage IN ('', 'token', 'preflight', 'readiness', 'analysis_init')),
  preflight_id TEXT NOT NULL,
  issues       TEXT NOT NULL CHECK (json_valid(issues)),
  partitions   INTEGER NOT NULL,
  completed    INTEGER NOT NULL,
  rows         INTEGER NOT NULL,
  new_rows     INTEGER NOT NULL,
  changed_rows INTEGER NOT NULL,
  gone_rows    INTEGER NOT NULL,
  symbols      INTEGER NOT NULL,
  calls        INTEGER NOT NULL,
  as_of        TEXT,
  started_at   INTEGER NOT NULL,
  finished_at  INTEGER,
  retry_at     INTEGER,
  meta         TEXT NOT NULL CHECK (json_valid(meta)),
  CHECK ((state = 'finished') = (outcome <> '')),
  CHECK ((state = 'finished') = (finished_at IS NOT NULL)),
  CHECK ((outcome = 'blocked') = (stage <> '')),
  CHECK (completed BETWEEN 0 AND partitions)
) WITHOUT ROWID;
-- Runs of one pool never overlap; a paused one writes nothing.
CREATE UNIQUE INDEX run_details_busy ON run_details (pool) WHERE state IN ('checking', 'running', 'cancelling');
CREATE INDEX run_details_open ON run_details (state) WHERE state <> 'finished';
CREATE INDEX run_details_ended ON run_details (pool, finished_at);
CREATE INDEX run_details_follows ON run_details (follows) WHERE follows <> '';
-- One save may hold several transitions, so this refuses what no chain of them reaches.
CREATE TRIGGER run_details_transition BEFORE UPDATE OF state ON run_details
WHEN OLD.state <> NEW.state AND (
  OLD.state = 'finished'
  OR OLD.state = 'cancelling' AND NEW.state <> 'finished'
  OR OLD.state = 'running' AND NEW.state = 'checking'
  OR OLD.state = 'paused' AND NEW.state = 'running')
BEGIN
  SELECT RAISE(ABORT, 'the run may not enter that state');
END;

CREATE TABLE run_partitions (
  run_id       TEXT NOT NULL REFERENCES ingest_runs (id) ON DELETE CASCADE,
  id           TEXT NOT NULL,
  ordinal      INTEGER NOT NULL,
  dataset      TEXT NOT NULL,
  module       TEXT NOT NULL,
  start_date   TEXT,
  end_date     TEXT,
  symbols      TEXT NOT NULL, -- JSON list, '' for all
  reference    INTEGER NOT NULL CHECK (reference IN (0, 1)),
  repeat       INTEGER NOT NULL CHECK (repeat IN (0, 1)),
  state        TEXT NOT NULL CHECK (state IN ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
  verdict      TEXT NOT NULL CHECK (verdict IN ('', 'missing', 'complete', 'expected_empty', 'not_published', 'incomplete', 'empty', 'accepted_short')),
  attempts     INTEGER NOT NULL,
  rows         INTEGER NOT NULL,
  expected     INTEGER NOT NULL,
  new_rows     INTEGER NOT NULL,
  changed_rows INTEGER NOT NULL,
  gone_rows    INTEGER NOT NULL,
  symbol_count INTEGER NOT NULL,
  calls        INTEGER NOT NULL,
  retry_at     INTEGER,
  issues       TEXT NOT NULL, -- JSON list, '' for none
  PRIMARY KEY (run_id, id)
) WITHOUT ROWID;
CREATE INDEX run_partitions_order ON run_partitions (run_id, ordinal);

CREATE TABLE run_events (
  run_id   TEXT NOT NULL REFERENCES ingest_runs (id) ON DELETE CASCADE,
  sequence INTEGER NOT NULL CHECK (sequence >= 1),
  at       INTEGER NOT NULL,
  kind     TEXT NOT NULL CHECK (kind IN ('state', 'preflight', 'planned', 'partition', 'finished')),
  body     TEXT NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (run_id, sequence)
) WITHOUT ROWID;
-- Explaining a run reads everything but its partitions.
CREATE INDEX run_events_milestones ON run_events (run_id, sequence) WHERE kind <> 'partition';

CREATE TABLE requests (
  request_id TEXT PRIMARY KEY NOT NULL,
  hash       TEXT NOT NULL,
  run_ids    TEXT NOT NULL CHECK (json_valid(run_ids)),
  created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE pools (
  pool     TEXT PRIMARY KEY NOT NULL CHECK (pool IN ('targets', 'universe')),
  paused   INTEGER NOT NULL CHECK (paused IN (0, 1)),
  note     TEXT NOT NULL,
  noted_at INTEGER
) WITHOUT ROWID;

-- One row: epochs up to this one may have been handed out.
CREATE TABLE epochs (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  reserved INTEGER NOT NULL
);

CREATE TABLE preflights (
  id         TEXT PRIMARY KEY NOT NULL,
  run_id     TEXT NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('running', 'completed', 'cancelled')),
  started_at INTEGER NOT NULL,
  ended_at   INTEGER,
  verdicts   TEXT NOT NULL CHECK (json_valid(verdicts)),
  calls      INTEGER NOT NULL,
  CHECK ((state = 'running') = (ended_at IS NULL))
) WITHOUT ROWID;

CREATE TABLE probes (
  module      TEXT PRIMARY KEY NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('untested', 'pass', 'fail', 'unsupported')),
  probed_at   INTEGER,
  latency_us  INTEGER NOT NULL,
  rows        INTEGER NOT NULL,
  calls       INTEGER NOT NULL,
  issues      TEXT NOT NULL CHECK (json_valid(issues)),
  fingerprint TEXT NOT NULL, -- keyed digest of the token, never the token
  config_hash TEXT NOT NULL
) WITHOUT ROWID;

-- Last copies of what the worker told, one row each.
CREATE TABLE catalogue (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  body     TEXT NOT NULL CHECK (json_valid(body)),
  saved_at INTEGER NOT NULL
);
CREATE TABLE calendar (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  first_date TEXT NOT NULL,
  last_date  TEXT NOT NULL,
  open_dates TEXT NOT NULL CHECK (json_valid(open_dates)),
  saved_at   INTEGER NOT NULL
);
CREATE TABLE tokens (
  id       INTEGER PRIMARY KEY CHECK (id = 1),
  host     TEXT NOT NULL, -- host of the provider's URL
  body     TEXT NOT NULL CHECK (json_valid(body)), -- where each domain's token comes from, never its value
  saved_at INTEGER NOT NULL
);

-- What people chose.
CREATE TABLE settings (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  body       TEXT NOT NULL CHECK (json_valid(body)),
  changed_at INTEGER NOT NULL
);
CREATE TABLE schedule (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  body       TEXT NOT NULL CHECK (json_valid(body)),
  changed_at INTEGER NOT NULL
);
CREATE TABLE domains (
  domain   TEXT PRIMARY KEY NOT NULL,
  enabled  INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  provider TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE modules (
  module  TEXT PRIMARY KEY NOT NULL,
  enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))
) WITHOUT ROWID;
CREATE TABLE targets (
  symbol TEXT PRIMARY KEY NOT NULL
) WITHOUT ROWID;

-- One row per expected firing, so that a firing happens once and a missing one shows.
CREATE TABLE slots (
  id         TEXT PRIMARY KEY NOT NULL,
  pool       TEXT NOT NULL CHECK (pool IN ('targets', 'universe')),
  date       TEXT NOT NULL CHECK (date IS date(date)),
  due_at     INTEGER NOT NULL,
  state      TEXT NOT NULL CHECK (state IN ('pending', 'fired', 'skipped', 'missed', 'covered')),
  decided_at INTEGER,
  run_id     TEXT NOT NULL,
  issues     TEXT NOT NULL CHECK (json_valid(issues)),
  late_ms    INTEGER NOT NULL CHECK (late_ms >= 0),
  late_note  TEXT NOT NULL,
  CHECK (id = date || '.' || pool),
  CHECK ((state = 'pending') = (decided_at IS NULL)),
  CHECK ((state IN ('fired', 'covered')) = (run_id <> '')),
  CHECK (state IN ('pending', 'fired') OR issues <> '[]')
) WITHOUT ROWID;
CREATE INDEX slots_pool ON slots (pool, date DESC);
CREATE INDEX slots_pending ON slots (due_at) WHERE state = 'pending';
-- A slot that fired stays fired, and one that was decided never waits again.
CREATE TRIGGER slots_transition BEFORE UPDATE OF state ON slots
WHEN OLD.state <> NEW.state AND (OLD.state NOT IN ('pending', 'skipped') OR NEW.state = 'pending')
BEGIN
  SELECT RAISE(ABORT, 'the slot was decided before');
END;
