package dispatch

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

const verifyBatch = 500 // partitions counted per call

// Verify counts a finished run's partitions in the pool's file anew and compares. A
// partition that a later run has written since is compared with its coverage only.
// A run that is not finished is WRONG_STATE.
func (d *Dispatcher) Verify(ctx context.Context, runID string) (Verification, error) {
	var v Verification
	r, err := d.cfg.Ledger.Run(ctx, runID)
	if err != nil {
		return v, err
	}
	if r.State != run.Finished {
		return v, fault.New(fault.WrongState, fmt.Sprintf("Run %s is %s; only a finished run is verified.", r.ID, r.State),
			"run_id", r.ID, "state", string(r.State), "allowed_states", string(run.Finished))
	}
	all, err := d.cfg.Ledger.Partitions(ctx, runID, 0, 0)
	if err != nil {
		return v, err
	}
	all = slices.DeleteFunc(all, func(p run.Partition) bool { return p.Verdict == "" }) // nothing was committed
	for batch := range slices.Chunk(all, verifyBatch) {
		checks, err := d.cfg.Worker.VerifyPartitions(ctx, r.Pool, batch)
		if err != nil {
			return v, err
		}
		if len(checks) != len(batch) {
			return v, fault.New(fault.Internal, "The ingest-worker's answer to a count is not complete.")
		}
		for i, c := range checks {
			if diff, ok := compare(r, batch[i], c); !ok {
				v.Differences = append(v.Differences, diff)
			}
		}
		v.Checked += len(batch)
	}
	return v, nil
}

func compare(r run.Run, p run.Partition, c Check) (Difference, bool) {
	var wrong []string
	if c.Duplicates > 0 {
		wrong = append(wrong, fmt.Sprintf("%d rows share their key with another", c.Duplicates))
	}
	if c.Rows != c.Coverage {
		wrong = append(wrong, fmt.Sprintf("the file holds %d rows and coverage claims %d", c.Rows, c.Coverage))
	}
	if c.RunID == r.ID && c.Rows != p.Rows {
		wrong = append(wrong, fmt.Sprintf("the file holds %d rows and the run claims %d", c.Rows, p.Rows))
	}
	return Difference{
		PartitionID: p.ID, Rows: c.Rows, Duplicates: c.Duplicates, Coverage: c.Coverage, Claimed: p.Rows,
		Message: p.ID + ": " + strings.Join(wrong, "; ") + ".",
	}, len(wrong) == 0
}
