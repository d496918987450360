package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

type moduleService struct {
	orchestratorv1.UnimplementedModuleServiceServer
	*base
}

func noDomain(id string) error {
	return fault.New(fault.NotFound, fmt.Sprintf("There is no domain %q.", id), "kind", "domain", "id", id)
}

func domainSetting(f readiness.Facts, d catalog.Domain) *orchestratorv1.DomainSetting {
	set := f.Domain(d.ID)
	out := &orchestratorv1.DomainSetting{
		Domain: &marketv1.Domain{DomainId: d.ID, Title: d.Title}, Enabled: set.Enabled, ProviderId: set.Provider, Etag: domainEtag(set),
	}
	for i := range f.Catalog.Modules {
		if m := &f.Catalog.Modules[i]; m.Domain == d.ID {
			out.Modules = append(out.Modules, moduleSetting(f, m))
		}
	}
	return out
}

func domainEtag(set readiness.DomainSetting) string {
	set.Domain = ""
	return etagOf(set)
}

func moduleSetting(f readiness.Facts, m *catalog.Module) *orchestratorv1.ModuleSetting {
	return &orchestratorv1.ModuleSetting{
		Module: moduleOf(*m), Enabled: f.Enabled(m), Etag: etagOf(f.Enabled(m)),
		Probe: probeOf(readiness.ProbeOf(f, m), m.Domain, readiness.Stale(f, m)),
	}
}

// providerTime is the timeout for the provider's URL, which is shown with the domains.
const providerTime = 500 * time.Millisecond

// ListDomains implements orchestratorv1.ModuleServiceServer.
func (s *moduleService) ListDomains(ctx context.Context, _ *orchestratorv1.ListDomainsRequest) (*orchestratorv1.ListDomainsResponse, error) {
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	asking, cancel := context.WithTimeout(ctx, providerTime)
	defer cancel()
	provider, err := s.Worker.Provider(asking)
	if err != nil {
		s.Logger.Debug("the domains are listed without the provider's URL", "error", err.Error())
	}
	return &orchestratorv1.ListDomainsResponse{
		ProviderUrl: provider,
		Domains:     each(f.Catalog.Domains, func(d catalog.Domain) *orchestratorv1.DomainSetting { return domainSetting(f, d) }),
		Providers:   each(f.Catalog.Providers, providerOf),
	}, nil
}

// UpdateDomain implements orchestratorv1.ModuleServiceServer.
func (s *moduleService) UpdateDomain(ctx context.Context, req *orchestratorv1.UpdateDomainRequest) (*orchestratorv1.UpdateDomainResponse, error) {
	var p problems
	if p.id("domain_id", req.GetDomainId()); p.err() != nil {
		return nil, p.err()
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	d := f.Catalog.Domain(req.GetDomainId())
	if d == nil {
		return nil, noDomain(req.GetDomainId())
	}
	if p.changes(req); p.err() != nil {
		return nil, p.err()
	}
	set := f.Domain(d.ID)
	if err := checkEtag("domain", d.ID, req.GetEtag(), domainEtag(set)); err != nil {
		return nil, err
	}
	set.Domain = d.ID
	if req.Enabled != nil {
		capable := func(m catalog.Module) bool { return m.Domain == d.ID && m.SyncCapable }
		if req.GetEnabled() && !slices.ContainsFunc(f.Catalog.Modules, capable) {
			return nil, fault.New(fault.ModuleNotSyncCapable, fmt.Sprintf("No module of the domain %s is implemented.", d.ID), "domain", d.ID)
		}
		set.Enabled = req.GetEnabled()
	}
	if req.ProviderId != nil {
		provider := f.Catalog.Provider(req.GetProviderId())
		switch {
		case provider == nil:
			names := each(f.Catalog.Providers, func(p catalog.Provider) string { return p.ID })
			p.add("provider_id", "%.40q is not a provider; the providers are %s", req.GetProviderId(), strings.Join(names, ", "))
			return nil, p.err()
		case !provider.Active:
			return nil, fault.New(fault.DomainProviderNotActive, fmt.Sprintf("The provider %s is planned but not implemented yet.", provider.ID),
				"domain", d.ID, "provider", provider.ID)
		}
		set.Provider = provider.ID
	}
	if !req.GetValidateOnly() {
		if err := s.Ledger.SaveDomain(ctx, set); err != nil {
			return nil, err
		}
		s.Dispatcher.Reconfigured(market.Pools()...)
		if f, err = s.facts(ctx); err != nil {
			return nil, err
		}
	}
	out := domainSetting(f, *d)
	if req.GetValidateOnly() {
		out.Enabled, out.ProviderId, out.Etag = set.Enabled, set.Provider, domainEtag(set)
	}
	return &orchestratorv1.UpdateDomainResponse{Domain: out}, nil
}

// UpdateModule implements orchestratorv1.ModuleServiceServer.
func (s *moduleService) UpdateModule(ctx context.Context, req *orchestratorv1.UpdateModuleRequest) (*orchestratorv1.UpdateModuleResponse, error) {
	var p problems
	if p.id("module_id", req.GetModuleId()); p.err() != nil {
		return nil, p.err()
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	f, err := s.facts(ctx)
	if err != nil {
		return nil, err
	}
	m := f.Catalog.Module(req.GetModuleId())
	if m == nil {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("There is no module %q.", req.GetModuleId()), "kind", "module", "id", req.GetModuleId())
	}
	if p.changes(req); p.err() != nil {
		return nil, p.err()
	}
	if err := checkEtag("module", m.ID, req.GetEtag(), etagOf(f.Enabled(m))); err != nil {
		return nil, err
	}
	if req.GetEnabled() && !m.SyncCapable {
		return nil, fault.New(fault.ModuleNotSyncCapable, fmt.Sprintf("The module %s is in the catalog but not implemented.", m.ID), "module", m.ID)
	}
	if !req.GetValidateOnly() {
		if err := s.Ledger.SaveModule(ctx, m.ID, req.GetEnabled()); err != nil {
			return nil, err
		}
		s.Dispatcher.Reconfigured(market.Pools()...)
		if f, err = s.facts(ctx); err != nil {
			return nil, err
		}
	}
	out := moduleSetting(f, m)
	if req.GetValidateOnly() {
		out.Enabled, out.Etag = req.GetEnabled(), etagOf(req.GetEnabled())
	}
	return &orchestratorv1.UpdateModuleResponse{Module: out}, nil
}

// GetReadiness implements orchestratorv1.ModuleServiceServer.
func (s *moduleService) GetReadiness(ctx context.Context, req *orchestratorv1.GetReadinessRequest) (*orchestratorv1.GetReadinessResponse, error) {
	var p problems
	pools := p.pools("pools", req.GetPools())
	if err := p.err(); err != nil {
		return nil, err
	}
	if len(pools) == 0 {
		pools = market.Pools()
	}
	f, err := s.current(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetReadinessResponse{Verdicts: each(pools, func(pool market.Pool) *orchestratorv1.PoolVerdict {
		return verdictOf(readiness.Judge(pool, f))
	})}, nil
}
