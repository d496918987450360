-- Dates are YYYY-MM-DD text. Numbers are as the provider has them; null is the
-- provider's null, which is not 0. Units stand beside the columns.

-- Trading calendar, one row per exchange and day.
CREATE TABLE trade_calendar (
  exchange         TEXT NOT NULL, -- Exchange whose calendar it is: SSE, which SZSE and BSE share.
  cal_date         TEXT NOT NULL, -- Calendar day.
  is_open          INTEGER, -- 1 on trading days, 0 otherwise.
  pretrade_date    TEXT, -- The open day before.
  PRIMARY KEY (exchange, cal_date)
) STRICT, WITHOUT ROWID;

-- Stocks and ETFs, one row per symbol.
CREATE TABLE instrument_meta (
  symbol           TEXT NOT NULL, -- Exchange code with suffix, as in 600519.SH.
  kind             TEXT, -- stock or etf, told by the code range.
  name             TEXT, -- Short name.
  area             TEXT, -- Province of the company's seat.
  industry         TEXT, -- Industry.
  fullname         TEXT, -- Full name.
  enname           TEXT, -- English name.
  cnspell          TEXT, -- Pinyin initials.
  market           TEXT, -- Board: 主板, 创业板, 科创板, CDR, 北交所; for funds E (exchange).
  exchange         TEXT, -- SSE, SZSE or BSE.
  curr_type        TEXT, -- Currency of trading.
  list_status      TEXT, -- L listed, D delisted, P suspended; for funds I, L, D.
  list_date        TEXT, -- First trading day.
  delist_date      TEXT, -- Day of delisting. Null while listed.
  is_hs            TEXT, -- Stock Connect: N none, H Shanghai, S Shenzhen.
  act_name         TEXT, -- Controlling party.
  act_ent_type     TEXT, -- Kind of the controlling party.
  management       TEXT, -- Fund company.
  custodian        TEXT, -- Custodian bank.
  fund_type        TEXT, -- Kind of fund.
  found_date       TEXT, -- Day of founding.
  due_date         TEXT, -- Day of maturity.
  issue_date       TEXT, -- Day of issue.
  issue_amount     REAL, -- Shares issued, 亿份.
  m_fee            REAL, -- Management fee, % a year.
  c_fee            REAL, -- Custody fee, % a year.
  duration_year    REAL, -- Life in years.
  p_value          REAL, -- Face value, 元.
  min_amount       REAL, -- Least purchase, 万元.
  exp_return       REAL, -- Expected return, %.
  benchmark        TEXT, -- Benchmark.
  invest_type      TEXT, -- Investment style.
  type             TEXT, -- Legal form.
  trustee          TEXT, -- Trustee.
  purc_startdate   TEXT, -- First day of purchase.
  redm_startdate   TEXT, -- First day of redemption.
  PRIMARY KEY (symbol)
) STRICT, WITHOUT ROWID;

-- Unadjusted daily prices of stocks and ETFs, one row per symbol and trade date.
CREATE TABLE daily_prices (
  symbol           TEXT NOT NULL, -- Exchange code with suffix, as in 600519.SH.
  trade_date       TEXT NOT NULL, -- Trade date.
  open             REAL, -- First price of the day, 元.
  high             REAL, -- Highest price, 元.
  low              REAL, -- Lowest price, 元.
  close            REAL, -- Last price, 元.
  pre_close        REAL, -- Reference price of the day before after ex-rights, 元; not always yesterday's close.
  change           REAL, -- close − pre_close, 元.
  pct_chg          REAL, -- change against pre_close, %.
  volume           REAL, -- Volume, 手 (100 shares).
  amount           REAL, -- Turnover, 千元.
  PRIMARY KEY (symbol, trade_date)
) STRICT, WITHOUT ROWID;

-- Daily valuation and share counts of stocks, one row per symbol and trade date.
CREATE TABLE daily_basics (
  symbol           TEXT NOT NULL, -- Exchange code with suffix, as in 600519.SH.
  trade_date       TEXT NOT NULL, -- Trade date.
  close            REAL, -- Last price, 元.
  turnover_rate    REAL, -- Turnover, %.
  turnover_rate_f  REAL, -- Turnover of the free float, %.
  volume_ratio     REAL, -- Volume ratio.
  pe               REAL, -- Price to earnings of the last year. Null for a loss.
  pe_ttm           REAL, -- Price to earnings of twelve months. Null for a loss.
  pb               REAL, -- Price to book.
  ps               REAL, -- Price to sales.
  ps_ttm           REAL, -- Price to sales of twelve months.
  dv_ratio         REAL, -- Dividend yield, %.
  dv_ttm           REAL, -- Dividend yield of twelve months, %.
  total_share      REAL, -- Shares, 万股.
  float_share      REAL, -- Floating shares, 万股.
  free_share       REAL, -- Free-floating shares, 万股.
  total_mv         REAL, -- Market value, 万元.
  circ_mv          REAL, -- Floating market value, 万元.
  PRIMARY KEY (symbol, trade_date)
) STRICT, WITHOUT ROWID;

