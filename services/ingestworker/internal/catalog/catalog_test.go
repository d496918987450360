package catalog

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

func TestEveryDatasetBelongsToOneModule(t *testing.T) {
	owner := map[string]string{}
	for _, m := range Modules() {
		for _, id := range m.Datasets {
			if before, taken := owner[id]; taken {
				t.Errorf("%s belongs to %s and %s", id, before, m.ID)
			}
			owner[id] = m.ID
		}
	}
	for _, d := range Datasets() {
		if owner[d.ID] != d.Module {
			t.Errorf("%s says module %q, the module table says %q", d.ID, d.Module, owner[d.ID])
		}
	}
	if len(owner) != len(Datasets()) {
		t.Errorf("modules name %d datasets, there are %d", len(owner), len(Datasets()))
	}
}

// The orchestrator takes market.LastDue for the hour of the last dataset.
func TestNoDatasetIsDueLater(t *testing.T) {
	var last time.Duration
	for _, d := range Datasets() {
		last = max(last, d.Due)
	}
	if last != market.LastDue {
		t.Errorf("the last dataset is due at %s, market.LastDue is %s", last, market.LastDue)
	}
}

func TestModulesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	built := 0
	for _, m := range Modules() {
		if seen[m.ID] || m.Title == "" {
			t.Errorf("%s: seen before %v, title %q", m.ID, seen[m.ID], m.Title)
		}
		seen[m.ID] = true
		if !slices.ContainsFunc(Domains(), func(d Domain) bool { return d.ID == m.Domain }) {
			t.Errorf("%s is of no known domain: %q", m.ID, m.Domain)
		}
		if !m.Built {
			if m.DefaultOn || len(m.Datasets)+len(m.Pools)+len(m.APIs)+len(m.Probes) > 0 {
				t.Errorf("%s is not built and has parts", m.ID)
			}
			continue
		}
		built++
		if len(m.Pools) == 0 || len(m.Probes) == 0 || !m.Holds(market.Universe) {
			t.Errorf("%s lacks pools or probes", m.ID)
		}
		apis := map[string]bool{}
		for _, a := range m.APIs {
			apis[a.Name] = true
		}
		for _, id := range m.Datasets {
			if !apis[id] {
				t.Errorf("%s does not list the API of %s", m.ID, id)
			}
		}
		for _, p := range m.Probes {
			d := Lookup(p.Dataset)
			if d == nil || d.Module != m.ID {
				t.Fatalf("%s probes %q, not a dataset of its own", m.ID, p.Dataset)
			}
			if d.Snapshot && !maps.Equal(p.Params, d.Calls[0].Params) {
				t.Errorf("%s: a snapshot's probe must be its first call, or its response cannot be used", m.ID)
			}
			for _, name := range p.Required {
				if !slices.ContainsFunc(d.Columns, func(c Column) bool { return c.Provider == name }) {
					t.Errorf("%s requires the unknown column %s", m.ID, name)
				}
			}
		}
	}
	if built != 6 || len(Domains()) != 13 || len(Modules()) != 6+47 {
		t.Errorf("built %d, domains %d, modules %d", built, len(Domains()), len(Modules()))
	}
	if LookupModule("stock.weather") != nil || Lookup("weather") != nil {
		t.Error("found what does not exist")
	}
}

func TestOneActiveSource(t *testing.T) {
	var active []string
	for _, s := range Sources() {
		if s.Active {
			active = append(active, s.ID)
		}
	}
	if !slices.Equal(active, []string{"tushare"}) {
		t.Errorf("active = %v", active)
	}
}

func TestTargetsSelectByKind(t *testing.T) {
	if m := LookupModule("etf.daily_quote"); !slices.Equal(m.Kinds, []market.Kind{market.ETF}) || m.Snapshot() {
		t.Errorf("%+v", m)
	}
	if m := LookupModule("stock.reference"); len(m.Kinds) > 0 || !m.Snapshot() || m.Holds(market.Targets) {
		t.Errorf("%+v", m)
	}
}

func TestDatasetColumnsAreUnique(t *testing.T) {
	for _, d := range Datasets() {
		seen := map[string]bool{}
		for _, c := range d.Columns {
			if seen[c.Provider] || c.Doc == "" {
				t.Errorf("%s.%s: twice %v, doc %q", d.ID, c.Provider, seen[c.Provider], c.Doc)
			}
			seen[c.Provider] = true
		}
		if d.Snapshot != (d.Calls != nil) || d.Floor <= 0 || len(d.RowCaps) == 0 {
			t.Errorf("%s: snapshot %v, calls %d, floor %v, caps %v", d.ID, d.Snapshot, len(d.Calls), d.Floor, d.RowCaps)
		}
	}
}
