package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// doubt is what the values of the current day show about it and about other days.
type doubt struct {
	// against are the findings about the current day, others those about stored days.
	against []evidence.Finding
	others  []accusation
	// notices are reported and block nothing.
	notices []fault.Issue
	// odd is the number of rows that cannot be right, if they are too few for a finding.
	odd int
	// day is what is remembered of the current day; nil for snapshots.
	day *evidence.Day
}

// accusation is a finding about a partition other than the current one.
type accusation struct {
	key     coverage.Key
	finding evidence.Finding
}

func (d *doubt) accuse(day *evidence.Day, f evidence.Finding) {
	d.others = append(d.others, accusation{coverage.Key{Dataset: day.Dataset, Date: day.Date}, f})
}

// longestGap is the number of trading days without a row over which a symbol's next
// reference price is compared with its last close.
const longestGap = 10

// examine compares the rows of a trade date with the neighbouring days and with the other
// datasets of the date.
func (j *job) examine(ctx context.Context, c *checked, cal Calendar) (doubt, error) {
	out := doubt{against: c.findings()}
	if j.ds.Snapshot {
		return out, nil
	}
	x := j.examination(&out, evidence.NewDay(j.ds, j.work.Partition.Start, c.batch), cal)
	if x == nil {
		return out, nil
	}
	err := x.quotesFirst(ctx)
	if err == nil {
		err = x.all(ctx)
	}
	return out, err
}

// manyAsked is the number of requested rows from which they say as much as a whole
// response.
const manyAsked = 200

// suspect compares a trade date of targets, of which the whole response came, with the
// neighbouring days and with the other datasets of the date, as far as they are remembered
// completely or stored in the pool. If many symbols are requested, their rows stand for
// all; on an old date, of which a backfill fetches hundreds, each row is then judged alone.
func (j *job) suspect(ctx context.Context, c *checked, answer *table.Batch, cal Calendar) (doubt, error) {
	var out doubt
	var day *evidence.Day
	p := j.work.Partition
	switch {
	case p.Start != p.End, c.batch.Len >= manyAsked && !recent(p.Start):
		return out, nil
	case c.batch.Len >= manyAsked:
		day = evidence.NewDay(j.ds, p.Start, c.batch)
	default:
		day = evidence.NewDayOf(j.ds, p.Start, answer, c.good)
	}
	x := j.examination(&out, day, cal)
	if x == nil {
		return out, nil
	}
	err := x.all(ctx)
	return out, err
}

// examination starts the examination of a day, which is remembered from here on. It returns
// nil if the day has no rows that can be compared.
func (j *job) examination(out *doubt, day *evidence.Day, cal Calendar) *examination {
	if day == nil || len(day.Symbols) == 0 {
		return nil
	}
	out.day = day
	return &examination{job: j, doubt: out, cal: cal, seen: j.days().put(j.flight, day)}
}

// examination is the examination of one day.
type examination struct {
	*job
	*doubt
	cal  Calendar
	seen map[coverage.Key]*evidence.Day
	// prev and next are the neighbouring trading days of the same dataset; nil if not stored.
	prev, next *evidence.Day
	// withPrev and withNext are the current day paired with them; nil likewise.
	withPrev, withNext *evidence.Pair
	// witness is the trading day before prev of daily_basic; nil if not stored.
	witness *evidence.Day
}

// quotesFirst waits until the date's daily is judged, if that is remembered and in
// progress, and leaves it out if it was found to be wrong: otherwise the current day would
// be blamed for it. Daily was remembered earlier, so it does not wait for this day.
func (x *examination) quotesFirst(ctx context.Context) error {
	k := coverage.Key{Dataset: catalog.Daily, Date: x.day.Date}
	day := x.seen[k]
	if day == nil || !x.ds.RestsOnDaily {
		return nil
	}
	if err := x.i.flights.verdict(ctx, x.flight, k); err != nil {
		return err
	}
	if !x.days().holds(day) {
		delete(x.seen, k)
	}
	return nil
}

func (x *examination) quotes() bool {
	return x.ds.ID == catalog.Daily || x.ds.ID == catalog.FundDaily
}

