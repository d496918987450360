package api

import (
	"context"
	"slices"
	"strings"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

type tokenService struct {
	orchestratorv1.UnimplementedTokenServiceServer
	*base
}

// maxToken is the longest token, in bytes; real ones have about 56.
const maxToken = 4096

func (s *tokenService) list(ctx context.Context) (tokens []*orchestratorv1.Token, stored []string, err error) {
	told, err := s.Worker.TokenList(ctx)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.Preflight.Facts(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	return each(told.Tokens, func(t readiness.Token) *orchestratorv1.Token {
		tier := readiness.TierOf(f, t.Fingerprint)
		return &orchestratorv1.Token{
			DomainId: t.Domain, Fingerprint: t.Fingerprint,
			Source: orchestratorv1.Token_Source(orchestratorv1.Token_Source_value["SOURCE_"+strings.ToUpper(t.Source)]),
			Tier:   &orchestratorv1.TokenTier{MinPoints: int32(tier.Min), BelowPoints: int32(tier.Below), CallsPerMinute: int32(told.CallsPerMinute[t.Fingerprint])},
		}
	}), told.Stored, nil
}

// changed reads the worker's tokens, so that probes with another token are stale at once,
// and lists them.
func (s *tokenService) changed(ctx context.Context) ([]*orchestratorv1.Token, []string, error) {
	if err := s.Preflight.Refresh(ctx); err != nil {
		return nil, nil, err
	}
	s.Dispatcher.Reconfigured(market.Pools()...)
	return s.list(ctx)
}

// owner rejects an invalid name without repeating it: users send the token itself there by
// mistake, and the audit trail would store it forever.
func (s *tokenService) owner(ctx context.Context, domain string) error {
	f, err := s.facts(ctx)
	if err != nil {
		return err
	}
	names := []string{"main"}
	for _, m := range f.Catalog.Modules {
		if m.SyncCapable && !slices.Contains(names, m.Domain) {
			names = append(names, m.Domain)
		}
	}
	if !slices.Contains(names, domain) {
		return fault.Invalid("domain_id", "is not what a token is stored for: allowed are %s", strings.Join(names, ", "))
	}
	return nil
}

// ListTokens implements orchestratorv1.TokenServiceServer.
func (s *tokenService) ListTokens(ctx context.Context, _ *orchestratorv1.ListTokensRequest) (*orchestratorv1.ListTokensResponse, error) {
	tokens, stored, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListTokensResponse{Tokens: tokens, Stored: stored}, nil
}

// SetToken implements orchestratorv1.TokenServiceServer. An error does not contain the
// token.
func (s *tokenService) SetToken(ctx context.Context, req *orchestratorv1.SetTokenRequest) (*orchestratorv1.SetTokenResponse, error) {
	switch n := len(req.GetToken()); {
	case strings.TrimSpace(req.GetToken()) == "":
		return nil, fault.Invalid("token", "is required")
	case n > maxToken:
		return nil, fault.Invalid("token", "is %d bytes; at most %d are allowed", n, maxToken)
	}
	if err := s.owner(ctx, req.GetDomainId()); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := s.Worker.SetToken(ctx, req.GetDomainId(), req.GetToken()); err != nil {
		return nil, err
	}
	tokens, stored, err := s.changed(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.SetTokenResponse{Tokens: tokens, Stored: stored}, nil
}

// ClearToken implements orchestratorv1.TokenServiceServer.
func (s *tokenService) ClearToken(ctx context.Context, req *orchestratorv1.ClearTokenRequest) (*orchestratorv1.ClearTokenResponse, error) {
	if err := s.owner(ctx, req.GetDomainId()); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	if err := s.Worker.ClearToken(ctx, req.GetDomainId()); err != nil {
		return nil, err
	}
	tokens, stored, err := s.changed(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ClearTokenResponse{Tokens: tokens, Stored: stored}, nil
}
