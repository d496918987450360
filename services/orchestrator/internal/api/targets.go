package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/instrument"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
)

type targetService struct {
	orchestratorv1.UnimplementedTargetServiceServer
	*base
}

// written are the validated symbols of a request.
type written struct {
	symbols  []string // ascending, without duplicates
	replaced []*orchestratorv1.ReplacedSymbol
}

// symbols validates symbols. A symbol that the stored set has is accepted even if it is on
// no list: it was on one when it was stored.
func (p *problems) symbols(field string, texts []string, list *instrument.List, saved targetset.Set, unlisted bool) (w written) {
	if len(texts) > targetset.MaxSymbols {
		p.add(field, "has %d entries; at most %d are allowed", len(texts), targetset.MaxSymbols)
		return w
	}
	for i, text := range texts {
		parsed, _ := market.ParseSymbol(text) // Lead returns what is wrong with it
		_, kept := saved.Until(parsed)
		symbol, err := list.Lead(text, unlisted || kept)
		switch {
		case err != nil && len(p.fields) >= maxTold: // without the nearest symbol, which is expensive
			p.add(fmt.Sprintf("%s[%d]", field, i), "%v", err)
			continue
		case err != nil:
			near := ""
			if x, ok := list.Nearest(text); ok {
				near = "; the nearest existing symbol is " + x.Symbol + " " + x.Name
			}
			p.add(fmt.Sprintf("%s[%d]", field, i), "%v%s", err, near)
			continue
		case symbol != parsed:
			x, _ := list.Find(symbol)
			w.replaced = append(w.replaced, &orchestratorv1.ReplacedSymbol{OldSymbol: parsed, Symbol: symbol, Name: x.Name})
		}
		w.symbols = append(w.symbols, symbol)
	}
	slices.Sort(w.symbols)
	w.symbols = slices.Compact(w.symbols)
	return w
}

// until parses the expiry of a request; given is false if it has none.
func (p *problems) until(id string, at *timestamppb.Timestamp, now time.Time) (until time.Time, given bool) {
	switch {
	case at == nil && id == targetset.Temporary:
		return now.Add(targetset.TemporaryFor).Truncate(time.Millisecond), false
	case at == nil:
		return time.Time{}, false
	case !at.IsValid():
		p.add("expire_time", "is no time")
	case !at.AsTime().After(now):
		p.add("expire_time", "%s has passed", at.AsTime().Format(time.RFC3339))
	case at.AsTime().Sub(now) > targetset.MaxAhead:
		p.add("expire_time", "%s is more than 366 days ahead", at.AsTime().Format(time.RFC3339))
	}
	return at.AsTime().Truncate(time.Millisecond), true
}

func (p *problems) set(id string) {
	if err := targetset.CheckID(id); err != nil {
		p.add("set_id", "%v", err)
	}
}

func noSet(id string) error {
	return fault.New(fault.NotFound, fmt.Sprintf("There is no target set %q.", id), "kind", "target set", "id", id)
}

func setOf(s targetset.Set) *orchestratorv1.TargetSet {
	return &orchestratorv1.TargetSet{
		SetId: s.ID, Etag: s.Etag(), Note: s.Note, UpdateTime: transport.TimeToProto(s.UpdatedAt),
		Entries: each(s.Entries, func(e targetset.Entry) *orchestratorv1.TargetEntry {
			return &orchestratorv1.TargetEntry{Symbol: e.Symbol, ExpireTime: transport.TimeToProto(e.Until)}
		}),
	}
}

func resolved(targets []targetset.Target, list *instrument.List) []*orchestratorv1.ResolvedTarget {
	return each(targets, func(t targetset.Target) *orchestratorv1.ResolvedTarget {
		x, _ := list.Find(t.Symbol)
		return &orchestratorv1.ResolvedTarget{
			Symbol: t.Symbol, Kind: transport.KindToProto(market.KindOf(t.Symbol)), Name: x.Name, Reasons: t.Reasons(), ExpireTime: transport.TimeToProto(t.Until()),
			Memberships: each(t.Members, func(m targetset.Member) *orchestratorv1.TargetMembership {
				return &orchestratorv1.TargetMembership{SetId: m.Set, ExpireTime: transport.TimeToProto(m.Until)}
			}),
		}
	})
}

