package metrics

import (
	"cmp"
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/scrape"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// All values of the labels, so that each counter exists with 0 from the start.
var (
	stages  = []run.Stage{run.StageToken, run.StagePreflight, run.StageReadiness, run.StageAnalysisInit}
	changes = []string{"new", "changed", "gone"}
)

// none is the label for no value: a run that no check stopped, a partition without a
// response.
const none = "none"

// Counts are the counters. They start at 0 with the process.
type Counts struct {
	runs, partitions, rows, notices *prometheus.CounterVec
	seconds                         *prometheus.HistogramVec
}

// NewCounts registers the counters.
func NewCounts(r prometheus.Registerer) *Counts {
	c := &Counts{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: scrape.Prefix + "runs_total", Help: "Finished runs, by pool, outcome, and the check that blocked them.",
		}, []string{"pool", "outcome", "stage"}),
		partitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: scrape.Prefix + "partitions_total", Help: "Partitions that were completed or failed, by pool and the verdict on the last response.",
		}, []string{"pool", "verdict"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: scrape.Prefix + "rows_total", Help: "Rows that finished runs added, changed or removed, by pool.",
		}, []string{"pool", "change"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: scrape.Prefix + "notices_total", Help: "Attempts to deliver a notice, by kind of channel and result.",
		}, []string{"kind", "result"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: scrape.Prefix + "run_duration_seconds", Help: "Duration of a run from its first check to its end, including pauses.",
			Buckets: []float64{1, 5, 15, 60, 300, 900, 3600, 4 * 3600},
		}, []string{"pool"}),
	}
	for _, p := range market.Pools() {
		for _, o := range run.Outcomes() {
			if o != run.Blocked {
				c.runs.WithLabelValues(string(p), string(o), none)
			}
		}
		for _, s := range stages {
			c.runs.WithLabelValues(string(p), string(run.Blocked), string(s))
		}
		c.partitions.WithLabelValues(string(p), none)
		for _, v := range market.Verdicts() {
			if v != market.VerdictMissing { // no partition has this verdict
				c.partitions.WithLabelValues(string(p), string(v))
			}
		}
		for _, x := range changes {
			c.rows.WithLabelValues(string(p), x)
		}
		c.seconds.WithLabelValues(string(p))
	}
	for _, k := range notice.ChannelKinds() {
		c.notices.WithLabelValues(string(k), "sent")
		c.notices.WithLabelValues(string(k), "failed")
	}
	r.MustRegister(c.runs, c.partitions, c.rows, c.notices, c.seconds)
	return c
}

// Watched is the ledger; it counts what is stored.
func (c *Counts) Watched(l dispatch.Ledger) dispatch.Ledger { return watched{l, c} }

type watched struct {
	dispatch.Ledger
	counts *Counts
}

// Save implements dispatch.Ledger.
func (w watched) Save(ctx context.Context, u run.Update) ([]run.Event, error) {
	events, err := w.Ledger.Save(ctx, u)
	if err != nil {
		return events, err
	}
	for i := range u.Partitions {
		if p := &u.Partitions[i]; p.State == run.PartitionCompleted || p.State == run.PartitionFailed {
			w.counts.partitions.WithLabelValues(string(u.Run.Pool), cmp.Or(string(p.Verdict), none)).Inc()
		}
	}
	if u.Run.State == run.Finished {
		w.counts.finished(&u.Run)
	}
	return events, nil
}

// CancelQueued implements dispatch.Ledger.
func (w watched) CancelQueued(ctx context.Context, id, note string, at time.Time) (run.Run, error) {
	r, err := w.Ledger.CancelQueued(ctx, id, note, at)
	if err == nil {
		w.counts.finished(&r)
	}
	return r, err
}

func (c *Counts) finished(r *run.Run) {
	pool := string(r.Pool)
	c.runs.WithLabelValues(pool, string(r.Outcome), cmp.Or(string(r.Stage), none)).Inc()
	for i, n := range []int64{r.New, r.Changed, r.Gone} {
		c.rows.WithLabelValues(pool, changes[i]).Add(float64(max(n, 0)))
	}
	if took := r.FinishedAt.Sub(r.StartedAt); !r.StartedAt.IsZero() && took >= 0 {
		c.seconds.WithLabelValues(pool).Observe(took.Seconds())
	}
}

// Sender counts the notices that a sender delivers.
func (c *Counts) Sender(s notify.Sender) notify.Sender { return sender{s, c} }

type sender struct {
	notify.Sender
	counts *Counts
}

// Send implements notify.Sender.
func (s sender) Send(ctx context.Context, ch notice.Channel, n notice.Notice, d notice.Delivery) error {
	err := s.Sender.Send(ctx, ch, n, d)
	switch {
	case err == nil:
		s.counts.notices.WithLabelValues(string(ch.Kind), "sent").Inc()
	case ctx.Err() == nil: // a cancelled attempt does not count
		s.counts.notices.WithLabelValues(string(ch.Kind), "failed").Inc()
	}
	return err
}
