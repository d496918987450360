package notify_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/dispatch"
	"github.com/afterbell/afterbell/services/orchestrator/internal/ledger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/scheduler"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker/workertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var friday = market.NewDate(2026, 3, 6)

// harness is an orchestrator without its API: ledger, dispatcher, scheduler and notifier over
// a scripted worker, and platforms that keep what they are sent.
type harness struct {
	t     *testing.T
	path  string
	every time.Duration // between two looks
	store *ledger.Store
	srv   *workertest.Server
	disp  *dispatch.Dispatcher
	sched *scheduler.Scheduler
	note  *notify.Notifier
	stop  func()

	mu     sync.Mutex
	sent   map[string][]string // by channel
	tries  map[string][]time.Time
	refuse func(channel string, now time.Time) error
	slow   time.Duration // what a platform takes to answer, and a read of what waits twice that

	late map[string]time.Time // by dataset and date: when the provider has it
	held map[string]bool      // by pool, dataset and date
}

// onFriday runs a test from 19:00 in Shanghai of that Friday on.
func onFriday(t *testing.T, f func(t *testing.T, d *harness)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(friday.At(19, 0, market.Shanghai)))
		d := &harness{t: t, every: 20 * time.Minute, path: filepath.Join(t.TempDir(), ledger.FileName), srv: workertest.New(t), sent: map[string][]string{}, tries: map[string][]time.Time{},
			late: map[string]time.Time{}, held: map[string]bool{}}
		d.srv.OpenDates = []string{"2026-03-05", "2026-03-06", "2026-03-09", "2026-03-10"}
		d.srv.Plan, d.srv.Ingest = d.plan, d.ingest
		d.open()
		if _, err := d.store.SaveTargetSet(t.Context(), targetset.Explicit("600519.SH")); err != nil {
			t.Fatal(err)
		}
		sched := slot.Default()
		sched.RunOnStartup = false
		if err := d.store.SaveSchedule(t.Context(), sched); err != nil {
			t.Fatal(err)
		}
		for _, c := range []notice.Channel{
			{ID: "desk", Kind: notice.DingTalk, Enabled: true, Language: notice.English, URL: "https://x.test/robot?access_token=t"},
			{ID: "hc", Kind: notice.Heartbeat, Enabled: true, Language: notice.English, URL: "https://x.test/ping", Start: true, Fail: true},
			{ID: "off", Kind: notice.Slack, Language: notice.English, URL: "https://x.test/slack"},
		} {
			if err := d.store.SaveChannel(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		d.start()
		f(t, d)
		d.stop()
		if err := d.store.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (d *harness) open() {
	store, err := ledger.Open(context.Background(), ledger.Config{Path: d.path})
	if err != nil {
		d.t.Fatal(err)
	}
	d.store = store
}

func (d *harness) start() {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("AFTERBELL_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	client := d.srv.Client(d.t)
	d.disp = dispatch.New(dispatch.Config{
		Ledger: d.store, Worker: client, Logger: log, Timing: dispatch.Timing{Idle: 10 * time.Minute},
		Preflight: preflight.New(preflight.Config{Ledger: d.store, Worker: client, Logger: log}),
	})
	d.sched = scheduler.New(scheduler.Config{Ledger: d.store, Dispatcher: d.disp, Logger: log, Every: 10 * time.Minute})
	d.note = notify.New(notify.Config{Ledger: slowReads{d.store, d}, Sender: d, Logger: log, Every: d.every,
		Say: strings.NewReplacer("localhost:7780", "desk.test:7790").Replace})
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, part := range []func(context.Context) error{d.disp.Run, d.sched.Run, d.note.Run} {
		all.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				d.t.Error(err)
			}
		})
	}
	d.stop = func() { cancel(); all.Wait() }
}

// slowReads is the ledger with a read of what waits that takes its time.
type slowReads struct {
	*ledger.Store
	desk *harness
}

func (s slowReads) NextDeliveries(ctx context.Context) ([]notice.Delivery, error) {
	all, err := s.Store.NextDeliveries(ctx)
	time.Sleep(2 * s.desk.slow)
	return all, err
}

