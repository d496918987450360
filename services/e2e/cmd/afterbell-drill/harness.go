package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
	"github.com/afterbell/afterbell/services/e2e/internal/truth"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// token is the worker's token. It must not appear in any file, response or log.
const token = "drill-secret-7be1c04d92af"

// window is the default window of the pools in calendar days.
const window = 12

const (
	inTargets  = marketv1.Pool_POOL_TARGETS
	inUniverse = marketv1.Pool_POOL_UNIVERSE
)

// harness is the pair of one drill, with its provider and its clock. After an error (err) its methods
// do nothing. An unexpected result is added to failures, and the drill continues.
type harness struct {
	ctx      context.Context
	options  options
	dir      string
	clock    *clock
	provider *provider
	stack    *stack.Stack
	relay    *relay
	watch    []string
	window   int // in calendar days
	undo     []func() error

	err      error
	skipped  string
	failures []string
	story    []string
	summary  string // what happened; set at the end

	// check judges the differences between a pool and a provider that still has faults at the end.
	// Nil means that the pair recovers first and no difference is allowed.
	check func(truth.Report)
	// said is what the pair reports at the end by "pool dataset day", for those that are not simply
	// complete.
	said map[string]string

	waited   time.Time // from when the pair can recover
	recovery time.Duration
	report   truth.Report
}

