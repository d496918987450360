package tushare

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Every number must be the one strconv reads, to the last bit.
func TestNumbersAreExact(t *testing.T) {
	check := func(s string) {
		t.Helper()
		got, n, err := scanNumber([]byte(s+","), 0)
		want, werr := strconv.ParseFloat(s, 64)
		if werr != nil {
			if err != errRange || n != len(s) {
				t.Errorf("%s: %v, %v; want out of range", s, got, err)
			}
			return
		}
		if err != nil || n != len(s) || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%s: %v (%d bytes, %v), want %v", s, got, n, err, want)
		}
	}
	for _, s := range []string{
		"0", "-0", "-0.0", "0.1", "1", "-1", "10.5", "9007199254740992", "9007199254740993", "9007199254740993.0", "999999999999999999",
		"18446744073709551616", "123456789012345678901234567890", "0.000000000000000000000000000001", "1e22", "1e23", "1E-5", "1e+5", "4.9e-324",
		"2.2250738585072014e-308", "1.7976931348623157e308", "1e999", "-1e999", "1e-999", "0.30000000000000004", "123456.789012345678", "0e0",
	} {
		check(s)
	}
	r := rand.New(rand.NewPCG(7, 7))
	for range 200_000 {
		switch r.IntN(4) {
		case 0: // as prices and amounts are written
			check(strconv.FormatFloat(float64(r.IntN(1e9))/100, 'f', r.IntN(5), 64))
		case 1:
			check(fmt.Sprintf("%d.%0*d", r.Uint64()>>r.IntN(64), 1+r.IntN(20), r.IntN(1000)))
		case 2:
			check(strconv.FormatFloat(math.Float64frombits(r.Uint64()&^(1<<62)), 'e', r.IntN(18), 64))
		default:
			raw, _ := json.Marshal(r.NormFloat64() * 1e6)
			check(string(raw))
		}
	}
}

func TestWhatIsNoNumber(t *testing.T) {
	for _, s := range []string{"01", "-", "-a", "1.", "1.x", ".5", "+1", "1e", "1ex", "1e+", "NaN", "Infinity", "0x10", "1_000", "٣", "--1", "00"} {
		if v, n, err := scanNumber([]byte(s+","), 0); err == nil && n == len(s) {
			t.Errorf("%s read as %v", s, v)
		}
	}
	for _, s := range []string{"", "-", "1", "1.", "1.5", "1e", "1e-", "12345"} {
		if _, _, err := scanNumber([]byte(s), 0); err != errShort {
			t.Errorf("%q at the end of the bytes at hand: %v, want that it may go on", s, err)
		}
	}
}

func TestTextIsWhatJSONReads(t *testing.T) {
	for _, s := range []string{
		`""`, `"平安银行"`, `"\u5e73\u5b89"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ud83d\ud83d\ude00"`, `"a\"\\\/\b\f\n\r\tz"`, `"\u0000"`, `"\uD83D\n"`, `"\ud83d\ude0"`,
	} {
		var want string
		werr := json.Unmarshal([]byte(s), &want)
		raw, escaped, n, err := scanString([]byte(s), 0)
		if (err == nil) != (werr == nil) {
			t.Errorf("%s: %v, json says %v", s, err, werr)
		} else if err == nil && (text(raw, escaped) != want || n != len(s)) {
			t.Errorf("%s: %q, want %q", s, text(raw, escaped), want)
		}
	}
	for _, s := range []string{"\"\xff\"", "\"a\nb\"", `"\x"`, `"\u12g4"`, "\"\xed\xa0\x80\"", `x`} {
		if _, _, _, err := scanString([]byte(s), 0); err == nil || err == errShort {
			t.Errorf("%q read: %v", s, err)
		}
	}
}
