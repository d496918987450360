package instrument

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/market"
)

func list() *List {
	var all []Instrument
	for _, x := range []struct{ symbol, name, status string }{
		{"600519.SH", "贵州茅台", "L"}, {"600591.SH", "上海航空", "D"}, {"000001.SZ", "平安银行", "L"}, {"601318.SH", "中国平安", "L"},
		{"600900.SH", "长江电力", "L"}, {"000002.SZ", "万  科Ａ", "L"}, {"000100.SZ", "TCL科技", "L"}, {"600129.SH", "太极集团", "L"},
		{"920799.BJ", "艾融软件", "L"}, {"920992.BJ", "中科美菱", "L"}, {"920500.BJ", "新码", "L"}, {"510300.SH", "沪深300ETF", "L"}, {"601328.SH", "交通银行", "L"},
		{"601963.SH", "重庆银行", "L"}, {"600601.SH", "*ST方正", "P"},
	} {
		all = append(all, Instrument{Symbol: x.symbol, Name: x.name, Status: x.status, Kind: market.KindOf(x.symbol), Listed: market.NewDate(2001, 1, 1), Delisted: market.NoDate})
	}
	all[10].Former = []string{"430111.BJ"}
	return New(all)
}

func TestSearch(t *testing.T) {
	l := list()
	for query, want := range map[string]string{
		"600519": "600519.SH", "600519.sh": "600519.SH", "sh600519": "600519.SH", "SH.600519": "600519.SH", "６００５１９": "600519.SH",
		"茅台": "600519.SH", "gzmt": "600519.SH", "GZ": "600519.SH", "mt": "600519.SH",
		"平安": "000001.SZ 601318.SH", "payh": "000001.SZ", "pa": "000001.SZ 601318.SH",
		"cjdl": "600900.SH", "zjdl": "600900.SH", "万科A": "000002.SZ", "wka": "000002.SZ", "tcl": "000100.SZ", "tclkj": "000100.SZ",
		"cqyh": "601963.SH", "yh": "000001.SZ 601328.SH 601963.SH", "300etf": "510300.SH", "stfz": "600601.SH",
		"6005": "600519.SH", "600591": "600591.SH", "上海航空": "600591.SH", "shhk": "", "430111": "920500.BJ", "5103": "510300.SH",
		"": "", "   ": "", "zzzz": "", "🚀": "",
	} {
		found, _ := l.Search(query, "", false, 10)
		var got []string
		for _, x := range found {
			got = append(got, x.Symbol)
		}
		slices.Sort(got)
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q found %q, not %q", query, s, want)
		}
	}
	if found, _ := l.Search("600", "", true, 10); len(found) != 5 || found[4].Symbol != "600591.SH" {
		t.Errorf("with the delisted ones, which come last: %v", found)
	}
	if found, more := l.Search("60", market.Stock, false, 2); len(found) != 2 || !more || found[0].Symbol != "600129.SH" {
		t.Errorf("two of many: %v %v", found, more)
	}
	if found, _ := l.Search("沪深", market.Stock, false, 10); len(found) != 0 {
		t.Errorf("an ETF among the stocks: %v", found)
	}
}

func TestLead(t *testing.T) {
	l := list()
	for text, want := range map[string]string{
		"600519.SH": "600519.SH", " 600519.sh ": "600519.SH", "600591.SH": "600591.SH",
		"830799.BJ": "920799.BJ", "835892.BJ": "920992.BJ", "430111.BJ": "920500.BJ",
	} {
		if got, err := l.Lead(text, false); got != want || err != nil {
			t.Errorf("%s led to %s, %v", text, got, err)
		}
	}
	for text, nearest := range map[string]string{
		"600519.SZ": "600519.SH", "000001.SH": "000001.SZ", "600520.SH": "600519.SH", "605019.SH": "600519.SH",
		"600519": "600519.SH", "sh600519": "600519.SH", "贵州茅台": "600519.SH", "gzmt": "600519.SH", "830799": "920799.BJ", "700519.SH": "600519.SH",
		"60051999999999999999.SH": "600519.SH",
	} {
		if got, err := l.Lead(text, false); err == nil {
			t.Errorf("%s was taken as %s", text, got)
		}
		if got, ok := l.Nearest(text); !ok || got.Symbol != nearest {
			t.Errorf("nearest to %s is %s, not %s", text, got.Symbol, nearest)
		}
	}
	for _, text := range []string{"", "🚀", "XX", "999999.SH", "1.SH"} {
		if got, ok := l.Nearest(text); ok {
			t.Errorf("nearest to %q is said to be %s", text, got.Symbol)
		}
	}
	if got, err := l.Lead("603999.SH", true); got != "603999.SH" || err != nil {
		t.Errorf("a listing to come: %s, %v", got, err)
	}
	if _, err := l.Lead("600519.SZ", true); err == nil || !strings.Contains(err.Error(), "are on the exchange SH") {
		t.Errorf("of the wrong exchange: %v", err)
	}
	if _, err := New(slices.DeleteFunc(all(l), func(i Instrument) bool { return i.Kind == market.ETF })).Lead("159915.SZ", false); err != nil {
		t.Errorf("while no list of ETFs is known: %v", err)
	}
}

func all(l *List) []Instrument {
	var out []Instrument
	for _, e := range l.entries {
		out = append(out, e.Instrument)
	}
	return out
}

func TestWithoutAListOnlyTheFormIsChecked(t *testing.T) {
	var l *List
	for _, s := range []string{"600519.SH", "830799.BJ", "920799.BJ", "159915.SZ"} {
		if got, err := l.Lead(s, false); got != s || err != nil {
			t.Errorf("%s led to %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"600519.SZ", "AAPL", "700001.SH", "501018.SH"} {
		if got, err := l.Lead(s, false); err == nil {
			t.Errorf("%s was taken as %s", s, got)
		}
	}
	if _, ok := l.Nearest("600519"); ok {
		t.Error("something is near, and no list is known")
	}
	if found, more := l.Search("600519", "", true, 3); len(found) != 0 || more {
		t.Error("something was found, and no list is known")
	}
}

// A slip of the hand is looked for on the exchange of the digits first.
func TestNearestKeepsTheExchange(t *testing.T) {
	l := New([]Instrument{
		{Symbol: "300518.SZ", Name: "A", Kind: market.Stock, Status: "L"}, {Symbol: "600519.SH", Name: "B", Kind: market.Stock, Status: "L"},
	})
	if got, ok := l.Nearest("600518.SZ"); !ok || got.Symbol != "600519.SH" {
		t.Errorf("nearest to 600518.SZ is %s", got.Symbol)
	}
	if _, err := l.Lead(" ", false); err == nil || !strings.HasPrefix(err.Error(), "is empty") {
		t.Errorf("an empty symbol: %v", err)
	}
}

func BenchmarkNearest(b *testing.B) {
	var all []Instrument
	for i := range 7000 {
		all = append(all, Instrument{Symbol: fmt.Sprintf("%06d.SZ", i), Delisted: market.NoDate})
	}
	l := New(all)
	for b.Loop() {
		l.Nearest("302157.SZ")
	}
}
