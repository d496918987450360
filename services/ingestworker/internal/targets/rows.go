package targets

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// readOld reads the stored rows of the partition. Symbols that the coverage does not have
// are skipped, so that a first fill reads nothing.
func (w *work) readOld(ctx context.Context, tx *sqlite.Tx) (err error) {
	b, names := pool.Held(w.dataset, 0)
	w.old = b
	query := "SELECT " + names + " FROM "
	if w.dataset.Snapshot {
		return readBatch(ctx, tx.Scan, b, query+w.dataset.Table+" WHERE "+ofKind(w.dataset))
	}
	if len(w.before) == 0 {
		return nil
	}
	// Even if no row is claimed: one may have been added manually.
	known, part := make(map[string]bool), w.commit.Partition // false for an earlier code
	for k := range w.before {
		current, moved := w.moved[k]
		known[k.Symbol] = !moved
		if moved {
			known[current] = true
		}
	}
	symbols, dates := pool.KeyColumns(w.dataset, b)
	at, on := columnOf(b, symbols), columnOf(b, dates)
	add := func(values []driver.Value) error {
		s, _ := values[at].(string)
		if own, ok := known[s]; !ok || !own && !w.moves(s, values[on]) {
			return nil
		}
		return appendRow(b, values)
	}
	// One range is faster than a search for each symbol if it has few other rows.
	if part.Start == part.End && w.sink.index.rowsOn(date{w.dataset.ID, part.Start}) <= 2*len(known) {
		return tx.Scan(ctx, add, query+w.dataset.Table+" WHERE trade_date = ? AND "+ofKind(w.dataset), part.Start.String())
	}
	var days []string
	for d := part.Start; d <= part.End; d++ {
		days = append(days, d.String())
	}
	return tx.Scan(ctx, add, query+"json_each(?) AS d CROSS JOIN json_each(?) AS s CROSS JOIN "+w.dataset.Table+" ON trade_date = d.value AND symbol = s.value",
		jsonList(days), jsonList(slices.Sorted(maps.Keys(known))))
}

func columnOf(b *table.Batch, c *table.Column) int {
	return slices.IndexFunc(b.Columns, func(x table.Column) bool { return x.Name == c.Name })
}

// jsonList is an argument for json_each.
func jsonList(texts []string) string {
	text, err := json.Marshal(texts)
	if err != nil {
		panic(err) // strings always have a JSON form
	}
	return string(text)
}

// ofKind selects the rows of a dataset in a table that two datasets share.
func ofKind(d *catalog.Dataset) string {
	switch d.Table {
	case catalog.TableInstruments:
		return pool.KindColumn + " = '" + string(d.Kind) + "'"
	case catalog.TablePrices:
		var terms []string
		for _, r := range market.ETFRanges() {
			terms = append(terms, fmt.Sprintf("symbol GLOB '%s*.%s'", r.Prefix, r.Exchange))
		}
		etf := "(" + strings.Join(terms, " OR ") + ")"
		if d.Kind == market.ETF {
			return etf
		}
		return "NOT " + etf
	}
	return "true"
}

func stored(d *catalog.Dataset) string {
	names := make([]string, len(d.Columns))
	for i, c := range d.Columns {
		names[i] = `"` + c.Stored + `"`
	}
	return strings.Join(names, ", ")
}

// querier is a transaction, or the pool of readers.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// appendValue adds a value of a query to a column.
func appendValue(to *table.Column, v driver.Value) error {
	switch x := v.(type) {
	case nil:
		to.AppendNull()
	case float64:
		to.AppendNumber(x)
	case int64:
		to.AppendNumber(float64(x))
	case string:
		if to.Type != table.Date {
			to.AppendText(x)
			return nil
		}
		d, err := market.ParseDate(x)
		if err != nil {
			d = market.NoDate // a text that was written manually: not null, and unlike every date
		}
		to.AppendDate(d)
	default:
		return fmt.Errorf("column %s holds a %T", to.Name, v)
	}
	return nil
}

// scan is sqlite.Scan of a transaction, or of the pool of readers.
type scan func(ctx context.Context, row func(values []driver.Value) error, query string, args ...any) error

func reading(db *sql.DB) scan {
	return func(ctx context.Context, row func(values []driver.Value) error, query string, args ...any) error {
		return sqlite.Scan(ctx, db, row, query, args...)
	}
}

