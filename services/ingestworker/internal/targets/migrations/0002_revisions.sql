-- Values that the provider changed or took away after they were stored, one row a value.
CREATE TABLE revisions (
  revision_id INTEGER PRIMARY KEY, -- Counts the revisions in the order in which they were written.
  dataset     TEXT NOT NULL,       -- Name of the dataset, the provider's api_name.
  symbol      TEXT NOT NULL,       -- Symbol of the row; of a calendar its exchange.
  trade_date  TEXT,                -- Trade date of the row. Null for lists.
  column_name TEXT NOT NULL,       -- Column of the dataset's table.
  old_value   TEXT,                -- What was held, as text. Null where null was.
  new_value   TEXT,                -- What came in its place, as text. Null where null did, or no row.
  change      TEXT NOT NULL,       -- changed: the row stayed; dropped: the provider no longer has it; renamed: the company has another code.
  seen_at     INTEGER NOT NULL,    -- When the change was committed, Unix ms.
  run_id      TEXT NOT NULL        -- Run on whose behalf.
) STRICT;
CREATE INDEX revisions_by_row ON revisions (symbol, trade_date);
CREATE INDEX revisions_by_run ON revisions (run_id);
