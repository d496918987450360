package ingest_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// TestTheOrderOfADatesDatasets: the findings about the datasets of a date do not depend on the
// order in which they are fetched, and are complete when the last dataset has ended.
func TestTheOrderOfADatesDatasets(t *testing.T) {
	type faults func(r *harness, d market.Date) []tusharesim.Fault
	drop := func(api string, share float64) faults {
		return func(r *harness, d market.Date) []tusharesim.Fault {
			f := tusharesim.Fault{Kind: tusharesim.DropRows, API: api, Share: share}
			if share == 0 {
				f.Codes = []string{r.traded(d)}
			}
			return []tusharesim.Fault{f}
		}
	}
	one := func(f tusharesim.Fault) faults {
		return func(*harness, market.Date) []tusharesim.Fault { return []tusharesim.Fault{f} }
	}
	wrongClose := tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.DailyBasic, Columns: []string{"close", "total_mv", "circ_mv"}, Factor: 1.1}
	wrongVolume := tusharesim.Fault{Kind: tusharesim.ScaleColumn, API: catalog.Moneyflow, Factor: 4,
		Columns: append(slices.Clone(volumes), "net_mf_vol")}
	for _, pool := range market.Pools() {
		cases := map[string]struct {
			faults  faults
			lacking string // the dataset that must be unsettled; none where all is well
		}{
			"daily lacks a symbol":                {drop(catalog.Daily, 0), catalog.Daily},
			"daily_basic lacks a symbol":          {drop(catalog.DailyBasic, 0), catalog.DailyBasic},
			"moneyflow lacks a symbol":            {drop(catalog.Moneyflow, 0), catalog.Moneyflow},
			"daily_basic has another close":       {one(wrongClose), catalog.DailyBasic},
			"moneyflow has four times the volume": {one(wrongVolume), catalog.Moneyflow},
		}
		if pool == market.Universe {
			cases["moneyflow is short of daily and not of the lists"] = struct {
				faults  faults
				lacking string
			}{drop(catalog.Moneyflow, 0.04), catalog.Moneyflow}
			cases["many are suspended"] = struct {
				faults  faults
				lacking string
			}{func(r *harness, d market.Date) []tusharesim.Fault {
				if _, err := r.sim.Suspend(tusharesim.Suspension{TradeDate: d.Compact(), Share: 0.15}); err != nil {
					r.t.Fatal(err)
				}
				return nil
			}, ""}
		}
		orders := [][]string{
			{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow}, {catalog.DailyBasic, catalog.Moneyflow, catalog.Daily},
			{catalog.Moneyflow, catalog.Daily, catalog.DailyBasic},
		}
		r := newHarness(t, tusharesim.Options{Stocks: 500, Funds: 40})
		_, end := r.span(1)
		w, days := r.evenings(pool, len(cases)*len(orders), r.allTraded(end)[:3])
		for n, name := range slices.Sorted(maps.Keys(cases)) {
			for m, order := range orders {
				c, day := cases[name], days[n*len(orders)+m]
				t.Run(fmt.Sprintf("%s: %s, %v", pool, name, order), func(t *testing.T) {
					w.End = day
					w.Symbols = []string{r.traded(day), r.tradedBeside(day)}
					slices.Sort(w.Symbols)
					r.settle(coverage.PlanRequest{Pool: pool, Datasets: everything, Start: day - 10, End: day - 1, Symbols: w.Symbols}, 3)
					var ids []int
					for _, f := range c.faults(r, day) {
						f.TradeDate = day.Compact()
						ids = append(ids, r.fail(f))
					}
					said, all := c.lacking == "", []fault.Issue(nil) // and the run does not end whole
					for _, id := range order {
						p := coverage.Partition{ID: coverage.PartitionID(id, day, day, nil), Pool: pool, Dataset: id, Start: day, End: day}
						if pool == market.Targets {
							p.Symbols, p.ID = w.Symbols, coverage.PartitionID(id, day, day, w.Symbols)
						}
						o := r.one(t.Context(), p)
						if o.err != nil {
							t.Fatal(o.err)
						}
						all = append(all, o.result.Issues...)
						said = said || !o.result.Held.Verdict.Settled() && slices.ContainsFunc(o.result.Issues, func(i fault.Issue) bool { return i.Meta["dataset"] == c.lacking })
					}
					for _, id := range order {
						verdict := r.worst(pool, id, day, w.Symbols)
						if verdict.Settled() == (id == c.lacking) {
							t.Errorf("%s is %s %v", id, verdict, all)
						}
					}
					if !said {
						t.Error("no partition reports it")
					}
					for _, id := range ids {
						r.sim.RemoveFault(id)
					}
					w.Start = day - 10
					r.settle(w, 4)
				})
			}
		}
	}
}

