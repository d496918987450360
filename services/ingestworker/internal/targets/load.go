package targets

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// loadIndex reads commits and coverage, and the ID for the next commit.
func loadIndex(ctx context.Context, db *sql.DB) (x *index, nextID int64, err error) {
	stamps := make(map[int64]*stamp)
	err = each(ctx, db, "SELECT id, run_id, epoch, committed_at, issues FROM commits", func(scan func(...any) error) error {
		var st stamp
		var at int64
		var issues sql.NullString
		if err := scan(&st.id, &st.runID, &st.epoch, &at, &issues); err != nil {
			return err
		}
		st.committedAt = time.UnixMilli(at).UTC()
		if issues.Valid {
			if err := json.Unmarshal([]byte(issues.String), &st.issues); err != nil {
				return err
			}
		}
		stamps[st.id] = &st
		nextID = max(nextID, st.id)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	x = newIndex()
	at := func(id int64) *stamp {
		st := stamps[id]
		if st == nil {
			st = &stamp{id: id} // only a manual change can have done that; the rows are still covered
			stamps[id] = st
		}
		return st
	}
	if err := loadDays(ctx, db, x, at); err != nil {
		return nil, 0, err
	}
	// Most texts repeat, and would otherwise be stored once per row.
	seen := make(map[string]string)
	intern := func(b sql.RawBytes) string {
		s, ok := seen[string(b)]
		if !ok {
			s = string(b)
			seen[s] = s
		}
		return s
	}
	err = each(ctx, db, `SELECT dataset, symbol, trade_date, commit_id, row_count, row_count_sh, row_count_sz, row_count_bj, rows_hash, expected_count, verdict,
	  answer_hash, same_since, same_days, last_same, filtered_count, rejected_count, unknown_count, new_count, changed_count, gone_count
	  FROM coverage_records ORDER BY dataset, symbol, trade_date`, func(scan func(...any) error) error {
		var r coverage.Record
		var dataset, symbol, date, verdict, since, last sql.RawBytes
		var commit, rowsHash, hash int64
		err := scan(&dataset, &symbol, &date, &commit, &r.Rows, &r.ByExchange.SH, &r.ByExchange.SZ, &r.ByExchange.BJ, &rowsHash, &r.Expected, &verdict,
			&hash, &since, &r.SameDays, &last, &r.Filtered, &r.Rejected, &r.Unknown, &r.New, &r.Changed, &r.Gone)
		if err != nil {
			return err
		}
		r.Dataset, r.Symbol, r.Verdict = intern(dataset), intern(symbol), coverage.Verdict(intern(verdict))
		r.RowsHash, r.AnswerHash = uint64(rowsHash), uint64(hash)
		for _, d := range []struct {
			to   *market.Date
			text sql.RawBytes
		}{{&r.Date, date}, {&r.SameSince, since}, {&r.LastSame, last}} {
			if *d.to, err = parseDate(string(d.text)); err != nil {
				return err
			}
		}
		st := at(commit)
		r.Epoch, r.RunID, r.CommittedAt, r.Issues = st.epoch, st.runID, st.committedAt, st.issues
		x.put(r, st)
		return nil
	})
	for _, r := range x.datasets {
		for _, t := range r.dates {
			t.tidy()
		}
	}
	x.loaded = true
	return x, nextID + 1, err
}

// loadDays reads the records that are kept by number.
func loadDays(ctx context.Context, db *sql.DB, x *index, at func(commit int64) *stamp) error {
	names := make(map[int64]series)
	err := each(ctx, db, "SELECT id, dataset, symbol FROM series", func(scan func(...any) error) error {
		var id int64
		var s series
		err := scan(&id, &s.dataset, &s.symbol)
		names[id], x.ids[s], x.last = s, id, max(x.last, id)
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, db, "SELECT series_id, trade_day, commit_id, state, rows_hash FROM coverage_days ORDER BY trade_day", func(scan func(...any) error) error {
		var id, date, commit, state, hash int64
		if err := scan(&id, &date, &commit, &state, &hash); err != nil {
			return err
		}
		s, known := names[id]
		if !known || date != int64(int32(date)) || state < 0 || state>>verdictShift >= int64(len(coverage.Verdicts)) {
			return nil // changed manually: what is not covered is fetched
		}
		x.putDay(s, day{stamp: at(commit), hash: uint64(hash), date: market.Date(date), bits: uint16(state)})
		return nil
	})
}

// each runs a query and passes every row to fn.
func each(ctx context.Context, db querier, query string, fn func(scan func(...any) error) error, args ...any) error {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

func parseDate(s string) (market.Date, error) {
	if s == "" {
		return market.NoDate, nil
	}
	return market.ParseDate(s)
}
