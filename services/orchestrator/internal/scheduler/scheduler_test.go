package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

const both = "schedule targets, schedule universe"

func TestFirstStartAroundTheHour(t *testing.T) {
	for name, c := range map[string]struct {
		hour, minute, second int
		runs                 string
		state                slot.State
		note                 string
	}{
		"19:29:59": {19, 29, 59, "startup targets, startup universe", slot.Covered, ""},
		"19:30:00": {19, 30, 0, both, slot.Fired, ""},
		"19:30:59": {19, 30, 59, both, slot.Fired, ""},
		"23:00:00": {23, 0, 0, both, slot.Fired, "was not running when the slot was due; it started at 2000-01-03 23:00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				w.until(monday, c.hour, c.minute, c.second)
				w.start()
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				if got := w.sources(); got != c.runs {
					t.Errorf("runs: %s", got)
				}
				for _, pool := range market.Pools() {
					v := w.slot(monday, pool)
					if v.State != c.state || v.RunID == "" || !strings.Contains(v.LateNote, c.note) || (v.Late > 0) != (c.note != "") {
						t.Errorf("slot: %+v", v)
					}
					if text, _ := w.explain(monday, pool); !strings.Contains(text, v.RunID) {
						t.Errorf("not explained: %s", text)
					}
				}
				for _, r := range w.runs() {
					if r.Mode != run.Bootstrap || r.TriggerID != w.runs()[0].TriggerID || r.Request.End != market.NoDate {
						t.Errorf("run: %+v", r)
					}
				}
				if w.woken.Load() != 1 {
					t.Errorf("woken %d times", w.woken.Load())
				}
				// Nothing is made up about the days before the first start.
				if last, err := w.store.Slots(context.Background(), "", 100, ""); err != nil || len(last) != 2 {
					t.Errorf("%d slots, %v", len(last), err)
				}
			})
		})
	}
}

func TestFiresEveryOpenDayOnce(t *testing.T) {
	cal := always
	cal.Open = append([]market.Date(nil), cal.Open...)
	for i, d := range cal.Open {
		if d == monday+2 {
			cal.Open = append(cal.Open[:i], cal.Open[i+1:]...)
			break
		}
	}
	onMachine(t, cal, func(t *testing.T, w *machine) {
		w.start() // Saturday morning
		if got := w.sources(); got != "startup targets, startup universe" {
			t.Fatalf("runs: %s", got)
		}
		w.drain()
		for d := monday - 2; d <= monday+7; d++ {
			w.until(d, 19, 29, 59)
			before := len(w.runs())
			w.until(d, 19, 30, 0)
			fires := !d.Weekend() && d != monday+2
			if after := len(w.runs()); after-before != map[bool]int{true: 2, false: 0}[fires] {
				t.Errorf("%s: %d runs more", d, after-before)
			}
			w.drain()
			for _, pool := range market.Pools() {
				v := w.slot(d, pool)
				if fires && (v.State != slot.Fired || v.Late != 0) || !fires && (v.State != slot.Skipped || v.Issues[0].Reason != fault.NotTradingDay) {
					t.Errorf("%s: %+v", d, v)
				}
			}
		}
		if last := w.runs(); last[len(last)-1].Mode != run.Daily {
			t.Errorf("mode of the last: %s", last[len(last)-1].Mode)
		}
		if text, e := w.explain(monday+2, market.Targets); !strings.Contains(text, "closed on 2000-01-05, which is a holiday") || len(e.Runs) != 0 {
			t.Errorf("holiday: %s", text)
		}
	})
}

func TestCalendarEnded(t *testing.T) {
	onMachine(t, slot.Calendar{Open: []market.Date{monday - 3}, First: monday - 3, Last: monday - 3}, func(t *testing.T, w *machine) {
		w.start()
		w.drain()
		w.until(monday, 20, 0, 0)
		if v := w.slot(monday, market.Universe); v.State != slot.Fired || len(v.Issues) != 1 || v.Issues[0].Reason != fault.CalendarEnded {
			t.Errorf("%+v", v)
		}
		view := got(w, w.scheduler.Get)
		if len(view.Issues) != 1 || view.Issues[0].Reason != fault.CalendarEnded || !view.NextAt.Equal((monday+1).At(19, 30, market.Shanghai)) {
			t.Errorf("%+v", view)
		}
	})
}

func TestTwentyRestartsInsideTheMinute(t *testing.T) {
	for name, during := range map[string]func(w *machine){
		"nothing runs":      func(*machine) {},
		"each kills a run":  func(w *machine) { startFirst(w) },
		"each run succeeds": func(w *machine) { w.drain() },
	} {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				w.until(monday, 12, 0, 0)
				w.start()
				w.drain()
				w.until(monday, 19, 30, 0)
				for range 20 {
					during(w)
					time.Sleep(2 * time.Second)
					w.restart()
				}
				scheduled, open := 0, map[market.Pool]int{}
				for _, r := range w.runs() {
					if r.Source == run.SourceSchedule {
						scheduled++
					}
					if r.State != run.Finished {
						open[r.Pool]++
					}
				}
				if scheduled != 2 {
					t.Errorf("%d runs of the schedule", scheduled)
				}
				// Whatever was killed, one run of each pool is left to do the work.
				for _, pool := range market.Pools() {
					if open[pool] > 1 || open[pool] == 0 && name != "each run succeeds" {
						t.Errorf("%s: %d runs are left: %s", pool, open[pool], w.sources())
					}
					if v := w.slot(monday, pool); v.State != slot.Fired {
						t.Errorf("%+v", v)
					}
				}
			})
		})
	}
}

