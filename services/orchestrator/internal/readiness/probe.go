package readiness

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// ConfigHash digests what a probe's answer depends on beside the token: provider,
// where the token comes from, and the provider's host.
func ConfigHash(f Facts, m *catalog.Module) string {
	parts := []string{m.ID, f.Domain(m.Domain).Provider, f.Tokens[m.Domain].Source, f.ProviderHost}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// ProbeOf is a module's last probe, untested or unsupported where there is none.
func ProbeOf(f Facts, m *catalog.Module) Probe {
	if !m.SyncCapable {
		return Probe{Module: m.ID, Status: Unsupported}
	}
	if p, ok := f.Probes[m.ID]; ok && p.Status != "" {
		return p
	}
	return Probe{Module: m.ID, Status: Untested}
}

// maxAhead is how far a probe may lie after now: the clocks of two processes differ by
// that much.
const maxAhead = time.Minute

// passTime is how long a pass of probes may take: a record that is reused at its start
// still holds at its end.
const passTime = 15 * time.Minute

// marketClose is the hour in Shanghai from which a probe counts for an evening.
const marketClose = 15

// EveningOf is the beginning of the evening of a moment: the last close of the market,
// 15:00 in Shanghai, on whatever day.
func EveningOf(t time.Time) time.Time {
	d := market.DateOf(t)
	at := d.At(marketClose, 0, market.Shanghai)
	if at.After(t) {
		at = (d - 1).At(marketClose, 0, market.Shanghai)
	}
	return at
}

// Stale reports that a probe was made and says nothing any more: it is older than
// MaxProbeAge, or configuration or token have changed since, or it is stamped after
// now, when its age is not known.
func Stale(f Facts, m *catalog.Module) bool {
	return staleAt(f, m, f.Now)
}

// staleAt is Stale as it will be at a moment not before now.
func staleAt(f Facts, m *catalog.Module, at time.Time) bool {
	p := ProbeOf(f, m)
	return (p.Status == Pass || p.Status == Fail) &&
		(at.Sub(p.At) > MaxProbeAge || p.At.Sub(f.Now) > maxAhead || changed(f, m, p))
}

func changed(f Facts, m *catalog.Module, p Probe) bool {
	return p.ConfigHash != ConfigHash(f, m) || p.Fingerprint != f.Tokens[m.Domain].Fingerprint
}

// NeedsProbe reports whether a preflight under Facts.Preflight probes the module. A
// passed probe from before since does not count; the zero time is no bound.
func NeedsProbe(f Facts, m *catalog.Module, since time.Time) bool {
	switch {
	case !m.SyncCapable, f.Preflight == ReadinessOnly:
		return false
	case f.Preflight == Always:
		return true
	}
	p := ProbeOf(f, m)
	return p.Status != Pass || p.At.Before(since) || staleAt(f, m, f.Now.Add(passTime))
}

// NeedsProbeWithin reports whether the module has no passed probe of that age at
// most that still holds.
func NeedsProbeWithin(f Facts, m *catalog.Module, maxAge time.Duration) bool {
	p := ProbeOf(f, m)
	return m.SyncCapable && (p.Status != Pass || f.Now.Sub(p.At) > maxAge || staleAt(f, m, f.Now.Add(passTime)))
}