// worst returns the worst verdict of a pool for a day.
func (r *harness) worst(pool market.Pool, dataset string, d market.Date, symbols []string) coverage.Verdict {
	if pool == market.Universe {
		symbols = []string{""}
	}
	var all []coverage.Verdict
	for _, s := range symbols {
		held, ok := r.sinks[pool].Held(coverage.Key{Dataset: dataset, Date: d, Symbol: s})
		if !ok {
			held.Verdict = coverage.Missing
		}
		all = append(all, held.Verdict)
	}
	return coverage.Worst(all...)
}

// TestALateDailyIsWaitedFor: a dataset that rests on a planned daily is not judged by the
// lists because its dispatch came in first.
func TestALateDailyIsWaitedFor(t *testing.T) {
	r := newHarness(t, small())
	w, days := r.evenings(market.Universe, 1, nil)
	day := days[0]
	if _, err := r.sim.Suspend(tusharesim.Suspension{TradeDate: day.Compact(), Share: 0.2}); err != nil {
		t.Fatal(err)
	}
	w.Start, w.End = day, day
	plan, err := r.ing.Data(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(plan.Partitions, func(p coverage.Partition) bool { return p.Dataset == catalog.Daily })
	r.sim.ResetStats()
	early := make(chan outcome)
	go func() {
		p := plan.Partitions[at]
		p.Dataset, p.ID = catalog.Moneyflow, coverage.PartitionID(catalog.Moneyflow, day, day, nil)
		early <- r.one(t.Context(), p)
	}()
	for r.sim.Stats().ByAPI[catalog.Moneyflow] == 0 {
		select {
		case o := <-early:
			t.Fatalf("it ended without a call: %v", o.err)
		default:
		}
	}
	if o := r.one(t.Context(), plan.Partitions[at]); o.err != nil || o.result.Held.Verdict != coverage.Complete {
		t.Fatalf("daily is %s %v, %v", o.result.Held.Verdict, o.result.Issues, o.err)
	}
	if o := <-early; o.err != nil || o.result.Held.Verdict != coverage.Complete {
		t.Errorf("moneyflow is %s %v, %v", o.result.Held.Verdict, o.result.Issues, o.err)
	}
}

// TestALongGapInAnyOrder: a symbol without a row on three days in a row is proved to be
// missing on each of them, whichever of the days comes last, and by every dataset of
// them.
func TestALongGapInAnyOrder(t *testing.T) {
	const gap = 3
	const orders = 3
	r := newHarness(t, tusharesim.Options{Stocks: 2400, Funds: -1}) // enough that suspend_d is never empty
	start, end := r.span(orders * (gap + 4))
	open := r.sim.OpenDates(start.Compact(), end.Compact())
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.TradeCal, catalog.StockBasic), Start: start, End: end}
	r.settle(w, 2)
	for n := range orders {
		var days []market.Date
		for _, text := range open[n*(gap+4) : (n+1)*(gap+4)] {
			d, err := market.ParseCompact(text)
			if err != nil {
				t.Fatal(err)
			}
			days = append(days, d)
		}
		code := r.traded(days[len(days)-1])
		r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, Codes: []string{code}, TradeDate: days[2].Compact(), EndDate: days[1+gap].Compact()})
		order := []int{0, 1, 5, 6, 2, 4, 3} // the middle last
		if n > 0 {
			order = rand.New(rand.NewPCG(uint64(n), 7)).Perm(len(days))
		}
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			for _, at := range order {
				for _, id := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
					if o := r.one(t.Context(), coverage.Partition{ID: coverage.PartitionID(id, days[at], days[at], nil), Pool: market.Universe, Dataset: id, Start: days[at], End: days[at]}); o.err != nil {
						t.Fatal(o.err)
					}
				}
			}
			for at, d := range days {
				for _, id := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
					v, issues := r.standing(id, d)
					lacks := at >= 2 && at < 2+gap
					if lacks != (v == coverage.Incomplete) || lacks != slices.ContainsFunc(issues, func(i fault.Issue) bool { return i.Reason == fault.SymbolsMissing }) {
						t.Errorf("%s of day %d is %s %v", id, at, v, issues)
					}
				}
			}
		})
	}
}

