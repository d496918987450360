package ingest

import (
	"cmp"
	"context"
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

// refuted are rows of targets whose values cannot be those of their day. Their symbol's day is
// INCOMPLETE and fetched again.
type refuted struct {
	batch   *table.Batch // nil where there are none
	reasons []string     // by row
}

// hashes are those of the rows by key; none is 0.
func (x refuted) hashes() map[key]uint64 {
	if x.batch == nil {
		return nil
	}
	out := make(map[key]uint64, x.batch.Len)
	symbol, date := x.batch.Column("ts_code").Texts, x.batch.Column("trade_date").Dates
	for r, h := range x.batch.RowHashes() {
		out[key{symbol[r], date[r]}] = max(h, 1)
	}
	return out
}

// strays are the keys of rows that only contradict the row of the day before.
func (x refuted) strays() map[key]bool {
	out := map[key]bool{}
	if x.batch == nil {
		return out
	}
	symbol, date := x.batch.Column("ts_code").Texts, x.batch.Column("trade_date").Dates
	for r, reason := range x.reasons {
		if strings.HasPrefix(reason, contradictsBefore) {
			out[key{symbol[r], date[r]}] = true
		}
	}
	return out
}

// settle adds the refuted rows that are stored nevertheless to the others, and rejects the rest.
func (c *checked) settle(ds *catalog.Dataset, judged verdicts) {
	x := c.refuted
	if x.batch == nil {
		return
	}
	taken := map[key]bool{}
	for _, k := range judged.of {
		if k.take {
			taken[key{k.Symbol, k.Date}] = true
		}
	}
	symbol, date := x.batch.Column("ts_code").Texts, x.batch.Column("trade_date").Dates
	var take []int
	for r, reason := range x.reasons {
		if taken[key{symbol[r], date[r]}] {
			take = append(take, r)
			continue
		}
		c.rejects = append(c.rejects, rejected{symbol: symbol[r], date: date[r], reason: reason, row: rowJSON(x.batch, r, nil)})
	}
	if len(take) > 0 {
		all := make([]int, c.batch.Len)
		for r := range all {
			all[r] = r
		}
		c.batch, _ = join(ds, c.batch.Select(all), nil, Answer{Batch: x.batch.Select(take)}, nil)
	}
}

// refute takes rows of targets out of an answer whose values cannot be those of
// their day. It returns the issues that say why.
func (j *job) refute(ctx context.Context, c *checked, doubts doubt, cal Calendar) ([]fault.Issue, error) {
	out := map[int]string{} // row → reason
	var issues []fault.Issue
	j.askedOdd(c, out, &issues)
	if err := j.wholeWrong(ctx, c, doubts, cal, out, &issues); err != nil {
		return nil, err
	}
	if err := j.repeats(ctx, c, cal, out, &issues); err != nil {
		return nil, err
	}
	if doubts.day != nil && 2*len(out) > c.batch.Len {
		j.days().drop(doubts.day) // it is no measure for other days
	}
	if len(out) == 0 {
		return issues, nil
	}
	keep, gone := make([]int, 0, c.batch.Len), make([]int, 0, len(out))
	place := make(map[int]int, c.batch.Len)
	for r := range c.batch.Len {
		reason, wrong := out[r]
		if !wrong {
			place[r] = len(keep)
			keep = append(keep, r)
			continue
		}
		gone = append(gone, r)
		c.refuted.reasons = append(c.refuted.reasons, reason)
	}
	moved := func(rows []int) []int {
		var out []int
		for _, r := range rows {
			if at, kept := place[r]; kept {
				out = append(out, at)
			}
		}
		return out
	}
	c.doubtful, c.hollow = moved(c.doubtful), moved(c.hollow)
	c.refuted.batch = c.batch.Select(gone)
	c.batch = c.batch.Select(keep)
	return issues, nil
}

// wholeWrong returns the requested rows of a date whose response as a whole is wrong: all
// of them, or those without a value that they had before.
func (j *job) wholeWrong(ctx context.Context, c *checked, doubts doubt, cal Calendar, out map[int]string, issues *[]fault.Issue) error {
	symbol := c.batch.Column("ts_code").Texts
	for _, f := range doubts.against {
		var lost map[evidence.Symbol]bool
		switch {
		case f.False():
		case f.Reason == fault.ValuesMissing:
			before, err := j.poolDay(ctx, j.ds.ID, cal.Before(doubts.day.Date))
			if err != nil {
				return err
			}
			lost = evidence.Lost(doubts.day, before, strings.Split(f.About("column"), ", "))
		default:
			continue
		}
		n := 0
		for r := range symbol {
			if s, _ := evidence.SymbolOf(symbol[r]); f.False() || lost[s] {
				if n++; out[r] == "" {
					out[r] = theDate + f.What
				}
			}
		}
		if n > 0 {
			*issues = append(*issues, j.valueIssue(f))
		}
	}
	return nil
}

// chargeDays marks the stored rows of days that a whole date proves wrong. A day that is in
// progress is informed, and does so itself.
func (j *job) chargeDays(ctx context.Context, others []accusation, issues *[]fault.Issue) error {
	for _, a := range others {
		if fl := j.i.flights.earlier(j.flight, a.key); fl != nil && fl.accuse(a) {
			continue
		}
		day, err := j.poolDay(ctx, a.key.Dataset, a.key.Date)
		if err != nil {
			return err
		}
		symbols := make([]string, len(day.Symbols))
		for n, s := range day.Symbols {
			symbols[n] = s.String()
		}
		f := a.finding
		f.What += "; stored are"
		if err := j.chargeRows(ctx, day, symbols, f, issues); err != nil {
			return err
		}
		if remembered := j.days().get(a.key); remembered != nil {
			j.days().drop(remembered)
		}
	}
	return nil
}

// askedOdd returns the requested rows that have the fault of the whole response: a
// different unit, a contradiction, no values yet. If much of a whole date is wrong, it
// returns all of them.
func (j *job) askedOdd(c *checked, out map[int]string, issues *[]fault.Issue) {
	k := checker{scope: scope{ds: j.ds}, b: c.batch}
	k.prepare()
	findings := c.findings()
	if failed := c.rows - int(c.all.Sum()); evidence.TooMany(failed, c.rows) { // the others passed by chance
		findings = append(findings, evidence.Failed(failed, c.rows))
	}
	for _, f := range findings {
		n := 0
		for _, r := range c.doubtful {
			why, hollow := k.disagrees(r)
			check := f.About("check")
			if f.Reason == fault.ValuesMissing && hollow || f.Reason == fault.UnitSuspect && why == unitOff || check != "" && why == check {
				out[r], n = why, n+1
			}
		}
		if p := j.work.Partition; p.Start == p.End && f.False() && 5*f.Count > f.Of {
			n = c.batch.Len
			for r := range n {
				if out[r] == "" {
					out[r] = theDate + f.What
				}
			}
		}
		if n > 0 {
			*issues = append(*issues, j.valueIssue(f))
		}
	}
}

// theDate begins the reason of a row of a date whose answer as a whole is wrong.
const theDate = "the date "

func (j *job) valueIssue(f evidence.Finding) fault.Issue {
	i := f.Issue(j.ds.ID, j.work.Partition.End)
	i.Meta["trade_date"] = dateText(j.work.Partition)
	return coverage.About(j.ds, i)
}

// repeats returns the rows that have the values of the previous trading day, or contradict it,
// in the response or in the pool, and on a whole date those whose close is not that of its daily.
func (j *job) repeats(ctx context.Context, c *checked, cal Calendar, out map[int]string, issues *[]fault.Issue) error {
	if c.batch.Len == 0 {
		return nil
	}
	date, symbol := c.batch.Column("trade_date").Dates, c.batch.Column("ts_code").Texts
	order := make([]int, c.batch.Len)
	for r := range order {
		order[r] = r
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(strings.Compare(symbol[a], symbol[b]), cmp.Compare(date[a], date[b]))
	})
	rows := evidence.RowsOf(j.ds, c.batch)
	for n, r := range order[1:] {
		switch q := order[n]; {
		case symbol[q] != symbol[r] || cal.Before(date[r]) != date[q]:
		case rows.Same(q, r):
			out[r] = repeatsDay + date[q].String()
		case rows.Unlinked(r, q):
			out[r] = contradictsBefore + "pre_close"
		}
	}
	first, last := slices.Min(date), slices.Max(date)
	days := map[market.Date]*evidence.Day{}
	day := func(d market.Date) *evidence.Day {
		if days[d] == nil {
			days[d] = j.dayOf(c.batch, d)
		}
		return days[d]
	}
	if day(first) == nil {
		return nil // nothing is remembered of the dataset, so there is nothing to compare
	}
	prev, err := j.poolDay(ctx, j.ds.ID, cal.Before(first))
	if err != nil {
		return err
	}
	if lacking := prev.Filled(c.empty); len(lacking) > 0 && first == last {
		for r := range date {
			out[r] = strings.Join(lacking, ", ") + " has no value in any row"
		}
		*issues = append(*issues, j.valueIssue(evidence.Lacking(lacking, c.rows, c.rows)))
	}
	wrong, err := j.wrongSymbols(ctx, day(first), prev, first == last, cal)
	if err != nil {
		return err
	}
	for r := range date {
		if s, _ := evidence.SymbolOf(symbol[r]); date[r] == first && wrong[s] != "" {
			out[r] = wrong[s]
		}
	}
	if first < last {
		for r, what := range evidence.Unhabitual(j.ds, c.batch) {
			if out[r] == "" {
				out[r] = contradictsOthers + what
			}
		}
		if err := j.spanDiffers(ctx, c.batch, rows, out); err != nil {
			return err
		}
	}
	if err := j.confirm(ctx, symbol, date, day, out); err != nil {
		return err
	}
	var repeated, conflicting, scaled, contradicting, unlike []string
	for r, why := range out {
		switch {
		case strings.HasPrefix(why, otherThanDaily):
			conflicting = append(conflicting, symbol[r]+" "+date[r].String())
		case strings.HasPrefix(why, contradictsBefore):
			contradicting = append(contradicting, symbol[r]+" "+date[r].String())
		case strings.HasPrefix(why, contradictsOthers):
			unlike = append(unlike, symbol[r]+" "+date[r].String())
		case why == otherUnit:
			scaled = append(scaled, symbol[r]+" "+date[r].String())
		case strings.HasPrefix(why, repeatsDay), strings.HasPrefix(why, staleRatios):
			repeated = append(repeated, symbol[r]+" "+date[r].String())
		}
	}
	if first == last {
		if err := j.chargeDaily(ctx, first, conflicting, cal, issues); err != nil {
			return err
		}
	}
	j.tellRows(fault.ValuesRepeated, "repeats the values of an earlier trading day for", repeated, c.batch.Len, issues)
	j.tellRows(fault.UnitSuspect, "has another unit of total_share than the previous trading day for", scaled, c.batch.Len, issues)
	j.tellRows(fault.ValuesConflict, "contradicts the previous trading day for", contradicting, c.batch.Len, issues)
	j.tellRows(fault.ValuesConflict, "contradicts other days for", unlike, c.batch.Len, issues)
	j.tellRows(fault.ValuesConflict, "differs from daily for", conflicting, c.batch.Len, issues)
	return nil
}

