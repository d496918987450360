package market

import (
	"testing"
	"time"
)

func TestDateRoundTrip(t *testing.T) {
	for _, s := range []string{"1990-12-19", "2024-02-29", "2026-11-23"} {
		d, err := ParseDate(s)
		if err != nil || d.String() != s {
			t.Errorf("ParseDate(%s) = %v, %v", s, d, err)
		}
		c, err := ParseCompact(d.Compact())
		if err != nil || c != d {
			t.Errorf("ParseCompact(%s) = %v, %v; want %v", d.Compact(), c, err, d)
		}
	}
	for _, s := range []string{"", "2026-02-30", "20260201", "2026-2-1", "1889-01-01", "２０２６-01-01"} {
		if d, err := ParseDate(s); err == nil {
			t.Errorf("ParseDate(%q) = %v, want an error", s, d)
		}
	}
	if NoDate.String() != "" || NoDate.Compact() != "" {
		t.Error("the absent date must have no text")
	}
}

func TestDateOfIsShanghai(t *testing.T) {
	late := time.Date(2026, 3, 2, 16, 30, 0, 0, time.UTC) // 00:30 the next day in Shanghai
	if got := DateOf(late).String(); got != "2026-03-03" {
		t.Errorf("DateOf = %s, want 2026-03-03", got)
	}
	if at := NewDate(2026, 3, 3).At(19, 30, Shanghai); at.UTC().Hour() != 11 {
		t.Errorf("At(19:30) = %v", at.UTC())
	}
}

func TestETFRangesAgreeWithIsETF(t *testing.T) {
	for _, r := range ETFRanges() {
		symbol := (r.Prefix + "000000")[:6] + "." + r.Exchange
		if !IsETF(symbol) {
			t.Errorf("%s is in range %v and not identified as an ETF", symbol, r)
		}
	}
	for _, s := range []string{"501018.SH", "508000.SH", "160105.SZ", "600519.SH", "159915.SH", "510300.SZ", "", "510300"} {
		if IsETF(s) {
			t.Errorf("%q identified as an ETF", s)
		}
	}
}

func TestParseSymbol(t *testing.T) {
	for in, want := range map[string]string{"600519.sh": "600519.SH", " 159915.SZ ": "159915.SZ", "920001.BJ": "920001.BJ"} {
		if got, err := ParseSymbol(in); err != nil || got != want {
			t.Errorf("ParseSymbol(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "600519", "600519.HK", "60051９.SH", "501018.SH", "'; drop table"} {
		if got, err := ParseSymbol(in); err == nil {
			t.Errorf("ParseSymbol(%q) = %q, want an error", in, got)
		}
	}
}
