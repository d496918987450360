package readiness

import "github.com/afterbell/afterbell/services/internal/fault"

// Tier is what probes with a token show about its points.
type Tier struct {
	// Min is the number of points that the most expensive permitted module needs; 0 when
	// unknown.
	Min int
	// Below is the number of points that the cheapest denied module needs; 0 when none was
	// denied.
	Below int
}

// TierOf derives the tier of a token from the stored probes with its fingerprint.
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
