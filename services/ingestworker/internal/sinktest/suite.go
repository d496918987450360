package sinktest

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Run runs all tests of the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, Harness){
		"CommitIsWhole":           commitIsWhole,
		"RepeatGivesTheSame":      repeatGivesTheSame,
		"ReplacingIsCounted":      replacingIsCounted,
		"EmptyAnswerTakesAway":    emptyAnswerTakesAway,
		"NoBatchKeepsRows":        noBatchKeepsRows,
		"AlteredRowsAreSeen":      alteredRowsAreSeen,
		"OlderEpochIsRefused":     olderEpochIsRefused,
		"CancelLeavesNoTrace":     cancelLeavesNoTrace,
		"NullIsNotZero":           nullIsNotZero,
		"RejectsAreReplaced":      rejectsAreReplaced,
		"ReopeningKeepsCoverage":  reopeningKeepsCoverage,
		"KindsDoNotTouch":         kindsDoNotTouch,
		"ReferencesAreReplaced":   referencesAreReplaced,
		"ManyAtOnce":              manyAtOnce,
		"AnyOrderAnyRepetition":   anyOrderAnyRepetition,
		"MalformedIsRefused":      malformedIsRefused,
		"SourceIsStamped":         sourceIsStamped,
		"SecondWorkerIsRefused":   secondWorkerIsRefused,
		"OtherProgramIsRefused":   otherProgramIsRefused,
		"UnfitFilesAreRefused":    unfitFilesAreRefused,
		"NoRoomIsTold":            noRoomIsTold,
		"CoverageWithoutFile":     coverageWithoutFile,
		"ReleaseLetsOthersIn":     releaseLetsOthersIn,
		"ClosedSinkRefuses":       closedSinkRefuses,
		"DeletedWhileOpen":        deletedWhileOpen,
		"DeletedUnnoticed":        deletedUnnoticed,
		"DeletedWhileClosed":      deletedWhileClosed,
		"ReplacedWhileOpen":       replacedWhileOpen,
		"ReplacedWhileClosed":     replacedWhileClosed,
		"CopiedOverWhileClosed":   copiedOverWhileClosed,
		"LinkStaysOne":            linkStaysOne,
		"CoverageIsFilteredRight": coverageIsFilteredRight,
		"OldValuesAreKept":        oldValuesAreKept,
		"FirstFillKeepsNothing":   firstFillKeepsNothing,
		"RevisionsAreSelected":    revisionsAreSelected,
		"RevisionsAreWhole":       revisionsAreWhole,
		"ListsAreRevisedToo":      listsAreRevisedToo,
		"NewCodesAreFollowed":     newCodesAreFollowed,
		"RowsOfAnEarlierCodeMove": rowsOfAnEarlierCodeMove,
		"CodesAreNotMixedUp":      codesAreNotMixedUp,
		"FirstReleaseIsMigrated":  firstReleaseIsMigrated,
	} {
		t.Run(name, func(t *testing.T) { test(t, h) })
	}
}

func commitIsWhole(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(40)
	b := Rows(catalog.DailyBasic, Day0, symbols, 1)
	c := Commit(h.Pool, catalog.DailyBasic, Day0, symbols, b, 10)
	c.Rejects = []coverage.Reject{{Key: coverage.Key{Dataset: catalog.DailyBasic, Date: Day0, Symbol: "600000.SH"}, Reason: "negative volume", Row: `{"vol":-1}`, RejectedAt: committed}}
	c.Records[0].Rejected, c.Records[0].Unknown = 1, 2
	c.Records[0].Issues = []fault.Issue{fault.NewIssue(fault.RowsRejected, "One row.", "count", "1")}
	if got, want := commit(t, s, c), (counts{New: 40}); got != want {
		t.Errorf("changes = %+v, want %+v", got, want)
	}
	for k, r := range records(t, s) {
		if r.Epoch != 10 || r.RunID != "run-10" || !r.CommittedAt.Equal(committed) {
			t.Errorf("record %v = %+v", k, r)
		}
		if got, ok := s.Held(k); !ok || !cmp.Equal(got, r) {
			t.Errorf("Held(%v) differs from Coverage", k)
		}
	}
	if held := agree(t, s); held != 40 {
		t.Errorf("the file holds %d rows, want 40", held)
	}
	first, _ := s.Held(c.Records[0].Key)
	if first.Rejected != 1 || first.Unknown != 2 || len(first.Issues) != 1 || first.Issues[0].Meta["count"] != "1" || first.ByExchange.Sum() != first.Rows {
		t.Errorf("first record = %+v", first)
	}
	closeSink(t, s)
	if got, want := h.Dump(t, path, catalog.TableBasics), rowsOf(catalog.DailyBasic, b); !cmp.Equal(got, want) {
		t.Errorf("rows differ: %s", cmp.Diff(want, got))
	}
	rejects := h.Dump(t, path, "rejects")
	if len(rejects) != 1 || rejects[0]["reason"] != "negative volume" || rejects[0]["row_json"] != `{"vol":-1}` || rejects[0]["symbol"] != "600000.SH" {
		t.Errorf("rejects = %v", rejects)
	}
}