// restart ends the process and begins a new one.
func (d *harness) restart() {
	d.stop()
	if err := d.store.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
	d.start()
}

// Send keeps what a channel is sent, unless it refuses.
func (d *harness) Send(_ context.Context, c notice.Channel, n notice.Notice, x notice.Delivery) error {
	time.Sleep(d.slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tries[c.ID] = append(d.tries[c.ID], time.Now())
	if d.refuse != nil {
		if err := d.refuse(c.ID, time.Now()); err != nil {
			return err
		}
	}
	text := n.Text(c.Language)
	if c.Kind == notice.Heartbeat {
		text = strings.TrimSpace("ping " + x.Signal)
	}
	d.sent[c.ID] = append(d.sent[c.ID], text)
	return nil
}

// moneyflowAt is when the provider has Friday's moneyflow.
func (d *harness) moneyflowAt(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.late["moneyflow/2026-03-06"] = at
}

// refuses sets what the platforms refuse; nil is nothing.
func (d *harness) refuses(f func(channel string, now time.Time) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuse = f
}

// tried are the moments at which a channel was sent something.
func (d *harness) tried(channel string) []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.tries[channel])
}

// plan plans what is not held of the newest day that is due.
func (d *harness) plan(req *ingestv1.PlanPartitionsRequest) (*ingestv1.PlanPartitionsResponse, error) {
	resp := &ingestv1.PlanPartitionsResponse{}
	if req.GetStage() != ingestv1.PlanStage_PLAN_STAGE_DATA {
		return resp, nil
	}
	day := market.DateOf(time.Now())
	for day.Weekend() || time.Now().Before(day.At(19, 0, market.Shanghai)) {
		day--
	}
	resp.LastTradeDate = day.String()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range [][2]string{{"stock.market.daily", "daily"}, {"stock.moneyflow", "moneyflow"}} {
		spec := workertest.Spec(p[0], p[1], day.String())
		if !d.held[req.GetPool().String()+spec.GetPartitionId()] {
			resp.Partitions = append(resp.Partitions, spec)
		}
	}
	return resp, nil
}

func (d *harness) ingest(_ context.Context, req *ingestv1.IngestPartitionRequest, _ workertest.Beat) (*ingestv1.PartitionResult, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := req.GetPartition().GetPartitionId()
	if time.Now().Before(d.late[id]) {
		return &ingestv1.PartitionResult{Coverage: &marketv1.Coverage{Verdict: marketv1.Verdict_VERDICT_NOT_PUBLISHED}, CallCount: 1}, nil
	}
	d.held[req.GetPool().String()+id] = true
	return workertest.Complete(10), nil
}

// until lets time pass up to a moment of a day in Shanghai.
func (d *harness) until(day market.Date, hour, minute int) {
	d.t.Helper()
	left := time.Until(day.At(hour, minute, market.Shanghai))
	if left < 0 {
		d.t.Fatalf("it is %v already", time.Now())
	}
	time.Sleep(left)
	d.note.Wake() // and then it looks seldom by itself, as looks cost the test's time
	synctest.Wait()
}

// told checks the notices that a channel has received so far: one part of each text, in order.
func (d *harness) told(channel string, parts ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	got := d.sent[channel]
	ok := len(got) == len(parts)
	for i := range min(len(got), len(parts)) {
		ok = ok && strings.Contains(got[i], parts[i])
	}
	if !ok {
		d.t.Errorf("at %v %s was sent:\n%s\nwant parts:\n%s", time.Now(), channel, strings.Join(got, "\n"), strings.Join(parts, "\n"))
	}
}

// universe runs the universe pool by hand.
func (d *harness) run(pools ...market.Pool) {
	d.t.Helper()
	if _, err := d.disp.Create(d.t.Context(), dispatch.CreateRequest{Pools: pools}); err != nil {
		d.t.Fatal(err)
	}
}

const (
	moneyflowLacks = "the data of 2026-03-06 is not complete: targets lacks moneyflow (not published yet), and it is fetched again at 2026-03-06 19:45 (Shanghai); universe lacks moneyflow (not published yet), and it is fetched again at 2026-03-06 19:45 (Shanghai)."
	fridayWhole    = "the data of 2026-03-06 is now complete: targets is complete; universe is complete."
)

