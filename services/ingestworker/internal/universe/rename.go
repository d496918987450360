package universe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// renamesAtOnce is the number of companies whose rows are moved by one statement, which
// limits the memory: a company has some thousand rows in three tables.
const renamesAtOnce = 20

// follow moves the rows of companies that the new list has under a new code, in the list's
// own transaction, and reports rows that no list has.
func (t *transaction) follow(d *catalog.Dataset, list *table.Batch, runID string) (renamed []ingest.Rename, strays ingest.Orphans, err error) {
	former, known, err := t.formerCodes(d)
	if err != nil {
		return nil, strays, err
	}
	if renamed, err = t.rename(d, pool.Renames(d, former, list), known, runID); err != nil {
		return nil, strays, err
	}
	strays, err = t.strays(d)
	return renamed, strays, err
}

// rename moves the rows of companies that have a new code, and records it. It returns those
// that are new, or still had rows.
func (t *transaction) rename(list *catalog.Dataset, found []ingest.Rename, known map[string]string, runID string) (renamed []ingest.Rename, err error) {
	for part := range slices.Chunk(found, renamesAtOnce) {
		for _, dated := range pool.Dated(list) {
			if err := t.move(dated, part, runID); err != nil {
				return nil, err
			}
		}
	}
	for _, r := range found {
		if r.Moved+r.Twice == 0 && known[r.Old] == r.New {
			continue // it was reported when it happened
		}
		renamed = append(renamed, r)
		if err := t.keep(pool.Replaced(list, r, runID, t.now, t.nextRevision)); err != nil {
			return nil, err
		}
		t.renamed = true
	}
	return renamed, nil
}