// find returns another day, as it was remembered together with this one, or from the pool's
// file; nil if it is not stored.
func (x *examination) find(ctx context.Context, dataset string, date market.Date) (*evidence.Day, error) {
	k := coverage.Key{Dataset: dataset, Date: date}
	if day := x.seen[k]; day != nil || date == market.NoDate {
		return day, nil
	}
	if x.inTargets() {
		day, err := x.poolDay(ctx, dataset, date)
		if err != nil || day == nil || len(day.Symbols) == 0 {
			return nil, err
		}
		return day, nil
	}
	if r, ok := x.sink.Held(k); !ok || r.Rows == 0 {
		return nil, nil
	}
	b, err := x.sink.Rows(ctx, k)
	if err != nil {
		return nil, err
	}
	day := evidence.NewDay(catalog.Lookup(dataset), date, b)
	x.seen[k] = day
	return day, nil
}

func (x *examination) beside(ctx context.Context, dataset string) (prev, next *evidence.Day, err error) {
	if prev, err = x.find(ctx, dataset, x.cal.Before(x.day.Date)); err != nil {
		return nil, nil, err
	}
	next, err = x.find(ctx, dataset, x.cal.Next(x.day.Date))
	return prev, next, err
}

func (x *examination) found(f evidence.Finding, ok bool) bool {
	same := func(g evidence.Finding) bool { return g.Reason == f.Reason && g.What == f.What }
	if ok && !slices.ContainsFunc(x.against, same) { // a gap of one day is seen from both sides
		x.against = append(x.against, f)
	}
	return ok
}

// few reports rows that cannot be those of their day but are too few for a finding. They are
// stored as received, and the day is fetched once more. In targets, such rows are not stored.
func few[V any](x *examination, reason fault.Reason, what string, rows map[evidence.Symbol]V) {
	if len(rows) == 0 || x.inTargets() || x.falsified() {
		return
	}
	symbols := symbolsOf(rows)
	f := evidence.Finding{
		Reason: reason, Count: len(symbols), Of: len(x.day.Symbols), Sample: symbols[:min(len(symbols), sampleSize)],
		What: what + " " + fault.Count(len(symbols), "symbol", "symbols"),
	}
	i := coverage.About(x.ds, f.Issue(x.ds.ID, x.day.Date))
	i.Severity, i.Remedy = fault.Warning, "Compare with another source before you use these rows."
	x.notices, x.odd = append(x.notices, i), x.odd+len(symbols)
}

// repeats reports the rows of the day that have the values of an earlier one. Two quiet days
// of daily_basic can be equal, so the date's daily must contradict them.
func (x *examination) repeats(ctx context.Context, p *evidence.Pair) error {
	if len(p.Repeats()) == 0 || x.inTargets() {
		return nil
	}
	rows := map[evidence.Symbol]bool{}
	for _, s := range p.Repeats() {
		rows[s] = true
	}
	if x.ds.ID == catalog.DailyBasic {
		quotes, err := x.find(ctx, catalog.Daily, x.day.Date)
		if err != nil || quotes == nil {
			return err
		}
		for s := range evidence.Confirmed(x.day, quotes) {
			delete(rows, s)
		}
	}
	few(x, fault.ValuesRepeated, "repeats the values of "+p.Other.Date.String()+" for", rows)
	return nil
}

func (x *examination) falsified() bool {
	return slices.ContainsFunc(x.against, evidence.Finding.False)
}

// hollow reports whether the day was found to lack values.
func (x *examination) hollow() bool {
	return slices.ContainsFunc(x.against, func(f evidence.Finding) bool { return f.Reason == fault.ValuesMissing })
}

