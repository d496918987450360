package afterbell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // the zone must resolve on machines without zone files

	"golang.org/x/sync/errgroup"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
)

// Shanghai is the time zone of every trade date and due time.
var Shanghai = mustZone("Asia/Shanghai")

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err) // the zone database is linked in, so this is a build error
	}
	return zone
}

// Verdict is whether an evening's data is complete.
type Verdict string

// The verdicts.
const (
	// Whole: every dataset of every enabled module is settled.
	Whole Verdict = "whole"
	// Blocked: something is missing, and a check blocks the next run until a user acts.
	Blocked Verdict = "blocked"
	// NotWhole: something is missing.
	NotWhole Verdict = "not_whole"
	// NotDue: the data is not due yet, or the evening's run has not started.
	NotDue Verdict = "not_due"
	// Empty: the pool is targets and its list has no symbols, so there is nothing to check.
	Empty Verdict = "empty"
)

// Verdicts lists every verdict.
func Verdicts() []Verdict { return []Verdict{Whole, Blocked, NotWhole, NotDue, Empty} }

// EveningRequest says which evening to check.
type EveningRequest struct {
	// Pool to check. Required.
	Pool marketv1.Pool
	// Date is the trade date, "YYYY-MM-DD". If the exchange was closed on it, the previous
	// trading day is used. Empty means the last evening that was due.
	Date string
	// From is the first trade date to check, "YYYY-MM-DD". Empty means only Date.
	From string
	// Strict counts a date that was accepted short as missing.
	Strict bool
}

// Evening is what is stored of a trade date in a pool, and what happens next.
type Evening struct {
	// Pool checked.
	Pool marketv1.Pool
	// Verdict says whether it is complete.
	Verdict Verdict
	// Date is the trade date that was checked. Empty if there is none, as for targets without
	// symbols.
	Date string
	// ClosedDate is the requested date if the exchange was closed on it. Otherwise empty.
	ClosedDate string
	// Coverages are the datasets that count: snapshots, then by date. Disabled modules are not
	// among them.
	Coverages []*marketv1.Coverage
	// Lacking are those of Coverages that are not settled.
	Lacking []*marketv1.Coverage
	// PendingDatasetIDs are datasets that are not due yet.
	PendingDatasetIDs []string
	// DisabledModuleIDs are modules that the pool could store and that are disabled.
	DisabledModuleIDs []string
	// NothingCounted is true if no dataset is stored or expected on the dates, for example
	// before the first listing of any symbol. The verdict is then never Whole.
	NothingCounted bool
	// Paused is whether the pool is paused.
	Paused bool
	// Note says who paused the pool, and why. Empty if not given.
	Note string
	// Run is the run in progress, or else the queued one that starts next. Nil if there is
	// none.
	Run *orchestratorv1.Run
	at  time.Time // when it was checked
	// LastRun is the last finished run. Nil if there is none.
	LastRun *orchestratorv1.Run
	// Issues say why it is not complete, worst first.
	Issues []*faultv1.Issue
	// NextTime is when something of it is fetched next automatically. Zero if it is
	// complete or nothing is scheduled.
	NextTime time.Time
	// NextRunTime is when the next run of the pool starts, even if it fetches other data. Zero if
	// none is scheduled, a queued one starts now, or the pool is paused.
	NextRunTime time.Time
}

// Fetching is the run that is in progress or starts next without waiting for a time. Nil if
// there is none.
func (e *Evening) Fetching() *orchestratorv1.Run {
	r := e.Run
	if r == nil || e.Paused {
		return nil
	}
	if t := r.GetNotBeforeTime(); r.GetState() == orchestratorv1.Run_STATE_QUEUED && t != nil && t.AsTime().After(e.at) {
		return nil
	}
	return r
}

// Settled reports whether nothing is left to fetch for a verdict. With strict, accepted
// short does not count.
func Settled(v marketv1.Verdict, strict bool) bool {
	switch v {
	case marketv1.Verdict_VERDICT_COMPLETE, marketv1.Verdict_VERDICT_EXPECTED_EMPTY:
		return true
	case marketv1.Verdict_VERDICT_ACCEPTED_SHORT:
		return !strict
	}
	return false
}

