package sinktest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// revisions returns all revisions of a sink, newest first, and reads them in small pages.
func revisions(t testing.TB, s ingest.Sink, q ingest.RevisionQuery) []ingest.Revision {
	t.Helper()
	q.Limit = 7
	var out []ingest.Revision
	for {
		page, err := s.Revisions(t.Context(), q)
		if err != nil {
			t.Fatalf("Revisions: %v", err)
		}
		out = append(out, page...)
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].ID
	}
	for i := 1; i < len(out); i++ {
		if out[i].ID >= out[i-1].ID {
			t.Fatalf("revision %d comes after %d", out[i].ID, out[i-1].ID)
		}
	}
	return out
}

// everything selects all revisions.
func everything() ingest.RevisionQuery {
	return ingest.RevisionQuery{Start: market.NoDate, End: market.NoDate}
}

// line returns a revision as text, without its number and time.
func line(r ingest.Revision) string {
	text := func(v ingest.Value) string {
		if !v.Set {
			return "NULL"
		}
		return v.Text
	}
	return fmt.Sprintf("%s %s %s %s: %s -> %s %s %s", r.Dataset, r.Symbol, r.Date, r.Column, text(r.Old), text(r.New), r.Kind, r.RunID)
}

func lines(all []ingest.Revision) []string {
	out := make([]string, len(all))
	for i, r := range all {
		out[i] = line(r)
	}
	slices.Sort(out)
	return out
}

// taken computes, independently of the pools, the revisions that a commit of the second batch
// over the first must keep.
func taken(dataset string, before, after *table.Batch, run string) []string {
	next := map[string]Row{}
	for _, row := range rowsOf(dataset, after) {
		next[row["symbol"]] = row
	}
	var out []string
	for _, row := range rowsOf(dataset, before) {
		is, stays := next[row["symbol"]]
		for column, old := range row {
			switch {
			case column == "symbol" || column == "trade_date":
			case stays && is[column] != old:
				out = append(out, fmt.Sprintf("%s %s %s %s: %s -> %s changed %s", dataset, row["symbol"], row["trade_date"], column, plain(old), plain(is[column]), run))
			case !stays && old != "NULL":
				out = append(out, fmt.Sprintf("%s %s %s %s: %s -> NULL dropped %s", dataset, row["symbol"], row["trade_date"], column, plain(old), run))
			}
		}
	}
	slices.Sort(out)
	return out
}

// plain formats a number of a dump without an exponent.
func plain(text string) string {
	if x, err := strconv.ParseFloat(text, 64); err == nil {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return text
}

func oldValuesAreKept(t *testing.T, h Harness) {
	s := h.open(t, h.path(t))
	symbols := Stocks(6)
	b := Rows(catalog.DailyBasic, Day0, symbols, 1)
	for i := range b.Columns {
		clear(b.Columns[i].Null)
	}
	b.Column("pe").Null[1] = true
	b.Column("total_share").Numbers[2] = 125620.1978
	commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, b, 10))

	next := b.Select([]int{0, 1, 2, 3, 4}) // the sixth row is removed
	next.Column("pb").Numbers[0], next.Column("pb").Null[0] = 0, true
	next.Column("pe").Numbers[1], next.Column("pe").Null[1] = 0, false
	next.Column("total_share").Numbers[2] = 1256201.978
	began := time.Now().Truncate(time.Millisecond)
	got := commitAll(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, next, 11))
	want := taken(catalog.DailyBasic, b, next, "run-11")
	if len(want) != 3+16 {
		t.Fatalf("the test expects %d revisions", len(want))
	}
	kept := revisions(t, s, everything())
	if diff := cmp.Diff(want, lines(kept)); diff != "" {
		t.Errorf("what was kept differs: %s", diff)
	}
	for _, r := range kept {
		if r.SeenAt.Before(began) || r.SeenAt.After(time.Now()) {
			t.Errorf("%s was seen at %s", line(r), r.SeenAt)
		}
	}
	if got.Revised.Cells != int64(len(want)) || got.Revised.Of != 6 {
		t.Errorf("the commit returned %+v, want %d values of 6 rows", got.Revised, len(want))
	}
	largest := fmt.Sprintf("daily_basic %s %s total_share: 125620.1978 -> 1256201.978 changed run-11", symbols[2], Day0)
	if line(got.Revised.Largest) != largest || got.Revised.Change < 8.99 || got.Revised.Change > 9.01 {
		t.Errorf("the largest is %s by %g, want %s by 9", line(got.Revised.Largest), got.Revised.Change, largest)
	}
	if i := slices.IndexFunc(kept, func(r ingest.Revision) bool { return line(r) == largest }); i < 0 || kept[i] != got.Revised.Largest {
		t.Errorf("the largest revision in the result is not the stored one")
	}

	// Commits that change no row keep no further revision.
	commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, next, 12))
	commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, nil, 13))
	if _, err := s.Commit(t.Context(), Commit(h.Pool, catalog.DailyBasic, Day0, symbols, b, 9)); !fault.Is(err, fault.StaleEpoch) {
		t.Fatalf("got %v, want STALE_EPOCH", err)
	}
	if again := revisions(t, s, everything()); !slices.Equal(again, kept) {
		t.Errorf("%d revisions after commits that changed nothing, want %d", len(again), len(kept))
	}
}