func (x *examination) all(ctx context.Context) (err error) {
	if x.prev, x.next, err = x.beside(ctx, x.ds.ID); err != nil {
		return err
	}
	if x.prev != nil && x.ds.ID == catalog.DailyBasic {
		if x.witness, err = x.find(ctx, x.ds.ID, x.cal.Before(x.prev.Date)); err != nil {
			return err
		}
	}
	if x.prev != nil {
		x.withPrev = evidence.PairOf(x.day, x.prev)
		if !x.found(x.withPrev.Repeated(x.witness)) && x.quotes() {
			x.found(evidence.Follows(x.day, x.prev))
		}
		if err := x.repeats(ctx, x.withPrev); err != nil {
			return err
		}
		few(x, fault.ValuesConflict, "has many times the total_share of "+x.prev.Date.String()+", or a fraction of it, for", evidence.JumpedSymbols(x.day, x.prev))
	}
	if !x.falsified() {
		if err := x.older(ctx); err != nil {
			return err
		}
	}
	if x.next != nil && !x.falsified() {
		x.withNext = evidence.PairOf(x.day, x.next)
		if f, ok := x.withNext.Reversed().Repeated(x.prev); ok {
			x.accuse(x.next, f)
		} else if x.quotes() {
			if err := x.unlinkedNext(ctx); err != nil {
				return err
			}
		}
	}
	for _, beside := range []*evidence.Day{x.prev, x.next} {
		if beside != nil && !x.hollow() {
			x.found(evidence.MissingValues(x.day, beside))
		}
	}
	if !x.falsified() {
		if err := x.withoutValues(ctx); err != nil {
			return err
		}
	}
	if err := x.sameDate(ctx); err != nil {
		return err
	}
	if !x.falsified() {
		x.habits()
	}
	if !x.falsified() {
		if err := x.jumps(ctx); err != nil {
			return err
		}
	}
	if !x.quotes() || x.falsified() || x.inTargets() {
		return nil
	}
	return x.gaps(ctx)
}

// unlinkedNext compares the closes of the day with pre_close of the next one. If they differ, the
// one that its other neighbour does not confirm is wrong; if neither or both are confirmed, this day.
func (x *examination) unlinkedNext(ctx context.Context) error {
	f, ok := evidence.Follows(x.next, x.day)
	if !ok {
		return nil
	}
	after, err := x.find(ctx, x.ds.ID, x.cal.Next(x.next.Date))
	if err != nil {
		return err
	}
	if x.prev != nil && evidence.Confirms(x.day, x.prev) && (after == nil || !evidence.Confirms(after, x.next)) {
		x.accuse(x.next, f)
		return nil
	}
	f.What = "has closes that differ from the pre_close of " + x.next.Date.String() + " in too many rows"
	x.found(f, true)
	return nil
}

// withoutValues finds days that lack values which other days have, and came before them, or are
// several: a day lacks values if an earlier one has them. The days before a column begins lack them
// too, so of these it finds only the last one.
func (x *examination) withoutValues(ctx context.Context) error {
	x.stillWithoutValues()
	if x.prev != nil {
		if f, ok := evidence.MissingValues(x.prev, x.day); ok {
			x.accuse(x.prev, f)
		}
	}
	for d := x.day.Date - longestGap; d < x.day.Date; d++ { // those that are remembered
		other := x.seen[coverage.Key{Dataset: x.ds.ID, Date: d}]
		if other == nil || x.hollow() {
			continue
		}
		x.found(evidence.MissingValues(x.day, other))
	}
	d := x.day.Date
	for range longestGap {
		d = x.cal.Next(d)
		later, err := x.find(ctx, x.ds.ID, d)
		if err != nil {
			return err
		}
		if later == nil {
			continue // it comes later, and then remembers this one
		}
		f, ok := evidence.MissingValues(later, x.day)
		if !ok {
			return nil
		}
		x.accuse(later, f)
	}
	return nil
}

// stillWithoutValues finds that the day lacks the values whose absence made it INCOMPLETE. The days
// beside it may lack them too, and then nothing else shows it.
func (x *examination) stillWithoutValues() {
	r, ok := x.sink.Held(coverage.Key{Dataset: x.ds.ID, Date: x.day.Date})
	if !ok || r.Verdict != coverage.Incomplete || x.inTargets() {
		return
	}
	for _, i := range r.Issues {
		names := strings.Split(i.Meta["column"], ", ")
		if i.Reason != fault.ValuesMissing || x.hollow() {
			continue
		}
		filled := x.day.Filled(names)
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(filled, name) })
		if n := len(x.day.Symbols); len(names) > 0 {
			x.found(evidence.Lacking(names, n, n), true)
		}
	}
}

