package reader_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A Parquet file of many months is joined from the published ones. A deleted published file does not
// break it.
func TestParquetOfManyMonthsIsJoined(t *testing.T) {
	r := newHarness(t)
	days := []market.Date{ // newest first, as a first fill does
		market.NewDate(2026, 3, 3), market.NewDate(2026, 3, 2), market.NewDate(2026, 2, 3), market.NewDate(2026, 2, 2),
		market.NewDate(2026, 1, 6), market.NewDate(2026, 1, 5),
	}
	fill := func(day market.Date, seed uint64) {
		r.commit(catalog.Daily, day, sinktest.Rows(catalog.Daily, day, stocks, seed), stocks)
		r.commit(catalog.FundDaily, day, sinktest.Rows(catalog.FundDaily, day, etfs, seed), etfs)
	}
	for _, day := range days {
		fill(day, 1)
	}
	r.publish()
	prices, err := reader.Lookup(catalog.TablePrices)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, start, end market.Date) (path string) {
		q := query(prices.Name)
		where := ""
		if q.Start = start; start != market.NoDate {
			where = " WHERE trade_date >= DATE '" + start.String() + "'"
		}
		if q.End = end; end != market.NoDate {
			where = " WHERE trade_date <= DATE '" + end.String() + "'"
		}
		want := r.truth("SELECT * FROM daily_prices"+where+" ORDER BY date_trunc('month', trade_date), symbol, trade_date", prices.Columns)
		got, path := r.parquet(q, prices.Columns)
		same(t, what, got, want)
		// Readers skip row groups by their statistics.
		one := " WHERE symbol = '" + stocks[7] + "' AND trade_date > DATE '2026-01-31'"
		same(t, what+", one symbol", r.truth("SELECT * FROM read_parquet("+universe.Quote(path)+")"+one, prices.Columns),
			r.truth("SELECT * FROM (SELECT * FROM daily_prices"+where+") t"+one+" ORDER BY trade_date", prices.Columns))
		return path
	}
	path := check("all", market.NoDate, market.NoDate)
	// What is not as it was published is written month by month, and sorted by date as ever.
	for what, q := range map[string]reader.Query{
		"some columns": {Columns: []string{"close", "trade_date", "symbol"}}, "adjusted": {Adjust: reader.Forward},
		"some columns of a span": {Columns: []string{"trade_date", "pct_chg"}, Start: days[4], End: days[1], Adjust: reader.Backward},
	} {
		q.Pool, q.Table = market.Universe, prices.Name
		if q.Start == 0 {
			q.Start, q.End = market.NoDate, market.NoDate
		}
		want, _ := parseArrow(t, r.write(q, reader.Arrow))
		got, path := r.parquet(q, r.open(q).Columns)
		same(t, what, got, want)
		if n := r.truth("SELECT count(DISTINCT row_group_id)::DOUBLE FROM parquet_metadata("+universe.Quote(path)+")", prices.Columns[2:3])[0][0]; n != 3.0 {
			t.Errorf("%s: %v row groups, not one a month", what, n)
		}
	}
	meta := func(sql string) string { return r.truth(sql, pool.Tables()[0].Columns[:1])[0][0].(string) }
	version := meta("SELECT decode(value) FROM parquet_kv_metadata(" + universe.Quote(path) + ") WHERE decode(key) = 'afterbell.version'")
	if want := r.store.Current().Version; version != want {
		t.Errorf("the file says that its version is %q, not %q", version, want)
	}
	rows := len(days) * (len(stocks) + len(etfs))
	if got := meta("SELECT num_rows::VARCHAR FROM parquet_file_metadata(" + universe.Quote(path) + ")"); got != strconv.Itoa(rows) {
		t.Errorf("the file says that it has %s rows, not %d", got, rows)
	}
	check("part of a month first", market.NewDate(2026, 1, 6), market.NoDate)
	check("part of a month last", market.NoDate, market.NewDate(2026, 3, 2))

	// The bytes of the published files are in it, so nothing was made again.
	v, release, err := r.store.Acquire(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	months := 0
	for _, f := range v.Manifest.Files {
		if f.Table != prices.Name {
			continue
		}
		months++
		part, err := os.ReadFile(filepath.Join(v.Dir, f.Path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(whole, part[4:len(part)/2]) {
			t.Errorf("%s is not in the file of all months", f.Path)
		}
	}
	if months != 3 {
		t.Errorf("%d months are published, not 3", months)
	}

	fill(days[0], 2) // an evening
	r.publish()
	now, release, err := r.store.Acquire(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, f := range now.Manifest.Files {
		if f.Table == prices.Name && f.FirstDate == days[3].String() {
			if err := os.Remove(filepath.Join(now.Dir, f.Path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	check("without a published file", market.NoDate, market.NoDate)
	if left, err := filepath.Glob(filepath.Join(r.dir, "answers", "*.part")); err != nil || len(left) > 0 {
		t.Errorf("%v were left behind, %v", left, err)
	}
}

// Rows of a few symbols are read from the published months. A month that is damaged or taken
// away, also while it is read, does no harm.
func TestFewSymbolsAreReadFromTheMonths(t *testing.T) {
	r := newHarness(t)
	for _, day := range []market.Date{market.NewDate(2026, 3, 2), market.NewDate(2026, 2, 3), market.NewDate(2026, 2, 2), market.NewDate(2026, 1, 5)} {
		r.commit(catalog.Daily, day, sinktest.Rows(catalog.Daily, day, stocks, 1), stocks)
		r.commit(catalog.FundDaily, day, sinktest.Rows(catalog.FundDaily, day, etfs, 1), etfs)
	}
	r.publish()
	v, release, err := r.store.Acquire(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	prices, err := reader.Lookup(catalog.TablePrices)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(v.Manifest.Files, func(f publish.FileInfo) bool {
		return f.Table == prices.Name && f.FirstDate == "2026-02-02"
	})
	month := &v.Manifest.Files[at]
	path := filepath.Join(v.Dir, month.Path)

	few, many := []string{etfs[3], stocks[7]}, stocks[:5]
	closes := func(symbols []string, raised string) rows {
		return r.truth("SELECT symbol, trade_date, CASE WHEN "+raised+" THEN close + 1000 ELSE close END FROM daily_prices WHERE symbol IN ('"+
			strings.Join(symbols, "', '")+"') AND trade_date > DATE '2026-01-31' ORDER BY trade_date, symbol", prices.Columns[:3])
	}
	start := market.NewDate(2026, 1, 10) // another one each time, so that no file was made before
	check := func(what string, symbols []string, raised string) {
		t.Helper()
		start++
		q := query(prices.Name)
		q.Symbols, q.Start, q.Columns = symbols, start, []string{"symbol", "trade_date", "close"}
		got, _ := parseArrow(t, r.write(q, reader.Arrow))
		want := closes(symbols, raised)
		same(t, what, got, want)
		parquet, _ := r.parquet(q, prices.Columns[:3])
		same(t, what+", as Parquet", parquet, want)
		q.Adjust = reader.Forward // the last row is not changed by it
		got, _ = parseArrow(t, r.write(q, reader.Arrow))
		same(t, what+", adjusted", got[len(got)-1:], want[len(want)-1:])
	}
	check("whole", few, "false")

	// Another file in the place of the month shows which rows are read from it.
	err = v.Reader.Exec(t.Context(), "COPY (SELECT * REPLACE (close + 1000 AS close) FROM daily_prices WHERE month(trade_date) = 2 ORDER BY symbol, trade_date) TO "+
		universe.Quote(path+".new")+" (FORMAT parquet)", func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	replace := func(data []byte) {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		month.Bytes, month.Modified = st.Size(), st.ModTime()
	}
	other, err := os.ReadFile(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	replace(other)
	check("from the month", few, "month(trade_date) = 2")
	check("many from the table", many, "false")

	replace(bytes.Repeat([]byte("x"), 2*len(other)))
	check("damaged", few, "false")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("taken away", few, "false")
}
