package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// grounds are what a partition with one record is judged by.
type grounds struct {
	world  coverage.PoolState
	rows   checked
	doubts doubt
	facts  coverage.Facts
	// answer is the response, and expected what it should have.
	answer   coverage.Answer
	expected coverage.Expectation
	// unknown are some of the symbols that no list has.
	unknown []string
	// publishing is whether the provider may still publish the date.
	publishing bool
	now        time.Time
}

// grounds checks the rows, compares them with the neighbouring days, and determines how
// many should have come.
func (j *job) grounds(ctx context.Context, batch *table.Batch, bad []table.BadCell, missing string) (g grounds, err error) {
	p := j.work.Partition
	g.now = time.Now()
	g.rows = check(scope{ds: j.ds, start: p.Start, end: p.End, today: market.DateOf(g.now)}, batch, bad)
	if g.world, err = j.i.world(ctx, p.Pool); err != nil {
		return g, err
	}
	if g.facts, err = j.facts(ctx, g.world); err != nil {
		return g, err
	}
	g.publishing = !j.ds.Snapshot && coverage.Publishing(j.ds, g.world.Calendar, p.Start, g.now)
	if g.doubts, err = j.examine(ctx, &g.rows, g.world.Calendar); err != nil {
		return g, err
	}
	if err := j.turned(ctx, g.rows.batch, g.world.Calendar, &g.doubts); err != nil {
		return g, err
	}
	if j.ds.RestsOnDaily && !g.facts.DailyKnown {
		// One that begins after the day was remembered judges this one again.
		if err := j.measure(ctx, &g.facts, j.i.flights.restedOn(p)); err != nil {
			return g, err
		}
	}
	g.answer, g.unknown = j.answer(g.rows, g.doubts, g.world.Lists, missing)
	err = j.expect(ctx, &g)
	return g, err
}

// answer is the response, and some of its symbols that no list has.
func (j *job) answer(c checked, doubts doubt, lists *coverage.Lists, missing string) (a coverage.Answer, unknown []string) {
	a = coverage.Answer{
		Rows: int64(c.batch.Len), Rejected: int64(len(c.rejects)), Filtered: c.filtered, Doubtful: int64(len(c.doubtful) + doubts.odd), MissingValues: int64(len(c.hollow)),
		MissingCall: missing, Findings: doubts.against, Hash: func() uint64 { return hashAnswer(c.batch, c.rejects) },
	}
	if j.ds.ID == catalog.TradeCal {
		a.MissingCall = calendarHole(c.batch)
	}
	if j.ds.Kind == market.Stock || j.ds.ID == catalog.FundDaily {
		a.ByExchange = c.all
	}
	if !j.ds.Snapshot {
		a.Unknown, unknown = unknownSymbols(c.batch, lists)
	}
	return a, unknown
}

// expect sets how many rows should have come. If there are fewer, it checks whether
// suspensions explain it, or whether the dataset begins later.
func (j *job) expect(ctx context.Context, g *grounds) error {
	d := j.work.Partition.Start
	g.expected = coverage.Expect(j.ds, d, g.facts)
	if j.ds.ID == catalog.Daily && g.facts.ListKnown && g.doubts.day != nil && !g.expected.Reaches(g.answer.Rows, g.answer.ByExchange) {
		g.expected = j.explain(ctx, g.world, &g.facts, g.doubts.day, g.answer, g.expected, g.publishing)
	}
	if j.ds.Snapshot || g.answer.Rows > 0 || g.answer.Rejected > 0 || g.publishing || g.expected.Expected <= 0 {
		return nil
	}
	first, err := j.beforeFirst(ctx, g.world.Calendar, d, true)
	if first {
		g.expected = coverage.Expectation{Known: true, Basis: "the provider's data, which starts at a later date"}
	}
	return err
}

