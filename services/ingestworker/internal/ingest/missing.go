package ingest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// A symbol's day that was considered idle is checked again when a row arrives that says
// more: the row of another dataset on that day, or the next row of the symbol, whose
// pre_close is the close of the last day on which it traded.

// Prices are values of a row of prices; NaN if a value is null.
type Prices struct {
	// Close and PreClose in 元.
	Close, PreClose float64
	// Volume in 手.
	Volume float64
}

// PriceReader is a pool that can read the stored prices of single keys. The targets pool is
// one.
type PriceReader interface {
	// Prices reads the prices of keys of one dataset; a key without a row is omitted.
	Prices(ctx context.Context, dataset string, keys []coverage.Key) (map[coverage.Key]Prices, error)
}

// disproved finds the keys of the symbols that the pool considers idle and that the
// committed rows prove to be missing.
func (j *job) disproved(ctx context.Context, world coverage.PoolState, judged verdicts) ([]coverage.KeyJudgement, error) {
	s := coverage.Situation{Now: time.Now(), Epoch: j.work.Epoch, RunID: j.work.RunID}
	var out []coverage.KeyJudgement
	siblings := func(k coverage.Key, proof string) {
		for _, other := range coverage.Siblings(j.ds, k.Symbol) {
			held, ok := j.sink.Held(coverage.Key{Dataset: other, Date: k.Date, Symbol: k.Symbol})
			if ok && held.Verdict == coverage.ExpectedEmpty && !held.BeforeFirst() {
				out = append(out, coverage.Doubt(held, proof, s))
			}
		}
	}
	for _, k := range judged.of {
		if k.Rows > 0 {
			siblings(k.Key, j.ds.ID)
			continue
		}
		// Another dataset may have come since this one was judged: of the two, the one that is
		// committed last sees the other.
		held, ok := j.sink.Held(k.Key)
		if !ok || held.Verdict != coverage.ExpectedEmpty || held.BeforeFirst() {
			continue
		}
		if other := j.sibling(k.Symbol, k.Date); other != "" {
			out = append(out, coverage.Doubt(held, other, s))
		}
	}
	reader, ok := j.sink.(PriceReader)
	if !ok || j.ds.Table != catalog.TablePrices {
		return out, nil
	}
	var gaps []idle
	for _, symbol := range j.work.Partition.Symbols {
		gaps = j.idle(gaps, world, symbol)
	}
	if len(gaps) == 0 {
		return out, nil
	}
	keys := make([]coverage.Key, 0, 2*len(gaps))
	for _, g := range gaps {
		keys = append(keys, g.before, g.after)
	}
	prices, err := reader.Prices(ctx, j.ds.ID, keys)
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		before, had := prices[g.before]
		after, has := prices[g.after]
		if !had || !has || !(math.Abs(after.PreClose-before.Close) > priceNoise) { // also where one is null
			continue
		}
		for _, held := range g.records {
			out = append(out, coverage.Doubt(held, coverage.PreClose, s))
			siblings(held.Key, coverage.PreClose) // the whole day is missing, not the row
		}
	}
	return out, nil
}

// priceNoise is less than half of the smallest price step, 0.001 元.
const priceNoise = 0.0004

// idle is a series of days on which a symbol is considered idle, between two rows.
type idle struct {
	before, after coverage.Key
	records       []coverage.Record
}

// idle adds the series of a symbol within the partition's date range, and those that touch
// it from either side.
func (j *job) idle(out []idle, world coverage.PoolState, symbol string) []idle {
	p := j.work.Partition
	at := func(d market.Date) (coverage.Record, bool) {
		return j.sink.Held(coverage.Key{Dataset: j.ds.ID, Date: d, Symbol: symbol})
	}
	reach := func(d market.Date, step func(market.Date) market.Date) market.Date {
		for {
			next := step(d)
			if next == market.NoDate {
				return d
			}
			r, ok := at(next)
			if !ok {
				return d
			}
			if d = next; r.Verdict != coverage.ExpectedEmpty {
				return d
			}
		}
	}
	lo, hi := reach(p.Start, world.Calendar.Before), reach(p.End, world.Calendar.Next)
	days, _ := world.Calendar.Days(lo, hi)
	last := market.NoDate
	var records []coverage.Record
	for _, d := range days {
		r, ok := at(d)
		switch {
		case ok && r.Rows > 0:
			if last != market.NoDate && len(records) > 0 {
				out = append(out, idle{
					before:  coverage.Key{Dataset: j.ds.ID, Date: last, Symbol: symbol},
					after:   coverage.Key{Dataset: j.ds.ID, Date: d, Symbol: symbol},
					records: records,
				})
			}
			last, records = d, nil
		case ok && r.Verdict == coverage.ExpectedEmpty:
			if last != market.NoDate {
				records = append(records, r)
			}
		default: // an unsettled day breaks the chain
			last, records = market.NoDate, nil
		}
	}
	return out
}

// doubt commits what was found to be missing after all; the stored rows stay. A key that
// was judged again since then is left out.
func (j *job) doubt(ctx context.Context, found []coverage.KeyJudgement) ([]coverage.KeyJudgement, error) {
	by := map[string][]coverage.KeyJudgement{}
	for _, k := range found {
		by[k.Record.Dataset] = append(by[k.Record.Dataset], k)
	}
	var out []coverage.KeyJudgement
	for dataset, group := range by {
		for len(group) > 0 {
			group = slices.DeleteFunc(group, func(k coverage.KeyJudgement) bool {
				now, ok := j.sink.Held(k.Record.Key)
				return !ok || now.Verdict != coverage.ExpectedEmpty || now.Epoch > k.Record.Epoch
			})
			if len(group) == 0 {
				break
			}
			_, err := j.commit(ctx, j.doubts(dataset, group))
			if fault.Is(err, fault.StaleEpoch) {
				continue // one of them was judged a moment ago
			}
			if err != nil {
				return nil, err
			}
			out = append(out, group...)
			break
		}
	}
	return out, nil
}

