package tushare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

const simDate = "20260302"

// simulate starts a small market over real HTTP, on a fixed day after its close.
func simulate(t *testing.T, o tusharesim.Options) *tusharesim.Server {
	t.Helper()
	if o.Stocks == 0 {
		o.Stocks, o.Funds = 600, 200
	}
	at := time.Date(2026, 3, 3, 21, 0, 0, 0, market.Shanghai)
	o.Now = func() time.Time { return at }
	return tusharesim.StartTest(t, o)
}

func simClient(t *testing.T, s *tusharesim.Server, cfg Config) *Client {
	cfg.URL, cfg.Backoff = s.URL, time.Nanosecond
	return newClient(t, cfg)
}

func simQuery(api string) ingest.Query {
	ds := catalog.Lookup(api)
	q := ingest.Query{Dataset: ds, Params: map[string]string{"trade_date": simDate}}
	if ds.Snapshot {
		q.Params = ds.Calls[0].Params
	}
	return q
}

// truth is what the simulator has, in the oracle's form and the order of a batch.
func truth(t *testing.T, s *tusharesim.Server, q ingest.Query) [][]value {
	t.Helper()
	names := make([]string, len(q.Dataset.Columns))
	for i, c := range q.Dataset.Columns {
		names[i] = c.Provider
	}
	tab, err := s.Rows(q.Dataset.ID, q.Params, names...)
	if err != nil {
		t.Fatal(err)
	}
	rows := make([][]value, len(tab.Rows))
	for r, row := range tab.Rows {
		rows[r] = make([]value, len(row))
		for i, v := range row {
			switch c := q.Dataset.Columns[i]; x := v.(type) {
			case nil:
				rows[r][i] = value{null: true}
			case string:
				if c.Type != table.Date {
					rows[r][i] = value{text: x}
				} else if d, err := market.ParseCompact(x); err == nil {
					rows[r][i] = value{date: d}
				} else {
					rows[r][i] = value{null: true}
				}
			case float64:
				rows[r][i] = value{bits: math.Float64bits(x)}
			}
		}
	}
	return rows
}

func sorted(rows [][]value) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = fmt.Sprint(r)
	}
	slices.Sort(out)
	return out
}

func TestSimulatorEveryDatasetIsWhole(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	c := simClient(t, s, Config{})
	for _, cap := range []int{0, 70} {
		for _, ds := range catalog.Datasets() {
			if cap > 0 && ds.ID == catalog.TradeCal {
				continue // its 13,000 days would be 190 calls
			}
			if cap > 0 {
				if err := s.SetCap(ds.ID, cap); err != nil {
					t.Fatal(err)
				}
			}
			q := simQuery(ds.ID)
			want := sorted(truth(t, s, q))
			a, err := c.Fetch(t.Context(), q, nil)
			if err != nil || len(a.Bad) > 0 || len(want) == 0 {
				t.Fatalf("%s: %v, bad %v, %d rows at the provider", ds.ID, err, a.Bad, len(want))
			}
			if got := sorted(cellsOf(a.Batch, nil)); !slices.Equal(got, want) {
				t.Errorf("%s with cap %d: %d rows, want %d, or other values", ds.ID, cap, len(got), len(want))
			}
			if least := (len(want) + cap - 1) / max(cap, 1); cap > 0 && (a.Calls < least || a.Calls > least+1) {
				t.Errorf("%s: %d calls for %d rows by %d", ds.ID, a.Calls, len(want), cap)
			}
		}
	}
}

func TestSimulatorFaultsAreClassified(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	for kind, want := range map[tusharesim.FaultKind]fault.Reason{
		tusharesim.HTTP500: fault.ProviderUnavailable, tusharesim.HTTP502: fault.ProviderUnavailable, tusharesim.HTTP503: fault.ProviderUnavailable,
		tusharesim.HTTP403: fault.ProviderUnavailable, tusharesim.Reset: fault.ProviderUnavailable, tusharesim.TruncatedBody: fault.ProviderUnavailable,
		tusharesim.MalformedJSON: fault.ProviderUnavailable, tusharesim.HTMLPage: fault.ProviderUnavailable,
		tusharesim.BadToken: fault.TokenInvalid, tusharesim.NoPermission: fault.PermissionDenied, tusharesim.TooManyIPs: fault.TooManyIPs,
		tusharesim.BadRequest: fault.ProviderUnavailable, tusharesim.HourLimit: fault.QuotaExhausted, tusharesim.DayQuota: fault.QuotaExhausted,
	} {
		for _, text := range []string{tusharesim.TextOld, tusharesim.TextNew} {
			c := simClient(t, s, Config{Limiter: gate(t, 0)})
			if _, err := s.AddFault(tusharesim.Fault{Kind: kind, Text: text, N: 3}); err != nil {
				t.Fatal(err)
			}
			s.ResetStats()
			a, err := c.Fetch(t.Context(), simQuery(catalog.Daily), nil)
			reasonIs(t, err, want)
			calls := 1
			if want == fault.ProviderUnavailable {
				calls = 3
			}
			if n := int(s.Stats().Total); a.Calls != calls || n != calls {
				t.Errorf("%s: counted %d calls, made %d, want %d", kind, a.Calls, n, calls)
			}
			s.ClearFaults()
			if a, err = c.Fetch(t.Context(), simQuery(catalog.Moneyflow), nil); err != nil || a.Batch.Len == 0 {
				t.Errorf("after %s: %v", kind, err)
			}
		}
	}
}

