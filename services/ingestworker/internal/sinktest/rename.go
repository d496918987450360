package sinktest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// company is a row of an instrument list.
type company struct {
	code, name string
	listed     market.Date
}

func listOf(companies ...company) *table.Batch {
	codes := make([]string, len(companies))
	for i, c := range companies {
		codes[i] = c.code
	}
	b := List(catalog.StockBasic, codes)
	for i, c := range companies {
		b.Column("name").Texts[i], b.Column("name").Null[i] = c.name, c.name == ""
		b.Column("list_date").Dates[i], b.Column("list_date").Null[i] = c.listed, c.listed == market.NoDate
	}
	return b
}

var (
	listDay = market.NewDate(2021, 3, 1)
	stays   = company{"600000.SH", "浦发银行", market.NewDate(1999, 11, 10)}
	before  = company{"830799.BJ", "艾融软件", listDay}
	after   = company{"920799.BJ", "艾融软件", listDay}
)

func codes(r []ingest.Rename) (out []string) {
	for _, x := range r {
		out = append(out, x.Old+" "+x.New)
	}
	return out
}

// newCodesAreFollowed gives a stored company a new code. In universe its rows move to the new
// code at once; in targets they stay, because the user's list has the old code.
func newCodesAreFollowed(t *testing.T, h Harness) {
	path := h.path(t)
	s := h.open(t, path)
	symbols := []string{stays.code, before.code}
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, before), 1))
	const days = 15
	held := map[string]map[market.Date]*table.Batch{}
	for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		held[dataset] = map[market.Date]*table.Batch{}
		for i := range days {
			date := Day0 + market.Date(i)
			b := Rows(dataset, date, symbols, 1)
			held[dataset][date] = b
			c := Commit(h.Pool, dataset, date, symbols, b, 5)
			if i == 3 {
				c.Rejects = []coverage.Reject{{Key: coverage.Key{Dataset: dataset, Date: date}, Reason: "bad", Row: "{}", RejectedAt: committed}}
			}
			commit(t, s, c)
		}
	}
	was := records(t, s)
	// The provider has the newest date only under the new code, and one date under both.
	newest, both := Day0+days-1, Day0+4
	if h.Pool == market.Universe {
		rekeyed := held[catalog.Daily][newest].Select([]int{0, 1})
		rekeyed.Column("ts_code").Texts[1] = after.code
		commit(t, s, Commit(h.Pool, catalog.Daily, newest, symbols, rekeyed, 6))
		two := mix(held[catalog.Daily][both], Rows(catalog.Daily, both, append(slices.Clone(symbols), after.code), 2))
		commit(t, s, Commit(h.Pool, catalog.Daily, both, symbols, two, 6))
	}
	list := Snapshot(h.Pool, catalog.StockBasic, listOf(stays, after), 7)
	got := commitAll(t, s, list)
	if want := []string{before.code + " " + after.code}; !slices.Equal(codes(got.Renamed), want) {
		t.Fatalf("renamed = %+v, want %v", got.Renamed, want)
	}
	if got.Orphans.Rows != 0 {
		t.Errorf("rows are left over: %+v", got.Orphans)
	}
	check := func() {
		t.Helper()
		agree(t, s)
		instruments, err := s.Instruments(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lists := coverage.NewLists(instruments)
		if to, ok := lists.Renamed(before.code); !ok || to != after.code {
			t.Errorf("%s is known as %q, %v", before.code, to, ok)
		}
		if to, ok := lists.Renamed(after.code); ok {
			t.Errorf("%s is said to be %s", after.code, to)
		}
	}
	check()
	kept := lines(revisions(t, s, ingest.RevisionQuery{Dataset: catalog.StockBasic, Start: market.NoDate, End: market.NoDate}))
	if line := fmt.Sprintf("stock_basic %s  symbol: %s -> %s renamed run-7", before.code, before.code, after.code); !slices.Contains(kept, line) {
		t.Errorf("kept %v, want also %s", kept, line)
	}
	if h.Pool == market.Universe {
		if r := got.Renamed[0]; r.Moved != 3*days-2 || r.Twice != 1 {
			t.Errorf("%+v, want %d rows moved and 1 twice", r, 3*days-2)
		}
		for k, r := range records(t, s) {
			b := was[k]
			if k.Date != market.NoDate && k.Date != newest && k.Date != both && (r.Rows != b.Rows || r.ByExchange != b.ByExchange || r.Epoch != b.Epoch ||
				r.RunID != b.RunID || !r.CommittedAt.Equal(b.CommittedAt) || r.RowsHash == b.RowsHash) {
				t.Errorf("the record of %v became %+v from %+v", k, r, b)
			}
		}
		// The date that had both codes keeps the row of the new one. The values of the other are
		// kept as revisions.
		dropped := revisions(t, s, ingest.RevisionQuery{Dataset: catalog.Daily, Symbol: before.code, RunID: "run-7", Start: both, End: both})
		if len(dropped) == 0 || len(dropped) != len(revisions(t, s, ingest.RevisionQuery{Dataset: catalog.Daily, RunID: "run-7", Start: market.NoDate, End: market.NoDate})) {
			t.Errorf("%d values are kept of the row that was held twice", len(dropped))
		}
		// A refetch of an old date changes nothing.
		rekeyed := held[catalog.DailyBasic][Day0].Select([]int{0, 1})
		rekeyed.Column("ts_code").Texts[1] = after.code
		if got := commit(t, s, Commit(h.Pool, catalog.DailyBasic, Day0, symbols, rekeyed, 8)); got != (counts{}) {
			t.Errorf("a refetch of an old date changed %+v", got)
		}
	}
	list.Epoch, list.RunID = 9, "run-9"
	if again := commitAll(t, s, list); len(again.Renamed) != 0 {
		t.Errorf("the rename is reported again: %+v", again.Renamed)
	}
	closeSink(t, s)
	if rejects := h.Dump(t, path, "rejects"); len(rejects) != 3 {
		t.Errorf("%d rejects, want the 3 of before", len(rejects))
	}
	s = h.open(t, path)
	check()
	closeSink(t, s)
	if h.Pool != market.Universe {
		return
	}
	for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
		rows := h.Dump(t, path, catalog.Lookup(dataset).Table)
		want := map[string]Row{}
		for date, b := range held[dataset] {
			for _, row := range rowsOf(dataset, b) {
				if row["symbol"] == before.code {
					row["symbol"] = after.code
				}
				want[row["symbol"]+date.String()] = row
			}
		}
		for _, row := range rows {
			key := row["symbol"] + row["trade_date"]
			if expected, ok := want[key]; !ok || key != after.code+both.String() && !cmp.Equal(row, expected) {
				t.Errorf("%s %s is %v", dataset, key, row)
			}
			delete(want, key)
		}
		if len(want) != 0 || len(rows) != 2*days {
			t.Errorf("%s has %d rows and lacks %v", dataset, len(rows), want)
		}
	}
}