// spanDiffers finds the rows of a date range that cannot be of the same day as the row of their
// symbol in daily, as far as that is stored.
func (j *job) spanDiffers(ctx context.Context, b *table.Batch, rows evidence.Rows, out map[int]string) error {
	reader, ok := j.sink.(PriceReader)
	if !ok || !j.ds.RestsOnDaily {
		return nil
	}
	symbol, date := b.Column("ts_code").Texts, b.Column("trade_date").Dates
	keys := make([]coverage.Key, b.Len)
	for r := range keys {
		keys[r] = coverage.Key{Dataset: catalog.Daily, Date: date[r], Symbol: symbol[r]}
	}
	quotes, err := reader.Prices(ctx, catalog.Daily, keys)
	if err != nil {
		return err
	}
	rowsOf, volumes := map[string][]int{}, map[int]float64{}
	for r, k := range keys {
		q, ok := quotes[k]
		if !ok {
			continue
		}
		if what := rows.Differs(r, q.Close, q.Volume); what != "" {
			out[r] = otherThanDaily + what
		}
		rowsOf[k.Symbol], volumes[r] = append(rowsOf[k.Symbol], r), q.Volume
	}
	for _, of := range rowsOf {
		slices.SortFunc(of, func(a, b int) int { return cmp.Compare(date[a], date[b]) })
		for _, r := range rows.OtherTurnover(of, volumes) {
			if out[r] == "" {
				out[r] = otherThanDaily + "turnover_rate"
			}
		}
	}
	return nil
}

