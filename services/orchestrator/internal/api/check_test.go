package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	var p problems
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, market.Shanghai)
	p.pools("pools", []marketv1.Pool{marketv1.Pool_POOL_TARGETS, 7})
	p.dates("2026-02-30", "2026-03-03", now)
	p.modules("module_ids", []string{"stock.basic", "stock.nonsense", "a\x00b"}, &catalog.Catalog{Modules: []catalog.Module{{ID: "stock.basic"}}})
	p.note("note", strings.Repeat("字", 501))
	p.requestID("request_id", "yesterday")
	p.page(-1, 50, 500, "garbage", "runs", "")
	err := p.err()
	faulttest.Produces(t, err, fault.InvalidArgument)
	f, _ := fault.As(err)
	var fields []string
	for _, v := range f.Fields {
		fields = append(fields, v.Field)
	}
	want := []string{"pools[1]", "start_date", "end_date", "module_ids[1]", "module_ids[2]", "note", "request_id", "page_size", "page_token"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
	if strings.ContainsRune(err.Error(), 0) {
		t.Error("the message holds what was wrong with the request")
	}
}

func TestManyViolationsAreBounded(t *testing.T) {
	var p problems
	p.symbols("symbols", strings.Split(strings.Repeat("x,", targetset.MaxSymbols-1), ","), nil, targetset.Set{}, false)
	f, ok := fault.As(p.err())
	if !ok || len(f.Fields) != maxTold || !strings.Contains(f.Message, "more") {
		t.Errorf("%d fields in %d bytes", len(f.Fields), len(f.Message))
	}
}

// Responses stay small with long lists of symbols, and the pages continue.
func TestPartitionsThatFit(t *testing.T) {
	long := make([]run.Partition, 60)
	for i := range long {
		long[i].Symbols = make([]string, targetset.MaxSymbols)
	}
	short := make([]run.Partition, 60)
	for _, c := range []struct {
		partitions  []run.Partition
		limit, want int
	}{
		{nil, 10, 0}, {short, 10, 10}, {short, 60, 60}, {short, 100, 60}, {long, 10, 10}, {long, 100, 50}, {long[:1], 1, 1},
		{[]run.Partition{{Symbols: make([]string, 2*maxNamed)}, {}}, 10, 1},
	} {
		if got := fitting(c.partitions, c.limit); got != c.want {
			t.Errorf("%d of %d partitions fit, want %d", got, len(c.partitions), c.want)
		}
	}
}

func TestDates(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 30, 0, 0, market.Shanghai) // still the first of March in UTC
	for _, c := range []struct {
		start, end string
		wrong      int
	}{
		{"", "", 0},
		{"2026-03-02", "2026-03-02", 0},
		{"2026-03-02", "", 0},
		{"2026-03-03", "", 1},
		{"", "2026-03-03", 1},
		{"2026-03-02", "2026-03-01", 1},
		{"2026-02-30", "2026-13-01", 2},
		{"20260302", "2 March", 2},
		{"0000-00-00", "9999-99-99", 2},
	} {
		var p problems
		p.dates(c.start, c.end, now)
		if len(p.fields) != c.wrong {
			t.Errorf("%s to %s: %v, want %d faults", c.start, c.end, p.fields, c.wrong)
		}
	}
}

func TestPageTokensBelongToTheirList(t *testing.T) {
	_, token := pageOf([]string{"c", "b", "a"}, 2, "runs", "targets,,", func(s string) string { return s })
	for _, c := range []struct {
		kind, filter, token string
		ok                  bool
	}{
		{"runs", "targets,,", token, true},
		{"runs", "universe,,", token, false},
		{"slots", "targets,,", token, false},
		{"runs", "targets,,", token + "x", false},
		{"runs", "targets,,", "%%%", false},
		{"runs", "targets,,", strings.Repeat("A", 100_000), false},
		{"runs", "targets,,", pageToken("runs", "targets,,", ""), false},
		{"runs", "targets,,", pageToken("runs", "targets,,", "a\x00b"), false},
		{"runs", "targets,,", pageToken("runs", "targets,,", "\xff"), false},
	} {
		var p problems
		_, cursor := p.page(0, 50, 500, c.token, c.kind, c.filter)
		if (p.err() == nil) != c.ok || c.ok && cursor != "b" {
			t.Errorf("%+v: cursor %q, %v", c, cursor, p.err())
		}
	}
	if rest, next := pageOf([]string{"a"}, 2, "runs", "", func(s string) string { return s }); len(rest) != 1 || next != "" {
		t.Errorf("the last page gave %v, %q", rest, next)
	}
}

func TestSymbolsAreNormalized(t *testing.T) {
	var p problems
	got := p.symbols("symbols", []string{"600519.sh", " 159915.SZ", "600519.SH", "000001.sz"}, nil, targetset.Set{}, false)
	if diff := cmp.Diff([]string{"000001.SZ", "159915.SZ", "600519.SH"}, got.symbols); diff != "" || p.err() != nil {
		t.Errorf("%s %v", diff, p.err())
	}
}

func TestLastComplete(t *testing.T) {
	day := func(s string) market.Date {
		d, err := market.ParseDate(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	got := lastComplete([]worker.Coverage{
		{Module: "stock.basic", Dataset: "stock_basic", Date: market.NoDate, Verdict: "complete"},
		{Module: "stock.market.daily", Dataset: "daily", Date: day("2026-03-02"), Verdict: "complete"},
		{Module: "stock.market.daily", Dataset: "daily_basic", Date: day("2026-03-02"), Verdict: "not_published"},
		{Module: "stock.market.daily", Dataset: "daily", Date: day("2026-02-27"), Verdict: "accepted_short"},
		{Module: "stock.market.daily", Dataset: "daily_basic", Date: day("2026-02-27"), Verdict: "complete"},
		{Module: "etf.daily_quote", Dataset: "fund_daily", Date: day("2026-03-02"), Verdict: "missing"},
	})
	want := `{"moduleId":"etf.daily_quote"} {"moduleId":"stock.market.daily","tradeDate":"2026-02-27"}`
	var text []string
	for _, d := range got {
		text = append(text, strings.ReplaceAll(protojson.Format(d), " ", ""))
	}
	if joined := strings.ReplaceAll(strings.Join(text, " "), "\n", ""); joined != want {
		t.Errorf("got %s, want %s", joined, want)
	}
}
