package probe_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type tokens struct{ value string }

func (t tokens) Token(string) (string, string, bool) { return t.value, "fp", t.value != "" }
func (t tokens) Fingerprint(string) string           { return "fp" }

var built = []string{"stock.basic", "stock.market.daily", "stock.reference", "stock.moneyflow", "etf.basic_info", "etf.daily_quote"}

func newProber(t *testing.T, o tusharesim.Options, token string, attempts int) (*probe.Prober, *tusharesim.Server, *ingest.Answers) {
	t.Helper()
	sim := tusharesim.StartTest(t, o)
	answers := ingest.NewAnswers()
	c, limits := newClient(t, sim, token, attempts)
	return probe.New(c, tokens{token}, answers, limits), sim, answers
}

func newClient(t *testing.T, sim *tusharesim.Server, token string, attempts int) (*tushare.Client, *limiter.Limiter) {
	t.Helper()
	limits, err := limiter.Open(limiter.Config{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c, err := tushare.New(tushare.Config{URL: sim.URL, Tokens: tokens{token}, Limiter: limits, Attempts: attempts, Backoff: time.Nanosecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, limits
}

func run(t *testing.T, p *probe.Prober, r probe.Request) []probe.Outcome {
	t.Helper()
	var out []probe.Outcome
	var open string
	err := p.Run(context.Background(), r, probe.Events{
		Started: func(m *catalog.Module) error { open = m.ID; return nil },
		Finished: func(o probe.Outcome) error {
			if o.Module.ID != open {
				t.Errorf("%s finished while %s was probed", o.Module.ID, open)
			}
			out = append(out, o)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func lastOpen(t *testing.T, sim *tusharesim.Server) market.Date {
	t.Helper()
	today := market.DateOf(time.Now())
	open := sim.OpenDates((today - 30).Compact(), (today - 3).Compact())
	d, err := market.ParseCompact(open[len(open)-1])
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEveryModulePasses(t *testing.T) {
	p, sim, answers := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	for _, o := range run(t, p, probe.Request{Modules: built, TradeDate: lastOpen(t, sim)}) {
		if !o.Passed || len(o.Issues) != 0 || o.Rows == 0 || o.Calls == 0 || o.At.IsZero() || o.Fingerprint != "fp" {
			t.Errorf("%s: %+v", o.Module.ID, o)
		}
	}
	for _, id := range []string{catalog.StockBasic, catalog.FundBasic, catalog.TradeCal} {
		ds := catalog.Lookup(id)
		if ans, ok := answers.Get(market.DateOf(time.Now()), ds, ds.Calls[0].Params); !ok || ans.Batch.Len == 0 {
			t.Errorf("the probe's answer of %s does not serve as the day's fetch", id)
		}
	}
	ds := catalog.Lookup(catalog.StockBasic)
	if _, ok := answers.Get(market.DateOf(time.Now())+1, ds, ds.Calls[0].Params); ok {
		t.Error("an answer outlived its day")
	}
}

func TestEmptyIsAWarning(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	if _, err := sim.AddFault(tusharesim.Fault{Kind: tusharesim.Empty}); err != nil {
		t.Fatal(err)
	}
	for _, o := range run(t, p, probe.Request{Modules: built}) {
		worst, _ := fault.Worst(o.Issues)
		if !o.Passed || worst.Reason != fault.ProbeEmpty || worst.Severity != fault.Warning || worst.Module != o.Module.ID || worst.Meta["domain"] != o.Module.Domain {
			t.Errorf("%s: passed %v, %+v", o.Module.ID, o.Passed, o.Issues)
		}
	}
}

func TestFindings(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  tusharesim.Fault
		reason fault.Reason
	}{
		{"bad token", tusharesim.Fault{Kind: tusharesim.BadToken}, fault.TokenInvalid},
		{"no permission", tusharesim.Fault{Kind: tusharesim.NoPermission}, fault.PermissionDenied},
		{"down", tusharesim.Fault{Kind: tusharesim.HTTP502}, fault.ProviderUnavailable},
		{"too many addresses", tusharesim.Fault{Kind: tusharesim.TooManyIPs}, fault.TooManyIPs},
		{"day quota", tusharesim.Fault{Kind: tusharesim.DayQuota}, fault.QuotaExhausted},
		{"server error", tusharesim.Fault{Kind: tusharesim.AnyCode, Code: 50101, Text: "系统繁忙，请稍后再试"}, fault.ProviderUnavailable},
		{"parameter text", tusharesim.Fault{Kind: tusharesim.BadRequest}, fault.ProviderUnavailable},
		{"unknown error", tusharesim.Fault{Kind: tusharesim.AnyCode, Code: -1000, Text: "未知错误"}, fault.ProviderUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
			if _, err := sim.AddFault(c.fault); err != nil {
				t.Fatal(err)
			}
			o := run(t, p, probe.Request{Modules: []string{"etf.daily_quote"}, TradeDate: lastOpen(t, sim)})[0]
			if o.Passed || len(o.Issues) != 1 || o.Issues[0].Reason != c.reason || o.Issues[0].Domain != "etf" || o.Issues[0].Meta["module"] != "etf.daily_quote" {
				t.Errorf("%+v", o)
			}
		})
	}
	p, _, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "", 1)
	if o := run(t, p, probe.Request{Modules: built[:1]})[0]; o.Passed || o.Issues[0].Reason != fault.TokenMissing || o.Calls != 0 {
		t.Errorf("without a token: %+v", o)
	}
}

// One answer that passes, met by any probe, blocks nothing.
func TestOnePassingAnswerHoldsNothingBack(t *testing.T) {
	for _, f := range []tusharesim.Fault{
		{Kind: tusharesim.BadRequest}, {Kind: tusharesim.AnyCode, Code: 50101}, {Kind: tusharesim.AnyCode, Code: -1000, Text: "未知错误"},
		{Kind: tusharesim.AnyCode, Code: -2001, Text: "argument error"}, {Kind: tusharesim.DataNull},
	} {
		p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 2)
		for _, api := range []string{catalog.StockBasic, catalog.DailyBasic, catalog.TradeCal, catalog.FundDaily} {
			f.API, f.Count = api, 1
			if _, err := sim.AddFault(f); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range run(t, p, probe.Request{Modules: built, TradeDate: lastOpen(t, sim)}) {
			if !o.Passed || len(o.Issues) != 0 || o.Rows == 0 {
				t.Errorf("%s %d, %s: %+v", f.Kind, f.Code, o.Module.ID, o)
			}
		}
		if len(sim.Faults()) > 0 {
			t.Errorf("%s %d did not happen", f.Kind, f.Code)
		}
	}
}

// Rows without values are not published yet, which is not a fault of the module.
func TestRowsWithoutValuesAreAWarning(t *testing.T) {
	for module, column := range map[string]string{
		"etf.daily_quote": "close", "stock.market.daily": "total_mv", "stock.moneyflow": "net_mf_amount", "stock.basic": "list_date", "etf.basic_info": "list_date",
	} {
		p, sim, answers := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
		if _, err := sim.AddFault(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeNull, Column: column, N: 1_000_000}); err != nil {
			t.Fatal(err)
		}
		o := run(t, p, probe.Request{Modules: []string{module}, TradeDate: lastOpen(t, sim)})[0]
		if !o.Passed || o.Rows == 0 || len(o.Issues) != 1 || o.Issues[0].Severity != fault.Warning || o.Issues[0].Meta["column"] != column {
			t.Errorf("%s: %+v", module, o)
			continue
		}
		faulttest.Produces(t, o.Issues[0], fault.ValuesMissing)
		for _, id := range []string{catalog.StockBasic, catalog.FundBasic} {
			ds := catalog.Lookup(id)
			if _, held := answers.Get(market.DateOf(time.Now()), ds, ds.Calls[0].Params); held {
				t.Errorf("%s: a list without dates serves as the day's fetch", module)
			}
		}
	}
}

// without is a provider whose replies lack a field while lacking is set.
type without struct {
	ingest.Provider
	lacking *bool
	before  bool
}

func (w without) Fetch(ctx context.Context, q ingest.Query, f func(ingest.Progress)) (ingest.Answer, error) {
	a, err := w.Provider.Fetch(ctx, q, f)
	if *w.lacking {
		a.Absent = []ingest.Absence{{Column: "pct_chg"}, {Column: "vol", Before: w.before}}
	}
	return a, err
}

// Only a field that was never there fails a module for good.
func TestAFieldThatTheReplyLacks(t *testing.T) {
	for before, want := range map[bool]fault.Reason{true: fault.ProviderUnavailable, false: fault.ModuleTestFailed} {
		sim := tusharesim.StartTest(t, tusharesim.Options{Stocks: 200, Funds: 60})
		lacking := true
		c, _ := newClient(t, sim, "token", 1)
		p := probe.New(without{c, &lacking, before}, tokens{"token"}, nil, nil)
		o := run(t, p, probe.Request{Modules: []string{"stock.market.daily"}, TradeDate: lastOpen(t, sim)})[0]
		if o.Passed || o.Issues[0].Reason != want || !strings.Contains(o.Issues[0].Message, "vol") || o.Issues[0].Meta["cause"] == "" || o.Calls != 2 {
			t.Errorf("%+v", o)
		}
		lacking = false
		if o = run(t, p, probe.Request{Modules: []string{"stock.market.daily"}, TradeDate: lastOpen(t, sim)})[0]; !o.Passed || len(o.Issues) > 0 {
			t.Errorf("%+v", o)
		}
	}
}

func TestSpentLimitIsNoMatterOnceTheDaysAnswerIsHeld(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	if o := run(t, p, probe.Request{Modules: []string{"stock.basic"}})[0]; !o.Passed || len(o.Issues) != 0 {
		t.Fatalf("%+v", o)
	}
	if _, err := sim.AddFault(tusharesim.Fault{Kind: tusharesim.DayQuota}); err != nil {
		t.Fatal(err)
	}
	out := run(t, p, probe.Request{Modules: []string{"stock.basic", "etf.basic_info"}})
	held, other := out[0], out[1]
	if !held.Passed || held.Rows == 0 || len(held.Issues) != 1 || held.Issues[0].Reason != fault.QuotaExhausted || held.Issues[0].Severity != fault.Warning {
		t.Errorf("the day's answer is held: %+v", held)
	}
	if other.Passed || other.Issues[0].Reason != fault.QuotaExhausted {
		t.Errorf("no answer is held: %+v", other)
	}
}

func TestBothAPIsOfAModuleAreProved(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	if err := sim.Deny(catalog.DailyBasic); err != nil {
		t.Fatal(err)
	}
	o := run(t, p, probe.Request{Modules: []string{"stock.market.daily"}, TradeDate: lastOpen(t, sim)})[0]
	if o.Passed || o.Rows != 3 || o.Issues[0].Reason != fault.PermissionDenied || o.Issues[0].Meta["api"] != catalog.DailyBasic {
		t.Errorf("%+v", o)
	}
}

func TestHangEndsAtItsTimeout(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	if _, err := sim.AddFault(tusharesim.Fault{Kind: tusharesim.Hang, API: catalog.Moneyflow}); err != nil {
		t.Fatal(err)
	}
	out := run(t, p, probe.Request{Modules: []string{"stock.moneyflow", "etf.daily_quote"}, TradeDate: lastOpen(t, sim), Timeout: 200 * time.Millisecond})
	if len(out) != 2 || out[0].Passed || out[0].Issues[0].Reason != fault.ProviderUnavailable || !out[1].Passed {
		t.Errorf("%+v", out)
	}
}

func TestUnknownAndUnbuiltModules(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	for id, want := range map[string]fault.Reason{"stock.weather": fault.InvalidArgument, "index.daily": fault.ModuleNotSyncCapable} {
		err := p.Run(context.Background(), probe.Request{Modules: []string{"stock.basic", id}}, probe.Events{
			Started: func(m *catalog.Module) error { t.Errorf("%s was probed", m.ID); return nil },
		})
		if !fault.Is(err, want) || !strings.Contains(err.Error(), id) {
			t.Errorf("%s: %v", id, err)
		}
	}
	if sim.Stats().Total != 0 {
		t.Error("calls were spent")
	}
}

func TestListenerThatGoesEndsTheProbing(t *testing.T) {
	p, _, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	gone := errors.New("gone")
	var seen []string
	err := p.Run(context.Background(), probe.Request{Modules: built}, probe.Events{
		Started:  func(m *catalog.Module) error { seen = append(seen, m.ID); return nil },
		Finished: func(probe.Outcome) error { return gone },
	})
	if !errors.Is(err, gone) || !slices.Equal(seen, built[:1]) {
		t.Errorf("%v after %v", err, seen)
	}
}

// Preflights at once spend one call of each list; a later one proves again that it may.
func TestProbesAtOnceAskOnce(t *testing.T) {
	p, sim, _ := newProber(t, tusharesim.Options{Stocks: 200, Funds: 60}, "token", 1)
	if _, err := sim.AddFault(tusharesim.Fault{Kind: tusharesim.Slow, API: catalog.StockBasic, DelayMS: 500}); err != nil {
		t.Fatal(err)
	}
	calls := 0
	outs := make(chan probe.Outcome)
	for range 3 {
		go func() { outs <- run(t, p, probe.Request{Modules: []string{"stock.basic"}})[0] }()
	}
	for range 3 {
		o := <-outs
		calls += o.Calls
		if !o.Passed || o.Rows == 0 || o.Latency == 0 || o.At.IsZero() || len(o.Issues) > 0 {
			t.Errorf("%+v", o)
		}
	}
	if n := sim.Stats().Total; n != 1 || calls != 1 {
		t.Errorf("%d calls were made and %d reported", n, calls)
	}
	if o := run(t, p, probe.Request{Modules: []string{"stock.basic"}})[0]; o.Calls != 1 || sim.Stats().Total != 2 {
		t.Errorf("a later probe: %+v, %d calls", o, sim.Stats().Total)
	}
}
