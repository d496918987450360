-- Nearly every record of coverage is one bit or none in each of its columns, and there
-- are millions of them: they are kept by number. What does not fit stays in
-- coverage_records. The view coverage tells both.
ALTER TABLE coverage RENAME TO coverage_records;

-- Datasets with a symbol, by the number that coverage_days has for them.
CREATE TABLE series (
  id      INTEGER PRIMARY KEY,
  dataset TEXT NOT NULL, -- Name of the dataset, the provider's api_name.
  symbol  TEXT NOT NULL, -- Exchange code with suffix, as in 600519.SH.
  UNIQUE (dataset, symbol)
) STRICT;

-- What is held per symbol and trade date; committed with the rows.
CREATE TABLE coverage_days (
  series_id INTEGER NOT NULL, -- Row of series.
  trade_day INTEGER NOT NULL, -- Trade date, in days since 1970-01-01.
  commit_id INTEGER NOT NULL, -- Row of commits.
  state     INTEGER NOT NULL, -- Bits 0 to 4: row_count, expected_count, new_count, changed_count, gone_count; from bit 5 the verdict's number, see coverage.
  rows_hash INTEGER NOT NULL, -- Hash of the row held with all its values, as a signed number; 0 where none is.
  PRIMARY KEY (series_id, trade_day)
) STRICT, WITHOUT ROWID;

INSERT INTO series (dataset, symbol) SELECT DISTINCT dataset, symbol FROM coverage_records WHERE symbol <> '' ORDER BY dataset, symbol;

INSERT INTO coverage_days (series_id, trade_day, commit_id, state, rows_hash)
SELECT s.id, unixepoch(r.trade_date) / 86400, r.commit_id,
  r.row_count + 2 * r.expected_count + 4 * r.new_count + 8 * r.changed_count + 16 * r.gone_count +
  32 * CASE r.verdict WHEN 'complete' THEN 1 WHEN 'expected_empty' THEN 2 WHEN 'not_published' THEN 3 WHEN 'incomplete' THEN 4 WHEN 'empty' THEN 5 ELSE 6 END,
  r.rows_hash
FROM coverage_records r JOIN series s ON s.dataset = r.dataset AND s.symbol = r.symbol
WHERE date(r.trade_date) = r.trade_date
  AND r.verdict IN ('complete', 'expected_empty', 'not_published', 'incomplete', 'empty', 'accepted_short')
  AND r.row_count IN (0, 1) AND r.expected_count IN (0, 1) AND r.new_count IN (0, 1) AND r.changed_count IN (0, 1) AND r.gone_count IN (0, 1)
  AND r.row_count_sh = r.row_count * (r.symbol GLOB '*.SH') AND r.row_count_sz = r.row_count * (r.symbol GLOB '*.SZ') AND r.row_count_bj = r.row_count * (r.symbol GLOB '*.BJ')
  AND r.answer_hash = 0 AND r.same_since IS NULL AND r.same_days = 0 AND r.last_same IS NULL
  AND r.filtered_count = 0 AND r.rejected_count = 0 AND r.unknown_count = 0
ORDER BY 1, 2;

DELETE FROM coverage_records WHERE EXISTS (
  SELECT 1 FROM series s JOIN coverage_days d ON d.series_id = s.id AND d.trade_day = unixepoch(coverage_records.trade_date) / 86400
  WHERE s.dataset = coverage_records.dataset AND s.symbol = coverage_records.symbol AND date(coverage_records.trade_date) = coverage_records.trade_date
);

-- All records of coverage, with the columns of coverage_records.
CREATE VIEW coverage AS
SELECT s.dataset, s.symbol, date(d.trade_day * 86400, 'unixepoch') AS trade_date, d.commit_id, d.state & 1 AS row_count,
  (d.state & 1) * (s.symbol GLOB '*.SH') AS row_count_sh, (d.state & 1) * (s.symbol GLOB '*.SZ') AS row_count_sz, (d.state & 1) * (s.symbol GLOB '*.BJ') AS row_count_bj,
  d.rows_hash, d.state >> 1 & 1 AS expected_count,
  CASE d.state >> 5 WHEN 1 THEN 'complete' WHEN 2 THEN 'expected_empty' WHEN 3 THEN 'not_published' WHEN 4 THEN 'incomplete' WHEN 5 THEN 'empty' WHEN 6 THEN 'accepted_short' END AS verdict,
  0 AS answer_hash, NULL AS same_since, 0 AS same_days, NULL AS last_same, 0 AS filtered_count, 0 AS rejected_count, 0 AS unknown_count,
  d.state >> 2 & 1 AS new_count, d.state >> 3 & 1 AS changed_count, d.state >> 4 & 1 AS gone_count
FROM coverage_days d JOIN series s ON s.id = d.series_id
UNION ALL
SELECT dataset, symbol, trade_date, commit_id, row_count, row_count_sh, row_count_sz, row_count_bj, rows_hash, expected_count, verdict,
  answer_hash, same_since, same_days, last_same, filtered_count, rejected_count, unknown_count, new_count, changed_count, gone_count
FROM coverage_records;
