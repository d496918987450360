package readiness

import "github.com/afterbell/afterbell/services/internal/fault"

// Tier is what probes with a token have shown of the points that it has.
type Tier struct {
	// Min are the points of the dearest module that it may call; 0 where nothing is known.
	Min int
	// Below are the points of the cheapest module that was denied to it; 0 where none was.
	Below int
}

// TierOf gathers what the probes on record tell of the token with a fingerprint.
func TierOf(f Facts, fingerprint string) (t Tier) {
	if f.Catalog == nil || fingerprint == "" {
		return t
	}
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		p := ProbeOf(f, m)
		if p.Fingerprint != fingerprint {
			continue
		}
		points := 0
		for _, d := range m.Datasets {
			points = max(points, d.Points)
		}
		denied := false
		for _, issue := range p.Issues {
			denied = denied || issue.Reason == fault.PermissionDenied
		}
		switch {
		case points == 0:
		case p.Status == Pass:
			t.Min = max(t.Min, points)
		case denied && (t.Below == 0 || points < t.Below):
			t.Below = points
		}
	}
	return t
}
