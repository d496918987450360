package readiness

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

var now = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func testCatalog() *catalog.Catalog {
	both, universe := market.Pools(), []market.Pool{market.Universe}
	built := func(id, domain string, kind market.Kind, pools []market.Pool) catalog.Module {
		return catalog.Module{ID: id, Domain: domain, Kind: kind, Pools: pools, SyncCapable: true, EnabledByDefault: true}
	}
	return &catalog.Catalog{
		Providers: []catalog.Provider{{ID: "tushare", Active: true}, {ID: "wind"}},
		Domains:   []catalog.Domain{{ID: "stock"}, {ID: "etf"}, {ID: "index"}},
		Modules: []catalog.Module{
			built("stock.basic", "stock", market.Stock, universe),
			built("stock.market.daily", "stock", market.Stock, both),
			built("stock.reference", "stock", "", universe),
			built("stock.moneyflow", "stock", market.Stock, both),
			{ID: "stock.margin", Domain: "stock"},
			built("etf.basic_info", "etf", market.ETF, universe),
			built("etf.daily_quote", "etf", market.ETF, both),
			{ID: "etf.benchmark", Domain: "etf"},
			{ID: "index.daily", Domain: "index"},
		},
	}
}

// ready are facts under which both pools are ready; change what the test is about.
func ready(change ...func(*Facts)) Facts {
	f := Facts{
		Now: now, Catalog: testCatalog(), Domains: map[string]DomainSetting{}, Modules: map[string]bool{},
		Tokens:       map[string]Token{"stock": {Domain: "stock", Source: "main", Fingerprint: "f1"}, "etf": {Domain: "etf", Source: "main", Fingerprint: "f1"}},
		ProviderHost: "api.tushare.pro", Probes: map[string]Probe{},
		Kinds:     map[market.Kind]bool{market.Stock: true, market.ETF: true},
		Preflight: StaleOnly, Readiness: Strict,
	}
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		if m.SyncCapable {
			f.Probes[m.ID] = Probe{Module: m.ID, Status: Pass, At: now.Add(-time.Hour), Fingerprint: "f1", ConfigHash: ConfigHash(f, m)}
		}
	}
	for _, c := range change {
		c(&f)
	}
	return f
}

func failing(reason fault.Reason, modules ...string) func(*Facts) {
	return func(f *Facts) {
		for _, id := range modules {
			p := f.Probes[id]
			p.Status = Fail
			p.Issues = []fault.Issue{fault.NewIssue(reason, "The probe found it.")}
			f.Probes[id] = p
		}
	}
}

func with(set ...func(*Facts)) []func(*Facts) { return set }

