package preflight_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var evening = time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC)

type harness struct {
	t     *testing.T
	store *ledger.Store
	srv   *workertest.Server
	pf    *preflight.Runner
}

func inTime(t *testing.T, f func(g *harness)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(evening))
		store, err := ledger.Open(t.Context(), ledger.Config{Path: filepath.Join(t.TempDir(), ledger.FileName)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		if _, err := store.SaveTargetSet(t.Context(), targetset.Explicit("600519.SH")); err != nil {
			t.Fatal(err)
		}
		srv := workertest.New(t)
		srv.OpenDates = []string{"2026-02-27", "2026-03-02", "2026-03-03"}
		g := &harness{t: t, store: store, srv: srv}
		g.pf = preflight.New(preflight.Config{Ledger: store, Worker: srv.Client(t), Logger: slog.New(slog.DiscardHandler)})
		f(g)
	})
}

// pass runs a preflight and checks what every preflight must have: sequence numbers without gaps, and
// a record in the ledger with the results.
func (g *harness) pass(opt preflight.Options) (readiness.Preflight, []preflight.Event, error) {
	g.t.Helper()
	var events []preflight.Event
	p, err := g.pf.Run(g.t.Context(), opt, func(e preflight.Event) error { events = append(events, e); return nil })
	for n, e := range events {
		if e.Sequence != int64(n+1) || e.PreflightID != p.ID || e.Time.IsZero() {
			g.t.Errorf("event %d = %+v", n+1, e)
		}
	}
	stored, getErr := g.store.Preflight(g.t.Context(), p.ID)
	if getErr != nil || stored.State != p.State || len(stored.Verdicts) != len(p.Verdicts) || stored.EndedAt.IsZero() {
		g.t.Errorf("stored = %+v, %v", stored, getErr)
	}
	return p, events, err
}

func kinds(events []preflight.Event) (names []string) {
	for _, e := range events {
		switch {
		case e.Started != nil:
			names = append(names, "started")
		case e.ModuleStarted != nil:
			names = append(names, ">"+e.ModuleStarted.Module)
		case e.ModuleChecked != nil && e.ModuleChecked.Reused:
			names = append(names, "="+e.ModuleChecked.Probe.Module)
		case e.ModuleChecked != nil:
			names = append(names, "<"+e.ModuleChecked.Probe.Module)
		case e.PoolDecided != nil:
			names = append(names, string(e.PoolDecided.Pool)+" "+string(e.PoolDecided.Decision))
		case e.Completed != nil:
			names = append(names, "completed")
		}
	}
	return names
}

func TestStreamsEachStepAndProbesOnce(t *testing.T) {
	inTime(t, func(g *harness) {
		p, events, err := g.pass(preflight.Options{})
		if err != nil || p.State != readiness.PreflightCompleted || p.Calls != 6 {
			g.t.Fatalf("preflight = %+v, %v", p, err)
		}
		want := []string{
			"started",
			">stock.basic", "<stock.basic", ">stock.market.daily", "<stock.market.daily", ">stock.reference", "<stock.reference",
			">stock.moneyflow", "<stock.moneyflow", ">etf.basic_info", "<etf.basic_info", ">etf.daily_quote", "<etf.daily_quote",
			"targets ready", "universe ready", "completed",
		}
		if diff := cmp.Diff(want, kinds(events)); diff != "" {
			g.t.Error(diff)
		}
		if s := events[0].Started; s.TradeDate.String() != "2026-03-02" || len(s.Modules) != 6 || len(s.Pools) != 2 {
			g.t.Errorf("started = %+v", s)
		}
		// Fresh probes are reused, with an event for each.
		p, events, err = g.pass(preflight.Options{Pools: []market.Pool{market.Targets}})
		if diff := cmp.Diff([]string{"started", "=stock.market.daily", "=stock.moneyflow", "targets ready", "completed"}, kinds(events)); diff != "" || err != nil || p.Calls != 0 {
			g.t.Errorf("%s %v", diff, err)
		}
		// Unless the caller wants them younger, or all again.
		time.Sleep(time.Hour)
		young, old := 30*time.Minute, 2*time.Hour
		for _, c := range []struct {
			opt    preflight.Options
			probes int
		}{
			{preflight.Options{MaxAge: &old}, 0},
			{preflight.Options{MaxAge: &young, Modules: []string{"stock.moneyflow"}}, 1},
			{preflight.Options{Policy: readiness.Always, Pools: []market.Pool{market.Targets}}, 2},
			{preflight.Options{Policy: readiness.ReadinessOnly}, 0},
			{preflight.Options{Modules: []string{"stock.basic"}, Policy: readiness.Always}, 1},
		} {
			before := len(g.srv.Probed())
			if _, _, err := g.pass(c.opt); err != nil || len(g.srv.Probed())-before != c.probes {
				g.t.Errorf("%+v: %d probes, %v", c.opt, len(g.srv.Probed())-before, err)
			}
		}
		// A new token makes every record stale.
		g.srv.Script(func(s *workertest.Server) { s.Tokens = map[string]string{"stock": "f2", "etf": "f2"} })
		before := len(g.srv.Probed())
		if _, _, err := g.pass(preflight.Options{}); err != nil || len(g.srv.Probed())-before != 6 {
			g.t.Errorf("%d probes after a new token, %v", len(g.srv.Probed())-before, err)
		}
	})
}

