package reader_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A Parquet file of many months is joined from the published ones, and whoever takes one
// away does no harm.
func TestParquetOfManyMonthsIsJoined(t *testing.T) {
	r := newRig(t)
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
		// Readers skip row groups by what is told of them.
		one := " WHERE symbol = '" + stocks[7] + "' AND trade_date > DATE '2026-01-31'"
		same(t, what+", one symbol", r.truth("SELECT * FROM read_parquet("+universe.Quote(path)+")"+one, prices.Columns),
			r.truth("SELECT * FROM (SELECT * FROM daily_prices"+where+") t"+one+" ORDER BY trade_date", prices.Columns))
		return path
	}
	path := check("all", market.NoDate, market.NoDate)
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