func TestSelect(t *testing.T) {
	all := []string{"stock.basic", "stock.market.daily", "stock.reference", "stock.moneyflow", "etf.basic_info", "etf.daily_quote"}
	for name, c := range map[string]struct {
		pool    market.Pool
		change  []func(*Facts)
		modules []string
		domains []string
		reasons []fault.Reason
	}{
		"universe takes all": {pool: market.Universe, modules: all, domains: []string{"stock", "etf"}},
		"targets takes what it holds": {pool: market.Targets, modules: []string{"stock.market.daily", "stock.moneyflow", "etf.daily_quote"},
			domains: []string{"stock", "etf"}},
		"no ETF on the list, no ETF module": {pool: market.Targets, change: with(func(f *Facts) { f.Kinds = map[market.Kind]bool{market.Stock: true} }),
			modules: []string{"stock.market.daily", "stock.moneyflow"}, domains: []string{"stock"}},
		"only ETFs on the list": {pool: market.Targets, change: with(func(f *Facts) { f.Kinds = map[market.Kind]bool{market.ETF: true} }),
			modules: []string{"etf.daily_quote"}, domains: []string{"etf"}},
		"an empty list asks for nothing": {pool: market.Targets, change: with(func(f *Facts) { f.Kinds = nil })},
		"a domain switched off": {pool: market.Universe, change: with(func(f *Facts) { f.Domains["etf"] = DomainSetting{Provider: "tushare"} }),
			modules: all[:4], domains: []string{"stock"}},
		"a module switched off": {pool: market.Universe, change: with(func(f *Facts) { f.Modules["stock.moneyflow"] = false }),
			modules: []string{"stock.basic", "stock.market.daily", "stock.reference", "etf.basic_info", "etf.daily_quote"}, domains: []string{"stock", "etf"}},
		"a domain enabled without a module for the pool is no fault": {pool: market.Targets,
			change:  with(func(f *Facts) { f.Domains["index"] = DomainSetting{Enabled: true, Provider: "tushare"} }),
			modules: []string{"stock.market.daily", "stock.moneyflow", "etf.daily_quote"}, domains: []string{"stock", "etf"}},
		"a domain whose modules are all off is no fault while others are on": {pool: market.Targets,
			change:  with(func(f *Facts) { f.Modules["etf.daily_quote"] = false }),
			modules: []string{"stock.market.daily", "stock.moneyflow"}, domains: []string{"stock"}},
		"asked for by name": {pool: market.Universe, change: with(func(f *Facts) { f.Requested = []string{"stock.moneyflow", "stock.basic"} }),
			modules: []string{"stock.basic", "stock.moneyflow"}, domains: []string{"stock"}},
		"asked for and not built": {pool: market.Universe, change: with(func(f *Facts) { f.Requested = []string{"stock.basic", "stock.margin"} }),
			modules: []string{"stock.basic"}, domains: []string{"stock"}, reasons: []fault.Reason{fault.ModuleNotSyncCapable}},
		"asked for and unknown": {pool: market.Universe, change: with(func(f *Facts) { f.Requested = []string{"no.such"} }),
			reasons: []fault.Reason{fault.NotFound}},
		"asked for and of the other pool": {pool: market.Targets, change: with(func(f *Facts) { f.Requested = []string{"stock.basic"} }),
			reasons: []fault.Reason{fault.InvalidArgument}},
		"asked for and without instruments on the list": {pool: market.Targets,
			change: with(func(f *Facts) {
				f.Requested = []string{"etf.daily_quote"}
				f.Kinds = map[market.Kind]bool{market.Stock: true}
			})},
		"asked for and switched off": {pool: market.Universe,
			change:  with(func(f *Facts) { f.Requested = []string{"stock.moneyflow"}; f.Modules["stock.moneyflow"] = false }),
			reasons: []fault.Reason{fault.NoSyncModuleSelected}},
		"asked for and its domain switched off": {pool: market.Universe,
			change: with(func(f *Facts) {
				f.Requested = []string{"etf.daily_quote"}
				f.Domains["etf"] = DomainSetting{Provider: "tushare"}
			}),
			reasons: []fault.Reason{fault.DomainHasNoEnabledModules}},
		"nothing enabled": {pool: market.Universe, change: with(func(f *Facts) {
			f.Domains["stock"] = DomainSetting{Provider: "tushare"}
			f.Modules["etf.basic_info"], f.Modules["etf.daily_quote"] = false, false
		}), reasons: []fault.Reason{fault.NoSyncModuleSelected, fault.DomainHasNoEnabledModules}},
		"no catalog yet": {pool: market.Universe, change: with(func(f *Facts) { f.Catalog = nil }),
			reasons: []fault.Reason{fault.NoSyncModuleSelected}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Select(c.pool, ready(c.change...))
			if diff := cmp.Diff(c.modules, got.Modules); diff != "" {
				t.Errorf("modules: %s", diff)
			}
			if diff := cmp.Diff(c.domains, got.Domains); diff != "" {
				t.Errorf("domains: %s", diff)
			}
			if len(got.Issues) != len(c.reasons) {
				t.Errorf("issues = %+v, want %v", got.Issues, c.reasons)
			}
			for _, want := range c.reasons {
				faulttest.Produces(t, got.Issues, want)
			}
			for _, i := range got.Issues {
				if i.Severity != fault.Blocking || i.Message == "" || i.Remedy == "" {
					t.Errorf("issue = %+v", i)
				}
			}
		})
	}
}

