-- How long each phase of a partition took, as run.Phases in JSON; null where it is not
-- known.
ALTER TABLE run_partitions ADD COLUMN phases TEXT NOT NULL DEFAULT 'null';