func TestSimulatorOneFailureIsMendedInside(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if err := s.SetCap(catalog.Daily, 100); err != nil {
		t.Fatal(err)
	}
	want := sorted(truth(t, s, simQuery(catalog.Daily)))
	for _, kind := range []tusharesim.FaultKind{tusharesim.HTTP502, tusharesim.Reset, tusharesim.TruncatedBody, tusharesim.MalformedJSON, tusharesim.HTMLPage} {
		if _, err := s.AddFault(tusharesim.Fault{Kind: kind, Skip: 2, Count: 2}); err != nil {
			t.Fatal(err)
		}
		a, err := simClient(t, s, Config{}).Fetch(t.Context(), simQuery(catalog.Daily), nil)
		if err != nil || a.Calls != (len(want)+99)/100+2 {
			t.Fatalf("%s: %d calls, %v", kind, a.Calls, err)
		}
		if got := sorted(cellsOf(a.Batch, a.Bad)); !slices.Equal(got, want) {
			t.Errorf("%s: the rows differ", kind)
		}
		s.ClearFaults()
	}
}

func TestSimulatorHangIsCut(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.Hang}); err != nil {
		t.Fatal(err)
	}
	c := simClient(t, s, Config{Timeout: 50 * time.Millisecond, Attempts: 2})
	a, err := c.Fetch(t.Context(), simQuery(catalog.Daily), nil)
	reasonIs(t, err, fault.ProviderUnavailable, "cause")
	if a.Calls != 2 {
		t.Errorf("%d calls", a.Calls)
	}
}

func TestSimulatorDownIsUnavailable(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := simClient(t, s, Config{}).Fetch(t.Context(), simQuery(catalog.Daily), nil)
	if f := reasonIs(t, err, fault.ProviderUnavailable, "cause"); !strings.Contains(f.Message, "refused") {
		t.Error(f.Message)
	}
}

func TestSimulatorRepeatedPageIsNoAnswer(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if err := s.SetCap(catalog.Daily, 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.RepeatedPage}); err != nil {
		t.Fatal(err)
	}
	_, err := simClient(t, s, Config{}).Fetch(t.Context(), simQuery(catalog.Daily), nil)
	reasonIs(t, err, fault.ProviderUnavailable, "cause")
}

func TestSimulatorDuplicateRowsAreDropped(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.DuplicateRows, N: 7}); err != nil {
		t.Fatal(err)
	}
	q := simQuery(catalog.DailyBasic)
	a, err := simClient(t, s, Config{}).Fetch(t.Context(), q, nil)
	if want := sorted(truth(t, s, q)); err != nil || a.Repeated != 7 || !slices.Equal(sorted(cellsOf(a.Batch, a.Bad)), want) {
		t.Errorf("%d rows, %d repeated, want %d and 7, %v", a.Batch.Len, a.Repeated, len(want), err)
	}
}

func TestSimulatorTextInANumberIsListed(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	if _, err := s.AddFault(tusharesim.Fault{Kind: tusharesim.WrongValue, Mode: tusharesim.ModeText, N: 3}); err != nil {
		t.Fatal(err)
	}
	a, err := simClient(t, s, Config{}).Fetch(t.Context(), simQuery(catalog.Daily), nil)
	if err != nil || len(a.Bad) != 3 {
		t.Fatalf("bad %v, %v", a.Bad, err)
	}
	for _, b := range a.Bad {
		if c := a.Batch.Column(b.Column); b.Column != "close" || !c.Null[b.Row] || b.Raw == "" {
			t.Errorf("%+v", b)
		}
	}
}

