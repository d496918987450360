// Package synthetic generates a market. A seed determines all stocks, funds and trade dates, and
// each row can be computed separately, in any order. Equal seeds and sizes give equal data at any
// time; the clock only decides how much of it is shown.
//
// Like the real market it has code ranges and boards, the calendar, listings and delistings,
// suspended stocks and idle funds without rows, ex-rights reference prices, the provider's
// decimals and nulls, and the arithmetic between columns. Unlike it, prices follow a slow wave,
// dividends do not match dv_ratio, and Beijing's old codes are not replaced.
package synthetic
