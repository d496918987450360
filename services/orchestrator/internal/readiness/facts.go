// Package readiness turns facts about configuration, tokens and probes into a
// verdict per pool. It does no I/O and reads no clock.
package readiness

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// MaxProbeAge is the age up to which a passed probe counts as fresh.
const MaxProbeAge = 24 * time.Hour

// Decision is a pool's verdict.
type Decision string

// The decisions.
const (
	// Ready: every selected module may run.
	Ready Decision = "ready"
	// Degraded: some modules may run, others are blocked.
	Degraded Decision = "degraded"
	// Retry: no module may run now; waiting may help.
	Retry Decision = "retry"
	// Blocked: no module may run until a user acts.
	Blocked Decision = "blocked"
)

// PreflightPolicy says which modules a run probes.
type PreflightPolicy string

// The preflight policies.
const (
	// StaleOnly probes modules whose probe is stale, missing or failed.
	StaleOnly PreflightPolicy = "stale_only"
	// Always probes every module.
	Always PreflightPolicy = "always"
	// ReadinessOnly probes nothing and uses the stored probes.
	ReadinessOnly PreflightPolicy = "readiness_only"
)

// Policy says how a module that cannot be ingested affects its pool.
type Policy string

// The readiness policies.
const (
	// Strict blocks the whole pool on an error.
	Strict Policy = "strict"
	// Lenient blocks only the failed modules. The API calls it degraded.
	Lenient Policy = "degraded"
)

// ProbeStatus is the result of a probe.
type ProbeStatus string

// The statuses.
const (
	// Untested: the module was never probed.
	Untested ProbeStatus = "untested"
	// Pass: the module can be ingested.
	Pass ProbeStatus = "pass"
	// Fail: the module cannot be ingested.
	Fail ProbeStatus = "fail"
	// Unsupported: the module is in the catalog but not implemented.
	Unsupported ProbeStatus = "unsupported"
)

// Probe is the last probe of a module.
type Probe struct {
	// Module that was probed.
	Module string
	// Status is the result.
	Status ProbeStatus
	// At is the time of the probe. Zero when untested.
	At time.Time
	// Latency of the provider, Rows in the answers and Calls spent.
	Latency time.Duration
	// Rows in the answers.
	Rows int64
	// Calls spent at the provider.
	Calls int
	// Issues found, worst first.
	Issues []fault.Issue
	// Fingerprint of the token that was used, and ConfigHash of the module's configuration
	// (provider, token mode, provider host). A change of either makes the probe stale.
	Fingerprint, ConfigHash string
}

// DomainSetting is the setting of a domain: whether it is enabled, and its provider.
type DomainSetting struct {
	// Domain concerned.
	Domain string `json:"domain"`
	// Enabled domains may be selected.
	Enabled bool `json:"enabled"`
	// Provider in use.
	Provider string `json:"provider"`
}

// Token says where a domain's token comes from. It never holds the token itself.
type Token struct {
	// Domain concerned.
	Domain string
	// Source is "domain", "main", "environment" or "file"; empty when the domain has no token.
	Source string
	// Fingerprint is a keyed digest of the token; empty when the domain has no token.
	Fingerprint string
}

// Facts are the inputs of a verdict.
type Facts struct {
	// Now is the time of the verdict.
	Now time.Time
	// Away is true when the worker did not answer, so the facts are from its last answer.
	Away bool
	// Catalog from the worker's last answer; nil when it has never answered.
	Catalog *catalog.Catalog
	// Domains are the settings by domain.
	Domains map[string]DomainSetting
	// Modules says which modules are enabled; a module that is not in the map has its default.
	Modules map[string]bool
	// Tokens by domain.
	Tokens map[string]Token
	// ProviderHost of the worker. It is part of a probe's configuration.
	ProviderHost string
	// Probes by module.
	Probes map[string]Probe
	// Kinds of instruments on the target list.
	Kinds map[market.Kind]bool
	// Requested modules; empty means all enabled modules.
	Requested []string
	// Preflight and Readiness policies.
	Preflight PreflightPolicy
	// Readiness policy: how a failing module affects its pool.
	Readiness Policy
}

// Verdict is the decision about one pool.
type Verdict struct {
	// Pool concerned.
	Pool market.Pool
	// Decision reached.
	Decision Decision
	// Cleared modules may run. Blocked modules are selected and may not run.
	Cleared, Blocked []string
	// Issues found, worst first.
	Issues []fault.Issue
	// RetryAt is the earliest useful next attempt when Decision is Retry.
	RetryAt time.Time
}

// BlockedBy returns the worst issue of a pool that cannot run until a user acts. ok is
// false when the pool can run or only has to wait.
func (v Verdict) BlockedBy() (why fault.Issue, ok bool) {
	if v.Decision != Blocked {
		return fault.Issue{}, false
	}
	return fault.Worst(v.Issues)
}
