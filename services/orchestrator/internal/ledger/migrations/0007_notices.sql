-- Where notices go. url and secret open something: the file is for its user only.
CREATE TABLE notice_channels (
  id         TEXT PRIMARY KEY NOT NULL,
  kind       TEXT NOT NULL CHECK (kind IN ('webhook', 'dingtalk', 'wecom', 'feishu', 'telegram', 'slack', 'mail', 'heartbeat')),
  enabled    INTEGER NOT NULL CHECK (enabled IN (0, 1)),
  language   TEXT NOT NULL CHECK (language IN ('en', 'zh')),
  url        TEXT NOT NULL,
  secret     TEXT NOT NULL,
  body       TEXT NOT NULL CHECK (json_valid(body)),
  changed_at INTEGER NOT NULL
) WITHOUT ROWID;

-- One row: the key of the fingerprints of what is secret.
CREATE TABLE notice_key (
  id  INTEGER PRIMARY KEY CHECK (id = 1),
  key BLOB NOT NULL
);
INSERT INTO notice_key (id, key) VALUES (1, randomblob(32));

-- What was told. topic is unique, so that nothing is told twice.
CREATE TABLE notices (
  id         TEXT PRIMARY KEY NOT NULL,
  topic      TEXT NOT NULL UNIQUE,
  kind       TEXT NOT NULL CHECK (kind IN ('evening', 'better', 'worse', 'late', 'started')),
  date       TEXT NOT NULL CHECK (date IS date(date)),
  created_at INTEGER NOT NULL,
  whole      INTEGER NOT NULL CHECK (whole IN (0, 1)),
  pools      TEXT NOT NULL CHECK (json_valid(pools)),
  changed    TEXT NOT NULL CHECK (json_valid(changed)),
  late_at    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX notices_date ON notices (date, id);

-- One row per notice and channel, written with the notice.
CREATE TABLE notice_deliveries (
  id         TEXT PRIMARY KEY NOT NULL,
  notice_id  TEXT NOT NULL REFERENCES notices (id) ON DELETE CASCADE,
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
CREATE INDEX notice_deliveries_pending ON notice_deliveries (channel_id, id) WHERE state = 'pending';
CREATE INDEX notice_deliveries_channel ON notice_deliveries (channel_id, id);
