package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

func small() tusharesim.Options { return tusharesim.Options{Stocks: 300, Funds: 120} }

func TestUniverseEqualsTheProvider(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(4)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	out, err := r.pass(w, 8, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 3+4*4 {
		t.Errorf("%d partitions, want three lists and four days of four datasets", len(out))
	}
	for _, o := range out {
		if o.err != nil || o.result.Held.Verdict != coverage.Complete || o.result.Calls == 0 || o.result.Held.New != o.result.Held.Rows {
			t.Errorf("%s: %+v, %v", o.part.ID, o.result, o.err)
		}
		for _, i := range o.result.Issues {
			t.Errorf("%s: %s %s", o.part.ID, i.Reason, i.Message)
		}
	}
	if out, err := r.pass(w, 8, nil); err != nil || len(out) != 0 {
		t.Errorf("a second run planned %v, %v", out, err)
	}
	r.sameAsProvider(start, end, everything)
}

// TestEveryFault puts one fault on every call of a dataset, runs, takes it away
// and runs again: nothing that was wrong may stay, and nothing may be lost.
func TestEveryFault(t *testing.T) {
	for _, f := range []struct {
		fault   tusharesim.Fault
		verdict coverage.Verdict // of daily; empty if it must fail
		reason  fault.Reason     // of the error, or of the worst issue
	}{
		{tusharesim.Fault{Kind: tusharesim.HTTP500}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.HTTP502}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.Reset}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.TruncatedBody}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.MalformedJSON}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.HTMLPage}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.BadToken}, "", fault.TokenInvalid},
		{tusharesim.Fault{Kind: tusharesim.NoPermission}, "", fault.PermissionDenied},
		{tusharesim.Fault{Kind: tusharesim.TooManyIPs}, "", fault.TooManyIPs},
		{tusharesim.Fault{Kind: tusharesim.BadRequest}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: -1000, Text: "未知错误"}, "", fault.ProviderUnavailable},
		{tusharesim.Fault{Kind: tusharesim.DataNull}, coverage.Empty, fault.EmptyAnswer},
		{tusharesim.Fault{Kind: tusharesim.AnyCode, Code: -2001, Text: "empty"}, coverage.Empty, fault.EmptyAnswer},
		{tusharesim.Fault{Kind: tusharesim.DayQuota}, "", fault.QuotaExhausted},
		{tusharesim.Fault{Kind: tusharesim.Empty}, coverage.Empty, fault.EmptyAnswer},
		{tusharesim.Fault{Kind: tusharesim.HalfDay}, coverage.Incomplete, fault.Incomplete},
		{tusharesim.Fault{Kind: tusharesim.SilentTruncation, N: 100}, coverage.Incomplete, fault.Incomplete},
		{tusharesim.Fault{Kind: tusharesim.OtherDate}, coverage.Incomplete, fault.Incomplete},
		{tusharesim.Fault{Kind: tusharesim.DuplicateRows}, coverage.Complete, ""},
		{tusharesim.Fault{Kind: tusharesim.WrongValue}, coverage.Complete, fault.RowsRejected},
		{tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeNegative}, coverage.Complete, fault.RowsRejected},
		{tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeNull}, coverage.Complete, fault.RowsRejected},
		{tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeText}, coverage.Complete, fault.RowsRejected},
		{tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeTenfold}, coverage.Complete, fault.RowsInconsistent},
		{tusharesim.Fault{Kind: tusharesim.WrongValue, N: 50}, coverage.Incomplete, fault.Incomplete},
	} {
		t.Run(string(f.fault.Kind)+" "+f.fault.Mode, func(t *testing.T) {
			r := newHarness(t, tusharesim.Options{Stocks: 300, Funds: -1})
			start, end := r.span(1)
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily), Start: start, End: end}
			refs, err := r.ing.References(context.Background(), w)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.all(refs.Partitions, 1) {
				if o.err != nil {
					t.Fatal(o.err)
				}
			}
			id, err := r.sim.AddFault(f.fault)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := r.ing.Data(context.Background(), w)
			if err != nil || len(plan.Partitions) != 1 {
				t.Fatal(plan, err)
			}
			o := r.one(context.Background(), plan.Partitions[0])
			if f.verdict == "" {
				if !fault.Is(o.err, f.reason) {
					t.Errorf("err = %v, want %s", o.err, f.reason)
				}
			} else {
				worst, found := fault.Worst(o.result.Issues)
				if found {
					faulttest.Produces(t, worst, f.reason)
				}
				if o.err != nil || o.result.Held.Verdict != f.verdict || worst.Reason != f.reason {
					t.Errorf("%s with %s %q (%v), want %s with %s", o.result.Held.Verdict, worst.Reason, worst.Message, o.err, f.verdict, f.reason)
				}
			}
			r.sim.RemoveFault(id)
			if f.fault.Kind == tusharesim.DayQuota {
				return // the quota stays spent for the day
			}
			r.settle(w, 3)
			held, ok := r.sinks[market.Universe].Held(coverage.Key{Dataset: catalog.Daily, Date: end})
			n, err := r.sim.RowCount(catalog.Daily, map[string]string{"trade_date": end.Compact()})
			if !ok || err != nil || held.Rows != int64(n) || held.Verdict != coverage.Complete {
				t.Errorf("after a clean run %d rows %s, the provider has %d, %v", held.Rows, held.Verdict, n, err)
			}
		})
	}
}