// older compares a recent day with some days before the previous one, and the recent days
// after it with it: a provider was seen to return the values of four days before. If only a
// part of the market is that old, no break in the chain of pre_close shows it.
func (x *examination) older(ctx context.Context) error {
	if !recent(x.day.Date) {
		return nil
	}
	d, later := x.cal.Before(x.day.Date), x.cal.Next(x.day.Date)
	for range staleDays {
		d, later = x.cal.Before(d), x.cal.Next(later)
		before, err := x.find(ctx, x.ds.ID, d)
		if err != nil {
			return err
		}
		if before != nil {
			p := evidence.PairOf(x.day, before)
			if x.found(p.Repeated(x.prev)) {
				return nil
			}
			if err := x.repeats(ctx, p); err != nil {
				return err
			}
		}
		after, err := x.find(ctx, x.ds.ID, later)
		if err != nil {
			return err
		}
		if after == nil {
			continue
		}
		if f, ok := evidence.PairOf(after, x.day).Repeated(x.next); ok {
			x.accuse(after, f)
		}
	}
	return nil
}

// habits finds relations between the fields of a row that one of two neighbouring days
// keeps, and the other does not.
func (x *examination) habits() {
	for _, beside := range []*evidence.Day{x.prev, x.next} {
		if beside == nil {
			continue
		}
		if x.found(evidence.Breaks(x.day, beside)) {
			return
		}
		if f, ok := evidence.Breaks(beside, x.day); ok {
			x.accuse(beside, f)
		}
	}
}

// jumps finds columns with a different unit, meaning or position than on the neighbouring
// days. The day that stands alone is wrong. If the days before and the days from this one
// on each agree among themselves, the provider has changed the column for good: that is
// reported, and nothing is fetched again.
func (x *examination) jumps(ctx context.Context) error {
	differs := func(p *evidence.Pair) (f evidence.Finding, ok bool) {
		if p == nil {
			return f, false
		}
		return p.Differs()
	}
	shuffled := func(p *evidence.Pair, step func(market.Date) market.Date) (f evidence.Finding, ok bool, err error) {
		if p == nil || x.ds.ID != catalog.DailyBasic {
			return f, false, nil
		}
		beyond, err := x.find(ctx, x.ds.ID, step(p.Other.Date))
		if err != nil || beyond == nil {
			return f, false, err
		}
		f, ok = p.Shuffled(beyond)
		return f, ok, nil
	}
	before, up := differs(x.withPrev)
	after, down := differs(x.withNext)
	var err error
	if !up && !down {
		if before, up, err = shuffled(x.withPrev, x.cal.Before); err != nil {
			return err
		}
		if after, down, err = shuffled(x.withNext, x.cal.Next); err != nil {
			return err
		}
	}
	// beside blames a neighbouring day that differs from this one, unless the day beyond it
	// agrees with it.
	beside := func(p *evidence.Pair, f evidence.Finding, step func(market.Date) market.Date) error {
		beyond, err := x.find(ctx, x.ds.ID, step(p.Other.Date))
		if err != nil {
			return err
		}
		alone := beyond == nil
		if !alone {
			_, alone = evidence.PairOf(p.Other, beyond).Differs()
		}
		if alone {
			g, _ := p.Reversed().Differs()
			x.accuse(p.Other, g)
			return nil
		}
		changed := "unit"
		if f.Reason != fault.UnitSuspect {
			changed = "definition"
		}
		f.What += "; the days before and after each agree, so the provider has probably changed the " + changed + " for good"
		i := coverage.About(x.ds, f.Issue(x.ds.ID, x.day.Date))
		i.Severity, i.Remedy = fault.Warning, "Check the unit and the definition of the column before you compare dates before the change with dates after it."
		x.notices = append(x.notices, i)
		return nil
	}
	if up != down && x.prev != nil && x.next != nil {
		alone, err := x.standsAlone(ctx, up)
		if err != nil {
			return err
		}
		up, down = up || alone, down || alone
	}
	switch {
	case up && x.next != nil && !down:
		return beside(x.withPrev, before, x.cal.Before)
	case down && x.prev != nil && !up:
		return beside(x.withNext, after, x.cal.Next)
	case up && before.Reason != "":
		x.found(before, true)
	case down:
		x.found(after, true)
	default:
		return x.lastShuffled(ctx)
	}
	return nil
}

