package ingest

import (
	"cmp"
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

type key struct {
	text string
	date market.Date
}

// symbols judges and commits a partition of targets: one record per symbol and trading day.
func (j *job) symbols(ctx context.Context, batch *table.Batch, bad []table.BadCell) (Result, error) {
	p := j.work.Partition
	asked := make(map[string]bool, len(p.Symbols))
	for _, s := range p.Symbols {
		asked[s] = true
	}
	whole := p.Start == p.End
	world, err := j.i.world(ctx, p.Pool)
	if err != nil {
		return Result{}, err
	}
	c := check(scope{ds: j.ds, start: p.Start, end: p.End, symbols: asked, pick: whole, closed: closedDays(world.Calendar)}, batch, bad)
	c.rejects = append(c.rejects, j.answered.rejects...)
	if j.ds.RestsOnDaily {
		daily, err := j.i.flights.daily(ctx, p)
		if err != nil {
			return Result{}, err
		}
		for _, fl := range daily {
			if err := wait(ctx, fl.done); err != nil { // its rows are read from the pool
				return Result{}, err
			}
		}
	}
	if !whole {
		// Data of later days says something about the days before them, and the whole dates of a
		// plan are dispatched first.
		for _, fl := range j.i.flights.dates(p) {
			if err := wait(ctx, fl.done); err != nil {
				return Result{}, err
			}
		}
	}
	doubts, err := j.suspect(ctx, &c, batch, world.Calendar)
	if err != nil {
		return Result{}, err
	}
	if c.batch != batch {
		batch.Release() // of a whole date, which is much larger than the requested rows of it
	}
	refuted, err := j.refute(ctx, &c, doubts, world.Calendar)
	if err != nil {
		return Result{}, err
	}
	ans := indexAnswer(c)
	ans.whole, ans.evidence = whole, coverage.NoEvidence
	ans.shared, ans.others = j.answered.shared, j.answered.dates
	if whole {
		ans.evidence = dateEvidence(j.ds, p.Start, c, world.Lists)
	}
	judged, err := j.judgeKeys(ctx, world, ans)
	if err != nil {
		return Result{}, err
	}
	if d := judged.unexplained(); !whole && d != market.NoDate {
		if ans.proof, err = j.prove(ctx, d, asked, world); err != nil {
			return Result{}, err
		}
		if judged, err = j.judgeKeys(ctx, world, ans); err != nil {
			return Result{}, err
		}
	}
	if d := ans.unbegun(judged); d != market.NoDate {
		first, err := j.beforeFirst(ctx, world.Calendar, d, ans.evidence == coverage.EmptyDate)
		if err != nil {
			return Result{}, err
		}
		if first {
			if judged, err = j.judgeKeys(ctx, world, ans); err != nil {
				return Result{}, err
			}
		}
	}
	known := j.knownAbsent(world.Calendar, judged)
	sound := c.batch // a row that was refuted accuses no other
	charged, err := j.chargeHeld(ctx, sound, world.Calendar)
	if err == nil {
		err = j.chargeDays(ctx, doubts.others, &charged)
	}
	if err != nil {
		return Result{}, err
	}
	c.settle(j.ds, judged)
	r, err := j.commitSymbols(ctx, c, world, judged, known)
	r.warn(append(append(refuted, charged...), doubts.notices...)...)
	if err == nil {
		charged, err = j.chargeHeld(ctx, sound, world.Calendar)
		if err == nil {
			err = j.chargeDays(ctx, j.flight.accusations(), &charged)
		}
		r.warn(charged...)
	}
	if j.charged { // the run must not end as complete: a later day is wrong
		r.Held.Verdict = coverage.Worst(r.Held.Verdict, coverage.Incomplete)
	}
	return r, err
}

// closedDays reports the days without trading. Outside the calendar, only weekends are
// known to be closed.
func closedDays(c Calendar) func(market.Date) bool {
	return func(d market.Date) bool { return !c.IsOpen(d) }
}

// symbolAnswer is a response indexed for judging symbol by symbol.
type symbolAnswer struct {
	rows     map[key]int
	rejected map[key]bool
	refuted  map[key]uint64
	strayed  map[key]bool    // of refuted
	strays   map[string]bool // symbols with rows that were not requested
	doubtful map[key]uint64
	hollow   map[key]bool
	dates    map[market.Date]int    // rows per date
	newest   map[string]market.Date // newest row per symbol
	whole    bool
	evidence coverage.Evidence // of a whole date
	shared   map[string]bool   // symbols requested in a list
	// others are the dates that were fetched whole in addition.
	others map[market.Date]coverage.Evidence
	proof  *dateProof // nil while nothing had to be proved
}

// dateProof is what a whole trade date shows about symbols whose date range came without a
// row on it.
type dateProof struct {
	date     market.Date
	evidence coverage.Evidence
	rows     map[string]bool // symbols that have a row on it after all
}

// keyVerdict is what happens to one symbol's day, as in coverage.KeyJudgement. A date range of
// many symbols has thousands, which are held until its commit.
type keyVerdict struct {
	*coverage.Record
	lost, take bool
	proof      string
}

// verdicts are those of every symbol and day of a partition.
type verdicts struct {
	records []coverage.Record
	of      []keyVerdict // with a record each
}

func (v *verdicts) add(k coverage.KeyJudgement) {
	v.records = append(v.records, k.Record) // never grows: the records are pointed to
	v.of = append(v.of, keyVerdict{&v.records[len(v.records)-1], k.Lost, k.Take, k.Proof})
}

// unexplained is the newest day on which nothing explains why a symbol has no row, or
// NoDate.
func (v verdicts) unexplained() market.Date {
	newest := market.NoDate
	for _, k := range v.of {
		if k.Verdict == coverage.Empty {
			newest = max(newest, k.Date)
		}
	}
	return newest
}

// unbegun is the newest day that may be before the dataset's first: another dataset has
// rows on it, and the response has none on it or before. NoDate if there is none.
func (a symbolAnswer) unbegun(judged verdicts) market.Date {
	first := market.NoDate
	for d := range a.dates {
		if first == market.NoDate || d < first {
			first = d
		}
	}
	newest := market.NoDate
	for _, k := range judged.of {
		if d := k.Date; k.proof != "" && k.Verdict == coverage.Incomplete && (first == market.NoDate || d < first) {
			newest = max(newest, d)
		}
	}
	return newest
}

// prove fetches a whole trade date, which distinguishes an idle symbol from a gap. One call
// settles the days before it, too: the provider has published later ones.
func (j *job) prove(ctx context.Context, d market.Date, asked map[string]bool, world coverage.PoolState) (*dateProof, error) {
	ans, err := j.ask(ctx, map[string]string{"trade_date": d.Compact()})
	if err != nil {
		return nil, err
	}
	c := check(scope{ds: j.ds, start: d, end: d, symbols: asked, pick: true, closed: closedDays(world.Calendar)}, ans.Batch, ans.Bad)
	p := &dateProof{date: d, evidence: dateEvidence(j.ds, d, c, world.Lists), rows: map[string]bool{}}
	for _, s := range c.batch.Column("ts_code").Texts {
		p.rows[s] = true
	}
	for _, x := range c.rejects {
		p.rows[x.symbol] = true
	}
	return p, nil
}

func indexAnswer(c checked) symbolAnswer {
	a := symbolAnswer{
		rows: make(map[key]int, c.batch.Len), rejected: map[key]bool{}, refuted: c.refuted.hashes(), strayed: c.refuted.strays(), strays: c.strays, doubtful: map[key]uint64{}, hollow: map[key]bool{},
		dates: map[market.Date]int{}, newest: map[string]market.Date{},
	}
	symbol, date := c.batch.Column("ts_code"), c.batch.Column("trade_date")
	for r := range c.batch.Len {
		s, d := symbol.Texts[r], date.Dates[r]
		a.rows[key{s, d}] = r
		a.dates[d]++
		if last, ok := a.newest[s]; !ok || d > last {
			a.newest[s] = d
		}
	}
	for _, x := range c.rejects {
		if !x.closed {
			a.rejected[key{x.symbol, x.date}] = true
		}
	}
	if len(c.doubtful) > 0 {
		hashes := c.batch.RowHashes()
		for _, r := range c.doubtful {
			a.doubtful[key{symbol.Texts[r], date.Dates[r]}] = max(hashes[r], 1)
		}
	}
	for _, r := range c.hollow {
		a.hollow[key{symbol.Texts[r], date.Dates[r]}] = true
	}
	return a
}

func dateEvidence(ds *catalog.Dataset, d market.Date, c checked, l *coverage.Lists) coverage.Evidence {
	rows := c.all.Sum()
	e := coverage.Expect(ds, d, coverage.FactsOf(ds, d, l))
	switch {
	case rows == 0:
		return coverage.EmptyDate
	case !e.Known:
		return coverage.OthersTraded
	case e.Reaches(rows, c.all):
		return coverage.WholeDate
	}
	return coverage.ShortDate
}

// judgeKeys judges every symbol on every trading day of the date range that is due, and on
// any other day with a row.
func (j *job) judgeKeys(ctx context.Context, world coverage.PoolState, a symbolAnswer) (verdicts, error) {
	p, now := j.work.Partition, time.Now()
	days, _ := world.Calendar.Days(p.Start, p.End)
	days = slices.DeleteFunc(days, func(d market.Date) bool { return now.Before(coverage.DueAt(j.ds, d)) })
	for d := range a.dates {
		days = append(days, d)
	}
	for k := range a.rejected {
		days = append(days, k.date)
	}
	for k := range a.refuted {
		days = append(days, k.date)
	}
	slices.Sort(days)
	days = slices.Compact(days)
	if len(days) == 0 { // nothing is due: the requested day is recorded as it was found
		days = []market.Date{p.End}
	}
	var traded *tradedDays
	size := len(days) * len(p.Symbols)
	out := verdicts{records: make([]coverage.Record, 0, size), of: make([]keyVerdict, 0, size)}
	for _, s := range p.Symbols {
		for _, d := range days {
			k := coverage.Key{Dataset: j.ds.ID, Date: d, Symbol: s}
			f := coverage.KeyFacts{RejectedRow: a.rejected[key{s, d}], Refuted: a.refuted[key{s, d}], Strays: a.strayed[key{s, d}], Doubtful: a.doubtful[key{s, d}], MissingValues: a.hollow[key{s, d}], Evidence: a.evidence}
			_, f.Row = a.rows[key{s, d}]
			f.RejectedRow = f.RejectedRow || !f.Row && a.strays[s]
			if !f.Row && !f.RejectedRow && f.Refuted == 0 {
				f.Listed, f.ListKnown = world.Lists.Listed(s, d)
				f.NotBegun = j.i.begins.known(j.ds.ID, d)
				_, found := world.Lists.Find(s)
				f.Unlisted = !found && world.Lists.Has(j.ds.Kind)
				f.Daily, f.Sibling, f.Shared = j.dailyState(s, d), j.sibling(s, d), a.shared[s]
				if !a.whole {
					if traded == nil {
						var err error
						if traded, err = j.traded(ctx, world.Calendar); err != nil {
							return verdicts{}, err
						}
					}
					f.Evidence = spanEvidence(a, s, d, traded)
				}
				if f.Evidence == coverage.ShortDate && j.ds.ID == catalog.Daily && f.Sibling == "" && (a.proof == nil || !a.proof.rows[s]) && j.halted(ctx, s, d, world.Lists) {
					f.Evidence = coverage.WholeDate // so many are suspended that the date looks short
				}
			}
			held, ok := j.sink.Held(k)
			out.add(coverage.JudgeKey(j.ds, k, f, coverage.Situation{
				Now: now, Publishing: coverage.Publishing(j.ds, world.Calendar, d, now),
				Held: held, HasHeld: ok, Epoch: j.work.Epoch, RunID: j.work.RunID,
			}))
		}
	}
	return out, nil
}

func spanEvidence(a symbolAnswer, s string, d market.Date, traded *tradedDays) coverage.Evidence {
	last, has := a.newest[s]
	if e, asked := a.others[d]; asked {
		return e
	}
	switch p := a.proof; {
	case p != nil && p.date == d && p.rows[s]:
		return coverage.ShortDate // the response for the date range lacks an existing row
	case p != nil && p.date == d:
		return p.evidence
	case p != nil && p.date > d && p.evidence == coverage.WholeDate:
		return coverage.TradedLater
	case a.dates[d] > 0, traded.days[d]:
		return coverage.OthersTraded
	case has && last > d, traded.last > d:
		return coverage.TradedLater
	}
	return coverage.NoEvidence
}

// tradedDays is on which days the pool has a row of any symbol.
type tradedDays struct {
	days map[market.Date]bool
	last market.Date
}

func (j *job) traded(ctx context.Context, cal Calendar) (*tradedDays, error) {
	out := &tradedDays{days: map[market.Date]bool{}, last: market.NoDate}
	if reader, ok := j.sink.(DayReader); ok {
		days, err := reader.Traded(ctx, j.ds.ID, j.work.Partition.Start)
		for _, d := range days {
			if cal.IsOpen(d) {
				out.days[d], out.last = true, max(out.last, d)
			}
		}
		return out, err
	}
	err := j.sink.Coverage(ctx, []string{j.ds.ID}, j.work.Partition.Start, market.NoDate, func(r coverage.Record) bool {
		if r.Rows > 0 && cal.IsOpen(r.Date) {
			out.days[r.Date], out.last = true, max(out.last, r.Date)
		}
		return true
	})
	return out, err
}

func (j *job) dailyState(s string, d market.Date) coverage.DailyState {
	if !j.ds.RestsOnDaily {
		return coverage.DailyUnknown
	}
	r, ok := j.sink.Held(coverage.Key{Dataset: catalog.Daily, Date: d, Symbol: s})
	switch {
	case !ok:
		return coverage.DailyUnknown
	case r.Rows > 0:
		return coverage.DailyHeld
	case r.Verdict.Settled():
		return coverage.DailyNone
	}
	return coverage.DailyPending
}

// sibling returns another dataset that has a row of the symbol on the day.
func (j *job) sibling(s string, d market.Date) string {
	for _, other := range coverage.Siblings(j.ds, s) {
		if r, ok := j.sink.Held(coverage.Key{Dataset: other, Date: d, Symbol: s}); ok && r.Rows > 0 {
			return other
		}
	}
	return ""
}

// commitSymbols commits the results. If the response lacks stored rows of a symbol, they
// stay: its records are written, and its rows are unchanged.
func (j *job) commitSymbols(ctx context.Context, c checked, world coverage.PoolState, judged verdicts, known map[coverage.Key]bool) (Result, error) {
	p, now := j.work.Partition, time.Now()
	lost := map[string]int{}
	for _, k := range judged.of {
		if k.lost {
			lost[k.Symbol]++
		}
	}
	fresh, kept := judged.records, []coverage.Record(nil)
	if len(lost) > 0 {
		fresh, kept = j.divide(judged, lost)
	}
	var changes Changes
	for _, part := range []struct {
		records []coverage.Record
		lost    bool
	}{{fresh, false}, {kept, true}} {
		if len(part.records) == 0 {
			continue
		}
		commit := Commit{Partition: p, Epoch: j.work.Epoch, RunID: j.work.RunID, Records: part.records}
		commit.Partition.Symbols = slices.DeleteFunc(slices.Clone(p.Symbols), func(s string) bool { return (lost[s] > 0) != part.lost })
		for _, x := range c.rejects {
			if (lost[x.symbol] > 0) == part.lost {
				commit.Rejects = append(commit.Rejects, x.of(j.ds.ID, now))
			}
		}
		if !part.lost {
			commit.Batch = c.batch
			if len(lost) > 0 {
				commit.Batch = without(c.batch, lost)
			}
		}
		got, err := j.commit(ctx, commit)
		if err != nil {
			return Result{}, err
		}
		changes.New, changes.Changed, changes.Gone = changes.New+got.New, changes.Changed+got.Changed, changes.Gone+got.Gone
		changes.Revised.Add(got.Revised)
	}
	found, err := j.disproved(ctx, world, judged)
	if err == nil {
		found, err = j.doubt(ctx, found)
	}
	if err != nil {
		return Result{}, err
	}
	return j.sum(c, world, append(fresh, kept...), changes, len(lost), judged, found, known), nil
}

// divide separates the records of symbols whose rows are replaced from those of symbols that
// keep their stored rows.
func (j *job) divide(judged verdicts, lost map[string]int) (fresh, kept []coverage.Record) {
	for _, k := range judged.of {
		r := *k.Record
		switch {
		case lost[r.Symbol] == 0:
			fresh = append(fresh, r)
		case k.lost, r.Rows == 0:
			kept = append(kept, r)
		default: // a row that is not stored this time: its record does not change
			if held, ok := j.sink.Held(r.Key); ok && held.Rows > 0 {
				held.CommittedAt, held.Epoch, held.RunID = r.CommittedAt, r.Epoch, r.RunID
				kept = append(kept, held)
			}
		}
	}
	return fresh, kept
}

func without(b *table.Batch, lost map[string]int) *table.Batch {
	col := b.Column("ts_code")
	keep := make([]int, 0, b.Len)
	for r := range b.Len {
		if lost[col.Texts[r]] == 0 {
			keep = append(keep, r)
		}
	}
	return b.Select(keep)
}

func (j *job) sum(c checked, world coverage.PoolState, records []coverage.Record, changes Changes, lost int, judged verdicts, found []coverage.KeyJudgement, known map[coverage.Key]bool) Result {
	p := j.work.Partition
	total := coverage.Record{Key: coverage.Key{Dataset: j.ds.ID, Date: market.NoDate}, Epoch: j.work.Epoch, RunID: j.work.RunID,
		SameSince: market.NoDate, LastSame: market.NoDate, Verdict: coverage.ExpectedEmpty}
	if p.Start == p.End {
		total.Date = p.Start
	}
	proved := proofs{}
	doubted := map[coverage.Key]bool{}
	for _, k := range found {
		proved.add(k.Record, k.Proof)
		doubted[k.Record.Key] = true
		total.Verdict = coverage.Incomplete
	}
	unlisted := j.unlisted(world)
	for _, k := range judged.of {
		if k.proof != "" && k.Verdict == coverage.Incomplete {
			proved.add(*k.Record, k.proof)
			doubted[k.Key] = true
		}
	}
	var absent, unknownDays []coverage.Record
	by := map[coverage.Verdict][]coverage.Record{}
	held := map[string]bool{}
	for _, r := range records {
		total.Rows, total.Expected = total.Rows+r.Rows, total.Expected+r.Expected
		total.ByExchange.SH += r.ByExchange.SH
		total.ByExchange.SZ += r.ByExchange.SZ
		total.ByExchange.BJ += r.ByExchange.BJ
		total.Verdict = coverage.Worst(total.Verdict, r.Verdict)
		total.SameDays = max(total.SameDays, r.SameDays)
		if r.CommittedAt.After(total.CommittedAt) {
			total.CommittedAt = r.CommittedAt
		}
		switch {
		case doubted[r.Key]:
		case unlisted[r.Symbol] && r.Rows == 0:
			unknownDays = append(unknownDays, r)
		case !r.Verdict.Settled(), r.Verdict == coverage.AcceptedShort:
			by[r.Verdict] = append(by[r.Verdict], r)
		case r.Verdict == coverage.ExpectedEmpty && j.ds.Table == catalog.TablePrices:
			if listed, _ := world.Lists.Listed(r.Symbol, r.Date); listed && !known[r.Key] {
				absent = append(absent, r)
			}
		}
		if r.Rows > 0 {
			held[r.Symbol] = true
		}
	}
	total.Rejected = int64(len(c.rejects))
	var unknown []string
	total.Unknown, unknown = unknownSymbols(c.batch, world.Lists)
	total.New, total.Changed, total.Gone = changes.New, changes.Changed, changes.Gone
	for _, v := range []coverage.Verdict{coverage.Empty, coverage.Incomplete, coverage.NotPublished, coverage.AcceptedShort} {
		stored := func(r coverage.Record) bool { return v == coverage.AcceptedShort && r.Rows > 0 }
		if taken := slices.DeleteFunc(slices.Clone(by[v]), func(r coverage.Record) bool { return !stored(r) }); len(taken) > 0 {
			total.Issues = append(total.Issues, j.takenIssue(taken))
		}
		if by[v] = slices.DeleteFunc(by[v], stored); len(by[v]) > 0 {
			total.Issues = append(total.Issues, j.keyIssue(v, by[v]))
		}
	}
	if lost > 0 {
		i := j.issue(fault.Incomplete, fmt.Sprintf("The provider returned %s without rows for %s that are stored; the stored rows are kept.", j.on(), fault.Count(lost, "symbol", "symbols")),
			"row_count", fmt.Sprint(c.batch.Len))
		i.Severity = fault.Warning
		total.Issues = append(total.Issues, i)
	}
	total.Issues = append(total.Issues, proved.issues(j)...)
	total.Issues = append(total.Issues, j.absences(absent, unknownDays)...)
	total.Issues = append(total.Issues, j.findings(c, true, total.Unknown, unknown)...)
	out := Result{Partition: p, Held: total, Found: total.Verdict, Symbols: int64(len(held)), Calls: j.calls, Repeated: j.repeated, Revised: changes.Revised}
	out.warn(total.Issues...)
	out.warn(j.revised(changes)...)
	return out
}

func (j *job) on() string { return j.ds.ID + " of " + dateText(j.work.Partition) }

func (j *job) issue(r fault.Reason, message string, kv ...string) fault.Issue {
	return coverage.About(j.ds, fault.NewIssue(r, message, append([]string{"dataset", j.ds.ID, "trade_date", dateText(j.work.Partition)}, kv...)...))
}

// takenIssue reports rows that were refuted and are stored because they stay the same.
func (j *job) takenIssue(records []coverage.Record) fault.Issue {
	n, list := keyNames(records)
	days := fewestDays(records)
	return j.issue(fault.AcceptedShort, fmt.Sprintf("%s contradicts other data for %s; the response was the same on %s, so it is accepted and stored: %s.", j.on(), fault.Count(n, "symbol and day", "symbols and days"), fault.Count(days, "day", "days"), list),
		"row_count", fmt.Sprint(n), "expected_count", fmt.Sprint(n), "days", fmt.Sprint(days))
}

func fewestDays(records []coverage.Record) int {
	return slices.MinFunc(records, func(a, b coverage.Record) int { return cmp.Compare(a.SameDays, b.SameDays) }).SameDays
}

func (j *job) keyIssue(v coverage.Verdict, records []coverage.Record) fault.Issue {
	_, list := keyNames(records)
	n := fmt.Sprint(len(records))
	switch v {
	case coverage.NotPublished:
		due := coverage.DueAt(j.ds, records[0].Date).Format("15:04")
		return j.issue(fault.NotPublished, fmt.Sprintf("The provider has not published %s for %s yet (%s); it is due at %s in Shanghai.", j.ds.ID, fault.Count(len(records), "symbol and day", "symbols and days"), list, due), "due_time", due)
	case coverage.Empty:
		return j.issue(fault.EmptyAnswer, fmt.Sprintf("The provider returned %s without rows for %s, and no data shows why: %s.", j.on(), fault.Count(len(records), "symbol and day", "symbols and days"), list), "expected_count", n)
	case coverage.AcceptedShort:
		days := fewestDays(records)
		return j.issue(fault.AcceptedShort, fmt.Sprintf("%s has no row for %s; the response was the same on %s, so it is accepted: %s.", j.on(), fault.Count(len(records), "symbol and day", "symbols and days"), fault.Count(days, "day", "days"), list), "row_count", "0", "expected_count", n, "days", fmt.Sprint(days))
	}
	return j.issue(fault.Incomplete, fmt.Sprintf("%s has no rows for %s: %s.", j.on(), fault.Count(len(records), "symbol and day", "symbols and days"), list), "row_count", "0", "expected_count", n)
}