// lookBack is how many calendar days before a date are searched for a trading day: longer
// than any closure of the exchange.
const lookBack = 31

// Evening checks whether a trade date is complete in a pool. It fails with ErrUnreachable or
// ErrWorkerUnreachable if that cannot be determined.
func (c *Client) Evening(ctx context.Context, req EveningRequest) (*Evening, error) {
	all, err := c.Evenings(ctx, req)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

// Evenings is Evening for several requests, in their order. Data for all of them is
// requested once.
func (c *Client) Evenings(ctx context.Context, reqs ...EveningRequest) ([]*Evening, error) {
	all := make([]facts, len(reqs))
	pools := make([]marketv1.Pool, len(reqs))
	now := c.now()
	for i, req := range reqs {
		if poolName(req.Pool) == "" {
			return nil, fmt.Errorf("a pool is required: %s or %s", marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE)
		}
		for _, date := range []struct{ name, value string }{{"date", req.Date}, {"from", req.From}} {
			if _, err := time.Parse(time.DateOnly, date.value); date.value != "" && err != nil {
				return nil, fmt.Errorf("%s %.20q is not a date of the form YYYY-MM-DD", date.name, date.value)
			}
		}
		all[i] = facts{now: now, today: now.In(Shanghai).Format(time.DateOnly), req: req}
		pools[i] = req.Pool
	}
	var domains []*orchestratorv1.DomainSetting
	var schedule *orchestratorv1.Schedule
	var verdicts []*orchestratorv1.PoolVerdict
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		r, err := c.Modules.ListDomains(gctx, &orchestratorv1.ListDomainsRequest{})
		domains = r.GetDomains()
		return err
	})
	g.Go(func() error {
		r, err := c.Schedule.GetSchedule(gctx, &orchestratorv1.GetScheduleRequest{})
		schedule = r.GetSchedule()
		return err
	})
	g.Go(func() error {
		slices.Sort(pools)
		r, err := c.Modules.GetReadiness(gctx, &orchestratorv1.GetReadinessRequest{Pools: slices.Compact(pools)})
		verdicts = r.GetVerdicts()
		return err
	})
	for i := range all {
		c.gather(gctx, g, &all[i])
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	evenings := make([]*Evening, len(all))
	for i := range all {
		f := &all[i]
		f.domains, f.schedule = domains, schedule
		if n := slices.IndexFunc(verdicts, func(v *orchestratorv1.PoolVerdict) bool { return v.GetPool() == f.req.Pool }); n >= 0 {
			f.readiness = verdicts[n]
		}
		evenings[i] = f.judge()
	}
	return evenings, nil
}

// gather requests the data for the pool of one request.
func (c *Client) gather(ctx context.Context, g *errgroup.Group, f *facts) {
	name, asked := poolName(f.req.Pool), f.today
	if f.req.Date != "" {
		asked = min(f.req.Date, f.today)
	}
	start := dayBefore(asked, lookBack)
	if f.req.From != "" {
		start = min(start, f.req.From)
	}
	g.Go(func() error {
		r, err := c.Pools.GetPool(ctx, &orchestratorv1.GetPoolRequest{Pool: name})
		f.pool = r.GetPool()
		return err
	})
	g.Go(func() error {
		r, err := c.Pools.ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{Pool: name, StartDate: start, EndDate: asked})
		f.coverages = r.GetCoverages()
		return err
	})
	g.Go(func() error {
		r, err := c.Schedule.ListSlots(ctx, &orchestratorv1.ListSlotsRequest{Pool: f.req.Pool})
		f.slots = r.GetSlots()
		return err
	})
	if f.req.Pool == marketv1.Pool_POOL_TARGETS {
		g.Go(func() error {
			r, err := c.Targets.GetTargets(ctx, &orchestratorv1.GetTargetsRequest{})
			f.emptyTargets = err == nil && len(r.GetResolved()) == 0
			return err
		})
	}
}

