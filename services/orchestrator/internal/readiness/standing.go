package readiness

import (
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Standing compares the issue of an earlier check with newer probes.
type Standing int

// The standings.
const (
	// Holds: no newer probe contradicts the issue.
	Holds Standing = iota
	// Changed: the token or the configuration has changed since and has not been checked yet.
	Changed
	// Passed: newer probes passed.
	Passed
)

// StandingOf returns whether the reason that stopped an earlier run of a pool still
// applies. modules are those that the reason was about, or all selected ones if empty;
// since is the time of the issue.
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
		case !slices.Contains(v.Cleared, id): // disabled since then
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

// probed reports whether probes, settings or tokens decide about a reason.
func probed(r fault.Reason) bool {
	switch r {
	case fault.TokenMissing, fault.TokenInvalid, fault.PermissionDenied, fault.ProviderRefused,
		fault.ModuleTestFailed, fault.ModuleTestStale, fault.ModuleTestRequired,
		fault.DomainTestFailed, fault.DomainTestStale, fault.DomainTestRequired:
		return true
	}
	return false
}