// standsAlone reports whether the day has the values of other rows by one neighbouring day, and
// could not be compared with the other, because nothing is stored beyond that: if the neighbouring
// days agree with each other, the day is wrong, and the provider has not changed the column. up is
// whether the neighbouring day that tells is the previous one.
func (x *examination) standsAlone(ctx context.Context, up bool) (bool, error) {
	if x.ds.ID != catalog.DailyBasic {
		return false, nil
	}
	tells, other, beyondTells, beyondOther := x.prev, x.next, x.cal.Before(x.prev.Date), x.cal.Next(x.next.Date)
	if !up {
		tells, other, beyondTells, beyondOther = other, tells, beyondOther, beyondTells
	}
	unknown, err := x.find(ctx, x.ds.ID, beyondOther)
	if err != nil || unknown != nil {
		return false, err
	}
	beyond, err := x.find(ctx, x.ds.ID, beyondTells)
	if err != nil || beyond == nil {
		return false, err
	}
	p := evidence.PairOf(other, tells)
	_, differs := p.Differs()
	_, shuffled := p.Shuffled(beyond)
	return !differs && !shuffled, nil
}

// lastShuffled finds that the last day held has the values of other rows, by the two days
// before it, one of which is the day in progress: a backfill brings it first.
func (x *examination) lastShuffled(ctx context.Context) error {
	if x.ds.ID != catalog.DailyBasic || x.next == nil {
		return nil
	}
	last, other, beyond := x.next, x.day, x.prev
	after, err := x.find(ctx, x.ds.ID, x.cal.Next(last.Date))
	if err != nil {
		return err
	}
	if after != nil {
		last, other, beyond = after, x.next, x.day
		if after, err = x.find(ctx, x.ds.ID, x.cal.Next(last.Date)); err != nil || after != nil {
			return err
		}
	}
	if beyond == nil {
		return nil
	}
	if f, ok := evidence.PairOf(last, other).Shuffled(beyond); ok {
		x.accuse(last, f)
	}
	return nil
}

// gaps finds symbols that have no row on a day although their next reference price counts
// one. The current day may be the one after such a gap, the one before it, or its last or
// first day, in any order of arrival.
func (x *examination) gaps(ctx context.Context) error {
	if x.prev != nil {
		if err := x.walk(ctx, x.day, evidence.Resumed(x.day, x.prev), x.cal.Before, x.prev); err != nil {
			return err
		}
	}
	if x.next != nil {
		if err := x.walk(ctx, x.day, evidence.Resumed(x.day, x.next), x.cal.Next, x.next); err != nil {
			return err
		}
	}
	if x.prev == nil || x.next == nil {
		return nil
	}
	if err := x.walk(ctx, x.next, evidence.Resumed(x.next, x.day), x.cal.Before, x.day); err != nil {
		return err
	}
	if err := x.walk(ctx, x.prev, evidence.Resumed(x.prev, x.day), x.cal.Next, x.day); err != nil {
		return err
	}
	return x.middle(ctx)
}

// middle finds gaps with the current day in the middle, if it is the last of their days to
// arrive: the neighbouring days lack the symbols, too.
func (x *examination) middle(ctx context.Context) error {
	if r, ok := x.sink.Held(coverage.Key{Dataset: x.ds.ID, Date: x.day.Date}); ok && r.Verdict == coverage.Complete {
		return nil // they were found when it first arrived
	}
	gap := []*evidence.Day{x.next, x.day} // newest first
	for len(gap) < longestGap {
		after, err := x.find(ctx, x.ds.ID, x.cal.Next(gap[0].Date))
		if err != nil || after == nil {
			return err
		}
		symbols := slices.DeleteFunc(evidence.Resumed(after, gap[0]), func(s evidence.Symbol) bool {
			return x.prev.Has(s) || slices.ContainsFunc(gap, func(d *evidence.Day) bool { return d.Has(s) })
		})
		if err := x.walk(ctx, after, symbols, x.cal.Before, gap...); err != nil {
			return err
		}
		gap = append([]*evidence.Day{after}, gap...)
	}
	return nil
}

