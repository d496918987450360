// Package notify sends notices: it reads the ledger, stores each due notice with a delivery
// per channel, and sends the deliveries until they are accepted or a day has passed.
//
// It is level-triggered and keeps no state in memory: what to send follows from the runs
// and slots in the ledger, and sent notices are stored there, too. So a process that is
// killed in between sends nothing twice and forgets nothing. A platform may get a message
// twice if the process is killed between its acceptance and the write; the receiver of a
// webhook can recognize it by the delivery's ID. No run ever waits for this package.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/preflight"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Ledger stores notices; *ledger.Store implements it.
type Ledger interface {
	preflight.FactStore
	Schedule(ctx context.Context) (slot.Schedule, error)
	// Slots lists slots by ID, newest first.
	Slots(ctx context.Context, pool market.Pool, limit int, before string) ([]slot.Slot, error)
	Queue(ctx context.Context, pool market.Pool) ([]run.Run, error)
	Unfinished(ctx context.Context) ([]run.Run, error)
	PauseState(ctx context.Context, pool market.Pool) (run.PauseState, error)
	// EndedSince lists the runs of a pool that ended after a time, in the order of their ends.
	EndedSince(ctx context.Context, pool market.Pool, since time.Time) ([]run.Run, error)
	// DayOf returns a finished run with its results for a day.
	DayOf(ctx context.Context, r run.Run, d market.Date) (notice.Ended, error)

	// NoticesOf lists the notices of a trade date, oldest first.
	NoticesOf(ctx context.Context, d market.Date) ([]notice.Notice, error)
	// AddNotice stores a notice and its deliveries in one transaction. It does nothing if a
	// notice with the key exists.
	AddNotice(ctx context.Context, n notice.Notice) (added bool, err error)
	Notice(ctx context.Context, id string) (notice.Notice, error)
	Channel(ctx context.Context, id string) (notice.Channel, error)
	// NextDeliveries is the oldest waiting delivery of each channel.
	NextDeliveries(ctx context.Context) ([]notice.Delivery, error)
	SaveDelivery(ctx context.Context, d notice.Delivery) error
	RetryChannel(ctx context.Context, id string) error
	// AddTest stores a test with its delivery, which has ended.
	AddTest(ctx context.Context, n notice.Notice, d notice.Delivery) error
}

// Refusal is a failed attempt.
type Refusal struct {
	// Why it failed, without anything secret.
	Why string
	// RetryAfter is the pause that the platform asked for. Zero if none.
	RetryAfter time.Duration
}

// Error is the reason.
func (r *Refusal) Error() string { return r.Why }

// Sender sends a notice to a platform; *messenger.Messenger implements it. An error is a
// *Refusal, or that of ctx.
type Sender interface {
	Send(ctx context.Context, c notice.Channel, n notice.Notice, d notice.Delivery) error
}

// Config is the configuration of a Notifier.
type Config struct {
	// Ledger that stores notices.
	Ledger Ledger
	// Sender that delivers.
	Sender Sender
	// Logger gets one line per notice and per failed delivery.
	Logger *slog.Logger
	// Now is the wall clock; nil means time.Now.
	Now func() time.Time
	// Every is the longest time between two checks. 0 means 10 s.
	Every time.Duration
	// Say changes the commands in a remedy so that they reach this process; nil if they need
	// no change.
	Say func(text string) string
}

// Notifier sends notices. It is safe for concurrent use.
type Notifier struct {
	cfg  Config
	poke chan struct{}
	days map[runDay]notice.Ended // used by Run's goroutine only

	mu      sync.Mutex
	sending map[string]bool // channels with a delivery in progress
	tasks   sync.WaitGroup
}

type runDay struct {
	run string
	day market.Date
}

// sendTime limits one attempt.
const sendTime = 30 * time.Second

// New returns a notifier. It does nothing until Run.
func New(cfg Config) *Notifier {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Every <= 0 {
		cfg.Every = 10 * time.Second
	}
	return &Notifier{cfg: cfg, poke: make(chan struct{}, 1), days: map[runDay]notice.Ended{}, sending: map[string]bool{}}
}

// now is the wall clock in milliseconds, as the ledger stores it.
func (n *Notifier) now() time.Time { return n.cfg.Now().Round(0).Truncate(time.Millisecond) }

