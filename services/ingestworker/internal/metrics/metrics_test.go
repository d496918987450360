package metrics_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/metrics"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/market"
)

type slow struct{ metrics.Limiter }

func (slow) Acquire(_ context.Context, _ quota.Key, _ quota.Priority, waiting func(time.Time)) error {
	waiting(time.Now())
	time.Sleep(90 * time.Second)
	return nil
}

type prober struct{}

func (prober) Run(_ context.Context, _ probe.Request, e probe.Events) error {
	for i, id := range []string{"stock.basic", "stock.moneyflow"} {
		if err := e.Finished(probe.Outcome{Module: catalog.LookupModule(id), Passed: i == 0}); err != nil {
			return err
		}
	}
	return nil
}

func TestMeasures(t *testing.T) {
	r := prometheus.NewRegistry()
	m := metrics.New(r)
	waited := false
	synctest.Test(t, func(t *testing.T) {
		err := m.Limiter(slow{}).Acquire(t.Context(), quota.Key{API: "daily"}, quota.Normal, func(time.Time) { waited = true })
		if err != nil || !waited {
			t.Error(err, waited)
		}
	})
	finished := 0
	if err := m.Prober(prober{}).Run(t.Context(), probe.Request{}, probe.Events{Finished: func(probe.Outcome) error { finished++; return nil }}); err != nil || finished != 2 {
		t.Errorf("%d probes reported, %v", finished, err)
	}
	m.Called("daily", "ok", time.Second)
	m.Called("daily", "rate_limited", time.Second)
	m.Committed(market.Universe, time.Second, nil)
	m.Committed(market.Universe, time.Second, errors.New("full"))
	m.Published(market.Targets, publish.Result{Published: true, Took: time.Second}, nil)
	m.Published(market.Targets, publish.Result{}, nil) // nothing was new
	m.Published(market.Targets, publish.Result{}, errors.New("full"))
	m.Published(market.Targets, publish.Result{}, context.Canceled) // asked to stop
	m.Readers(func() (int, time.Duration) { return 3, 90 * time.Second })
	want := `# HELP afterbell_limiter_wait_seconds_total Total time that calls have waited for a limit of the provider, by API.
# TYPE afterbell_limiter_wait_seconds_total counter
`
	for _, d := range []string{"daily", "daily_basic", "fund_basic", "fund_daily", "moneyflow", "stock_basic", "suspend_d", "trade_cal"} {
		n := " 0"
		if d == "daily" {
			n = " 90"
		}
		want += `afterbell_limiter_wait_seconds_total{api="` + d + `"}` + n + "\n"
	}
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "afterbell_limiter_wait_seconds_total"); err != nil {
		t.Error(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, f := range families {
		for _, x := range f.GetMetric() {
			counted[f.GetName()] += x.GetCounter().GetValue() + x.GetGauge().GetValue() + float64(x.GetHistogram().GetSampleCount())
		}
	}
	for name, n := range map[string]float64{
		"provider_calls_total": 2, "provider_call_duration_seconds": 2, "commit_duration_seconds": 1, "commit_failures_total": 1,
		"publish_duration_seconds": 1, "publish_failures_total": 1, "probes_total": 2, "readers_waiting": 3, "reader_wait_seconds_total": 90,
	} {
		if got := counted["afterbell_"+name]; got != n {
			t.Errorf("%s counts %v, want %v", name, got, n)
		}
	}
	problems, err := testutil.GatherAndLint(r)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", err, problems)
	}
}
