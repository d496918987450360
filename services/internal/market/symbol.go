package market

import (
	"errors"
	"fmt"
	"strings"
)

// Kind of an instrument. The zero value means unknown.
type Kind string

// The kinds of instruments afterbell stores.
const (
	// Stock is an A share or depositary receipt on SSE, SZSE or BSE.
	Stock Kind = "stock"
	// ETF is an exchange-traded fund, by its code range.
	ETF Kind = "etf"
)

// CodeRange is a range of codes on one exchange with the same prefix.
type CodeRange struct {
	// Prefix of the six digits.
	Prefix string
	// Exchange is the suffix of the symbol: SH, SZ or BJ.
	Exchange string
}

// ETFRanges are the code ranges of ETFs. A fund's name and type do not show it: none of
// 1,094 real fund_basic rows has the word in a type column.
func ETFRanges() []CodeRange {
	return []CodeRange{
		{"51", "SH"}, {"52", "SH"}, {"53", "SH"}, {"55", "SH"}, {"56", "SH"}, {"58", "SH"},
		{"159", "SZ"},
	}
}

// IsETF reports whether a symbol is in an ETF code range.
func IsETF(symbol string) bool {
	if len(symbol) != 9 {
		return false
	}
	switch symbol[6:] {
	case ".SH":
		if symbol[0] != '5' {
			return false
		}
		switch symbol[1] {
		case '1', '2', '3', '5', '6', '8':
			return true
		}
	case ".SZ":
		return symbol[:3] == "159"
	}
	return false
}

// KindOf is the kind of a well-formed symbol, by its code.
func KindOf(symbol string) Kind {
	if IsETF(symbol) {
		return ETF
	}
	return Stock
}

// Exchange is the two letters after the dot: SH, SZ or BJ. Empty when the symbol
// is not of the form "000001.SZ".
func Exchange(symbol string) string {
	if len(symbol) != 9 || symbol[6] != '.' {
		return ""
	}
	return symbol[7:]
}

// ParseSymbol validates a ts_code of the form "600519.SH" and returns it in upper case.
// Funds outside the ETF ranges are rejected: afterbell stores stocks and ETFs only.
func ParseSymbol(s string) (string, error) {
	up := strings.ToUpper(strings.TrimSpace(s))
	if up == "" {
		return "", errors.New("is empty: write six digits, a dot and SH, SZ or BJ, as in 600519.SH")
	}
	if !wellFormed(up) {
		return "", fmt.Errorf("%.24q is not a symbol: write six digits, a dot and SH, SZ or BJ, as in 600519.SH", s)
	}
	if fund := up[0] == '5' && up[7:] == "SH" || up[0] == '1' && up[7:] == "SZ"; fund && !IsETF(up) {
		return "", fmt.Errorf("%s is a fund outside the ETF code ranges (SH 51, 52, 53, 55, 56, 58; SZ 159)", up)
	}
	return up, nil
}

func wellFormed(s string) bool {
	if len(s) != 9 || s[6] != '.' {
		return false
	}
	for i := range 6 {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	switch s[7:] {
	case "SH", "SZ", "BJ":
		return true
	}
	return false
}