// Run sends notices until ctx ends, and returns nil then. Errors are logged and retried at
// the next check.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.tasks.Wait()
	for {
		if err := guarded(func() error { return n.check(ctx) }); err != nil && ctx.Err() == nil {
			n.cfg.Logger.ErrorContext(ctx, "The state for notices could not be read; retrying.", "error", err, "cause", errors.Unwrap(err))
		}
		if err := n.deliver(ctx); err != nil && ctx.Err() == nil {
			n.cfg.Logger.ErrorContext(ctx, "Notices could not be sent; retrying.", "error", err, "cause", errors.Unwrap(err))
		}
		timer := time.NewTimer(n.cfg.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-n.poke:
			timer.Stop()
		}
	}
}

// Wake makes Run check at once. It does not block.
func (n *Notifier) Wake() {
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

// check stores the notices that are due now.
func (n *Notifier) check(ctx context.Context) error {
	w, err := n.common(ctx)
	if err != nil {
		return err
	}
	day, ok, err := n.evening(ctx, w)
	if err != nil {
		return err
	}
	if ok {
		if err := n.tellEvening(ctx, w, day); err != nil {
			return err
		}
	}
	return n.tellLate(ctx, w)
}

// common is the part of the facts that does not depend on the day.
type common struct {
	now      time.Time
	schedule slot.Schedule
	calendar slot.Calendar
	facts    readiness.Facts
	open     []run.Run
	lateAt   string
}

func (n *Notifier) common(ctx context.Context) (w common, err error) {
	w.now = n.now()
	if w.schedule, err = n.cfg.Ledger.Schedule(ctx); err != nil {
		return w, err
	}
	if w.calendar, err = n.cfg.Ledger.Calendar(ctx); err != nil {
		return w, err
	}
	if w.facts, err = preflight.LoadFacts(ctx, n.cfg.Ledger, nil); err != nil {
		return w, err
	}
	set, err := n.cfg.Ledger.Settings(ctx)
	if err != nil {
		return w, err
	}
	w.lateAt = set.LateAt
	w.open, err = n.cfg.Ledger.Unfinished(ctx)
	return w, err
}

// evening is the newest trading day whose slots were decided.
func (n *Notifier) evening(ctx context.Context, w common) (day market.Date, ok bool, err error) {
	before := ""
	for range 10 { // several pages: closed days are between
		page, err := n.cfg.Ledger.Slots(ctx, "", 50, before)
		if err != nil || len(page) == 0 {
			return market.NoDate, false, err
		}
		for _, v := range page {
			if v.DecidedAt.After(w.now.Add(run.ClockSlack)) || !w.schedule.Fires(v.Pool) {
				continue
			}
			if d, ok := notice.EveningOf(v, w.calendar); ok {
				return d, true, nil
			}
		}
		before = page[len(page)-1].ID
	}
	return market.NoDate, false, nil
}

// judge returns the state of each scheduled pool for a day.
func (n *Notifier) judge(ctx context.Context, w common, day market.Date) (pools []notice.Judged, err error) {
	for _, pool := range market.Pools() {
		if !w.schedule.Fires(pool) {
			continue
		}
		f := notice.Facts{Pool: pool, Day: day, Due: run.LastHour(day)}
		if w.facts.Catalog != nil {
			f.Due = run.DueOn(*w.facts.Catalog, readiness.Select(pool, w.facts).Modules, day)
		}
		f.NoSymbols = pool == market.Targets && len(w.facts.Kinds) == 0
		if f.Slot, err = n.slotOf(ctx, w, pool, day); err != nil {
			return nil, err
		}
		since := f.Due
		if f.Slot != nil && f.Slot.DueAt.Before(since) {
			since = f.Slot.DueAt
		}
		// Waiting runs first: a run that leaves the queue or ends meanwhile is then in one of
		// both lists, and a check that is too early is repaired by the next one.
		queue, err := n.cfg.Ledger.Queue(ctx, pool)
		if err != nil {
			return nil, err
		}
		f.Waiting = queue
		for _, r := range w.open {
			if r.Pool == pool {
				f.Waiting = append(f.Waiting, r)
			}
		}
		if f.PauseState, err = n.cfg.Ledger.PauseState(ctx, pool); err != nil {
			return nil, err
		}
		if f.Runs, err = n.ended(ctx, pool, since, day); err != nil {
			return nil, err
		}
		if next, ok := w.schedule.NextDue(w.calendar, w.now, day); ok {
			f.NextSlot = next.At
		}
		pools = append(pools, notice.Judge(f))
	}
	return pools, nil
}

// ended are the runs of a pool that ended after a time, with the results of each for a day.
// A finished run does not change, so it is read once.
func (n *Notifier) ended(ctx context.Context, pool market.Pool, since time.Time, day market.Date) ([]notice.Ended, error) {
	runs, err := n.cfg.Ledger.EndedSince(ctx, pool, since)
	if err != nil {
		return nil, err
	}
	const most = 1000 // a few weeks
	if len(n.days) > most {
		clear(n.days)
	}
	all := make([]notice.Ended, len(runs))
	for i, r := range runs {
		of := runDay{r.ID, day}
		e, known := n.days[of]
		if !known {
			if e, err = n.cfg.Ledger.DayOf(ctx, r, day); err != nil {
				return nil, err
			}
			n.days[of] = e
		}
		all[i] = e
	}
	return all, nil
}

// slotOf is the slot of a pool that began the evening of a day, or nil. If closed days have
// slots, too, several belong to one day.
func (n *Notifier) slotOf(ctx context.Context, w common, pool market.Pool, day market.Date) (found *slot.Slot, err error) {
	page, err := n.cfg.Ledger.Slots(ctx, pool, 50, "")
	if err != nil {
		return nil, err
	}
	for i := range page {
		v := &page[i]
		d, ok := notice.EveningOf(*v, w.calendar)
		switch {
		case !ok || v.DecidedAt.After(w.now.Add(run.ClockSlack)):
		case d == day:
			found = v
		case d < day:
			return found, nil
		}
	}
	return found, nil
}

func (n *Notifier) tellEvening(ctx context.Context, w common, day market.Date) error {
	pools, err := n.judge(ctx, w, day)
	if err != nil {
		return err
	}
	told, err := n.cfg.Ledger.NoticesOf(ctx, day)
	if err != nil {
		return err
	}
	if what, ok := notice.DecideStarted(day, pools, told, w.now); ok {
		if err := n.add(ctx, what); err != nil {
			return err
		}
	}
	if what, ok := notice.Decide(day, pools, told, w.now); ok {
		return n.add(ctx, what)
	}
	return nil
}

// tellLate stores a notice about the newest trading day if it is past late_at.
func (n *Notifier) tellLate(ctx context.Context, w common) error {
	at, err := slot.ParseClock(w.lateAt)
	if err != nil {
		return nil //nolint:nilerr // an empty setting disables it
	}
	today := market.DateOf(w.now)
	at = max(at, afterSlot(w.schedule, today))
	if !w.calendar.IsOpen(today) || w.now.Before(at.On(today, market.Shanghai)) {
		return nil
	}
	told, err := n.cfg.Ledger.NoticesOf(ctx, today)
	if err != nil {
		return err
	}
	for _, t := range told {
		if t.Kind == notice.Late {
			return nil
		}
	}
	pools, err := n.judge(ctx, w, today)
	if err != nil {
		return err
	}
	if what, ok := notice.DecideLate(today, at, pools, told, w.now); ok {
		return n.add(ctx, what)
	}
	return nil
}

// slotTime is the time after its slot before a day can be late.
const slotTime = time.Hour

// afterSlot is an hour after the slot of a day, by the clock in Shanghai, so that a late
// schedule does not send a late notice each evening. If that is on the next day, the day
// cannot be late.
func afterSlot(s slot.Schedule, day market.Date) slot.Clock {
	due, err := s.DueAt(day)
	if err != nil || !s.Enabled {
		return 0
	}
	minutes := due.Add(slotTime).Sub(day.At(0, 0, market.Shanghai)) / time.Minute
	return slot.Clock(max(minutes, 0))
}

func (n *Notifier) add(ctx context.Context, what notice.Notice) error {
	what.ID = newID()
	added, err := n.cfg.Ledger.AddNotice(ctx, what)
	if err == nil && added {
		n.cfg.Logger.InfoContext(ctx, "A notice was stored.", "notice", what.ID, "topic", what.Key, "text", what.Text(notice.English))
	}
	return err
}

// deliver starts the due deliveries, one per channel at a time.
func (n *Notifier) deliver(ctx context.Context) error {
	// Before the read: a delivery that is accepted during the read may be read as still
	// waiting.
	busy := n.busy()
	due, err := n.cfg.Ledger.NextDeliveries(ctx)
	if err != nil {
		return err
	}
	for _, d := range due {
		if busy[d.ChannelID] || d.NextAt.After(n.now()) && !ahead(d, n.now()) {
			continue
		}
		n.begin(d.ChannelID)
		n.tasks.Go(func() {
			again := n.attempt(ctx, d)
			n.end(d.ChannelID)
			if again {
				n.Wake() // the next one of the channel need not wait for the ticker
			}
		})
	}
	return nil
}

// ahead reports whether a clock that was ahead has postponed a delivery.
func ahead(d notice.Delivery, now time.Time) bool {
	return d.CreatedAt.After(now.Add(run.ClockSlack))
}

// busy are the channels with a delivery in progress. Only Run's goroutine starts one.
func (n *Notifier) busy() map[string]bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.sending)
}

