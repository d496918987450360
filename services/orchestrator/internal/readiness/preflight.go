package readiness

import "time"

// PreflightState is where a preflight is in its life.
type PreflightState string

// The states of a preflight.
const (
	// PreflightRunning has probes in progress. A crash leaves it so; the next start of
	// the orchestrator ends it as cancelled.
	PreflightRunning PreflightState = "running"
	// PreflightCompleted reached a verdict for every pool asked for.
	PreflightCompleted PreflightState = "completed"
	// PreflightCancelled stopped before a verdict: the caller left, or the worker
	// was away.
	PreflightCancelled PreflightState = "cancelled"
)

// Preflight is one pass of probes, as the ledger keeps it.
type Preflight struct {
	// ID is assigned at the start and sorts by time.
	ID string
	// RunID on whose behalf it was done. Empty when a user asked.
	RunID string
	// State is where it is.
	State PreflightState
	// StartedAt and EndedAt; EndedAt is zero while it runs.
	StartedAt, EndedAt time.Time
	// Verdicts reached, one per pool asked for.
	Verdicts []Verdict
	// Calls spent at the provider.
	Calls int
}