func TestSimulatorPermissionAndToken(t *testing.T) {
	s := simulate(t, tusharesim.Options{
		Stocks: 100, Funds: 100, Tokens: map[string]tusharesim.Grant{testToken: {Deny: []string{catalog.FundDaily}}},
	})
	c := simClient(t, s, Config{})
	if _, err := c.Fetch(t.Context(), simQuery(catalog.Daily), nil); err != nil {
		t.Error(err)
	}
	_, err := c.Fetch(t.Context(), simQuery(catalog.FundDaily), nil)
	if f := reasonIs(t, err, fault.PermissionDenied); f.Meta["provider_code"] != "40203" || f.Meta["domain"] != "etf" {
		t.Errorf("meta %v", f.Meta)
	}
	s.RevokeToken(testToken)
	_, err = c.Fetch(t.Context(), simQuery(catalog.Daily), nil)
	reasonIs(t, err, fault.TokenInvalid)
}

// The result of each call is reported, including retried ones.
func TestSimulatorCallsAreTold(t *testing.T) {
	s := simulate(t, tusharesim.Options{})
	var told []string
	c := simClient(t, s, Config{Called: func(api, result string, _ time.Duration) { told = append(told, api+" "+result) }})
	for _, f := range []tusharesim.Fault{
		{Kind: tusharesim.HTTP502, API: "daily", Count: 1}, {Kind: tusharesim.HourLimit, API: "moneyflow", N: 1, Count: 1},
	} {
		if _, err := s.AddFault(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Deny("fund_daily"); err != nil {
		t.Fatal(err)
	}
	for _, api := range []string{"daily", "moneyflow", "fund_daily"} {
		_, _ = c.Fetch(t.Context(), simQuery(api), nil) // the test checks only what is reported
	}
	ended, cancel := context.WithCancel(t.Context())
	c.http.Transport = roundTrip(func(request) (*http.Response, error) { cancel(); return nil, context.Canceled })
	_, _ = c.Fetch(ended, simQuery("daily_basic"), nil)
	want := []string{"daily provider_unavailable", "daily ok", "moneyflow quota_exhausted", "fund_daily permission_denied", "daily_basic cancelled"}
	if !slices.Equal(told, want) {
		t.Errorf("reported %q, want %q", told, want)
	}
}

func TestSimulatorProbeOfEveryDataset(t *testing.T) {
	c := simClient(t, simulate(t, tusharesim.Options{}), Config{})
	for _, ds := range catalog.Datasets() {
		q := simQuery(ds.ID)
		q.MaxRows = 1
		if a, err := c.Fetch(t.Context(), q, nil); err != nil || a.Calls != 1 || a.Batch.Len != 1 {
			t.Errorf("%s: %d rows in %d calls, %v", ds.ID, a.Batch.Len, a.Calls, err)
		}
	}
}

// Many fetches side by side, a tenth of the calls failing: every answer is whole
// or an error, and the limiter's file is written meanwhile.
func TestSimulatorUnderFaultsSideBySide(t *testing.T) {
	s := simulate(t, tusharesim.Options{Stocks: 300, Funds: 100})
	for _, kind := range []tusharesim.FaultKind{tusharesim.HTTP500, tusharesim.TruncatedBody, tusharesim.HTMLPage, tusharesim.Reset} {
		if _, err := s.AddFault(tusharesim.Fault{Kind: kind, Probability: 0.03}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := limiter.Open(limiter.Config{Path: t.TempDir() + "/quota.json", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	c := simClient(t, s, Config{Limiter: l})
	apis := []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow, catalog.FundDaily}
	want := map[string][]string{}
	for _, api := range apis {
		want[api] = sorted(truth(t, s, simQuery(api)))
	}
	type result struct {
		api  string
		rows []string
		err  error
	}
	results := make(chan result)
	const each = 30
	for _, api := range apis {
		go func() {
			for range each {
				r := result{api: api}
				var a ingest.Answer
				if a, r.err = c.Fetch(t.Context(), simQuery(api), nil); r.err == nil {
					r.rows = sorted(cellsOf(a.Batch, a.Bad))
				}
				results <- r
			}
		}()
	}
	whole := 0
	for range each * len(apis) {
		switch r := <-results; {
		case errors.Is(r.err, nil) && slices.Equal(r.rows, want[r.api]):
			whole++
		case r.err == nil:
			t.Errorf("%s: %d rows, want %d", r.api, len(r.rows), len(want[r.api]))
		case !fault.Is(r.err, fault.ProviderUnavailable):
			t.Errorf("%s: %v", r.api, r.err)
		}
	}
	if whole < each*len(apis)*9/10 {
		t.Errorf("only %d answers of %d", whole, each*len(apis))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
