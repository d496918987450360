package preflight

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// Event is one step of a preflight. Exactly one of the payloads is set.
type Event struct {
	// PreflightID it belongs to.
	PreflightID string
	// Sequence counts from 1 without gaps.
	Sequence int64
	// Time is when it happened.
	Time time.Time
	// Started is the first event.
	Started *Started
	// ModuleStarted tells that a module's probe began.
	ModuleStarted *ModuleStarted
	// ModuleChecked tells that a module was probed, or its record reused.
	ModuleChecked *ModuleChecked
	// PoolDecided is a pool's verdict.
	PoolDecided *readiness.Verdict
	// Completed is the last event.
	Completed *readiness.Preflight
}

// Started tells what will be checked.
type Started struct {
	// Pools that will get a verdict.
	Pools []market.Pool
	// Modules selected, in the order in which they are checked.
	Modules []string
	// TradeDate the probes ask for; NoDate before any calendar is held.
	TradeDate market.Date
}

// ModuleStarted tells that a module's probe began.
type ModuleStarted struct {
	// Module being probed.
	Module string
	// APIs it calls.
	APIs []string
}

// ModuleChecked tells that a module was probed, or that its record is recent
// enough.
type ModuleChecked struct {
	// Probe is the record that is now kept.
	Probe readiness.Probe
	// Reused is true when no call was spent.
	Reused bool
}

// Options say what to check.
type Options struct {
	// Pools to judge. Empty means both.
	Pools []market.Pool
	// Modules to check. Empty means every module that the pools select.
	Modules []string
	// RunID on whose behalf. Empty when a user asked.
	RunID string
	// Policy is which modules are probed. Empty means the setting.
	Policy readiness.PreflightPolicy
	// MaxAge is the oldest passed probe that is reused, instead of Policy's. Nil
	// means Policy's.
	MaxAge *time.Duration
	// Since is the moment from before which a passed probe is not reused under
	// readiness.StaleOnly. Zero means no such bound.
	Since time.Time
	// Refreshed says that the caller has just called Refresh.
	Refreshed bool
}
