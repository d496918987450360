// Package readiness turns facts about configuration, tokens and probes into a
// verdict per pool. It does no I/O and reads no clock.
package readiness

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// MaxProbeAge is how long a passed probe counts as fresh.
const MaxProbeAge = 24 * time.Hour

// Decision is a pool's verdict.
type Decision string

// The decisions.
const (
	// Ready lets every selected module run.
	Ready Decision = "ready"
	// Degraded lets some run and holds others back.
	Degraded Decision = "degraded"
	// Retry lets nothing run now, and waiting can help.
	Retry Decision = "retry"
	// Blocked lets nothing run until a user acts.
	Blocked Decision = "blocked"
)

// PreflightPolicy is when a run probes modules.
type PreflightPolicy string

// The preflight policies.
const (
	// StaleOnly probes what is stale, untested or failed.
	StaleOnly PreflightPolicy = "stale_only"
	// Always probes everything.
	Always PreflightPolicy = "always"
	// ReadinessOnly probes nothing and judges by the record.
	ReadinessOnly PreflightPolicy = "readiness_only"
)

// Policy is what a module that cannot be ingested does to its pool.
type Policy string

// The readiness policies.
const (
	// Strict lets an error block the pool.
	Strict Policy = "strict"
	// Lenient holds only the modules concerned back; its name outside is degraded.
	Lenient Policy = "degraded"
)

// ProbeStatus is what a probe found.
type ProbeStatus string

// The statuses.
const (
	// Untested was never probed.
	Untested ProbeStatus = "untested"
	// Pass can be ingested.
	Pass ProbeStatus = "pass"
	// Fail cannot be ingested.
	Fail ProbeStatus = "fail"
	// Unsupported is listed and not built.
	Unsupported ProbeStatus = "unsupported"
)

// Probe is the last check of a module.
type Probe struct {
	// Module that was probed.
	Module string
	// Status is what was found.
	Status ProbeStatus
	// At is when. Zero when untested.
	At time.Time
	// Latency of the provider, Rows in the answers and Calls spent.
	Latency time.Duration
	// Rows in the answers.
	Rows int64
	// Calls spent at the provider.
	Calls int
	// Issues found, worst first.
	Issues []fault.Issue
	// Fingerprint of the token used, and ConfigHash of the module's configuration
	// (provider, token mode, provider host); a change makes the probe stale.
	Fingerprint, ConfigHash string
}

// DomainSetting is a domain's switch and provider.
type DomainSetting struct {
	// Domain concerned.
	Domain string `json:"domain"`
	// Enabled domains may be selected.
	Enabled bool `json:"enabled"`
	// Provider in use.
	Provider string `json:"provider"`
}

// Token says where a domain's token comes from, never its value.
type Token struct {
	// Domain concerned.
	Domain string
	// Source is "domain", "main", "environment" or "file"; empty when none resolves.
	Source string
	// Fingerprint is a keyed digest; empty when none resolves.
	Fingerprint string
}

// Facts is everything a verdict is made from.
type Facts struct {
	// Now is the moment of the verdict.
	Now time.Time
	// Away says that the worker was asked and does not answer, so that everything
	// here is what it told last.
	Away bool
	// Catalog as the worker told it last; nil when it never did.
	Catalog *catalog.Catalog
	// Domains are the settings by domain.
	Domains map[string]DomainSetting
	// Modules says which modules are enabled; a module that is not in the map has
	// its default.
	Modules map[string]bool
	// Tokens by domain.
	Tokens map[string]Token
	// ProviderHost of the worker; part of a probe's configuration.
	ProviderHost string
	// Probes by module.
	Probes map[string]Probe
	// Kinds of instruments on the targets list.
	Kinds map[market.Kind]bool
	// Requested modules; empty means all that are enabled.
	Requested []string
	// Preflight and Readiness policies.
	Preflight PreflightPolicy
	// Readiness is what a failing module does to its pool.
	Readiness Policy
}

// Verdict is what is concluded about one pool.
type Verdict struct {
	// Pool concerned.
	Pool market.Pool
	// Decision reached.
	Decision Decision
	// Cleared modules may run; Blocked ones are selected and blocked.
	Cleared, Blocked []string
	// Issues found, worst first.
	Issues []fault.Issue
	// RetryAt is the earliest useful next attempt when Decision is Retry.
	RetryAt time.Time
}

// BlockedBy is the worst issue of a pool that cannot run until a user acts; ok is false
// when it can, or when it is enough to wait.
func (v Verdict) BlockedBy() (why fault.Issue, ok bool) {
	if v.Decision != Blocked {
		return fault.Issue{}, false
	}
	return fault.Worst(v.Issues)
}
