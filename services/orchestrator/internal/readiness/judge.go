package readiness

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// Pauses before a pool is checked again when no issue names a time.
const (
	retryAfter        = 5 * time.Minute
	retryAfterAway    = time.Minute
	retryAfterManyIPs = 30 * time.Minute // the provider forgets addresses after 30 to 60 minutes
)

// CheckTokens returns an issue for each selected domain that has no token. Under Lenient it
// returns them only when no selected domain has a token.
func CheckTokens(pool market.Pool, f Facts) []fault.Issue {
	selected := Select(pool, f).Domains
	var issues []fault.Issue
	for _, d := range selected {
		if f.Tokens[d].Source == "" {
			issues = append(issues, tokenMissing(d))
		}
	}
	if f.Readiness == Lenient && len(issues) < len(selected) {
		return nil
	}
	return issues
}

func tokenMissing(domain string) fault.Issue {
	return fault.NewIssue(fault.TokenMissing, fmt.Sprintf("No provider token is configured for the domain %s.", domain), "domain", domain)
}

// Judge decides whether a pool may be ingested now. It reads the stored probes. A stale or
// missing probe blocks under ReadinessOnly; otherwise it is a warning, because the
// preflight probes the module first.
func Judge(pool market.Pool, f Facts) Verdict {
	v := Verdict{Pool: pool, Decision: Ready}
	sel := Select(pool, f)
	v.Issues = slices.Clone(sel.Issues)
	for _, domain := range sel.Domains {
		judgeDomain(&v, f, domain, sel.Modules)
	}
	slices.SortStableFunc(v.Cleared, func(a, b string) int { return slices.Index(sel.Modules, a) - slices.Index(sel.Modules, b) })
	slices.SortStableFunc(v.Blocked, func(a, b string) int { return slices.Index(sel.Modules, a) - slices.Index(sel.Modules, b) })
	if f.Catalog != nil {
		for _, id := range f.Requested {
			if m := f.Catalog.Module(id); m != nil && !slices.Contains(sel.Modules, id) && hasModule(sel.Issues, id) {
				v.Blocked = append(v.Blocked, id)
			}
		}
	}
	fault.SortIssues(v.Issues)
	decide(&v, f)
	if f.Away && (pool != market.Targets || len(f.Kinds) > 0) { // an empty list needs no worker
		workerAway(&v, f)
	}
	return v
}

func hasModule(issues []fault.Issue, id string) bool {
	return slices.ContainsFunc(issues, func(i fault.Issue) bool { return i.Module == id })
}

// judgeDomain adds the findings about the selected modules of one domain.
func judgeDomain(v *Verdict, f Facts, domain string, selected []string) {
	var modules []*catalog.Module
	for _, id := range selected {
		if m := f.Catalog.Module(id); m.Domain == domain {
			modules = append(modules, m)
		}
	}
	hold := func(i fault.Issue) {
		v.Issues = append(v.Issues, i)
		for _, m := range modules {
			v.Blocked = append(v.Blocked, m.ID)
		}
	}
	setting := f.Domain(domain)
	if p := f.Catalog.Provider(setting.Provider); p == nil || !p.Active {
		issue := fault.NewIssue(fault.DomainProviderNotActive,
			fmt.Sprintf("The domain %s uses the provider %.40q, which is not implemented yet.", domain, setting.Provider),
			"domain", domain, "provider", setting.Provider)
		issue.Remedy = fmt.Sprintf("Set the provider of the domain to tushare: curl -X PATCH localhost:7780/v1/domains/%s -d '{\"provider_id\":\"tushare\"}'", domain)
		hold(issue)
		return
	}
	if f.Tokens[domain].Source == "" {
		hold(tokenMissing(domain))
		return
	}
	tally := map[fault.Reason]int{} // modules per reason
	severity := fault.Retry
	for _, m := range modules {
		issues, kind := judgeModule(v.Pool, f, m)
		v.Issues = append(v.Issues, issues...)
		if w, ok := fault.Worst(issues); !ok || w.Severity == fault.Warning {
			v.Cleared = append(v.Cleared, m.ID)
			continue
		} else if w.Severity > severity {
			severity = w.Severity
		}
		v.Blocked = append(v.Blocked, m.ID)
		tally[kind]++
	}
	for kind, message := range map[fault.Reason]string{
		fault.DomainTestFailed:   "All probes of the domain %s failed.",
		fault.DomainTestStale:    "All probes of the domain %s are out of date.",
		fault.DomainTestRequired: "No module of the domain %s has ever been probed.",
	} {
		if tally[kind] == len(modules) && !contradicted(f, domain, kind) {
			i := fault.NewIssue(kind, fmt.Sprintf(message, domain), "domain", domain)
			i.Severity = severity // a domain with a temporary failure is no worse than its modules
			v.Issues = append(v.Issues, i)
		}
	}
}

// contradicted reports whether some module of the domain, of any pool, disproves an issue
// that says that all probes of the domain failed, are stale, or are missing.
func contradicted(f Facts, domain string, kind fault.Reason) bool {
	return slices.ContainsFunc(f.Catalog.Modules, func(m catalog.Module) bool {
		if m.Domain != domain || !m.SyncCapable {
			return false // one that is not implemented has no probe
		}
		p, stale := ProbeOf(f, &m), Stale(f, &m)
		switch kind {
		case fault.DomainTestFailed:
			return p.Status == Pass && !stale
		case fault.DomainTestStale:
			return p.Status != Untested && !stale
		}
		return p.Status != Untested
	})
}

