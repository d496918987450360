package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

func (w *scriptedWorker) list(symbolsAndNames ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 0; i < len(symbolsAndNames); i += 2 {
		symbol := symbolsAndNames[i]
		w.listed = append(w.listed, &ingestv1.ListedInstrument{
			Symbol: symbol, Name: symbolsAndNames[i+1], Kind: transport.KindToProto(market.KindOf(symbol)), ListStatus: "L", ListDate: "2001-08-27",
		})
	}
}

// saved is a set as the answers have it.
type savedSet struct {
	SetID   string `json:"setId"`
	Etag    string
	Entries []struct {
		Symbol     string
		ExpireTime *time.Time
	}
}

func (s savedSet) symbols() string {
	var all []string
	for _, e := range s.Entries {
		all = append(all, e.Symbol)
	}
	return strings.Join(all, " ")
}

func TestNamedSets(t *testing.T) {
	r := start(t)
	r.worker.list("600519.SH", "贵州茅台", "000001.SZ", "平安银行", "920799.BJ", "艾融软件", "510300.SH", "沪深300ETF", "300750.SZ", "宁德时代")
	call := func(method, path, body string, code int, out any) string {
		t.Helper()
		resp, text := r.get(t, method, path, body)
		if resp.StatusCode != code {
			t.Fatalf("%s %s %s: %d %s", method, path, body, resp.StatusCode, text)
		}
		if out != nil {
			if err := json.Unmarshal([]byte(text), out); err != nil {
				t.Fatal(err)
			}
		}
		return text
	}
	var answer struct {
		Set                                     savedSet
		Sets                                    []savedSet
		AddedSymbols, RemovedSymbols, ModuleIDs []string
		UnlistedSymbols                         []string
		Resolved                                []struct {
			Symbol, Name string
			Reasons      []string
		}
		ReplacedSymbols []struct{ OldSymbol, Symbol, Name string }
	}
	put := func(path, body string, code int) string {
		t.Helper()
		answer.Set, answer.AddedSymbols, answer.RemovedSymbols, answer.ReplacedSymbols = savedSet{}, nil, nil, nil
		return call("PUT", path, body, code, &answer)
	}

	put("/v1/targets", `{"targets":{"symbols":["600519.SH"]}}`, 200)
	// Another service pushes its list whole; a code of Beijing from before is led to the new one.
	put("/v1/targets/sets/holdings", `{"symbols":["600519.sh","830799.BJ"],"note":"from the book"}`, 200)
	first := answer.Set
	if first.symbols() != "600519.SH 920799.BJ" || !slices.Equal(answer.AddedSymbols, []string{"920799.BJ"}) || len(answer.ReplacedSymbols) != 1 ||
		answer.ReplacedSymbols[0].OldSymbol != "830799.BJ" || answer.ReplacedSymbols[0].Name != "艾融软件" {
		t.Errorf("holdings: %+v", answer)
	}
	put("/v1/targets/sets/watchlist:core", `{"symbols":["000001.SZ","600519.SH"]}`, 200)
	if answer.Set.SetID != "watchlist:core" || !slices.Equal(answer.AddedSymbols, []string{"000001.SZ"}) {
		t.Errorf("a name with a colon: %+v", answer)
	}
	// A change on what was read passes once; on what was read before it does not, and what
	// is repeated does.
	body := `{"symbols":["510300.SH"],"note":"from the book","etag":"` + first.Etag + `"}`
	put("/v1/targets/sets/holdings", body, 200)
	if !slices.Equal(answer.AddedSymbols, []string{"510300.SH"}) || !slices.Equal(answer.RemovedSymbols, []string{"920799.BJ"}) || answer.Set.Etag == first.Etag {
		t.Errorf("replaced: %+v", answer)
	}
	put("/v1/targets/sets/holdings", body, 200)
	if len(answer.AddedSymbols)+len(answer.RemovedSymbols) != 0 {
		t.Errorf("repeated: %+v", answer)
	}
	if text := put("/v1/targets/sets/holdings", strings.Replace(body, "510300.SH", "000001.SZ", 1), http.StatusConflict); !strings.Contains(text, `"reason":"ETAG_MISMATCH"`) {
		t.Error(text)
	}
	_, err := orchestratorv1.NewTargetServiceClient(r.conn).DeleteTargetSet(t.Context(), &orchestratorv1.DeleteTargetSetRequest{SetId: "holdings", Etag: first.Etag})
	faulttest.Produces(t, err, fault.EtagMismatch)

	// A temporary symbol ends after a week, or when it is said to.
	call("POST", "/v1/targets/sets/temporary:add", `{"symbols":["300750.SZ"]}`, 200, &answer)
	if e := answer.Set.Entries; len(e) != 1 || e[0].ExpireTime == nil || time.Until(*e[0].ExpireTime) < 167*time.Hour || time.Until(*e[0].ExpireTime) > 168*time.Hour {
		t.Errorf("temporary: %+v", answer.Set)
	}
	end := time.Now().Add(30 * 24 * time.Hour).UTC().Format(time.RFC3339)
	call("POST", "/v1/targets/sets/temporary:add", `{"symbols":["300750.SZ"],"expireTime":"`+end+`"}`, 200, &answer)
	if e := answer.Set.Entries; len(e) != 1 || e[0].ExpireTime.Format(time.RFC3339) != end {
		t.Errorf("its end was not moved: %+v", answer.Set)
	}
	put("/v1/targets/sets/temporary", `{"symbols":["300750.SZ"]}`, 200)
	if e := answer.Set.Entries; len(e) != 1 || e[0].ExpireTime.Format(time.RFC3339) != end {
		t.Errorf("the same list moved its end: %+v", answer.Set)
	}

	// Every symbol says why it is there, and a preview says what would change.
	answer.Resolved = nil
	call("GET", "/v1/targets", "", 200, &answer)
	var why []string
	for _, x := range answer.Resolved {
		why = append(why, x.Symbol+" "+x.Name+" "+strings.Join(x.Reasons, "+"))
	}
	if got := strings.Join(why, ", "); !strings.HasPrefix(got, "000001.SZ 平安银行 watchlist:core, 300750.SZ 宁德时代 temporary until 2") ||
		!strings.HasSuffix(got, ", 510300.SH 沪深300ETF holdings, 600519.SH 贵州茅台 explicit+watchlist:core") {
		t.Errorf("the watch list is %s", got)
	}
	answer.AddedSymbols, answer.RemovedSymbols, answer.Resolved = nil, nil, nil
	call("POST", "/v1/targets:preview", `{"targets":{"symbols":["600519.SH","603999.SH"]},"setId":"holdings","allowUnlisted":true}`, 200, &answer)
	if !slices.Equal(answer.AddedSymbols, []string{"603999.SH"}) || !slices.Equal(answer.RemovedSymbols, []string{"510300.SH"}) || len(answer.Resolved) != 4 ||
		!slices.Equal(answer.UnlistedSymbols, []string{"603999.SH"}) {
		t.Errorf("preview: %+v", answer)
	}

	// What cannot exist is refused with the nearest that does, and nothing is changed.
	text := put("/v1/targets/sets/holdings", `{"symbols":["600519.SH","600591.SH","600519.SZ","茅台"]}`, 400)
	for _, want := range []string{`"field":"symbols[1]"`, `"field":"symbols[2]"`, `"field":"symbols[3]"`, "the nearest existing symbol is 600519.SH 贵州茅台"} {
		if !strings.Contains(text, want) || strings.Contains(text, `symbols[0]`) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	for path, body := range map[string]string{
		"/v1/targets/sets/Holdings": `{}`, "/v1/targets/sets/a%20b": `{}`, "/v1/targets/sets/x": `{"symbols":["600519.SH"],"expireTime":"2020-01-01T00:00:00Z"}`,
		"/v1/targets/sets/y": `{"symbols":["600519.SH"],"expireTime":"2120-01-01T00:00:00Z"}`, "/v1/targets/sets/z": `{"note":"` + strings.Repeat("x", 501) + `"}`,
	} {
		put(path, body, 400)
	}
	call("GET", "/v1/targets/sets/x", "", 404, nil)
	call("DELETE", "/v1/targets/sets/x", "", 404, nil)
	call("DELETE", "/v1/targets/sets/default", "", 400, nil)
	call("POST", "/v1/targets/sets/x:remove", `{"symbols":["600519.SH"]}`, 404, nil)

	answer.RemovedSymbols = nil
	call("POST", "/v1/targets/sets/watchlist:core:remove", `{"symbols":["000001.SZ","300750.SZ"]}`, 200, &answer)
	if answer.Set.symbols() != "600519.SH" || !slices.Equal(answer.RemovedSymbols, []string{"000001.SZ"}) {
		t.Errorf("removed: %+v", answer)
	}
	call("DELETE", "/v1/targets/sets/watchlist:core", "", 200, nil)
	call("GET", "/v1/targets/sets", "", 200, &answer)
	var names []string
	for _, s := range answer.Sets {
		names = append(names, s.SetID+"="+s.symbols())
	}
	if got := strings.Join(names, ", "); got != "default=600519.SH, holdings=510300.SH, temporary=300750.SZ" {
		t.Errorf("the sets are %s", got)
	}
	// The list came over the wire once, and what runs plan with is the union.
	r.worker.mu.Lock()
	told := r.worker.toldOf
	r.worker.mu.Unlock()
	if told != 1 {
		t.Errorf("the lists were sent %d times", told)
	}
	run := r.create(t, &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS}})
	if done, _ := r.finish(t, run.GetRunId()); done.GetOutcome() != orchestratorv1.Run_OUTCOME_SUCCEEDED {
		t.Errorf("targets ended as %v", done)
	}
	r.worker.mu.Lock()
	planned := slices.Clone(r.worker.planned)
	r.worker.mu.Unlock()
	if want := []string{"300750.SZ", "510300.SH", "600519.SH"}; !slices.Equal(planned, want) {
		t.Errorf("planned for %v, not %v", planned, want)
	}
}

