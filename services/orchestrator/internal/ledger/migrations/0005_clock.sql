-- One row: the newest stamp after now that people were told of.
CREATE TABLE clock (
  id   INTEGER PRIMARY KEY CHECK (id = 1),
  told INTEGER NOT NULL
);
-- Runs are listed by when they were asked for.
CREATE INDEX run_details_created ON run_details (created_at DESC, id DESC);