// dayOf is one trade date of a batch, as evidence.NewDay makes it.
func (j *job) dayOf(b *table.Batch, d market.Date) *evidence.Day {
	date := b.Column("trade_date").Dates
	var here []int
	for r := range date {
		if date[r] == d {
			here = append(here, r)
		}
	}
	if len(here) < b.Len {
		b = b.Select(here)
	}
	return evidence.NewDay(j.ds, d, b)
}

// wrongSymbols returns why the row of a symbol cannot be that of its day, by the days
// before it and, if the day was fetched alone, by its daily.
func (j *job) wrongSymbols(ctx context.Context, day, prev *evidence.Day, alone bool, cal Calendar) (map[evidence.Symbol]string, error) {
	wrong := map[evidence.Symbol]string{}
	blame := func(s evidence.Symbol, why string) {
		if wrong[s] == "" {
			wrong[s] = why
		}
	}
	for s := range evidence.RepeatedSymbols(day, prev) {
		blame(s, repeatsDay+prev.Date.String())
	}
	if alone && recent(day.Date) {
		if err := j.stale(ctx, day, prev, cal, blame); err != nil {
			return nil, err
		}
	}
	if err := j.strayed(ctx, day, prev, cal, blame); err != nil {
		return nil, err
	}
	if alone && j.ds.RestsOnDaily {
		quotes, err := j.poolDay(ctx, catalog.Daily, day.Date)
		if err != nil {
			return nil, err
		}
		for s, what := range evidence.Disagreeing(day, quotes) {
			blame(s, otherThanDaily+what)
		}
	}
	return wrong, nil
}