// WaitEvening checks an evening repeatedly until it is Whole or Empty, or is Blocked and
// nothing scheduled could unblock it, or ctx ends. It returns the last result, in the last
// case together with the context's error. It waits for an orchestrator or worker that is
// unreachable. each, which may be nil, is called with every result.
func (c *Client) WaitEvening(ctx context.Context, req EveningRequest, each func(*Evening)) (*Evening, error) {
	var last *Evening
	for {
		e, err := c.Evening(ctx, req)
		switch {
		case err == nil:
			last = e
			if each != nil {
				each(e)
			}
			if e.Verdict == Whole || e.Verdict == Empty || e.Verdict == Blocked && e.NextTime.IsZero() {
				return e, nil
			}
		case ctx.Err() != nil:
			return last, context.Cause(ctx)
		case !errors.Is(err, ErrUnreachable) && !errors.Is(err, ErrWorkerUnreachable):
			return last, err
		}
		if err := c.pause(ctx, e); err != nil {
			return last, err
		}
	}
}

const (
	// shortestLook and longestLook limit the time between two checks; awayLook is the time
	// between two while no check is possible.
	shortestLook = time.Second
	awayLook     = 2 * time.Second
	longestLook  = 30 * time.Second
)

// pause waits until the next check: until the run in progress ends, until the next
// scheduled event, or for a while.
func (c *Client) pause(ctx context.Context, e *Evening) error {
	wait := longestLook
	if e == nil {
		wait = awayLook
	} else if e.Run.GetState() == orchestratorv1.Run_STATE_RUNNING {
		ctx, cancel := context.WithTimeout(ctx, longestLook)
		defer cancel()
		for event, err := range c.Events(ctx, e.Run.GetRunId(), 0) {
			if err != nil || event.GetFinished() != nil {
				break
			}
		}
		wait = shortestLook
	} else if !e.NextTime.IsZero() {
		wait = min(max(e.NextTime.Sub(c.now())+shortestLook, shortestLook), longestLook)
	}
	return sleep(ctx, wait)
}

// facts are the inputs of a check.
type facts struct {
	now          time.Time
	today        string
	req          EveningRequest
	domains      []*orchestratorv1.DomainSetting
	pool         *orchestratorv1.PoolStatus
	coverages    []*marketv1.Coverage
	schedule     *orchestratorv1.Schedule
	slots        []*orchestratorv1.Slot
	readiness    *orchestratorv1.PoolVerdict
	emptyTargets bool

	due map[string]string // time of day at which a dataset is due, of datasets that count; "" for snapshots
}

func (f *facts) judge() *Evening {
	e := &Evening{
		Pool: f.req.Pool, at: f.now, Paused: f.pool.GetPaused(), Note: f.pool.GetNote(),
		Run: f.pool.GetCurrentRun(), LastRun: f.pool.GetLastRun(),
	}
	if queued := f.pool.GetQueuedRuns(); e.Run == nil && len(queued) > 0 {
		e.Run = queued[0]
	}
	f.choose(e)
	f.coverages = slices.DeleteFunc(slices.Clone(f.coverages), func(v *marketv1.Coverage) bool {
		_, counts := f.due[v.GetDatasetId()]
		return !counts
	})
	e.Date, e.ClosedDate = f.date()
	from := cmp.Or(f.req.From, e.Date)
	e.NothingCounted = true
	for _, v := range f.coverages {
		date := v.GetTradeDate()
		if date != "" && (date < from || date > e.Date) {
			continue
		}
		e.NothingCounted = e.NothingCounted && date == ""
		e.Coverages = append(e.Coverages, v)
		if !Settled(v.GetVerdict(), f.req.Strict) {
			e.Lacking = append(e.Lacking, v)
		}
	}
	e.PendingDatasetIDs = f.pending(e.Date)
	e.Verdict = f.verdict(e)
	e.Issues = f.issues(e)
	e.NextTime = f.next(e)
	if t := f.pool.GetNextAskTime(); t != nil && t.AsTime().After(f.now) && !e.Paused {
		e.NextRunTime = t.AsTime()
	}
	return e
}