func TestEveningOf(t *testing.T) {
	d := market.NewDate(2026, 3, 2)
	for _, c := range []struct {
		hour, minute int
		want         market.Date
	}{{15, 0, d}, {19, 30, d}, {23, 59, d}, {24, 10, d}, {24 + 14, 59, d}, {14, 59, d - 1}, {0, 0, d - 1}} {
		if got := EveningOf(d.At(c.hour, c.minute, market.Shanghai)); !got.Equal(c.want.At(15, 0, market.Shanghai)) {
			t.Errorf("%02d:%02d: %v", c.hour, c.minute, got)
		}
	}
}

func TestNeedsProbe(t *testing.T) {
	const id = "stock.basic"
	probe := func(change func(*Probe)) func(*Facts) {
		return func(f *Facts) { p := f.Probes[id]; change(&p); f.Probes[id] = p }
	}
	for name, c := range map[string]struct {
		policy PreflightPolicy
		change func(*Facts)
		want   bool
	}{
		"fresh":                      {StaleOnly, func(*Facts) {}, false},
		"still fresh at the end":     {StaleOnly, probe(func(p *Probe) { p.At = now.Add(passTime - MaxProbeAge) }), false},
		"stale before the end":       {StaleOnly, probe(func(p *Probe) { p.At = now.Add(passTime - MaxProbeAge - time.Second) }), true},
		"older than a day":           {StaleOnly, probe(func(p *Probe) { p.At = now.Add(-MaxProbeAge - time.Second) }), true},
		"of a clock a little ahead":  {StaleOnly, probe(func(p *Probe) { p.At = now.Add(maxAhead) }), false},
		"of a clock far ahead":       {StaleOnly, probe(func(p *Probe) { p.At = now.Add(maxAhead + time.Second) }), true},
		"failed":                     {StaleOnly, failing(fault.ProviderUnavailable, id), true},
		"untested":                   {StaleOnly, func(f *Facts) { delete(f.Probes, id) }, true},
		"another token":              {StaleOnly, func(f *Facts) { f.Tokens["stock"] = Token{Source: "main", Fingerprint: "f2"} }, true},
		"token from elsewhere":       {StaleOnly, func(f *Facts) { f.Tokens["stock"] = Token{Source: "domain", Fingerprint: "f1"} }, true},
		"another provider":           {StaleOnly, func(f *Facts) { f.Domains["stock"] = DomainSetting{Enabled: true, Provider: "wind"} }, true},
		"another host":               {StaleOnly, func(f *Facts) { f.ProviderHost = "localhost:1" }, true},
		"always, though fresh":       {Always, func(*Facts) {}, true},
		"readiness_only, though old": {ReadinessOnly, func(f *Facts) { delete(f.Probes, id) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := ready(c.change)
			f.Preflight = c.policy
			if got := NeedsProbe(f, f.Catalog.Module(id), time.Time{}); got != c.want {
				t.Errorf("NeedsProbe = %v, want %v", got, c.want)
			}
		})
	}
	f := ready()
	if m := f.Catalog.Module(id); !NeedsProbeWithin(f, m, 30*time.Minute) || NeedsProbeWithin(f, m, 2*time.Hour) {
		t.Error("a probe of an hour ago must count within two hours and not within half an hour")
	}
	if m := f.Catalog.Module(id); NeedsProbe(f, m, f.Probes[id].At) || !NeedsProbe(f, m, f.Probes[id].At.Add(time.Second)) {
		t.Error("a probe from before the evening counts, or one of the evening does not")
	}
	f.Preflight = ReadinessOnly
	if NeedsProbe(f, f.Catalog.Module(id), now) {
		t.Error("readiness_only probes")
	}
	if m := f.Catalog.Module("stock.margin"); NeedsProbe(f, m, time.Time{}) || ProbeOf(f, m).Status != Unsupported {
		t.Error("a module that is not built is never probed")
	}
}