func (n *Notifier) begin(channel string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sending[channel] = true
}

func (n *Notifier) end(channel string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.sending, channel)
}

// attempt tries a delivery once and stores the result. It returns whether the next one may
// be tried at once.
func (n *Notifier) attempt(ctx context.Context, d notice.Delivery) (again bool) {
	log := n.cfg.Logger.With("channel", d.ChannelID, "notice", d.NoticeID, "attempt", d.Attempts+1)
	what, err := n.cfg.Ledger.Notice(ctx, d.NoticeID)
	if err != nil {
		log.ErrorContext(ctx, "A notice cannot be read.", "error", err)
		return false
	}
	c, err := n.cfg.Ledger.Channel(ctx, d.ChannelID)
	if err != nil {
		return false // it was deleted meanwhile, or the next check reports the error
	}
	err = n.send(ctx, c, what, d)
	if ctx.Err() != nil {
		return false // the process stops; the attempt does not count
	}
	if err == nil {
		d = d.Done(n.now())
	} else {
		var refused *Refusal
		after := time.Duration(0)
		if errors.As(err, &refused) {
			after = refused.RetryAfter
		}
		d = d.Failed(n.now(), c.Redact(err.Error()), after)
	}
	if err := n.cfg.Ledger.SaveDelivery(context.WithoutCancel(ctx), d); err != nil {
		log.ErrorContext(ctx, "The result of a delivery could not be stored; the delivery is repeated.", "error", err)
		return false
	}
	switch d.State {
	case notice.Sent:
		log.InfoContext(ctx, "A notice was delivered.")
	case notice.GivenUp:
		log.ErrorContext(ctx, "A notice was dropped after one day of failed attempts.", "error", d.Error)
	default:
		log.WarnContext(ctx, "A notice could not be delivered; retrying.", "error", d.Error, "next", d.NextAt)
	}
	return d.State != notice.ToSend
}