// startFirst starts the first queued run of each pool.
func startFirst(w *machine) {
	for _, pool := range market.Pools() {
		queue := got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, pool) })
		if len(queue) > 0 {
			w.take(queue[0])
		}
	}
}

func TestClockJumps(t *testing.T) {
	t.Run("two hours forward and back", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 12, 0, 0)
			w.start()
			w.drain()
			w.until(monday, 18, 0, 0)
			w.offset.Add(int64(2 * time.Hour))
			time.Sleep(time.Minute)
			synctest.Wait()
			v := w.slot(monday, market.Targets)
			if v.State != slot.Fired || !strings.Contains(v.LateNote, "its clock was changed") || v.Late < 30*time.Minute {
				t.Errorf("after the jump: %+v", v)
			}
			w.drain()
			w.offset.Store(0)
			w.until(monday, 19, 31, 0)
			listed := got(w, func(ctx context.Context) ([]slot.Slot, error) {
				return w.scheduler.ListSlots(ctx, market.Targets, 10, "")
			})
			if i := slices.IndexFunc(listed, func(v slot.Slot) bool { return v.Date == monday }); i < 0 || listed[i].State != slot.Fired {
				t.Errorf("this evening's slot is not listed: %+v", listed)
			}
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			if got := w.sources(); got != "startup targets, startup universe, "+both {
				t.Errorf("fired again: %s", got)
			}
			w.until(monday+1, 19, 30, 0)
			if v := w.slot(monday+1, market.Targets); v.State != slot.Fired || v.Late != 0 {
				t.Errorf("next evening: %+v", v)
			}
		})
	})
	t.Run("three days forward and back", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 12, 0, 0)
			w.start()
			w.drain()
			w.offset.Add(int64(72 * time.Hour))
			time.Sleep(time.Minute)
			synctest.Wait()
			if v := w.slot(monday+2, market.Universe); v.State != slot.Fired {
				t.Errorf("after the jump: %+v", v)
			}
			w.drain()
			w.offset.Store(0)
			for d := monday; d < monday+4; d++ {
				w.until(d, 19, 31, 0)
				w.drain()
				v := w.slot(d, market.Universe)
				if v.State != slot.Fired || v.Late != 0 {
					t.Errorf("%s: %+v", d, v)
				}
			}
		})
	})
	t.Run("ten days ahead on the first start", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 12, 0, 0)
			w.offset.Store(int64(240 * time.Hour))
			w.start()
			w.drain()
			w.offset.Store(0)
			time.Sleep(time.Minute)
			synctest.Wait()
			if next := w.next(); market.DateOf(next) != monday {
				t.Errorf("the next slot is at %s", next)
			}
			for d := monday; d < monday+12; d++ {
				w.until(d, 19, 31, 0)
				w.drain()
				want := slot.Fired
				if day := d.Time().Weekday(); day == time.Saturday || day == time.Sunday {
					want = slot.Skipped
				}
				if v := w.slot(d, market.Universe); v.State != want || v.Late != 0 {
					t.Errorf("%s: %+v", d, v)
				}
			}
		})
	})
	t.Run("away on the first evening", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 12, 0, 0)
			w.start()
			w.drain()
			if text, e := w.explain(monday, market.Targets); e.Slot.State != slot.Pending || !strings.Contains(text, "it will run") {
				t.Errorf("before: %s", text)
			}
			w.stop()
			w.until(monday+1, 10, 0, 0)
			w.start()
			if v := w.slot(monday, market.Targets); v.State != slot.Fired || v.Late == 0 {
				t.Errorf("the first evening was lost: %+v", v)
			}
		})
	})
	t.Run("back across the hour", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 12, 0, 0)
			w.start()
			w.drain()
			w.until(monday, 19, 30, 10)
			w.drain()
			w.offset.Add(-int64(20 * time.Minute))
			time.Sleep(time.Hour)
			synctest.Wait()
			if got := w.sources(); got != "startup targets, startup universe, "+both {
				t.Errorf("fired again: %s", got)
			}
		})
	})
	t.Run("the host slept", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 19, 0, 0)
			w.start()
			w.drain()
			w.offset.Add(int64(5 * time.Hour)) // timers stand still while a host is suspended
			time.Sleep(30 * time.Second)
			synctest.Wait()
			v := w.slot(monday, market.Targets)
			if v.State != slot.Fired || !strings.Contains(v.LateNote, "the host was asleep") {
				t.Errorf("%+v", v)
			}
		})
	})
}