func TestJudge(t *testing.T) {
	stock := []string{"stock.basic", "stock.market.daily", "stock.reference", "stock.moneyflow"}
	etf := []string{"etf.basic_info", "etf.daily_quote"}
	everything := slices.Concat(stock, etf)
	lenient := func(f *Facts) { f.Readiness = Lenient }
	readinessOnly := func(f *Facts) { f.Preflight = ReadinessOnly }
	quota := func(f *Facts) {
		failing(fault.QuotaExhausted, "stock.basic")(f)
		f.Probes["stock.basic"].Issues[0].RetryAt = now.Add(7 * time.Hour)
	}
	for name, c := range map[string]struct {
		pool     market.Pool
		change   []func(*Facts)
		decision Decision
		reason   fault.Reason // of the worst issue: the run's errorCode
		also     []fault.Reason
		blocked  []string
		retryAt  time.Time
	}{
		"ready": {pool: market.Universe, decision: Ready},
		"a warning of a probe holds nothing back": {pool: market.Universe, change: with(func(f *Facts) {
			p := f.Probes["stock.moneyflow"]
			p.Issues = []fault.Issue{fault.NewIssue(fault.ProbeEmpty, "It came empty.")}
			f.Probes["stock.moneyflow"] = p
		}), decision: Ready, reason: fault.ProbeEmpty},
		"no token": {pool: market.Universe, change: with(func(f *Facts) { f.Tokens = nil }), decision: Blocked, reason: fault.TokenMissing, blocked: everything},
		"token refused": {pool: market.Universe, change: with(failing(fault.TokenInvalid, everything...)), decision: Blocked,
			reason: fault.TokenInvalid, also: []fault.Reason{fault.DomainTestFailed}, blocked: everything},
		"too many addresses": {pool: market.Universe, change: with(failing(fault.TooManyIPs, everything...)), decision: Retry,
			reason: fault.TooManyIPs, also: []fault.Reason{fault.DomainTestFailed}, blocked: everything, retryAt: now.Add(30 * time.Minute)},
		"one module not permitted": {pool: market.Universe, change: with(failing(fault.PermissionDenied, "etf.basic_info")), decision: Blocked,
			reason: fault.PermissionDenied, blocked: []string{"etf.basic_info"}},
		"not permitted for universe leaves targets alone": {pool: market.Targets, change: with(failing(fault.PermissionDenied, "etf.basic_info")), decision: Ready},
		"a list without ETFs needs no ETF module": {pool: market.Targets, change: with(failing(fault.PermissionDenied, etf...),
			func(f *Facts) { f.Kinds = map[market.Kind]bool{market.Stock: true} }), decision: Ready},
		"provider down": {pool: market.Universe, change: with(failing(fault.ProviderUnavailable, everything...)), decision: Retry,
			reason: fault.ProviderUnavailable, also: []fault.Reason{fault.DomainTestFailed}, blocked: everything, retryAt: now.Add(5 * time.Minute)},
		"the worst decides": {pool: market.Universe, change: with(failing(fault.ProviderUnavailable, "stock.basic"), failing(fault.PermissionDenied, "stock.moneyflow")),
			decision: Blocked, reason: fault.PermissionDenied, also: []fault.Reason{fault.ProviderUnavailable}, blocked: []string{"stock.basic", "stock.moneyflow"}},
		"quota says when": {pool: market.Universe, change: with(quota), decision: Retry, reason: fault.QuotaExhausted, blocked: []string{"stock.basic"}, retryAt: now.Add(7 * time.Hour)},
		"probe fails otherwise": {pool: market.Universe, change: with(failing(fault.ModuleTestFailed, etf...)), decision: Blocked,
			reason: fault.ModuleTestFailed, also: []fault.Reason{fault.DomainTestFailed}, blocked: etf},
		"probe fails without a word": {pool: market.Universe, change: with(func(f *Facts) {
			p := f.Probes["stock.basic"]
			p.Status = Fail
			f.Probes["stock.basic"] = p
		}), decision: Blocked, reason: fault.ModuleTestFailed, blocked: []string{"stock.basic"}},
		"nothing enabled": {pool: market.Universe, change: with(func(f *Facts) {
			for _, id := range everything {
				f.Modules[id] = false
			}
		}), decision: Blocked, reason: fault.NoSyncModuleSelected, also: []fault.Reason{fault.DomainHasNoEnabledModules}},
		"a domain asked for is off": {pool: market.Universe, change: with(func(f *Facts) {
			f.Requested = []string{"etf.daily_quote"}
			f.Modules["etf.daily_quote"], f.Modules["etf.basic_info"] = false, false
		}), decision: Blocked, reason: fault.DomainHasNoEnabledModules, blocked: []string{"etf.daily_quote"}},
		"provider planned only": {pool: market.Universe, change: with(func(f *Facts) { f.Domains["etf"] = DomainSetting{Enabled: true, Provider: "wind"} }),
			decision: Blocked, reason: fault.DomainProviderNotActive, blocked: etf},
		"asked for and not built": {pool: market.Universe, change: with(func(f *Facts) { f.Requested = []string{"index.daily"} }),
			decision: Blocked, reason: fault.ModuleNotSyncCapable, blocked: []string{"index.daily"}},
		"an empty list is well": {pool: market.Targets, change: with(func(f *Facts) { f.Kinds = nil }), decision: Ready},
		"readiness_only, one untested": {pool: market.Universe, change: with(readinessOnly, func(f *Facts) { delete(f.Probes, "etf.basic_info") }),
			decision: Blocked, reason: fault.ModuleTestRequired, blocked: []string{"etf.basic_info"}},
		"readiness_only, a domain untested": {pool: market.Universe, change: with(readinessOnly, func(f *Facts) { delete(f.Probes, etf[0]); delete(f.Probes, etf[1]) }),
			decision: Blocked, reason: fault.ModuleTestRequired, also: []fault.Reason{fault.DomainTestRequired}, blocked: etf},
		"readiness_only, all out of date": {pool: market.Universe, change: with(readinessOnly, func(f *Facts) { f.ProviderHost = "elsewhere" }),
			decision: Blocked, reason: fault.ModuleTestStale, also: []fault.Reason{fault.DomainTestStale}, blocked: everything},
		"out of date is a warning where a run would probe": {pool: market.Universe, change: with(func(f *Facts) { f.Now = now.Add(48 * time.Hour) }),
			decision: Ready, reason: fault.ModuleTestStale},
		"untested is a warning where a run would probe": {pool: market.Universe, change: with(func(f *Facts) { f.Probes = nil }), decision: Ready, reason: fault.ModuleTestRequired},
		"degraded runs the rest": {pool: market.Universe, change: with(lenient, failing(fault.PermissionDenied, etf...)), decision: Degraded,
			reason: fault.PermissionDenied, blocked: etf},
		"degraded with nothing left":          {pool: market.Universe, change: with(lenient, failing(fault.PermissionDenied, everything...)), decision: Blocked, reason: fault.PermissionDenied, blocked: everything},
		"degraded with nothing left but time": {pool: market.Universe, change: with(lenient, failing(fault.PermissionDenied, stock...), failing(fault.ProviderUnavailable, etf...)), decision: Retry, reason: fault.PermissionDenied, blocked: everything, retryAt: now.Add(5 * time.Minute)},
		"degraded without one domain's token": {pool: market.Universe, change: with(lenient, func(f *Facts) { delete(f.Tokens, "etf") }), decision: Degraded, reason: fault.TokenMissing, blocked: etf},
	} {
		t.Run(name, func(t *testing.T) {
			v := Judge(c.pool, ready(c.change...))
			if v.Pool != c.pool || v.Decision != c.decision {
				t.Fatalf("decision = %s, want %s: %+v", v.Decision, c.decision, v.Issues)
			}
			if diff := cmp.Diff(c.blocked, v.Blocked); diff != "" {
				t.Errorf("blocked: %s", diff)
			}
			if !v.RetryAt.Equal(c.retryAt) {
				t.Errorf("retry at %v, want %v", v.RetryAt, c.retryAt)
			}
			if c.reason != "" {
				if len(v.Issues) == 0 {
					t.Fatal("no issue")
				}
				faulttest.Produces(t, v.Issues[0], c.reason)
			} else if len(v.Issues) > 0 {
				t.Errorf("issues = %+v", v.Issues)
			}
			for _, want := range c.also {
				faulttest.Produces(t, v.Issues, want)
			}
			for _, i := range v.Issues {
				if i.Message == "" || i.Remedy == "" {
					t.Errorf("issue without words: %+v", i)
				}
			}
			for _, id := range v.Cleared {
				if slices.Contains(v.Blocked, id) {
					t.Errorf("%s is cleared and held back", id)
				}
			}
		})
	}
}

