// Package catalog holds the providers, domains and modules that the worker reported. The
// ledger stores them, so that readiness works while the worker is unreachable.
package catalog

import "github.com/afterbell/afterbell/services/internal/market"

// Catalog is the worker's list of providers, domains and modules.
type Catalog struct {
	// Providers. Only active ones can be selected.
	Providers []Provider `json:"providers"`
	// Domains in display order.
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
	// Pools that store it; empty if it is not implemented.
	Pools []market.Pool
	// SyncCapable is false for a module that is not implemented.
	SyncCapable bool
	// Kind of instruments it is about; empty for none.
	Kind market.Kind
	// Datasets of the module.
	Datasets []Dataset
	// EnabledByDefault is whether it is enabled until a user changes it.
	EnabledByDefault bool
}

// Dataset is one table that one API of the provider fills.
type Dataset struct {
	// ID is also the api_name; Table is where it is stored.
	ID, Table string
	// Snapshot datasets have no trade date and are stored whole.
	Snapshot bool
	// DueTime is "HH:MM" in Shanghai; empty for snapshots.
	DueTime string
	// Points that the provider requires; 0 if unknown.
	Points int
}

// Module returns a module, or nil.
func (c *Catalog) Module(id string) *Module {
	for i := range c.Modules {
		if c.Modules[i].ID == id {
			return &c.Modules[i]
		}
	}
	return nil
}

// Dated are the IDs of the datasets that are stored by trade date, in the order of their
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

// Domain returns a domain, or nil.
func (c *Catalog) Domain(id string) *Domain {
	for i := range c.Domains {
		if c.Domains[i].ID == id {
			return &c.Domains[i]
		}
	}
	return nil
}

// Provider returns a provider, or nil.
func (c *Catalog) Provider(id string) *Provider {
	for i := range c.Providers {
		if c.Providers[i].ID == id {
			return &c.Providers[i]
		}
	}
	return nil
}
