package coverage

import "github.com/afterbell/afterbell/services/internal/market"

// Instrument is what completeness needs to know about a stock or ETF.
type Instrument struct {
	// Symbol is the ts_code.
	Symbol string
	// Name is the short name. May be empty.
	Name string
	// Kind is stock or ETF.
	Kind market.Kind
	// Status is L, D, P or I; empty if the provider has none.
	Status string
	// Former are its earlier codes.
	Former []string
	// Listed is the first trading day; NoDate if unknown.
	Listed market.Date
	// Delisted is the day of delisting; NoDate while listed.
	Delisted market.Date
}
