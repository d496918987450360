package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

type queueing struct{ Dispatcher }

func (queueing) Create(_ context.Context, req dispatch.CreateRequest) ([]run.Run, error) {
	var all []run.Run
	for _, p := range req.Pools {
		all = append(all, run.Run{ID: "run-of-" + string(p), Pool: p, Mode: run.Manual, Source: run.SourceManual, State: run.Queued})
	}
	return all, nil
}

type noFacts struct{ Preflighter }

func (noFacts) Facts(context.Context, []string) (readiness.Facts, error) {
	return readiness.Facts{}, nil
}

// unreadable explains the first run only.
type unreadable struct{ Scheduler }

func (unreadable) ExplainRun(_ context.Context, r run.Run) ([]bilingual.Text, string, error) {
	if r.Pool == market.Targets {
		return []bilingual.Text{bilingual.Same("It waits.")}, "", nil
	}
	return nil, "", errors.New("database is locked")
}

// Queued runs are returned even if they cannot be explained, because a caller who gets an error would
// retry.
func TestCreateRunAnswersWithWhatIsQueued(t *testing.T) {
	var log bytes.Buffer
	s := &runService{base: &base{Config: Config{
		Dispatcher: queueing{}, Preflight: noFacts{}, Scheduler: unreadable{}, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	}}}
	resp, err := s.CreateRun(t.Context(), &orchestratorv1.CreateRunRequest{Pools: []marketv1.Pool{marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE}})
	if err != nil || len(resp.GetRuns()) != 2 {
		t.Fatalf("%v, %v", resp, err)
	}
	first, second := resp.GetRuns()[0], resp.GetRuns()[1]
	if len(first.GetExplanation()) != 1 || second.GetRunId() != "run-of-universe" || len(second.GetExplanation()) != 0 {
		t.Errorf("the runs are %v", resp.GetRuns())
	}
	if !strings.Contains(log.String(), "run-of-universe") || !strings.Contains(log.String(), "database is locked") {
		t.Errorf("the log has %q", log.String())
	}
}