// walk goes from a day on which symbols have a row over the days without one, beginning
// with those of gap, to the day on which each has a row again.
func (x *examination) walk(ctx context.Context, from *evidence.Day, symbols []evidence.Symbol, step func(market.Date) market.Date, gap ...*evidence.Day) error {
	gap = slices.Clone(gap)
	for len(symbols) > 0 && len(gap) <= longestGap {
		at := step(gap[len(gap)-1].Date)
		to := x.day
		if at != x.day.Date {
			var err error
			if to, err = x.find(ctx, x.ds.ID, at); err != nil {
				return err
			}
		}
		if to == nil {
			return nil
		}
		before, after := from, to
		if before.Date > after.Date {
			before, after = after, before
		}
		var left, skipping []evidence.Symbol
		for _, s := range symbols {
			switch skips, told := evidence.Skips(s, after, before); {
			case !told:
				left = append(left, s)
			case skips:
				skipping = append(skipping, s)
			}
		}
		for _, g := range gap {
			proved := x.skipped(ctx, g, after, skipping)
			switch {
			case len(proved) == 0:
				continue
			case g == x.day:
				x.found(evidence.Skipped(g, after, proved), true)
			default:
				x.accuse(g, evidence.Skipped(g, after, proved))
			}
			for _, dataset := range restOn[g.Dataset] { // the whole day is missing, not the row
				other, err := x.find(ctx, dataset, g.Date)
				if err != nil {
					return err
				}
				if f, ok := evidence.SkippedToo(other, after, proved); ok {
					x.accuse(other, f)
				}
			}
		}
		symbols, gap = left, append(gap, to)
	}
	return nil
}

// recentDays is for how many calendar days a reference price alone proves a missing row.
const recentDays = 15

// skipped divides the symbols that traded on a day according to their next reference price
// into proved ones, which it returns, and others, which it reports. An ex-date during a
// suspension looks the same (4 of 111 resumptions in the last quarter of 2019), so the
// provider's list of suspensions is consulted, which has only stocks. If it says nothing, a
// recent day is fetched again, and an old one is not.
func (x *examination) skipped(ctx context.Context, day, after *evidence.Day, symbols []evidence.Symbol) []evidence.Symbol {
	if len(symbols) == 0 {
		return nil
	}
	list := x.suspendedOn(ctx, day.Date)
	if day.Dataset == catalog.Daily && !list.fits(day) {
		list = suspendedList{}
	}
	var proved, open []evidence.Symbol
	for _, s := range symbols {
		switch {
		case slices.Contains(list.symbols, s):
		case list.told && day.Dataset == catalog.Daily || day.Date >= market.DateOf(time.Now())-recentDays:
			proved = append(proved, s)
		default:
			open = append(open, s)
		}
	}
	if len(open) > 0 {
		f := evidence.Skipped(day, after, open)
		f.Reason = fault.SymbolsAbsent
		i := coverage.About(x.ds, f.Issue(day.Dataset, day.Date))
		i.Remedy = fmt.Sprintf(`List them: curl "localhost:7780/v1/pools/%s/absent-symbols?dataset_id=%s&trade_date=%s"`, x.work.Partition.Pool, day.Dataset, day.Date)
		x.notices = append(x.notices, i)
	}
	return proved
}

// restOn are the datasets of a date that are compared with each other.
var restOn = func() map[string][]string {
	out := map[string][]string{}
	for _, ds := range catalog.Datasets() {
		if ds.RestsOnDaily {
			out[catalog.Daily], out[ds.ID] = append(out[catalog.Daily], ds.ID), []string{catalog.Daily}
		}
	}
	return out
}()

// sameDate compares the day with the other datasets of its date.
func (x *examination) sameDate(ctx context.Context) error {
	for _, id := range restOn[x.ds.ID] {
		other, err := x.find(ctx, id, x.day.Date)
		if err != nil {
			return err
		}
		if other == nil {
			continue
		}
		if err := x.values(ctx, other); err != nil {
			return err
		}
		if x.inTargets() {
			continue // a row of each symbol is called for, or proved absent
		}
		missing, ok, err := x.missing(ctx, x.day, other, x.prev, x.next)
		if err != nil {
			return err
		}
		x.found(missing, ok)
		if err := x.skippedToo(ctx, other); err != nil {
			return err
		}
		if x.falsified() {
			continue
		}
		was, will, err := x.beside(ctx, id)
		if err != nil {
			return err
		}
		f, ok, err := x.missing(ctx, other, x.day, was, will)
		if err != nil {
			return err
		}
		if ok {
			x.accuse(other, f)
		}
	}
	return x.beyondDaily(ctx)
}