// TestAnyOrderAnyFault checks a property: after any order, repetition and faults, the successful
// runs of a later day make the store equal to the provider.
func TestAnyOrderAnyFault(t *testing.T) {
	kinds := []tusharesim.Fault{
		{Kind: tusharesim.HTTP500}, {Kind: tusharesim.Reset}, {Kind: tusharesim.TruncatedBody}, {Kind: tusharesim.MalformedJSON},
		{Kind: tusharesim.HTMLPage}, {Kind: tusharesim.Empty}, {Kind: tusharesim.HalfDay}, {Kind: tusharesim.SilentTruncation, N: 40},
		{Kind: tusharesim.OtherDate}, {Kind: tusharesim.DuplicateRows}, {Kind: tusharesim.RepeatedPage},
		{Kind: tusharesim.WrongValue}, {Kind: tusharesim.WrongValue, Mode: tusharesim.ModeNegative},
		{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeText}, {Kind: tusharesim.WrongValue, N: 30},
	}
	seeds := 4
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mix := rand.New(rand.NewPCG(uint64(seed), 7))
			r := newHarness(t, tusharesim.Options{Seed: uint64(seed + 1), Stocks: 200, Funds: 80, Caps: map[string]int{"daily": 150, "stock_basic": 90}})
			start, end := r.span(5)
			w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
			for round := range 4 {
				r.sim.ClearFaults()
				for range 1 + mix.IntN(3) {
					f := kinds[mix.IntN(len(kinds))]
					f.Probability = 0.3 + 0.4*mix.Float64()
					if mix.IntN(3) > 0 {
						f.API = daily[mix.IntN(len(daily))]
					}
					if _, err := r.sim.AddFault(f); err != nil {
						t.Fatal(err)
					}
				}
				w.Refetch = round > 0 && mix.IntN(3) == 0
				if _, err := r.pass(w, 1+mix.IntN(6), mix); err != nil && !fault.Is(err, fault.CalendarUnavailable) {
					t.Fatal(err)
				}
				if mix.IntN(3) == 0 { // a restart
					r.close()
					r.open()
				}
			}
			r.sim.ClearFaults()
			// The lists of a later day: a first list that came short has nothing to
			// be compared with until then.
			w.Refetch = true
			refs, err := r.ing.References(context.Background(), w)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range r.all(refs.Partitions, 1) {
				if o.err != nil {
					t.Fatal(o.err)
				}
			}
			w.Refetch = false
			r.settle(w, 5)
			r.sameAsProvider(start, end, everything)
		})
	}
}