func firstFillKeepsNothing(t *testing.T, h Harness) {
	s := h.open(t, h.path(t))
	symbols := Stocks(20)
	for i := range 5 {
		date := Day0 + market.Date(i)
		got := commitAll(t, s, Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols, 1), 10))
		if got.Revised != (ingest.Revised{}) {
			t.Errorf("a first fill returned revisions: %+v", got.Revised)
		}
	}
	// Additional rows of a stored day keep no revision.
	some := Rows(catalog.Moneyflow, Day0, symbols[:5], 1)
	commit(t, s, Commit(h.Pool, catalog.Moneyflow, Day0, symbols, some, 10))
	commit(t, s, Commit(h.Pool, catalog.Moneyflow, Day0, symbols, mix(some, Rows(catalog.Moneyflow, Day0, symbols, 2)), 11))
	if kept := revisions(t, s, everything()); len(kept) != 0 {
		t.Errorf("kept %v, want nothing", lines(kept))
	}
}

func revisionsAreSelected(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(4)
	for seed := range uint64(3) {
		for i := range 3 {
			date := Day0 + market.Date(i)
			for _, dataset := range []string{catalog.Daily, catalog.DailyBasic} {
				commit(t, s, Commit(h.Pool, dataset, date, symbols, Rows(dataset, date, symbols, seed), int64(seed)+1))
			}
		}
	}
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, symbols), 1))
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, symbols[:3]), 2))
	all := revisions(t, s, everything())
	if len(all) < 300 {
		t.Fatalf("%d revisions, too few for this test", len(all))
	}
	closeSink(t, s)
	s = h.open(t, path)
	if again := revisions(t, s, everything()); !slices.Equal(all, again) {
		t.Errorf("%d revisions after reopening, want the same %d", len(again), len(all))
	}
	for name, q := range map[string]ingest.RevisionQuery{
		"dataset":     {Dataset: catalog.Daily, Start: market.NoDate, End: market.NoDate},
		"symbol":      {Symbol: symbols[1], Start: market.NoDate, End: market.NoDate},
		"run":         {RunID: "run-3", Start: market.NoDate, End: market.NoDate},
		"start":       {Start: Day0 + 1, End: market.NoDate},
		"end":         {Start: market.NoDate, End: Day0 + 1},
		"one day":     {Start: Day0 + 1, End: Day0 + 1},
		"together":    {Dataset: catalog.DailyBasic, Symbol: symbols[2], RunID: "run-2", Start: Day0, End: Day0 + 1},
		"nothing":     {Dataset: catalog.FundDaily, Start: market.NoDate, End: market.NoDate},
		"hostile":     {Symbol: "' OR 1=1 --", Start: market.NoDate, End: market.NoDate},
		"list's rows": {Dataset: catalog.StockBasic, Start: market.NoDate, End: market.NoDate},
	} {
		want := slices.DeleteFunc(slices.Clone(all), func(r ingest.Revision) bool {
			return q.Dataset != "" && r.Dataset != q.Dataset || q.Symbol != "" && r.Symbol != q.Symbol || q.RunID != "" && r.RunID != q.RunID ||
				q.Start != market.NoDate && (r.Date == market.NoDate || r.Date < q.Start) ||
				q.End != market.NoDate && (r.Date == market.NoDate || r.Date > q.End)
		})
		if (len(want) == 0) != (name == "nothing" || name == "hostile") {
			t.Fatalf("%s: %d revisions, too few for this test", name, len(want))
		}
		if got := revisions(t, s, q); !slices.Equal(got, want) {
			t.Errorf("%s: %d revisions, want %d", name, len(got), len(want))
		}
	}
	// Revisions that are added while pages are read do not move the pages.
	q := everything()
	q.Limit = 10
	first, err := s.Revisions(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 9), 50))
	q.Before = first[9].ID
	second, err := s.Revisions(t.Context(), q)
	if err != nil || !slices.Equal(second, all[10:20]) {
		t.Errorf("the second page changed: %v", err)
	}
	if newest := revisions(t, s, everything())[0]; newest.ID <= all[0].ID || newest.RunID != "run-50" {
		t.Errorf("the newest is %d of %s, after %d", newest.ID, newest.RunID, all[0].ID)
	}
	none := h.make(Options{Path: h.path(t)})
	defer closeSink(t, none)
	if got, err := none.Revisions(t.Context(), q); err != nil || len(got) != 0 {
		t.Errorf("a file that is not there has %v, %v", got, err)
	}
}