// codesAreNotMixedUp checks when a code must not be taken for the new code of another.
func codesAreNotMixedUp(t *testing.T, h Harness) {
	other := company{"430001.BJ", "另一个", listDay}
	for name, c := range map[string]struct {
		lists [][]company
		want  []string
	}{
		"another name":              {[][]company{{stays, before}, {stays, {after.code, "别的", listDay}}}, nil},
		"another day":               {[][]company{{stays, before}, {stays, {after.code, after.name, listDay + 1}}}, nil},
		"both are listed":           {[][]company{{stays, before}, {stays, before, after}}, nil},
		"no name":                   {[][]company{{stays, {before.code, "", listDay}}, {stays, {after.code, "", listDay}}}, nil},
		"no day":                    {[][]company{{stays, {before.code, before.name, market.NoDate}}, {stays, {after.code, after.name, market.NoDate}}}, nil},
		"two that it may be":        {[][]company{{stays, before}, {stays, after, {"920800.BJ", after.name, listDay}}}, nil},
		"two that it may have been": {[][]company{{stays, before, {other.code, before.name, listDay}}, {stays, after}}, nil},
		"the new one a day later":   {[][]company{{stays, before}, {stays}, {stays, after}}, []string{before.code + " " + after.code}},
		"the old one a day longer":  {[][]company{{stays, before}, {stays, before, after}, {stays, after}}, []string{before.code + " " + after.code}},
		"two at once": {[][]company{{stays, before, other}, {stays, after, {"920001.BJ", other.name, listDay}}},
			[]string{other.code + " 920001.BJ", before.code + " " + after.code}},
	} {
		s := h.open(t, h.path(t))
		var got []string
		for i, list := range c.lists {
			got = append(got, codes(commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(list...), int64(i+1))).Renamed)...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: renamed = %v, want %v", name, got, c.want)
		}
		closeSink(t, s)
	}
	if h.Pool != market.Universe {
		return
	}
	// Unexplained rows are reported each time the list is committed.
	s := h.open(t, h.path(t))
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays), 1))
	for i := range 3 {
		date := Day0 + market.Date(i)
		commit(t, s, Commit(h.Pool, catalog.Daily, date, nil, Rows(catalog.Daily, date, []string{stays.code, before.code, other.code}, 1), 2))
	}
	commit(t, s, Commit(h.Pool, catalog.FundDaily, Day0, nil, Rows(catalog.FundDaily, Day0, ETFs(3), 1), 2)) // these are not stocks
	for epoch := range int64(2) {
		got := commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays), 3+epoch)).Orphans
		if got.Rows != 6 || got.Symbols != 2 || !slices.Equal(got.Sample, []string{other.code, before.code}) {
			t.Errorf("strays = %+v", got)
		}
	}
	// A file that does not record the former code is repaired when one of the dates is fetched
	// again.
	rekeyed := Rows(catalog.Daily, Day0+1, []string{stays.code, before.code, other.code}, 1)
	for i := range rekeyed.Columns {
		if c := &rekeyed.Columns[i]; c.Numbers != nil {
			clear(c.Null)
		}
	}
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0+1, nil, rekeyed.Select(seq(3)), 5))
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, after), 6))
	again := rekeyed.Select(seq(3))
	again.Column("ts_code").Texts[1] = after.code
	got := commitAll(t, s, Commit(h.Pool, catalog.Daily, Day0+1, nil, again, 7))
	if !slices.Equal(codes(got.Renamed), []string{before.code + " " + after.code}) || got.Renamed[0].Moved != 3 || got.New+got.Gone+got.Changed != 0 || got.Revised.Cells != 0 {
		t.Errorf("the same prices under another code: %+v", got)
	}
	agree(t, s)
	if left := commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, after), 8)).Orphans; left.Symbols != 1 || left.Rows != 3 {
		t.Errorf("strays = %+v", left)
	}
	// Different prices mean another company, and a code on the list is not reassigned.
	again.Column("ts_code").Texts[2], again.Column("close").Numbers[2] = "920777.BJ", 1
	if got := commitAll(t, s, Commit(h.Pool, catalog.Daily, Day0+1, nil, again, 9)); len(got.Renamed) != 0 || got.New != 1 || got.Gone != 1 {
		t.Errorf("other prices under another code: %+v", got)
	}
	agree(t, s)
	closeSink(t, s)
}

