package tusharesim

import (
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/synthetic"
)

// Defaults of a synthetic market.
const (
	// DefaultStocks is the number of stock codes up to 2026.
	DefaultStocks = 5400
	// DefaultFunds is the number of exchange-traded funds up to 2026.
	DefaultFunds = 1900
)

// Bounds of a synthetic market.
const (
	// MaxStocks is the most stock codes there may be.
	MaxStocks = synthetic.MaxStocks
	// MaxFunds is the most funds there may be.
	MaxFunds = synthetic.MaxFunds
)

// Options configure a Sim. The zero value is a whole synthetic market on the
// system clock that accepts any token and refuses nothing.
type Options struct {
	// Seed decides the synthetic market and every chance; 0 means 1.
	Seed uint64
	// Stocks is the number of stock codes up to 2026, delisted ones included; 0
	// means DefaultStocks, negative none.
	Stocks int
	// Funds is the number of exchange-traded funds, ETFs and others; 0 means
	// DefaultFunds, negative none.
	Funds int

	// ReplayDir, if set, serves a folder of recorded data instead of the
	// synthetic market.
	ReplayDir string
	// StockBasicVintage chooses among the recorded stock lists, for instance
	// "201911"; empty means the newest.
	StockBasicVintage string

	// Now is the clock; nil means time.Now. The simulator works in Beijing time
	// whatever zone it returns.
	Now func() time.Time
	// ClockOffset is added to the clock.
	ClockOffset time.Duration

	// Tokens are the tokens accepted, each with what it may do; empty accepts
	// any that is not empty.
	Tokens map[string]Grant
	// Points are those of a token that Tokens does not list; 0 means enough for
	// everything.
	Points int
	// Deny names interfaces that no token may call.
	Deny []string
	// Limits are the rate limits in force.
	Limits []Limit

	// Publish sets hours of publication, interface to "HH:MM" Beijing time;
	// others keep their defaults.
	Publish map[string]string
	// Caps sets the most rows of one reply per interface.
	Caps map[string]int

	// Latency is waited before each reply, and Jitter is the most that chance
	// adds to it.
	Latency, Jitter time.Duration
}

// Grant is what a token may do.
type Grant struct {
	// Points are compared with what an interface requires; 0 means enough.
	Points int `json:"points,omitempty"`
	// Deny names interfaces it may not call whatever its points.
	Deny []string `json:"deny,omitempty"`
}

// Interfaces served, as api_name.
const (
	// StockBasic lists stocks.
	StockBasic = "stock_basic"
	// FundBasic lists funds.
	FundBasic = "fund_basic"
	// TradeCal is the exchange calendar.
	TradeCal = "trade_cal"
	// Daily has stock prices by trade date.
	Daily = "daily"
	// DailyBasic has valuations by trade date.
	DailyBasic = "daily_basic"
	// Moneyflow has order flow by trade date.
	Moneyflow = "moneyflow"
	// FundDaily has prices of exchange-traded funds by trade date.
	FundDaily = "fund_daily"
	// SuspendD lists suspended and resumed stocks by trade date.
	SuspendD = "suspend_d"
)

// Columns returns the column names of an interface, default ones first and in
// their default order; nil when it is not served.
func Columns(api string) []string {
	a := spec.Lookup(api)
	if a == nil {
		return nil
	}
	out := make([]string, len(a.Columns))
	for i, c := range a.Columns {
		out[i] = c.Name
	}
	return out
}
