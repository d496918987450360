package metrics

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/scrape"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

// Ledger is what a scrape reads from the ledger; *ledger.Store implements it.
type Ledger interface {
	LastFinished(ctx context.Context, pool market.Pool) (run.Run, bool, error)
	Unfinished(ctx context.Context) ([]run.Run, error)
	Queue(ctx context.Context, pool market.Pool) ([]run.Run, error)
	PauseState(ctx context.Context, pool market.Pool) (run.PauseState, error)
	PendingSlots(ctx context.Context) ([]slot.Slot, error)
	Targets(ctx context.Context) ([]string, error)
	ChannelHealth(ctx context.Context, since time.Time) (map[string]notice.Health, error)
}

// Worker is what a scrape asks the ingest-worker; *worker.Client implements it.
type Worker interface {
	Ping(ctx context.Context) error
	Coverage(ctx context.Context, q worker.CoverageQuery) ([]worker.Coverage, error)
}

// Config is the configuration of a Standing. Every field is required.
type Config struct {
	// Ledger that remembers.
	Ledger Ledger
	// Worker that has the coverage.
	Worker Worker
	// Facts about modules and probes in the ledger.
	Facts func(ctx context.Context, requested []string) (readiness.Facts, error)
	// Now is the clock.
	Now func() time.Time
	// Log gets the errors of reads.
	Log *slog.Logger
}

// Standing collects the metrics of states at each scrape.
type Standing struct {
	cfg Config

	mu     sync.Mutex
	at     time.Time
	held   map[market.Pool][]worker.Coverage
	worker bool
}

const (
	// readTime limits the duration of one scrape, askTime that of one call to the worker.
	readTime = 5 * time.Second
	askTime  = 2 * time.Second
	// heldKept is how long the worker's answer is reused.
	heldKept = 5 * time.Second
	// lookBack is how many calendar days are checked for missing data.
	lookBack = 31
)

// NewStanding registers the metrics.
func NewStanding(r prometheus.Registerer, cfg Config) *Standing {
	s := &Standing{cfg: cfg}
	r.MustRegister(s)
	return s
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(scrape.Prefix+name, help, labels, nil)
}

var (
	workerUp    = desc("worker_up", "Whether the ingest-worker responds to the orchestrator: 1 or 0.")
	lastOutcome = desc("last_run_outcome", "1 for the outcome of the pool's last finished run, 0 for the others.", "pool", "outcome")
	lastEnd     = desc("last_run_finished_timestamp_seconds", "Time at which the pool's last run finished. Absent before the first.", "pool")
	active      = desc("run_active", "Whether a run of the pool is in progress: 1 or 0. A paused run is not.", "pool")
	queued      = desc("queued_runs", "Runs of the pool in the queue.", "pool")
	paused      = desc("pool_paused", "Whether the pool is paused: 1 or 0.", "pool")
	overdue     = desc("overdue_slots", "Slots of the pool that are due and not decided.", "pool")
	freshness   = desc("trade_dates_behind", "Trading days after the newest complete one whose data is due, per enabled dataset. 0 means up to date; at most the days of the last 31 calendar days. Absent if the worker does not respond.", "pool", "dataset")
	lacking     = desc("trade_dates_lacking", "Trading days in the last 31 calendar days whose data is due and not complete, per enabled dataset. Absent if the worker does not respond.", "pool", "dataset")
	failing     = desc("notice_channels_failing", "Channels with a notice that waits after a failed attempt.")
	probePassed = desc("probe_passed", "Whether the last probe of an enabled module passed: 1 or 0. Absent before the first.", "module")
	probeTime   = desc("probe_timestamp_seconds", "Time of the last probe of an enabled module. Absent before the first.", "module")
)