func (j *job) doubts(dataset string, group []coverage.KeyJudgement) Commit {
	p := coverage.Partition{Pool: j.work.Partition.Pool, Dataset: dataset, Start: group[0].Record.Date, End: group[0].Record.Date}
	records := make([]coverage.Record, len(group))
	epoch := int64(0) // that of the newest, which may have been dispatched after this one
	for _, k := range group {
		epoch = max(epoch, k.Record.Epoch)
	}
	for n, k := range group {
		records[n] = k.Record
		records[n].Epoch = epoch
		p.Start, p.End = min(p.Start, k.Record.Date), max(p.End, k.Record.Date)
		p.Symbols = append(p.Symbols, k.Record.Symbol)
	}
	slices.Sort(p.Symbols)
	p.Symbols = slices.Compact(p.Symbols)
	p.ID = coverage.PartitionID(dataset, p.Start, p.End, p.Symbols) + "/proved" // it has no rejects to replace
	return Commit{Partition: p, Epoch: epoch, RunID: j.work.RunID, Records: records}
}

// proofs collects missing rows by dataset and proof.
type proofs map[proof][]coverage.Record

type proof struct{ dataset, by string }

func (p proofs) add(r coverage.Record, by string) {
	x := proof{r.Dataset, by}
	p[x] = append(p[x], r)
}

// issues returns one issue per dataset and proof.
func (p proofs) issues(j *job) []fault.Issue {
	var out []fault.Issue
	for x, records := range p {
		why := fmt.Sprintf("%s has rows of the same symbols and days", x.by)
		if x.by == coverage.PreClose {
			why = "the pre_close of the next row differs from the previous close"
		}
		n, list := keyNames(records)
		i := j.issue(fault.SymbolsMissing, fmt.Sprintf("%s has no rows for %s, although %s: %s.", x.dataset, fault.Count(n, "symbol and day", "symbols and days"), why, list),
			"count", fmt.Sprint(n), "sample", list, "proof", x.by)
		i.Meta["dataset"] = x.dataset
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b fault.Issue) int { return strings.Compare(a.Message, b.Message) })
	return out
}

// keyNames names the first of some keys.
func keyNames(records []coverage.Record) (n int64, list string) {
	examples := make([]string, 0, sampleSize)
	for _, r := range records[:min(len(records), sampleSize)] {
		examples = append(examples, r.Symbol+" "+r.Date.String())
	}
	list = strings.Join(examples, ", ")
	if len(records) > sampleSize {
		list += ", …"
	}
	return int64(len(records)), list
}

// unlisted are the symbols of the partition that no list has although a list of their kind
// is stored.
func (j *job) unlisted(world coverage.PoolState) map[string]bool {
	out := map[string]bool{}
	for _, s := range j.work.Partition.Symbols {
		if _, known := world.Lists.Find(s); !known && world.Lists.Has(j.ds.Kind) {
			out[s] = true
		}
	}
	return out
}

// knownAbsent are the days without a row that are no news: the pool had no row of them
// before, or the symbol has none on the previous trading day either, as in a long
// suspension. It is called before anything is committed.
func (j *job) knownAbsent(cal Calendar, judged verdicts) map[coverage.Key]bool {
	if j.ds.Table != catalog.TablePrices {
		return nil // only prices show days without a row
	}
	idle, days := map[coverage.Key]bool{}, map[market.Date]bool{}
	for _, k := range judged.of {
		days[k.Date] = true
		if k.Rows == 0 && k.Verdict.Settled() {
			idle[k.Key] = true
		}
	}
	held := func(k coverage.Key) bool {
		r, ok := j.sink.Held(k)
		return ok && r.Rows == 0 && r.Verdict.Settled()
	}
	out := map[coverage.Key]bool{}
	for key := range idle {
		before := key
		before.Date = cal.Before(key.Date)
		if held(key) || idle[before] || !days[before.Date] && held(before) { // every symbol was judged on the same days
			out[key] = true
		}
	}
	return out
}

// absences are the notices about days without a row: of listed symbols for which nothing
// proves that they traded, and of symbols that are on no list.
func (j *job) absences(absent, unknown []coverage.Record) []fault.Issue {
	var out []fault.Issue
	if len(absent) > 0 {
		n, list := keyNames(absent)
		i := j.issue(fault.SymbolsAbsent, fmt.Sprintf("%s has no row for %s; they probably were suspended or did not trade: %s.", j.on(), fault.Count(n, "listed symbol and day", "listed symbols and days"), list),
			"count", fmt.Sprint(n), "sample", list)
		i.Remedy = "List them: curl \"localhost:7780/v1/pools/targets/coverage?start_date=" + j.work.Partition.Start.String() + "&end_date=" + j.work.Partition.End.String() + "\""
		out = append(out, i)
	}
	if len(unknown) > 0 {
		n, list := keyNames(unknown)
		i := j.issue(fault.UnknownSymbols, fmt.Sprintf("%s has no row for %s of symbols that are not in the instrument list: %s. Check the codes: all BJ codes changed in 2025.", j.on(), fault.Count(n, "day", "days"), list),
			"count", fmt.Sprint(n), "sample", list)
		i.Severity, i.Remedy = fault.Warning, "Correct the target list. This shows it: curl localhost:7780/v1/targets"
		out = append(out, i)
	}
	return out
}
