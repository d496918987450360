package catalog

import (
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

func TestColumnsHaveUnits(t *testing.T) {
	pure := map[string]bool{"volume_ratio": true, "pe": true, "pe_ttm": true, "pb": true, "ps": true, "ps_ttm": true, "duration_year": true}
	for _, d := range Datasets() {
		for _, c := range d.Columns {
			if has := c.Unit() != ""; c.Type == table.Number && has == pure[c.Stored] || c.Type != table.Number && has {
				t.Errorf("%s.%s has the unit %q: %s", d.ID, c.Stored, c.Unit(), c.Doc)
			}
		}
	}
	for name, want := range map[string]string{"close": "元", "vol": "手", "amount": "千元", "pct_chg": "%"} {
		for _, c := range Lookup(Daily).Columns {
			if c.Provider == name && c.Unit() != want {
				t.Errorf("%s has the unit %q, want %q", name, c.Unit(), want)
			}
		}
	}
}
