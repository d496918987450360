package readiness

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// ConfigHash digests the configuration that a probe depends on, except the token: the
// provider, the source of the token, and the provider's host.
func ConfigHash(f Facts, m *catalog.Module) string {
	parts := []string{m.ID, f.Domain(m.Domain).Provider, f.Tokens[m.Domain].Source, f.ProviderHost}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// ProbeOf returns a module's last probe, or an untested or unsupported one if there is
// none.
func ProbeOf(f Facts, m *catalog.Module) Probe {
	if !m.SyncCapable {
		return Probe{Module: m.ID, Status: Unsupported}
	}
	if p, ok := f.Probes[m.ID]; ok && p.Status != "" {
		return p
	}
	return Probe{Module: m.ID, Status: Untested}
}

// maxAhead is how far in the future the time of a probe may be: the clocks of two processes
// may differ by that much.
const maxAhead = time.Minute

// passTime is the longest time that a preflight may take. A probe that is reused at its
// start must still be fresh at its end.
const passTime = 15 * time.Minute

// marketClose is the time in Shanghai from which a probe counts for an evening.
const marketClose = 15

// EveningOf is the start of the evening that t belongs to: the last 15:00 in Shanghai, on a
// trading day or not.
func EveningOf(t time.Time) time.Time {
	d := market.DateOf(t)
	at := d.At(marketClose, 0, market.Shanghai)
	if at.After(t) {
		at = (d - 1).At(marketClose, 0, market.Shanghai)
	}
	return at
}

// Stale reports whether a probe exists but no longer counts: it is older than MaxProbeAge,
// the configuration or the token has changed since, or its time is in the future, so that
// its age is unknown.
func Stale(f Facts, m *catalog.Module) bool {
	return staleAt(f, m, f.Now)
}

// staleAt is Stale at a later time.
func staleAt(f Facts, m *catalog.Module, at time.Time) bool {
	p := ProbeOf(f, m)
	return (p.Status == Pass || p.Status == Fail) &&
		(at.Sub(p.At) > MaxProbeAge || p.At.Sub(f.Now) > maxAhead || changed(f, m, p))
}

func changed(f Facts, m *catalog.Module, p Probe) bool {
	return p.ConfigHash != ConfigHash(f, m) || p.Fingerprint != f.Tokens[m.Domain].Fingerprint
}

// NeedsProbe reports whether a preflight probes the module under Facts.Preflight. A passed
// probe from before since does not count; with the zero time every fresh one does.
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

// NeedsProbeWithin reports whether the module has no valid passed probe that is at most
// maxAge old.
func NeedsProbeWithin(f Facts, m *catalog.Module, maxAge time.Duration) bool {
	p := ProbeOf(f, m)
	return m.SyncCapable && (p.Status != Pass || f.Now.Sub(p.At) > maxAge || staleAt(f, m, f.Now.Add(passTime)))
}