// whole judges and commits a partition with one record: a trade date of universe
// or a snapshot.
func (j *job) whole(ctx context.Context, batch *table.Batch, bad []table.BadCell, missing string) (Result, error) {
	p := j.work.Partition
	g, err := j.grounds(ctx, batch, bad, missing)
	if err != nil {
		return Result{}, err
	}
	held, ok := j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: p.Start})
	judged := coverage.Judge(j.ds, p.Start, g.answer, g.expected, coverage.Situation{
		Now: g.now, Publishing: g.publishing, Held: held, HasHeld: ok, Epoch: j.work.Epoch, RunID: j.work.RunID,
	})
	if g.doubts.day != nil && !judged.Store {
		j.days().drop(g.doubts.day) // before the verdict is announced: waiters look here then
	}
	if j.ds.ID == catalog.Daily {
		j.flight.judge(judged.Record.ByExchange, judged.Record.Verdict.Settled())
	}
	if j.ds.Snapshot && judged.Found != coverage.Complete {
		j.i.answers.Drop(j.ds) // the next attempt must fetch again
	}
	r := &judged.Record
	if g.facts.Asked && judged.Found == coverage.Complete {
		r.Issues = append(r.Issues, coverage.Confirm(j.ds, p.Start, g.answer, g.facts))
	}
	r.Issues = append(r.Issues, g.doubts.notices...)
	r.Issues = append(r.Issues, j.findings(g.rows, judged.Store || judged.Merge, g.answer.Unknown, g.unknown)...)
	r.Issues = append(r.Issues, j.calendarEnds(g.rows.batch, g.now)...)
	commit := Commit{Partition: p, Epoch: j.work.Epoch, RunID: j.work.RunID, Records: []coverage.Record{*r}, Rejects: j.rejects(g.rows, g.now)}
	switch {
	case judged.Store:
		commit.Batch = g.rows.batch
	case judged.Merge:
		rows, err := j.sink.Rows(ctx, r.Key)
		if err != nil {
			return Result{}, err
		}
		commit.Batch = merged(j.ds, g.rows.batch, rows)
		r.Rows = int64(commit.Batch.Len)
	}
	changes, err := j.commit(ctx, commit)
	if err != nil {
		return Result{}, err
	}
	r.New, r.Changed, r.Gone = changes.New, changes.Changed, changes.Gone
	charged, err := j.charge(ctx, g.doubts.others)
	if err != nil {
		return Result{}, err
	}
	if j.ds.ID == catalog.Daily {
		short, err := j.rejudge(ctx, g.world)
		if err != nil {
			return Result{}, err
		}
		charged = append(charged, short...)
	}
	if len(charged) > 0 { // the run must not end as complete: another of its days is wrong
		r.Issues = append(r.Issues, charged...)
		r.Verdict = coverage.Incomplete
	}
	out := Result{Partition: p, Held: *r, Found: judged.Found, Calls: j.calls, Repeated: j.repeated, Revised: changes.Revised}
	if judged.Store && j.ds.ID != catalog.TradeCal {
		out.Symbols = int64(g.rows.batch.Len)
	}
	out.warn(r.Issues...)
	out.warn(j.renamed(changes)...)
	if ok && held.Verdict.Settled() {
		out.warn(j.revised(changes)...)
	}
	return out, nil
}

// merged are the rows of a response and the stored rows of the symbols that it lacks.
func merged(ds *catalog.Dataset, answer, held *table.Batch) *table.Batch {
	came := map[string]bool{}
	all := make([]int, answer.Len)
	for i, symbol := range answer.Column("ts_code").Texts {
		all[i], came[symbol] = i, true
	}
	var rest []int
	for i, symbol := range held.Column("ts_code").Texts {
		if !came[symbol] {
			rest = append(rest, i)
		}
	}
	out, _ := join(ds, answer.Select(all), nil, Answer{Batch: held.Select(rest)}, nil)
	return out
}

// facts collects what is known about the date. Datasets that depend on the date's daily
// wait for it if it is in progress, so that all datasets of a date may be fetched at once;
// daily itself waits for nothing, so there is no deadlock.
func (j *job) facts(ctx context.Context, world coverage.PoolState) (coverage.Facts, error) {
	p := j.work.Partition
	f := coverage.FactsOf(j.ds, p.Start, world.Lists)
	switch {
	case j.ds.RestsOnDaily:
		daily, err := j.i.flights.daily(ctx, p)
		if err == nil {
			err = j.measure(ctx, &f, daily)
		}
		if err != nil {
			return f, err
		}
	case j.ds.Snapshot:
		if r, ok := j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: market.NoDate}); ok && r.Verdict == coverage.Complete {
			f.Held = r.Rows
		}
		return f, nil
	}
	if j.ds.Kind == market.Stock && !f.DailyKnown {
		f.TradedShares = coverage.TradedShares(p.Start, func(d market.Date) (coverage.Record, bool) {
			return j.sink.Held(coverage.Key{Dataset: catalog.Daily, Date: d})
		}, world.Lists.Stocks)
	}
	if j.ds.ID == catalog.FundDaily || !f.ListKnown {
		var listed func(market.Date) int64
		if j.ds.ID == catalog.FundDaily {
			listed = world.Lists.ETFs
		}
		f.Near = coverage.Near(p.Start, func(d market.Date) (coverage.Record, bool) {
			return j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: d})
		}, listed)
	}
	return f, nil
}