// A pool that uses one module of a domain says nothing of the others.
func TestDomainFailsOnlyWithAllItsProbes(t *testing.T) {
	for name, c := range map[string]struct {
		failing []string
		domain  bool
	}{
		"the only module of the pool": {[]string{"etf.daily_quote"}, false},
		"all modules of the domain":   {[]string{"etf.daily_quote", "etf.basic_info"}, true},
	} {
		v := Judge(market.Targets, ready(failing(fault.PermissionDenied, c.failing...)))
		said := slices.ContainsFunc(v.Issues, func(i fault.Issue) bool { return i.Reason == fault.DomainTestFailed })
		if said != c.domain || !slices.Equal(v.Blocked, []string{"etf.daily_quote"}) {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestAwayWorkerIsToldWithWhatWasKnown(t *testing.T) {
	away := func(f *Facts) { f.Away = true }
	for name, c := range map[string]struct {
		f    Facts
		want Decision
		says string
	}{
		"was ready":    {ready(away), Retry, "so no run of universe can start. When it last answered, the pool was ready: 6 modules ready, 0 blocked."},
		"was degraded": {ready(away, failing(fault.PermissionDenied, "etf.basic_info"), func(f *Facts) { f.Readiness = Lenient }), Retry, "the pool was degraded"},
		"was blocked":  {ready(away, failing(fault.PermissionDenied, "etf.basic_info")), Blocked, "the pool was blocked"},
		"never known":  {ready(away, func(f *Facts) { f.Catalog = nil }), Retry, "It has never been reached"},
	} {
		v := Judge(market.Universe, c.f)
		i := slices.IndexFunc(v.Issues, func(i fault.Issue) bool { return i.Reason == fault.WorkerUnreachable })
		if v.Decision != c.want || i < 0 || !strings.Contains(v.Issues[i].Message, c.says) || (v.Decision == Retry) != v.RetryAt.After(now) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if v := Judge(market.Targets, ready(away, func(f *Facts) { f.Kinds = nil })); v.Decision != Ready {
		t.Errorf("a targets list without symbols needs no worker: %+v", v)
	}
}

func TestPermissionRemedyNamesTheSwitch(t *testing.T) {
	v := Judge(market.Universe, ready(failing(fault.PermissionDenied, "etf.basic_info", "stock.moneyflow")))
	want := map[string]string{
		"etf.basic_info":  `curl -X PATCH localhost:7780/v1/domains/etf -d '{"enabled":false}'`,
		"stock.moneyflow": `curl -X PATCH localhost:7780/v1/modules/stock.moneyflow -d '{"enabled":false}'`,
	}
	for _, i := range v.Issues {
		if !strings.Contains(i.Remedy, want[i.Module]) {
			t.Errorf("%s: remedy = %s", i.Module, i.Remedy)
		}
		delete(want, i.Module)
	}
	if len(want) > 0 {
		t.Errorf("no issue for %v", want)
	}
	f := ready(failing(fault.PermissionDenied, "etf.basic_info"))
	f.Domains["etf"] = DomainSetting{Enabled: false, Provider: "tushare"}
	if v := Judge(market.Universe, f); v.Decision != Ready {
		t.Errorf("following the remedy leaves %s", v.Decision)
	}
}

func TestCheckTokens(t *testing.T) {
	one := func(f *Facts) { delete(f.Tokens, "etf") }
	if got := CheckTokens(market.Universe, ready()); got != nil {
		t.Errorf("with tokens: %+v", got)
	}
	strict := CheckTokens(market.Universe, ready(one))
	if len(strict) != 1 || strict[0].Domain != "etf" {
		t.Errorf("strict: %+v", strict)
	}
	faulttest.Produces(t, strict, fault.TokenMissing)
	if got := CheckTokens(market.Targets, ready(one, func(f *Facts) { f.Kinds = map[market.Kind]bool{market.Stock: true} })); got != nil {
		t.Errorf("a domain that is not selected needs no token: %+v", got)
	}
	if got := CheckTokens(market.Universe, ready(one, func(f *Facts) { f.Readiness = Lenient })); got != nil {
		t.Errorf("degraded continues with the other domain: %+v", got)
	}
	if got := CheckTokens(market.Universe, ready(func(f *Facts) { f.Tokens, f.Readiness = nil, Lenient })); len(got) != 2 {
		t.Errorf("degraded without any token: %+v", got)
	}
}

func TestNarrow(t *testing.T) {
	c := testCatalog()
	got := Narrow(market.Targets, c, []string{"stock.basic", "stock.moneyflow", "index.daily", "no.such"})
	if diff := cmp.Diff([]string{"stock.moneyflow", "index.daily", "no.such"}, got); diff != "" {
		t.Error(diff)
	}
	if got := Narrow(market.Targets, c, []string{"stock.basic"}); got != nil {
		t.Errorf("another pool's module: %v", got)
	}
}

// What the probe of an earlier token met is not held against the token of now.
func TestAnotherTokenIsNotBlockedByTheProbesOfTheEarlierOne(t *testing.T) {
	f := ready(failing(fault.TokenInvalid, "etf.daily_quote"))
	if why, blocked := Judge(market.Universe, f).BlockedBy(); !blocked || why.Reason != fault.TokenInvalid {
		t.Errorf("with the token that failed: %v, %v", why, blocked)
	}
	f.Tokens["etf"] = Token{Domain: "etf", Source: "main", Fingerprint: "f2"}
	v := Judge(market.Universe, f)
	why, _ := fault.Worst(v.Issues)
	if v.Decision != Ready || why.Reason != fault.ModuleTestStale || !strings.Contains(why.Message, "has changed since the probe of etf.") || why.Command() == "" {
		t.Errorf("with another token: %s, %+v", v.Decision, v.Issues)
	}
}

func TestStandingOf(t *testing.T) {
	etf := []string{"etf.daily_quote"}
	since := now.Add(-30 * time.Minute) // the probes of ready are older
	fresh := func(f *Facts) {
		for id, p := range f.Probes {
			p.At = now.Add(-time.Minute)
			f.Probes[id] = p
		}
	}
	other := func(f *Facts) { f.Tokens["etf"] = Token{Domain: "etf", Source: "main", Fingerprint: "f2"} }
	for name, c := range map[string]struct {
		f       Facts
		reason  fault.Reason
		modules []string
		want    Standing
	}{
		"it fails still":              {ready(fresh, failing(fault.TokenInvalid, etf[0])), fault.TokenInvalid, etf, Holds},
		"not probed since":            {ready(), fault.TokenInvalid, etf, Holds},
		"passed since":                {ready(fresh), fault.TokenInvalid, etf, Passed},
		"passed since, all modules":   {ready(fresh), fault.TokenInvalid, nil, Passed},
		"another token":               {ready(failing(fault.TokenInvalid, etf[0]), other), fault.TokenInvalid, etf, Changed},
		"another token, other domain": {ready(other), fault.TokenInvalid, []string{"stock.market.daily"}, Holds},
		"no matter of probes":         {ready(fresh), fault.AnalysisDBLocked, etf, Holds},
		"the worker is away":          {ready(fresh, func(f *Facts) { f.Away = true }), fault.TokenInvalid, etf, Holds},
	} {
		if got := StandingOf(market.Universe, c.f, c.reason, c.modules, since); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
