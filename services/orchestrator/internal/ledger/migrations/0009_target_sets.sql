-- The watch list is the union of named sets; a symbol of a set may end by itself.
CREATE TABLE target_sets (
  id         TEXT PRIMARY KEY NOT NULL,
  note       TEXT NOT NULL,
  updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE target_symbols (
  set_id     TEXT NOT NULL REFERENCES target_sets (id) ON DELETE CASCADE,
  symbol     TEXT NOT NULL,
  expires_at INTEGER, -- Unix ms; NULL: it does not end.
  PRIMARY KEY (set_id, symbol)
) WITHOUT ROWID;
INSERT INTO target_sets (id, note, updated_at) SELECT 'default', '', CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE EXISTS (SELECT 1 FROM targets);
INSERT INTO target_symbols (set_id, symbol, expires_at) SELECT 'default', symbol, NULL FROM targets;
DROP TABLE targets;