// A Friday whose moneyflow is late: one sentence when it lacks, one when it is there, and
// nothing for the attempts in between, over restarts.
func TestLateMoneyflow(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.moneyflowAt(friday.At(20, 35, market.Shanghai))
		d.until(friday, 19, 40)
		d.told("desk", moneyflowLacks)
		d.told("hc", "ping /start", "ping /fail")
		d.restart()
		d.until(friday, 20, 20)
		d.told("desk", moneyflowLacks)
		d.restart()
		d.until(friday, 23, 0)
		d.told("desk", moneyflowLacks, fridayWhole)
		d.told("hc", "ping /start", "ping /fail", "ping")
		d.told("off")
	})
}

// A blocked token is reported once, and so is the late day, with one remedy for both pools. A restart
// does not repeat the notices.
func TestBlockedToken(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.srv.Script(func(s *workertest.Server) {
			s.Probe = func(context.Context, string) (*ingestv1.ModuleProbe, error) {
				return workertest.Found(fault.TokenInvalid), nil
			}
		})
		blocked := "the data of 2026-03-06 is not complete: targets is blocked and lacks all data of the day: the provider rejected the token (TOKEN_INVALID), which needs your action; start a run afterwards (afterbell run targets), otherwise the next one at 2026-03-09 19:30 (Shanghai) fails in the same way; universe is blocked"
		late := "it is past 22:00 (Shanghai) and 2026-03-06 is not complete: targets is blocked"
		d.until(friday, 19, 50)
		d.told("desk", blocked)
		d.restart()
		d.until(friday, 22, 30)
		d.told("desk", blocked, late)
		d.restart()
		d.until(friday+1, 9, 0)
		d.told("desk", blocked, late)
		d.srv.Script(func(s *workertest.Server) { s.Probe = nil })
		d.run(market.Targets, market.Universe)
		d.until(friday+1, 9, 30)
		d.told("desk", blocked, late, fridayWhole)
		d.told("hc", "ping /start", "ping /fail", "ping /fail", "ping")
		list, err := d.store.Notices(t.Context(), 10, "")
		if err != nil || len(list) != 3 || list[2].Pools[1].Remedy == "" || list[2].Pools[1].RunID == "" {
			t.Errorf("kept: %+v, %v", list, err)
		}
	})
}

// A notice has the whole remedy, and its command has the address of this process.
func TestRemedyIsToldWhole(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.srv.Script(func(s *workertest.Server) {
			s.Probe = func(context.Context, string) (*ingestv1.ModuleProbe, error) {
				return workertest.Found(fault.ModuleTestFailed), nil
			}
		})
		d.until(friday, 19, 50)
		d.told("desk", "disable the module until then. To probe it again, run a preflight: curl -N -X POST desk.test:7790/v1/preflights:run -d '{}'")
	})
}

// A worker that is back within a minute or two sends no notice; one that stays away sends one.
func TestKilledWorker(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.until(friday, 19, 29)
		d.srv.Down()
		time.Sleep(2 * time.Minute)
		d.srv.Up()
		d.until(friday, 20, 0)
		d.told("desk", "the data of 2026-03-06 is complete: targets is complete; universe is complete.")
		d.told("hc", "ping /start", "ping")

		d.until(friday+3, 19, 29)
		d.srv.Down()
		d.until(friday+3, 20, 30)
		failed := "the data of 2026-03-09 is not complete: targets failed and lacks all data of the day: the ingest-worker does not respond (WORKER_UNREACHABLE), and it is fetched again at 2026-03-09 "
		d.told("desk", "2026-03-06 is complete", failed)
		d.srv.Up()
		d.until(friday+3, 21, 30)
		d.told("desk", "2026-03-06 is complete", failed, "the data of 2026-03-09 is now complete")
	})
}

