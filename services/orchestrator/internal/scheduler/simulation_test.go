package scheduler

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A bubble's time begins on Saturday 2000-01-01, 08:00 in Shanghai.
var (
	monday = market.NewDate(2000, 1, 3)
	always = slot.Calendar{First: monday - 2, Last: monday + 900}
)

func init() {
	for d := always.First; d <= always.Last; d++ {
		if !d.Weekend() {
			always.Open = append(always.Open, d)
		}
	}
}

// machine is a host on which the scheduler runs: a data directory that survives restarts,
// and a wall clock that can be set.
type machine struct {
	t      *testing.T
	path   string
	every  time.Duration
	offset atomic.Int64 // wall clock less real time, ns
	broken atomic.Bool  // the ledger refuses to settle slots
	woken  atomic.Int64
	alone  chan struct{} // held while runs are queued

	store     *ledger.Store
	scheduler *Scheduler
	stop      func()
}

// onMachine runs a test with a fake clock and a ledger in a real file.
func onMachine(t *testing.T, cal slot.Calendar, test func(t *testing.T, w *machine)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ledger.FileName)
	synctest.Test(t, func(t *testing.T) {
		w := &machine{t: t, path: path, alone: make(chan struct{}, 1)}
		store, err := ledger.Open(t.Context(), ledger.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(store.SaveCalendar(t.Context(), cal), store.Close()); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if w.stop != nil {
				w.stop()
			}
		}()
		test(t, w)
	})
}

func (w *machine) now() time.Time { return time.Now().Add(time.Duration(w.offset.Load())) }

// Wake counts that the dispatcher was woken.
func (w *machine) Wake() { w.woken.Add(1) }

// OneTrigger waits until no other caller queues runs.
func (w *machine) OneTrigger() (release func()) {
	w.alone <- struct{}{}
	return func() { <-w.alone }
}

// Outdated knows of no change.
func (w *machine) Outdated(run.Run) bool { return false }

// failingLedger fails in Settle while broken is set.
type failingLedger struct {
	*ledger.Store
	w *machine
}

var errDisk = errors.New("the disk does not answer")

func (b failingLedger) Settle(ctx context.Context, slots []slot.Slot, runs []run.Run) error {
	if b.w.broken.Load() {
		return errDisk
	}
	return b.Store.Settle(ctx, slots, runs)
}

// start starts a process; what an earlier one left in progress is ended first, as
// the dispatcher does.
func (w *machine) start() {
	w.t.Helper()
	store, err := ledger.Open(context.Background(), ledger.Config{Path: w.path})
	if err != nil {
		w.t.Fatal(err)
	}
	w.store = store
	w.recover()
	w.scheduler = New(Config{Ledger: failingLedger{store, w}, Dispatcher: w, Now: w.now, Every: w.every, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.scheduler.Run(ctx) }()
	w.stop = func() {
		cancel()
		if err := errors.Join(<-done, store.Close()); err != nil {
			w.t.Error(err)
		}
		w.stop = nil
	}
	synctest.Wait()
}

func (w *machine) restart() {
	w.stop()
	w.start()
}

// until lets time pass until the wall clock shows a time in Shanghai.
func (w *machine) until(d market.Date, hour, minute, second int) {
	w.t.Helper()
	at := d.At(hour, minute, market.Shanghai).Add(time.Duration(second) * time.Second)
	if at.Before(w.now()) {
		w.t.Fatalf("it is %v already", w.now())
	}
	time.Sleep(at.Sub(w.now()))
	synctest.Wait()
}

// recover ends the runs that a process left in progress, and queues their follow-ups.
func (w *machine) recover() {
	open := got(w, w.store.Unfinished)
	for _, r := range open {
		if r.State == run.Paused {
			continue
		}
		issue := fault.NewIssue(fault.Interrupted, "The process stopped while the run was under way.", "run_id", r.ID, "state", string(r.State))
		w.finish(r, nil, run.End{Outcome: run.Failed, Issues: []fault.Issue{issue}})
	}
}

// finish ends a run and queues the follow-up that it calls for.
func (w *machine) finish(r run.Run, parts []run.Partition, end run.End) {
	w.t.Helper()
	now := w.now().Truncate(time.Millisecond)
	r, e, err := run.Finish(r, now, end)
	if err != nil {
		w.t.Fatal(err)
	}
	u := run.Update{Run: r, Partitions: parts, Events: []run.Event{e}}
	asked := end.Outcome == run.Failed && len(end.Issues) > 0 && end.Issues[0].Meta["state"] == string(run.Cancelling)
	around := run.FollowUpFacts{Settings: settings.Default(), Zone: market.Shanghai, Calendar: got(w, w.store.Calendar), Now: now}
	if next, ok := run.FollowUp(r, parts, around); ok && !asked {
		f := next.Follow(r, now)
		f.ID = newID()
		u.Run.RetryAt = next.At
		needless, serves := run.Superseded(got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, r.Pool) }), f)
		for _, q := range needless {
			u.Superseded = append(u.Superseded, q.ID)
		}
		if serves == nil {
			u.Enqueue = append(u.Enqueue, f)
		}
	}
	u.Events = append(u.Events, run.Event{Time: now, Finished: &u.Run})
	if _, err := w.store.Save(context.Background(), u); err != nil {
		w.t.Fatal(err)
	}
}

// take moves a queued run to RUNNING.
func (w *machine) take(r run.Run) run.Run {
	w.t.Helper()
	now := w.now().Truncate(time.Millisecond)
	r, taken, err := run.Take(r, now)
	if err != nil {
		w.t.Fatal(err)
	}
	r, begun, err := run.Begin(r, now)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.store.Save(context.Background(), run.Update{Run: r, Events: []run.Event{taken, begun}}); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// drain runs everything in the queues to success.
func (w *machine) drain() {
	w.t.Helper()
	for _, pool := range market.Pools() {
		for _, r := range got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, pool) }) {
			w.finish(w.take(r), nil, run.End{Outcome: run.Succeeded})
		}
	}
}

func got[T any](w *machine, f func(context.Context) (T, error)) T {
	w.t.Helper()
	v, err := f(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *machine) slot(d market.Date, pool market.Pool) slot.Slot {
	w.t.Helper()
	v := got(w, func(ctx context.Context) (slot.Slot, error) { return w.store.Slot(ctx, slot.ID(d, pool)) })
	if v.LateNote != "" && bilingual.Note(v.LateNote).Zh == v.LateNote {
		w.t.Errorf("the note %q has no Chinese", v.LateNote)
	}
	return v
}

func (w *machine) runs() []run.Run {
	w.t.Helper()
	all := got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Runs(ctx, run.Filter{Limit: 100000}) })
	slices.Reverse(all)
	return all
}

// sources lists the runs as "source pool", oldest first.
func (w *machine) sources() string {
	w.t.Helper()
	var words []string
	for _, r := range w.runs() {
		words = append(words, string(r.Source)+" "+string(r.Pool))
	}
	return strings.Join(words, ", ")
}

func (w *machine) explain(d market.Date, pool market.Pool) (string, Explanation) {
	w.t.Helper()
	e := got(w, func(ctx context.Context) (Explanation, error) { return w.scheduler.ExplainSlot(ctx, slot.ID(d, pool)) })
	if len(e.Sentences) == 0 || e.Next == "" {
		w.t.Errorf("%s of %s is not explained: %+v", pool, d, e)
	}
	return strings.Join(bilingual.In(e.Sentences, false), "\n"), e
}
