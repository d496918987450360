package api

import (
	"context"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
)

type settingsService struct {
	orchestratorv1.UnimplementedSettingsServiceServer
	*base
}

// GetSettings implements orchestratorv1.SettingsServiceServer.
func (s *settingsService) GetSettings(ctx context.Context, _ *orchestratorv1.GetSettingsRequest) (*orchestratorv1.GetSettingsResponse, error) {
	v, err := s.Ledger.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetSettingsResponse{Settings: settingsOf(v)}, nil
}

// UpdateSettings implements orchestratorv1.SettingsServiceServer.
func (s *settingsService) UpdateSettings(ctx context.Context, req *orchestratorv1.UpdateSettingsRequest) (*orchestratorv1.UpdateSettingsResponse, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	v, err := s.Ledger.Settings(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkEtag("settings", "", req.GetEtag(), etagOf(v)); err != nil {
		return nil, err
	}
	var p problems
	p.changes(req)
	if req.PreflightPolicy != nil {
		if w, ok := word(req.GetPreflightPolicy(), "PREFLIGHT_POLICY_"); ok {
			v.Preflight = readiness.PreflightPolicy(w)
		} else {
			p.add("preflight_policy", "%s is not allowed: allowed are PREFLIGHT_POLICY_STALE_ONLY, PREFLIGHT_POLICY_ALWAYS, PREFLIGHT_POLICY_READINESS_ONLY",
				req.GetPreflightPolicy())
		}
	}
	if req.ReadinessPolicy != nil {
		if w, ok := word(req.GetReadinessPolicy(), "READINESS_POLICY_"); ok {
			v.Readiness = readiness.Policy(w)
		} else {
			p.add("readiness_policy", "%s is not allowed: allowed are READINESS_POLICY_STRICT, READINESS_POLICY_DEGRADED", req.GetReadinessPolicy())
		}
	}
	if wait := req.GetOrderWait(); wait != nil {
		if err := wait.CheckValid(); err != nil {
			p.add("order_wait", "is not a valid duration")
		} else {
			v.OrderWait = wait.AsDuration()
		}
	}
	if req.DispatchWidth != nil {
		v.DispatchWidth = int(req.GetDispatchWidth())
	}
	if req.RetentionDays != nil {
		v.RetentionDays = int(req.GetRetentionDays())
	}
	if req.FollowUpDeadline != nil {
		v.FollowUpDeadline = req.GetFollowUpDeadline()
	}
	if req.MaxFollowUps != nil {
		v.MaxFollowUps = int(req.GetMaxFollowUps())
	}
	if req.RecheckDays != nil {
		v.RecheckDays = int(req.GetRecheckDays())
	}
	if req.LateAt != nil {
		v.LateAt = req.GetLateAt()
	}
	p.fields = append(p.fields, v.Validate()...)
	if err := p.err(); err != nil {
		return nil, err
	}
	if !req.GetValidateOnly() {
		if err := s.Ledger.SaveSettings(ctx, v); err != nil {
			return nil, err
		}
	}
	return &orchestratorv1.UpdateSettingsResponse{Settings: settingsOf(v)}, nil
}