func TestFindingsAreNotErrors(t *testing.T) {
	inTime(t, func(g *harness) {
		g.srv.Probe = func(_ context.Context, module string) (*ingestv1.ModuleProbe, error) {
			if module == "etf.basic_info" {
				return workertest.Found(fault.PermissionDenied), nil
			}
			return &ingestv1.ModuleProbe{Passed: true}, nil
		}
		p, events, err := g.pass(preflight.Options{RunID: "run-1"})
		if err != nil || p.RunID != "run-1" || !slices.Contains(kinds(events), "targets ready") || !slices.Contains(kinds(events), "universe blocked") {
			g.t.Fatalf("events = %v, %v", kinds(events), err)
		}
		faulttest.Produces(g.t, p.Verdicts[1].Issues, fault.PermissionDenied)
		probes, err := g.store.Probes(g.t.Context())
		if err != nil || probes["etf.basic_info"].Status != readiness.Fail || probes["stock.basic"].Status != readiness.Pass || probes["stock.basic"].ConfigHash == "" {
			g.t.Errorf("probes = %+v, %v", probes, err)
		}
	})
}

func TestWithoutTokenNothingIsProbed(t *testing.T) {
	inTime(t, func(g *harness) {
		g.srv.Tokens = nil
		p, events, err := g.pass(preflight.Options{})
		if err != nil || len(g.srv.Probed()) != 0 {
			g.t.Errorf("probed %v, %v", g.srv.Probed(), err)
		}
		if diff := cmp.Diff([]string{"started", "targets blocked", "universe blocked", "completed"}, kinds(events)); diff != "" {
			g.t.Error(diff)
		}
		faulttest.Produces(g.t, p.Verdicts[0].Issues, fault.TokenMissing)
	})
}

func TestWorkerAwayIsNoticed(t *testing.T) {
	inTime(t, func(g *harness) {
		g.srv.Down()
		start := time.Now()
		p, events, err := g.pass(preflight.Options{})
		faulttest.Produces(g.t, err, fault.WorkerUnreachable)
		if f, _ := fault.As(err); f == nil || f.Meta["address"] != workertest.Addr {
			g.t.Errorf("err = %#v", err)
		}
		if took := time.Since(start); took < 29*time.Second || took > 31*time.Second || p.State != readiness.PreflightCancelled || len(events) != 0 {
			g.t.Errorf("after %s: %+v, %v", took, p, kinds(events))
		}
		// One that comes back in time is no trouble.
		go func() { time.Sleep(10 * time.Second); g.srv.Up() }()
		if _, _, err := g.pass(preflight.Options{}); err != nil {
			g.t.Error(err)
		}
	})
}

func TestWorkerRestartsBetweenProbes(t *testing.T) {
	inTime(t, func(g *harness) {
		var once atomic.Bool
		g.srv.Probe = func(ctx context.Context, module string) (*ingestv1.ModuleProbe, error) {
			if module == "stock.reference" && once.CompareAndSwap(false, true) {
				go func() { g.srv.Down(); time.Sleep(5 * time.Second); g.srv.Up() }()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return &ingestv1.ModuleProbe{Passed: true}, nil
		}
		p, events, err := g.pass(preflight.Options{Pools: []market.Pool{market.Universe}})
		if err != nil || p.Calls != 6 || !slices.Contains(kinds(events), "universe ready") {
			g.t.Errorf("%+v, %v: %v", p, err, kinds(events))
		}
	})
}

func TestWorkerThatBreaksOff(t *testing.T) {
	inTime(t, func(g *harness) {
		g.srv.Probe = func(context.Context, string) (*ingestv1.ModuleProbe, error) {
			return nil, fault.New(fault.ProviderRefused, "A question nobody understands.")
		}
		p, _, err := g.pass(preflight.Options{})
		faulttest.Produces(g.t, err, fault.PreflightFailed)
		if p.State != readiness.PreflightCancelled {
			g.t.Errorf("state = %s", p.State)
		}
	})
}

func TestCallerLeaves(t *testing.T) {
	inTime(t, func(g *harness) {
		gone := errors.New("the stream broke")
		n := 0
		p, err := g.pf.Run(g.t.Context(), preflight.Options{}, func(preflight.Event) error {
			if n++; n == 4 {
				return gone
			}
			return nil
		})
		if !errors.Is(err, gone) {
			g.t.Errorf("err = %v", err)
		}
		if stored, err := g.store.Preflight(g.t.Context(), p.ID); err != nil || stored.State != readiness.PreflightCancelled {
			g.t.Errorf("stored = %+v, %v", stored, err)
		}
		ctx, cancel := context.WithCancel(g.t.Context())
		g.srv.Script(func(s *workertest.Server) {
			s.Probe = func(ctx context.Context, _ string) (*ingestv1.ModuleProbe, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		p, err = g.pf.Run(ctx, preflight.Options{Policy: readiness.Always}, nil)
		if !errors.Is(err, context.Canceled) {
			g.t.Errorf("err = %v", err)
		}
		if stored, err := g.store.Preflight(g.t.Context(), p.ID); err != nil || stored.State != readiness.PreflightCancelled {
			g.t.Errorf("stored = %+v, %v", stored, err)
		}
	})
}

func TestRecoverEndsWhatACrashLeft(t *testing.T) {
	inTime(t, func(g *harness) {
		left := readiness.Preflight{ID: "left", State: readiness.PreflightRunning, StartedAt: time.Now()}
		if err := g.store.SavePreflight(g.t.Context(), left); err != nil {
			g.t.Fatal(err)
		}
		if err := g.pf.Recover(g.t.Context()); err != nil {
			g.t.Fatal(err)
		}
		if p, err := g.store.Preflight(g.t.Context(), "left"); err != nil || p.State != readiness.PreflightCancelled || p.EndedAt.IsZero() {
			g.t.Errorf("preflight = %+v, %v", p, err)
		}
	})
}
