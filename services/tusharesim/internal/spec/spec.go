// Package spec describes the provider's interfaces: columns in the default
// order, row caps, publication hours and points. It is data and holds no state.
package spec

// Kind is the JSON type of a column.
type Kind uint8

// The kinds a column may have. Any of them may be null.
const (
	Text Kind = iota
	Float
	Int
)

// Column is one column of an interface.
type Column struct {
	// Name is the provider's name for it.
	Name string
	// Kind is its JSON type.
	Kind Kind
	// Extra columns are returned only if they are requested by name.
	Extra bool
}

// ID identifies an interface.
type ID uint8

// The interfaces served.
const (
	StockBasic ID = iota
	FundBasic
	TradeCal
	Daily
	DailyBasic
	Moneyflow
	FundDaily
	SuspendD
	Count
)

// API describes one interface.
type API struct {
	// ID is its number.
	ID ID
	// Name is its api_name.
	Name string
	// Columns in the default order, extra ones last.
	Columns []Column
	// Cap is the maximum number of rows of a reply.
	Cap int
	// Publish is the minute of the Beijing day from which today's rows show; 0
	// for interfaces that are not dated.
	Publish int
	// Points is the least number of points a token needs.
	Points int
	// Dated interfaces have one set of rows per trade date.
	Dated bool
	// NeedsKey is the provider's requirement on parameters.
	NeedsKey Need

	index map[string]int
}

// Need says which parameters an interface requires.
type Need uint8

// The requirements.
const (
	// NeedNothing accepts a call without parameters.
	NeedNothing Need = iota
	// NeedCodeOrDates wants ts_code or any of the date parameters.
	NeedCodeOrDates
	// NeedCodeOrDate wants ts_code or trade_date itself.
	NeedCodeOrDate
)

// Index finds a column by name; false when there is none.
func (a *API) Index(name string) (int, bool) {
	i, ok := a.index[name]
	return i, ok
}

// Defaults returns the indexes of the default columns.
func (a *API) Defaults() []int {
	var out []int
	for i, c := range a.Columns {
		if !c.Extra {
			out = append(out, i)
		}
	}
	return out
}

func cols(kind Kind, names ...string) []Column {
	out := make([]Column, len(names))
	for i, n := range names {
		out[i] = Column{Name: n, Kind: kind}
	}
	return out
}

func extra(cs []Column) []Column {
	for i := range cs {
		cs[i].Extra = true
	}
	return cs
}

func join(parts ...[]Column) []Column {
	var out []Column
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

var apis = [Count]*API{
	StockBasic: {
		Name: "stock_basic", Cap: 6000, Points: 2000,
		Columns: join(
			cols(Text, "ts_code", "symbol", "name", "area", "industry", "cnspell", "market", "list_date", "act_name", "act_ent_type"),
			extra(cols(Text, "fullname", "enname", "exchange", "curr_type", "list_status", "delist_date", "is_hs"))),
	},
	FundBasic: {
		Name: "fund_basic", Cap: 15000, Points: 2000,
		Columns: join(
			cols(Text, "ts_code", "name", "management", "custodian", "fund_type", "found_date", "due_date", "list_date", "issue_date", "delist_date"),
			cols(Float, "issue_amount", "m_fee", "c_fee", "duration_year", "p_value", "min_amount", "exp_return"),
			cols(Text, "benchmark", "status", "invest_type", "type", "trustee", "purc_startdate", "redm_startdate", "market")),
	},
	TradeCal: {
		Name: "trade_cal", Cap: 10000, Points: 2000,
		Columns: join(cols(Text, "exchange", "cal_date"), cols(Int, "is_open"), cols(Text, "pretrade_date")),
	},
	Daily: {
		Name: "daily", Cap: 6000, Publish: 16 * 60, Points: 120, Dated: true,
		Columns: join(
			cols(Text, "ts_code", "trade_date"),
			cols(Float, "open", "high", "low", "close", "pre_close", "change", "pct_chg", "vol", "amount"),
			extra(cols(Float, "ah_vol", "ah_amount"))),
	},
	DailyBasic: {
		Name: "daily_basic", Cap: 6000, Publish: 17 * 60, Points: 2000, Dated: true, NeedsKey: NeedCodeOrDates,
		Columns: join(
			cols(Text, "ts_code", "trade_date"),
			cols(Float, "close", "turnover_rate", "turnover_rate_f", "volume_ratio", "pe", "pe_ttm", "pb", "ps", "ps_ttm",
				"dv_ratio", "dv_ttm", "total_share", "float_share", "free_share", "total_mv", "circ_mv"),
			extra(cols(Int, "limit_status"))),
	},
	Moneyflow: {
		Name: "moneyflow", Cap: 6000, Publish: 19 * 60, Points: 2000, Dated: true, NeedsKey: NeedCodeOrDates,
		Columns: join(
			cols(Text, "ts_code", "trade_date"),
			volAmount("buy_sm", "sell_sm", "buy_md", "sell_md", "buy_lg", "sell_lg", "buy_elg", "sell_elg", "net_mf"),
			extra(cols(Int, "trade_count"))),
	},
	FundDaily: {
		Name: "fund_daily", Cap: 5000, Publish: 17 * 60, Points: 5000, Dated: true, NeedsKey: NeedCodeOrDate,
		Columns: join(
			cols(Text, "ts_code", "trade_date"),
			cols(Float, "pre_close", "open", "high", "low", "close", "change", "pct_chg", "vol", "amount")),
	},
	SuspendD: {
		Name: "suspend_d", Cap: 5000, Publish: 9 * 60, Points: 120, Dated: true,
		Columns: cols(Text, "ts_code", "trade_date", "suspend_timing", "suspend_type"),
	},
}

func volAmount(names ...string) []Column {
	var out []Column
	for _, n := range names {
		out = append(out, Column{Name: n + "_vol", Kind: Int}, Column{Name: n + "_amount", Kind: Float})
	}
	return out
}

var byName = map[string]*API{}

func init() {
	for id, a := range apis {
		a.ID = ID(id)
		a.index = map[string]int{}
		for i, c := range a.Columns {
			a.index[c.Name] = i
		}
		byName[a.Name] = a
	}
}

// Lookup finds an interface by api_name; nil when it is not served.
func Lookup(name string) *API { return byName[name] }

// Get returns an interface by number.
func Get(id ID) *API { return apis[id] }

// All returns every interface in a fixed order.
func All() []*API { return apis[:] }
