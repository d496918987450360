package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/metrics"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

var noon = time.Date(2026, 11, 27, 22, 0, 0, 0, market.Shanghai)

// fake is a ledger and a worker that answer with what a test puts in.
type fake struct {
	dispatch.Ledger
	saveErr error
	last    map[market.Pool]run.Run
	open    []run.Run
	queue   map[market.Pool][]run.Run
	hold    map[market.Pool]run.PauseState
	pending []slot.Slot
	targets []string
	away    error
	held    map[market.Pool][]worker.Coverage
}

func (f *fake) Save(context.Context, run.Update) ([]run.Event, error) { return nil, f.saveErr }
func (f *fake) CancelQueued(_ context.Context, id, _ string, at time.Time) (run.Run, error) {
	return run.Run{ID: id, Pool: market.Targets, State: run.Finished, Outcome: run.Cancelled, StartedAt: at, FinishedAt: at}, f.saveErr
}
func (f *fake) LastFinished(_ context.Context, p market.Pool) (run.Run, bool, error) {
	r, ok := f.last[p]
	return r, ok, nil
}
func (f *fake) Unfinished(context.Context) ([]run.Run, error)             { return f.open, nil }
func (f *fake) Queue(_ context.Context, p market.Pool) ([]run.Run, error) { return f.queue[p], nil }
func (f *fake) PauseState(_ context.Context, p market.Pool) (run.PauseState, error) {
	return f.hold[p], nil
}
func (f *fake) PendingSlots(context.Context) ([]slot.Slot, error) { return f.pending, nil }
func (f *fake) Targets(context.Context) ([]string, error)         { return f.targets, nil }
func (f *fake) ChannelHealth(context.Context, time.Time) (map[string]notice.Health, error) {
	return map[string]notice.Health{"desk": {FailingSince: noon}, "mail": {SentAt: noon}}, nil
}
func (f *fake) Send(_ context.Context, c notice.Channel, _ notice.Notice, _ notice.Delivery) error {
	if c.Kind == notice.Slack {
		return errors.New("no such channel")
	}
	return nil
}
func (f *fake) Ping(context.Context) error { return f.away }
func (f *fake) Coverage(_ context.Context, q worker.CoverageQuery) ([]worker.Coverage, error) {
	return f.held[q.Pool], nil
}

func (f *fake) facts(context.Context, []string) (readiness.Facts, error) {
	module := func(id string, kind market.Kind) catalog.Module {
		domain, _, _ := strings.Cut(id, ".")
		return catalog.Module{ID: id, Domain: domain, Kind: kind, SyncCapable: true, EnabledByDefault: true, Pools: market.Pools()}
	}
	return readiness.Facts{
		Now: noon, Kinds: map[market.Kind]bool{market.Stock: true},
		Catalog: &catalog.Catalog{Modules: []catalog.Module{module("stock.market.daily", market.Stock), module("stock.moneyflow", market.Stock), module("etf.daily_quote", market.ETF)}},
		Modules: map[string]bool{"stock.moneyflow": false},
		Probes: map[string]readiness.Probe{
			"stock.market.daily": {Status: readiness.Pass, At: noon.Add(-time.Hour)},
			"stock.moneyflow":    {Status: readiness.Fail, At: noon.Add(-time.Hour)},
			"etf.daily_quote":    {Status: readiness.Fail, At: noon.Add(-time.Minute)},
		},
	}, nil
}

func TestCountsWhatIsStored(t *testing.T) {
	r := prometheus.NewRegistry()
	f := &fake{}
	counts := metrics.NewCounts(r)
	l := counts.Watched(f)
	for _, kind := range []notice.ChannelKind{notice.Slack, notice.Mail, notice.Mail} {
		_ = counts.Sender(f).Send(context.Background(), notice.Channel{Kind: kind}, notice.Notice{}, notice.Delivery{}) // counted below
	}
	ctx := context.Background()
	save := func(u run.Update) {
		t.Helper()
		if _, err := l.Save(ctx, u); (err != nil) != (f.saveErr != nil) {
			t.Fatal(err)
		}
	}
	going := run.Run{Pool: market.Universe, State: run.Running, StartedAt: noon}
	save(run.Update{Run: going, Partitions: []run.Partition{
		{State: run.PartitionRunning}, {State: run.PartitionWaiting, Verdict: "not_published"}, {State: run.PartitionCancelled},
		{State: run.PartitionCompleted, Verdict: "complete"}, {State: run.PartitionCompleted, Verdict: "complete"},
		{State: run.PartitionFailed, Verdict: "not_published"}, {State: run.PartitionFailed},
	}})
	ended := going
	ended.State, ended.Outcome, ended.New, ended.Changed, ended.Gone, ended.FinishedAt = run.Finished, run.Partial, 7, 2, 1, noon.Add(10*time.Second)
	f.saveErr = errors.New("no room")
	save(run.Update{Run: ended}) // it is tried again, and counts then
	f.saveErr = nil
	save(run.Update{Run: ended})
	save(run.Update{Run: run.Run{Pool: market.Targets, State: run.Finished, Outcome: run.Blocked, Stage: run.StageReadiness}})
	if _, err := l.CancelQueued(ctx, "r", "", noon); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct{ name, want string }{
		{"afterbell_partitions_total", `afterbell_partitions_total{pool="universe",verdict="complete"} 2
afterbell_partitions_total{pool="universe",verdict="none"} 1
afterbell_partitions_total{pool="universe",verdict="not_published"} 1`},
		{"afterbell_rows_total", `afterbell_rows_total{change="changed",pool="universe"} 2
afterbell_rows_total{change="gone",pool="universe"} 1
afterbell_rows_total{change="new",pool="universe"} 7`},
		{"afterbell_notices_total", `afterbell_notices_total{kind="mail",result="sent"} 2
afterbell_notices_total{kind="slack",result="failed"} 1`},
		{"afterbell_runs_total", `afterbell_runs_total{outcome="blocked",pool="targets",stage="readiness"} 1
afterbell_runs_total{outcome="cancelled",pool="targets",stage="none"} 1
afterbell_runs_total{outcome="partial",pool="universe",stage="none"} 1`},
	} {
		if got := lines(t, r, m.name); got != m.want {
			t.Errorf("%s:\n%s\nwant:\n%s", m.name, got, m.want)
		}
	}
	clean(t, r)
}

