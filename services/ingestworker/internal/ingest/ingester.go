package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Config is the configuration of an Ingester. Every field is required except Logger,
// Answers and Committed.
type Config struct {
	// Provider of rows.
	Provider Provider
	// Sinks are the pools, by name.
	Sinks map[market.Pool]Sink
	// WindowDays is how many calendar days back each pool reaches.
	WindowDays map[market.Pool]int
	// Depth is how many partitions of one pool may be in progress at once, which limits
	// memory; others wait. 0 means 24.
	Depth int
	// Answers is shared with the probes. Nil creates one.
	Answers *Answers
	// Committed is called after each commit of a partition with its result and duration; may
	// be nil.
	Committed func(p market.Pool, took time.Duration, err error)
	// Logger; nil drops every record.
	Logger *slog.Logger
}

// Ingester brings partitions into pools. It is safe for concurrent use.
type Ingester struct {
	provider Provider
	sinks    map[market.Pool]Sink
	windows  map[market.Pool]int
	answers  *Answers
	told     func(market.Pool, time.Duration, error) // of commits
	log      *slog.Logger
	flights  *flights
	views    map[market.Pool]*view
	slots    map[market.Pool]chan struct{}
	// unselected are the lists that were planned although no module selected them.
	unselected selection
	// lists is how many symbols a call is known to accept.
	lists listLengths
	// days are the last judged ones of each pool, suspended the fetched lists of suspensions,
	// and begins the known beginnings of datasets.
	days      map[market.Pool]*days
	suspended suspensions
	begins    beginnings
	// heldRun is the last run that got a warning about a log that a reader holds.
	heldMu  sync.Mutex
	heldRun string
}

// New returns an Ingester for a provider and its pools.
func New(c Config) *Ingester {
	i := &Ingester{
		provider: c.Provider, sinks: c.Sinks, windows: c.WindowDays, answers: c.Answers, told: c.Committed, log: c.Logger,
		flights: newFlights(), days: map[market.Pool]*days{}, views: map[market.Pool]*view{}, slots: map[market.Pool]chan struct{}{},
	}
	if c.Depth <= 0 {
		c.Depth = 24
	}
	if i.answers == nil {
		i.answers = NewAnswers()
	}
	if i.told == nil {
		i.told = func(market.Pool, time.Duration, error) {}
	}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	for p := range c.Sinks {
		i.views[p] = &view{}
		i.days[p] = &days{most: mostDays}
		if p == market.Targets {
			i.days[p].most = fewerDays
		}
		i.slots[p] = make(chan struct{}, c.Depth)
	}
	return i
}

// Partition ingests one partition: fetch, check, judge, commit. progress may be nil and is
// called from the calling goroutine, never after Partition has returned.
//
// It returns the errors of the provider and the pool unchanged, STALE_EPOCH if there is a
// newer dispatch, and ctx's error. A short, late or empty response is not an error: the
// Result has its verdict.
func (i *Ingester) Partition(ctx context.Context, w Work, progress func(Step)) (Result, error) {
	sink, err := i.sink(w.Partition.Pool)
	if err != nil {
		return Result{}, err
	}
	ds := catalog.Lookup(w.Partition.Dataset)
	if err := wellMade(w.Partition, ds); err != nil {
		return Result{}, err
	}
	watch := &stopwatch{}
	watch.turn(&watch.Wait)
	// The slot is taken before the partition counts as in progress: a partition that depends
	// on a daily in progress waits for it while it has a slot, so the daily must have one,
	// too.
	slot := i.slots[w.Partition.Pool]
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	case <-ctx.Done():
		return Result{}, context.Cause(ctx)
	}
	ctx, fl, err := i.flights.begin(ctx, w)
	if err != nil {
		return Result{}, err
	}
	defer i.flights.end(fl)
	if progress == nil {
		progress = func(Step) {}
	}
	j := &job{i: i, ds: ds, sink: sink, work: w, flight: fl, progress: progress, watch: watch}
	r, err := j.run(ctx)
	if err != nil && i.unselected.has(w.Partition) && fault.Is(err, fault.PermissionDenied) {
		return j.without(err), nil
	}
	if err != nil && ctx.Err() != nil {
		if cause := context.Cause(ctx); fault.Is(cause, fault.StaleEpoch) {
			return Result{Calls: j.calls}, cause
		}
	}
	if err != nil {
		return Result{Calls: j.calls}, err
	}
	watch.turn(nil)
	r.Phases = watch.Phases
	if j.logHeld > 0 && i.firstHeld(w.RunID) {
		r.warn(fault.NewIssue(fault.WALHeld,
			fmt.Sprintf("A reader keeps targets.sqlite open, so its write-ahead log cannot be truncated; its size is %d MB.", j.logHeld>>20),
			"pool", string(w.Partition.Pool), "file", "targets.sqlite", "wal_bytes", fmt.Sprint(j.logHeld)))
	}
	fault.SortIssues(r.Issues)
	return r, nil
}

