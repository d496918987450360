package publish

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A new version is created if anything in the coverage has changed, but not if a partition was only
// checked again.
func TestFingerprintHasEveryFieldOfARecord(t *testing.T) {
	fingerprint := func(records ...coverage.Record) string {
		var p digest
		for i := range records {
			p.addWhole(&records[i])
		}
		return p.text("snappy")
	}
	r := coverage.Record{Key: coverage.Key{Dataset: catalog.Daily, Date: 20000, Symbol: "600519.SH"}}
	before := fingerprint(r)
	unheeded := []string{"CommittedAt", "Epoch", "RunID", "New", "Changed", "Gone"}
	var change func(v reflect.Value, name string)
	change = func(v reflect.Value, name string) {
		was := reflect.ValueOf(v.Interface())
		switch x := v.Addr().Interface().(type) {
		case *time.Time:
			*x = x.Add(time.Hour)
		case *[]fault.Issue:
			*x = []fault.Issue{fault.NewIssue(fault.Incomplete, "Something is missing.")}
		default:
			switch v.Kind() {
			case reflect.Struct:
				for i := range v.NumField() {
					change(v.Field(i), v.Type().Field(i).Name)
				}
				return
			case reflect.String:
				v.SetString(v.String() + "x")
			case reflect.Uint64:
				v.SetUint(v.Uint() + 1)
			default:
				v.SetInt(v.Int() + 1)
			}
		}
		if got := fingerprint(r) == before; got != slices.Contains(unheeded, name) {
			t.Errorf("%s changed, and the fingerprint stayed the same: %t", name, got)
		}
		v.Set(was)
	}
	change(reflect.ValueOf(&r).Elem(), "Record")
	other := r
	other.Symbol = "000001.SZ"
	if fingerprint(r, other) != fingerprint(other, r) || fingerprint(r, other) == before {
		t.Error("the fingerprint depends on the order of the records, or not on their number")
	}
}

// A tally has what is needed of a record to split, count and compare files, without the record.
func TestTallyCutsByTableAndMonth(t *testing.T) {
	tally := newTally()
	day := market.NewDate(2026, 10, 30)
	for _, d := range []market.Date{day, day + 3, day + 4} {
		tally.add(coverage.Record{Key: coverage.Key{Dataset: catalog.Daily, Date: d, Symbol: "600519.SH"}, Rows: 1, RowsHash: uint64(d), Verdict: coverage.Complete})
		tally.add(coverage.Record{Key: coverage.Key{Dataset: catalog.FundDaily, Date: d, Symbol: "510300.SH"}, Verdict: coverage.ExpectedEmpty})
		tally.add(coverage.Record{Key: coverage.Key{Dataset: catalog.Moneyflow, Date: d, Symbol: "600519.SH"}, Verdict: coverage.NotPublished})
	}
	tally.add(coverage.Record{Key: coverage.Key{Dataset: catalog.StockBasic, Date: market.NoDate}, Rows: 5, Verdict: coverage.Complete})
	var paths []string
	for _, p := range tally.files() {
		paths = append(paths, p.path)
		if p.path == "parquet/daily_prices/year=2026/2026-11.parquet" && (p.claimed != 2 || p.first != day+3 || p.last != day+4 || p.verdicts[coverage.ExpectedEmpty] != 2) {
			t.Errorf("November: %d rows from %s to %s, %v", p.claimed, p.first, p.last, p.verdicts)
		}
	}
	want := []string{
		"parquet/instrument_meta/instrument_meta.parquet",
		"parquet/daily_prices/year=2026/2026-10.parquet", "parquet/daily_prices/year=2026/2026-11.parquet",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("%v, want %v: a month without a row has no file", paths, want)
	}
	if tally.verdicts[coverage.NotPublished] != 3 || tally.verdicts[coverage.Complete] != 4 {
		t.Errorf("%v", tally.verdicts)
	}
}
