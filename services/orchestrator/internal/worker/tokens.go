package worker

import (
	"context"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// TokenList describes the worker's tokens.
type TokenList struct {
	// Tokens, one per domain with an implemented module.
	Tokens []readiness.Token
	// CallsPerMinute by fingerprint, from refusals; a token without one is absent.
	CallsPerMinute map[string]int
	// Stored are the domains, and "main", for which a token is stored.
	Stored []string
	// Host of the provider.
	Host string
}

// TokenList returns where each domain's token comes from and what is known about it.
func (c *Client) TokenList(ctx context.Context) (TokenList, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	resp, err := c.rpc.ListTokens(ctx, &ingestv1.ListTokensRequest{})
	if err != nil {
		return TokenList{}, err
	}
	l := TokenList{Stored: resp.GetStored(), Host: resp.GetProviderHost(), CallsPerMinute: map[string]int{}}
	for _, t := range resp.GetTokens() {
		l.Tokens = append(l.Tokens, readiness.Token{Domain: t.GetDomainId(), Source: t.GetSource(), Fingerprint: t.GetFingerprint()})
		if t.GetCallsPerMinute() > 0 {
			l.CallsPerMinute[t.GetFingerprint()] = int(t.GetCallsPerMinute())
		}
	}
	return l, nil
}

// Tokens returns where each domain's token comes from, and the provider's host.
func (c *Client) Tokens(ctx context.Context) ([]readiness.Token, string, error) {
	l, err := c.TokenList(ctx)
	return l.Tokens, l.Host, err
}

// SetToken sends a token to the worker, which stores it.
func (c *Client) SetToken(ctx context.Context, domain, token string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.rpc.SetToken(ctx, &ingestv1.SetTokenRequest{DomainId: domain, Token: token})
	return err
}

// ClearToken makes the worker delete a stored token.
func (c *Client) ClearToken(ctx context.Context, domain string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.rpc.ClearToken(ctx, &ingestv1.ClearTokenRequest{DomainId: domain})
	return err
}
