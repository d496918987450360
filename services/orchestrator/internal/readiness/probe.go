package readiness

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/orchestrator/internal/catalogue"
)

// ConfigHash digests what a probe's answer depends on beside the token: provider,
// where the token comes from, and the provider's host.
func ConfigHash(f Facts, m *catalogue.Module) string {
	parts := []string{m.ID, f.Domain(m.Domain).Provider, f.Tokens[m.Domain].Source, f.ProviderHost}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// ProbeOf is a module's last probe, untested or unsupported where there is none.
func ProbeOf(f Facts, m *catalogue.Module) Probe {
	if !m.SyncCapable {
		return Probe{Module: m.ID, Status: Unsupported}
	}
	if p, ok := f.Probes[m.ID]; ok && p.Status != "" {
		return p
	}
	return Probe{Module: m.ID, Status: Untested}
}

// maxAhead is how far a probe may lie in the future: clocks are set by that much.
const maxAhead = time.Hour

// Stale reports that a probe was made and says nothing any more: it is older than
// MaxProbeAge, or configuration or token have changed since, or it was made while
// the clock was far ahead, when its age is not known.
func Stale(f Facts, m *catalogue.Module) bool {
	p := ProbeOf(f, m)
	age := f.Now.Sub(p.At)
	return (p.Status == Pass || p.Status == Fail) && (age > MaxProbeAge || age < -maxAhead || changed(f, m, p))
}

func changed(f Facts, m *catalogue.Module, p Probe) bool {
	return p.ConfigHash != ConfigHash(f, m) || p.Fingerprint != f.Tokens[m.Domain].Fingerprint
}

// NeedsProbe reports whether a preflight under Facts.Preflight probes the module.
func NeedsProbe(f Facts, m *catalogue.Module) bool {
	switch {
	case !m.SyncCapable, f.Preflight == ReadinessOnly:
		return false
	case f.Preflight == Always:
		return true
	}
	return ProbeOf(f, m).Status != Pass || Stale(f, m)
}

// NeedsProbeWithin reports whether the module has no passed probe of that age at
// most that still holds.
func NeedsProbeWithin(f Facts, m *catalogue.Module, maxAge time.Duration) bool {
	p := ProbeOf(f, m)
	return m.SyncCapable && (p.Status != Pass || changed(f, m, p) || f.Now.Sub(p.At) > min(maxAge, MaxProbeAge))
}