// firstHeld reports whether it is the first time that a run gets the warning that a log is
// held.
func (i *Ingester) firstHeld(runID string) bool {
	i.heldMu.Lock()
	defer i.heldMu.Unlock()
	if i.heldRun == runID {
		return false
	}
	i.heldRun = runID
	return true
}

func wellMade(p coverage.Partition, ds *catalog.Dataset) error {
	switch {
	case ds == nil:
		return fault.Invalid("partition.dataset_id", "there is no dataset %.60q", p.Dataset)
	case p.ID == "":
		return fault.Invalid("partition.partition_id", "must not be empty")
	case ds.Snapshot && (p.Start != market.NoDate || p.End != market.NoDate || len(p.Symbols) > 0):
		return fault.Invalid("partition.start_date", "%s is always fetched as a whole; dates and symbols must be empty", ds.ID)
	case !ds.Snapshot && (p.Start == market.NoDate || p.End == market.NoDate || p.End < p.Start):
		return fault.Invalid("partition.start_date", "%s needs a start date and an end date", ds.ID)
	case !ds.Snapshot && p.Pool == market.Universe && (p.Start != p.End || len(p.Symbols) > 0):
		return fault.Invalid("partition.end_date", "a partition of universe must be exactly one trade date")
	case !ds.Snapshot && p.Pool == market.Targets && len(p.Symbols) == 0:
		return fault.Invalid("partition.symbols", "a partition of targets must name its symbols")
	}
	for n, s := range p.Symbols {
		if up, err := market.ParseSymbol(s); err != nil || up != s || market.KindOf(s) != ds.Kind {
			return fault.Invalid(fmt.Sprintf("partition.symbols[%d]", n), "%.24q is not a symbol of %s", s, ds.ID)
		}
	}
	return nil
}

// job is one partition in progress; only one goroutine uses it.
type job struct {
	i        *Ingester
	ds       *catalog.Dataset
	sink     Sink
	work     Work
	flight   *flight
	progress func(Step)
	watch    *stopwatch

	// answered is the response for the symbols of a date range.
	answered spanAnswer
	// logHeld is the size of a log that a reader of the file holds; 0 if there is none.
	logHeld  int64
	step     Step
	calls    int
	repeated int
	// charged is true if the current partition proved another day of the pool wrong.
	charged bool
}

// days are those remembered of the partition's pool.
func (j *job) days() *days { return j.i.days[j.work.Partition.Pool] }

// inTargets reports whether the partition is one of targets.
func (j *job) inTargets() bool { return j.work.Partition.Pool == market.Targets }

func (j *job) stage(s Stage) {
	j.step.Stage, j.step.WaitAPI, j.step.WaitUntil = s, "", time.Time{}
	j.progress(j.step)
}