// beyondDaily holds the datasets that rest on daily against each other: daily may lack the same
// rows as one of them.
func (x *examination) beyondDaily(ctx context.Context) error {
	if !x.ds.RestsOnDaily || x.inTargets() || x.falsified() {
		return nil
	}
	for _, id := range restOn[catalog.Daily] {
		if id == x.ds.ID {
			continue
		}
		k := coverage.Key{Dataset: id, Date: x.day.Date}
		other, err := x.find(ctx, id, x.day.Date)
		if err != nil || other == nil {
			return err
		}
		_, lacks := evidence.Missing(x.day, other)
		_, lacking := evidence.Missing(other, x.day)
		if !lacks && !lacking {
			continue // as on almost every day, so the neighbouring days are not read
		}
		if err := x.i.flights.settled(ctx, x.flight, k); err != nil {
			return err
		}
		if held, _ := x.sink.Held(k); held.Verdict != coverage.Complete {
			continue // it may be wrong itself
		}
		f, ok, err := x.missing(ctx, x.day, other, x.prev, x.next)
		if err != nil {
			return err
		}
		if len(x.against) == 0 { // the comparison with daily may have found the same symbols
			x.found(f, ok)
		}
		was, will, err := x.beside(ctx, id)
		if err != nil {
			return err
		}
		if f, ok, err = x.missing(ctx, other, x.day, was, will); err != nil {
			return err
		}
		if ok {
			x.accuse(other, f)
		}
	}
	return nil
}

// missing is evidence.Missing, with the neighbouring days that are in progress if none is
// stored: without any, a company that the dataset has on no day counts as missing. Days of
// daily wait for nothing before they are remembered, and those of other datasets only for
// daily, so there is no deadlock: daily does not wait for other datasets here.
func (x *examination) missing(ctx context.Context, day, other, prev, next *evidence.Day) (evidence.Finding, bool, error) {
	f, ok := evidence.Missing(day, other, prev, next)
	if !ok || prev != nil || next != nil {
		return f, ok, nil
	}
	var beside []*evidence.Day
	for _, d := range []market.Date{x.cal.Before(day.Date), x.cal.Next(day.Date)} {
		k := coverage.Key{Dataset: day.Dataset, Date: d}
		if day == x.day || day.Dataset == catalog.Daily {
			if err := x.i.flights.remembered(ctx, x.flight, k); err != nil {
				return f, false, err
			}
		}
		beside = append(beside, x.days().get(k))
	}
	f, ok = evidence.Missing(day, other, beside...)
	return f, ok, nil
}

// skippedToo finds symbols that are also missing in the date's daily, although the
// neighbouring days show that they traded.
func (x *examination) skippedToo(ctx context.Context, daily *evidence.Day) error {
	held, ok := x.sink.Held(coverage.Key{Dataset: catalog.Daily, Date: daily.Date})
	if !x.ds.RestsOnDaily || ok && held.Verdict == coverage.Complete {
		return nil
	}
	mine := coverage.Key{Dataset: x.ds.ID, Date: x.day.Date}
	theirs := *x.job
	theirs.ds = catalog.Lookup(catalog.Daily)
	y := examination{job: &theirs, doubt: &doubt{day: daily}, cal: x.cal, seen: x.seen}
	y.seen[mine] = x.day
	defer delete(y.seen, mine)
	var err error
	if y.prev, y.next, err = x.beside(ctx, catalog.Daily); err != nil {
		return err
	}
	if err := y.gaps(ctx); err != nil {
		return err
	}
	x.calls = theirs.calls
	for _, a := range y.others {
		if a.key == mine {
			x.found(a.finding, true)
		}
	}
	return nil
}

// values compares a dataset with the date's daily. If they contradict each other, the one
// with another finding is wrong; otherwise the one that is not daily, if daily follows from
// the previous day and no third dataset contradicts it; otherwise both.
func (x *examination) values(ctx context.Context, other *evidence.Day) error {
	if x.falsified() {
		return nil
	}
	rests, daily := x.day, other
	if x.ds.ID == catalog.Daily {
		rests, daily = other, x.day
	}
	f, ok := evidence.Agrees(rests, daily)
	if !ok {
		few(x, fault.ValuesConflict, "differs from "+other.Dataset+" of that date for", evidence.Disagreeing(rests, daily))
		return nil
	}
	before, err := x.find(ctx, catalog.Daily, x.cal.Before(x.day.Date))
	if err != nil {
		return err
	}
	blamed := []*evidence.Day{rests}
	if before == nil || x.contradicted(rests.Dataset) {
		blamed = append(blamed, daily)
	}
	for _, day := range blamed {
		f := f
		if day == daily {
			f.What = strings.Replace(f.What, "than daily of", "than "+rests.Dataset+" of", 1)
			f.Meta = []string{"other_dataset", rests.Dataset}
		}
		if day == x.day {
			x.found(f, true)
		} else {
			x.accuse(day, f)
		}
	}
	return nil
}

// contradicted reports whether a dataset other than the given one also contradicts the
// date's daily, and has not been accepted like that. Then daily is probably wrong, which
// otherwise would never be fetched again.
func (x *examination) contradicted(than string) bool {
	return slices.ContainsFunc(restOn[catalog.Daily], func(id string) bool {
		if id == than {
			return false
		}
		k := coverage.Key{Dataset: id, Date: x.day.Date}
		if x.inTargets() {
			wrong := 0
			for _, k.Symbol = range x.work.Partition.Symbols {
				if r, _ := x.sink.Held(k); r.Verdict == coverage.Incomplete && r.Rejected > 0 {
					wrong++
				}
			}
			return wrong > 0 && 2*wrong >= len(x.work.Partition.Symbols)
		}
		r, _ := x.sink.Held(k)
		return r.Verdict == coverage.Incomplete && slices.ContainsFunc(r.Issues, func(i fault.Issue) bool {
			return i.Reason == fault.ValuesConflict && i.Meta["other_dataset"] == catalog.Daily
		})
	})
}

// rejudge judges the date's other datasets that were judged before this daily again, by its
// rows, as if they had come after it. It returns the issues of those that are short.
func (j *job) rejudge(ctx context.Context, world coverage.PoolState) ([]fault.Issue, error) {
	var out []fault.Issue
	for _, dataset := range restOn[catalog.Daily] {
		k := coverage.Key{Dataset: dataset, Date: j.work.Partition.Start}
		if err := j.i.flights.settled(ctx, j.flight, k); err != nil {
			return out, err
		}
		held, ok := j.sink.Held(k)
		if !ok {
			continue
		}
		r, changed := coverage.Rejudge(catalog.Lookup(dataset), held, world.Lists, j.sink.Held)
		if !changed {
			continue
		}
		committed, err := j.overrule(ctx, r)
		if err != nil {
			return out, err
		}
		if committed && !r.Verdict.Settled() {
			out = append(out, r.Issues[len(r.Issues)-1])
		}
	}
	return out, nil
}

// overrule writes new verdicts to stored records of one dataset and date, of symbols or of
// the whole date; false if that is being fetched again.
func (j *job) overrule(ctx context.Context, records ...coverage.Record) (bool, error) {
	dataset, d := records[0].Dataset, records[0].Date
	var symbols []string
	var epoch int64 // not later than the stored one, so that a dispatch in progress may still write
	for _, r := range records {
		epoch = max(epoch, r.Epoch)
		if r.Symbol != "" {
			symbols = append(symbols, r.Symbol)
		}
	}
	for n := range records {
		records[n].Epoch, records[n].RunID = epoch, j.work.RunID
	}
	p := coverage.Partition{
		ID: coverage.PartitionID(dataset, d, d, symbols), Pool: j.work.Partition.Pool,
		Dataset: dataset, Start: d, End: d, Symbols: symbols,
	}
	_, err := j.sink.Commit(ctx, Commit{Partition: p, Epoch: epoch, RunID: j.work.RunID, Records: records, KeepRejects: true})
	if fault.Is(err, fault.StaleEpoch) {
		return false, nil
	}
	return err == nil, err
}

// charge writes what the current day proves against other days: a settled record becomes
// INCOMPLETE and is planned again. It returns the issues.
func (j *job) charge(ctx context.Context, others []accusation) ([]fault.Issue, error) {
	var out []fault.Issue
	for _, a := range others {
		if err := j.i.flights.settled(ctx, j.flight, a.key); err != nil {
			return out, err
		}
		r, ok := j.sink.Held(a.key)
		if !ok || r.Verdict != coverage.Complete {
			continue // it is fetched again anyway, or was the same on three days
		}
		i := coverage.About(catalog.Lookup(a.key.Dataset), a.finding.Issue(a.key.Dataset, a.key.Date))
		r.Verdict, r.Issues = coverage.Incomplete, append(slices.Clone(r.Issues), i)
		committed, err := j.overrule(ctx, r)
		if err != nil {
			return out, err
		}
		if committed {
			out = append(out, i)
		}
	}
	return out, nil
}