// strayed blames the symbols whose row contradicts that of the day before, or has left it.
// Where the row of the next day agrees with this one, the provider has changed the column for
// good.
func (j *job) strayed(ctx context.Context, day, prev *evidence.Day, cal Calendar, blame func(evidence.Symbol, string)) error {
	beyond, err := j.poolDay(ctx, j.ds.ID, cal.Before(prev.Date))
	if err != nil {
		return err
	}
	next, err := j.poolDay(ctx, j.ds.ID, cal.Next(day.Date))
	if err != nil {
		return err
	}
	after := evidence.JumpedSymbols(next, day)
	for s := range evidence.JumpedSymbols(day, prev) {
		if after[s] || !next.Has(s) {
			blame(s, otherUnit)
		}
	}
	for s, what := range evidence.Contradicted(day, prev) {
		blame(s, contradictsBefore+what)
	}
	left := evidence.Strayed(next, day, prev, beyond)
	for s, what := range evidence.Strayed(day, prev, prev, beyond) {
		if left[s] != "" || !next.Has(s) {
			blame(s, contradictsBefore+what)
		}
	}
	return nil
}

// stale finds the symbols that have the values or the ratios of a day before prev.
func (j *job) stale(ctx context.Context, day, prev *evidence.Day, cal Calendar, blame func(evidence.Symbol, string)) error {
	for d, left := prev.Date, staleDays; left > 0; left-- {
		d = cal.Before(d)
		older, err := j.poolDay(ctx, j.ds.ID, d)
		if err != nil {
			return err
		}
		for s := range evidence.RepeatedSymbols(day, older) {
			blame(s, repeatsDay+d.String())
		}
		if left < staleDays {
			continue
		}
		frozen := evidence.FrozenSymbols(prev, older) // whether the ratios of a symbol move
		for s := range evidence.FrozenSymbols(day, prev) {
			if older.Has(s) && !frozen[s] {
				blame(s, staleRatios+prev.Date.String())
			}
		}
	}
	return nil
}

