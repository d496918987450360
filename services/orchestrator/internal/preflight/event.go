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
	// ModuleStarted says that a module's probe began.
	ModuleStarted *ModuleStarted
	// ModuleChecked says that a module was probed, or its last probe reused.
	ModuleChecked *ModuleChecked
	// PoolDecided is a pool's verdict.
	PoolDecided *readiness.Verdict
	// Completed is the last event.
	Completed *readiness.Preflight
}

// Started lists what will be checked.
type Started struct {
	// Pools that will get a verdict.
	Pools []market.Pool
	// Modules selected, in the order in which they are checked.
	Modules []string
	// TradeDate of the probes; NoDate if no calendar is stored yet.
	TradeDate market.Date
}

// ModuleStarted says that a module's probe began.
type ModuleStarted struct {
	// Module being probed.
	Module string
	// APIs it calls.
	APIs []string
}

// ModuleChecked says that a module was probed, or that its last probe is recent enough.
type ModuleChecked struct {
	// Probe is the stored result.
	Probe readiness.Probe
	// Reused is true if no call was made.
	Reused bool
}

// Options say what to check.
type Options struct {
	// Pools to decide about. Empty means both.
	Pools []market.Pool
	// Modules to check. Empty means every module that the pools select.
	Modules []string
	// RunID of the run. Empty when a user requested it.
	RunID string
	// Policy says which modules are probed. Empty means the setting.
	Policy readiness.PreflightPolicy
	// MaxAge is the greatest age of a passed probe that is reused, instead of the rule of
	// Policy. Nil means the rule of Policy.
	MaxAge *time.Duration
	// Since: under readiness.StaleOnly a passed probe from before this time is not reused.
	// Zero means no limit.
	Since time.Time
	// Refreshed is true if the caller has just called Refresh.
	Refreshed bool
}
