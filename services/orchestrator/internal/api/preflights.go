package api

import (
	"context"

	"google.golang.org/grpc"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

type preflightService struct {
	orchestratorv1.UnimplementedPreflightServiceServer
	*base
}

// RunPreflight implements orchestratorv1.PreflightServiceServer.
func (s *preflightService) RunPreflight(req *orchestratorv1.RunPreflightRequest, ss grpc.ServerStreamingServer[orchestratorv1.RunPreflightResponse]) error {
	facts, err := s.Preflight.Facts(ss.Context(), nil)
	if err != nil {
		return err
	}
	var p problems
	opts := preflight.Options{
		Pools:   p.pools("pools", req.GetPools()),
		Modules: p.modules("module_ids", req.GetModuleIds(), facts.Catalog),
		Policy:  readiness.Always,
	}
	if age := req.GetMaxProbeAge(); age != nil {
		d := age.AsDuration()
		if age.CheckValid() != nil || d < 0 || d > readiness.MaxProbeAge {
			p.add("max_probe_age", "is outside 0s to 86400s, 24 hours")
		}
		opts.MaxAge = &d
	}
	if err := p.err(); err != nil {
		return err
	}
	if err := s.begin(ss.Context()); err != nil {
		return err
	}
	err = relay(ss.Context(), s.base, func(ctx context.Context, tell func(preflight.Event) error) error {
		_, err := s.Preflight.Run(ctx, opts, tell)
		return err
	}, func(e preflight.Event) error {
		return ss.Send(&orchestratorv1.RunPreflightResponse{Event: preflightEventOf(e, s.domainOf(ss.Context()))})
	}, func() error {
		return ss.Send(&orchestratorv1.RunPreflightResponse{KeepAlive: true})
	})
	if err != nil && s.stopping() && ss.Context().Err() == nil {
		return fault.Wrap(err, fault.PreflightFailed, "The orchestrator is shutting down; run the preflight again after it has restarted.", "cause", "stopping")
	}
	return err
}

// domainOf returns a module's domain from the current catalog: the preflight itself may
// have fetched it.
func (s *preflightService) domainOf(ctx context.Context) func(string) string {
	return func(module string) string {
		facts, err := s.Preflight.Facts(ctx, nil)
		if err != nil || facts.Catalog == nil {
			return ""
		}
		if m := facts.Catalog.Module(module); m != nil {
			return m.Domain
		}
		return ""
	}
}

// GetPreflight implements orchestratorv1.PreflightServiceServer.
func (s *preflightService) GetPreflight(ctx context.Context, req *orchestratorv1.GetPreflightRequest) (*orchestratorv1.GetPreflightResponse, error) {
	var p problems
	if p.id("preflight_id", req.GetPreflightId()); p.err() != nil {
		return nil, p.err()
	}
	found, err := s.Ledger.Preflight(ctx, req.GetPreflightId())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetPreflightResponse{Preflight: preflightOf(found)}, nil
}

// ListPreflights implements orchestratorv1.PreflightServiceServer.
func (s *preflightService) ListPreflights(ctx context.Context, req *orchestratorv1.ListPreflightsRequest) (*orchestratorv1.ListPreflightsResponse, error) {
	var p problems
	limit, before := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "preflights", "")
	if err := p.err(); err != nil {
		return nil, err
	}
	all, err := s.Ledger.Preflights(ctx, limit+1, before)
	if err != nil {
		return nil, err
	}
	all, next := pageOf(all, limit, "preflights", "", func(f readiness.Preflight) string { return f.ID })
	return &orchestratorv1.ListPreflightsResponse{Preflights: each(all, preflightOf), NextPageToken: next}, nil
}

// ListProbes implements orchestratorv1.PreflightServiceServer.
func (s *preflightService) ListProbes(ctx context.Context, req *orchestratorv1.ListProbesRequest) (*orchestratorv1.ListProbesResponse, error) {
	var p problems
	if req.GetDomainId() != "" {
		p.id("domain_id", req.GetDomainId())
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	f, err := s.current(ctx)
	if err == nil && f.Catalog == nil {
		f, err = s.facts(ctx)
	}
	if err != nil {
		return nil, err
	}
	if id := req.GetDomainId(); id != "" && f.Catalog.Domain(id) == nil {
		return nil, noDomain(id)
	}
	resp := &orchestratorv1.ListProbesResponse{}
	for i := range f.Catalog.Modules {
		m := &f.Catalog.Modules[i]
		if id := req.GetDomainId(); id == "" || id == m.Domain {
			resp.Probes = append(resp.Probes, probeOf(readiness.ProbeOf(f, m), m.Domain, readiness.Stale(f, m)))
		}
	}
	return resp, nil
}
