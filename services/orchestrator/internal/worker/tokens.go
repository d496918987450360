package worker

import (
	"context"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

// TokenList is what the worker tells of its tokens.
type TokenList struct {
	// Tokens, one per domain that has a built module.
	Tokens []readiness.Token
	// CallsPerMinute by fingerprint, as refusals named them; absent before any.
	CallsPerMinute map[string]int
	// Stored are the domains, and "main", that a token is stored for.
	Stored []string
	// Host of the provider.
	Host string
}

// TokenList tells where each domain's token comes from and what is known of it.
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

// Tokens tells where each domain's token comes from, and the provider's host.
func (c *Client) Tokens(ctx context.Context) ([]readiness.Token, string, error) {
	l, err := c.TokenList(ctx)
	return l.Tokens, l.Host, err
}

// SetToken hands a token to the worker, which stores it.
func (c *Client) SetToken(ctx context.Context, domain, token string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.rpc.SetToken(ctx, &ingestv1.SetTokenRequest{DomainId: domain, Token: token})
	return err
}

// ClearToken has the worker forget a stored token.
func (c *Client) ClearToken(ctx context.Context, domain string) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, err := c.rpc.ClearToken(ctx, &ingestv1.ClearTokenRequest{DomainId: domain})
	return err
}