// rowsOfAnEarlierCodeMove stores rows of a company under its new code, after others came under the
// old one. In targets, those of the same dates move then, so that none is there twice.
func rowsOfAnEarlierCodeMove(t *testing.T, h Harness) {
	if h.Pool != market.Targets {
		return // all rows have moved when the new code was known
	}
	path := h.path(t)
	s := h.open(t, path)
	old, current := []string{before.code, stays.code}, []string{after.code, stays.code}
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, before), 1))
	// Two rows of a date: one that has a new code later, and another.
	rows := func(date market.Date, code string, seed uint64) *table.Batch {
		b := Rows(catalog.Daily, date, old, seed)
		b.Column("ts_code").Texts[0] = code
		return b
	}
	const days = 8
	for i := range market.Date(days) {
		commit(t, s, Commit(h.Pool, catalog.Daily, Day0+i, old, rows(Day0+i, before.code, 1), 2))
	}
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, after), 3))
	holds := func(code string, want ...market.Date) {
		t.Helper()
		agree(t, s)
		var dates []market.Date
		for k, r := range records(t, s) {
			if k.Dataset == catalog.Daily && k.Symbol == code && r.Rows > 0 {
				dates = append(dates, k.Date-Day0)
			}
		}
		if slices.Sort(dates); !slices.Equal(dates, want) {
			t.Errorf("%s has rows on days %v, want %v", code, dates, want)
		}
	}
	revised := func(run, code string) int {
		t.Helper()
		return len(revisions(t, s, ingest.RevisionQuery{Dataset: catalog.Daily, Symbol: code, RunID: run, Start: market.NoDate, End: market.NoDate}))
	}
	if got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0, current, rows(Day0, after.code, 1), 4)); got != (counts{}) {
		t.Errorf("an equal row makes %+v", got)
	}
	holds(before.code, 1, 2, 3, 4, 5, 6, 7)
	holds(after.code, 0)

	got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0+1, current, mix(rows(Day0+1, after.code, 2).Select([]int{0}), rows(Day0+1, after.code, 1)), 5))
	if got != (counts{Changed: 1}) || revised("run-5", after.code) == 0 {
		t.Errorf("a row with other values makes %+v, and keeps %d values", got, revised("run-5", after.code))
	}
	holds(before.code, 2, 3, 4, 5, 6, 7)

	// Who has both codes on the list gets what the provider returns for each.
	both := []string{after.code, before.code, stays.code}
	twice := Rows(catalog.Daily, Day0+2, []string{before.code, stays.code, after.code}, 1)
	if got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0+2, both, twice, 6)); got.New != 1 || got.Gone != 0 {
		t.Errorf("with both codes %+v", got)
	}
	holds(after.code, 0, 1, 2)
	holds(before.code, 2, 3, 4, 5, 6, 7)
	// Afterwards only the new one is, and the values of the other row are kept.
	if got := commit(t, s, Commit(h.Pool, catalog.Daily, Day0+2, current, twice.Select([]int{1, 2}), 7)); got.New != 0 || got.Gone != 1 || revised("run-7", before.code) == 0 {
		t.Errorf("a row that is there twice makes %+v, and keeps %d values", got, revised("run-7", before.code))
	}
	holds(before.code, 3, 4, 5, 6, 7)

	// In a range, the row of a day that the new code does not have stays.
	span := Commit(h.Pool, catalog.Daily, Day0+4, []string{after.code}, rows(Day0+4, after.code, 1).Select([]int{0}), 8)
	more := Commit(h.Pool, catalog.Daily, Day0+6, []string{after.code}, rows(Day0+6, after.code, 1).Select([]int{0}), 8)
	span.Partition.End, span.Partition.ID = Day0+6, coverage.PartitionID(catalog.Daily, Day0+4, Day0+6, []string{after.code})
	span.Records = append(span.Records, more.Records...)
	span.Batch.AppendRow(more.Batch, 0)
	if got := commit(t, s, span); got != (counts{}) {
		t.Errorf("a range makes %+v", got)
	}
	holds(before.code, 3, 5, 7)
	holds(after.code, 0, 1, 2, 4, 6)

	// A code that another company has by now is that company's.
	commitAll(t, s, Snapshot(h.Pool, catalog.StockBasic, listOf(stays, after, company{before.code, "另一家", listDay}), 9))
	commit(t, s, Commit(h.Pool, catalog.Daily, Day0+7, current, rows(Day0+7, after.code, 1), 10))
	holds(before.code, 3, 5, 7)
	closeSink(t, s)
	s = h.open(t, path)
	holds(after.code, 0, 1, 2, 4, 6, 7)
}
