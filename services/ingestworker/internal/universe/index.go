package universe

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
)

// index is the coverage in memory: the content of the file's table when it was last open,
// updated with every commit.
type index struct {
	mu      sync.RWMutex
	records map[coverage.Key]coverage.Record
	loaded  bool
}

func (x *index) get(k coverage.Key) (r coverage.Record, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	r, ok = x.records[k]
	return r, ok
}

func (x *index) ready() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.loaded
}

func (x *index) put(records map[coverage.Key]coverage.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for k, r := range records {
		x.records[k] = r
	}
}

func (x *index) replace(records map[coverage.Key]coverage.Record) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.records, x.loaded = records, true
}

// clear is for a file that was deleted: nothing is stored, and the next file is read.
func (x *index) clear() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.records, x.loaded = make(map[coverage.Key]coverage.Record), false
}

// holdsRows reports whether any partition has rows.
func (x *index) holdsRows() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, r := range x.records {
		if r.Rows > 0 {
			return true
		}
	}
	return false
}

// match copies the requested records, so that their reader has no lock.
func (x *index) match(datasets []string, start, end market.Date) []coverage.Record {
	want := make(map[string]bool, len(datasets))
	for _, d := range datasets {
		want[d] = true
	}
	open := start == market.NoDate && end == market.NoDate
	x.mu.RLock()
	defer x.mu.RUnlock()
	var out []coverage.Record
	for k, r := range x.records {
		if len(want) > 0 && !want[k.Dataset] {
			continue
		}
		if !open && (k.Date == market.NoDate || k.Date < start || end != market.NoDate && k.Date > end) {
			continue
		}
		out = append(out, r)
	}
	return out
}

const coverageSQL = `SELECT dataset, trade_date, row_count, row_count_sh, row_count_sz, row_count_bj, rows_hash, expected_count, verdict,
  committed_at, epoch, run_id, answer_hash, same_since, same_days, last_same, filtered_count, rejected_count, unknown_count,
  new_count, changed_count, gone_count, issues FROM coverage`

// loadCoverage reads the coverage table.
func loadCoverage(d *duck) (map[coverage.Key]coverage.Record, error) {
	records := make(map[coverage.Key]coverage.Record)
	err := d.query(coverageSQL, func(c rows) error {
		for i := range c.len {
			col := c.columns
			r := coverage.Record{
				Key:        coverage.Key{Dataset: col[0].text(i), Date: col[1].date(i)},
				Rows:       value[int64](col[2], i),
				ByExchange: coverage.ExchangeCounts{SH: value[int64](col[3], i), SZ: value[int64](col[4], i), BJ: value[int64](col[5], i)},
				RowsHash:   value[uint64](col[6], i), Expected: value[int64](col[7], i), Verdict: coverage.Verdict(col[8].text(i)),
				CommittedAt: time.UnixMicro(value[int64](col[9], i)).UTC(), Epoch: value[int64](col[10], i), RunID: col[11].text(i),
				AnswerHash: value[uint64](col[12], i), SameSince: col[13].date(i), SameDays: int(value[int64](col[14], i)),
				LastSame: col[15].date(i), Filtered: value[int64](col[16], i), Rejected: value[int64](col[17], i),
				Unknown: value[int64](col[18], i), New: value[int64](col[19], i), Changed: value[int64](col[20], i), Gone: value[int64](col[21], i),
			}
			if text := col[22].text(i); text != "" {
				if err := json.Unmarshal([]byte(text), &r.Issues); err != nil {
					return err
				}
			}
			records[r.Key] = r
		}
		return nil
	})
	return records, err
}

// appendCoverage writes one record, in the order of the table's columns.
func appendCoverage(a *appender, r coverage.Record) error {
	issues := ""
	if len(r.Issues) > 0 {
		text, err := json.Marshal(r.Issues)
		if err != nil {
			return err
		}
		issues = string(text)
	}
	return a.appendRow(r.Dataset, r.Date, r.Rows, r.ByExchange.SH, r.ByExchange.SZ, r.ByExchange.BJ, r.RowsHash, r.Expected, string(r.Verdict),
		r.CommittedAt, r.Epoch, r.RunID, r.AnswerHash, r.SameSince, int64(r.SameDays), r.LastSame, r.Filtered, r.Rejected, r.Unknown,
		r.New, r.Changed, r.Gone, issues)
}