func (n *Notifier) send(ctx context.Context, c notice.Channel, what notice.Notice, d notice.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	if n.cfg.Say != nil {
		what.Pools = slices.Clone(what.Pools)
		for i := range what.Pools {
			what.Pools[i].Remedy = n.cfg.Say(what.Pools[i].Remedy)
		}
	}
	return guarded(func() error { return n.cfg.Sender.Send(ctx, c, what, d) })
}

// guarded turns a panic into an error: a notice must not stop the process.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// Test sends a message to a channel at once, and stores it with the result. The error is a
// *Refusal if the platform did not accept it. If it did, waiting deliveries are tried at
// once.
func (n *Notifier) Test(ctx context.Context, id string) error {
	c, err := n.cfg.Ledger.Channel(ctx, id)
	if err != nil {
		return err
	}
	what := notice.NewTest(newID(), n.now())
	d := notice.Delivery{ID: newID(), NoticeID: what.ID, ChannelID: id, CreatedAt: what.CreatedAt}
	sent := n.send(ctx, c, what, d)
	if sent == nil {
		d = d.Done(n.now())
	} else {
		d = d.Abandoned(n.now(), c.Redact(sent.Error()))
	}
	// Even if the caller has disconnected: the platform may have accepted it.
	if err := n.cfg.Ledger.AddTest(context.WithoutCancel(ctx), what, d); err != nil {
		return err
	}
	if sent != nil {
		if _, known := fault.As(sent); known || ctx.Err() != nil {
			return sent
		}
		return &Refusal{Why: d.Error}
	}
	if err := n.cfg.Ledger.RetryChannel(ctx, id); err != nil {
		return err
	}
	n.Wake()
	return nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }
