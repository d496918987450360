-- Keys that callers prove themselves with. The key itself is kept nowhere.
CREATE TABLE api_keys (
  id         TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),
  hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the whole key, which has 256 random bits
  created_at INTEGER NOT NULL, -- Unix ms, as all times here
  creator    TEXT NOT NULL,    -- name of a key, 'loopback' or 'host'
  expires_at INTEGER,          -- NULL: never
  revoked_at INTEGER,          -- NULL: not revoked
  used_at    INTEGER,          -- last use, to the minute; NULL: never
  used_from  TEXT NOT NULL DEFAULT ''
) STRICT;

-- Log-ins of the console.
CREATE TABLE sessions (
  hash       BLOB PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the cookie
  key_id     TEXT NOT NULL REFERENCES api_keys (id),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  address    TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What people and programs changed. Rows are added and never changed; they name runs and
-- keys and do not refer to them, so that they stay when those go.
CREATE TABLE audit (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  at      INTEGER NOT NULL,
  actor   TEXT NOT NULL,    -- name of a key, 'loopback' or 'host'
  key_id  TEXT NOT NULL,    -- '' without a key
  role    TEXT NOT NULL,
  via     TEXT NOT NULL,    -- grpc, rest, console, host
  address TEXT NOT NULL,    -- '' for the host itself
  method  TEXT NOT NULL,    -- as in RunService.CreateRun
  request TEXT NOT NULL,    -- JSON without secrets
  before  TEXT NOT NULL,    -- JSON; '' where nothing was replaced
  after   TEXT NOT NULL
) STRICT;
CREATE INDEX audit_actor ON audit (actor, id);
CREATE INDEX audit_method ON audit (method, id);
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is kept'); END;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is not changed'); END;