// confirm removes the findings about repeated rows that the date's daily confirms.
func (j *job) confirm(ctx context.Context, symbol []string, date []market.Date, day func(market.Date) *evidence.Day, out map[int]string) error {
	if j.ds.ID != catalog.DailyBasic {
		return nil // daily confirms no other
	}
	confirmed := map[market.Date]map[evidence.Symbol]bool{}
	for r, why := range out {
		if !strings.HasPrefix(why, repeatsDay) {
			continue
		}
		d := date[r]
		if confirmed[d] == nil {
			var err error
			if confirmed[d], err = j.confirmed(ctx, day(d)); err != nil {
				return err
			}
		}
		if s, _ := evidence.SymbolOf(symbol[r]); confirmed[d][s] {
			delete(out, r)
		}
	}
	return nil
}

// confirmed are the symbols of a day that the pool's daily of the date confirms.
func (j *job) confirmed(ctx context.Context, day *evidence.Day) (map[evidence.Symbol]bool, error) {
	if day.Dataset != catalog.DailyBasic {
		return map[evidence.Symbol]bool{}, nil
	}
	quotes, err := j.poolDay(ctx, catalog.Daily, day.Date)
	if err != nil {
		return nil, err
	}
	return evidence.Confirmed(day, quotes), nil
}

// repeatsDay is the beginning of the reason for a row with the values of another day.
const repeatsDay = "it repeats the values of "

// A recent day is also compared with some days before the previous one: a provider was seen
// to return the values of four days before.
const (
	staleDays   = 4
	staleWithin = 30 // calendar days: a backfill reads as little as possible
)

func recent(d market.Date) bool { return d >= market.DateOf(time.Now())-staleWithin }

// staleRatios is the beginning of the reason for a row of which only the ratios are those
// of another day.
const staleRatios = "it repeats the ratios of "

// otherUnit is the reason for a row with many times the shares of the previous day.
const otherUnit = "its total_share is many times that of the day before, or a fraction of it"

// contradictsBefore begins the reason of a row that cannot follow that of the day before.
const contradictsBefore = "it contradicts the previous trading day in "

// contradictsOthers begins the reason of a row that breaks a relation that most rows of its symbol
// keep.
const contradictsOthers = "it contradicts the other days of its date range in "

// otherThanDaily is the beginning of the reason for a row that cannot be of the same day as
// its daily.
const otherThanDaily = "it differs from daily in "

func (j *job) tellRows(reason fault.Reason, what string, rows []string, of int, issues *[]fault.Issue) {
	if len(rows) == 0 {
		return
	}
	slices.Sort(rows)
	*issues = append(*issues, j.valueIssue(evidence.Finding{
		Reason: reason, Count: len(rows), Of: of, Sample: rows[:min(len(rows), sampleSize)],
		What: what + " " + fault.Count(len(rows), "symbol and day", "symbols and days"),
	}))
}

// DayReader is a pool that can read whole trade dates without reading more. The targets
// pool is one.
type DayReader interface {
	// Day returns the stored rows of a dataset on a trade date as evidence.NewDay does;
	// without symbols if there are none.
	Day(ctx context.Context, dataset string, d market.Date) (*evidence.Day, error)
	// Traded lists the dates from start on with a stored row, in no order.
	Traded(ctx context.Context, dataset string, start market.Date) ([]market.Date, error)
}