func TestCatchUpOnStart(t *testing.T) {
	for policy, want := range map[slot.CatchUp]struct {
		states []slot.State // Monday to Friday
		runs   int
		ends   []market.Date
	}{
		slot.CatchUpLast: {[]slot.State{slot.Fired, slot.Covered, slot.Covered, slot.Fired, slot.Fired}, 1, []market.Date{market.NoDate}},
		slot.CatchUpAll: {[]slot.State{slot.Fired, slot.Fired, slot.Fired, slot.Fired, slot.Fired}, 3,
			[]market.Date{monday + 1, monday + 2, market.NoDate}},
		slot.CatchUpNone: {[]slot.State{slot.Fired, slot.Missed, slot.Missed, slot.Missed, slot.Fired}, 1, []market.Date{market.NoDate}}, // the start-up run
	} {
		t.Run(string(policy), func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				w.until(monday, 12, 0, 0)
				w.start()
				w.drain()
				got(w, func(ctx context.Context) (View, error) {
					return w.scheduler.Update(ctx, func(s *slot.Schedule) { s.CatchUp = policy })
				})
				w.until(monday, 19, 40, 0)
				w.drain()
				w.stop()
				w.until(monday+3, 22, 0, 0)
				w.start()
				queue := got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, market.Universe) })
				if len(queue) != want.runs {
					t.Fatalf("%d runs are queued: %s", len(queue), w.sources())
				}
				for i, r := range queue {
					if r.Request.End != want.ends[i] || r.Request.Start != market.NoDate {
						t.Errorf("run %d: %+v", i, r.Request)
					}
				}
				w.drain()
				w.until(monday+4, 20, 0, 0)
				for i, state := range want.states {
					d := monday + market.Date(i)
					v := w.slot(d, market.Universe)
					if v.State != state {
						t.Errorf("%s: %+v, want %s", d, v, state)
					}
					if state == slot.Missed || state == slot.Covered {
						if !strings.Contains(v.Issues[0].Message, "was not running when the slot was due") {
							t.Errorf("%s does not say why: %+v", v.ID, v.Issues)
						}
					}
					if state == slot.Missed {
						faulttest.Produces(t, v.Issues, fault.SlotMissed)
					}
					if text, e := w.explain(d, market.Universe); state == slot.Missed && !strings.Contains(e.Next, `"end_date":"`+d.String()) {
						t.Errorf("%s: %s / %s", d, text, e.Next)
					}
				}
			})
		})
	}
}

func TestPauseAndResume(t *testing.T) {
	for _, c := range []struct {
		policy slot.CatchUp
		states []slot.State
		fired  int
	}{
		{slot.CatchUpLast, []slot.State{slot.Covered, slot.Covered, slot.Fired}, 1},
		{"", []slot.State{slot.Covered, slot.Covered, slot.Fired}, 1}, // the schedule's own
		{slot.CatchUpAll, []slot.State{slot.Fired, slot.Fired, slot.Fired}, 3},
		{slot.CatchUpNone, []slot.State{slot.Skipped, slot.Skipped, slot.Skipped}, 0},
	} {
		t.Run("resumed with "+string(c.policy), func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				ctx := context.Background()
				w.until(monday, 12, 0, 0)
				w.start()
				w.drain()
				// A slot that was due before the pause is not touched by it.
				w.until(monday, 19, 30, 0)
				w.drain()
				if v := got(w, func(ctx context.Context) (View, error) { return w.scheduler.Pause(ctx, "anna: audit") }); !v.Schedule.Paused || !v.NextAt.IsZero() {
					t.Errorf("%+v", v)
				}
				text, e := w.explain(monday+1, market.Targets)
				if !strings.Contains(text, "it will be skipped") || !strings.Contains(text, "anna: audit") || !strings.Contains(e.Next, "schedule:resume") {
					t.Errorf("foreseen: %s / %s", text, e.Next)
				}
				w.until(monday+2, 12, 0, 0)
				if _, err := w.scheduler.Pause(ctx, "bo: still auditing"); err != nil {
					t.Fatal(err)
				}
				w.restart() // a pause survives, and asks for no start-up run
				before := len(w.runs())
				w.until(monday+3, 21, 0, 0)
				for i := range c.states {
					if v := w.slot(monday+1+market.Date(i), market.Targets); v.State != slot.Skipped || !v.Held() {
						t.Errorf("while paused: %+v", v)
					}
				}
				if _, err := w.scheduler.Resume(ctx, "", "some"); !fault.Is(err, fault.InvalidArgument) {
					t.Errorf("wrong policy: %v", err)
				}
				view := got(w, func(ctx context.Context) (View, error) { return w.scheduler.Resume(ctx, "anna: done", c.policy) })
				if view.Schedule.Paused || view.Schedule.Note != "anna: done" || !view.NextAt.Equal((monday+4).At(19, 30, market.Shanghai)) {
					t.Errorf("%+v", view)
				}
				for i, state := range c.states {
					v := w.slot(monday+1+market.Date(i), market.Targets)
					if v.State != state || state == slot.Fired && !strings.Contains(v.LateNote, "was paused from 2000-01-03 19:30:00") {
						t.Errorf("%s: %+v, want %s", v.ID, v, state)
					}
					w.explain(v.Date, market.Targets)
				}
				if n := len(w.runs()) - before; n != 2*c.fired {
					t.Errorf("%d runs", n)
				}
				if _, err := w.scheduler.Resume(ctx, "again", slot.CatchUpAll); err != nil {
					t.Fatal(err)
				}
				if n := len(w.runs()) - before; n != 2*c.fired {
					t.Errorf("resuming twice queued runs: %d", n)
				}
				w.drain()
				w.until(monday+4, 20, 0, 0)
				if v := w.slot(monday+4, market.Targets); v.State != slot.Fired || v.Late != 0 {
					t.Errorf("%+v", v)
				}
			})
		})
	}
}

