package targets

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// TestTheIndexIsTheFile commits at random, and compares the index with the file as it is read
// by a new process, and with the commits.
func TestTheIndexIsTheFile(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Logger: slog.New(slog.DiscardHandler)})
			defer s.Close()
			rng := rand.New(rand.NewPCG(seed, 1))
			want := make(map[coverage.Key]string)
			for epoch := int64(10); epoch < 160; epoch++ {
				var group []ingest.Commit
				for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.FundDaily}[rng.IntN(3):] {
					group = append(group, anyCommit(rng, dataset, epoch))
				}
				var wait sync.WaitGroup
				for _, c := range group {
					wait.Go(func() {
						if _, err := s.Commit(t.Context(), c); err != nil && !fault.Is(err, fault.StaleEpoch) {
							t.Error(err)
						}
					})
				}
				wait.Wait()
				for _, c := range group {
					expect(want, c)
				}
				if epoch%10 != 0 {
					continue
				}
				x, _, err := loadIndex(t.Context(), s.db.Reader())
				if err != nil {
					t.Fatal(err)
				}
				held := contentOf(t, s.index)
				if diff := cmp.Diff(contentOf(t, x), held); diff != "" {
					t.Fatalf("after %d: the index differs from the file: %s", epoch, diff)
				}
				got := make(map[coverage.Key]string)
				for k, r := range held {
					got[k] = brief(r)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("after %d: the index differs from the commits: %s", epoch, diff)
				}
				if x.rows != s.index.rows || len(x.stamps)-len(x.free) != len(s.index.stamps)-len(s.index.free) {
					t.Errorf("after %d: %d rows and %d stamps, the file has %d and %d", epoch, s.index.rows, len(s.index.stamps)-len(s.index.free), x.rows, len(x.stamps)-len(x.free))
				}
				var rows, records, commits int64
				if err := s.db.Reader().QueryRow("SELECT (SELECT count(*) FROM daily_prices) + (SELECT count(*) FROM daily_basics), (SELECT count(*) FROM coverage), (SELECT count(*) FROM commits)").Scan(&rows, &records, &commits); err != nil {
					t.Fatal(err)
				}
				if rows != s.index.rows || records != int64(len(held)) || commits != int64(len(x.stamps)-len(x.free)) {
					t.Errorf("after %d: the file has %d rows, %d records, %d commits", epoch, rows, records, commits)
				}
			}
		})
	}
}

func anyCommit(rng *rand.Rand, dataset string, epoch int64) ingest.Commit {
	all := sinktest.Stocks(15)
	if dataset == catalog.FundDaily {
		all = sinktest.ETFs(15)
	}
	from := rng.IntN(len(all))
	symbols := all[from : from+1+rng.IntN(min(6, len(all)-from))]
	start := sinktest.Day0 + market.Date(rng.IntN(8))
	end := start
	if rng.IntN(3) == 0 {
		end += market.Date(rng.IntN(5))
	}
	if rng.IntN(10) == 0 {
		epoch -= 5 // perhaps a newer one was committed
	}
	c := ingest.Commit{Epoch: epoch, RunID: fmt.Sprint("run", epoch%3), Partition: coverage.Partition{
		ID: fmt.Sprint(dataset, start, end, len(symbols)), Pool: market.Targets, Dataset: dataset, Start: start, End: end, Symbols: symbols,
	}}
	at := time.UnixMilli(1700000000000 + rng.Int64N(3)).Add(time.Duration(rng.IntN(2)) * time.Microsecond).In(market.Shanghai)
	if rng.IntN(3) == 0 {
		at = time.Time{}
	}
	b := table.New(catalog.Lookup(dataset).Specs(), 0)
	for date := start; date <= end; date++ {
		for _, symbol := range symbols {
			r := coverage.Record{Key: coverage.Key{Dataset: dataset, Date: date, Symbol: symbol}, CommittedAt: at, Expected: 1, Verdict: coverage.Complete, SameSince: market.NoDate, LastSame: market.NoDate}
			switch rng.IntN(8) {
			case 0:
				r.Verdict, r.AnswerHash, r.SameSince, r.SameDays, r.LastSame = coverage.AcceptedShort, rng.Uint64(), start-3, 3, start
			case 1:
				r.Verdict, r.Expected = coverage.ExpectedEmpty, 0
			case 2:
				r.Issues = []fault.Issue{fault.NewIssue(fault.UnknownSymbols, "x")}
			case 3:
				r.Rejected = 2
			}
			if len(c.Records) == 0 || rng.IntN(6) > 0 {
				c.Records = append(c.Records, r)
			}
			if rng.IntN(4) > 0 {
				one := sinktest.Rows(dataset, date, []string{symbol}, uint64(rng.IntN(2)))
				for i := range b.Columns {
					b.Columns[i].AppendFrom(&one.Columns[i], 0)
				}
				b.Len++
			}
		}
	}
	if rng.IntN(6) > 0 {
		c.Batch = b
	}
	return c
}