func repeatGivesTheSame(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(30)
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 10)
	c.Rejects = []coverage.Reject{{Key: coverage.Key{Dataset: catalog.Daily, Date: Day0}, Reason: "high < low", Row: "{}", RejectedAt: committed}}
	commit(t, s, c)
	before := records(t, s)
	closeSink(t, s)
	rows, rejects := h.Dump(t, path, catalog.TablePrices), h.Dump(t, path, "rejects")

	s = h.open(t, path)
	for range 3 {
		if got := commit(t, s, c); got != (counts{}) {
			t.Errorf("a repetition changed %+v", got)
		}
	}
	ignore := cmpopts.IgnoreFields(coverage.Record{}, "New", "Changed", "Gone")
	if diff := cmp.Diff(before, records(t, s), ignore); diff != "" {
		t.Errorf("coverage differs: %s", diff)
	}
	closeSink(t, s)
	if diff := cmp.Diff(rows, h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
	if diff := cmp.Diff(rejects, h.Dump(t, path, "rejects")); diff != "" {
		t.Errorf("rejects differ: %s", diff)
	}
}

func replacingIsCounted(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(20)
	b := Rows(catalog.Moneyflow, Day0, symbols[:18], 1)
	commit(t, s, Commit(h.Pool, catalog.Moneyflow, Day0, symbols, b, 10))

	// Three rows are removed and two added. One gets another value, one null instead of a value,
	// and one 0 instead of null.
	next := Rows(catalog.Moneyflow, Day0, symbols, 1)
	var keep []int
	for i := range next.Len {
		if i >= 3 {
			keep = append(keep, i)
		}
	}
	next = mix(b, next).Select(keep)
	net := next.Column("net_mf_amount")
	net.Numbers[0], net.Null[0] = 12345.67, false
	vol := next.Column("buy_sm_vol")
	vol.Numbers[1], vol.Null[1] = 0, !vol.Null[1]
	amount := next.Column("buy_lg_amount")
	if amount.Null[2] {
		amount.Null[2] = false
	} else {
		amount.Numbers[2] += 0.01
	}
	c := Commit(h.Pool, catalog.Moneyflow, Day0, symbols, next, 11)
	if got, want := commit(t, s, c), (counts{New: 2, Changed: 3, Gone: 3}); got != want {
		t.Errorf("changes = %+v, want %+v", got, want)
	}
	var sum counts
	for _, r := range records(t, s) {
		sum.New, sum.Changed, sum.Gone = sum.New+r.New, sum.Changed+r.Changed, sum.Gone+r.Gone
	}
	if want := (counts{New: 2, Changed: 3, Gone: 3}); sum != want {
		t.Errorf("coverage tells %+v, want %+v", sum, want)
	}
	closeSink(t, s)
	if got, want := h.Dump(t, path, catalog.TableMoneyflows), rowsOf(catalog.Moneyflow, next); !cmp.Equal(got, want) {
		t.Errorf("rows differ: %s", cmp.Diff(want, got))
	}
}

// mix returns the rows of b, followed by those of more that b does not have.
func mix(b, more *table.Batch) *table.Batch {
	out := b.Select(seq(b.Len))
	for i := b.Len; i < more.Len; i++ {
		for c := range out.Columns {
			out.Columns[c].AppendFrom(&more.Columns[c], i)
		}
		out.Len++
	}
	return out
}