// TestAStaleDayIsToldWhenTheDayBeforeComes: a day that has the volumes of the day before
// is found once that comes, whether the pool had nothing of it or was asked in vain.
func TestAStaleDayIsToldWhenTheDayBeforeComes(t *testing.T) {
	stale := tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, Columns: []string{"vol", "amount"}}
	for _, pool := range market.Pools() {
		r := newHarness(t, tusharesim.Options{Stocks: 500, Funds: 40})
		_, end := r.span(1)
		w, days := r.evenings(pool, 6, r.allTraded(end)[:3])
		for n, asked := range []bool{false, true} {
			before, day := days[3*n+1], days[3*n+2]
			t.Run(fmt.Sprintf("%s: the day before was asked for %v", pool, asked), func(t *testing.T) {
				w.End = before - 1
				w.Symbols = []string{r.traded(day), r.tradedBeside(day)}
				slices.Sort(w.Symbols)
				r.settle(w, 4)
				fetch := func(d market.Date) outcome {
					p := coverage.Partition{ID: coverage.PartitionID(catalog.Daily, d, d, nil), Pool: pool, Dataset: catalog.Daily, Start: d, End: d}
					if pool == market.Targets {
						p.Symbols, p.ID = w.Symbols, coverage.PartitionID(catalog.Daily, d, d, w.Symbols)
					}
					o := r.one(t.Context(), p)
					if o.err != nil {
						t.Fatal(o.err)
					}
					return o
				}
				if asked {
					late := r.fail(tusharesim.Fault{Kind: tusharesim.DropRows, API: catalog.Daily, TradeDate: before.Compact(), Share: 1})
					fetch(before)
					r.sim.RemoveFault(late)
				}
				stale.TradeDate = day.Compact()
				id := r.fail(stale)
				defer r.sim.RemoveFault(id)
				issues := slices.Concat(fetch(day).result.Issues, fetch(before).result.Issues)
				if v := r.worst(pool, catalog.Daily, day, w.Symbols); v.Settled() {
					t.Errorf("%s is %s after %s came: %v", day, v, before, issues)
				}
				if !slices.ContainsFunc(issues, func(i fault.Issue) bool { return i.Meta["trade_date"] == day.String() }) {
					t.Errorf("nothing reports %s: %v", day, issues)
				}
			})
		}
	}
}

// TestOfTwoNewDaysTheWrongOneIsNamed: two new days come at once, and the newest has the rows of
// two weeks before. Whichever comes first, the newest is wrong, and the other is not.
func TestOfTwoNewDaysTheWrongOneIsNamed(t *testing.T) {
	const before = 10 // trading days: more than the days with which a recent one is compared
	for _, pool := range market.Pools() {
		for _, many := range []bool{true, false} {
			r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 120})
			_, end := r.span(1)
			first, _ := r.span(before - 1)
			symbols, earlier := r.allTraded(end), r.allTraded(first) // a resumption proves a gap that is none
			symbols = slices.DeleteFunc(symbols, func(s string) bool { return !slices.Contains(earlier, s) })
			if symbols = symbols[:60]; !many {
				symbols = symbols[:3]
			}
			w, days := r.evenings(pool, before+4, symbols)
			for n, newestFirst := range []bool{true, false} {
				older, newest := days[before+2*n], days[before+2*n+1]
				t.Run(fmt.Sprintf("%s: %d stocks, newest first %v", pool, len(symbols), newestFirst), func(t *testing.T) {
					w.End = older - 1
					r.settle(w, 4)
					id := r.fail(tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, TradeDate: newest.Compact(), SourceDate: days[2*n].Compact()})
					order := []market.Date{older, newest}
					if newestFirst {
						slices.Reverse(order)
					}
					var issues []fault.Issue
					for _, d := range order {
						p := coverage.Partition{ID: coverage.PartitionID(catalog.Daily, d, d, nil), Pool: pool, Dataset: catalog.Daily, Start: d, End: d}
						if pool == market.Targets {
							p.Symbols, p.ID = symbols, coverage.PartitionID(catalog.Daily, d, d, symbols)
						}
						o := r.one(t.Context(), p)
						if o.err != nil {
							t.Fatal(o.err)
						}
						issues = append(issues, o.result.Issues...)
					}
					if v := r.worst(pool, catalog.Daily, newest, symbols); v.Settled() {
						t.Errorf("%s is %s: %v", newest, v, issues)
					}
					if v := r.worst(pool, catalog.Daily, older, symbols); v == coverage.Incomplete {
						t.Errorf("%s is blamed: %v", older, issues)
					}
					r.sim.RemoveFault(id)
					w.End = newest
					r.settle(w, 4)
				})
			}
		}
	}
}

