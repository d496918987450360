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

// Options configure a Sim. The zero value is a whole synthetic market with the system's clock,
// which accepts any token and has no limits.
type Options struct {
	// Seed of the synthetic market and of all random choices; 0 means 1.
	Seed uint64
	// Stocks is the number of stock codes up to 2026, including delisted ones. 0 means
	// DefaultStocks, a negative number none.
	Stocks int
	// Funds is the number of exchange-traded funds, ETFs and others. 0 means DefaultFunds, a
	// negative number none.
	Funds int

	// ReplayDir, if set, serves a folder of recorded data instead of the
	// synthetic market.
	ReplayDir string
	// StockBasicVintage chooses among the recorded stock lists, for instance
	// "201911"; empty means the newest.
	StockBasicVintage string

	// Now is the clock; nil means time.Now. The simulator converts its time to Beijing time.
	Now func() time.Time
	// ClockOffset is added to the clock.
	ClockOffset time.Duration

	// Tokens are the accepted tokens, each with its permissions. If empty, any token that is not
	// empty is accepted.
	Tokens map[string]Grant
	// Points of a token that is not in Tokens; 0 means enough for all interfaces.
	Points int
	// Deny names interfaces that no token may call.
	Deny []string
	// Limits are the rate limits in force.
	Limits []Limit

	// Publish has the publication hour of interfaces as "HH:MM" in Beijing time; the others keep
	// their defaults.
	Publish map[string]string
	// Caps has the maximum number of rows of a reply per interface.
	Caps map[string]int

	// Latency is the delay of each reply, and Jitter the maximum of a random addition.
	Latency, Jitter time.Duration
}

// Grant has the permissions of a token.
type Grant struct {
	// Points of the token, which must reach those of an interface; 0 means enough.
	Points int `json:"points,omitempty"`
	// Deny names interfaces that it may not call, whatever its points.
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

// Columns returns the column names of an interface, the default ones first and in their default
// order. It returns nil if the interface is not served.
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