func (j *job) run(ctx context.Context) (Result, error) {
	j.watch.turn(&j.watch.Fetch)
	j.stage(Extracting)
	batch, bad, missing, err := j.fetch(ctx)
	if err != nil {
		return Result{}, err
	}
	j.watch.turn(&j.watch.Check)
	j.stage(Normalizing)
	var result Result
	if j.inTargets() && !j.ds.Snapshot {
		result, err = j.symbols(ctx, batch, bad)
	} else {
		result, err = j.whole(ctx, batch, bad, missing)
	}
	if err == nil && !j.ds.Snapshot { // answers of lists are kept; after an error, the sink may still hold the rows
		batch.Release()
	}
	return result, err
}

// fetch collects the responses of the partition's calls in one batch.
func (j *job) fetch(ctx context.Context) (batch *table.Batch, bad []table.BadCell, missing string, err error) {
	p := j.work.Partition
	if j.ds.Snapshot {
		return j.snapshot(ctx)
	}
	if p.Start == p.End {
		ans, err := j.ask(ctx, map[string]string{"trade_date": p.Start.Compact()})
		return ans.Batch, ans.Bad, "", err
	}
	world, err := j.i.world(ctx, p.Pool)
	if err != nil {
		return nil, nil, "", err
	}
	j.answered, err = j.span(ctx, world)
	return j.answered.batch, j.answered.bad, "", err
}

func (j *job) snapshot(ctx context.Context) (batch *table.Batch, bad []table.BadCell, missing string, err error) {
	give, err := j.i.answers.Take(ctx, j.ds)
	if err != nil {
		return nil, nil, "", err
	}
	defer give()
	today := market.DateOf(time.Now())
	committed := time.Time{}
	if j.work.Partition.Repeat {
		// A complete list is fetched again. A response that came since is new, including one of
		// an attempt that a limit ended: a low tier has one call per hour.
		r, _ := j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: market.NoDate})
		if committed = r.CommittedAt; !committed.IsZero() {
			committed = committed.Add(time.Millisecond) // it is rounded down
		}
	}
	for _, call := range j.ds.Calls {
		ans, held := j.i.answers.Get(today, j.ds, call.Params)
		if held && !committed.IsZero() {
			_, held = j.i.answers.Since(committed, j.ds, call.Params)
		}
		if !held {
			if ans, err = j.ask(ctx, call.Params); err != nil {
				return nil, nil, "", err
			}
			j.i.answers.Put(today, j.ds, call.Params, ans)
		}
		lost := ans.Batch.Len == 0 && !call.MayBeEmpty
		if len(j.ds.Calls) > 1 && ignored(ans.Batch, call) {
			if lost, err = j.lost(ctx, ans.Batch, call); err != nil {
				return nil, nil, "", err
			}
		}
		if lost && len(j.ds.Calls) > 1 {
			for k, v := range call.Params {
				missing = k + "=" + v
			}
		}
		batch, bad = join(j.ds, batch, bad, ans, call.Fill)
	}
	return batch, bad, missing, nil
}

// ignored reports whether most rows of a response contradict the parameter of its call, for
// example if a provider ignores list_status and returns the same list for each call.
func ignored(b *table.Batch, call catalog.Call) bool {
	for name, want := range call.Fill {
		col, other := b.Column(name), 0
		for r := range b.Len {
			if col != nil && !col.Null[r] && col.Texts[r] != want {
				other++
			}
		}
		if 2*other > b.Len {
			return true
		}
	}
	return false
}

// lost reports whether a response has no row of the status that its call requested,
// although the pool has some.
func (j *job) lost(ctx context.Context, b *table.Batch, call catalog.Call) (bool, error) {
	world, err := j.i.world(ctx, j.work.Partition.Pool)
	if err != nil {
		return false, err
	}
	for name, want := range call.Fill {
		if col := b.Column(name); col != nil && slices.Contains(col.Texts, want) {
			return false, nil
		}
		for x := range world.Lists.All() {
			if x.Kind == j.ds.Kind && x.Status == want {
				return true, nil
			}
		}
	}
	return false, nil
}