// lines are the metrics of a family that are not 0.
func lines(t *testing.T, g prometheus.Gatherer, name string) string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue()
			if f.GetName() != name || value == 0 {
				continue
			}
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			text := name
			if len(labels) > 0 {
				text += "{" + strings.Join(labels, ",") + "}"
			}
			out = append(out, fmt.Sprintf("%s %v", text, value))
		}
	}
	return strings.Join(out, "\n")
}

func clean(t *testing.T, g prometheus.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(g)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
}

func TestTellsHowThingsStand(t *testing.T) {
	day := market.DateOf(noon)
	daily := func(d market.Date, verdict market.Verdict) worker.Coverage {
		return worker.Coverage{Module: "stock.market.daily", Dataset: "daily", Date: d, Verdict: verdict}
	}
	f := &fake{
		last:    map[market.Pool]run.Run{market.Universe: {Outcome: run.Partial, FinishedAt: noon}},
		open:    []run.Run{{Pool: market.Universe, State: run.Running}, {Pool: market.Targets, State: run.Paused}},
		queue:   map[market.Pool][]run.Run{market.Universe: {{}, {}}},
		hold:    map[market.Pool]run.PauseState{market.Targets: {Paused: true}},
		pending: []slot.Slot{{Pool: market.Universe, DueAt: noon.Add(-time.Minute)}, {Pool: market.Universe, DueAt: noon.Add(time.Minute)}},
		targets: []string{"600000.SH"},
		held: map[market.Pool][]worker.Coverage{
			market.Universe: { // not in order, and with a hole before the newest complete day
				daily(day, "missing"), daily(day-4, "complete"), daily(day-1, "not_published"), daily(day-2, "accepted_short"), daily(day-3, "incomplete"),
				{Module: "stock.market.daily", Dataset: "stock_basic", Date: market.NoDate, Verdict: "missing"},
				{Module: "stock.moneyflow", Dataset: "moneyflow", Date: day, Verdict: "missing"}, // switched off
			},
			market.Targets: {daily(day, "missing"), daily(day-1, "empty")}, // nothing is complete
		},
	}
	told := func() (*prometheus.Registry, func(string) string) {
		r := prometheus.NewRegistry()
		metrics.NewStanding(r, metrics.Config{Ledger: f, Worker: f, Facts: f.facts, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)})
		return r, func(name string) string { t.Helper(); return lines(t, r, "afterbell_"+name) }
	}
	r, now := told()
	for name, want := range map[string]string{
		"worker_up":               "afterbell_worker_up 1",
		"last_run_outcome":        `afterbell_last_run_outcome{outcome="partial",pool="universe"} 1`,
		"run_active":              `afterbell_run_active{pool="universe"} 1`,
		"queued_runs":             `afterbell_queued_runs{pool="universe"} 2`,
		"pool_paused":             `afterbell_pool_paused{pool="targets"} 1`,
		"notice_channels_failing": "afterbell_notice_channels_failing 1",
		"overdue_slots":           `afterbell_overdue_slots{pool="universe"} 1`,
		"probe_passed":            `afterbell_probe_passed{module="stock.market.daily"} 1`,
		"trade_dates_behind":      "afterbell_trade_dates_behind{dataset=\"daily\",pool=\"targets\"} 2\nafterbell_trade_dates_behind{dataset=\"daily\",pool=\"universe\"} 2",
		"trade_dates_lacking":     "afterbell_trade_dates_lacking{dataset=\"daily\",pool=\"targets\"} 2\nafterbell_trade_dates_lacking{dataset=\"daily\",pool=\"universe\"} 3",
	} {
		if got := now(name); got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
	if n, err := testutil.GatherAndCount(r, "afterbell_probe_passed"); err != nil || n != 2 {
		t.Errorf("%d probes of enabled modules, %v", n, err)
	}
	clean(t, r)
	f.away = errors.New("away")
	r, now = told()
	if got := now("trade_dates_behind"); got != "" {
		t.Errorf("the worker is unreachable, and the state is %s", got)
	}
	if n, err := testutil.GatherAndCount(r, "afterbell_worker_up"); err != nil || n != 1 || now("worker_up") != "" {
		t.Errorf("worker_up: %d, %q, %v", n, now("worker_up"), err)
	}
}
