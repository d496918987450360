-- What a partition changed of values that were held, as run.Revised in JSON, empty when
-- nothing; and whether it looked at an old date once more.
ALTER TABLE run_partitions ADD COLUMN revised TEXT NOT NULL DEFAULT '';
ALTER TABLE run_partitions ADD COLUMN recheck INTEGER NOT NULL DEFAULT 0;