// A missed evening is reported: the process did not run and does not catch up, the schedule is paused,
// or a pool is paused.
func TestEveningsThatDidNotHappen(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		if _, err := d.sched.Update(t.Context(), func(s *slot.Schedule) { s.CatchUp = slot.CatchUpNone }); err != nil {
			t.Fatal(err)
		}
		d.until(friday, 19, 10)
		d.stop()
		d.until(friday, 20, 0)
		d.start()
		d.until(friday, 20, 10)
		missed := "targets did not run and lacks all data of the day: the orchestrator was not running (SLOT_MISSED), and the next run starts at 2026-03-09 19:30 (Shanghai); universe did not run"
		d.told("desk", missed)
		d.told("hc", "ping /fail")
		d.until(friday, 21, 0)
		d.run(market.Targets, market.Universe)
		d.until(friday, 22, 30) // it is whole, so it is not late
		d.told("desk", missed, fridayWhole)

		if _, err := d.sched.Pause(t.Context(), "anna: moving house"); err != nil {
			t.Fatal(err)
		}
		d.until(friday+3, 22, 30) // who paused it knows: it is not late
		d.told("desk", missed, fridayWhole, "the data of 2026-03-09 is not complete: targets did not run and lacks all data of the day: the schedule is paused (SCHEDULE_PAUSED), anna: moving house")
	})
}

// A paused pool is reported as paused, and does not delay the notice of the other pool.
func TestHeldPool(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		if _, err := d.disp.Pause(t.Context(), market.Universe, "bert"); err != nil {
			t.Fatal(err)
		}
		d.until(friday, 22, 30)
		held := "targets is complete; universe did not run and lacks all data of the day: the pool is paused (SCHEDULE_PAUSED), bert, and no run is scheduled."
		d.told("desk", held)
		if _, err := d.disp.Resume(t.Context(), market.Universe, ""); err != nil {
			t.Fatal(err)
		}
		d.until(friday, 22, 45)
		d.told("desk", held, "2026-03-06 is now complete: universe is complete.")
	})
}

// A run that hangs delays the evening's notice, so a notice at a fixed hour says that it is late.
func TestHangingRunIsLate(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		release := make(chan struct{})
		d.srv.Script(func(s *workertest.Server) {
			s.Ingest = func(ctx context.Context, req *ingestv1.IngestPartitionRequest, beat workertest.Beat) (*ingestv1.PartitionResult, error) {
				for req.GetPool() == marketv1.Pool_POOL_UNIVERSE {
					select {
					case <-release:
						return d.ingest(ctx, req, beat)
					case <-time.After(45 * time.Second):
						beat(&ingestv1.IngestPartitionResponse_Heartbeat{WaitingApi: "daily", WaitUntilTime: timestamppb.New(time.Now().Add(time.Hour))})
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				return d.ingest(ctx, req, beat)
			}
		})
		d.until(friday, 21, 55)
		d.told("desk")
		d.until(friday, 22, 6)
		d.told("desk", "it is past 22:00 (Shanghai) and 2026-03-06 is not complete: universe has not finished yet.")
		close(release)
		d.until(friday, 22, 15)
		d.told("desk", "not complete", "the data of 2026-03-06 is complete: targets is complete; universe is complete.")
	})
}

// A schedule that runs after the hour of late days has an hour from its slot on.
func TestLateAfterALateSlot(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.moneyflowAt((friday + 1).At(12, 0, market.Shanghai))
		if _, err := d.sched.Update(t.Context(), func(s *slot.Schedule) { s.RunAt = "22:30" }); err != nil {
			t.Fatal(err)
		}
		d.until(friday, 22, 20)
		d.told("desk")
		d.until(friday, 23, 20)
		d.told("desk", "2026-03-06 is not complete")
		d.until(friday, 23, 40)
		d.told("desk", "2026-03-06 is not complete", "it is past 23:30 (Shanghai) and 2026-03-06 is not complete")
	})
}

// A delivery that is taken while the next look reads what waits is not sent again.
func TestALookDuringADeliveryRepeatsNothing(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.stop()
		d.slow, d.every = time.Second, 700*time.Millisecond
		d.start()
		d.until(friday, 19, 40)
		d.told("hc", "ping /start", "ping")
		d.told("desk", "2026-03-06 is complete")
	})
}

