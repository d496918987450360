// Package synthetic is a made-up market: a seed gives every stock, fund and
// trade date, and any row can be computed on its own, in any order, without
// history and without memory. The same seed and size always give the same data,
// whatever the clock says; the clock only decides how much of it is shown.
//
// What it keeps of the real market: code ranges and boards, the calendar, listing
// and delisting, suspended stocks and idle funds being absent, ex-rights reference
// prices, the provider's decimals, its nulls, and the arithmetic between columns.
// What it does not: prices have no memory beyond a slow wave, nobody pays a
// dividend on the date dv_ratio would suggest, and Beijing's old codes are not
// re-numbered.
package synthetic