// outcome is the result of a change: the stored set, and the target list before and after.
type outcome struct {
	set           targetset.Set
	before, after []targetset.Target
	added, gone   []string
}

// change replaces a set by the result of next. It fails if etag is outdated, unless the set
// already has the requested content: a repeated call succeeds.
func (s *targetService) change(ctx context.Context, id, etag, field string, next func(saved targetset.Set, exists bool) (targetset.Set, error)) (outcome, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return outcome{}, err
	}
	saved, exists := targetset.Find(sets, id)
	set, err := next(saved, exists)
	if err != nil {
		return outcome{}, err
	}
	now := time.Now()
	out := outcome{set: saved, before: targetset.Resolve(sets, now)}
	out.after = out.before
	if exists && set.Etag() == saved.Etag() {
		return out, nil
	}
	if err := checkEtag("target set", id, etag, saved.Etag()); err != nil {
		return outcome{}, err
	}
	var p problems
	with := targetset.With(sets, set)
	if len(with) > targetset.MaxSets {
		p.add("set_id", "would be set number %d; at most %d are allowed", len(with), targetset.MaxSets)
	}
	if out.after = targetset.Resolve(with, now); len(out.after) > targetset.MaxSymbols && len(out.after) > len(out.before) {
		p.add(field, "all sets together would have %d symbols; at most %d are allowed", len(out.after), targetset.MaxSymbols)
	}
	if err := p.err(); err != nil {
		return outcome{}, err
	}
	if out.set, err = s.Ledger.SaveTargetSet(ctx, set); err != nil {
		return outcome{}, err
	}
	s.announce(&out)
	return out, nil
}

// announce computes the difference and reports it to the dispatcher.
func (s *targetService) announce(o *outcome) {
	if o.added, o.gone = targetset.Diff(o.before, o.after); len(o.added)+len(o.gone) > 0 {
		s.Dispatcher.Reconfigured(market.Targets)
	}
}

// GetTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) GetTargets(ctx context.Context, _ *orchestratorv1.GetTargetsRequest) (*orchestratorv1.GetTargetsResponse, error) {
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	set, _ := targetset.Find(sets, targetset.Default)
	return &orchestratorv1.GetTargetsResponse{
		Targets: &orchestratorv1.Targets{Symbols: set.Symbols()}, Etag: set.Etag(),
		Resolved: resolved(targetset.Resolve(sets, time.Now()), s.instruments(ctx, namesAge)),
	}, nil
}

// UpdateTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) UpdateTargets(ctx context.Context, req *orchestratorv1.UpdateTargetsRequest) (*orchestratorv1.UpdateTargetsResponse, error) {
	if req.GetTargets() == nil {
		return nil, fault.Invalid("targets", "is required; an empty list is {\"symbols\":[]}")
	}
	list := s.instruments(ctx, 0)
	var w written
	out, err := s.change(ctx, targetset.Default, req.GetEtag(), "targets.symbols", func(saved targetset.Set, _ bool) (targetset.Set, error) {
		var p problems
		w = p.symbols("targets.symbols", req.GetTargets().GetSymbols(), list, saved, req.GetAllowUnlisted())
		return targetset.Make(saved.ID, saved.Note, targetset.Entries(w.symbols, time.Time{})), p.err()
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.UpdateTargetsResponse{
		Targets: &orchestratorv1.Targets{Symbols: out.set.Symbols()}, Etag: out.set.Etag(),
		Resolved: resolved(out.after, list), ReplacedSymbols: w.replaced,
	}, nil
}

// PreviewTargets implements orchestratorv1.TargetServiceServer.
func (s *targetService) PreviewTargets(ctx context.Context, req *orchestratorv1.PreviewTargetsRequest) (*orchestratorv1.PreviewTargetsResponse, error) {
	id := req.GetSetId()
	if id == "" {
		id = targetset.Default
	}
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	list := s.instruments(ctx, 0)
	now := time.Now()
	before := targetset.Resolve(sets, now)
	after, resp := before, &orchestratorv1.PreviewTargetsResponse{}
	var p problems
	p.set(id)
	until, given := p.until(id, req.GetExpireTime(), now)
	if req.GetTargets() != nil {
		saved, _ := targetset.Find(sets, id)
		w := p.symbols("targets.symbols", req.GetTargets().GetSymbols(), list, saved, req.GetAllowUnlisted())
		after = targetset.Resolve(targetset.With(sets, renewed(saved, w.symbols, saved.Note, until, given)), now)
		resp.ReplacedSymbols = w.replaced
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	f, err := s.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, err
	}
	resp.Resolved = resolved(after, list)
	resp.AddedSymbols, resp.RemovedSymbols = targetset.Diff(before, after)
	for _, t := range after {
		if list.Unlisted(t.Symbol) {
			resp.UnlistedSymbols = append(resp.UnlistedSymbols, t.Symbol)
		}
	}
	if known(f.Catalog) { // unknown before the worker has sent its catalog
		f.Kinds = map[market.Kind]bool{}
		for _, t := range after {
			f.Kinds[market.KindOf(t.Symbol)] = true
		}
		resp.ModuleIds = readiness.Select(market.Targets, f).Modules
	}
	return resp, nil
}

// renewed is a set with other symbols. If no expiry was given, a temporary symbol keeps its
// own.
func renewed(saved targetset.Set, symbols []string, note string, until time.Time, given bool) targetset.Set {
	entries := targetset.Entries(symbols, until)
	if !given && saved.ID == targetset.Temporary {
		for i := range entries {
			if of, ok := saved.Until(entries[i].Symbol); ok {
				entries[i].Until = of
			}
		}
	}
	return targetset.Make(saved.ID, note, entries)
}

// ListTargetSets implements orchestratorv1.TargetServiceServer.
func (s *targetService) ListTargetSets(ctx context.Context, _ *orchestratorv1.ListTargetSetsRequest) (*orchestratorv1.ListTargetSetsResponse, error) {
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListTargetSetsResponse{Sets: each(sets, setOf)}, nil
}

// GetTargetSet implements orchestratorv1.TargetServiceServer.
func (s *targetService) GetTargetSet(ctx context.Context, req *orchestratorv1.GetTargetSetRequest) (*orchestratorv1.GetTargetSetResponse, error) {
	var p problems
	if p.set(req.GetSetId()); p.err() != nil {
		return nil, p.err()
	}
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	set, ok := targetset.Find(sets, req.GetSetId())
	if !ok {
		return nil, noSet(req.GetSetId())
	}
	return &orchestratorv1.GetTargetSetResponse{Set: setOf(set)}, nil
}

// ReplaceTargetSet implements orchestratorv1.TargetServiceServer.
func (s *targetService) ReplaceTargetSet(ctx context.Context, req *orchestratorv1.ReplaceTargetSetRequest) (*orchestratorv1.ReplaceTargetSetResponse, error) {
	var p problems
	p.set(req.GetSetId())
	p.note("note", req.GetNote())
	until, given := p.until(req.GetSetId(), req.GetExpireTime(), time.Now())
	list := s.instruments(ctx, 0)
	var w written
	out, err := s.change(ctx, req.GetSetId(), req.GetEtag(), "symbols", func(saved targetset.Set, _ bool) (targetset.Set, error) {
		w = p.symbols("symbols", req.GetSymbols(), list, saved, req.GetAllowUnlisted())
		return renewed(saved, w.symbols, req.GetNote(), until, given), p.err()
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ReplaceTargetSetResponse{
		Set: setOf(out.set), AddedSymbols: out.added, RemovedSymbols: out.gone, ReplacedSymbols: w.replaced,
	}, nil
}

// AddTargetSymbols implements orchestratorv1.TargetServiceServer.
func (s *targetService) AddTargetSymbols(ctx context.Context, req *orchestratorv1.AddTargetSymbolsRequest) (*orchestratorv1.AddTargetSymbolsResponse, error) {
	var p problems
	p.set(req.GetSetId())
	until, _ := p.until(req.GetSetId(), req.GetExpireTime(), time.Now())
	if len(req.GetSymbols()) == 0 {
		p.add("symbols", "is required")
	}
	list := s.instruments(ctx, 0)
	var w written
	out, err := s.change(ctx, req.GetSetId(), "", "symbols", func(saved targetset.Set, _ bool) (targetset.Set, error) {
		w = p.symbols("symbols", req.GetSymbols(), list, saved, req.GetAllowUnlisted())
		entries := slices.DeleteFunc(slices.Clone(saved.Entries), func(e targetset.Entry) bool {
			_, again := slices.BinarySearch(w.symbols, e.Symbol)
			return again
		})
		return targetset.Make(saved.ID, saved.Note, append(entries, targetset.Entries(w.symbols, until)...)), p.err()
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.AddTargetSymbolsResponse{Set: setOf(out.set), AddedSymbols: out.added, ReplacedSymbols: w.replaced}, nil
}

// RemoveTargetSymbols implements orchestratorv1.TargetServiceServer.
func (s *targetService) RemoveTargetSymbols(ctx context.Context, req *orchestratorv1.RemoveTargetSymbolsRequest) (*orchestratorv1.RemoveTargetSymbolsResponse, error) {
	var p problems
	p.set(req.GetSetId())
	if n := len(req.GetSymbols()); n == 0 {
		p.add("symbols", "is required")
	} else if n > targetset.MaxSymbols {
		p.add("symbols", "has %d entries; at most %d are allowed", n, targetset.MaxSymbols)
		return nil, p.err()
	}
	list := s.instruments(ctx, namesAge)
	gone := map[string]bool{}
	for i, text := range req.GetSymbols() {
		symbol, err := market.ParseSymbol(text) // symbols that are on no list can be removed, too
		if err != nil {
			p.add(fmt.Sprintf("symbols[%d]", i), "%v", err)
			continue
		}
		gone[symbol] = true
		if now, err := list.Lead(symbol, true); err == nil {
			gone[now] = true
		}
	}
	out, err := s.change(ctx, req.GetSetId(), "", "symbols", func(saved targetset.Set, exists bool) (targetset.Set, error) {
		if err := p.err(); err != nil {
			return saved, err
		}
		if !exists {
			return saved, noSet(saved.ID)
		}
		return targetset.Make(saved.ID, saved.Note, slices.DeleteFunc(slices.Clone(saved.Entries), func(e targetset.Entry) bool { return gone[e.Symbol] })), nil
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.RemoveTargetSymbolsResponse{Set: setOf(out.set), RemovedSymbols: out.gone}, nil
}

// DeleteTargetSet implements orchestratorv1.TargetServiceServer.
func (s *targetService) DeleteTargetSet(ctx context.Context, req *orchestratorv1.DeleteTargetSetRequest) (*orchestratorv1.DeleteTargetSetResponse, error) {
	var p problems
	if p.set(req.GetSetId()); req.GetSetId() == targetset.Default {
		p.add("set_id", "the default set cannot be deleted; replace it with an empty list instead")
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	sets, err := s.Ledger.TargetSets(ctx)
	if err != nil {
		return nil, err
	}
	saved, ok := targetset.Find(sets, req.GetSetId())
	if !ok {
		return nil, noSet(req.GetSetId())
	}
	if err := checkEtag("target set", saved.ID, req.GetEtag(), saved.Etag()); err != nil {
		return nil, err
	}
	if err := s.Ledger.DeleteTargetSet(ctx, saved.ID); err != nil {
		return nil, err
	}
	now := time.Now()
	out := outcome{before: targetset.Resolve(sets, now), after: targetset.Resolve(targetset.Without(sets, saved.ID), now)}
	s.announce(&out)
	return &orchestratorv1.DeleteTargetSetResponse{RemovedSymbols: out.gone}, nil
}