func TestUpdate(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		ctx := context.Background()
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		_, err := w.scheduler.Update(ctx, func(s *slot.Schedule) { s.RunAt, s.TimeZone, s.Paused = "7:30", "Local", true })
		f, ok := fault.As(err)
		if !ok || f.Reason != fault.InvalidArgument || len(f.Fields) != 2 || f.Fields[0].Field != "run_at" || f.Fields[1].Field != "time_zone" {
			t.Fatalf("%v", err)
		}
		if v := got(w, w.scheduler.Get); v.Schedule.RunAt != "19:30" || v.Schedule.Paused {
			t.Errorf("a refused change was kept: %+v", v)
		}
		// Earlier today: the moment has passed, so it fires late and says why.
		if _, err := w.scheduler.Update(ctx, func(s *slot.Schedule) {
			s.RunAt, s.Pools = "11:00", []market.Pool{market.Universe, market.Targets}
		}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if v := w.slot(monday, market.Targets); v.State != slot.Fired || !strings.Contains(v.LateNote, "schedule was changed") {
			t.Errorf("%+v", v)
		}
		w.drain()
		// Later again: today's slot has fired before its data was due, and fires again.
		if _, err := w.scheduler.Update(ctx, func(s *slot.Schedule) { s.RunAt = "22:00"; s.Pools = []market.Pool{market.Targets} }); err != nil {
			t.Fatal(err)
		}
		w.until(monday, 22, 0, 0)
		w.drain()
		w.until(monday+1, 22, 0, 0)
		if got := w.sources(); got != "startup targets, startup universe, "+both+", schedule targets, schedule targets" {
			t.Errorf("runs: %s", got)
		}
		if text, e := w.explain(monday+1, market.Universe); !strings.Contains(text, "does not include the pool universe") || e.Slot.State != slot.Skipped {
			t.Errorf("%s", text)
		}
		w.drain()
		if _, err := w.scheduler.Update(ctx, func(s *slot.Schedule) { s.Enabled = false }); err != nil {
			t.Fatal(err)
		}
		w.restart()
		w.until(monday+2, 22, 0, 0)
		if v := w.slot(monday+2, market.Targets); v.State != slot.Skipped || v.Issues[0].Reason != fault.ScheduleDisabled {
			t.Errorf("%+v", v)
		}
		if got := len(w.runs()); got != 6 {
			t.Errorf("a schedule that is off asked for runs: %s", w.sources())
		}
	})
}

func TestLedgerThatFailsDelaysSlots(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.broken.Store(true)
		w.until(monday, 20, 0, 0)
		if v := w.slot(monday, market.Targets); v.State != slot.Pending {
			t.Fatalf("%+v", v)
		}
		if text, _ := w.explain(monday, market.Targets); !strings.Contains(text, "the scheduler decides it within") {
			t.Errorf("while it fails: %s", text)
		}
		w.broken.Store(false)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if v := w.slot(monday, market.Targets); v.State != slot.Fired || !strings.Contains(v.LateNote, errDisk.Error()) {
			t.Errorf("%+v", v)
		}
	})
}

func TestManualRunsCoverOrNot(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		ctx := context.Background()
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.until(monday, 18, 30, 0)
		open := run.Request{Start: market.NoDate, End: market.NoDate}
		early := run.Run{ID: newID(), Pool: market.Targets, Mode: run.Manual, Source: run.SourceManual, Request: open}
		waits := run.Run{ID: newID(), Pool: market.Universe, Mode: run.Manual, Source: run.SourceManual, Request: open}
		if err := w.store.Enqueue(ctx, []run.Run{early, waits}, nil); err != nil {
			t.Fatal(err)
		}
		early.State, early.CreatedAt = run.Queued, w.now()
		w.take(early) // planned before moneyflow came due at 19:00
		w.until(monday, 19, 30, 0)
		if v := w.slot(monday, market.Targets); v.State != slot.Fired {
			t.Errorf("a run that began too early covers: %+v", v)
		}
		v := w.slot(monday, market.Universe)
		if v.State != slot.Covered || v.RunID != waits.ID {
			t.Errorf("a queued run does not cover: %+v", v)
		}
		faulttest.Produces(t, v.Issues, fault.SlotCovered)
		if text, _ := w.explain(monday, market.Targets); !strings.Contains(text, "behind run "+early.ID+" (running)") {
			t.Errorf("%s", text)
		}
	})
}