func newRig(ctx context.Context, o options, dir string) (*harness, error) {
	r := &harness{ctx: ctx, options: o, dir: dir, clock: &clock{file: filepath.Join(dir, "clock")}, window: window}
	// After the last dataset of the day is due, and before the slot.
	if err := r.clock.Set(evening(19, 5, 0)); err != nil {
		return nil, err
	}
	sim, err := tusharesim.New(tusharesim.Options{Stocks: 300, Funds: 120, Now: r.clock.Now})
	if err != nil {
		return nil, err
	}
	r.provider = &provider{Sim: sim}
	if err := r.provider.up(); err != nil {
		return nil, err
	}
	for _, dir := range []string{r.workerDir(), r.ledgerDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	r.stack = &stack.Stack{Config: stack.Config{
		Bin: o.bin, Data: r.ledgerDir(), ProviderURL: r.provider.url(),
		WorkerFlags: []string{"--data-dir", r.workerDir(), "--rate-limit", "0", "--log-level", "debug",
			"--universe-window", fmt.Sprintf("%dd", window), "--targets-window", fmt.Sprintf("%dd", window)},
		OrchestratorFlags: []string{"--log-level", "debug"},
	}}
	return r, r.choose(5, 3)
}

// choose puts stocks and ETFs on the target list.
func (r *harness) choose(stocks, funds int) error {
	r.watch = nil
	for _, list := range []struct {
		api, parameter string
		n              int
		fits           func(string) bool
	}{
		{"stock_basic", "list_status", stocks, func(string) bool { return true }},
		{"fund_basic", "status", stocks + funds, truth.IsETF},
	} {
		table, err := r.provider.Rows(list.api, map[string]string{list.parameter: "L"}, "ts_code")
		if err != nil {
			return err
		}
		for _, row := range table.Rows {
			if symbol, _ := row[0].(string); len(r.watch) < list.n && list.fits(symbol) {
				r.watch = append(r.watch, symbol)
			}
		}
	}
	return nil
}

func (r *harness) workerDir() string    { return filepath.Join(r.dir, "pools") }
func (r *harness) ledgerDir() string    { return filepath.Join(r.dir, "ledger") }
func (r *harness) universeFile() string { return filepath.Join(r.workerDir(), "analysis.duckdb") }
func (r *harness) targetsFile() string  { return filepath.Join(r.workerDir(), "targets.sqlite") }
func (r *harness) ledgerFile() string   { return filepath.Join(r.ledgerDir(), "market-cache.sqlite") }

// reach sets the window of the pools.
func (r *harness) reach(days int) {
	r.window = days
	r.addFlags("worker", "--universe-window", fmt.Sprintf("%dd", days), "--targets-window", fmt.Sprintf("%dd", days))
}

func (r *harness) addFlags(process string, flags ...string) {
	c := &r.stack.Config
	if process == "worker" {
		c.WorkerFlags = append(c.WorkerFlags, flags...)
	} else {
		c.OrchestratorFlags = append(c.OrchestratorFlags, flags...)
	}
}

// must ends the drill if err is not nil.
func (r *harness) must(err error) {
	if r.err == nil && err != nil {
		r.err = err
	}
}

// failf records an unexpected result.
func (r *harness) failf(format string, args ...any) {
	if r.err == nil {
		r.failures = append(r.failures, fmt.Sprintf(format, args...))
	}
}

// tell adds to the summary.
func (r *harness) tell(format string, args ...any) {
	if r.err == nil {
		r.story = append(r.story, fmt.Sprintf(format, args...))
	}
}

func (r *harness) env(crash string) []string {
	return []string{
		"AFTERBELL_TUSHARE_TOKEN=" + token, "AFTERBELL_DRILL_CLOCK=" + r.clock.file, "AFTERBELL_DRILL_CRASH=" + crash,
		"AFTERBELL_DRILL_HOLD=" + r.dir,
	}
}

// hold makes either process wait at a point until the returned function is called.
func (r *harness) hold(point string) (goOn func()) {
	file := filepath.Join(r.dir, point)
	r.must(os.WriteFile(file, nil, 0o644))
	return func() { r.must(os.Remove(file)) }
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// startWorker starts the worker, which crashes at the named point; "" means none.
func (r *harness) startWorker(crash string) {
	if r.err != nil {
		return
	}
	r.stack.Config.Env = r.env(crash)
	r.must(r.stack.StartWorker(r.ctx))
}

// startOrchestrator does the same for the orchestrator.
func (r *harness) startOrchestrator(crash string) {
	if r.err != nil {
		return
	}
	worker := r.stack.Config.WorkerAddr
	if r.relay != nil {
		r.stack.Config.WorkerAddr = r.relay.addr()
	}
	r.stack.Config.Env = r.env(crash)
	r.must(r.stack.StartOrchestrator(r.ctx))
	r.stack.Config.WorkerAddr = worker
}

// start starts the pair with a target list and without automatic runs. crash is the point at which
// one of the two crashes.
func (r *harness) start(crash string) {
	r.quiet()
	r.startWorker(crash)
	r.startOrchestrator(crash)
	r.setUp()
}

// quiet disables slots and start-up runs.
func (r *harness) quiet() { r.addFlags("orchestrator", "--schedule=false") }

// setUp sets the target list.
func (r *harness) setUp() {
	if r.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	_, err := orchestratorv1.NewTargetServiceClient(r.stack.Conn).UpdateTargets(ctx,
		&orchestratorv1.UpdateTargetsRequest{Targets: &orchestratorv1.Targets{Symbols: r.watch}})
	r.must(err)
}

// slowly makes a run take some seconds, so that a failure can be injected during it.
func (r *harness) slowly() {
	if r.err != nil {
		return
	}
	r.provider.SetLatency(150*time.Millisecond, 30*time.Millisecond)
	width := int32(2)
	_, err := orchestratorv1.NewSettingsServiceClient(r.stack.Conn).UpdateSettings(r.ctx,
		&orchestratorv1.UpdateSettingsRequest{DispatchWidth: &width, OrderWait: durationpb.New(0)})
	r.must(err)
}

func (r *harness) runs() orchestratorv1.RunServiceClient { return r.stack.Runs() }
func (r *harness) pools() orchestratorv1.PoolServiceClient {
	return orchestratorv1.NewPoolServiceClient(r.stack.Conn)
}
func (r *harness) schedule() orchestratorv1.ScheduleServiceClient {
	return orchestratorv1.NewScheduleServiceClient(r.stack.Conn)
}

// untilCalls waits until the provider has received n calls since the start.
func (r *harness) untilCalls(n int64) {
	r.until("the provider was not called often enough", time.Minute, func() bool { return r.provider.Stats().Total >= n })
}

// until polls a condition. If it is not met in time, the drill fails with what.
func (r *harness) until(what string, limit time.Duration, there func() bool) {
	deadline := time.Now().Add(limit)
	for r.err == nil && !there() {
		if time.Now().After(deadline) {
			r.must(fmt.Errorf("%s within %s", what, limit))
			return
		}
		r.sleep(50 * time.Millisecond)
	}
}

func (r *harness) sleep(d time.Duration) {
	if r.err != nil {
		return
	}
	select {
	case <-time.After(d):
	case <-r.ctx.Done():
		r.must(r.ctx.Err())
	}
}

// died waits until a process has crashed.
func (r *harness) died(p *stack.Process, within time.Duration) {
	if r.err != nil {
		return
	}
	select {
	case <-p.Done():
		if p.ExitCode() != -1 {
			r.failf("%s ended by itself, code %d, instead of at the point: %s", p.Name, p.ExitCode(), clip(p.Tail(), 300))
		}
	case <-time.After(within):
		r.must(fmt.Errorf("%s did not come to the point at which it is to die within %s", p.Name, within))
	case <-r.ctx.Done():
		r.must(r.ctx.Err())
	}
}

// term stops a process with SIGTERM and checks that it exits normally.
func (r *harness) term(p *stack.Process, within time.Duration) time.Duration {
	if r.err != nil {
		return 0
	}
	began := time.Now()
	if err := p.Stop(within); err != nil {
		r.failf("after SIGTERM: %v: %s", err, clip(p.Tail(), 300))
	} else if p.ExitCode() != 0 {
		r.failf("%s ended with code %d after SIGTERM: %s", p.Name, p.ExitCode(), clip(p.Tail(), 300))
	}
	return time.Since(began)
}

func (r *harness) signal(p *stack.Process, s syscall.Signal) {
	if r.err == nil {
		p.Signal(s)
	}
}

// free records that from now on the pair can recover.
func (r *harness) free() { r.waited = r.clock.Now() }

// close stops running processes and undoes changes to the machine.
func (r *harness) close() {
	for _, p := range []*stack.Process{r.stack.Orchestrator, r.stack.Worker} {
		if p != nil {
			p.Signal(syscall.SIGCONT)
			p.Kill()
		}
	}
	if r.stack.Conn != nil {
		_ = r.stack.Conn.Close() // the other end has stopped
	}
	if r.relay != nil {
		r.relay.close()
	}
	r.provider.ReleaseHangs()
	if err := r.provider.down(); err != nil {
		r.must(err)
	}
	for _, undo := range slices.Backward(r.undo) {
		r.must(undo())
	}
}
