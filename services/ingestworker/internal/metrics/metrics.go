// Package metrics exports the worker's metrics to Prometheus. Events are counted where they
// happen: Limiter and Prober wrap the parts that they measure; other packages report to
// Called, Committed and Published.
package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/scrape"
)

// Metrics of the worker. They start at 0 with the process.
type Metrics struct {
	registry                                              prometheus.Registerer
	calls, waits, probes, commitFailures, publishFailures *prometheus.CounterVec
	callSeconds, commitSeconds, publishSeconds            *prometheus.HistogramVec
}

// New registers the metrics.
func New(r prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: scrape.Prefix + name, Help: help}, labels)
	}
	seconds := func(name, help string, buckets []float64, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: scrape.Prefix + name, Help: help, Buckets: buckets}, []string{label})
	}
	m := &Metrics{
		registry:        r,
		calls:           counter("provider_calls_total", "Calls to the provider, by API and result: ok, or the reason in lower case.", "api", "result"),
		callSeconds:     seconds("provider_call_duration_seconds", "From sending a call to the last byte of its answer, waiting for a limit left out.", []float64{.05, .1, .2, .5, 1, 2, 5, 15, 30}, "api"),
		waits:           counter("limiter_wait_seconds_total", "Total time that calls have waited for a limit of the provider, by API.", "api"),
		commitSeconds:   seconds("commit_duration_seconds", "Duration of a partition's commit, including the wait for its group.", []float64{.005, .02, .05, .1, .25, .5, 1, 2.5, 10, 60}, "pool"),
		commitFailures:  counter("commit_failures_total", "Failed commits; they were rolled back.", "pool"),
		publishSeconds:  seconds("publish_duration_seconds", "Duration of a publication of a new version.", []float64{.25, .5, 1, 2.5, 5, 15, 60, 300, 900}, "pool"),
		publishFailures: counter("publish_failures_total", "Failed publications; the previous version stays current.", "pool"),
		probes:          counter("probes_total", "Probes of modules, by result.", "module", "result"),
	}
	for _, p := range market.Pools() {
		m.commitSeconds.WithLabelValues(string(p))
		m.commitFailures.WithLabelValues(string(p))
		m.publishSeconds.WithLabelValues(string(p))
		m.publishFailures.WithLabelValues(string(p))
	}
	for _, d := range append(catalog.Datasets(), catalog.Suspensions()) {
		m.calls.WithLabelValues(d.ID, "ok")
		m.callSeconds.WithLabelValues(d.ID)
		m.waits.WithLabelValues(d.ID)
	}
	for _, x := range catalog.Modules() {
		if x.Built {
			m.probes.WithLabelValues(x.ID, "pass")
			m.probes.WithLabelValues(x.ID, "fail")
		}
	}
	r.MustRegister(m.calls, m.callSeconds, m.waits, m.commitSeconds, m.commitFailures, m.publishSeconds, m.publishFailures, m.probes)
	return m
}

// Readers measures how many readers wait, and for how long they have waited.
func (m *Metrics) Readers(waiting func() (n int, waited time.Duration)) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: scrape.Prefix + "readers_waiting", Help: "Readers of published rows that wait for runs, which have priority, or for each other.",
		}, func() float64 { n, _ := waiting(); return float64(n) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: scrape.Prefix + "reader_wait_seconds_total", Help: "Total time that readers of published rows have waited.",
		}, func() float64 { _, waited := waiting(); return waited.Seconds() }),
	)
}

// Called counts a call to the provider. result is "ok" or one of a few words.
func (m *Metrics) Called(api, result string, took time.Duration) {
	m.calls.WithLabelValues(api, result).Inc()
	m.callSeconds.WithLabelValues(api).Observe(took.Seconds())
}

// Published counts a publication of a pool.
func (m *Metrics) Published(pool market.Pool, r publish.Result, err error) {
	switch {
	case err != nil:
		if !errors.Is(err, context.Canceled) {
			m.publishFailures.WithLabelValues(string(pool)).Inc()
		}
	case r.Published:
		m.publishSeconds.WithLabelValues(string(pool)).Observe(r.Took.Seconds())
	}
}

// Committed counts a commit of a partition.
func (m *Metrics) Committed(pool market.Pool, took time.Duration, err error) {
	if err != nil {
		m.commitFailures.WithLabelValues(string(pool)).Inc()
		return
	}
	m.commitSeconds.WithLabelValues(string(pool)).Observe(took.Seconds())
}

// Limiter is the part of a limiter that is measured or passed through.
type Limiter interface {
	Acquire(ctx context.Context, key quota.Key, p quota.Priority, waiting func(until time.Time)) error
	Refused(key quota.Key, sent time.Time, w quota.Window, n int) time.Time
	Hold(key quota.Key, until time.Time) time.Time
}

// Limiter measures how long calls wait.
func (m *Metrics) Limiter(l Limiter) Limiter { return limiter{l, m} }

type limiter struct {
	Limiter
	m *Metrics
}

// Acquire waits as the limiter does.
func (l limiter) Acquire(ctx context.Context, key quota.Key, p quota.Priority, waiting func(until time.Time)) error {
	began := time.Now()
	err := l.Limiter.Acquire(ctx, key, p, waiting)
	l.m.waits.WithLabelValues(key.API).Add(time.Since(began).Seconds())
	return err
}

// Prober probes modules.
type Prober interface {
	Run(ctx context.Context, r probe.Request, e probe.Events) error
}

// Prober counts the probes.
func (m *Metrics) Prober(p Prober) Prober { return prober{p, m} }

type prober struct {
	Prober
	m *Metrics
}

// Run probes as the prober does.
func (p prober) Run(ctx context.Context, r probe.Request, e probe.Events) error {
	finished := e.Finished
	e.Finished = func(o probe.Outcome) error {
		result := "fail"
		if o.Passed {
			result = "pass"
		}
		p.m.probes.WithLabelValues(o.Module.ID, result).Inc()
		return finished(o)
	}
	return p.Prober.Run(ctx, r, e)
}