-- Daily money flow of SH and SZ stocks by size of order, one row per symbol and trade date.
CREATE TABLE daily_moneyflows (
  symbol           TEXT NOT NULL, -- Exchange code with suffix, as in 600519.SH; never BJ.
  trade_date       TEXT NOT NULL, -- Trade date.
  buy_sm_vol       REAL, -- Small orders bought, 手; small is under 5 万元.
  buy_sm_amount    REAL, -- Small orders bought, 万元.
  sell_sm_vol      REAL, -- Small orders sold, 手.
  sell_sm_amount   REAL, -- Small orders sold, 万元.
  buy_md_vol       REAL, -- Medium orders bought, 手; medium is 5 to 20 万元.
  buy_md_amount    REAL, -- Medium orders bought, 万元.
  sell_md_vol      REAL, -- Medium orders sold, 手.
  sell_md_amount   REAL, -- Medium orders sold, 万元.
  buy_lg_vol       REAL, -- Large orders bought, 手; large is 20 to 100 万元.
  buy_lg_amount    REAL, -- Large orders bought, 万元.
  sell_lg_vol      REAL, -- Large orders sold, 手.
  sell_lg_amount   REAL, -- Large orders sold, 万元.
  buy_elg_vol      REAL, -- Extra-large orders bought, 手; from 100 万元.
  buy_elg_amount   REAL, -- Extra-large orders bought, 万元.
  sell_elg_vol     REAL, -- Extra-large orders sold, 手.
  sell_elg_amount  REAL, -- Extra-large orders sold, 万元.
  net_mf_vol       REAL, -- Net flow, 手; not the sum of the large buckets.
  net_mf_amount    REAL, -- Net flow, 万元.
  PRIMARY KEY (symbol, trade_date)
) STRICT, WITHOUT ROWID;

-- What the coverage rows of one commit have in common.
CREATE TABLE commits (
  id           INTEGER PRIMARY KEY,
  run_id       TEXT NOT NULL,    -- Run on whose behalf it was written.
  epoch        INTEGER NOT NULL, -- Epoch of the dispatch that wrote it, Unix ms.
  committed_at INTEGER NOT NULL, -- When it was committed, Unix ms.
  issues       TEXT              -- Warnings and findings of the last answer, JSON. Null when there are none.
) STRICT;

-- What is held per dataset, symbol and trade date; committed with the rows. No
-- foreign key leads to commits: it would need an index as large as this table.
CREATE TABLE coverage (
  dataset        TEXT NOT NULL,    -- Name of the dataset, the provider's api_name.
  symbol         TEXT NOT NULL,    -- Empty for lists and calendars, which are held whole.
  trade_date     TEXT NOT NULL,    -- Empty for lists and calendars.
  commit_id      INTEGER NOT NULL, -- Row of commits.
  row_count      INTEGER NOT NULL, -- Rows held; 0 or 1 for a symbol's day.
  row_count_sh   INTEGER NOT NULL, -- Rows of symbols with suffix SH.
  row_count_sz   INTEGER NOT NULL, -- Rows of symbols with suffix SZ.
  row_count_bj   INTEGER NOT NULL, -- Rows of symbols with suffix BJ.
  rows_hash      INTEGER NOT NULL, -- Hash of the rows held with all their values, as a signed number; 0 where none are.
  expected_count INTEGER NOT NULL, -- Rows expected; 0 where unknown or none.
  verdict        TEXT NOT NULL,    -- What the last answer was found to be: complete, expected_empty, not_published, incomplete, empty, accepted_short.
  answer_hash    INTEGER NOT NULL, -- Hash of a short answer, as a signed number; 0 when settled whole.
  same_since     TEXT,             -- Day of the first of equal short answers.
  same_days      INTEGER NOT NULL, -- On how many days the same short answer came.
  last_same      TEXT,             -- Last of those days.
  filtered_count INTEGER NOT NULL, -- Rows the pool leaves out by rule, as funds that are no ETFs.
  rejected_count INTEGER NOT NULL, -- Rows that failed a check; see rejects.
  unknown_count  INTEGER NOT NULL, -- Rows held of symbols that no list knows.
  new_count      INTEGER NOT NULL, -- Rows the last commit added.
  changed_count  INTEGER NOT NULL, -- Rows the last commit gave another value.
  gone_count     INTEGER NOT NULL, -- Rows the last commit took away.
  PRIMARY KEY (dataset, symbol, trade_date)
) STRICT, WITHOUT ROWID;

-- Rows that failed a check and are not in the tables.
CREATE TABLE rejects (
  dataset      TEXT NOT NULL,    -- Name of the dataset.
  trade_date   TEXT,             -- Trade date, where it is known.
  symbol       TEXT,             -- Symbol of the row, where it is known.
  reason       TEXT NOT NULL,    -- The check that failed.
  row_json     TEXT NOT NULL,    -- The row as JSON, by the provider's column names.
  rejected_at  INTEGER NOT NULL, -- When, Unix ms.
  partition_id TEXT NOT NULL     -- Partition it came with.
) STRICT;
CREATE INDEX rejects_by_partition ON rejects (partition_id);
CREATE INDEX rejects_by_date ON rejects (dataset, trade_date);

-- One row about this file.
CREATE TABLE meta (
  source     TEXT NOT NULL,   -- Host of the provider's URL that filled the file.
  created_at INTEGER NOT NULL -- When the file was created, Unix ms.
) STRICT;