// poolDay is a day of the pool with its symbols.
func (j *job) poolDay(ctx context.Context, dataset string, d market.Date) (*evidence.Day, error) {
	if reader, ok := j.sink.(DayReader); ok {
		return reader.Day(ctx, dataset, d)
	}
	b, err := j.sink.Rows(ctx, coverage.Key{Dataset: dataset, Date: d})
	if err != nil {
		return nil, err
	}
	return evidence.NewDay(catalog.Lookup(dataset), d, b), nil
}

// chargeHeld marks stored rows that the rows of a response prove wrong. It is called before
// the commit, so that a crash loses nothing, and again after it, because a neighbouring day
// may have been in progress: of two, the one that is committed last finds the other.
func (j *job) chargeHeld(ctx context.Context, batch *table.Batch, cal Calendar) (issues []fault.Issue, err error) {
	if batch.Len == 0 {
		return nil, nil
	}
	if err := j.chargeBeside(ctx, batch, cal, &issues); err != nil {
		return nil, err
	}
	return issues, j.chargeDependents(ctx, batch, &issues)
}

// chargeBeside compares the first and the last day of a response with their neighbours. A
// later day that came before this one is only now seen to repeat it.
func (j *job) chargeBeside(ctx context.Context, batch *table.Batch, cal Calendar, issues *[]fault.Issue) error {
	date := batch.Column("trade_date").Dates
	first, last := slices.Min(date), slices.Max(date)
	day := j.dayOf(batch, first)
	if day == nil {
		return nil // nothing is remembered of the dataset
	}
	before, err := j.poolDay(ctx, j.ds.ID, cal.Before(first))
	if err != nil {
		return err
	}
	if err := j.chargeRepeats(ctx, day, before, issues); err != nil {
		return err
	}
	reach := 1
	if first == last && recent(first) {
		reach += staleDays
	}
	if last > first {
		day = j.dayOf(batch, last)
	}
	for d := cal.Next(last); reach > 0; d, reach = cal.Next(d), reach-1 {
		after, err := j.poolDay(ctx, j.ds.ID, d)
		if err != nil {
			return err
		}
		if err := j.chargeRepeats(ctx, after, day, issues); err != nil {
			return err
		}
		if d == cal.Next(last) {
			if err := j.chargeContradicting(ctx, after, day, issues); err != nil {
				return err
			}
		}
	}
	return nil
}

// chargeContradicting marks the rows of a day that cannot follow those of the previous one.
func (j *job) chargeContradicting(ctx context.Context, later, earlier *evidence.Day, issues *[]fault.Issue) error {
	return j.chargeRows(ctx, later, symbolsOf(evidence.Contradicted(later, earlier)), evidence.Finding{
		Reason: fault.ValuesConflict, What: "contradicts " + earlier.Date.String() + " for", Meta: []string{"other_date", earlier.Date.String()},
	}, issues)
}

// chargeRepeats marks the rows of a day that repeat those of an earlier one.
func (j *job) chargeRepeats(ctx context.Context, later, earlier *evidence.Day, issues *[]fault.Issue) error {
	repeated := evidence.RepeatedSymbols(later, earlier)
	if len(repeated) == 0 {
		return nil
	}
	confirmed, err := j.confirmed(ctx, later)
	if err != nil {
		return err
	}
	var symbols []string
	for s := range repeated {
		if !confirmed[s] {
			symbols = append(symbols, s.String())
		}
	}
	return j.chargeRows(ctx, later, symbols, evidence.Finding{
		Reason: fault.ValuesRepeated, What: "repeats the values of " + earlier.Date.String() + " for", Meta: []string{"other_date", earlier.Date.String()},
	}, issues)
}