// judgeModule returns the issues of a module's stored probe, and the reason that the domain
// gets when all its modules have the same one. A module without an issue above a warning is
// cleared.
func judgeModule(pool market.Pool, f Facts, m *catalog.Module) ([]fault.Issue, fault.Reason) {
	p := ProbeOf(f, m)
	stale := Stale(f, m)
	switch {
	case p.Status == Untested:
		return []fault.Issue{unproven(f, m, fault.NewIssue(fault.ModuleTestRequired,
			fmt.Sprintf("%s has never been probed.", m.ID), "domain", m.Domain, "module", m.ID))}, fault.DomainTestRequired
	case stale && changed(f, m, p): // a probe of another token or configuration says nothing about the current one
		i := unproven(f, m, fault.NewIssue(fault.ModuleTestStale,
			fmt.Sprintf("The token or the configuration has changed since the probe of %s.", m.ID),
			"domain", m.Domain, "module", m.ID, "probe_time", p.At.UTC().Format(time.RFC3339)))
		if i.Severity == fault.Warning {
			i.Remedy = "Check it now, or wait for the next run, which checks it first: curl -N -X POST localhost:7780/v1/preflights:run -d '{}'"
		}
		return []fault.Issue{i}, fault.DomainTestStale
	case stale && (p.Status == Pass || f.Preflight == ReadinessOnly):
		return []fault.Issue{unproven(f, m, fault.NewIssue(fault.ModuleTestStale,
			fmt.Sprintf("The probe of %s is out of date: it is older than one day.", m.ID),
			"domain", m.Domain, "module", m.ID, "probe_time", p.At.UTC().Format(time.RFC3339)))}, fault.DomainTestStale
	}
	issues := make([]fault.Issue, 0, len(p.Issues)+1)
	for _, i := range p.Issues {
		i.Domain, i.Module = m.Domain, m.ID
		if i.Reason == fault.PermissionDenied {
			i.Remedy = PermissionRemedy(pool, m.ID)
		}
		issues = append(issues, i)
	}
	if w, _ := fault.Worst(issues); p.Status == Fail && w.Severity < fault.Retry {
		issues = append(issues, fault.NewIssue(fault.ModuleTestFailed,
			fmt.Sprintf("The probe of %s failed without a reason.", m.ID), "domain", m.Domain, "module", m.ID))
	}
	if p.Status == Pass { // a passed probe never blocks, whatever its issues
		for n := range issues {
			issues[n].Severity = fault.Warning
		}
	}
	fault.SortIssues(issues)
	return issues, fault.DomainTestFailed
}

// unproven is an issue about a missing or stale probe. It blocks only when the policy
// forbids probing.
func unproven(f Facts, m *catalog.Module, i fault.Issue) fault.Issue {
	i.Domain, i.Module = m.Domain, m.ID
	if f.Preflight != ReadinessOnly {
		i.Severity = fault.Warning
		i.Remedy = "No action is needed: the next run probes it first."
	}
	return i
}

// PermissionRemedy names the one setting that lets a pool run without a module that the
// token may not call.
func PermissionRemedy(pool market.Pool, module string) string {
	if strings.HasPrefix(module, "etf.") && pool == market.Universe {
		return "Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable ETFs: " + domainSwitch("etf", false)
	}
	return "Upgrade the token at the provider (https://tushare.pro/document/1?doc_id=108 lists the points that each API needs), or disable the module: " + moduleSwitch(module, false)
}

func decide(v *Verdict, f Facts) {
	worst, bad := fault.Worst(v.Issues)
	if !bad || worst.Severity == fault.Warning {
		return
	}
	if f.Readiness == Lenient && len(v.Cleared) > 0 {
		v.Decision = Degraded
		return
	}
	v.Decision = Blocked
	if worst.Severity == fault.Retry || f.Readiness == Lenient && anyRetriable(v) {
		v.Decision = Retry
		v.RetryAt = retryTime(v.Issues, f.Now)
	}
}

// workerAway adjusts a verdict that was made from the worker's last answer, because the
// worker is unreachable now.
func workerAway(v *Verdict, f Facts) {
	known := "It has never been reached, so nothing else is known."
	if f.Catalog != nil {
		known = fmt.Sprintf("When it last answered, the pool was %s: %s ready, %d blocked.",
			v.Decision, fault.Count(len(v.Cleared), "module", "modules"), len(v.Blocked))
	} else {
		v.Issues, v.Decision = nil, Retry
	}
	why := fault.NewIssue(fault.WorkerUnreachable, fmt.Sprintf("The ingest-worker does not respond, so no run of %s can start. %s", v.Pool, known))
	v.Issues = append([]fault.Issue{why}, v.Issues...) // first among the issues that may pass
	fault.SortIssues(v.Issues)
	if v.Decision != Blocked {
		v.Decision, v.RetryAt = Retry, f.Now.Add(retryAfterAway)
	}
}

// anyRetriable reports whether some blocked module needs nothing but time.
func anyRetriable(v *Verdict) bool {
	return slices.ContainsFunc(v.Blocked, func(id string) bool {
		worst := fault.Severity(0)
		for _, i := range v.Issues {
			if i.Module == id {
				worst = max(worst, i.Severity)
			}
		}
		return worst == fault.Retry
	})
}

// retryTime is the latest time at which a temporary issue is expected to be over.
func retryTime(issues []fault.Issue, now time.Time) time.Time {
	var at time.Time
	for _, i := range issues {
		if i.Severity != fault.Retry {
			continue
		}
		t := i.RetryAt
		if !t.After(now) {
			t = now.Add(retryAfter)
			if i.Reason == fault.TooManyIPs {
				t = now.Add(retryAfterManyIPs)
			}
		}
		if t.After(at) {
			at = t
		}
	}
	return at
}
