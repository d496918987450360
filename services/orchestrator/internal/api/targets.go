package api

import (
	"context"
	"fmt"
	"slices"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

type targetService struct {
	orchestratorv1.UnimplementedTargetServiceServer
	*base
}

// symbols reads a list: upper case, sorted, each once.
func (p *problems) symbols(t *orchestratorv1.Targets) []string {
	list := t.GetSymbols()
	if len(list) > maxSymbols {
		p.add("targets.symbols", "has %d entries; at most %d are allowed", len(list), maxSymbols)
		return nil
	}
	out := make([]string, 0, len(list))
	for i, text := range list {
		symbol, err := market.ParseSymbol(text)
		if err != nil {
			p.add(fmt.Sprintf("targets.symbols[%d]", i), "%v", err)
			continue
		}
		out = append(out, symbol)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func resolved(symbols []string) []*orchestratorv1.ResolvedTarget {
	return each(symbols, func(s string) *orchestratorv1.ResolvedTarget {
		return &orchestratorv1.ResolvedTarget{Symbol: s, Kind: transport.KindToProto(market.KindOf(s)), Reasons: []string{"explicit"}}
	})
}

// GetTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) GetTargets(ctx context.Context, _ *orchestratorv1.GetTargetsRequest) (*orchestratorv1.GetTargetsResponse, error) {
	saved, err := s.Ledger.Targets(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetTargetsResponse{Targets: &orchestratorv1.Targets{Symbols: saved}, Resolved: resolved(saved)}, nil
}

// UpdateTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) UpdateTargets(ctx context.Context, req *orchestratorv1.UpdateTargetsRequest) (*orchestratorv1.UpdateTargetsResponse, error) {
	var p problems
	if req.GetTargets() == nil {
		p.add("targets", "is required; an empty list is {\"symbols\":[]}")
	}
	symbols := p.symbols(req.GetTargets())
	if err := p.err(); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.Ledger.SaveTargets(ctx, symbols); err != nil {
		return nil, err
	}
	s.Dispatcher.Reconfigured(market.Targets)
	return &orchestratorv1.UpdateTargetsResponse{Targets: &orchestratorv1.Targets{Symbols: symbols}, Resolved: resolved(symbols)}, nil
}

// PreviewTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) PreviewTargets(ctx context.Context, req *orchestratorv1.PreviewTargetsRequest) (*orchestratorv1.PreviewTargetsResponse, error) {
	saved, err := s.Ledger.Targets(ctx)
	if err != nil {
		return nil, err
	}
	symbols := saved
	if req.GetTargets() != nil {
		var p problems
		symbols = p.symbols(req.GetTargets())
		if err := p.err(); err != nil {
			return nil, err
		}
	}
	f, err := s.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	resp := &orchestratorv1.PreviewTargetsResponse{
		Resolved: resolved(symbols), AddedSymbols: without(symbols, saved), RemovedSymbols: without(saved, symbols),
	}
	if known(f.Catalog) { // what is selected is not known before the worker told what exists
		f.Kinds = map[market.Kind]bool{}
		for _, symbol := range symbols {
			f.Kinds[market.KindOf(symbol)] = true
		}
		resp.ModuleIds = readiness.Select(market.Targets, f).Modules
	}
	return resp, nil
}

// without are the entries of a that b lacks; both are sorted.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}
