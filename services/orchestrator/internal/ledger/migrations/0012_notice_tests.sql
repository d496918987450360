-- A message that a person asked for is kept too. It is of no trade day, so that no
-- evening counts it. SQLite cannot change a CHECK, so both tables are written anew, the
-- one that refers to the other first.
CREATE TABLE notices_12 (
  id         TEXT PRIMARY KEY NOT NULL,
  topic      TEXT NOT NULL UNIQUE,
  kind       TEXT NOT NULL CHECK (kind IN ('evening', 'better', 'worse', 'late', 'started', 'test')),
  date       TEXT CHECK (date IS date(date)),
  created_at INTEGER NOT NULL,
  whole      INTEGER NOT NULL CHECK (whole IN (0, 1)),
  pools      TEXT NOT NULL CHECK (json_valid(pools)),
  changed    TEXT NOT NULL CHECK (json_valid(changed)),
  late_at    TEXT NOT NULL,
  CHECK ((kind = 'test') = (date IS NULL))
) WITHOUT ROWID;
INSERT INTO notices_12 SELECT id, topic, kind, date, created_at, whole, pools, changed, late_at FROM notices;

CREATE TABLE notice_deliveries_12 (
  id         TEXT PRIMARY KEY NOT NULL,
  notice_id  TEXT NOT NULL REFERENCES notices_12 (id) ON DELETE CASCADE,
  channel_id TEXT NOT NULL REFERENCES notice_channels (id) ON DELETE CASCADE,
  signal     TEXT NOT NULL CHECK (signal IN ('', '/start', '/fail')),
  state      TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'given_up')),
  attempts   INTEGER NOT NULL CHECK (attempts >= 0),
  created_at INTEGER NOT NULL,
  next_at    INTEGER,
  ended_at   INTEGER,
  error      TEXT NOT NULL,
  CHECK ((state = 'pending') = (ended_at IS NULL)),
  UNIQUE (notice_id, channel_id)
) WITHOUT ROWID;
INSERT INTO notice_deliveries_12 SELECT id, notice_id, channel_id, signal, state, attempts, created_at, next_at, ended_at, error FROM notice_deliveries;

DROP TABLE notice_deliveries;
DROP TABLE notices;
ALTER TABLE notices_12 RENAME TO notices;
ALTER TABLE notice_deliveries_12 RENAME TO notice_deliveries;
CREATE INDEX notices_date ON notices (date, id);
CREATE INDEX notice_deliveries_pending ON notice_deliveries (channel_id, id) WHERE state = 'pending';
CREATE INDEX notice_deliveries_channel ON notice_deliveries (channel_id, id);