func seq(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func emptyAnswerTakesAway(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(12)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 10))
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0+1, symbols, Rows(catalog.Daily, Day0+1, symbols, 1), 10))
	got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, nil, 1), 11))
	if want := (counts{Gone: 12}); got != want {
		t.Errorf("changes = %+v, want %+v", got, want)
	}
	closeSink(t, s)
	if rows := h.Dump(t, path, catalog.TablePrices); len(rows) != 12 {
		t.Errorf("%d rows left, want the 12 of the other day", len(rows))
	}
}

func noBatchKeepsRows(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(12)
	b := Rows(catalog.Daily, Day0, symbols, 1)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, b, 10))
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, nil, 11)
	if got := commit(t, s, c); got != (counts{}) {
		t.Errorf("changes = %+v, want none", got)
	}
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0+1, symbols, nil, 11)) // nothing was stored
	var held int64
	for k, r := range records(t, s) {
		if held += r.Rows; r.Epoch != 11 {
			t.Errorf("record %v keeps epoch %d", k, r.Epoch)
		}
	}
	if held != 12 {
		t.Errorf("coverage holds %d rows, want the 12 that are still there", held)
	}
	agree(t, s)
	// The next commit finds the rows and replaces them.
	if got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, b, 12)); got != (counts{}) {
		t.Errorf("changes = %+v, want none", got)
	}
	closeSink(t, s)
	if diff := cmp.Diff(rowsOf(catalog.Daily, b), h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
}

func olderEpochIsRefused(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(10)
	b := Rows(catalog.Daily, Day0, symbols, 1)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, symbols, b, 20))
	before := records(t, s)
	older := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 2), 19)
	older.Rejects = []coverage.Reject{{Key: coverage.Key{Dataset: catalog.Daily, Date: Day0}, Reason: "late", Row: "{}", RejectedAt: committed}}
	_, err := s.Commit(t.Context(), older)
	faulttest.Produces(t, err, fault.StaleEpoch)
	if f, ok := fault.As(err); !ok || f.Meta["epoch"] != "19" || f.Meta["newest_epoch"] != "20" {
		t.Fatalf("got %v, want STALE_EPOCH with both epochs", err)
	}
	older.Batch = nil
	if _, err := s.Commit(t.Context(), older); !fault.Is(err, fault.StaleEpoch) {
		t.Errorf("without a batch: %v, want STALE_EPOCH", err)
	}
	if diff := cmp.Diff(before, records(t, s)); diff != "" {
		t.Errorf("coverage differs: %s", diff)
	}
	closeSink(t, s)
	if diff := cmp.Diff(rowsOf(catalog.Daily, b), h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
	if rejects := h.Dump(t, path, "rejects"); len(rejects) != 0 {
		t.Errorf("rejects = %v, want none", rejects)
	}
}

func cancelLeavesNoTrace(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(50)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 10)
	if _, err := s.Commit(ended, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	if got := records(t, s); len(got) != 0 {
		t.Fatalf("coverage = %v, want none", got)
	}
	// A commit that is cancelled at any moment is either complete or absent, as its error says.
	for i := range 60 {
		date := Day0 + market.Date(i)
		c := Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols, 1), 10)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
		_, err := s.Commit(ctx, c)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("commit %d: %v", i, err)
		}
		want := int64(0)
		if err == nil {
			want = 50
		}
		var covered, rows int64
		for _, r := range c.Records {
			found, readErr := Contents(t.Context(), s, r.Key)
			if readErr != nil {
				t.Fatal(readErr)
			}
			held, _ := s.Held(r.Key)
			covered, rows = covered+held.Rows, rows+found.Rows
			if found.Hash != held.RowsHash {
				t.Fatalf("commit %d returned %v: %v has a different hash than its record", i, err, r.Key)
			}
		}
		if covered != want || rows != want {
			t.Fatalf("commit %d returned %v: coverage has %d rows, the tables %d", i, err, covered, rows)
		}
	}
}