// TestLastAttemptDoesNotCover has the last of the attempts that an earlier run is
// followed by in progress when the slot is due: nothing would follow it any more.
func TestLastAttemptDoesNotCover(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.until(monday, 19, 29, 50)
		last := run.Run{ID: newID(), Pool: market.Targets, Mode: run.Daily, Source: run.SourceAuto, State: run.Queued, CreatedAt: w.now(),
			Attempt: 5, Follows: w.runs()[0].ID, Request: run.Request{Start: market.NoDate, End: market.NoDate}}
		if err := w.store.Enqueue(context.Background(), []run.Run{last}, nil); err != nil {
			t.Fatal(err)
		}
		w.take(last)
		w.until(monday, 19, 31, 0)
		if v := w.slot(monday, market.Targets); v.State != slot.Fired {
			t.Errorf("%+v", v)
		}
	})
}

// TestStartUpWaitsForAnotherTrigger has a user ask for runs at the moment of the
// start: the one who comes second finds the runs of the first.
func TestStartUpWaitsForAnotherTrigger(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		ctx := context.Background()
		w.until(monday, 12, 0, 0)
		release := w.OneTrigger()
		w.start()
		open := run.Request{Start: market.NoDate, End: market.NoDate}
		for _, pool := range market.Pools() {
			manual := run.Run{ID: newID(), Pool: pool, Mode: run.Manual, Source: run.SourceManual, Request: open}
			if err := w.store.Enqueue(ctx, []run.Run{manual}, nil); err != nil {
				t.Fatal(err)
			}
		}
		release()
		synctest.Wait()
		for _, pool := range market.Pools() {
			queue, err := w.store.Queue(ctx, pool)
			if err != nil || len(queue) != 1 || queue[0].Source != run.SourceManual {
				t.Errorf("%s queues %+v, %v", pool, queue, err)
			}
		}
	})
}

func TestSlotsAreListedAndForeseen(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		ctx := context.Background()
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.until(monday, 20, 0, 0)
		var ids []string
		before := ""
		for {
			page, err := w.scheduler.ListSlots(ctx, "", 1, before)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			before = page[0].ID
			ids = append(ids, before+" "+string(page[0].State))
		}
		if got, want := strings.Join(ids, ", "), "2000-01-04.universe pending, 2000-01-04.targets pending, 2000-01-03.universe fired, 2000-01-03.targets fired"; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		if page, err := w.scheduler.ListSlots(ctx, market.Targets, 0, ""); err != nil || len(page) != 2 {
			t.Errorf("%v %v", page, err)
		}
		if text, e := w.explain(monday+1, market.Universe); !strings.Contains(text, "it will run") || e.Slot.State != slot.Pending {
			t.Errorf("%s", text)
		}
		for id, want := range map[string]fault.Reason{
			"2000-01-02.targets": fault.NotFound, "2002-01-02.targets": fault.NotFound, "2000-02-30.targets": fault.InvalidArgument,
			"2000-01-04.both": fault.InvalidArgument, "": fault.InvalidArgument, "2000-01-04": fault.InvalidArgument,
		} {
			if _, err := w.scheduler.ExplainSlot(ctx, id); !fault.Is(err, want) {
				t.Errorf("%q: %v, want %s", id, err, want)
			}
		}
		// A run that was deleted is said to be gone.
		w.drain()
		v := w.slot(monday, market.Targets)
		if err := w.store.DeleteRun(ctx, v.RunID); err != nil {
			t.Fatal(err)
		}
		if text, _ := w.explain(monday, market.Targets); !strings.Contains(text, "no longer in the ledger") {
			t.Errorf("%s", text)
		}
	})
}

// next is when the schedule says that it fires next.
func (w *machine) next() time.Time { w.t.Helper(); return got(w, w.scheduler.Get).NextAt }

// change edits the schedule.
func (w *machine) change(f func(*slot.Schedule)) {
	w.t.Helper()
	got(w, func(ctx context.Context) (View, error) { return w.scheduler.Update(ctx, f) })
	synctest.Wait()
}

// ids lists all slots that have a row, newest first.
func (w *machine) ids() string {
	w.t.Helper()
	var words []string
	for _, v := range got(w, func(ctx context.Context) ([]slot.Slot, error) { return w.store.Slots(ctx, market.Universe, 1000, "") }) {
		words = append(words, v.Date.String()+" "+string(v.State))
	}
	return strings.Join(words, ", ")
}

