package scheduler

import (
	"context"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// named finds a time that is named as one in Shanghai, in either language.
var named = regexp.MustCompile(`(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d)(?: \(Shanghai\)| in Shanghai\)|（上海时间）|）)`)

// saysNext reports whether a text names a time to come in Shanghai, or says that nothing
// comes and which command changes that.
func saysNext(text string, now time.Time) bool {
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		if t, err := time.Parse("2006-01-02 15:04:05 -07:00", m[1]); err == nil && t.After(now) {
			return true
		}
	}
	for _, nothing := range []string{"nothing is fetched until it is resumed: curl", "恢复之前不会获取数据：curl", "othing is scheduled, because", "没有计划的运行，因为"} {
		if _, after, ok := strings.Cut(text, nothing); ok && (strings.HasSuffix(nothing, "curl") || strings.Contains(after, "curl ")) {
			return true
		}
	}
	return false
}

// TestEveryExplanationSaysWhenNext walks all states of slots, runs and follow-up runs, in
// all that can keep a pool from being fetched.
func TestEveryExplanationSaysWhenNext(t *testing.T) {
	missing := fault.NewIssue(fault.NotPublished, "It is not published.")
	missing.Meta = map[string]string{"dataset": "moneyflow", "trade_date": monday.String()}
	refused := fault.NewIssue(fault.TokenInvalid, "It is refused.")
	begun := func(w *machine, r run.Run, to run.State) run.Run {
		now := w.now().Truncate(time.Millisecond)
		var events []run.Event
		step := func(move func(run.Run, time.Time) (run.Run, run.Event, error)) {
			next, e, err := move(r, now)
			if err != nil {
				w.t.Fatal(err)
			}
			r, events = next, append(events, e)
		}
		pause := func(r run.Run, at time.Time) (run.Run, run.Event, error) { return run.Pause(r, at, "") }
		cancel := func(r run.Run, at time.Time) (run.Run, run.Event, error) { return run.AskCancel(r, at, "") }
		switch to {
		case run.Queued:
			return r
		case run.Checking:
			step(run.Take)
		case run.Running, run.Finished:
			step(run.Take)
			step(run.Begin)
		case run.Paused:
			step(run.Take)
			step(pause)
		case run.Cancelling:
			step(run.Take)
			step(cancel)
		default:
			w.t.Fatalf("the state %s is new: what does its explanation say of the next time?", to)
		}
		if _, err := w.store.Save(context.Background(), run.Update{Run: r, Events: events}); err != nil {
			w.t.Fatal(err)
		}
		return r
	}
	ends := func(w *machine, r run.Run, o run.Outcome) {
		end := run.End{Outcome: o}
		switch o {
		case run.Succeeded, run.Unchanged:
		case run.Cancelled:
			w.finish(begun(w, r, run.Cancelling), nil, end)
			return
		case run.Partial:
			end.Issues = []fault.Issue{refused}
		case run.Failed:
			end.Issues = []fault.Issue{refused}
		case run.Blocked:
			end.Stage, end.Issues = run.StageReadiness, []fault.Issue{refused}
			w.finish(begun(w, r, run.Checking), nil, end)
			return
		default:
			w.t.Fatalf("the outcome %s is new: what does its explanation say of the next time?", o)
		}
		w.finish(begun(w, r, run.Running), nil, end)
	}
	type setting = func(w *machine, v *slot.Slot)
	cases := map[string]setting{}
	withRuns := func(state slot.State) {
		own := func(w *machine, v *slot.Slot) run.Run {
			r := run.Run{ID: newID(), Pool: v.Pool, Mode: run.Daily, Source: run.SourceSchedule, SlotID: v.ID, TriggerID: "slot." + v.Date.String(),
				Request: run.Request{Start: market.NoDate, End: market.NoDate}, State: run.Queued, AsOf: market.NoDate, CreatedAt: w.now().Truncate(time.Millisecond)}
			v.RunID = r.ID
			runs := []run.Run{r}
			if state == slot.Covered {
				cover(v, r.ID, "a run")
				r.Source, r.SlotID = run.SourceManual, ""
				if err := w.store.Enqueue(context.Background(), []run.Run{r}, nil); err != nil {
					w.t.Fatal(err)
				}
				runs = nil
			}
			if err := w.store.Settle(context.Background(), []slot.Slot{*v}, runs); err != nil {
				w.t.Fatal(err)
			}
			return r
		}
		for _, s := range run.States() {
			if s != run.Finished {
				cases[string(state)+", its run is "+string(s)] = func(w *machine, v *slot.Slot) { begun(w, own(w, v), s) }
			}
			if state == slot.Covered { // its follow-ups are as those of another slot
				continue
			}
			cases[string(state)+", the follow-up is "+string(s)] = func(w *machine, v *slot.Slot) {
				r := begun(w, own(w, v), run.Running)
				w.finish(r, []run.Partition{{ID: "p", Dataset: "moneyflow", Start: monday, End: monday, State: run.PartitionFailed, Issues: []fault.Issue{missing}}},
					run.End{Outcome: run.Partial, Issues: []fault.Issue{missing}})
				queue := got(w, func(ctx context.Context) ([]run.Run, error) { return w.store.Queue(ctx, v.Pool) })
				if len(queue) != 1 {
					w.t.Fatalf("%d follow-up runs", len(queue))
				}
				if f := begun(w, queue[0], s); s == run.Finished {
					w.finish(f, nil, run.End{Outcome: run.Succeeded})
				}
			}
		}
		for _, o := range run.Outcomes() {
			cases[string(state)+", its run ended as "+string(o)] = func(w *machine, v *slot.Slot) { ends(w, own(w, v), o) }
		}
		cases[string(state)+", its run is gone"] = func(w *machine, v *slot.Slot) {
			ends(w, own(w, v), run.Succeeded)
			if _, err := w.store.Prune(context.Background(), w.now().Add(time.Hour)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	decided := func(why fault.Reason) setting {
		return func(w *machine, v *slot.Slot) {
			v.Issues = []fault.Issue{fault.NewIssue(why, "It was passed over.")}
			if err := w.store.Settle(context.Background(), []slot.Slot{*v}, nil); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	for _, state := range slot.States() {
		switch state {
		case slot.Pending:
			for name, d := range map[string]market.Date{"today, due": monday, "to come": monday + 1, "on a closed day": monday + 5} {
				cases["pending, "+name] = func(_ *machine, v *slot.Slot) {
					v.ID, v.Date = slot.ID(d, v.Pool), d
				}
			}
		case slot.Skipped:
			cases["skipped, closed"], cases["skipped, held back"] = decided(fault.NotTradingDay), decided(fault.SchedulePaused)
			cases["skipped, disabled"] = decided(fault.ScheduleDisabled)
		case slot.Missed:
			cases["missed"] = decided(fault.SlotMissed)
		case slot.Covered, slot.Fired:
			withRuns(state)
		default:
			t.Fatalf("the state %s is new: what does its explanation say of the next time?", state)
		}
	}
	schedule := func(edit func(*slot.Schedule)) func(*machine) {
		return func(w *machine) {
			s := slot.Default()
			edit(&s)
			if err := w.store.SaveSchedule(context.Background(), s); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	plain := schedule(func(*slot.Schedule) {})
	surroundings := map[string]func(*machine){
		"as usual":                 plain,
		"in New York":              schedule(func(s *slot.Schedule) { s.TimeZone, s.RunAt = "America/New_York", "07:30" }),
		"the schedule is paused":   schedule(func(s *slot.Schedule) { s.Paused = true }),
		"the schedule is disabled": schedule(func(s *slot.Schedule) { s.Enabled = false }),
		"without the pool":         schedule(func(s *slot.Schedule) { s.Pools = []market.Pool{market.Targets} }),
		"the process has no schedule": func(w *machine) {
			plain(w)
			w.scheduler.off = true
		},
		"the pool is paused": func(w *machine) {
			plain(w)
			if err := w.store.SetPauseState(context.Background(), market.Universe, run.PauseState{Paused: true, At: w.now()}); err != nil {
				w.t.Fatal(err)
			}
		},
	}
	for name, set := range cases {
		t.Run(name, func(t *testing.T) {
			onMachine(t, always, func(t *testing.T, w *machine) {
				store, err := ledger.Open(context.Background(), ledger.Config{Path: w.path})
				if err != nil {
					t.Fatal(err)
				}
				w.store = store
				w.stop = func() {
					if err := store.Close(); err != nil {
						t.Error(err)
					}
				}
				w.scheduler = New(Config{Ledger: store, Now: w.now, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
				w.until(monday, 20, 0, 0)
				state, _, _ := strings.Cut(name, ",")
				v := slot.Slot{ID: slot.ID(monday, market.Universe), Pool: market.Universe, Date: monday, DueAt: monday.At(19, 30, market.Shanghai), State: slot.State(state), DecidedAt: w.now()}
				set(w, &v)
				for where, surround := range surroundings {
					surround(w)
					said := [][]bilingual.Text{got(w, func(ctx context.Context) (Explanation, error) { return w.scheduler.ExplainSlot(ctx, v.ID) }).Sentences}
					for _, r := range w.runs() {
						said = append(said, got(w, func(ctx context.Context) ([]bilingual.Text, error) {
							sentences, _, err := w.scheduler.ExplainRun(ctx, r)
							return sentences, err
						}))
					}
					for _, sentences := range said {
						for _, chinese := range []bool{false, true} {
							text := strings.Join(bilingual.In(sentences, chinese), "\n")
							if !saysNext(text, w.now()) {
								t.Errorf("%s: it does not say when the pool is fetched next:\n%s", where, text)
							}
							if chinese && (strings.Contains(text, "Shanghai)") || strings.Contains(text, "because")) {
								t.Errorf("%s: it is not in Chinese:\n%s", where, text)
							}
						}
					}
					w.scheduler.off = false
					if err := w.store.SetPauseState(context.Background(), market.Universe, run.PauseState{}); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}