func TestMoreThanAllSetsMayHave(t *testing.T) {
	r := start(t)
	client := orchestratorv1.NewTargetServiceClient(r.conn)
	symbols := func(from, n int) []string {
		out := make([]string, n)
		for i := range out {
			out[i] = "6" + string(rune('0'+(from+i)/10000)) + string([]byte{byte('0' + (from+i)/1000%10), byte('0' + (from+i)/100%10), byte('0' + (from+i)/10%10), byte('0' + (from+i)%10)}) + ".SH"
		}
		return out
	}
	put := func(set string, symbols []string) error {
		_, err := client.ReplaceTargetSet(t.Context(), &orchestratorv1.ReplaceTargetSetRequest{SetId: set, Symbols: symbols})
		return err
	}
	if err := put("a", symbols(0, 1500)); err != nil {
		t.Fatal(err)
	}
	if err := put("b", symbols(500, 1500)); err != nil {
		t.Errorf("2,000 in two sets that overlap: %v", err)
	}
	faulttest.Produces(t, put("c", symbols(2000, 1)), fault.InvalidArgument)
	faulttest.Produces(t, put("c", symbols(0, 2001)), fault.InvalidArgument)
	if err := put("c", symbols(0, 2000)); err != nil {
		t.Errorf("what the others have already: %v", err)
	}
	for i := range 60 {
		if err := put("s"+string(rune('a'+i/26))+string(rune('a'+i%26)), nil); err != nil {
			t.Fatal(err)
		}
	}
	faulttest.Produces(t, put("one-more", nil), fault.InvalidArgument) // with the default set there are 64
	if err := put("default", symbols(0, 1)); err != nil {
		t.Error(err)
	}
}

