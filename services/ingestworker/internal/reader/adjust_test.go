package reader_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// price is a row of one stock; a price that is NaN is null.
type price struct{ close, pre float64 }

// prices commits one day of some stocks; the other prices are those of the close.
func (r *harness) prices(day market.Date, of map[string]price, verdict coverage.Verdict) {
	r.t.Helper()
	if verdict == coverage.Complete { // the others are there too
		for i, symbol := range stocks {
			if i > 5 {
				of[symbol] = price{10, 10}
			}
		}
	}
	b := table.New(catalog.Lookup(catalog.Daily).Specs(), len(of))
	for symbol, p := range of {
		b.Len++
		for i := range b.Columns {
			c := &b.Columns[i]
			v := p.close
			switch c.Name {
			case "ts_code":
				c.AppendText(symbol)
				continue
			case "trade_date":
				c.AppendDate(day)
				continue
			case "pre_close":
				v = p.pre
			}
			if math.IsNaN(v) {
				c.AppendNull()
			} else {
				c.AppendNumber(v)
			}
		}
	}
	r.epoch++
	c := sinktest.Commit(market.Universe, catalog.Daily, day, stocks, b, r.epoch)
	c.Records[0].Verdict = verdict
	if _, err := r.sink.Commit(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// A is adjusted twice, B has an implausible link, C was suspended over a day that is
// complete, D over one that is not, E lacks a reference price.
const symA, symB, symC, symD, symE = "600001.SH", "600002.SH", "600003.SH", "000004.SZ", "000005.SZ"

func newAdjustHarness(t *testing.T) *harness {
	r := newHarness(t)
	r.lists()
	nan := math.NaN()
	d := sinktest.Day0
	r.prices(d, map[string]price{symA: {10, 10}, symB: {10, 10}, symC: {10, 10}, symD: {10, 10}, symE: {10, 10}, stocks[0]: {10, 10}}, coverage.Complete)
	r.prices(d+1, map[string]price{symA: {8.4, 8}, symB: {9, 10.5}, symD: {10, 10}, symE: {11, nan}, stocks[0]: {10, 10}}, coverage.Complete)
	r.prices(d+2, map[string]price{symA: {8.4, 8.4}, symB: {9, 9}, symC: {5, 5}, symE: {11, 11}}, coverage.Incomplete)
	r.prices(d+3, map[string]price{symA: {4, 4.2}, symB: {8, 8}, symC: {5, 5}, symD: {10, 10}, symE: {11, 11}, stocks[0]: {10, 10}}, coverage.Complete)
	r.publish()
	return r
}

func TestAdjustedPrices(t *testing.T) {
	r := newAdjustHarness(t)
	for _, c := range []struct {
		adjust reader.Adjustment
		symbol string
		want   string // factor × close of each row
	}{
		{reader.Forward, symA, "[[0.4 4] [0.5 4.2] [0.5 4.2] [1 4]]"},
		{reader.Backward, symA, "[[1 10] [1.25 10.5] [1.25 10.5] [2.5 10]]"},
		{reader.Forward, symB, "[[<nil> <nil>] [0.8888888888888888 8] [0.8888888888888888 8] [1 8]]"},
		{reader.Backward, symB, "[[1 10] [<nil> <nil>] [<nil> <nil>] [<nil> <nil>]]"},
		{reader.Forward, symC, "[[0.5 5] [1 5] [1 5]]"},
		{reader.Forward, symD, "[[<nil> <nil>] [<nil> <nil>] [1 10]]"},
		{reader.Backward, symD, "[[1 10] [1 10] [<nil> <nil>]]"},
		{reader.Forward, symE, "[[<nil> <nil>] [1 11] [1 11] [1 11]]"},
	} {
		q := query(catalog.TablePrices)
		q.Adjust, q.Symbols, q.Columns = c.adjust, []string{c.symbol}, []string{"factor", "close"}
		got, _ := parseArrow(t, r.write(q, reader.Arrow))
		if text := fmt.Sprint([][]any(got)); text != c.want {
			t.Errorf("%s %v: %s, want %s", c.symbol, c.adjust, text, c.want)
		}
		columns := []catalog.Column{{Stored: "factor", Type: table.Number}, {Stored: "close", Type: table.Number}}
		same(t, fmt.Sprint(c.symbol, c.adjust, " as CSV"), parseCSV(t, r.write(q, reader.CSV), columns), got)
		same(t, fmt.Sprint(c.symbol, c.adjust, " as NDJSON"), parseNDJSON(t, r.write(q, reader.NDJSON), columns), got)
		file, _ := r.parquet(q, columns)
		same(t, fmt.Sprint(c.symbol, c.adjust, " as Parquet"), file, got)
	}
}

func TestBrokenLinksAreNamed(t *testing.T) {
	r := newAdjustHarness(t)
	q := query(catalog.TablePrices)
	q.Adjust, q.Symbols = reader.Forward, []string{symA, symB, symC, symD, symE}
	a := r.open(q)
	got := map[string]string{}
	for _, b := range a.Broken {
		got[b.Symbol] = b.From.String() + ".." + b.To.String() + " " + b.Problem
	}
	want := map[string]string{
		symB: "2026-03-02..2026-03-03 the ratio 0.9524 is not plausible", symD: "2026-03-03..2026-03-05 2026-03-04 is not complete",
		symE: "2026-03-02..2026-03-03 a price is missing",
	}
	if a.BrokenCount != 3 || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%d: %v, want %v", a.BrokenCount, got, want)
	}
}

// The factor is 1 at the newest row asked for, not at the newest one held.
func TestAdjustmentIsOfTheSpanAskedFor(t *testing.T) {
	r := newAdjustHarness(t)
	q := query(catalog.TablePrices)
	q.Adjust, q.Symbols, q.Columns, q.End = reader.Forward, []string{symA}, []string{"factor"}, sinktest.Day0+2
	got, _ := parseArrow(t, r.write(q, reader.Arrow))
	if text := fmt.Sprint([][]any(got)); text != "[[0.8] [1] [1]]" {
		t.Errorf("factors %s", text)
	}
}
