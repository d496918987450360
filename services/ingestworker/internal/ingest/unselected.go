package ingest

import (
	"slices"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// selection remembers the lists in the last plans that are only needed for judging. No
// module selected them, so a token that may not call them does not fail the run.
type selection struct {
	mu   sync.Mutex
	held map[selected]bool
}

type selected struct {
	pool    market.Pool
	dataset string
}

func (s *selection) note(w coverage.PlanRequest, p coverage.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held == nil {
		s.held = map[selected]bool{}
	}
	for _, part := range p.Partitions {
		ds := catalog.Lookup(part.Dataset)
		s.held[selected{part.Pool, part.Dataset}] = ds.Kind != "" && (w.Pool == market.Targets || !slices.Contains(w.Datasets, ds))
	}
}

func (s *selection) has(p coverage.Partition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held[selected{p.Pool, p.Dataset}]
}

// without is the result for a list that is not permitted and that no module selected:
// nothing is written, and a warning says against what days are judged.
func (j *job) without(denied error) Result {
	p := j.work.Partition
	r, ok := j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: market.NoDate})
	if !ok {
		r = coverage.Record{
			Key:     coverage.Key{Dataset: j.ds.ID, Date: market.NoDate},
			Verdict: coverage.ExpectedEmpty, Epoch: j.work.Epoch, RunID: j.work.RunID, SameSince: market.NoDate, LastSame: market.NoDate,
		}
	}
	i := fault.IssueOf(denied)
	i.Severity = fault.Warning
	i.Message += " No selected module needs it. Until it is stored, dates are checked against the neighbouring dates."
	r.Issues = []fault.Issue{i}
	return Result{Partition: p, Held: r, Found: r.Verdict, Calls: j.calls, Issues: r.Issues}
}