// chargeDaily marks the daily of symbols and days that another dataset contradicts where
// nothing is held of the day before, or daily does not follow from it: then daily may be what
// is wrong.
func (j *job) chargeDaily(ctx context.Context, d market.Date, conflicting []string, cal Calendar, issues *[]fault.Issue) error {
	if len(conflicting) == 0 {
		return nil
	}
	quotes, err := j.poolDay(ctx, catalog.Daily, d)
	if err != nil {
		return err
	}
	before, err := j.poolDay(ctx, catalog.Daily, cal.Before(d))
	if err != nil {
		return err
	}
	var blamed []string
	for _, text := range conflicting {
		symbol, _, _ := strings.Cut(text, " ")
		if own, _ := j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: d, Symbol: symbol}); own.Verdict == coverage.AcceptedShort {
			continue // daily was fetched again because of it, and did not change
		}
		s, _ := evidence.SymbolOf(symbol)
		r, ok := j.sink.Held(coverage.Key{Dataset: catalog.Daily, Date: cal.Before(d), Symbol: symbol})
		if !ok || r.Rows == 0 || r.Verdict != coverage.Complete || !evidence.Linked(s, quotes, before) {
			blamed = append(blamed, symbol)
		}
	}
	return j.chargeRows(ctx, quotes, blamed, evidence.Finding{
		Reason: fault.ValuesConflict, What: "differs from " + j.ds.ID + " for", Meta: []string{"other_dataset", j.ds.ID},
	}, issues)
}

// chargeDependents compares the rows of the date's other datasets that came before a row of
// daily with it, as if they had come after it.
func (j *job) chargeDependents(ctx context.Context, batch *table.Batch, issues *[]fault.Issue) error {
	if j.ds.ID != catalog.Daily || j.work.Partition.Start != j.work.Partition.End {
		return nil
	}
	d := j.work.Partition.Start
	quotes := evidence.NewDay(j.ds, d, batch)
	for _, dataset := range restOn[catalog.Daily] {
		other, err := j.poolDay(ctx, dataset, d)
		if err != nil {
			return err
		}
		if other == nil { // nothing is remembered of the dataset
			continue
		}
		err = j.chargeRows(ctx, other, symbolsOf(evidence.Disagreeing(other, quotes)), evidence.Finding{
			Reason: fault.ValuesConflict, What: "differs from daily for", Meta: []string{"other_dataset", catalog.Daily},
		}, issues)
		if err != nil {
			return err
		}
	}
	return nil
}

// symbolsOf lists the symbols of a finding by row, sorted.
func symbolsOf[V any](rows map[evidence.Symbol]V) []string {
	out := make([]string, 0, len(rows))
	for s := range rows {
		out = append(out, s.String())
	}
	slices.Sort(out)
	return out
}

// chargeRows marks rows of targets that are stored as complete and were found to be wrong,
// so that they are fetched again, and returns the issue. What is the beginning of the
// sentence, before the number of rows.
func (j *job) chargeRows(ctx context.Context, day *evidence.Day, found []string, f evidence.Finding, issues *[]fault.Issue) error {
	ds := catalog.Lookup(day.Dataset)
	slices.Sort(found)
	var records []coverage.Record
	var symbols []string
	for _, s := range found {
		r, ok := j.sink.Held(coverage.Key{Dataset: ds.ID, Date: day.Date, Symbol: s})
		if !ok || r.Verdict != coverage.Complete {
			continue
		}
		r.Verdict = coverage.Incomplete
		records, symbols = append(records, r), append(symbols, s)
	}
	if len(records) == 0 {
		return nil
	}
	if committed, err := j.overrule(ctx, records...); err != nil || !committed {
		return err
	}
	j.charged = true
	f.Count, f.Of, f.Sample = len(symbols), len(day.Symbols), symbols[:min(len(symbols), sampleSize)]
	f.What += " " + fault.Count(len(symbols), "symbol", "symbols")
	*issues = append(*issues, coverage.About(ds, f.Issue(ds.ID, day.Date)))
	return nil
}
