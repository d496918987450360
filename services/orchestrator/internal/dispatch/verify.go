package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

const verifyBatch = 500 // partitions read per call

// Verify reads a finished run's partitions again from the pool's file and compares them. A
// partition that a later run has written since is compared with its coverage only.
// WRONG_STATE if the run has not finished.
func (d *Dispatcher) Verify(ctx context.Context, runID string) (Verification, error) {
	var v Verification
	r, err := d.cfg.Ledger.Run(ctx, runID)
	if err != nil {
		return v, err
	}
	if r.State != run.Finished {
		return v, fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s; only a finished run can be verified.", r.ID, r.State),
			"run_id", r.ID, "state", string(r.State), "allowed_states", string(run.Finished))
	}
	all, err := d.cfg.Ledger.Partitions(ctx, runID, 0, 0)
	if err != nil {
		return v, err
	}
	all = slices.DeleteFunc(all, func(p run.Partition) bool { return p.Verdict == "" }) // nothing was committed
	v.Checked, err = d.check(ctx, r.Pool, all, func(p run.Partition, c Check) {
		wrong := differences(r.ID, p, c)
		if wrong == "" {
			return
		}
		start, end := p.Start, p.End
		if p.Reference { // lists and calendar are fetched with any date
			start, end = r.AsOf, r.AsOf
		}
		v.Differences = append(v.Differences, Difference{
			PartitionID: p.ID, Rows: c.Rows, Duplicates: c.Duplicates, Coverage: c.Coverage, Claimed: p.Rows, Altered: c.Altered,
			Message: p.ID + ": " + wrong + ". Fetch it again: " + refetch(r.Pool, start, end),
		})
	})
	return v, err
}

// check makes the worker read partitions again, and calls each with the results. It returns
// how many were read.
func (d *Dispatcher) check(ctx context.Context, pool market.Pool, partitions []run.Partition, each func(run.Partition, Check)) (checked int, err error) {
	for batch := range slices.Chunk(partitions, verifyBatch) {
		checks, err := d.cfg.Worker.VerifyPartitions(ctx, pool, batch)
		if err != nil {
			return checked, err
		}
		if len(checks) != len(batch) {
			return checked, fault.New(fault.Internal, "The ingest-worker returned an incomplete answer to a verification.")
		}
		for i, c := range checks {
			each(batch[i], c)
		}
		checked += len(batch)
	}
	return checked, nil
}

// differences says what differs between the file, its coverage and, if the run wrote the
// partition last, the run's numbers. Empty when all agree.
func differences(runID string, p run.Partition, c Check) string {
	var wrong []string
	if c.Duplicates > 0 {
		wrong = append(wrong, fault.Count(c.Duplicates, "row has", "rows have")+" a duplicate key")
	}
	if c.Rows != c.Coverage {
		wrong = append(wrong, fmt.Sprintf("the file has %s, coverage says %d", fault.Count(c.Rows, "row", "rows"), c.Coverage))
	}
	if runID != "" && c.RunID == runID && c.Rows != p.Rows {
		wrong = append(wrong, fmt.Sprintf("the file has %s, the run committed %d", fault.Count(c.Rows, "row", "rows"), p.Rows))
	}
	if c.Altered && len(wrong) == 0 {
		wrong = append(wrong, "the file has other values than were committed: another program wrote to it, or it is damaged")
	}
	return strings.Join(wrong, "; ")
}

// refetch is the command that fetches dates again and replaces the rows in the file.
func refetch(pool market.Pool, start, end market.Date) string {
	return run.Again(pool, run.Request{Start: start, End: end, Refetch: true})
}
