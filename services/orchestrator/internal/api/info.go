package api

import (
	"context"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
)

type infoService struct {
	orchestratorv1.UnimplementedInfoServiceServer
	*base
}

// GetInfo implements orchestratorv1.InfoServiceServer.
func (s *infoService) GetInfo(ctx context.Context, _ *orchestratorv1.GetInfoRequest) (*orchestratorv1.GetInfoResponse, error) {
	out := &orchestratorv1.GetInfoResponse{Orchestrator: s.Info()}
	var err error
	if out.Worker, out.Publications, err = s.Worker.Info(ctx); err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		out.WorkerIssue = transport.IssueToProto(fault.IssueOf(err))
	}
	return out, nil
}