// TestOfTwoNewDaysTheWrongRowIsNamed is the same for the row of one target.
func TestOfTwoNewDaysTheWrongRowIsNamed(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(20)
	symbols := r.watchList(3, 0)
	day, source := r.unlinked(symbols[1], r.sim.OpenDates(start.Compact(), end.Compact()))
	newest, err := market.ParseCompact(day)
	if err != nil {
		t.Fatal(err)
	}
	older := newest - 1
	for len(r.sim.OpenDates(older.Compact(), older.Compact())) == 0 {
		older--
	}
	r.settle(coverage.PlanRequest{Pool: market.Targets, Datasets: everything, Start: start, End: older - 1, Symbols: symbols}, 3)
	r.fail(tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, TradeDate: day, SourceDate: source, Codes: symbols[1:2]})
	for _, d := range []market.Date{newest, older} {
		p := coverage.Partition{ID: coverage.PartitionID(catalog.Daily, d, d, symbols), Pool: market.Targets, Dataset: catalog.Daily, Start: d, End: d, Symbols: symbols}
		if o := r.one(t.Context(), p); o.err != nil {
			t.Fatal(o.err)
		}
	}
	for _, s := range symbols {
		if v := r.worst(market.Targets, catalog.Daily, older, []string{s}); v != coverage.Complete {
			t.Errorf("%s %s is %s", older, s, v)
		}
		if v := r.worst(market.Targets, catalog.Daily, newest, []string{s}); v.Settled() == (s == symbols[1]) {
			t.Errorf("%s %s is %s", newest, s, v)
		}
	}
}

// TestOfTwoNewDaysTheOlderIsNamed: two new days come at once, and on the older one the companies
// have each other's ratios. Nothing is known beyond the newest day, so the ratios of the days before
// and after tell which one is wrong.
func TestOfTwoNewDaysTheOlderIsNamed(t *testing.T) {
	for _, pool := range market.Pools() {
		for _, column := range []string{"volume_ratio", "pb"} {
			t.Run(fmt.Sprint(pool, " ", column), func(t *testing.T) {
				r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 120})
				symbols := r.watchList(60, 0)
				w, days := r.evenings(pool, 14, symbols)
				older, newest := days[10], days[11]
				w.End = older - 1
				r.settle(w, 4)
				id := r.fail(tusharesim.Fault{Kind: tusharesim.ShiftColumn, API: catalog.DailyBasic, TradeDate: older.Compact(), Columns: []string{column}})
				for _, ds := range []string{catalog.Daily, catalog.DailyBasic} {
					for _, d := range []market.Date{newest, older} {
						p := coverage.Partition{ID: coverage.PartitionID(ds, d, d, nil), Pool: pool, Dataset: ds, Start: d, End: d}
						if pool == market.Targets {
							p.Symbols, p.ID = symbols, coverage.PartitionID(ds, d, d, symbols)
						}
						if o := r.one(t.Context(), p); o.err != nil {
							t.Fatal(o.err)
						}
					}
				}
				if v := r.worst(pool, catalog.DailyBasic, older, symbols); v.Settled() {
					t.Errorf("%s is %s", older, v)
				}
				if v := r.worst(pool, catalog.DailyBasic, newest, symbols); v != coverage.Complete && v != coverage.ExpectedEmpty {
					t.Errorf("%s is %s", newest, v)
				}
				r.sim.RemoveFault(id)
				w.End = newest
				r.settle(w, 4)
			})
		}
	}
}