func (j *job) ask(ctx context.Context, params map[string]string) (Answer, error) {
	rows, calls := j.step.Rows, j.calls
	phase := j.watch.phase
	defer func() { j.watch.turn(phase) }()
	ans, err := j.i.provider.Fetch(ctx, Query{Dataset: j.ds, Params: params, Priority: j.priority()}, func(p Progress) {
		j.step.Rows, j.step.Calls = rows+p.Rows, calls+p.Calls
		j.step.WaitAPI, j.step.WaitUntil = p.WaitAPI, p.WaitUntil
		if p.WaitAPI != "" {
			j.watch.turn(&j.watch.Wait)
		} else {
			j.watch.turn(phase)
		}
		j.progress(j.step)
	})
	j.calls = calls + ans.Calls
	if err != nil {
		j.calls = max(j.calls, j.step.Calls)
		return ans, err
	}
	if ans.Batch == nil {
		ans.Batch = table.New(j.ds.Specs(), 0)
	}
	j.repeated += ans.Repeated
	j.step.Rows, j.step.Calls = rows+ans.Batch.Len, j.calls
	return ans, nil
}

// priority makes a backfill yield to the evening's own data.
func (j *job) priority() Priority {
	p := j.work.Partition
	if p.Pool == market.Targets || j.ds.Snapshot || p.Repeat && !p.Recheck || p.End >= market.DateOf(time.Now())-newestDays {
		return Normal
	}
	return Backfill
}

// newestDays is longer than the longest close of the exchange, so that the last trading day
// is always included.
const newestDays = 3

// revisedShare is the share of the stored rows of a settled partition that a re-check may
// change without a warning: a vendor corrects a few.
const revisedShare = 0.03

// revised warns if a re-check changed more than a few percent of the stored rows.
func (j *job) revised(c Changes) []fault.Issue {
	rows, of := c.Changed+c.Gone, c.Revised.Of
	if float64(rows) <= revisedShare*float64(of) {
		return nil
	}
	text := fmt.Sprintf("The provider changed %[2]d of the %[3]d stored rows of %[1]s; the old values are kept in revisions.", j.on(), rows, of)
	if r := c.Revised.Largest; c.Revised.Change > 0 {
		text = fmt.Sprintf("The provider changed %[2]d of the %[3]d stored rows of %[1]s; the old values are kept in revisions. The largest change: %[4]s of %[5]s on %[6]s was %[7]s and is now %[8]s.",
			j.on(), rows, of, r.Column, r.Symbol, r.Date, r.Old.Text, r.New.Text)
	}
	i := j.issue(fault.ValuesRevised, text, "count", fmt.Sprint(rows), "row_count", fmt.Sprint(of))
	i.Severity = fault.Warning
	p := j.work.Partition
	i.Remedy = fmt.Sprintf(`List the old and new values: curl "localhost:7780/v1/revisions?pool=POOL_%s&dataset_id=%s`, strings.ToUpper(string(p.Pool)), j.ds.ID)
	if p.Start != market.NoDate {
		i.Remedy += fmt.Sprintf("&start_date=%s&end_date=%s", p.Start, p.End)
	}
	i.Remedy += `"`
	return []fault.Issue{i}
}

// join adds a response to the collected batch. The response's batch may be shared and is
// not changed; if it is the only one and nothing has to be filled in, it is used itself.
func join(ds *catalog.Dataset, batch *table.Batch, bad []table.BadCell, ans Answer, fill map[string]string) (*table.Batch, []table.BadCell) {
	if batch == nil && fill == nil {
		return ans.Batch, ans.Bad
	}
	out := batch
	if out == nil {
		out = table.New(ds.Specs(), ans.Batch.Len)
	}
	base := out.Len
	for i := range out.Columns {
		to, from := &out.Columns[i], ans.Batch.Column(out.Columns[i].Name)
		value, filled := fill[to.Name]
		for r := range ans.Batch.Len {
			switch {
			case from != nil && !from.Null[r]:
				to.AppendFrom(from, r)
			case filled && to.Type == table.Text:
				to.AppendText(value)
			default:
				to.AppendNull()
			}
		}
	}
	out.Len = base + ans.Batch.Len
	for _, x := range ans.Bad {
		x.Row += base
		bad = append(bad, x)
	}
	return out, bad
}