// choose determines which datasets count and which modules are disabled.
func (f *facts) choose(e *Evening) {
	f.due = map[string]string{}
	for _, d := range f.domains {
		for _, m := range d.GetModules() {
			if !m.GetModule().GetSyncCapable() || !slices.Contains(m.GetModule().GetPools(), f.req.Pool) {
				continue
			}
			if !d.GetEnabled() || !m.GetEnabled() {
				e.DisabledModuleIDs = append(e.DisabledModuleIDs, m.GetModule().GetModuleId())
				continue
			}
			for _, ds := range m.GetModule().GetDatasets() {
				f.due[ds.GetDatasetId()] = ds.GetDueTime()
			}
		}
	}
}

// date is the trade date to check, and the requested one if the exchange was closed on it.
func (f *facts) date() (date, closed string) {
	if f.req.Date > f.today {
		return f.req.Date, ""
	}
	var open []string
	for _, v := range f.coverages {
		if v.GetTradeDate() != "" {
			open = append(open, v.GetTradeDate())
		}
	}
	if f.opensToday() {
		open = append(open, f.today)
	}
	slices.Sort(open)
	open = slices.Compact(open)
	if f.req.Date == "" {
		for _, d := range slices.Backward(open) {
			if !f.now.Before(f.evening(d)) {
				return d, ""
			}
		}
	}
	for _, d := range slices.Backward(open) {
		if d == f.req.Date {
			return d, ""
		}
		if f.req.Date == "" || d < f.req.Date {
			return d, f.req.Date
		}
	}
	return f.req.Date, "" // further back it is unknown whether it was open
}

// opensToday reports whether the exchange is open today, as far as is known while nothing
// of today is due.
func (f *facts) opensToday() bool {
	for _, s := range f.slots {
		if s.GetDate() != f.today {
			continue
		}
		for _, i := range s.GetIssues() {
			if i.GetReason() == faultv1.Reason_REASON_NOT_TRADING_DAY {
				return false
			}
		}
	}
	if weekend(f.now.In(Shanghai)) || f.passesOver(f.today) {
		return false
	}
	for _, due := range f.due { // when all is due, a trading day is in the coverage
		if due != "" && f.now.Before(at(f.today, due, Shanghai)) {
			return true
		}
	}
	return false
}