// measure sets the rows of the date's daily, in progress or stored.
func (j *job) measure(ctx context.Context, f *coverage.Facts, daily []*flight) error {
	for _, fl := range daily {
		if err := wait(ctx, fl.judged); err != nil {
			return err
		}
		if fl.whole {
			f.DailyKnown, f.Daily = true, fl.counts
		}
	}
	r, ok := j.sink.Held(coverage.Key{Dataset: catalog.Daily, Date: j.work.Partition.Start})
	if !f.DailyKnown && ok && r.Verdict.Settled() {
		f.DailyKnown, f.Daily = true, r.ByExchange
	}
	return nil
}

func (j *job) commit(ctx context.Context, c Commit) (Changes, error) {
	j.stage(Committing)
	if err := ctx.Err(); err != nil {
		return Changes{}, context.Cause(ctx)
	}
	phase := j.watch.turn(&j.watch.Commit)
	began := time.Now()
	changes, err := j.sink.Commit(ctx, c)
	j.watch.turn(phase)
	if err == nil || ctx.Err() == nil {
		j.i.told(c.Partition.Pool, time.Since(began), err)
	}
	if err == nil && j.ds.Snapshot {
		j.i.forget(c.Partition.Pool) // lists and calendar are read again
	}
	if err == nil && changes.LogHeld > 0 {
		j.logHeld = changes.LogHeld
	}
	return changes, err
}

func (j *job) rejects(c checked, now time.Time) []coverage.Reject {
	out := make([]coverage.Reject, len(c.rejects))
	for n, x := range c.rejects {
		out[n] = x.of(j.ds.ID, now)
	}
	return out
}

func unknownSymbols(b *table.Batch, l *coverage.Lists) (n int64, sample []string) {
	col := b.Column("ts_code")
	for r := range b.Len {
		if !l.Knows(col.Texts[r]) {
			if n++; len(sample) < sampleSize && !slices.Contains(sample, col.Texts[r]) {
				sample = append(sample, col.Texts[r])
			}
		}
	}
	return n, sample
}

// findings are the warnings about rows: rejected, doubtful, of unknown symbols. Unless the
// response was stored, none of them says that its rows are kept.
func (j *job) findings(c checked, stored bool, unknown int64, unknownSample []string) []fault.Issue {
	var out []fault.Issue
	add := func(r fault.Reason, message string, n int64, examples string) {
		i := j.issue(r, message, "count", fmt.Sprint(n), "sample", examples)
		i.Severity = fault.Warning
		out = append(out, i)
	}
	kept := func(how string) string {
		if stored {
			return how
		}
		return "not stored"
	}
	if n := int64(len(c.rejects)); n > 0 {
		var examples []string
		for _, x := range c.rejects[:min(len(c.rejects), sampleSize)] {
			examples = append(examples, x.symbol+": "+x.reason)
		}
		add(fault.RowsRejected, fmt.Sprintf("%s of %s failed a check; see the table rejects (%s).", fault.Count(n, "row", "rows"), j.ds.ID, sample(examples)), n, sample(examples))
	}
	if n := int64(len(c.doubtful)); n > 0 {
		add(fault.RowsInconsistent, fmt.Sprintf("%s of %s had fields that contradict each other; %s (%s).", fault.Count(n, "row", "rows"), j.ds.ID, kept("stored as received"), sample(c.samples)), n, sample(c.samples))
	}
	if unknown > 0 {
		add(fault.UnknownSymbols, fmt.Sprintf("%s of %s had symbols that are not in the instrument list; %s (%s).", fault.Count(unknown, "row", "rows"), j.ds.ID, kept("stored"), sample(unknownSample)), unknown, sample(unknownSample))
	}
	return out
}

// longestClose is longer than the exchange was ever closed, in days.
const longestClose = 30

// calendarHole names the first days that a calendar omits. Days that no calendar has are
// never planned, so nothing else would show it. A calendar with closed days lists every
// day.
func calendarHole(b *table.Batch) string {
	days := slices.Clone(b.Column("cal_date").Dates)
	slices.Sort(days)
	most := market.Date(longestClose)
	if slices.Contains(b.Column("is_open").Numbers, 0) {
		most = 1
	}
	for n := 1; n < len(days); n++ {
		if days[n]-days[n-1] > most {
			return (days[n-1] + 1).String() + ".." + (days[n] - 1).String()
		}
	}
	return ""
}

func (j *job) calendarEnds(b *table.Batch, now time.Time) []fault.Issue {
	if j.ds.ID != catalog.TradeCal || b.Len == 0 {
		return nil
	}
	last := market.NoDate
	for _, d := range b.Column("cal_date").Dates {
		last = max(last, d)
	}
	if last >= market.DateOf(now) {
		return nil
	}
	return []fault.Issue{fault.NewIssue(fault.CalendarEnded,
		fmt.Sprintf("The provider's calendar ends on %s; later weekdays count as trading days.", last), "calendar_end_date", last.String())}
}