// readBatch adds the rows of a query to a batch.
func readBatch(ctx context.Context, db scan, b *table.Batch, query string, args ...any) error {
	return db(ctx, func(values []driver.Value) error { return appendRow(b, values) }, query, args...)
}

func appendRow(b *table.Batch, values []driver.Value) error {
	for i, v := range values {
		if err := appendValue(&b.Columns[i], v); err != nil {
			return err
		}
	}
	b.Len++
	return nil
}

// deleteGone deletes the removed rows.
func (w *work) deleteGone(ctx context.Context, tx *sqlite.Tx) error {
	texts, dates := pool.KeyColumns(w.dataset, w.old)
	for _, i := range w.diff.Gone {
		query, args := "DELETE FROM "+w.dataset.Table+" WHERE symbol = ?", []any{texts.Texts[i]}
		switch {
		case w.dataset.ID == catalog.TradeCal:
			query, args = "DELETE FROM "+w.dataset.Table+" WHERE exchange = ? AND cal_date = ?", append(args, dates.Dates[i].String())
		case dates != nil:
			query, args = query+" AND trade_date = ?", append(args, dates.Dates[i].String())
		}
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
	}
	return nil
}

// dayTexts caches the texts of dates, of which a partition has few.
type dayTexts map[market.Date]string

func (t dayTexts) of(d market.Date) any {
	if d == market.NoDate {
		return nil
	}
	s, ok := t[d]
	if !ok {
		s = d.String()
		t[d] = s
	}
	return s
}

func argument(c *table.Column, i int, day dayTexts) any {
	if c.Null[i] {
		return nil
	}
	switch c.Type {
	case table.Text:
		return c.Texts[i]
	case table.Date:
		return day.of(c.Dates[i])
	case table.Int:
		return int64(c.Numbers[i])
	}
	return c.Numbers[i]
}

const coverageColumns = `dataset, symbol, trade_date, commit_id, row_count, row_count_sh, row_count_sz, row_count_bj, rows_hash, expected_count, verdict,
  answer_hash, same_since, same_days, last_same, filtered_count, rejected_count, unknown_count, new_count, changed_count, gone_count`

// writeCoverage writes the records of a group in the order of the tables.
func (s *Sink) writeCoverage(ctx context.Context, tx *sqlite.Tx, group []*work) error {
	records := 0
	for _, w := range group {
		records += len(w.days) - len(w.kept)
	}
	usual, other := make([]spot, 0, records), []spot(nil)
	var names []series // without a number yet
	s.newIDs = make(map[series]int64)
	for _, w := range group {
		if err := w.writeCommits(ctx, tx); err != nil {
			return err
		}
		for n := range w.days {
			if _, kept := slices.BinarySearch(w.kept, n); kept {
				continue
			}
			k, d := w.keys[n], &w.days[n]
			x := spot{symbol: k.symbol, date: k.date, w: w, n: n}
			if len(w.before) > 0 {
				if was, held := w.before[w.key(n)]; held && (was.extra == nil) != (d.extra == nil) {
					if err := s.deleteRecord(ctx, tx, w.key(n), was); err != nil {
						return err
					}
				}
			}
			if d.extra != nil {
				other = append(other, x)
				continue
			}
			name := series{w.dataset.ID, k.symbol}
			if x.series = s.seriesID(name); x.series == 0 {
				x.series = s.index.last + int64(len(names)) + 1
				s.newIDs[name], names = x.series, append(names, name)
			}
			usual = append(usual, x)
		}
	}
	err := tx.Insert(ctx, "series", "id, dataset, symbol", 3, len(names), func(i int, args []any) []any {
		return append(args, s.newIDs[names[i]], names[i].dataset, names[i].symbol)
	})
	if err != nil {
		return err
	}
	slices.SortFunc(usual, func(a, b spot) int { return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.series, b.series)) })
	err = tx.Insert(ctx, "coverage_days", "series_id, trade_day, commit_id, state, rows_hash", 5, len(usual), func(i int, args []any) []any {
		x := &usual[i]
		d := &x.w.days[x.n]
		return append(args, x.series, int64(x.date), d.stamp.id, int64(d.bits), int64(d.hash))
	})
	if err != nil {
		return err
	}
	slices.SortFunc(other, func(a, b spot) int {
		return cmp.Or(strings.Compare(a.w.dataset.ID, b.w.dataset.ID), strings.Compare(a.symbol, b.symbol), cmp.Compare(a.date, b.date))
	})
	day := dayTexts{}
	return tx.Insert(ctx, "coverage_records", coverageColumns, 21, len(other), func(i int, args []any) []any {
		d := &other[i].w.days[other[i].n]
		r := d.extra
		return append(args, r.Dataset, r.Symbol, dateText(r.Date), d.stamp.id, r.Rows, r.ByExchange.SH, r.ByExchange.SZ, r.ByExchange.BJ, int64(r.RowsHash), r.Expected, string(r.Verdict),
			int64(r.AnswerHash), day.of(r.SameSince), r.SameDays, day.of(r.LastSame), r.Filtered, r.Rejected, r.Unknown, r.New, r.Changed, r.Gone)
	})
}

