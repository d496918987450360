package rows

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// refusing is a worker that refuses a file because dates are not complete.
type refusing struct {
	ingestv1.DataServiceClient
	again string
}

func (w refusing) GetCondition(context.Context, *ingestv1.GetConditionRequest, ...grpc.CallOption) (*ingestv1.GetConditionResponse, error) {
	err := fault.New(fault.NotFound, "Nothing is published.", "kind", "version", "id", "")
	err.Remedy = "Start a run, and read the data when it has ended: curl -X POST localhost:7780/v1/runs -d '{}'"
	return nil, err
}

func (w refusing) PrepareFile(context.Context, *ingestv1.PrepareFileRequest, ...grpc.CallOption) (*ingestv1.PrepareFileResponse, error) {
	return nil, fault.New(fault.DataIncomplete, "1 is not complete.", "fetched_again", w.again)
}

// A refusal says when the pool is fetched next, and what to do where that does not help.
func TestRefusalSaysWhatHelps(t *testing.T) {
	usual := fault.RemedyOf(fault.New(fault.DataIncomplete, ""))
	at := time.Date(2026, 11, 30, 17, 35, 0, 0, time.UTC)
	token := fault.NewIssue(fault.TokenInvalid, "The token is rejected.")
	for name, c := range map[string]struct {
		again   string
		next    time.Time
		blocked bool
		message string
		remedy  string
	}{
		"fetched next":        {"true", at, false, "The pool is fetched next at 2026-12-01 01:35 (Shanghai).", usual},
		"blocked":             {"true", at, true, "The next run starts at 2026-12-01 01:35 (Shanghai), but the last check failed (TOKEN_INVALID), and unless that is mended, the run is blocked.", token.Remedy},
		"blocked, no run":     {"true", time.Time{}, true, "No run is scheduled, and the last check failed (TOKEN_INVALID).", token.Remedy},
		"no run":              {"true", time.Time{}, false, "No run is scheduled.", `Start a run, and repeat the request when it has ended: curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"]}'`},
		"never by a schedule": {"false", at, true, "1 is not complete.", usual},
	} {
		s := &Source{
			Worker:  refusing{again: c.again},
			NextRun: func(context.Context, market.Pool) time.Time { return c.next },
			Blocked: func(context.Context, market.Pool) (fault.Issue, bool) { return token, c.blocked },
		}
		_, err := s.File(t.Context(), &marketv1.RowQuery{Pool: marketv1.Pool_POOL_TARGETS})
		f, ok := fault.As(err)
		if !ok || !strings.HasSuffix(f.Message, c.message) || fault.RemedyOf(f) != c.remedy {
			t.Errorf("%s: %+v", name, f)
		}
		if _, todo := fault.Chinese(f.Reason, f.Meta, fault.RemedyOf(f)); todo == "" {
			t.Errorf("%s: %q has no Chinese", name, f.Remedy)
		}
	}
}

// Where nothing is published because no run can fetch anything, the way out is another one.
func TestNothingPublishedSaysWhatBlocks(t *testing.T) {
	token := fault.NewIssue(fault.TokenInvalid, "The token is rejected.")
	for _, blocked := range []bool{false, true} {
		s := &Source{
			Worker:  refusing{},
			NextRun: func(context.Context, market.Pool) time.Time { return time.Time{} },
			Blocked: func(context.Context, market.Pool) (fault.Issue, bool) { return token, blocked },
		}
		_, err := s.Condition(t.Context(), &ingestv1.GetConditionRequest{})
		f, ok := fault.As(err)
		if !ok || strings.Contains(f.Message, "TOKEN_INVALID") != blocked || (fault.RemedyOf(f) == token.Remedy) != blocked {
			t.Errorf("blocked %v: %+v", blocked, f)
		}
	}
}
