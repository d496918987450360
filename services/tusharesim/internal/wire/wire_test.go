package wire

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"
)

// want is the provider's way of writing v/10^places.
func want(v int64, places int) string {
	if places == 0 {
		return strconv.FormatInt(v, 10)
	}
	neg := v < 0
	d := strconv.FormatUint(uint64(max(v, -v)), 10)
	for len(d) <= places {
		d = "0" + d
	}
	s := d[:len(d)-places] + "." + strings.TrimRight(d[len(d)-places:], "0")
	if strings.HasSuffix(s, ".") {
		s += "0"
	}
	if neg {
		s = "-" + s
	}
	return s
}

func checkAll(t *testing.T, v int64) {
	t.Helper()
	for places, put := range map[int]func([]byte, int, int64) int{0: PutInt, 2: Put2, 3: Put3, 4: Put4} {
		var p [Room + 1]byte
		if got := string(p[1:put(p[:], 1, v)]); got != want(v, places) {
			t.Fatalf("%d with %d places: got %s, want %s", v, places, got, want(v, places))
		}
	}
}

func TestPut(t *testing.T) {
	for v := int64(-12000); v <= 12000; v++ {
		checkAll(t, v)
	}
	for p := int64(1); p < math.MaxInt64/10; p *= 10 {
		for _, d := range []int64{-1, 0, 1} {
			checkAll(t, p+d)
			checkAll(t, -p-d)
			checkAll(t, p*9+d)
		}
	}
	checkAll(t, math.MaxInt64)
}

func FuzzPut(f *testing.F) {
	f.Add(int64(123456))
	f.Fuzz(func(t *testing.T, v int64) {
		if v != math.MinInt64 {
			checkAll(t, v)
		}
	})
}

func TestQuote(t *testing.T) {
	for _, s := range []string{"", "000001.SZ", "平安银行", `a"b\c`, "<a&b>", "line\nend", "Swellfun Co.,Ltd."} {
		var back string
		if err := json.Unmarshal([]byte(Quote(s)), &back); err != nil || back != s {
			t.Errorf("Quote(%q) = %s: %q, %v", s, Quote(s), back, err)
		}
	}
	if Quote("<a&b>") != `"<a&b>"` || QuoteOrNull("") != "null" {
		t.Error("HTML is escaped, or empty is not null")
	}
}