// TestZoneChanges moves the schedule to zones in which it is another day: no slot is
// lost, fires twice, or is made up for a day before the first start.
func TestZoneChanges(t *testing.T) {
	t.Run("west, after firing", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday, 7, 0, 0)
			w.start()
			w.drain()
			w.change(func(s *slot.Schedule) { s.RunAt = "08:00" })
			w.until(monday, 8, 30, 0)
			w.drain()
			w.change(func(s *slot.Schedule) { s.TimeZone = "America/New_York" }) // Sunday evening there
			if got, want := w.ids(), "2000-01-03 pending"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if _, err := w.scheduler.ExplainSlot(context.Background(), slot.ID(monday-1, market.Targets)); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "before the first") || !strings.Contains(err.Error(), "The next run fetches what is missing of that day: the slot of") {
				t.Errorf("Sunday, which is today there: %v", err)
			}
			// Monday's data were not due at 08:00 in Shanghai.
			if at := w.next(); !at.Equal(monday.At(21, 0, market.Shanghai)) {
				t.Errorf("next at %v", at)
			}
			w.until(monday, 22, 0, 0)
			w.drain()
			w.until(monday+1, 20, 0, 0)
			if got, want := w.sources(), "startup targets, startup universe, "+both+", "+both; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	})
	t.Run("west and back before the first slot", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday+1, 9, 0, 0)
			w.start()
			w.drain()
			w.change(func(s *slot.Schedule) { s.TimeZone = "Pacific/Honolulu" }) // Monday afternoon there
			w.until(monday+1, 14, 0, 0)
			w.change(func(s *slot.Schedule) { s.TimeZone = "Asia/Shanghai" })
			w.until(monday+1, 20, 0, 0)
			if got, want := w.ids(), "2000-01-04 fired"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	})
	t.Run("east, to a day that is a weekend there", func(t *testing.T) {
		onMachine(t, always, func(t *testing.T, w *machine) {
			w.until(monday+4, 12, 0, 0)
			w.start()
			w.drain()
			w.change(func(s *slot.Schedule) { s.TimeZone, s.RunAt = "Pacific/Auckland", "01:00" })
			w.drain()
			w.until(monday+4, 21, 0, 0) // Saturday 02:00 there
			if got, want := w.ids(), "2000-01-08 fired, 2000-01-07 fired"; got != want {
				t.Errorf("Friday's evening: %s, want %s", got, want)
			}
			w.drain()
			w.until(monday+6, 21, 0, 0) // Monday there, but Sunday's evening
			if text, _ := w.explain(monday+7, market.Universe); !strings.Contains(text, "closed on 2000-01-09") || !strings.Contains(text, "date in Shanghai") {
				t.Errorf("%s", text)
			}
		})
	})
}

// TestNextIsTrue asks after each change of the hour when the schedule fires next.
func TestNextIsTrue(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		at := func(d market.Date, hour int) time.Time { return d.At(hour, 0, market.Shanghai) }
		w.change(func(s *slot.Schedule) { s.RunAt = "20:00" })
		if page := got(w, func(ctx context.Context) ([]slot.Slot, error) { return w.scheduler.ListSlots(ctx, "", 0, "") }); len(page) != 2 ||
			!page[0].DueAt.Equal(at(monday, 20)) || !w.next().Equal(at(monday, 20)) {
			t.Errorf("%+v, next %v", page, w.next())
		}
		w.until(monday, 20, 5, 0)
		w.drain()
		w.change(func(s *slot.Schedule) { s.RunAt = "22:00" }) // today has fired
		if next := w.next(); !next.Equal(at(monday+1, 22)) {
			t.Errorf("next %v", next)
		}
		for _, limit := range []int{1, 3} {
			page := got(w, func(ctx context.Context) ([]slot.Slot, error) { return w.scheduler.ListSlots(ctx, "", limit, "") })
			if page[0].ID != slot.ID(monday+1, market.Universe) {
				t.Errorf("first of %d: %s", limit, page[0].ID)
			}
		}
		w.until(monday, 23, 0, 0)
		if got, want := w.sources(), "startup targets, startup universe, "+both; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestClockOfLongAgo sets the clock back by days, as on a host that starts before it has the time, and
// then corrects it: decided slots stay decided and do not fire again.
func TestClockOfLongAgo(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		for d := monday; d < monday+4; d++ {
			w.until(d, 20, 0, 0)
			w.drain()
		}
		before, runs := w.ids(), w.sources()
		for _, back := range []time.Duration{80 * time.Hour, 20 * 365 * 24 * time.Hour, 30 * time.Hour} {
			w.offset.Store(-int64(back))
			w.change(func(s *slot.Schedule) { s.RunOnStartup = false })
			w.restart()
			time.Sleep(10 * time.Minute)
			w.offset.Store(0)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := w.ids(); got != before {
				t.Errorf("back by %v: got %s, want %s", back, got, before)
			}
		}
		if got := w.sources(); got != runs {
			t.Errorf("runs: %s", got)
		}
		w.until(monday+4, 20, 0, 0)
		if v := w.slot(monday+4, market.Targets); v.State != slot.Fired || v.Late != 0 {
			t.Errorf("%+v", v)
		}
	})
}

// TestResumeAfterTheHourChanged resumes slots that a pause held when they were due.
func TestResumeAfterTheHourChanged(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		ctx := context.Background()
		if _, err := w.scheduler.Pause(ctx, "anna"); err != nil {
			t.Fatal(err)
		}
		w.until(monday, 20, 0, 0)
		w.change(func(s *slot.Schedule) { s.RunAt = "22:00" })
		if _, err := w.scheduler.Resume(ctx, "anna", slot.CatchUpLast); err != nil {
			t.Fatal(err)
		}
		v := w.slot(monday, market.Targets)
		if v.State != slot.Fired || !v.DueAt.Equal(monday.At(19, 30, market.Shanghai)) || v.Late != 30*time.Minute {
			t.Errorf("%+v", v)
		}
	})
}