// Describe implements prometheus.Collector.
func (s *Standing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{workerUp, lastOutcome, lastEnd, active, queued, paused, overdue, failing, freshness, lacking, probePassed, probeTime} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. A metric that cannot be read is omitted, and the
// error is logged.
func (s *Standing) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	told := func(what string, err error) bool {
		if err != nil {
			s.cfg.Log.Warn("a metric was left out, because it cannot be read", "metric", what, "error", err.Error())
		}
		return err == nil
	}
	s.runs(ctx, gauge, told)
	facts, err := s.cfg.Facts(ctx, nil)
	if !told("probes and freshness", err) {
		return
	}
	enabled := map[market.Pool][]string{}
	var all []string
	for _, p := range market.Pools() {
		enabled[p] = readiness.Select(p, facts).Modules
		all = append(all, enabled[p]...)
	}
	slices.Sort(all)
	for _, module := range slices.Compact(all) {
		if p, ok := facts.Probes[module]; ok && !p.At.IsZero() {
			gauge(probePassed, number(p.Status == readiness.Pass), module)
			gauge(probeTime, stamp(p.At), module)
		}
	}
	held, up := s.coverage(ctx, enabled)
	gauge(workerUp, number(up))
	for _, p := range market.Pools() {
		for dataset, days := range byDataset(held[p], enabled[p]) {
			behind, lacks := 0, 0
			for i, complete := range days {
				if !complete {
					lacks++
				} else {
					behind = len(days) - 1 - i
				}
			}
			if lacks == len(days) {
				behind = len(days)
			}
			gauge(freshness, float64(behind), string(p), dataset)
			gauge(lacking, float64(lacks), string(p), dataset)
		}
	}
}

// runs collects the metrics of runs and slots.
func (s *Standing) runs(ctx context.Context, gauge func(*prometheus.Desc, float64, ...string), told func(string, error) bool) {
	open, err := s.cfg.Ledger.Unfinished(ctx)
	known := told("run_active", err)
	pending, err := s.cfg.Ledger.PendingSlots(ctx)
	slots := told("overdue_slots", err)
	now := s.cfg.Now()
	if channels, err := s.cfg.Ledger.ChannelHealth(ctx, now); told("notice_channels_failing", err) {
		n := 0
		for _, h := range channels {
			if !h.FailingSince.IsZero() {
				n++
			}
		}
		gauge(failing, float64(n))
	}
	for _, p := range market.Pools() {
		pool := string(p)
		if last, ok, err := s.cfg.Ledger.LastFinished(ctx, p); told("last_run_outcome", err) && ok {
			for _, o := range run.Outcomes() {
				gauge(lastOutcome, number(last.Outcome == o), pool, string(o))
			}
			gauge(lastEnd, stamp(last.FinishedAt), pool)
		}
		if known {
			gauge(active, number(slices.ContainsFunc(open, func(r run.Run) bool { return r.Pool == p && r.State != run.Paused })), pool)
		}
		if queue, err := s.cfg.Ledger.Queue(ctx, p); told("queued_runs", err) {
			gauge(queued, float64(len(queue)), pool)
		}
		if hold, err := s.cfg.Ledger.PauseState(ctx, p); told("pool_paused", err) {
			gauge(paused, number(hold.Paused), pool)
		}
		if slots {
			n := 0
			for _, v := range pending {
				if v.Pool == p && !v.DueAt.After(now) {
					n++
				}
			}
			gauge(overdue, float64(n), pool)
		}
	}
}

// coverage is the worker's coverage of the last days, possibly from a moment ago; up is
// false while the worker does not respond.
func (s *Standing) coverage(ctx context.Context, enabled map[market.Pool][]string) (held map[market.Pool][]worker.Coverage, up bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.at) < heldKept {
		return s.held, s.worker
	}
	s.held, s.worker = nil, false
	ping, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := s.cfg.Worker.Ping(ping); err != nil {
		s.at = time.Now()
		return nil, false
	}
	s.worker, s.held = true, map[market.Pool][]worker.Coverage{}
	for p, modules := range enabled {
		q := worker.CoverageQuery{Pool: p, Modules: modules, Start: market.DateOf(s.cfg.Now()) - lookBack, End: market.NoDate}
		if p == market.Targets {
			symbols, err := s.cfg.Ledger.Targets(ctx)
			if err != nil || len(symbols) == 0 {
				continue
			}
			q.Symbols = symbols
		}
		if len(modules) == 0 {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, askTime)
		days, err := s.cfg.Worker.Coverage(asking, q)
		cancel()
		if err != nil {
			s.cfg.Log.Warn("a metric was left out, because it cannot be read", "metric", "trade_dates_behind", "pool", string(p), "error", err.Error())
			continue
		}
		s.held[p] = days
	}
	s.at = time.Now()
	return s.held, true
}

// byDataset returns, for each dataset of the modules, whether each day is complete, in the
// order of the days. Snapshots have no days.
func byDataset(held []worker.Coverage, modules []string) map[string][]bool {
	days := map[string][]bool{}
	slices.SortStableFunc(held, func(a, b worker.Coverage) int { return int(a.Date) - int(b.Date) })
	for _, c := range held {
		if c.Date != market.NoDate && slices.Contains(modules, c.Module) {
			days[c.Dataset] = append(days[c.Dataset], c.Settled())
		}
	}
	return days
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func stamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
