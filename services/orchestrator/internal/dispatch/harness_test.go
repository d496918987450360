package dispatch_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// evening is after the last due hour of Monday 2026-03-02.
var evening = time.Date(2026, 3, 2, 11, 30, 0, 0, time.UTC)

// harness is a dispatcher over a real ledger and a scripted worker behind gRPC.
type harness struct {
	t     *testing.T
	path  string
	store *ledger.Store
	srv   *workertest.Server
	d     *dispatch.Dispatcher
	stop  func()
}

// withFakeClock runs a test in a synctest bubble that starts at evening.
func withFakeClock(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(evening))
		f(t)
	})
}

func newHarness(t *testing.T) *harness {
	g := &harness{t: t, path: filepath.Join(t.TempDir(), ledger.FileName), srv: workertest.New(t)}
	g.srv.OpenDates = []string{"2026-02-26", "2026-02-27", "2026-03-02"}
	g.srv.Reference = []*ingestv1.PartitionSpec{workertest.Spec("stock.reference", "trade_cal", ""), workertest.Spec("stock.basic", "stock_basic", "")}
	g.srv.Data = []*ingestv1.PartitionSpec{
		workertest.Spec("stock.market.daily", "daily", "2026-02-27"), workertest.Spec("stock.market.daily", "daily", "2026-03-02"),
		workertest.Spec("stock.moneyflow", "moneyflow", "2026-03-02"), workertest.Spec("etf.daily_quote", "fund_daily", "2026-03-02"),
	}
	g.open()
	if _, err := g.store.SaveTargetSet(t.Context(), targetset.Explicit("600519.SH", "510300.SH")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.store.Close() })
	return g
}

func (g *harness) open() {
	store, err := ledger.Open(context.Background(), ledger.Config{Path: g.path})
	if err != nil {
		g.t.Fatal(err)
	}
	g.store = store
}

// start runs the dispatcher until the test or stop ends.
func (g *harness) start(change ...func(*dispatch.Config)) {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("AFTERBELL_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	client := g.srv.Client(g.t)
	cfg := dispatch.Config{
		Ledger: g.store, Worker: client, Logger: log,
		Preflight: preflight.New(preflight.Config{Ledger: g.store, Worker: client, Logger: log}),
	}
	for _, c := range change {
		c(&cfg)
	}
	g.d = dispatch.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.d.Run(ctx) }()
	stopped := false
	g.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			g.t.Errorf("Run: %v", err)
		}
	}
	g.t.Cleanup(g.stop)
}

func (g *harness) settings(change func(*settings.Settings)) {
	s := settings.Default()
	change(&s)
	if err := g.store.SaveSettings(g.t.Context(), s); err != nil {
		g.t.Fatal(err)
	}
}

func (g *harness) create(pools ...market.Pool) []run.Run {
	g.t.Helper()
	runs, err := g.d.Create(g.t.Context(), dispatch.CreateRequest{Pools: pools})
	if err != nil {
		g.t.Fatal(err)
	}
	return runs
}

// watch follows a run to its end and answers with it and its events.
func (g *harness) watch(id string) (run.Run, []run.Event) {
	g.t.Helper()
	var events []run.Event
	err := g.d.Watch(g.t.Context(), id, 0, func(e run.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
	for n, e := range events {
		if e.Sequence != int64(n+1) {
			g.t.Fatalf("event %d has sequence %d", n+1, e.Sequence)
		}
	}
	r, err := g.store.Run(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	if len(events) == 0 || events[len(events)-1].Finished == nil {
		g.t.Fatalf("the events of run %s do not end with finished: %+v", id, r)
	}
	return r, events
}

// run creates a run of the pool and follows it to its end.
func (g *harness) run(pool market.Pool) (run.Run, []run.Event) {
	g.t.Helper()
	return g.watch(g.create(pool)[0].ID)
}

func (g *harness) get(id string) run.Run {
	g.t.Helper()
	r, err := g.store.Run(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	return r
}

// settle lets everything come to rest at this moment.
func settle() { synctest.Wait() }

func (g *harness) partitions(id string) map[string]run.Partition {
	g.t.Helper()
	list, err := g.store.Partitions(g.t.Context(), id, 0, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	byID := map[string]run.Partition{}
	for _, p := range list {
		byID[p.ID] = p
	}
	return byID
}

func (g *harness) followUps(id string) []run.Run {
	g.t.Helper()
	runs, err := g.store.FollowUps(g.t.Context(), id)
	if err != nil {
		g.t.Fatal(err)
	}
	return runs
}