// TestOff asks a process that was started with the schedule off.
func TestOff(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		w.stop()
		store, err := ledger.Open(context.Background(), ledger.Config{Path: w.path})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		w.scheduler = New(Config{Ledger: store, Now: w.now, Off: true})
		v := got(w, func(ctx context.Context) (View, error) {
			return w.scheduler.Update(ctx, func(s *slot.Schedule) { s.RunAt = "20:00" })
		})
		if !v.NextAt.IsZero() || len(v.Issues) != 1 || v.Issues[0].Reason != fault.ScheduleDisabled {
			t.Errorf("%+v", v)
		}
		w.until(monday, 21, 0, 0)
		if text, e := w.explain(monday, market.Targets); !strings.Contains(text, "--schedule=false") || strings.Contains(text, "decides it within") || e.Slot.State != slot.Pending {
			t.Errorf("%s", text)
		}
	})
}

// TestInvalidScheduleIsCorrected: an invalid schedule in the ledger is shown, and can be corrected over
// the API.
func TestInvalidScheduleIsCorrected(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		spoilt := got(w, w.store.Schedule)
		spoilt.TimeZone = "Asia/Shangai"
		if err := w.store.SaveSchedule(context.Background(), spoilt); err != nil {
			t.Fatal(err)
		}
		w.restart()
		if v := got(w, w.scheduler.Get); v.Schedule.TimeZone != spoilt.TimeZone || !v.NextAt.IsZero() {
			t.Errorf("%+v", v)
		}
		w.until(monday, 20, 0, 0)
		w.change(func(s *slot.Schedule) { s.TimeZone = "Asia/Shanghai" })
		if v := w.slot(monday, market.Targets); v.State != slot.Fired || v.Late == 0 || !strings.Contains(v.LateNote, "Asia/Shangai") {
			t.Errorf("%+v", v)
		}
	})
}

// TestRunAtBeforeTheDataIsDue: if the schedule is before a dataset is due, the schedule and each slot
// say so. Such a slot always has its own run, because only a slot's run gets a follow-up run when the
// rest of the day is due.
func TestRunAtBeforeTheDataIsDue(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		ctx := context.Background()
		w.until(monday, 12, 0, 0)
		w.start()
		w.drain()
		cat := catalog.Catalog{Domains: []catalog.Domain{{ID: "stock"}}, Modules: []catalog.Module{
			{ID: "stock.market.daily", Domain: "stock", Pools: market.Pools(), SyncCapable: true, EnabledByDefault: true, Datasets: []catalog.Dataset{{ID: "daily", DueTime: "17:00"}}},
			{ID: "stock.moneyflow", Domain: "stock", Pools: market.Pools(), SyncCapable: true, EnabledByDefault: true, Datasets: []catalog.Dataset{{ID: "moneyflow", DueTime: "19:00"}}},
		}}
		if err := w.store.SaveCatalog(ctx, cat); err != nil {
			t.Fatal(err)
		}
		warned := func(issues []fault.Issue) string {
			for _, i := range issues {
				if i.Reason == fault.RunAtEarly {
					faulttest.Produces(t, i, fault.RunAtEarly)
					return i.Meta["dataset"]
				}
			}
			return ""
		}
		if v := got(w, w.scheduler.Get); warned(v.Issues) != "" {
			t.Errorf("19:30 is warned about: %+v", v.Issues)
		}
		set := func(runAt string) View {
			return got(w, func(ctx context.Context) (View, error) {
				return w.scheduler.Update(ctx, func(s *slot.Schedule) { s.RunAt = runAt })
			})
		}
		if v := set("18:00"); warned(v.Issues) != "moneyflow" {
			t.Errorf("18:00: %+v", v.Issues)
		}
		if v := set("16:00"); warned(v.Issues) != "daily,moneyflow" {
			t.Errorf("16:00: %+v", v.Issues)
		}
		if v := got(w, w.scheduler.Get); warned(v.Issues) != "daily,moneyflow" {
			t.Errorf("later: %+v", v.Issues)
		}
		if text, e := w.explain(monday, market.Universe); warned(e.Slot.Issues) != "daily,moneyflow" || !strings.Contains(text, "RUN_AT_EARLY: ") {
			t.Errorf("%s", text)
		}
		// A trial by hand is in progress when the slot is due.
		w.until(monday, 15, 59, 0)
		trial := run.Run{ID: newID(), Pool: market.Universe, Mode: run.Manual, Source: run.SourceManual, State: run.Queued, CreatedAt: w.now(),
			Request: run.Request{Start: market.NoDate, End: market.NoDate}}
		if err := w.store.Enqueue(ctx, []run.Run{trial}, nil); err != nil {
			t.Fatal(err)
		}
		w.take(trial)
		w.until(monday, 16, 1, 0)
		if v := w.slot(monday, market.Universe); v.State != slot.Fired || warned(v.Issues) != "daily,moneyflow" {
			t.Errorf("%+v", v)
		}
		if text, _ := w.explain(monday, market.Universe); !strings.Contains(text, "a follow-up run fetches the rest unless the run is blocked.") {
			t.Errorf("%s", text)
		}
		// Without the late module there is nothing to warn about.
		if err := w.store.SaveModule(ctx, "stock.moneyflow", false); err != nil {
			t.Fatal(err)
		}
		if v := set("18:00"); warned(v.Issues) != "" {
			t.Errorf("without moneyflow: %+v", v.Issues)
		}
	})
}

