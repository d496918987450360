package readiness

import "time"

// PreflightState is the state of a preflight.
type PreflightState string

// The states of a preflight.
const (
	// PreflightRunning has probes in progress. If the orchestrator crashes, its next start
	// ends the preflight as cancelled.
	PreflightRunning PreflightState = "running"
	// PreflightCompleted reached a verdict for every requested pool.
	PreflightCompleted PreflightState = "completed"
	// PreflightCancelled stopped before a verdict: the caller disconnected, or the worker was
	// unreachable.
	PreflightCancelled PreflightState = "cancelled"
)

// Preflight is one round of probes, as the ledger stores it.
type Preflight struct {
	// ID is assigned at the start and sorts by time.
	ID string
	// RunID of the run that needed it. Empty when a user requested it.
	RunID string
	// State of the preflight.
	State PreflightState
	// StartedAt and EndedAt; EndedAt is zero while it runs.
	StartedAt, EndedAt time.Time
	// Verdicts, one per requested pool.
	Verdicts []Verdict
	// Calls spent at the provider.
	Calls int
}
