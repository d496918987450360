package readiness

import (
	"fmt"
	"slices"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// DefaultProvider of every domain before anyone chose.
const DefaultProvider = "tushare"

// DefaultDomain is a domain's setting before anyone chose: stock and etf are on.
func DefaultDomain(id string) DomainSetting {
	return DomainSetting{Domain: id, Enabled: id == "stock" || id == "etf", Provider: DefaultProvider}
}

// Domain is a domain's setting, or its default.
func (f Facts) Domain(id string) DomainSetting {
	if s, ok := f.Domains[id]; ok {
		return s
	}
	return DefaultDomain(id)
}

// Enabled reports a module's own switch, or its default.
func (f Facts) Enabled(m *catalog.Module) bool {
	if on, ok := f.Modules[m.ID]; ok {
		return on
	}
	return m.EnabledByDefault
}

// Selection is what configuration chooses for a pool.
type Selection struct {
	// Modules in the catalog's order.
	Modules []string
	// Domains of those modules, in the order of their first module.
	Domains []string
	// Issues with what was asked for by name, or that nothing is chosen. All are
	// blocking.
	Issues []fault.Issue
}

// Select chooses the modules of a pool: enabled, of an enabled domain, built, and
// held by the pool; targets chooses by the kinds of instruments on its list. A
// domain without such a module is not chosen, which is not a fault. Modules asked for
// by name that cannot be chosen are.
func Select(pool market.Pool, f Facts) Selection {
	var s Selection
	if f.Catalog == nil {
		s.Issues = append(s.Issues, fault.NewIssue(fault.NoSyncModuleSelected,
			"The catalog is not known yet, because the ingest-worker has never been reached.", "pool", string(pool)))
		return s
	}
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		if len(f.Requested) > 0 && !slices.Contains(f.Requested, m.ID) {
			continue
		}
		if !usable(pool, f, m) || !f.Domain(m.Domain).Enabled || !f.Enabled(m) {
			continue
		}
		s.Modules = append(s.Modules, m.ID)
		if !slices.Contains(s.Domains, m.Domain) {
			s.Domains = append(s.Domains, m.Domain)
		}
	}
	s.Issues = append(s.Issues, refused(pool, f, s.Modules)...)
	if len(s.Modules) == 0 && len(s.Issues) == 0 && !nothingAsked(pool, f) {
		s.Issues = append(s.Issues, noneEnabled(pool, f)...)
	}
	return s
}

// usable reports whether the pool can hold the module and has instruments for it.
func usable(pool market.Pool, f Facts, m *catalog.Module) bool {
	if !m.SyncCapable || !slices.Contains(m.Pools, pool) {
		return false
	}
	return pool != market.Targets || m.Kind == "" || f.Kinds[m.Kind]
}

// nothingAsked is a watch list without symbols, or without instruments of the kinds
// that the modules asked for are about: there is nothing to do, and that is well.
func nothingAsked(pool market.Pool, f Facts) bool {
	return pool == market.Targets && (len(f.Kinds) == 0 || len(f.Requested) > 0)
}

// refused says why modules asked for by name are not among the chosen.
func refused(pool market.Pool, f Facts, chosen []string) []fault.Issue {
	var issues []fault.Issue
	for _, id := range f.Requested {
		m := f.Catalog.Module(id)
		switch {
		case slices.Contains(chosen, id):
		case m == nil:
			issues = append(issues, fault.NewIssue(fault.NotFound, fmt.Sprintf("There is no module %.80q.", id), "kind", "module", "id", id))
		case !m.SyncCapable:
			issue := fault.NewIssue(fault.ModuleNotSyncCapable, fmt.Sprintf("%s is in the catalog but not implemented yet.", id), "module", id)
			issue.Domain = m.Domain
			issues = append(issues, issue)
		case !slices.Contains(m.Pools, pool):
			issues = append(issues, fault.NewIssue(fault.InvalidArgument,
				fmt.Sprintf("The pool %s does not have the module %s.", pool, id), "field", "module_ids"))
		case !usable(pool, f, m): // no instrument of its kind on the list: nothing to do for it
		case !f.Domain(m.Domain).Enabled || domainEmpty(pool, f, m.Domain):
			issues = append(issues, domainOff(f, m.Domain, id))
		default:
			issue := fault.NewIssue(fault.NoSyncModuleSelected, fmt.Sprintf("%s was requested but is disabled.", id), "pool", string(pool))
			issue.Domain, issue.Module = m.Domain, id
			issue.Remedy = "Enable it: " + moduleSwitch(id, true)
			issues = append(issues, issue)
		}
	}
	return issues
}

// noneEnabled explains an empty choice: once for the pool, and once for each
// enabled domain that is empty because its modules are disabled.
func noneEnabled(pool market.Pool, f Facts) []fault.Issue {
	issues := []fault.Issue{fault.NewIssue(fault.NoSyncModuleSelected,
		fmt.Sprintf("No module of the pool %s is enabled.", pool), "pool", string(pool))}
	var seen []string
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		if !usable(pool, f, m) || slices.Contains(seen, m.Domain) || !f.Domain(m.Domain).Enabled {
			continue
		}
		seen = append(seen, m.Domain)
		if domainEmpty(pool, f, m.Domain) {
			issues = append(issues, domainOff(f, m.Domain, ""))
		}
	}
	return issues
}

func domainEmpty(pool market.Pool, f Facts, domain string) bool {
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		if m.Domain == domain && usable(pool, f, m) && f.Enabled(m) {
			return false
		}
	}
	return true
}

func domainOff(f Facts, domain, module string) fault.Issue {
	message := fmt.Sprintf("The domain %s has no enabled module.", domain)
	if !f.Domain(domain).Enabled {
		message = fmt.Sprintf("The domain %s is disabled.", domain)
	}
	issue := fault.NewIssue(fault.DomainHasNoEnabledModules, message, "domain", domain)
	issue.Module = module
	switch {
	case !f.Domain(domain).Enabled:
		issue.Remedy = "Enable it: " + domainSwitch(domain, true)
	case module != "":
		issue.Remedy = "Enable it: " + moduleSwitch(module, true)
	}
	return issue
}

func domainSwitch(domain string, on bool) string {
	return fmt.Sprintf("curl -X PATCH localhost:7780/v1/domains/%s -d '{\"enabled\":%t}'", domain, on)
}

func moduleSwitch(module string, on bool) string {
	return fmt.Sprintf("curl -X PATCH localhost:7780/v1/modules/%s -d '{\"enabled\":%t}'", module, on)
}

// Narrow keeps of the modules asked for those that the pool can hold, and those
// that nobody can, so that its verdict names them. Empty when all belong to other
// pools.
func Narrow(pool market.Pool, c *catalog.Catalog, requested []string) []string {
	var kept []string
	for _, id := range requested {
		if c == nil {
			return slices.Clone(requested)
		}
		m := c.Module(id)
		if m == nil || !m.SyncCapable || slices.Contains(m.Pools, pool) {
			kept = append(kept, id)
		}
	}
	return kept
}
