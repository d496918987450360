// Package catalog holds what the worker told of providers, domains and modules,
// as values that the ledger keeps, so that readiness works while the worker is
// away.
package catalog

import "github.com/afterbell/afterbell/services/internal/market"

// Catalog is the worker's table of what exists.
type Catalog struct {
	// Providers, of which only active ones can be selected.
	Providers []Provider `json:"providers"`
	// Domains in the order shown to people.
	Domains []Domain `json:"domains"`
	// Modules in the order in which they are probed.
	Modules []Module `json:"modules"`
}

// Provider is a source of data.
type Provider struct {
	// ID and Title name it.
	ID, Title string
	// Active providers can be selected.
	Active bool
}

// Domain groups modules.
type Domain struct {
	// ID and Title name it.
	ID, Title string
}

// Module is the smallest thing that can be enabled, probed and ingested.
type Module struct {
	// ID, Domain and Title name it.
	ID, Domain, Title string
	// Pools that can hold it; empty when it is not built.
	Pools []market.Pool
	// SyncCapable is false for a module that is listed and not built.
	SyncCapable bool
	// Kind of instruments it is about; empty for none.
	Kind market.Kind
	// Datasets it is made of.
	Datasets []Dataset
	// EnabledByDefault before anyone chose.
	EnabledByDefault bool
}

// Dataset is one table fed by one provider API.
type Dataset struct {
	// ID is also the api_name; Table is where it is stored.
	ID, Table string
	// Snapshot datasets are stored whole.
	Snapshot bool
	// DueTime is "HH:MM" in Shanghai; empty for snapshots.
	DueTime string
	// Points the provider asks for; 0 when not known.
	Points int
}

// Module finds a module, or nil.
func (c *Catalog) Module(id string) *Module {
	for i := range c.Modules {
		if c.Modules[i].ID == id {
			return &c.Modules[i]
		}
	}
	return nil
}

// Dated are the ids of the datasets that are stored by trade date, in the order of their
// modules.
func (c *Catalog) Dated() (ids []string) {
	for i := range c.Modules {
		for _, d := range c.Modules[i].Datasets {
			if !d.Snapshot {
				ids = append(ids, d.ID)
			}
		}
	}
	return ids
}

// Domain finds a domain, or nil.
func (c *Catalog) Domain(id string) *Domain {
	for i := range c.Domains {
		if c.Domains[i].ID == id {
			return &c.Domains[i]
		}
	}
	return nil
}

// Provider finds a provider, or nil.
func (c *Catalog) Provider(id string) *Provider {
	for i := range c.Providers {
		if c.Providers[i].ID == id {
			return &c.Providers[i]
		}
	}
	return nil
}
