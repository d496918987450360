package catalog

import (
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// The tables of both pools.
const (
	TablePrices      = "daily_prices"
	TableBasics      = "daily_basics"
	TableMoneyflows  = "daily_moneyflows"
	TableInstruments = "instrument_meta"
	TableCalendar    = "trade_calendar"
)

// The datasets, named after the provider's API.
const (
	StockBasic = "stock_basic"
	FundBasic  = "fund_basic"
	TradeCal   = "trade_cal"
	Daily      = "daily"
	DailyBasic = "daily_basic"
	Moneyflow  = "moneyflow"
	FundDaily  = "fund_daily"
)

// SuspendD is the provider's list of suspensions (doc_id=214). It is fetched as evidence
// and not stored, so it is not a dataset.
const SuspendD = "suspend_d"

// Dataset is one table that one API of the provider fills.
type Dataset struct {
	// ID names the dataset; it is also the provider's api_name.
	ID string
	// Module of the dataset.
	Module string
	// Kind of the instruments in its rows. Empty for the calendar.
	Kind market.Kind
	// Table in the pools.
	Table string
	// Snapshot datasets are stored whole; the others by trade date.
	Snapshot bool
	// Columns are requested by name, in this order, and all of them are stored.
	Columns []Column
	// Calls are the parameter sets that together fetch a snapshot. Nil for
	// datasets by trade date.
	Calls []Call
	// Due is the time of day in Shanghai from which the provider is expected to
	// have published a trade date. Zero for snapshots, which are due once a day.
	Due time.Duration
	// RowCaps are the documented and formerly documented maximum rows per call. A response
	// with exactly so many rows is followed by one more call.
	RowCaps []int
	// Floor is the share of the expected rows below which a partition is
	// INCOMPLETE.
	Floor float64
	// RestsOnDaily is true if every stock with a row in the date's daily has one here, too:
	// the date is judged against its daily, and the values are compared.
	RestsOnDaily bool
	// WithoutBeijing is true if the provider has no stocks of the Beijing exchange.
	WithoutBeijing bool
	// SymbolsPerCall is how many symbols one call's ts_code may list. Longer lists are
	// rejected, or answered incompletely without an error. 0 means one.
	SymbolsPerCall int
	// FirstFloor replaces Floor if no neighbouring date is stored. Zero means Floor.
	FirstFloor float64
}

// Call is one parameter set of a snapshot.
type Call struct {
	// Params are sent to the provider in addition to limit and offset.
	Params map[string]string
	// Fill are the values of columns that are null in the response because the parameter
	// implies them.
	Fill map[string]string
	// MayBeEmpty is true if a response without rows is normal, as for list_status P.
	MayBeEmpty bool
}

// Column is one column of a dataset.
type Column struct {
	// Provider is the name in the provider's response.
	Provider string
	// Stored is the name in the pool's table.
	Stored string
	// Type of the values.
	Type table.Type
	// Doc describes it, with its unit; it is the column's comment in the schema.
	Doc string
	// Required columns must be in every response and never be null.
	Required bool
}

// Specs are the dataset's columns for a batch.
func (d *Dataset) Specs() []table.Spec {
	specs := make([]table.Spec, len(d.Columns))
	for i, c := range d.Columns {
		specs[i] = table.Spec{Name: c.Provider, Type: c.Type}
	}
	return specs
}

// Covers reports whether the dataset may have rows of a symbol.
func (d *Dataset) Covers(symbol string) bool {
	return market.KindOf(symbol) == d.Kind && !(d.WithoutBeijing && market.Exchange(symbol) == "BJ")
}

var suspensions = Dataset{
	ID: SuspendD, Module: "stock.market.daily", Kind: market.Stock,
	Columns: []Column{
		symbol("Exchange code with suffix, as in 600519.SH."), tradeDate,
		text("suspend_timing", "Times within the day; null: the whole day."),
		must(text("suspend_type", "S suspended, R resumed.")),
	},
	Due: 17 * time.Hour, RowCaps: []int{5000, 6000},
}

// Suspensions are the parameters for the provider's list of suspensions.
func Suspensions() *Dataset { return &suspensions }

// Lookup returns a dataset by its name, or nil.
func Lookup(id string) *Dataset {
	for i := range datasets {
		if datasets[i].ID == id {
			return &datasets[i]
		}
	}
	return nil
}

// Order is the position of the dataset in Datasets: the datasets of a date are fetched in
// this order.
func (d *Dataset) Order() int {
	for i := range datasets {
		if datasets[i].ID == d.ID {
			return i
		}
	}
	return len(datasets)
}

// Datasets lists every dataset: references first, then by trade date in the order in which
// a date is ingested; daily first, because others are judged against it.
func Datasets() []*Dataset {
	out := make([]*Dataset, len(datasets))
	for i := range datasets {
		out[i] = &datasets[i]
	}
	return out
}

func symbol(doc string) Column {
	return Column{Provider: "ts_code", Stored: "symbol", Type: table.Text, Doc: doc, Required: true}
}
func text(name, doc string) Column {
	return Column{Provider: name, Stored: name, Type: table.Text, Doc: doc}
}
func day(name, doc string) Column {
	return Column{Provider: name, Stored: name, Type: table.Date, Doc: doc}
}
func num(name, doc string) Column {
	return Column{Provider: name, Stored: name, Type: table.Number, Doc: doc}
}
func must(c Column) Column { c.Required = true; return c }
func as(stored string, c Column) Column {
	c.Stored = stored
	return c
}

// tradeDate is the second column of every dataset by trade date, after the symbol.
var tradeDate = must(day("trade_date", "Trade date."))

// Prices in 元, unadjusted; the units are those of doc_id=27 and doc_id=127.
func priceColumns() []Column {
	return []Column{
		symbol("Exchange code with suffix, as in 600519.SH."), tradeDate,
		num("open", "First price of the day, 元."), num("high", "Highest price, 元."),
		num("low", "Lowest price, 元."), must(num("close", "Last price, 元.")),
		num("pre_close", "Reference price of the day before after ex-rights, 元; not always yesterday's close."),
		num("change", "close − pre_close, 元."), num("pct_chg", "change against pre_close, %."),
		as("volume", num("vol", "Volume, 手 (100 shares).")), num("amount", "Turnover, 千元."),
	}
}

var datasets = []Dataset{
	{
		ID: TradeCal, Module: "stock.reference", Table: TableCalendar, Snapshot: true,
		Columns: []Column{
			must(text("exchange", "Exchange whose calendar it is: SSE, which SZSE and BSE share.")), must(day("cal_date", "Calendar day.")),
			must(Column{Provider: "is_open", Stored: "is_open", Type: table.Int, Doc: "1 on trading days, 0 otherwise."}),
			day("pretrade_date", "The open day before."),
		},
		Calls:   []Call{{Params: map[string]string{"exchange": "SSE"}, Fill: map[string]string{"exchange": "SSE"}}},
		RowCaps: []int{2000, 4000, 6000, 10000}, Floor: 0.9,
	},
	{
		ID: StockBasic, Module: "stock.basic", Kind: market.Stock, Table: TableInstruments, Snapshot: true,
		Columns: []Column{
			symbol("Exchange code with suffix, as in 600519.SH."), text("name", "Short name."),
			text("area", "Province of the company's seat."), text("industry", "Industry."),
			text("fullname", "Full name."), text("enname", "English name."), text("cnspell", "Pinyin initials."),
			text("market", "Board: 主板, 创业板, 科创板, CDR, 北交所; for funds E (exchange)."),
			text("exchange", "SSE, SZSE or BSE."), text("curr_type", "Currency of trading."),
			text("list_status", "L listed, D delisted, P suspended; for funds I, L, D."),
			day("list_date", "First trading day."), day("delist_date", "Day of delisting. Null while listed."),
			text("is_hs", "Stock Connect: N none, H Shanghai, S Shenzhen."),
			text("act_name", "Controlling party."), text("act_ent_type", "Kind of the controlling party."),
		},
		Calls: []Call{
			{Params: map[string]string{"list_status": "L"}, Fill: map[string]string{"list_status": "L"}},
			{Params: map[string]string{"list_status": "D"}, Fill: map[string]string{"list_status": "D"}, MayBeEmpty: true},
			{Params: map[string]string{"list_status": "P"}, Fill: map[string]string{"list_status": "P"}, MayBeEmpty: true},
		},
		RowCaps: []int{4000, 5000, 6000}, Floor: 0.9,
	},
	{
		ID: FundBasic, Module: "etf.basic_info", Kind: market.ETF, Table: TableInstruments, Snapshot: true,
		Columns: []Column{
			symbol("Exchange code with suffix, as in 510300.SH."), text("name", "Short name."),
			text("management", "Fund company."), text("custodian", "Custodian bank."), text("fund_type", "Kind of fund."),
			day("found_date", "Day of founding."), day("due_date", "Day of maturity."), day("list_date", "First trading day."),
			day("issue_date", "Day of issue."), day("delist_date", "Day of delisting. Null while listed."),
			num("issue_amount", "Shares issued, 亿份."), num("m_fee", "Management fee, % a year."), num("c_fee", "Custody fee, % a year."),
			num("duration_year", "Life in years."), num("p_value", "Face value, 元."), num("min_amount", "Least purchase, 万元."),
			num("exp_return", "Expected return, %."), text("benchmark", "Benchmark."),
			as("list_status", text("status", "I issued, L listed, D delisted.")), text("invest_type", "Investment style."),
			text("type", "Legal form."), text("trustee", "Trustee."), day("purc_startdate", "First day of purchase."),
			day("redm_startdate", "First day of redemption."), text("market", "E exchange, O open."),
		},
		Calls:   []Call{{Params: map[string]string{"market": "E"}, Fill: map[string]string{"market": "E"}}},
		RowCaps: []int{2000, 5000, 10000, 15000}, Floor: 0.9,
	},
	{
		ID: Daily, Module: "stock.market.daily", Kind: market.Stock, Table: TablePrices, Columns: priceColumns(),
		Due: 17 * time.Hour, RowCaps: []int{4000, 5000, 6000}, Floor: 0.95, SymbolsPerCall: 100,
	},
	{
		ID: DailyBasic, Module: "stock.market.daily", Kind: market.Stock, Table: TableBasics,
		Columns: []Column{
			symbol("Exchange code with suffix, as in 600519.SH."), tradeDate, must(num("close", "Last price, 元.")),
			num("turnover_rate", "Turnover, %."), num("turnover_rate_f", "Turnover of the free float, %."), num("volume_ratio", "Volume ratio."),
			num("pe", "Price to earnings of the last year. Null for a loss."), num("pe_ttm", "Price to earnings of twelve months. Null for a loss."),
			num("pb", "Price to book."), num("ps", "Price to sales."), num("ps_ttm", "Price to sales of twelve months."),
			num("dv_ratio", "Dividend yield, %."), num("dv_ttm", "Dividend yield of twelve months, %."),
			num("total_share", "Shares, 万股."), num("float_share", "Floating shares, 万股."), num("free_share", "Free-floating shares, 万股."),
			num("total_mv", "Market value, 万元."), num("circ_mv", "Floating market value, 万元."),
		},
		Due: 18 * time.Hour, RowCaps: []int{4000, 6000}, Floor: 0.99, RestsOnDaily: true,
	},
	{
		ID: Moneyflow, Module: "stock.moneyflow", Kind: market.Stock, Table: TableMoneyflows,
		Columns: []Column{
			symbol("Exchange code with suffix, as in 600519.SH; never BJ."), tradeDate,
			num("buy_sm_vol", "Small orders bought, 手; small is under 5 万元."), num("buy_sm_amount", "Small orders bought, 万元."),
			num("sell_sm_vol", "Small orders sold, 手."), num("sell_sm_amount", "Small orders sold, 万元."),
			num("buy_md_vol", "Medium orders bought, 手; medium is 5 to 20 万元."), num("buy_md_amount", "Medium orders bought, 万元."),
			num("sell_md_vol", "Medium orders sold, 手."), num("sell_md_amount", "Medium orders sold, 万元."),
			num("buy_lg_vol", "Large orders bought, 手; large is 20 to 100 万元."), num("buy_lg_amount", "Large orders bought, 万元."),
			num("sell_lg_vol", "Large orders sold, 手."), num("sell_lg_amount", "Large orders sold, 万元."),
			num("buy_elg_vol", "Extra-large orders bought, 手; from 100 万元."), num("buy_elg_amount", "Extra-large orders bought, 万元."),
			num("sell_elg_vol", "Extra-large orders sold, 手."), num("sell_elg_amount", "Extra-large orders sold, 万元."),
			num("net_mf_vol", "Net flow, 手; not the sum of the large buckets."), num("net_mf_amount", "Net flow, 万元."),
		},
		Due: market.LastDue, RowCaps: []int{5000, 6000}, Floor: 0.98, RestsOnDaily: true, WithoutBeijing: true,
	},
	{
		ID: FundDaily, Module: "etf.daily_quote", Kind: market.ETF, Table: TablePrices, Columns: priceColumns(),
		Due: 18 * time.Hour, RowCaps: []int{800, 1000, 2000, 5000}, Floor: 0.95, FirstFloor: 0.85,
	},
}