// pending are the datasets that are not due yet and have no rows.
func (f *facts) pending(date string) (ids []string) {
	if date == "" {
		return nil
	}
	for id, due := range f.due {
		if due == "" || !f.now.Before(at(date, due, Shanghai)) {
			continue
		}
		if !slices.ContainsFunc(f.coverages, func(v *marketv1.Coverage) bool {
			return v.GetDatasetId() == id && v.GetTradeDate() == date
		}) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// evening is when all of a date is due and the schedule should have started to fetch it.
func (f *facts) evening(date string) time.Time {
	var due time.Time
	for _, clock := range f.due {
		if clock != "" {
			if t := at(date, clock, Shanghai); t.After(due) {
				due = t
			}
		}
	}
	s := f.schedule
	if !f.scheduled() {
		return due
	}
	zone, err := time.LoadLocation(s.GetTimeZone())
	if err != nil { // a zone that is unknown on this machine
		return due
	}
	if run := at(date, s.GetRunAt(), zone); !run.Before(due) {
		return run
	}
	// The schedule runs before the data is due: the next slot fetches it.
	next := due
	for _, v := range f.slots { // newest first
		if t := v.GetDueTime().AsTime(); v.GetDueTime() != nil && t.After(due) {
			next = t
		}
	}
	return next
}

func (f *facts) verdict(e *Evening) Verdict {
	switch {
	case f.emptyTargets:
		return Empty
	case len(e.Lacking) == 0 && len(e.PendingDatasetIDs) == 0 && !e.NothingCounted && e.Date <= f.today:
		return Whole
	case e.Date != "" && f.now.Before(f.evening(e.Date)) && !slices.ContainsFunc(e.Lacking, func(v *marketv1.Coverage) bool {
		return v.GetTradeDate() != "" && v.GetTradeDate() < e.Date
	}):
		return NotDue
	case f.underWay(e):
		return NotWhole
	case f.blocked(e):
		return Blocked
	}
	return NotWhole
}

// blocked reports whether a user must act before a run can start. Readiness is the current
// state of token and modules; the last run is used if it is unknown, and for the pool's file.
func (f *facts) blocked(e *Evening) bool {
	switch f.readiness.GetDecision() {
	case orchestratorv1.PoolVerdict_DECISION_UNSPECIFIED:
		return e.LastRun.GetOutcome() == orchestratorv1.Run_OUTCOME_BLOCKED
	case orchestratorv1.PoolVerdict_DECISION_BLOCKED:
		return true
	}
	return fileBlocks(e.LastRun)
}

// fileBlocks reports whether the check of the pool's file blocked a run until a user acts, for
// example because the disk is full.
func fileBlocks(r *orchestratorv1.Run) bool {
	return r.GetOutcome() == orchestratorv1.Run_OUTCOME_BLOCKED && slices.ContainsFunc(ofPool(r), func(i *faultv1.Issue) bool {
		return i.GetSeverity() == faultv1.Severity_SEVERITY_BLOCKING
	})
}

// ofPool are the issues of a run that concern all of the pool, except those of a check of token
// or modules: readiness has these.
func ofPool(r *orchestratorv1.Run) []*faultv1.Issue {
	if r.GetOutcome() == orchestratorv1.Run_OUTCOME_BLOCKED && r.GetBlockedStage() != orchestratorv1.Run_BLOCKED_STAGE_ANALYSIS_INIT {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(r.GetIssues()), func(i *faultv1.Issue) bool {
		return i.GetSeverity() <= faultv1.Severity_SEVERITY_WARNING || i.GetModuleId() != "" || i.GetDomainId() != ""
	})
}

// underWay reports whether a run of the pool is in progress or about to start.
func (f *facts) underWay(e *Evening) bool {
	if e.Run == nil {
		return false
	}
	return e.Run.GetState() != orchestratorv1.Run_STATE_QUEUED || !e.Run.GetNotBeforeTime().AsTime().After(f.now)
}

// issues are the reasons why the evening is not complete, worst first, without duplicates.
func (f *facts) issues(e *Evening) (all []*faultv1.Issue) {
	add := func(issues []*faultv1.Issue) {
		for _, i := range issues {
			if !slices.ContainsFunc(all, func(o *faultv1.Issue) bool {
				return o.GetReason() == i.GetReason() && o.GetModuleId() == i.GetModuleId() && o.GetMessage() == i.GetMessage()
			}) {
				all = append(all, i)
			}
		}
	}
	switch e.Verdict {
	case Whole, NotDue, Empty:
		return nil
	case Blocked:
		if add(f.readiness.GetIssues()); len(all) == 0 || fileBlocks(e.LastRun) {
			add(e.LastRun.GetIssues())
		}
	}
	for _, v := range e.Lacking {
		add(v.GetIssues())
	}
	if e.Verdict == NotWhole && e.FetchedAgain() && !f.underWay(e) { // why the last run did not fetch it, or the next will not
		if !f.outlived(e.LastRun) {
			add(f.ofLacking(e, e.LastRun.GetIssues()))
			add(ofPool(e.LastRun))
		}
		add(f.ofLacking(e, f.readiness.GetIssues()))
	}
	slices.SortStableFunc(all, func(a, b *faultv1.Issue) int { return cmp.Compare(b.GetSeverity(), a.GetSeverity()) })
	return all
}

// outlived reports whether a run was blocked by a check of token or modules that has a
// different result now.
func (f *facts) outlived(r *orchestratorv1.Run) bool {
	if f.readiness.GetDecision() == orchestratorv1.PoolVerdict_DECISION_UNSPECIFIED || r.GetOutcome() != orchestratorv1.Run_OUTCOME_BLOCKED {
		return false
	}
	return r.GetBlockedStage() == orchestratorv1.Run_BLOCKED_STAGE_TOKEN || r.GetBlockedStage() == orchestratorv1.Run_BLOCKED_STAGE_READINESS
}

// ofLacking are the issues, from warnings on, about modules with missing data.
func (f *facts) ofLacking(e *Evening, issues []*faultv1.Issue) []*faultv1.Issue {
	return slices.DeleteFunc(slices.Clone(issues), func(i *faultv1.Issue) bool {
		return i.GetSeverity() < faultv1.Severity_SEVERITY_WARNING || !slices.ContainsFunc(e.Lacking, func(v *marketv1.Coverage) bool {
			return v.GetModuleId() == i.GetModuleId()
		})
	})
}

// FetchedAgain reports whether a run without dates fetches some of the missing data.
func (e *Evening) FetchedAgain() bool {
	return len(e.PendingDatasetIDs) > 0 || slices.ContainsFunc(e.Lacking, (*marketv1.Coverage).GetFetchedAgain)
}

// next is when some of it is fetched next automatically.
func (f *facts) next(e *Evening) time.Time {
	if e.Verdict != NotDue && !e.FetchedAgain() {
		return time.Time{}
	}
	if e.Date > f.today { // a run before that day does not fetch it
		return f.foreseen(e)
	}
	var next time.Time
	consider := func(t time.Time) {
		if t.After(f.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if t := f.pool.GetNextAskTime(); t != nil {
		consider(t.AsTime())
	}
	if !e.Paused {
		for _, r := range f.pool.GetQueuedRuns() {
			if r.GetNotBeforeTime() != nil {
				consider(r.GetNotBeforeTime().AsTime())
			}
		}
		if t := e.LastRun.GetRetryTime(); t != nil {
			consider(t.AsTime())
		}
		if s := f.schedule; s.GetNextTime() != nil && f.scheduled() {
			consider(s.GetNextTime().AsTime())
		}
	}
	return next
}

// foreseen is when the schedule fetches a future day. Zero if it does not.
func (f *facts) foreseen(e *Evening) time.Time {
	if e.Paused || weekend(at(e.Date, "12:00", Shanghai)) || !f.scheduled() || f.schedule.GetNextTime() == nil || f.passesOver(e.Date) {
		return time.Time{}
	}
	return f.evening(e.Date)
}

// passesOver reports whether the schedule will skip a day whose evening has not come yet,
// because the exchange is closed: the next slot is later.
func (f *facts) passesOver(date string) bool {
	s := f.schedule
	if !f.scheduled() || !s.GetTradingDaysOnly() || slices.ContainsFunc(f.slots, func(v *orchestratorv1.Slot) bool { return v.GetDate() == date }) {
		return false
	}
	next, evening := s.GetNextTime(), f.evening(date)
	return next != nil && evening.After(f.now) && next.AsTime().After(evening)
}

// scheduled reports whether the schedule includes the pool.
func (f *facts) scheduled() bool {
	s := f.schedule
	return s.GetEnabled() && !s.GetPaused() && (len(s.GetPools()) == 0 || slices.Contains(s.GetPools(), f.req.Pool))
}

func weekend(t time.Time) bool { return t.Weekday() == time.Saturday || t.Weekday() == time.Sunday }

// at is the time at which a clock in zone shows "HH:MM" on a date.
func at(date, clock string, zone *time.Location) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", date+" "+clock, zone)
	if err != nil { // an orchestrator that violates its contract; nothing is due before the day
		t, _ = time.ParseInLocation(time.DateOnly, date, zone)
	}
	return t
}

func dayBefore(date string, days int) string {
	t, _ := time.Parse(time.DateOnly, date) // validated by the caller
	return t.AddDate(0, 0, -days).Format(time.DateOnly)
}

// poolName is the name of a pool in paths. Empty if there is none.
func poolName(p marketv1.Pool) string {
	switch p {
	case marketv1.Pool_POOL_TARGETS:
		return "targets"
	case marketv1.Pool_POOL_UNIVERSE:
		return "universe"
	}
	return ""
}