func nullIsNotZero(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(3)
	b := Rows(catalog.DailyBasic, Day0, symbols, 1)
	for i, pe := 0, b.Column("pe"); i < 3; i++ {
		pe.Numbers[i], pe.Null[i] = 0, i == 1
	}
	commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, b, 10))
	again := b.Select(seq(3))
	again.Column("pe").Null[0] = true
	if got := commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, again, 11)); got != (counts{Changed: 1}) {
		t.Errorf("0 to null is %+v, want one changed row", got)
	}
	closeSink(t, s)
	rows := h.Dump(t, path, catalog.TableBasics)
	var got []string
	for _, symbol := range symbols {
		got = append(got, rows[slices.IndexFunc(rows, func(r Row) bool { return r["symbol"] == symbol })]["pe"])
	}
	if want := []string{"NULL", "NULL", "0"}; !slices.Equal(got, want) {
		t.Errorf("pe = %v, want %v", got, want)
	}
}

func rejectsAreReplaced(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(4)
	reject := func(date market.Date, reason string) coverage.Reject {
		return coverage.Reject{Key: coverage.Key{Dataset: catalog.Daily, Date: date, Symbol: symbols[0]}, Reason: reason, Row: `{"name":"名字"}`, RejectedAt: committed}
	}
	for i, reasons := range [][]string{{"a", "b"}, {"c"}, {"d"}} {
		date := Day0
		if i == 2 {
			date++
		}
		c := Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols, 1), int64(i+1))
		for _, r := range reasons {
			c.Rejects = append(c.Rejects, reject(date, r))
		}
		commit(t, s, c)
	}
	closeSink(t, s)
	var got []string
	for _, r := range h.Dump(t, path, "rejects") {
		got = append(got, r["reason"]+r["trade_date"])
	}
	slices.Sort(got)
	if want := []string{"c" + Day0.String(), "d" + (Day0 + 1).String()}; !slices.Equal(got, want) {
		t.Errorf("rejects = %v, want %v", got, want)
	}
}

func reopeningKeepsCoverage(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(5)
	for i := range 4 {
		date := Day0 + market.Date(i)
		c := Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols[:4], 1), int64(100+i))
		for n := range c.Records {
			r := &c.Records[n]
			if i == 1 {
				r.Verdict, r.AnswerHash, r.SameSince, r.SameDays, r.LastSame = coverage.Incomplete, 1<<63+uint64(n), Day0-3, 2, Day0
			}
			if i == 2 {
				r.Filtered, r.Rejected, r.Unknown = 1200, 3, 4
				r.Issues = []fault.Issue{fault.NewIssue(fault.UnknownSymbols, "四 symbols.", "count", "4"), fault.NewIssue(fault.Incomplete, "Short.")}
			}
		}
		commit(t, s, c)
	}
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, symbols), 7))
	before := records(t, s)
	closeSink(t, s)
	s = h.open(t, path)
	if diff := cmp.Diff(before, records(t, s)); diff != "" {
		t.Errorf("coverage differs: %s", diff)
	}
	if _, err := s.Commit(t.Context(), Commit(h.Pool, catalog.Daily, Day0, symbols, nil, 99)); !fault.Is(err, fault.StaleEpoch) {
		t.Errorf("an epoch older than before the reopening: %v, want STALE_EPOCH", err)
	}
}

func kindsDoNotTouch(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	stocks, etfs := Stocks(16), ETFs(14)
	stockRows, etfRows := Rows(catalog.Daily, Day0, stocks, 1), Rows(catalog.FundDaily, Day0, etfs, 1)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, stocks, stockRows, 10))
	commit(t, s, Commit(h.Pool, catalog.FundDaily, Day0, etfs, etfRows, 10))
	less := Rows(catalog.Daily, Day0, stocks[:15], 2)
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0, stocks, less, 11))
	if got := commit(t, s, Commit(h.Pool, catalog.FundDaily, Day0, etfs, etfRows, 11)); got != (counts{}) {
		t.Errorf("the ETFs changed with the stocks: %+v", got)
	}
	if got := commit(t, s, Commit(h.Pool, catalog.FundDaily, Day0, etfs, Rows(catalog.FundDaily, Day0, nil, 1), 12)); got != (counts{Gone: 14}) {
		t.Errorf("changes = %+v, want the ETFs gone", got)
	}
	closeSink(t, s)
	if diff := cmp.Diff(rowsOf(catalog.Daily, less), h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
}

func referencesAreReplaced(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	if cal, err := s.Calendar(t.Context()); err != nil || cal.First != market.NoDate || cal.Last != market.NoDate || len(cal.Open) != 0 {
		t.Fatalf("calendar of an empty file = %+v, %v", cal, err)
	}
	stocks, etfs := Stocks(20), ETFs(6)
	commit(t, s, Snapshot(h.Pool, catalog.TradeCal, CalendarDays(14), 1))
	commit(t, s, Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, stocks), 1))
	commit(t, s, Snapshot(h.Pool, catalog.FundBasic, List(catalog.FundBasic, etfs), 1))
	cal, err := s.Calendar(t.Context())
	if err != nil || cal.First != Day0 || cal.Last != Day0+13 || len(cal.Open) != 10 || !slices.IsSorted(cal.Open) {
		t.Errorf("calendar = %+v, %v", cal, err)
	}
	list, err := s.Instruments(t.Context())
	if err != nil || len(list) != 26 {
		t.Fatalf("%d instruments, %v; want 26", len(list), err)
	}
	for _, i := range list {
		if i.Kind != market.KindOf(i.Symbol) || i.Status != "L" || i.Name == "" || i.Listed != market.NewDate(2001, 8, 27) || i.Delisted != market.NoDate {
			t.Errorf("instrument = %+v", i)
		}
	}
	if got := commit(t, s, Snapshot(h.Pool, catalog.StockBasic, List(catalog.StockBasic, stocks[:19]), 2)); got != (counts{Gone: 1}) {
		t.Errorf("changes = %+v, want one gone", got)
	}
	if got := commit(t, s, Snapshot(h.Pool, catalog.TradeCal, CalendarDays(15), 2)); got != (counts{New: 1}) {
		t.Errorf("changes = %+v, want one new", got)
	}
	if list, err = s.Instruments(t.Context()); err != nil || len(list) != 25 {
		t.Errorf("%d instruments, %v; want 25", len(list), err)
	}
	if cal, err = s.Calendar(t.Context()); err != nil || cal.Last != Day0+14 {
		t.Errorf("calendar ends %v, %v", cal.Last, err)
	}
	for dataset, want := range map[string]int64{catalog.StockBasic: 19, catalog.FundBasic: 6, catalog.TradeCal: 15} {
		key := coverage.Key{Dataset: dataset, Date: market.NoDate}
		if held, _ := s.Held(key); held.Rows != want {
			t.Errorf("%s: %d rows are covered, want %d", dataset, held.Rows, want)
		}
	}
	if held := agree(t, s); held != 19+6+15 {
		t.Errorf("the file holds %d rows, want 40", held)
	}
}

func manyAtOnce(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(60)
	var group sync.WaitGroup
	datasets := []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow}
	for i := range 48 {
		group.Go(func() {
			date, dataset := Day0+market.Date(i/3), datasets[i%3]
			c := Commit(h.Pool, dataset, date, symbols, Rows(dataset, date, symbols, 1), 10)
			if changes, err := s.Commit(t.Context(), c); err != nil || changes.New != 60 {
				t.Errorf("%s: %+v, %v", c.Partition.ID, changes, err)
			}
			for k := range records(t, s) {
				_, _ = s.Held(k)
			}
		})
	}
	group.Wait()
	closeSink(t, s)
	for _, name := range []string{catalog.TablePrices, catalog.TableBasics, catalog.TableMoneyflows} {
		if rows := h.Dump(t, path, name); len(rows) != 16*60 {
			t.Errorf("%s has %d rows, want %d", name, len(rows), 16*60)
		}
	}
}

func anyOrderAnyRepetition(t *testing.T, h Harness) {
	for seed := range uint64(3) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		messy, clean := filepath.Join(dir, "messy-"+h.File), filepath.Join(dir, "clean-"+h.File)
		s := h.open(t, messy)
		stocks, etfs := Stocks(25), ETFs(9)
		last := make(map[string]ingest.Commit)
		for epoch := range int64(150) {
			dataset := []string{catalog.Daily, catalog.FundDaily, catalog.DailyBasic}[rng.IntN(3)]
			date, symbols := Day0+market.Date(rng.IntN(5)), stocks
			if dataset == catalog.FundDaily {
				symbols = etfs
			}
			// Other values, fewer rows, or the same rows as earlier.
			some := symbols[:rng.IntN(len(symbols)+1)]
			c := Commit(h.Pool, dataset, date, symbols, Rows(dataset, date, some, uint64(rng.IntN(3))), epoch+1)
			commit(t, s, c)
			last[c.Partition.ID] = c
			if rng.IntN(3) == 0 { // a response with fewer rows than are stored
				commit(t, s, Commit(h.Pool, dataset, date, symbols, nil, epoch+1))
			}
		}
		agree(t, s)
		closeSink(t, s)
		s = h.open(t, messy)
		agree(t, s) // also with the records in the file
		hashes := hashesOf(t, s)
		closeSink(t, s)
		s = h.open(t, clean)
		for _, c := range last {
			commit(t, s, c)
		}
		if diff := cmp.Diff(hashesOf(t, s), hashes); diff != "" {
			t.Errorf("seed %d: the hashes are not those of what was committed last: %s", seed, diff)
		}
		closeSink(t, s)
		for _, name := range []string{catalog.TablePrices, catalog.TableBasics} {
			if diff := cmp.Diff(h.Dump(t, clean, name), h.Dump(t, messy, name)); diff != "" {
				t.Fatalf("seed %d: %s is not what was committed last: %s", seed, name, diff)
			}
		}
	}
}

func hashesOf(t *testing.T, s ingest.Sink) map[coverage.Key]uint64 {
	t.Helper()
	out := make(map[coverage.Key]uint64)
	for k, r := range records(t, s) {
		out[k] = r.RowsHash
	}
	return out
}

func malformedIsRefused(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(4)
	good := func() ingest.Commit {
		return Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 10)
	}
	for name, spoil := range map[string]func(c *ingest.Commit){
		"another pool":         func(c *ingest.Commit) { c.Partition.Pool = "other" },
		"unknown dataset":      func(c *ingest.Commit) { c.Partition.Dataset = "drop table" },
		"no record":            func(c *ingest.Commit) { c.Records = nil },
		"record of another":    func(c *ingest.Commit) { c.Records[0].Date++ },
		"row of another date":  func(c *ingest.Commit) { c.Batch.Column("trade_date").Dates[1]++ },
		"key twice":            func(c *ingest.Commit) { c.Batch.Column("ts_code").Texts[1] = symbols[0] },
		"no key":               func(c *ingest.Commit) { c.Batch.Column("ts_code").Texts[1] = "" },
		"ETF among stocks":     func(c *ingest.Commit) { c.Batch.Column("ts_code").Texts[1] = "510300.SH" },
		"column missing":       func(c *ingest.Commit) { c.Batch.Columns = c.Batch.Columns[:5] },
		"column of other size": func(c *ingest.Commit) { c.Batch.Columns[4].Numbers = nil },
		"no UTF-8":             func(c *ingest.Commit) { c.Batch.Column("ts_code").Texts[1] = "6\xff" },
		"span turned round":    func(c *ingest.Commit) { c.Partition.End-- },
	} {
		c := good()
		spoil(&c)
		if _, err := s.Commit(t.Context(), c); !fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v, want INTERNAL", name, err)
		}
	}
	if got := records(t, s); len(got) != 0 {
		t.Errorf("coverage = %v, want none", got)
	}
	commit(t, s, good())
}

func coverageIsFilteredRight(t *testing.T, h Harness) {
	s := h.open(t, h.path(t))
	symbols := Stocks(2)
	for i := range 4 {
		for _, dataset := range []string{catalog.Daily, catalog.Moneyflow} {
			date := Day0 + market.Date(i)
			commit(t, s, Commit(h.Pool, dataset, date, symbols, Rows(dataset, date, symbols, 1), 1))
		}
	}
	commit(t, s, Snapshot(h.Pool, catalog.TradeCal, CalendarDays(3), 1))
	dates := func(datasets []string, start, end market.Date) (n, snapshots int) {
		seen := make(map[coverage.Key]bool)
		err := s.Coverage(t.Context(), datasets, start, end, func(r coverage.Record) bool {
			if r.Date == market.NoDate {
				snapshots++
			}
			seen[coverage.Key{Dataset: r.Dataset, Date: r.Date}] = true
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return len(seen), snapshots
	}
	for _, c := range []struct {
		datasets   []string
		start, end market.Date
		want, refs int
	}{
		{nil, market.NoDate, market.NoDate, 9, 1},
		{[]string{catalog.Daily}, market.NoDate, market.NoDate, 4, 0},
		{nil, Day0 + 1, Day0 + 2, 4, 0},
		{nil, Day0 + 3, market.NoDate, 2, 0},
		{[]string{catalog.Moneyflow, catalog.TradeCal}, market.NoDate, Day0, 1, 0},
		{[]string{catalog.TradeCal}, market.NoDate, market.NoDate, 1, 1},
		{[]string{catalog.FundDaily}, market.NoDate, market.NoDate, 0, 0},
	} {
		if got, refs := dates(c.datasets, c.start, c.end); got != c.want || refs != c.refs {
			t.Errorf("%v %s..%s: %d partitions, %d lists; want %d, %d", c.datasets, c.start, c.end, got, refs, c.want, c.refs)
		}
	}
	calls := 0
	if err := s.Coverage(t.Context(), nil, market.NoDate, market.NoDate, func(coverage.Record) bool { calls++; return false }); err != nil || calls != 1 {
		t.Errorf("yield was called %d times, %v; want once, because it returned false", calls, err)
	}
}

func sourceIsStamped(t *testing.T, h Harness) {
	path := h.path(t)
	symbols := Stocks(3)
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 10)
	with := func(o Options) (ingest.Sink, error) {
		o.Path = path
		s := h.make(o)
		t.Cleanup(func() { closeSink(t, s) })
		return s, s.Open(t.Context())
	}
	s, err := with(Options{})
	if err != nil {
		t.Fatal(err)
	}
	closeSink(t, s)
	if s, err = with(Options{Source: "simulator.example"}); err != nil {
		t.Fatalf("a file without rows takes any source: %v", err)
	}
	commit(t, s, c)
	closeSink(t, s)
	s, err = with(Options{})
	f, ok := fault.As(err)
	if !ok || f.Reason != fault.SourceMismatch || f.Meta["file_source"] != "simulator.example" || f.Meta["configured_source"] != Source || f.Meta["file"] != h.File {
		t.Fatalf("got %v %+v, want SOURCE_MISMATCH with both hosts", err, f)
	}
	if _, err := s.Commit(t.Context(), c); !fault.Is(err, fault.SourceMismatch) {
		t.Errorf("Commit: %v, want SOURCE_MISMATCH", err)
	}
	if got := records(t, s); len(got) == 0 {
		t.Error("coverage of a file of another source cannot be read")
	}
	closeSink(t, s)
	if s, err = with(Options{AcceptSource: true}); err != nil {
		t.Fatalf("with AcceptSource: %v", err)
	}
	closeSink(t, s)
	if s, err = with(Options{}); err != nil {
		t.Errorf("after it was accepted: %v", err)
	}
	closeSink(t, s)
	if rows := h.Dump(t, path, catalog.TablePrices); len(rows) != 3 {
		t.Errorf("%d rows left, want 3", len(rows))
	}
}

func secondWorkerIsRefused(t *testing.T, h Harness) {
	path := h.path(t)
	first := h.open(t, path)
	second := h.make(Options{Path: path})
	defer closeSink(t, second)
	refused := func(when string) {
		t.Helper()
		err := second.Open(t.Context())
		if f, ok := fault.As(err); !ok || f.Reason != h.Locked || f.Meta["holder_pid"] == "" || f.Meta["pool"] != string(h.Pool) {
			t.Errorf("%s: %v, want %s with the pid", when, err, h.Locked)
		}
	}
	refused("while open")
	first.Release()
	refused("after Release")
	closeSink(t, first)
	if err := second.Open(t.Context()); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func otherProgramIsRefused(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := Stocks(2)
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 1)
	commit(t, s, c)
	closeSink(t, s)
	release, err := h.Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	s = h.make(Options{Path: path})
	defer closeSink(t, s)
	if err := s.Open(t.Context()); !fault.Is(err, h.Locked) {
		t.Fatalf("got %v, want %s", err, h.Locked)
	}
	release()
	if err := s.Open(t.Context()); err != nil {
		t.Fatalf("after the other program released the lock: %v", err)
	}
	commit(t, s, c)
}

func unfitFilesAreRefused(t *testing.T, h Harness) {
	refused := func(name, path string) {
		t.Helper()
		s := h.make(Options{Path: path})
		defer closeSink(t, s)
		err := s.Open(t.Context())
		if f, ok := fault.As(err); !ok || f.Reason != h.Unfit || f.Meta["cause"] == "" || f.Meta["file"] != filepath.Base(path) {
			t.Errorf("%s: %v, want %s with its cause", name, err, h.Unfit)
		}
	}
	write := func(path string, data []byte, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, data, mode); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	write(text, slices.Repeat([]byte("this is a letter and no database\n"), 1000), 0o644)
	refused("text", text)
	refused("missing folder", filepath.Join(dir, "none", "x"))
	refused("folder", dir)

	path := filepath.Join(dir, h.File)
	s := h.open(t, path)
	symbols := Stocks(50)
	for i := range 10 {
		date := Day0 + market.Date(i)
		commit(t, s, Commit(h.Pool, catalog.Daily, date, symbols, Rows(catalog.Daily, date, symbols, 1), 1))
	}
	closeSink(t, s)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	corrupt := slices.Clone(sound)
	for i := range min(len(corrupt), 16384) {
		corrupt[i] ^= 0x5a
	}
	write(path, corrupt, 0o644)
	refused("corrupt", path)
	write(path, sound[:len(sound)/3], 0o644)
	refused("cut off", path)
	write(path, sound, 0o644)
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	refused("read-only", path)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	write(empty, nil, 0o644)
	for _, fit := range []string{path, empty} {
		s := h.make(Options{Path: fit})
		if err := s.Open(t.Context()); err != nil {
			t.Errorf("%s: %v", filepath.Base(fit), err)
		}
		closeSink(t, s)
	}
}

func noRoomIsTold(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.make(Options{Path: path, MinFree: 1 << 60})
	defer closeSink(t, s)
	err := s.Open(t.Context())
	if f, ok := fault.As(err); !ok || f.Reason != fault.DiskFull || f.Meta["free_bytes"] == "" || f.Meta["needed_bytes"] != "1152921504606846976" {
		t.Errorf("got %v, want DISK_FULL with both numbers", err)
	}
	symbols := Stocks(2)
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, Rows(catalog.Daily, Day0, symbols, 1), 1)
	if _, err := s.Commit(t.Context(), c); !fault.Is(err, fault.DiskFull) {
		t.Errorf("Commit: %v, want DISK_FULL", err)
	}
}

