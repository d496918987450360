package readiness

import (
	"fmt"
	"slices"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
)

// DefaultProvider of every domain until a user sets another one.
const DefaultProvider = "tushare"

// DefaultDomain is a domain's default setting: stock and etf are enabled.
func DefaultDomain(id string) DomainSetting {
	return DomainSetting{Domain: id, Enabled: id == "stock" || id == "etf", Provider: DefaultProvider}
}

// Domain returns a domain's setting, or its default.
func (f Facts) Domain(id string) DomainSetting {
	if s, ok := f.Domains[id]; ok {
		return s
	}
	return DefaultDomain(id)
}

// Enabled reports whether the module itself is enabled, by its setting or its default.
func (f Facts) Enabled(m *catalog.Module) bool {
	if on, ok := f.Modules[m.ID]; ok {
		return on
	}
	return m.EnabledByDefault
}

// Selection holds the modules that the settings select for a pool.
type Selection struct {
	// Modules in the order of the catalog.
	Modules []string
	// Domains of those modules, in the order of their first module.
	Domains []string
	// Issues about requested modules, or about an empty selection. All of them block.
	Issues []fault.Issue
}

// Select returns the modules of a pool: implemented, enabled, in an enabled domain, and
// stored by the pool. For targets, only modules about the kinds of instruments on the list
// are selected. A domain without such a module is left out without an issue. A requested
// module that cannot be selected is an issue.
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

// usable reports whether the pool stores the module and has instruments of its kind.
func usable(pool market.Pool, f Facts, m *catalog.Module) bool {
	if !m.SyncCapable || !slices.Contains(m.Pools, pool) {
		return false
	}
	return pool != market.Targets || m.Kind == "" || f.Kinds[m.Kind]
}

// nothingAsked reports whether the target list has no symbols, or none of the kinds that
// the requested modules are about. Then there is nothing to do, which is not an error.
func nothingAsked(pool market.Pool, f Facts) bool {
	return pool == market.Targets && (len(f.Kinds) == 0 || len(f.Requested) > 0)
}

// refused returns why requested modules are not selected.
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
		case !usable(pool, f, m): // no instrument of its kind is on the list, so there is nothing to do
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

// noneEnabled explains an empty selection: once for the pool, and once for each enabled
// domain whose modules are all disabled.
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

// Narrow returns the requested modules that the pool stores, and those that no pool stores,
// so that the pool's verdict names them. Empty when all requested modules belong to other
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