func TestStaleEpochNeverWrites(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(1)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily), Start: start, End: end}
	if _, err := r.pass(w, 1, nil); err != nil {
		t.Fatal(err)
	}
	p := coverage.Partition{ID: "daily/" + end.String(), Pool: market.Universe, Dataset: catalog.Daily, Start: end, End: end}
	newest := r.epoch.Add(1)
	if _, err := r.ing.Partition(context.Background(), ingest.Work{Partition: p, RunID: "new", Epoch: newest}, nil); err != nil {
		t.Fatal(err)
	}
	calls := r.sim.Stats().Total
	if _, err := r.ing.Partition(context.Background(), ingest.Work{Partition: p, RunID: "old", Epoch: newest - 1}, nil); !fault.Is(err, fault.StaleEpoch) {
		t.Errorf("an older epoch gave %v", err)
	}
	if r.sim.Stats().Total != calls {
		t.Error("an older epoch spent calls")
	}
	r.close()
	r.open() // the fence in memory is gone; the pool's is not
	if _, err := r.ing.Partition(context.Background(), ingest.Work{Partition: p, RunID: "old", Epoch: newest - 1}, nil); !fault.Is(err, fault.StaleEpoch) {
		t.Errorf("after a restart an older epoch gave %v", err)
	}
	if held, _ := r.sinks[market.Universe].Held(coverage.Key{Dataset: catalog.Daily, Date: end}); held.RunID != "new" {
		t.Errorf("held by %q", held.RunID)
	}
}