func coverageWithoutFile(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.make(Options{Path: path})
	defer closeSink(t, s)
	if got := records(t, s); len(got) != 0 {
		t.Errorf("coverage = %v, want none", got)
	}
	if _, ok := s.Held(coverage.Key{Dataset: catalog.Daily, Date: Day0}); ok {
		t.Error("Held returned a record without a file")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reading coverage created the file: %v", err)
	}
}

func releaseLetsOthersIn(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.make(Options{Path: path, Idle: time.Nanosecond})
	defer closeSink(t, s)
	symbols := Stocks(6)
	b := Rows(catalog.Daily, Day0, symbols, 1)
	c := Commit(h.Pool, catalog.Daily, Day0, symbols, b, 1)
	commit(t, s, c)
	s.Release()
	if diff := cmp.Diff(rowsOf(catalog.Daily, b), h.Dump(t, path, catalog.TablePrices)); diff != "" {
		t.Errorf("rows differ: %s", diff)
	}
	release, err := h.Hold(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := records(t, s); len(got) != len(c.Records) {
		t.Errorf("%d records while another program has the file, want %d", len(got), len(c.Records))
	}
	if _, ok := s.Held(c.Records[0].Key); !ok {
		t.Error("Held returned nothing while another program had the file")
	}
	release()
	if got := commit(t, s, c); got != (counts{}) {
		t.Errorf("changes = %+v, want none", got)
	}
}

func closedSinkRefuses(t *testing.T, h Harness) {
	s := h.open(t, h.path(t))
	closeSink(t, s)
	closeSink(t, s)
	s.Release()
	symbols := Stocks(2)
	_, err := s.Commit(t.Context(), Commit(h.Pool, catalog.Daily, Day0, symbols, nil, 1))
	faulttest.Produces(t, err, fault.StoreFailed)
	if err := s.Open(t.Context()); !fault.Is(err, fault.StoreFailed) {
		t.Errorf("Open: %v, want STORE_FAILED", err)
	}
}
