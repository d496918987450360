-- Long lists of symbols, each once: the dates of a run mostly ask for the same ones. A
-- row of run_partitions whose symbols begin with '#' names one of them.
CREATE TABLE symbol_lists (
  digest  TEXT PRIMARY KEY, -- '#' and a hash of the list.
  symbols TEXT NOT NULL     -- The symbols, as a JSON list.
) WITHOUT ROWID;