// recognize finds companies whose prices of a date came under a different code than the
// stored ones, if no list has the old code and the list has the new one: files of the first
// release do not record what a removed code stood for.
func (t *transaction) recognize(d *catalog.Dataset, diff pool.Diff, held, batch *table.Batch, runID string) ([]ingest.Rename, error) {
	if d.Table != catalog.TablePrices || len(diff.Gone) == 0 || len(diff.New) == 0 {
		return nil, nil
	}
	found := pool.SameRows(d, diff, held, batch)
	if len(found) == 0 {
		return nil, nil
	}
	if err := t.settle(catalog.TableInstruments); err != nil {
		return nil, err
	}
	var names []string
	for _, r := range found {
		names = append(names, quote(r.Old), quote(r.New))
	}
	listed := map[string]bool{}
	err := t.file.query("SELECT symbol FROM "+catalog.TableInstruments+" WHERE symbol IN ("+strings.Join(names, ", ")+")", func(c rows) error {
		for i := range c.len {
			listed[c.columns[0].text(i)] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(r ingest.Rename) bool { return listed[r.Old] || !listed[r.New] })
	return t.rename(pool.ListOf(d), found, nil, runID)
}

func (t *transaction) keep(r ingest.Revision) error {
	a, err := t.appender(pool.RevisionsTable)
	if err != nil {
		return err
	}
	t.nextRevision++
	t.revised++
	return appendRevision(a, &r)
}

// formerCodes are the identities of earlier codes of the list, and the codes that are known
// to have been replaced.
func (t *transaction) formerCodes(d *catalog.Dataset) (former map[string]pool.Identity, replaced map[string]string, err error) {
	if err := t.settle(pool.RevisionsTable); err != nil {
		return nil, nil, err
	}
	kept, err := readFormer(t.file, d)
	return kept.Identities(), kept.Replaced(), err
}

// readFormer reads what the revisions of lists say about their earlier codes; of all lists
// if none is named.
func readFormer(d *duck, of ...*catalog.Dataset) (kept pool.Former, err error) {
	where := pool.FormerWhere
	for _, list := range of {
		where += " AND dataset = " + quote(list.ID)
	}
	err = d.query("SELECT symbol, column_name, old_value, new_value, change FROM "+pool.RevisionsTable+" WHERE "+where+" ORDER BY revision_id", func(c rows) error {
		for i := range c.len {
			kept.Add(c.columns[0].text(i), c.columns[1].text(i), c.columns[2].text(i), c.columns[3].text(i), ingest.ChangeKind(c.columns[4].text(i)))
		}
		return nil
	})
	return kept, err
}

// move changes the code of the rows in a dataset's table from old to new codes, together
// with the coverage of their dates. If a date has both, the row under the old code is
// deleted, and its values are kept as revisions.
func (t *transaction) move(d *catalog.Dataset, part []ingest.Rename, runID string) error {
	if err := t.settle(d.Table); err != nil {
		return err
	}
	from, to := make(map[string]*ingest.Rename, len(part)), make([]string, len(part))
	var olds, pairs []string
	for i := range part {
		r := &part[i]
		from[r.Old], to[i] = r, quote(r.New)
		olds, pairs = append(olds, quote(r.Old)), append(pairs, "("+quote(r.Old)+", "+quote(r.New)+")")
	}
	held, err := readBatch(t.file, d, "symbol IN ("+strings.Join(olds, ", ")+")", 0)
	if err != nil || held.Len == 0 {
		return err
	}
	type key struct {
		symbol string
		date   market.Date
	}
	there := map[key]bool{}
	err = t.file.query("SELECT symbol, trade_date FROM "+d.Table+" WHERE symbol IN ("+strings.Join(to, ", ")+")", func(c rows) error {
		for i := range c.len {
			there[key{c.columns[0].text(i), c.columns[1].date(i)}] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	symbols, dates := pool.KeyColumns(d, held)
	before := held.RowHashes()
	old := slices.Clone(symbols.Texts)
	for i, s := range old {
		symbols.Texts[i] = from[s].New
	}
	after := held.RowHashes()
	copy(symbols.Texts, old)
	records := map[coverage.Key]coverage.Record{}
	var twice []int
	for i, s := range old {
		r, k := from[s], coverage.Key{Dataset: d.ID, Date: dates.Dates[i]}
		record, known := records[k]
		if !known {
			record, known = t.held(k)
		}
		record.RowsHash -= before[i]
		record.ByExchange = less(record.ByExchange, s)
		if there[key{r.New, k.Date}] {
			twice, record.Rows = append(twice, i), record.Rows-1
			r.Twice++
		} else {
			record.RowsHash += after[i]
			record.ByExchange.Add(r.New)
			r.Moved++
		}
		if known { // a row that the coverage does not have was added manually, and moves without it
			records[k] = record
		}
	}
	if err := t.dropTwice(d, held, twice, runID); err != nil {
		return err
	}
	err = t.file.exec("UPDATE " + d.Table + " SET symbol = m.n FROM (VALUES " + strings.Join(pairs, ", ") + ") m(o, n) WHERE " + d.Table + ".symbol = m.o")
	if err != nil {
		return err
	}
	t.written += held.Len
	return t.rewrite(records)
}

func less(c coverage.ExchangeCounts, symbol string) coverage.ExchangeCounts {
	var one coverage.ExchangeCounts
	one.Add(symbol)
	return coverage.ExchangeCounts{SH: c.SH - one.SH, SZ: c.SZ - one.SZ, BJ: c.BJ - one.BJ}
}

// dropTwice deletes rows that also exist under another code.
func (t *transaction) dropTwice(d *catalog.Dataset, held *table.Batch, twice []int, runID string) error {
	if len(twice) == 0 {
		return nil
	}
	if _, err := t.revise(d, pool.Diff{Gone: twice}, held, table.New(d.Specs(), 0), runID); err != nil {
		return err
	}
	symbols, dates := pool.KeyColumns(d, held)
	for _, i := range twice {
		err := t.file.exec("DELETE FROM " + d.Table + " WHERE symbol = " + quote(symbols.Texts[i]) + " AND trade_date = " + literal(dates.Dates[i]))
		if err != nil {
			return err
		}
	}
	return nil
}

// rewrite replaces records of one dataset; rejects stay.
func (t *transaction) rewrite(records map[coverage.Key]coverage.Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := t.settle("coverage"); err != nil {
		return err
	}
	a, err := t.appender("coverage")
	if err != nil {
		return err
	}
	var dataset string
	var days []string
	for k := range records {
		dataset, days = k.Dataset, append(days, literal(k.Date))
	}
	if err := t.file.exec("DELETE FROM coverage WHERE dataset = " + quote(dataset) + " AND trade_date IN (" + strings.Join(days, ", ") + ")"); err != nil {
		return err
	}
	for k, r := range records {
		t.records[k] = r
		if err := appendCoverage(a, r); err != nil {
			return err
		}
	}
	return nil
}

// strays counts the rows of a list's kind whose symbols are not on it.
func (t *transaction) strays(d *catalog.Dataset) (out ingest.Orphans, err error) {
	if err := t.settle(catalog.TableInstruments); err != nil {
		return out, err
	}
	count := map[string]int64{}
	for _, dated := range pool.Dated(d) {
		terms := "symbol NOT IN (SELECT symbol FROM " + catalog.TableInstruments + " WHERE symbol IS NOT NULL)"
		if kind := kindPredicate(dated); kind != "" {
			terms += " AND " + kind
		}
		err := t.file.query("SELECT symbol, count(*) FROM "+dated.Table+" WHERE "+terms+" GROUP BY symbol", func(c rows) error {
			for i := range c.len {
				count[c.columns[0].text(i)] += value[int64](c.columns[1], i)
			}
			return nil
		})
		if err != nil {
			return out, fmt.Errorf("look for strays: %w", err)
		}
	}
	for symbol, n := range count {
		out.Rows, out.Symbols, out.Sample = out.Rows+n, out.Symbols+1, append(out.Sample, symbol)
	}
	slices.Sort(out.Sample)
	out.Sample = out.Sample[:min(len(out.Sample), 5)]
	return out, nil
}