func TestNewerDispatchEndsTheOlder(t *testing.T) {
	r := newHarness(t, small())
	_, end := r.span(1)
	if _, err := r.sim.AddFault(tusharesim.Fault{Kind: tusharesim.Hang, API: catalog.Daily, Count: 1}); err != nil {
		t.Fatal(err)
	}
	p := coverage.Partition{ID: "daily/" + end.String(), Pool: market.Universe, Dataset: catalog.Daily, Start: end, End: end}
	older := make(chan error, 1)
	go func() {
		_, err := r.ing.Partition(context.Background(), ingest.Work{Partition: p, RunID: "a", Epoch: 1}, nil)
		older <- err
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := r.sim.WaitHanging(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if a := r.ing.Active("a"); len(a) != 1 || a[0].Work.Epoch != 1 {
		t.Errorf("active: %+v", a)
	}
	if _, err := r.ing.Partition(ctx, ingest.Work{Partition: p, RunID: "b", Epoch: 2}, nil); err != nil {
		t.Errorf("the newer: %v", err)
	}
	if err := <-older; !fault.Is(err, fault.StaleEpoch) {
		t.Errorf("the older ended with %v", err)
	}
	if len(r.ing.Active("")) != 0 {
		t.Error("something is left in hand")
	}
}

func TestCancelLeavesNoTrace(t *testing.T) {
	r := newHarness(t, small())
	_, end := r.span(1)
	if _, err := r.sim.AddFault(tusharesim.Fault{Kind: tusharesim.Hang, API: catalog.Daily}); err != nil {
		t.Fatal(err)
	}
	p := coverage.Partition{ID: "daily/" + end.String(), Pool: market.Universe, Dataset: catalog.Daily, Start: end, End: end}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := r.ing.Partition(ctx, ingest.Work{Partition: p, RunID: "a", Epoch: 1}, nil)
		ended <- err
	}()
	wait, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := r.sim.WaitHanging(wait, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if _, ok := r.sinks[market.Universe].Held(coverage.Key{Dataset: catalog.Daily, Date: end}); ok {
		t.Error("a cancelled partition left a record")
	}
}

// TestBasicsWaitForDaily dispatches a whole date at once while daily is slow.
func TestBasicsWaitForDaily(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(1)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}
	refs, err := r.ing.References(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	r.all(refs.Partitions, 3)
	if _, err := r.sim.AddFault(tusharesim.Fault{Kind: tusharesim.Slow, API: catalog.Daily, DelayMS: 300}); err != nil {
		t.Fatal(err)
	}
	plan, err := r.ing.Data(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.sim.RowCount(catalog.Daily, map[string]string{"trade_date": end.Compact()})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range r.all(plan.Partitions, 4) {
		if o.err != nil || o.result.Held.Verdict != coverage.Complete {
			t.Errorf("%s: %v, %v", o.part.ID, o.result.Held.Verdict, o.err)
		}
		if o.part.Dataset == catalog.DailyBasic && o.result.Held.Expected != int64(n) {
			t.Errorf("daily_basic expects %d rows, daily has %d", o.result.Held.Expected, n)
		}
	}
}

func TestNotPublishedIsNeitherEmptyNorDone(t *testing.T) {
	r := newHarness(t, small())
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily), Start: market.NoDate, End: market.NoDate}
	refs, err := r.ing.References(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	r.all(refs.Partitions, 2)
	plan, err := r.ing.Data(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Partitions[0].Start != plan.AsOf {
		t.Fatalf("first is %s, as of %s", plan.Partitions[0].ID, plan.AsOf)
	}
	if err := r.sim.Withhold(catalog.Daily, plan.AsOf.Compact()); err != nil {
		t.Fatal(err)
	}
	o := r.one(context.Background(), plan.Partitions[0])
	if o.err != nil || o.result.Held.Verdict != coverage.NotPublished || o.result.Issues[0].Reason != fault.NotPublished {
		t.Errorf("%+v, %v", o.result, o.err)
	}
	if err := r.sim.Release(catalog.Daily, plan.AsOf.Compact()); err != nil {
		t.Fatal(err)
	}
	again, err := r.ing.Data(context.Background(), w)
	if err != nil || again.Partitions[0].ID != plan.Partitions[0].ID {
		t.Errorf("it is not planned again: %v", err)
	}
}

// An answer that lacks a row which the date's other datasets prove, and has other rows
// corrected, corrects those and takes nothing away.
func TestCorrectionsAreStoredThoughRowsAreMissing(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(1)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily, catalog.DailyBasic, catalog.Moneyflow), Start: start, End: end}
	r.settle(w, 3)
	key := coverage.Key{Dataset: catalog.Daily, Date: end}
	before, _ := r.sinks[market.Universe].Held(key)
	if _, err := r.sim.Revise(tusharesim.Revision{API: catalog.Daily, TradeDate: end.Compact(), Change: 3, Drop: 1}); err != nil {
		t.Fatal(err)
	}
	w.Refetch, w.Datasets = true, datasets(catalog.Daily)
	out, err := r.pass(w, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	h := out[len(out)-1].result.Held
	if h.Verdict != coverage.Complete || h.Rows != before.Rows || h.Changed != 3 || h.Gone != 0 || h.New != 0 {
		t.Errorf("%s: %d rows of %d, changed %d, gone %d, new %d", h.Verdict, h.Rows, before.Rows, h.Changed, h.Gone, h.New)
	}
	if i, ok := firstIssue(out, fault.SymbolsMissing); !ok || i.Severity != fault.Warning || !strings.Contains(i.Message, "are kept") {
		t.Errorf("the missing row is reported as %+v", i)
	}
	now, _ := r.sinks[market.Universe].Held(key)
	contents, err := r.sinks[market.Universe].Contents(t.Context(), key)
	if err != nil || contents[0].Rows != now.Rows || contents[0].Hash != now.RowsHash || now.RowsHash == before.RowsHash {
		t.Errorf("the file has %+v, the record %+v: %v", contents, now, err)
	}
}

func TestRevisionsShow(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(1)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.StockBasic, catalog.Daily), Start: start, End: end}
	r.settle(w, 3)
	if _, err := r.sim.Revise(tusharesim.Revision{API: catalog.Daily, TradeDate: end.Compact(), Change: 3, Drop: 1}); err != nil {
		t.Fatal(err)
	}
	w.Refetch = true
	out, err := r.pass(w, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	last := out[len(out)-1]
	if h := last.result.Held; last.err != nil || h.New != 0 || h.Changed != 3 || h.Gone != 1 || h.Verdict != coverage.Complete {
		t.Errorf("new %d, changed %d, gone %d: %v", h.New, h.Changed, h.Gone, last.err)
	}
	// Four of two hundred rows are a normal correction; more are reported.
	kept, err := r.ing.Revisions(context.Background(), market.Universe, ingest.RevisionQuery{Start: end, End: end, Limit: 1000})
	if err != nil || int64(len(kept)) != last.result.Revised.Cells || len(kept) < 4 || kept[0].RunID != "run" {
		t.Errorf("%d values are kept, %+v: %v", len(kept), last.result.Revised, err)
	}
	revised := func(o outcome) int {
		n := 0
		for _, i := range o.result.Issues {
			if i.Reason == fault.ValuesRevised && i.Severity == fault.Warning {
				faulttest.Produces(t, i, fault.ValuesRevised)
				n++
			}
		}
		return n
	}
	if revised(last) != 0 {
		t.Errorf("a few corrected rows are reported: %v", last.result.Issues)
	}
	if _, err := r.sim.Revise(tusharesim.Revision{API: catalog.Daily, TradeDate: end.Compact(), Change: 40}); err != nil {
		t.Fatal(err)
	}
	if out, err = r.pass(w, 1, nil); err != nil {
		t.Fatal(err)
	}
	if o := out[len(out)-1]; revised(o) != 1 || o.result.Held.Verdict != coverage.Complete || o.result.Revised.Change == 0 {
		t.Errorf("40 changed rows: %v, %+v", o.result.Issues, o.result.Revised)
	}
	checks, err := r.ing.Verify(context.Background(), market.Universe, []coverage.Partition{last.part})
	if err != nil || len(checks) != 1 || checks[0].Rows != checks[0].Claimed || checks[0].Duplicates != 0 || checks[0].RunID != "run" {
		t.Errorf("%+v, %v", checks, err)
	}
}

func TestReferencesAreAskedOnceForBothPools(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(1)
	for _, p := range market.Pools() {
		w := coverage.PlanRequest{Pool: p, Datasets: everything, Start: start, End: end, Symbols: []string{"600519.SH", "510300.SH"}}
		if _, err := r.pass(w, 2, nil); err != nil {
			t.Fatal(err)
		}
	}
	for params, n := range r.sim.Stats().ByParams {
		if len(params) > 11 && params[:11] == "stock_basic" && n != 1 {
			t.Errorf("%s was asked %d times", params, n)
		}
	}
}

// recommitting commits partitions again just before they are read for the first time.
type recommitting struct {
	ingest.Sink
	once   sync.Once
	commit func()
}

// Contents implements ingest.Sink.
func (m *recommitting) Contents(ctx context.Context, keys ...coverage.Key) ([]ingest.Contents, error) {
	m.once.Do(m.commit)
	return m.Sink.Contents(ctx, keys...)
}

func TestVerifyReadsAgainWhatWasCommittedMeanwhile(t *testing.T) {
	r := newHarness(t, small())
	start, end := r.span(2)
	w := coverage.PlanRequest{Pool: market.Universe, Datasets: datasets(catalog.TradeCal, catalog.StockBasic, catalog.FundBasic, catalog.Daily), Start: start, End: end, Refetch: true}
	out, err := r.pass(w, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	var parts []coverage.Partition
	for _, o := range out {
		if o.part.Dataset == catalog.Daily {
			parts = append(parts, o.part)
		}
	}
	sink := &recommitting{Sink: r.sinks[market.Universe], commit: func() {
		if _, err := r.sim.Revise(tusharesim.Revision{API: catalog.Daily, TradeDate: end.Compact(), Change: 7}); err != nil {
			t.Error(err)
		}
		if _, err := r.pass(w, 1, nil); err != nil {
			t.Error(err)
		}
	}}
	ing := ingest.New(ingest.Config{Provider: r.client, Sinks: map[market.Pool]ingest.Sink{market.Universe: sink}})
	checks, err := ing.Verify(t.Context(), market.Universe, parts)
	if err != nil || len(checks) != len(parts) {
		t.Fatalf("%+v, %v", checks, err)
	}
	for _, c := range checks {
		if c.Altered || c.Rows == 0 || c.Rows != c.Claimed || c.Duplicates != 0 {
			t.Errorf("committed while it was read, %s is reported as %+v", c.PartitionID, c)
		}
	}
}