// seriesID is the number of a series in the file, or in the transaction; 0 if it has none
// yet.
func (s *Sink) seriesID(name series) int64 {
	if id := s.newIDs[name]; id != 0 {
		return id
	}
	return s.index.ids[name]
}

// deleteRecord deletes a record of coverage from its table.
func (s *Sink) deleteRecord(ctx context.Context, tx *sqlite.Tx, k coverage.Key, d day) error {
	if d.extra == nil {
		_, err := tx.ExecContext(ctx, "DELETE FROM coverage_days WHERE series_id = ? AND trade_day = ?", s.index.ids[series{k.Dataset, k.Symbol}], int64(k.Date))
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM coverage_records WHERE dataset = ? AND symbol = ? AND trade_date = ?", k.Dataset, k.Symbol, dateText(k.Date))
	return err
}

// dateText is a trade date in coverage_records; empty for a list or calendar.
func dateText(d market.Date) string {
	if d == market.NoDate {
		return ""
	}
	return d.String()
}

// writeCommits writes what the records have in common, and deletes rows without records,
// and records that the partition no longer has.
func (w *work) writeCommits(ctx context.Context, tx *sqlite.Tx) error {
	for _, st := range w.retired {
		if _, err := tx.ExecContext(ctx, "DELETE FROM commits WHERE id = ?", st.id); err != nil {
			return err
		}
	}
	for _, st := range w.fresh {
		var issues any
		if len(st.issues) > 0 {
			text, err := json.Marshal(st.issues)
			if err != nil {
				return err
			}
			issues = string(text)
		}
		verb := "INSERT"
		if st.again {
			verb = "REPLACE"
		}
		_, err := tx.ExecContext(ctx, verb+" INTO commits (id, run_id, epoch, committed_at, issues) VALUES (?, ?, ?, ?, ?)",
			st.id, st.runID, st.epoch, st.committedAt.UnixMilli(), issues)
		if err != nil {
			return err
		}
	}
	for _, k := range w.dropped {
		if err := w.sink.deleteRecord(ctx, tx, k, w.before[k]); err != nil {
			return err
		}
	}
	return nil
}

// writeRejects replaces those of the last commit of this partition, and those of its
// symbols and days from others.
func (w *work) writeRejects(ctx context.Context, tx *sqlite.Tx) error {
	if w.commit.KeepRejects {
		return nil
	}
	part := w.commit.Partition
	if _, err := tx.ExecContext(ctx, "DELETE FROM rejects WHERE partition_id = ?", part.ID); err != nil {
		return err
	}
	// There are almost never any, so they are searched together and not by symbol.
	var ours []int64
	err := each(ctx, tx, "SELECT rowid, symbol FROM rejects WHERE dataset = ? AND trade_date BETWEEN ? AND ?", func(scan func(...any) error) error {
		var id int64
		var symbol sql.NullString
		err := scan(&id, &symbol)
		if slices.Contains(part.Symbols, symbol.String) {
			ours = append(ours, id)
		}
		return err
	}, w.dataset.ID, part.Start.String(), part.End.String())
	if err != nil {
		return err
	}
	for _, id := range ours {
		if _, err := tx.ExecContext(ctx, "DELETE FROM rejects WHERE rowid = ?", id); err != nil {
			return err
		}
	}
	day := dayTexts{}
	for _, r := range w.commit.Rejects {
		at := r.RejectedAt
		if at.IsZero() {
			at = tx.Now
		}
		var symbol any
		if r.Symbol != "" {
			symbol = r.Symbol
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO rejects (dataset, trade_date, symbol, reason, row_json, rejected_at, partition_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
			w.dataset.ID, day.of(r.Date), symbol, r.Reason, r.Row, at.UnixMilli(), part.ID)
		if err != nil {
			return err
		}
	}
	return nil
}
