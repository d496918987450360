package api

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/probe"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// twoProbes finds that one module works and the token of the other is rejected.
type twoProbes struct{ Prober }

func (twoProbes) Run(_ context.Context, _ probe.Request, e probe.Events) error {
	if err := e.Finished(probe.Outcome{Module: catalog.LookupModule("stock.basic"), Passed: true}); err != nil {
		return err
	}
	return e.Finished(probe.Outcome{
		Module: catalog.LookupModule("etf.daily_quote"), Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "The token is rejected.")},
	})
}

type discardStream struct {
	ingestv1.IngestService_ProbeModulesServer
}

func (discardStream) Context() context.Context                  { return context.Background() }
func (discardStream) Send(*ingestv1.ProbeModulesResponse) error { return nil }

// A failed probe is logged, so that the log shows why nothing was fetched.
func TestFailedProbeIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := New(Config{Prober: twoProbes{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := s.ProbeModules(&ingestv1.ProbeModulesRequest{}, discardStream{}); err != nil {
		t.Fatal(err)
	}
	want := `level=WARN msg="probe failed" module=etf.daily_quote reason=TOKEN_INVALID message="The token is rejected."`
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, want) {
		t.Errorf("%s", text)
	}
}
