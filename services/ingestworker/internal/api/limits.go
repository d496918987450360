package api

import (
	"context"
	"fmt"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// Limit is a limit learned from a refusal.
type Limit struct {
	// API that is limited.
	API string
	quota.LearnedLimit
}

// OwnWait is a wait for the worker's own limit.
type OwnWait struct {
	// API that is called.
	API string
	// PerMinute is the number of calls that the limit allows, Waiting the number of calls that
	// wait.
	PerMinute, Waiting int
	// Opens is when the next one can be made.
	Opens time.Time
}

// Limits lists and discards the learned limits of the tokens with the given fingerprints.
type Limits interface {
	// Learnt lists them by API and window.
	Learnt(fingerprints []string) []Limit
	// OwnWaits lists the calls that wait for the worker's own limit, by API.
	OwnWaits(fingerprints []string) []OwnWait
	// Forget discards the limits of the APIs, or of all if none is named, and returns them.
	Forget(fingerprints, apis []string) []Limit
}

// ListLimits implements the contract.
func (s *Server) ListLimits(context.Context, *ingestv1.ListLimitsRequest) (*ingestv1.ListLimitsResponse, error) {
	tokens := s.fingerprints()
	resp := &ingestv1.ListLimitsResponse{Limits: limitsToProto(s.cfg.Limits.Learnt(tokens))}
	for _, w := range s.cfg.Limits.OwnWaits(tokens) {
		resp.OwnWaits = append(resp.OwnWaits, &marketv1.OwnLimitWait{
			ProviderApi: w.API, CallCount: int32(w.PerMinute), WaitingCount: int32(w.Waiting), OpenTime: transport.TimeToProto(w.Opens.Truncate(time.Millisecond)),
		})
	}
	return resp, nil
}

// ForgetLimits implements the contract.
func (s *Server) ForgetLimits(_ context.Context, r *ingestv1.ForgetLimitsRequest) (*ingestv1.ForgetLimitsResponse, error) {
	for n, api := range r.GetProviderApis() {
		if !isAPI(api) {
			return nil, fault.Invalid(fmt.Sprintf("provider_apis[%d]", n), "there is no API %.60q; write a name such as stock_basic, or leave the list empty for all APIs", api)
		}
	}
	forgotten := s.cfg.Limits.Forget(s.fingerprints(), r.GetProviderApis())
	s.cfg.Log.Info("learned limits are discarded", "apis", r.GetProviderApis(), "count", len(forgotten))
	return &ingestv1.ForgetLimitsResponse{Limits: limitsToProto(forgotten)}, nil
}

func isAPI(name string) bool {
	for _, m := range catalog.Modules() {
		for _, a := range m.APIs {
			if a.Name == name {
				return true
			}
		}
	}
	return catalog.Lookup(name) != nil
}

// fingerprints are those of the current tokens.
func (s *Server) fingerprints() []string {
	var out []string
	seen := map[string]bool{"": true}
	for _, d := range catalog.Domains() {
		if _, f := s.cfg.Tokens.Source(d.ID); !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out
}

func limitsToProto(limits []Limit) []*marketv1.LearntLimit {
	out := make([]*marketv1.LearntLimit, len(limits))
	for i, l := range limits {
		out[i] = &marketv1.LearntLimit{
			ProviderApi: l.API, CallCount: int32(l.Calls), InForce: !l.Doubted,
			LearnTime: transport.TimeToProto(l.At.Truncate(time.Millisecond)), OpenTime: transport.TimeToProto(l.Opens.Truncate(time.Millisecond)),
			Window: [...]marketv1.LearntLimit_Window{
				quota.Minute: marketv1.LearntLimit_WINDOW_MINUTE, quota.Hour: marketv1.LearntLimit_WINDOW_HOUR, quota.Day: marketv1.LearntLimit_WINDOW_DAY,
			}[l.Window],
		}
	}
	return out
}