// What panics while it sends is a failed attempt of its channel, and stops nothing else.
func TestPanicIsAFailedAttempt(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.refuses(func(channel string, _ time.Time) error {
			if channel == "desk" {
				panic("a bug near https://x.test/robot?access_token=t")
			}
			return nil
		})
		d.until(friday, 19, 40)
		d.told("hc", "ping /start", "ping")
		waiting, err := d.store.Deliveries(t.Context(), "desk", notice.ToSend, 10, "")
		if err != nil || len(waiting) != 1 || !strings.Contains(waiting[0].Error, "it panicked: a bug near …") {
			t.Errorf("%+v, %v", waiting, err)
		}
	})
}

// A platform that refuses loses nothing: what waits is tried again with growing pauses, as
// late as it asks, over restarts, and arrives in order; another channel is not kept waiting.
func TestRefusalsLoseNothing(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.moneyflowAt(friday.At(20, 5, market.Shanghai))
		until := friday.At(23, 30, market.Shanghai)
		d.refuses(func(channel string, now time.Time) error {
			if channel == "desk" && now.Before(until) {
				return &notify.Refusal{Why: "HTTP 429: slow down", RetryAfter: 15 * time.Minute}
			}
			return nil
		})
		d.until(friday, 21, 0)
		d.told("desk")
		d.told("hc", "ping /start", "ping /fail", "ping")
		health, err := d.store.ChannelHealth(t.Context(), time.Time{})
		if h := health["desk"]; err != nil || h.Waiting != 2 || h.FailingSince.IsZero() || h.Error != "HTTP 429: slow down" {
			t.Errorf("health: %+v, %v", h, err)
		}
		d.restart()
		d.until(friday+1, 2, 0)
		d.told("desk", moneyflowLacks, fridayWhole)
		tries := d.tried("desk")
		for i := 1; i < len(tries) && tries[i].Before(until); i++ {
			if pause := tries[i].Sub(tries[i-1]); pause < 15*time.Minute {
				t.Errorf("tried again after %s, asked for 15 m", pause)
			}
		}
		health, err = d.store.ChannelHealth(t.Context(), time.Time{})
		if h := health["desk"]; err != nil || h.Waiting != 0 || !h.FailingSince.IsZero() || h.Error != "" || h.SentAt.IsZero() {
			t.Errorf("health afterwards: %+v, %v", h, err)
		}
	})
}

// After a day it is given up, and shows as such; a change of the channel lets what still
// waits be tried at once.
func TestGivenUpAfterADay(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.moneyflowAt(friday.At(23, 0, market.Shanghai))
		refusing := true
		d.refuses(func(channel string, _ time.Time) error {
			if channel == "desk" && refusing {
				return fmt.Errorf("dial tcp: no route to https://x.test/robot?access_token=t")
			}
			return nil
		})
		d.until(friday+1, 19, 40)
		failed, err := d.store.Deliveries(t.Context(), "desk", notice.GivenUp, 10, "")
		if err != nil || len(failed) != 1 || failed[0].Attempts < 20 || strings.Contains(failed[0].Error, "access_token") {
			t.Fatalf("given up: %+v, %v", failed, err)
		}
		d.mu.Lock()
		refusing = false
		d.mu.Unlock()
		c, err := d.store.Channel(t.Context(), "desk")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.store.SaveChannel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		d.until(friday+1, 20, 0)
		d.told("desk", "it is past 22:00", fridayWhole)
	})
}

