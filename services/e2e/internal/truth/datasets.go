package truth

import "strings"

// Dataset describes where the rows of a dataset by trade date are, at the provider and in a pool.
type Dataset struct {
	// API is the provider's name, which is the dataset's.
	API string
	// Due is the hour, Beijing time, from which the day's rows are called for.
	Due int

	table, where string
	columns      []string // by the provider's names
}

var prices = strings.Fields("open high low close pre_close change pct_chg vol amount")

const etfs = `(symbol like '51%.SH' or symbol like '52%.SH' or symbol like '53%.SH' or symbol like '55%.SH'
	or symbol like '56%.SH' or symbol like '58%.SH' or symbol like '159%.SZ')`

var datasets = []Dataset{
	{API: "daily", Due: 17, table: "daily_prices", where: "not " + etfs, columns: prices},
	{API: "fund_daily", Due: 18, table: "daily_prices", where: etfs, columns: prices},
	{API: "daily_basic", Due: 18, table: "daily_basics", where: "1 = 1", columns: strings.Fields(
		"close turnover_rate turnover_rate_f volume_ratio pe pe_ttm pb ps ps_ttm dv_ratio dv_ttm total_share float_share free_share total_mv circ_mv")},
	{API: "moneyflow", Due: 19, table: "daily_moneyflows", where: "1 = 1", columns: strings.Fields(
		"buy_sm_vol buy_sm_amount sell_sm_vol sell_sm_amount buy_md_vol buy_md_amount sell_md_vol sell_md_amount buy_lg_vol buy_lg_amount " +
			"sell_lg_vol sell_lg_amount buy_elg_vol buy_elg_amount sell_elg_vol sell_elg_amount net_mf_vol net_mf_amount")},
}

// Datasets lists the datasets by trade date.
func Datasets() []Dataset { return datasets }

// IsETF reports whether a code is in an ETF range.
func IsETF(symbol string) bool {
	if strings.HasPrefix(symbol, "159") {
		return strings.HasSuffix(symbol, ".SZ")
	}
	for _, prefix := range []string{"51", "52", "53", "55", "56", "58"} {
		if strings.HasPrefix(symbol, prefix) {
			return strings.HasSuffix(symbol, ".SH")
		}
	}
	return false
}

// stored names the columns as the pools' tables do.
func (d Dataset) stored() string {
	return `"` + strings.ReplaceAll(strings.Join(d.columns, `", "`), `"vol"`, `"volume"`) + `"`
}