// TestDaysWithoutValuesAreNamed: a column has no values on three days, and they come in any order, as
// in a first fill. The days before and after them show that they lack them.
func TestDaysWithoutValuesAreNamed(t *testing.T) {
	r := newHarness(t, tusharesim.Options{Stocks: 700, Funds: 120})
	w, days := r.evenings(market.Universe, 14, nil)
	w.End = days[8]
	r.settle(w, 4)
	var ids []int
	wrong := days[10:13]
	for _, d := range wrong {
		ids = append(ids, r.fail(tusharesim.Fault{Kind: tusharesim.NullColumn, API: catalog.DailyBasic, TradeDate: d.Compact(), Columns: []string{"ps_ttm"}}))
	}
	for _, d := range []market.Date{days[12], days[13], days[9], days[11], days[10]} {
		p := coverage.Partition{ID: coverage.PartitionID(catalog.DailyBasic, d, d, nil), Pool: market.Universe, Dataset: catalog.DailyBasic, Start: d, End: d}
		if o := r.one(t.Context(), p); o.err != nil {
			t.Fatal(o.err)
		}
		if v := r.worst(market.Universe, catalog.DailyBasic, days[12], nil); d == days[13] && v != coverage.Incomplete {
			t.Errorf("%s is %s", days[12], v)
		}
	}
	again := coverage.Partition{ID: coverage.PartitionID(catalog.DailyBasic, days[11], days[11], nil), Pool: market.Universe, Dataset: catalog.DailyBasic, Start: days[11], End: days[11]}
	r.close()
	r.open() // nothing is remembered, and the days beside it lack the values too
	if o := r.one(t.Context(), again); o.err != nil {
		t.Fatal(o.err)
	}
	for _, d := range wrong {
		if v := r.worst(market.Universe, catalog.DailyBasic, d, nil); v != coverage.Incomplete {
			t.Errorf("%s is %s", d, v)
		}
	}
	for _, id := range ids {
		r.sim.RemoveFault(id)
	}
	w.End = days[13]
	r.settle(w, 4)
}

// gatedSink holds one partition's commit back until the gate opens.
type gatedSink struct {
	*targets.Sink
	id            string
	reached, gate chan struct{}
}

func (s gatedSink) Commit(ctx context.Context, c ingest.Commit) (ingest.Changes, error) {
	if c.Partition.ID == s.id && c.Batch != nil {
		close(s.reached)
		<-s.gate
	}
	return s.Sink.Commit(ctx, c)
}

// TestDaysAtOnceFindEachOther: of two days of targets that are in progress at once, one
// of which repeats the other, the repeated one is found whichever is committed last.
func TestDaysAtOnceFindEachOther(t *testing.T) {
	r := newHarness(t, tusharesim.Options{Stocks: 500, Funds: 40})
	_, end := r.span(1)
	w, days := r.evenings(market.Targets, 6, r.allTraded(end)[:3])
	for n, first := range []string{"the day itself", "the day before"} {
		before, day := days[3*n+1], days[3*n+2]
		t.Run(first+" is committed last", func(t *testing.T) {
			w.End, w.Symbols = before-1, []string{r.traded(day), r.tradedBeside(day)}
			slices.Sort(w.Symbols)
			r.settle(w, 4)
			of := func(d market.Date) coverage.Partition {
				return coverage.Partition{ID: coverage.PartitionID(catalog.Daily, d, d, w.Symbols), Pool: market.Targets, Dataset: catalog.Daily, Start: d, End: d, Symbols: w.Symbols}
			}
			defer r.sim.RemoveFault(r.fail(tusharesim.Fault{Kind: tusharesim.Stale, API: catalog.Daily, TradeDate: day.Compact(), Columns: []string{"vol", "amount"}}))
			if o := r.one(t.Context(), of(day)); o.err != nil { // the day before is not there yet
				t.Fatal(o.err)
			}
			last, other := of(day), of(before)
			if n == 1 {
				last, other = other, last
			}
			sink := gatedSink{r.sinks[market.Targets].(*targets.Sink), last.ID, make(chan struct{}), make(chan struct{})}
			ing := ingest.New(ingest.Config{
				Provider: r.client, Sinks: map[market.Pool]ingest.Sink{market.Targets: sink}, WindowDays: map[market.Pool]int{market.Targets: 60}, Logger: slog.New(slog.DiscardHandler),
			})
			fetch := func(p coverage.Partition) error {
				_, err := ing.Partition(t.Context(), ingest.Work{Partition: p, RunID: "run", Epoch: r.epoch.Add(1)}, nil)
				return err
			}
			ended := make(chan error, 1)
			go func() { ended <- fetch(last) }()
			<-sink.reached
			if err := fetch(other); err != nil {
				t.Error(err)
			}
			close(sink.gate)
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if v := r.worst(market.Targets, catalog.Daily, day, w.Symbols); v.Settled() {
				t.Errorf("%s is %s though it repeats %s", day, v, before)
			}
		})
	}
}
