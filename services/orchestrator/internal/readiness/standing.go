package readiness

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Standing is how a finding of an earlier check stands by the probes of now.
type Standing int

// The standings.
const (
	// Holds: nothing newer says anything else.
	Holds Standing = iota
	// Changed: the token or the configuration is another one, and was not checked yet.
	Changed
	// Passed: newer probes passed.
	Passed
)

// StandingOf is how a reason that kept a run of a pool from data stands now. modules are
// those that it concerned, none meaning all that are selected; since is when it was found.
func StandingOf(pool market.Pool, f Facts, reason fault.Reason, modules []string, since time.Time) Standing {
	if !probed(reason) || f.Away || f.Catalog == nil {
		return Holds
	}
	v := Judge(pool, f)
	if len(modules) == 0 {
		modules = slices.Concat(v.Cleared, v.Blocked)
	}
	changes := false
	for _, id := range modules {
		m := f.Catalog.Module(id)
		switch {
		case m == nil || slices.Contains(v.Blocked, id):
			return Holds
		case !slices.Contains(v.Cleared, id): // it is disabled by now
			continue
		}
		p := ProbeOf(f, m)
		switch {
		case changed(f, m, p):
			changes = true
		case !p.At.After(since):
			return Holds
		}
	}
	if changes {
		return Changed
	}
	return Passed
}

// probed reports whether probes, or the settings and tokens that they go by, answer a reason.
func probed(r fault.Reason) bool {
	switch r {
	case fault.TokenMissing, fault.TokenInvalid, fault.PermissionDenied, fault.ProviderRefused,
		fault.ModuleTestFailed, fault.ModuleTestStale, fault.ModuleTestRequired,
		fault.DomainTestFailed, fault.DomainTestStale, fault.DomainTestRequired:
		return true
	}
	return false
}