func TestSearchInstruments(t *testing.T) {
	r := start(t)
	client := orchestratorv1.NewTargetServiceClient(r.conn)
	_, err := client.SearchInstruments(t.Context(), &orchestratorv1.SearchInstrumentsRequest{Query: "gzmt"})
	faulttest.Produces(t, err, fault.NotFound)
	r.worker.list("600519.SH", "贵州茅台", "000001.SZ", "平安银行", "510300.SH", "沪深300ETF")
	if resp, body := r.get(t, "GET", "/v1/targets", ""); resp.StatusCode != 200 {
		t.Fatal(body)
	}
	for query, want := range map[string]string{"query=gzmt": "600519.SH", "query=%E5%B9%B3%E5%AE%89": "000001.SZ", "query=5103&kind=etf": "510300.SH"} {
		resp, body := r.get(t, "GET", "/v1/instruments?"+query, "")
		if resp.StatusCode != 200 || !strings.Contains(body, `"symbol":"`+want+`"`) {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	for _, query := range []string{"", "?query=", "?query=%20%E3%80%80"} {
		if resp, body := r.get(t, "GET", "/v1/instruments"+query, ""); resp.StatusCode != 400 || !strings.Contains(body, "query: is required: write") {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
	for _, query := range []string{"?query=a&page_size=201", "?query=a&kind=bond", "?query=" + strings.Repeat("a", 65)} {
		if resp, body := r.get(t, "GET", "/v1/instruments"+query, ""); resp.StatusCode != 400 {
			t.Errorf("%s: %d %s", query, resp.StatusCode, body)
		}
	}
}