// revisionsAreWhole commits random batches concurrently, and compares the revisions with the
// differences between consecutive batches.
func revisionsAreWhole(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	rng := rand.New(rand.NewPCG(7, 7))
	stocks := Stocks(30)
	held, before := map[market.Date]*table.Batch{}, map[market.Date]*table.Batch{}
	var want []string
	for epoch := range int64(25) {
		errs := make(chan error)
		for i := range 6 {
			date := Day0 + market.Date(i)
			b := Rows(catalog.Moneyflow, date, stocks[:rng.IntN(31)], uint64(rng.IntN(3)))
			if old := held[date]; old != nil && rng.IntN(2) == 0 { // a few cells only
				b = old.Select(seq(old.Len))
				for range rng.IntN(4) {
					if c := &b.Columns[2+rng.IntN(len(b.Columns)-2)]; b.Len > 0 {
						c.Numbers[rng.IntN(b.Len)] += 0.01
					}
				}
			}
			before[date], held[date] = held[date], b
			c := Commit(h.Pool, catalog.Moneyflow, date, stocks, b, epoch+1)
			if before[date] != nil {
				want = append(want, taken(catalog.Moneyflow, before[date], b, c.RunID)...)
			}
			go func() { _, err := s.Commit(t.Context(), c); errs <- err }()
		}
		for range 6 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
	}
	slices.Sort(want)
	got := lines(revisions(t, s, everything()))
	if !slices.Equal(got, want) {
		t.Errorf("%d revisions differ from the expected %d: %s", len(got), len(want), cmp.Diff(want, got))
	}
	agree(t, s)
}

func listsAreRevisedToo(t *testing.T, h Harness) {
	s := h.open(t, h.path(t))
	stocks := Stocks(5)
	list := List(catalog.StockBasic, stocks)
	list.Column("fullname").Texts[1], list.Column("fullname").Null[1] = "", false // an empty text is not null
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, list, 1))
	commit(t, s, Snapshot(h.Pool, catalog.TradeCal, CalendarDays(5), 1))
	next := list.Select(seq(4))
	next.Column("name").Texts[0] = "*ST 又一个名字"
	next.Column("fullname").Null[1] = true
	next.Column("delist_date").Dates[2], next.Column("delist_date").Null[2] = Day0, false
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, next, 2))
	days := CalendarDays(5)
	days.Column("is_open").Numbers[3] = 0
	commit(t, s, Snapshot(h.Pool, catalog.TradeCal, days, 2))
	// The name is longer than a string that DuckDB stores inline.
	want := []string{
		"stock_basic " + stocks[0] + "  name: 一个比十二字节长的名字 0 -> *ST 又一个名字 changed run-2",
		"stock_basic " + stocks[1] + "  fullname:  -> NULL changed run-2",
		"stock_basic " + stocks[2] + "  delist_date: NULL -> " + Day0.String() + " changed run-2",
		"stock_basic " + stocks[4] + "  list_date: 2001-08-27 -> NULL dropped run-2",
		"stock_basic " + stocks[4] + "  list_status: L -> NULL dropped run-2",
		"stock_basic " + stocks[4] + "  name: 一个比十二字节长的名字 4 -> NULL dropped run-2",
		"trade_cal SSE " + (Day0 + 3).String() + " is_open: 1 -> 0 changed run-2",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, lines(revisions(t, s, everything()))); diff != "" {
		t.Errorf("what was kept of the lists differs: %s", diff)
	}
}

// firstReleaseIsMigrated checks that a file without the table of revisions gets it, and loses
// nothing.
func firstReleaseIsMigrated(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(8)
	b := Rows(catalog.Daily, Day0, symbols, 1)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, b, 5))
	before := records(t, s)
	closeSink(t, s)
	for _, statement := range h.First {
		h.Exec(t, path, statement)
	}
	s = h.open(t, path)
	if diff := cmp.Diff(before, records(t, s)); diff != "" {
		t.Errorf("coverage differs: %s", diff)
	}
	if agree(t, s) != 8 {
		t.Error("rows are missing")
	}
	next := Rows(catalog.Daily, Day0, symbols, 2)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, next, 6))
	if got, want := lines(revisions(t, s, everything())), taken(catalog.Daily, b, next, "run-6"); !slices.Equal(got, want) {
		t.Errorf("kept %s", cmp.Diff(want, got))
	}
	closeSink(t, s)
	if rows := h.Dump(t, path, "revisions"); len(rows) == 0 || !strings.HasPrefix(rows[0]["trade_date"], Day0.String()) {
		t.Errorf("the file's table of revisions has %d rows", len(rows))
	}
	// A damaged file of the first release is refused and not changed.
	h.Exec(t, path, "DROP TABLE rejects")
	for _, statement := range h.First {
		h.Exec(t, path, statement)
	}
	bad := h.make(Options{Path: path})
	defer closeSink(t, bad)
	if err := bad.Open(t.Context()); !fault.Is(err, h.Unfit) {
		t.Errorf("Open of a file without its rejects: %v, want %s", err, h.Unfit)
	}
}
