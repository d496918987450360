package evidence

// Symbol is a ts_code as a number that sorts like the code: the six digits times four, plus
// the exchange.
type Symbol uint32

// exchanges is the factor of the six digits, which leaves room for the exchange.
const exchanges = 4

// Symbols is one more than the largest Symbol.
const Symbols = 1_000_000 * exchanges

// SymbolOf packs a well-formed code; ok is false for any other text.
func SymbolOf(s string) (packed Symbol, ok bool) {
	if len(s) != 9 || s[6] != '.' {
		return 0, false
	}
	n := Symbol(0)
	for i := range 6 {
		c := s[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + Symbol(c)
	}
	switch s[7:] {
	case "BJ":
		return n * 4, true
	case "SH":
		return n*4 + 1, true
	case "SZ":
		return n*4 + 2, true
	}
	return 0, false
}

// exchange returns the index of the exchange in a tally.
func (s Symbol) exchange() uint8 { return uint8(s % exchanges) }

// String returns the ts_code.
func (s Symbol) String() string {
	b := [9]byte{6: '.'}
	n := s / 4
	for i := 5; i >= 0; i-- {
		b[i], n = byte('0'+n%10), n/10
	}
	copy(b[7:], [...]string{"BJ", "SH", "SZ", "??"}[s%4])
	return string(b[:])
}
