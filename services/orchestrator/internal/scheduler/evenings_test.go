package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

const evenings = 400

// TestFourHundredEvenings lives through more than a year with something going wrong
// on most days. In the end each open day and pool has one slot, one run that
// answers it, its data once, and an explanation. AFTERBELL_EVENING_SEEDS asks for
// more years than three, as the drills do.
func TestFourHundredEvenings(t *testing.T) {
	seeds := uint64(3)
	if text := os.Getenv("AFTERBELL_EVENING_SEEDS"); text != "" {
		var err error
		if seeds, err = strconv.ParseUint(text, 10, 32); err != nil {
			t.Fatalf("AFTERBELL_EVENING_SEEDS: %v", err)
		}
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			onMachine(t, always, func(_ *testing.T, w *machine) { newYear(w, seed).live() })
		})
	}
}

// year is a machine with a provider, and a stand-in for the dispatcher that runs what
// is queued, one run per pool at a time, each for three minutes.
type year struct {
	*machine
	random    *rand.Rand
	published map[market.Date]time.Time // real time from which the provider has the day
	down      [2]time.Time              // real time in which the provider does not answer
	held      map[market.Pool]map[market.Date]string
	doubled   int
	current   map[market.Pool]run.Run
	ends      map[market.Pool]time.Time
	lookAt    time.Time // wall time at which a queued run may start
	seen      int64
}

func newYear(w *machine, seed uint64) *year {
	y := &year{machine: w, random: rand.New(rand.NewPCG(seed, 7)), published: map[market.Date]time.Time{},
		held: map[market.Pool]map[market.Date]string{}, current: map[market.Pool]run.Run{}, ends: map[market.Pool]time.Time{}}
	for _, pool := range market.Pools() {
		y.held[pool] = map[market.Date]string{}
	}
	for d := monday; d < monday+evenings+30; d++ {
		y.published[d] = d.At(17, 0, market.Shanghai)
	}
	w.every = 5 * time.Minute
	return y
}

func (y *year) chance(p float64) bool { return y.random.Float64() < p }

func (y *year) live() {
	y.until(monday, 12, 0, 0)
	y.start()
	for i := range market.Date(evenings) {
		y.day(monday + i)
	}
	y.offset.Store(0)
	y.pass(30 * time.Hour) // the follow-ups of the last evening
	y.check()
}

// day lives from noon to noon with faults at random moments.
func (y *year) day(d market.Date) {
	if y.chance(0.15) {
		y.published[d] = d.At(20, 10, market.Shanghai)
	} else if y.chance(0.03) {
		y.published[d] = (d + 1).At(6, 0, market.Shanghai)
	}
	tomorrow := (d + 1).At(12, 0, market.Shanghai)
	for time.Now().Before(tomorrow) {
		left := time.Until(tomorrow)
		// Most faults fall into the evening, some anywhere.
		at := time.Duration(y.random.Int64N(int64(left)))
		if evening := time.Until(d.At(19, 0, market.Shanghai)); evening > 0 {
			at = evening + time.Duration(y.random.Int64N(int64(2*time.Hour)))
		}
		if y.chance(0.25) {
			y.pass(left)
			return
		}
		y.pass(min(at, left))
		if time.Now().Before(tomorrow) {
			y.randomFailure()
		}
	}
}

// randomFailure injects one failure.
func (y *year) randomFailure() {
	ctx := context.Background()
	minutes := func(most int) time.Duration { return time.Duration(1+y.random.IntN(most)) * time.Minute }
	switch y.random.IntN(10) {
	case 0: // the process dies and is started again at once
		y.kill()
		y.start()
	case 1: // it stays away for a while
		y.kill()
		time.Sleep(minutes(300))
		y.start()
	case 2: // it stays away for days
		if y.chance(0.2) {
			y.kill()
			time.Sleep(minutes(60 * 24 * 4))
			y.start()
		}
	case 3: // the provider is down
		y.down = [2]time.Time{time.Now(), time.Now().Add(minutes(90))}
	case 4: // the wall clock is set forward, and back later
		y.offset.Store(int64(minutes(180)))
		y.pass(minutes(120))
		y.offset.Store(0)
	case 5: // it is set back, and right again
		y.offset.Store(-int64(minutes(180)))
		y.pass(minutes(120))
		y.offset.Store(0)
	case 6: // someone pauses the schedule and resumes it
		if _, err := y.scheduler.Pause(ctx, "anna"); err != nil {
			y.t.Fatal(err)
		}
		y.pass(minutes(60 * 30))
		policy := []slot.CatchUp{slot.CatchUpLast, slot.CatchUpAll, ""}[y.random.IntN(3)]
		if _, err := y.scheduler.Resume(ctx, "anna", policy); err != nil {
			y.t.Fatal(err)
		}
	case 7: // the ledger cannot be written
		y.broken.Store(true)
		y.pass(minutes(60))
		y.broken.Store(false)
	case 9: // someone asks for a run, which may cover the evening, and stops it again
		if before := time.Until(market.DateOf(time.Now()).At(19, 29, market.Shanghai)); before > 0 {
			y.pass(before)
		}
		pool := market.Pools()[y.random.IntN(2)]
		r := y.manualRun(pool)
		y.seen-- // the dispatcher is woken
		y.pass(minutes(3))
		if y.chance(0.3) {
			y.kill()
			y.start()
		}
		r = got(y.machine, func(ctx context.Context) (run.Run, error) { return y.store.Run(ctx, r.ID) })
		if r.State == run.Finished {
			break
		}
		if y.current[pool].ID == r.ID {
			delete(y.current, pool)
		}
		y.cancel(r)
	case 8: // some restarts in a row
		for range 3 {
			y.kill()
			time.Sleep(2 * time.Second)
			y.start()
		}
	}
}