// TestExplainSaysWhenNext: if no queued run fetches what is missing, the next slot is named.
func TestExplainSaysWhenNext(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 19, 30, 0)
		w.start()
		v := w.slot(monday, market.Universe)
		r := got(w, func(ctx context.Context) (run.Run, error) { return w.store.Run(ctx, v.RunID) })
		w.finish(w.take(r), nil, run.End{Outcome: run.Failed, Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "It is refused.")}})
		if text, _ := w.explain(monday, market.Universe); !strings.Contains(text, "Otherwise the slot of 2000-01-04 tries again at 2000-01-04 19:30:00 +08:00 (Shanghai), and fails with the same error.") {
			t.Errorf("%s", text)
		}
		w.pass(time.Minute)
		again := w.manualRun(market.Universe)
		w.finish(w.take(again), nil, run.End{Outcome: run.Unchanged})
		if text, e := w.explain(monday, market.Universe); !strings.Contains(text, "Run "+again.ID+", which started later, ended as UNCHANGED.") || strings.Contains(text, "tries again") || !strings.HasSuffix(e.Next, again.ID) {
			t.Errorf("after a later run: %s\n%s", text, e.Next)
		}
	})
}

// TestExplainForeseesABlockedFile: only the last run knows the result of the check of the pool's file.
func TestExplainForeseesABlockedFile(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		blocked := w.manualRun(market.Universe)
		checking, taken, err := run.Take(blocked, w.now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.Save(context.Background(), run.Update{Run: checking, Events: []run.Event{taken}}); err != nil {
			t.Fatal(err)
		}
		w.finish(checking, nil, run.End{Outcome: run.Blocked, Stage: run.StageAnalysisInit, Issues: []fault.Issue{fault.NewIssue(fault.DiskFull, "1 MB is free.")}})
		want := "It will start, but the last check failed (DISK_FULL). If its cause is not fixed by then, the run is blocked."
		if text, e := w.explain(monday, market.Universe); !strings.Contains(text, want) || e.Next != "df -h" {
			t.Errorf("%s\n%s", text, e.Next)
		}
		w.pass(time.Minute)
		w.finish(w.take(w.manualRun(market.Universe)), nil, run.End{Outcome: run.Succeeded})
		if text, _ := w.explain(monday, market.Universe); !strings.Contains(text, "With the current settings it will run.") {
			t.Errorf("after a run that succeeded: %s", text)
		}
	})
}

// TestExplainForeseesABlockedRun: the explanation of a future slot has the result of the last check.
func TestExplainForeseesABlockedRun(t *testing.T) {
	onMachine(t, always, func(t *testing.T, w *machine) {
		w.until(monday, 12, 0, 0)
		w.start()
		ctx := context.Background()
		cat := catalog.Catalog{
			Domains: []catalog.Domain{{ID: "stock"}}, Providers: []catalog.Provider{{ID: "tushare", Active: true}},
			Modules: []catalog.Module{{ID: "stock.market.daily", Domain: "stock", SyncCapable: true, EnabledByDefault: true, Pools: []market.Pool{market.Universe}}},
		}
		probe := readiness.Probe{
			Module: "stock.market.daily", Status: readiness.Fail, At: w.now(), Fingerprint: "f1", Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "It is refused.")},
		}
		probe.ConfigHash = readiness.ConfigHash(readiness.Facts{Catalog: &cat, Tokens: map[string]readiness.Token{"stock": {Source: "main"}}, ProviderHost: "host"}, &cat.Modules[0])
		token := func(fingerprint string) {
			if err := w.store.SaveTokens(ctx, []readiness.Token{{Domain: "stock", Source: "main", Fingerprint: fingerprint}}, "host", w.now()); err != nil {
				t.Fatal(err)
			}
		}
		token("f1")
		if err := errors.Join(w.store.SaveCatalog(ctx, cat), w.store.SaveProbe(ctx, probe)); err != nil {
			t.Fatal(err)
		}
		want := "It will start, but the last check failed (TOKEN_INVALID). If its cause is not fixed by then, the run is blocked."
		if text, e := w.explain(monday, market.Universe); !strings.Contains(text, want) || e.Next != "afterbell tokens set < token.txt" {
			t.Errorf("%s\n%s", text, e.Next)
		}
		token("f2")
		if text, _ := w.explain(monday, market.Universe); !strings.Contains(text, "With the current settings it will run.") {
			t.Errorf("with another token: %s", text)
		}
	})
}
