package coverage

import "github.com/afterbell/afterbell/services/internal/market"

// Instrument is what completeness needs to know of a stock or ETF.
type Instrument struct {
	// Symbol is the ts_code.
	Symbol string
	// Name is the short name. May be empty.
	Name string
	// Kind is stock or ETF.
	Kind market.Kind
	// Status is L, D, P or I; empty where the provider left it out.
	Status string
	// Former are the codes that it had before this one.
	Former []string
	// Listed is the first trading day; NoDate where unknown.
	Listed market.Date
	// Delisted is the day of delisting; NoDate while listed.
	Delisted market.Date
}