// kill ends the process without a shutdown.
func (y *year) kill() {
	y.stop()
	clear(y.current)
	y.lookAt = time.Time{}
}

// pass lets time pass and runs what is queued.
func (y *year) pass(d time.Duration) {
	until := time.Now().Add(d)
	for time.Now().Before(until) {
		time.Sleep(min(3*time.Minute, time.Until(until)))
		synctest.Wait()
		y.work()
	}
}

func (y *year) work() {
	for _, pool := range market.Pools() {
		if r, busy := y.current[pool]; busy {
			if time.Now().Before(y.ends[pool]) {
				continue
			}
			y.end(r)
			delete(y.current, pool)
			y.lookAt = time.Time{}
		}
	}
	now := y.now()
	if y.woken.Load() == y.seen && now.Before(y.lookAt) {
		return
	}
	y.seen = y.woken.Load()
	y.lookAt = now.Add(time.Hour)
	for _, pool := range market.Pools() {
		if _, busy := y.current[pool]; busy {
			continue
		}
		for _, r := range got(y.machine, func(ctx context.Context) ([]run.Run, error) { return y.store.Queue(ctx, pool) }) {
			if !r.NotBefore.After(now) {
				y.current[pool], y.ends[pool] = y.take(r), time.Now().Add(3*time.Minute)
				break
			}
			if r.NotBefore.Before(y.lookAt) {
				y.lookAt = r.NotBefore
			}
		}
	}
}

// end does what the worker would: it commits what the provider has of the days that
// are missing, up to the last one due by the wall clock.
func (y *year) end(r run.Run) {
	last := market.DateOf(r.StartedAt)
	if r.StartedAt.Before(last.At(19, 0, market.Shanghai)) {
		last--
	}
	if r.Request.End > 0 {
		last = min(last, r.Request.End)
	}
	var parts []run.Partition
	for d := monday; d <= last; d++ {
		if !always.IsOpen(d) || y.held[r.Pool][d] != "" {
			continue
		}
		p := run.Partition{ID: "daily:" + d.String(), Ordinal: len(parts), Dataset: "daily", Module: "stock.market.daily", Start: d, End: d, State: run.PartitionFailed}
		publish, known := y.published[d]
		switch {
		case time.Now().After(y.down[0]) && time.Now().Before(y.down[1]):
			p.Issues = []fault.Issue{fault.NewIssue(fault.ProviderUnavailable, "The provider does not answer.")}
		case !known || time.Now().Before(publish):
			p.Verdict = "not_published"
			p.Issues = []fault.Issue{fault.NewIssue(fault.NotPublished, "The day is not published.")}
		default:
			p.State, p.Verdict = run.PartitionCompleted, "complete"
			if y.held[r.Pool][d] != "" {
				y.doubled++
			}
			y.held[r.Pool][d] = r.ID
		}
		parts = append(parts, p)
	}
	r.AsOf, r.Partitions = last, len(parts)
	for _, p := range parts {
		if p.State == run.PartitionCompleted {
			r.Completed++
		}
	}
	y.finish(r, parts, run.End{Outcome: run.OutcomeOf(parts, nil), Issues: run.IssuesOf(parts)})
}

func (y *year) check() {
	ctx := context.Background()
	t := y.t
	scheduled := map[string]int{}
	for _, r := range y.runs() {
		if r.Source == run.SourceSchedule {
			scheduled[r.SlotID]++
		}
		if r.State != run.Finished {
			t.Errorf("run %s of %s is left %s: %s", r.ID, r.Pool, r.State, r.Note)
		}
	}
	late, covered, lapsed := 0, 0, 0
	for _, pool := range market.Pools() {
		for d := monday; d < monday+evenings; d++ {
			v, err := y.store.Slot(ctx, slot.ID(d, pool))
			if err != nil {
				t.Errorf("%s %s: %v", d, pool, err)
				continue
			}
			if !always.IsOpen(d) {
				if v.State != slot.Skipped || v.RunID != "" {
					t.Errorf("closed day: %+v", v)
				}
				continue
			}
			if v.State != slot.Fired && v.State != slot.Covered || v.RunID == "" {
				t.Errorf("open day: %+v", v)
			}
			if n := scheduled[v.ID]; n > 1 || v.State == slot.Fired && n != 1 {
				t.Errorf("%s has %d runs of its own", v.ID, n)
			}
			if y.held[pool][d] == "" {
				t.Errorf("%s %s was lost", d, pool)
			}
			e, err := y.scheduler.ExplainSlot(ctx, v.ID)
			if err != nil || len(e.Sentences) < 4 || len(e.Runs) == 0 || e.Next == "" {
				t.Errorf("%s is not explained: %v %v", v.ID, e.Sentences, err)
			}
			if v.Late > 0 {
				late++
			}
			if v.State == slot.Covered {
				covered++
			} else if len(covers(v)) > 0 {
				lapsed++
			}
		}
	}
	if y.doubled > 0 || late == 0 || covered == 0 || lapsed == 0 {
		t.Errorf("%d doubled; %d slots late, %d covered and %d no more: too few for a hard year", y.doubled, late, covered, lapsed)
	}
	t.Logf("%d runs, %d slots late, %d covered, %d no more", len(y.runs()), late, covered, lapsed)
}
