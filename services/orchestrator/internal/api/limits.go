package api

import (
	"context"
	"strings"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

type limitService struct {
	orchestratorv1.UnimplementedLimitServiceServer
	*base
}

// ListLimits implements orchestratorv1.LimitServiceServer.
func (s *limitService) ListLimits(ctx context.Context, _ *orchestratorv1.ListLimitsRequest) (*orchestratorv1.ListLimitsResponse, error) {
	limits, waits, err := s.Worker.Limits(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListLimitsResponse{Limits: each(limits, limitOf), OwnWaits: each(waits, waitOf)}, nil
}

// ForgetLimits implements orchestratorv1.LimitServiceServer.
func (s *limitService) ForgetLimits(ctx context.Context, req *orchestratorv1.ForgetLimitsRequest) (*orchestratorv1.ForgetLimitsResponse, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	limits, err := s.Worker.ForgetLimits(ctx, req.GetProviderApis())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ForgetLimitsResponse{Limits: each(limits, limitOf)}, nil
}

func waitOf(w worker.OwnWait) *marketv1.OwnLimitWait {
	return &marketv1.OwnLimitWait{
		ProviderApi: w.API, CallCount: int32(w.PerMinute), WaitingCount: int32(w.Waiting), OpenTime: transport.TimeToProto(w.OpensAt),
	}
}

func limitOf(l worker.Limit) *marketv1.LearntLimit {
	return &marketv1.LearntLimit{
		ProviderApi: l.API, CallCount: int32(l.Calls), InForce: l.InForce,
		Window:    marketv1.LearntLimit_Window(marketv1.LearntLimit_Window_value["WINDOW_"+strings.ToUpper(l.Window)]),
		LearnTime: transport.TimeToProto(l.LearntAt), OpenTime: transport.TimeToProto(l.OpensAt),
	}
}