// A process that is killed between the end of a run and the notice, or between the notice and its
// delivery, sends it once after its restart.
func TestDeathInBetween(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		d.until(friday, 19, 20)
		d.stop()
		// The run ends while no process is running.
		runs := []run.Run{{Pool: market.Targets, Mode: run.Daily, Source: run.SourceSchedule, SlotID: "2026-03-06.targets", Request: run.Request{Start: market.NoDate, End: market.NoDate}, AsOf: market.NoDate}}
		v := slot.Slot{ID: "2026-03-06.targets", Pool: market.Targets, Date: friday, DueAt: friday.At(19, 30, market.Shanghai), State: slot.Fired}
		d.until(friday, 19, 30)
		v.DecidedAt, runs[0].ID, runs[0].CreatedAt = time.Now(), ledger.NewID(), time.Now()
		v.RunID = runs[0].ID
		u := v
		u.ID, u.Pool, u.State, u.RunID = "2026-03-06.universe", market.Universe, slot.Missed, ""
		u.Issues = []fault.Issue{fault.NewIssue(fault.SlotMissed, "Nothing was there.")}
		if err := d.store.Settle(t.Context(), []slot.Slot{v, u}, runs); err != nil {
			t.Fatal(err)
		}
		taken, e1, err1 := run.Take(runs[0], time.Now())
		begun, e2, err2 := run.Begin(taken, time.Now())
		done, e3, err3 := run.Finish(begun, time.Now(), run.End{Outcome: run.Unchanged})
		if err1 != nil || err2 != nil || err3 != nil {
			t.Fatal(err1, err2, err3)
		}
		if _, err := d.store.Save(t.Context(), run.Update{Run: done, Events: []run.Event{e1, e2, e3}}); err != nil {
			t.Fatal(err)
		}
		// Back: the notice is stored, and the process dies before it is sent.
		d.refuses(func(string, time.Time) error { return &notify.Refusal{Why: "the process dies here"} })
		d.start()
		d.until(friday, 19, 36)
		d.restart()
		d.refuses(nil)
		d.until(friday, 19, 40)
		d.told("desk", "targets is complete; universe did not run and lacks all data of the day: the orchestrator was not running")
		told, err := d.store.NoticesOf(t.Context(), friday)
		if kinds := each(told); err != nil || !slices.Equal(kinds, []notice.Kind{notice.Started, notice.Evening}) {
			t.Errorf("kept: %v, %v", kinds, err)
		}
		// The same topic is never stored twice.
		again := told[1]
		again.ID = ledger.NewID()
		if added, err := d.store.AddNotice(t.Context(), again); added || err != nil {
			t.Errorf("added %v, %v", added, err)
		}
	})
}

func each(all []notice.Notice) (kinds []notice.Kind) {
	for _, n := range all {
		kinds = append(kinds, n.Kind)
	}
	return kinds
}

// A test is sent at once and returns the platform's response without secrets.
func TestTest(t *testing.T) {
	onFriday(t, func(t *testing.T, d *harness) {
		if err := d.note.Test(t.Context(), "off"); err != nil {
			t.Error(err)
		}
		d.told("off", "this is a test")
		d.refuses(func(string, time.Time) error { return fmt.Errorf("no: https://x.test/slack") })
		if err := d.note.Test(t.Context(), "off"); err == nil || err.Error() != "no: …" {
			t.Errorf("refused: %v", err)
		}
		if err := d.note.Test(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
			t.Errorf("no such channel: %v", err)
		}
		left, leave := context.WithCancel(t.Context())
		d.refuses(func(string, time.Time) error { leave(); return left.Err() })
		if err := d.note.Test(left, "off"); err == nil {
			t.Error("a caller that left got an answer")
		}

		// Each is kept with its end, newest first, and neither an evening nor the state of
		// the channel counts it.
		var got []string
		kept, err := d.store.Deliveries(t.Context(), "off", "", 10, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range kept {
			n, err := d.store.Notice(t.Context(), v.NoticeID)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %d %q %q", n.Kind, v.State, v.Attempts, v.Error, n.Date))
		}
		want := []string{`test given_up 1 "context canceled" ""`, `test given_up 1 "no: …" ""`, `test sent 1 "" ""`}
		if !slices.Equal(got, want) {
			t.Errorf("kept:\n%s", strings.Join(got, "\n"))
		}
		if all, err := d.store.Notices(t.Context(), 10, ""); err != nil || len(all) != 3 {
			t.Errorf("%d notices are listed, %v", len(all), err)
		}
		health, err := d.store.ChannelHealth(t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if h := health["off"]; h.GivenUp != 0 || h.Error != "" || h.SentAt.IsZero() {
			t.Errorf("the channel's state is %+v", h)
		}
	})
}
