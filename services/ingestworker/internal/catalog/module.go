package catalog

import (
	"slices"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Domain is a field of the market that groups modules.
type Domain struct {
	// ID, for example "stock".
	ID string
	// Title is the display name.
	Title string
	// DefaultOn is whether it is enabled by default.
	DefaultOn bool
}

// Source is a provider of data.
type Source struct {
	// ID, for example "tushare".
	ID string
	// Title is the display name.
	Title string
	// Active providers can be selected; the others are only planned.
	Active bool
}

// API is one API of the provider.
type API struct {
	// Name is the provider's api_name.
	Name string
	// Points is the number of points that the provider's documentation requires.
	Points int
}

// Probe is a small call that shows whether a module works with the current token.
type Probe struct {
	// Dataset to request.
	Dataset string
	// Params of the call. Those of a whole snapshot are the parameters of its first Call, so
	// that the response may serve as the day's fetch.
	Params map[string]string
	// OnTradeDate adds trade_date: the last known trading day.
	OnTradeDate bool
	// Rows is the number of rows to request; 0 means all.
	Rows int
	// Required are the columns that the module needs.
	Required []string
}

// Module is the smallest thing that can be enabled, probed and ingested.
type Module struct {
	// ID is unique across domains, for example "stock.market.daily".
	ID string
	// Domain it belongs to.
	Domain string
	// Title is the display name.
	Title string
	// Built modules are implemented; the others are listed as unsupported and have none of the
	// fields below.
	Built bool
	// DefaultOn is whether it is enabled by default.
	DefaultOn bool
	// Datasets of the module, in the order of Datasets.
	Datasets []string
	// Pools that select it.
	Pools []market.Pool
	// Kinds of instruments that it is about. Empty means every kind.
	Kinds []market.Kind
	// APIs that it calls, in order.
	APIs []API
	// Probes show whether it works; all of them must pass.
	Probes []Probe
}

// Holds reports whether a pool selects the module.
func (m *Module) Holds(p market.Pool) bool { return slices.Contains(m.Pools, p) }

// Snapshot reports whether every dataset of the module is a reference.
func (m *Module) Snapshot() bool {
	for _, id := range m.Datasets {
		if d := Lookup(id); d == nil || !d.Snapshot {
			return false
		}
	}
	return m.Built
}

// Domains lists every domain in display order.
func Domains() []Domain { return slices.Clone(domains) }

// Sources lists every provider, the active one first.
func Sources() []Source { return slices.Clone(sources) }

// Modules lists every module, implemented or not, by domain.
func Modules() []*Module {
	out := make([]*Module, len(modules))
	for i := range modules {
		out[i] = &modules[i]
	}
	return out
}

// LookupModule returns a module by its name, or nil.
func LookupModule(id string) *Module {
	for i := range modules {
		if modules[i].ID == id {
			return &modules[i]
		}
	}
	return nil
}

var domains = []Domain{
	{"stock", "Stocks", true}, {"etf", "Exchange-traded funds", true}, {"index", "Indices", false},
	{"public_fund", "Public funds", false}, {"futures", "Futures", false}, {"spot", "Spot commodities", false},
	{"options", "Options", false}, {"bond", "Bonds", false}, {"fx", "Foreign exchange", false},
	{"hk_stock", "Hong Kong stocks", false}, {"us_stock", "US stocks", false},
	{"industry_economy", "Industries", false}, {"macro", "Macro economy", false},
}

var sources = []Source{
	{"tushare", "Tushare Pro", true}, {"akshare", "AKShare", false}, {"wind", "Wind", false},
}

var both = []market.Pool{market.Targets, market.Universe}
var universe = []market.Pool{market.Universe}

// A snapshot's probe makes its first call in full: the response serves as the day's fetch,
// because a low tier may allow few calls.
var modules = append([]Module{
	{
		ID: "stock.basic", Domain: "stock", Title: "Stock list", Built: true, DefaultOn: true,
		Datasets: []string{StockBasic}, Pools: universe, Kinds: []market.Kind{market.Stock},
		APIs:   []API{{StockBasic, 2000}},
		Probes: []Probe{{Dataset: StockBasic, Params: map[string]string{"list_status": "L"}, Required: []string{"ts_code", "list_date"}}},
	},
	{
		ID: "stock.market.daily", Domain: "stock", Title: "Daily prices and indicators", Built: true, DefaultOn: true,
		Datasets: []string{Daily, DailyBasic}, Pools: both, Kinds: []market.Kind{market.Stock},
		APIs: []API{{Daily, 120}, {DailyBasic, 2000}},
		Probes: []Probe{
			{Dataset: Daily, OnTradeDate: true, Rows: 3, Required: []string{"ts_code", "trade_date", "close", "vol"}},
			{Dataset: DailyBasic, OnTradeDate: true, Rows: 3, Required: []string{"ts_code", "trade_date", "total_mv"}},
		},
	},
	{
		ID: "stock.reference", Domain: "stock", Title: "Trading calendar", Built: true, DefaultOn: true,
		Datasets: []string{TradeCal}, Pools: universe, APIs: []API{{TradeCal, 2000}},
		Probes: []Probe{{Dataset: TradeCal, Params: map[string]string{"exchange": "SSE"}, Required: []string{"cal_date", "is_open"}}},
	},
	{
		ID: "stock.moneyflow", Domain: "stock", Title: "Money flow", Built: true, DefaultOn: true,
		Datasets: []string{Moneyflow}, Pools: both, Kinds: []market.Kind{market.Stock}, APIs: []API{{Moneyflow, 2000}},
		Probes: []Probe{{Dataset: Moneyflow, OnTradeDate: true, Rows: 3, Required: []string{"ts_code", "trade_date", "net_mf_amount"}}},
	},
	{
		ID: "etf.basic_info", Domain: "etf", Title: "ETF list", Built: true, DefaultOn: true,
		Datasets: []string{FundBasic}, Pools: universe, Kinds: []market.Kind{market.ETF}, APIs: []API{{FundBasic, 2000}},
		Probes: []Probe{{Dataset: FundBasic, Params: map[string]string{"market": "E"}, Required: []string{"ts_code", "list_date"}}},
	},
	{
		ID: "etf.daily_quote", Domain: "etf", Title: "ETF daily prices", Built: true, DefaultOn: true,
		Datasets: []string{FundDaily}, Pools: both, Kinds: []market.Kind{market.ETF}, APIs: []API{{FundDaily, 5000}},
		Probes: []Probe{{Dataset: FundDaily, OnTradeDate: true, Rows: 3, Required: []string{"ts_code", "trade_date", "close", "vol"}}},
	},
}, unsupported()...)

// Modules that are listed but not implemented, so that a request for one fails with
// MODULE_NOT_SYNC_CAPABLE and not as an unknown name.
func unsupported() []Module {
	var out []Module
	for _, d := range []struct {
		domain  string
		modules [][2]string
	}{
		{"stock", [][2]string{
			{"stock.finance", "Financial statements"}, {"stock.feature", "Features"},
			{"stock.margin", "Margin trading"}, {"stock.board_concept", "Boards and concepts"},
		}},
		{"etf", [][2]string{
			{"etf.benchmark", "ETF benchmarks"}, {"etf.realtime_min", "ETF minutes, real time"}, {"etf.history_min", "ETF minutes, history"},
			{"etf.realtime_daily", "ETF day, real time"}, {"etf.adj_factor", "ETF adjustment factors"}, {"etf.share_scale", "ETF shares and size"},
		}},
		{"index", [][2]string{
			{"index.basic", "Index list"}, {"index.daily", "Index daily"}, {"index.weekly", "Index weekly"}, {"index.monthly", "Index monthly"},
			{"index.components_weights", "Index components and weights"}, {"index.sw_classification", "Shenwan classification"},
			{"index.sw_components", "Shenwan components"}, {"index.sw_daily", "Shenwan daily"}, {"index.global_major", "Global indices"},
		}},
		{"public_fund", [][2]string{
			{"fund.basic", "Fund list"}, {"fund.nav", "Fund net values"}, {"fund.holdings", "Fund holdings"},
			{"fund.scale", "Fund size"}, {"fund.dividend", "Fund dividends"}, {"fund.manager", "Fund managers"},
		}},
		{"futures", [][2]string{
			{"futures.basic", "Futures list"}, {"futures.daily", "Futures daily"}, {"futures.min", "Futures minutes"},
			{"futures.main_contract", "Main contracts"},
		}},
		{"spot", [][2]string{{"spot.sge_basic", "Gold exchange list"}, {"spot.sge_daily", "Gold exchange daily"}}},
		{"options", [][2]string{{"options.basic", "Options list"}, {"options.daily", "Options daily"}}},
		{"bond", [][2]string{{"bond.cb_basic", "Convertible bond list"}, {"bond.cb_quote", "Convertible bond prices"}, {"bond.yield_curve", "Yield curve"}}},
		{"fx", [][2]string{{"fx.basic", "Currency list"}, {"fx.daily", "Currency daily"}}},
		{"hk_stock", [][2]string{{"hk.basic", "Hong Kong list"}, {"hk.daily", "Hong Kong daily"}}},
		{"us_stock", [][2]string{{"us.basic", "US list"}, {"us.daily", "US daily"}}},
		{"industry_economy", [][2]string{{"industry.classification", "Industry classification"}, {"industry.components", "Industry components"}}},
		{"macro", [][2]string{{"macro.rates", "Interest rates"}, {"macro.national_economy", "National economy"}, {"macro.price_index", "Price indices"}}},
	} {
		for _, m := range d.modules {
			out = append(out, Module{ID: m[0], Domain: d.domain, Title: m[1]})
		}
	}
	return out
}