// expect applies a commit to the briefs of all records, unless a newer one of them was committed.
func expect(want map[coverage.Key]string, c ingest.Commit) {
	part, now := c.Partition, make(map[coverage.Key]string)
	put := func(k coverage.Key, v coverage.Verdict, rows int64) {
		now[k] = brief(coverage.Record{Epoch: c.Epoch, Verdict: v, Rows: rows})
	}
	rowsOf := func(k coverage.Key) (n int64) {
		var epoch int64
		_, _ = fmt.Sscan(want[k], &epoch, &n)
		return n
	}
	rows := make(map[coverage.Key]bool)
	if c.Batch != nil {
		symbols, dates := c.Batch.Columns[0].Texts, c.Batch.Columns[1].Dates
		for i := range c.Batch.Len {
			k := coverage.Key{Dataset: part.Dataset, Date: dates[i], Symbol: symbols[i]}
			rows[k] = true
			put(k, coverage.Complete, 1)
		}
	}
	for _, r := range c.Records {
		n := rowsOf(r.Key)
		if c.Batch != nil {
			n = 0
			if rows[r.Key] {
				n = 1
			}
		}
		put(r.Key, r.Verdict, n)
	}
	var old []coverage.Key
	for date := part.Start; date <= part.End; date++ {
		for _, symbol := range part.Symbols {
			k := coverage.Key{Dataset: part.Dataset, Date: date, Symbol: symbol}
			if _, again := now[k]; c.Batch != nil || again {
				old = append(old, k)
			}
		}
	}
	for _, k := range old {
		var epoch int64
		if _, _ = fmt.Sscan(want[k], &epoch); epoch > c.Epoch {
			return // rejected
		}
	}
	for _, k := range old {
		delete(want, k)
	}
	for k, v := range now {
		want[k] = v
	}
}

func brief(r coverage.Record) string { return fmt.Sprint(r.Epoch, " ", r.Rows, " ", r.Verdict) }

// contentOf reads all records, and checks the numbers that are kept with them.
func contentOf(t *testing.T, x *index) map[coverage.Key]coverage.Record {
	t.Helper()
	out, uses := make(map[coverage.Key]coverage.Record), make(map[*stamp]int)
	var sum int64
	for name := range x.datasets {
		on := make(map[market.Date]int)
		for _, n := range x.names([]string{name}) {
			for _, d := range x.span(n, math.MinInt32, math.MaxInt32) {
				r := d.record(n)
				out[r.Key] = r
				uses[d.stamp]++
				on[r.Date] += int(r.Rows)
				sum += r.Rows
				if one, held := x.get(r.Key); !held || cmp.Diff(one, r) != "" {
					t.Errorf("%v: %v by its key", r, one)
				}
			}
		}
		for d, n := range on {
			if got := x.rowsOn(date{name, d}); got != n {
				t.Errorf("%s: %d rows on %s, want %d", name, got, d, n)
			}
		}
		if len(on) != len(x.datasets[name].dates) {
			t.Errorf("%s: %d dates, want %d", name, len(x.datasets[name].dates), len(on))
		}
	}
	for st, n := range uses {
		if st.records != n || x.stamps[st.at] != st {
			t.Errorf("the stamp %d has %d records, want %d", st.id, st.records, n)
		}
	}
	if sum != x.rows || len(x.stamps)-len(x.free) != len(uses) {
		t.Errorf("%d rows and %d stamps, want %d and %d", x.rows, len(x.stamps)-len(x.free), sum, len(uses))
	}
	return out
}

// TestSymbolsThatComeAndGo have records on few of the dates, and take memory only there,
// whether they are put from the oldest date on or from the newest back.
func TestSymbolsThatComeAndGo(t *testing.T) {
	const days, listed, turnover = 400, 50, 5
	for _, step := range []int{1, -1} {
		x, st := newIndex(), &stamp{}
		for n := range days {
			at := n
			if step < 0 {
				at = days - 1 - n
			}
			for i := range listed {
				symbol := fmt.Sprintf("%06d.SH", at*turnover+i)
				x.put(coverage.Record{Key: coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0 + market.Date(at), Symbol: symbol}, Rows: 1, Expected: 1,
					Verdict: coverage.Complete, SameSince: market.NoDate, LastSame: market.NoDate, ByExchange: coverage.ExchangeCounts{SH: 1}}, st)
			}
		}
		places := 0
		for _, d := range x.datasets[catalog.Daily].dates {
			d.tidy()
			places += cap(d.bits)
		}
		if records := days * listed; places > 2*records || x.rows != int64(records) || st.records != records {
			t.Errorf("step %d: %d places for %d records, %d rows, %d of the stamp", step, places, records, x.rows, st.records)
		}
	}
}

// TestAFileThatComesBackIsRead deletes the file and puts it back: its coverage is there again,
// whatever is asked first.
func TestAFileThatComesBackIsRead(t *testing.T) {
	s := New(Config{Path: filepath.Join(t.TempDir(), "targets.sqlite"), Source: "x", Idle: time.Nanosecond, Logger: slog.New(slog.DiscardHandler)})
	defer s.Close()
	symbols := sinktest.Stocks(2)
	if _, err := s.Commit(t.Context(), sinktest.Commit(market.Targets, catalog.Daily, sinktest.Day0, symbols, sinktest.Rows(catalog.Daily, sinktest.Day0, symbols, 1), 1)); err != nil {
		t.Fatal(err)
	}
	if s.Release(); s.db != nil {
		t.Fatal("the file is open")
	}
	aside, k := s.cfg.Path+".aside", coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0, Symbol: symbols[0]}
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		t.Fatal(err)
	}
	if !s.Refresh(t.Context()) {
		t.Error("it is not noticed that the file is gone")
	}
	if _, held := s.Held(k); held {
		t.Error("a record is held without a file")
	}
	if err := os.Rename(aside, s.cfg.Path); err != nil {
		t.Fatal(err)
	}
	if r, held := s.Held(k); !held || r.Rows != 1 {
		t.Errorf("held %v, %+v", held, r)
	}
}
