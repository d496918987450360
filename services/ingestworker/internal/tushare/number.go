package tushare

import (
	"errors"
	"strconv"
)

// errRange means that a number is valid but too large for a float64. The index after it
// is returned nevertheless.
var errRange = errors.New("number out of range")

// pow10 has the powers of ten that a float64 represents exactly.
var pow10 = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// scanNumber reads a JSON number that begins at i. The value equals that of
// strconv.ParseFloat: if the digits fit in 53 bits and the power of ten is exact, their
// quotient is correctly rounded; for other numbers it calls strconv. A number at the end
// of b returns errShort, because it may continue.
func scanNumber(b []byte, i int) (v float64, next int, err error) {
	start := i
	negative := false
	if i < len(b) && b[i] == '-' {
		negative = true
		i++
	}
	if i >= len(b) {
		return 0, i, errShort
	}
	var digits uint64
	count, fraction := 0, 0
	switch c := b[i]; {
	case c == '0':
		i++
	case '1' <= c && c <= '9':
		for i < len(b) && b[i]-'0' <= 9 {
			digits = digits*10 + uint64(b[i]-'0')
			i++
			count++
		}
	default:
		return 0, i, malformed(i, "invalid JSON value")
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && b[i]-'0' <= 9 {
			digits = digits*10 + uint64(b[i]-'0')
			i++
		}
		if fraction = i - point; fraction == 0 && i < len(b) {
			return 0, i, malformed(i, "number without digits after the point")
		}
		count += fraction
	}
	exponent := false
	if i < len(b) && b[i]|0x20 == 'e' {
		exponent = true
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		first := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		if i == first && i < len(b) {
			return 0, i, malformed(i, "number without digits in the exponent")
		}
	}
	if i >= len(b) {
		return 0, i, errShort
	}
	if b[i]-'0' <= 9 {
		return 0, i, malformed(i, "number with a leading zero")
	}
	if !exponent && count <= 18 && digits < 1<<53 && fraction < len(pow10) {
		if v = float64(digits) / pow10[fraction]; negative {
			v = -v
		}
		return v, i, nil
	}
	if v, err = strconv.ParseFloat(string(b[start:i]), 64); err != nil {
		return 0, i, errRange
	}
	return v, i, nil
}

// parseNumber reads a number written as a string.
func parseNumber(s string) (float64, bool) {
	var room [48]byte
	b := append(append(room[:0], s...), ',')
	v, n, err := scanNumber(b, 0)
	return v, err == nil && n == len(s)
}
