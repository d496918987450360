package calendar

import "testing"

func TestOpenDaysPerYear(t *testing.T) {
	for year, want := range map[int32]int{2015: 244, 2018: 243, 2019: 244, 2020: 243, 2021: 243, 2022: 242, 2023: 242, 2024: 242, 2025: 243, 2026: 242} {
		if got := len(Standard().Between(year*10000+101, year*10000+1231)); got != want {
			t.Errorf("%d: %d open days, want %d", year, got, want)
		}
	}
	for year := int32(2027); year <= 2040; year++ {
		if got := len(Standard().Between(year*10000+101, year*10000+1231)); got < 238 || got > 251 {
			t.Errorf("%d: %d open days projected", year, got)
		}
	}
}

func TestLookup(t *testing.T) {
	c := Standard()
	for date, want := range map[int32]Day{
		19901219: {Date: 19901219, Open: true},
		20260104: {Date: 20260104, Prev: 20251231},
		20260105: {Date: 20260105, Open: true, Prev: 20251231},
	} {
		got, ok := c.Lookup(date)
		want.Index = got.Index
		if !ok || got != want {
			t.Errorf("%d: %+v, %v", date, got, ok)
		}
		if got.Open && c.Open()[got.Index] != date || !got.Open && c.Open()[got.Index] != got.Prev {
			t.Errorf("%d: index %d", date, got.Index)
		}
	}
	for _, date := range []int32{0, 19901218, 20410101, 20260230, 20261301, -5} {
		if _, ok := c.Lookup(date); ok {
			t.Errorf("%d was found", date)
		}
	}
}

func TestParse(t *testing.T) {
	for s, ok := range map[string]bool{"20260515": true, "20260230": false, "2026-05-15": false, "": false, "2026051x": false, "20240229": true} {
		if _, got := Parse(s); got != ok {
			t.Errorf("Parse(%q) says %v", s, got)
		}
	}
	if Horizon(20261130) != 20261231 || Horizon(20261201) != 20271231 {
		t.Error("the horizon moves on the first of December")
	}
}
