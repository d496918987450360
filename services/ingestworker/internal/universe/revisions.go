package universe

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// revise stores the old values of the rows that the commit changes or removes.
func (t *transaction) revise(d *catalog.Dataset, diff pool.Diff, before, after *table.Batch, runID string) (ingest.Revised, error) {
	if len(diff.Changed)+len(diff.Gone) == 0 {
		return ingest.Revised{Of: int64(before.Len)}, nil
	}
	a, err := t.appender(pool.RevisionsTable)
	if err != nil {
		return ingest.Revised{}, err
	}
	sum, err := pool.Revise(d, diff, before, after, runID, t.now, t.nextRevision, func(r *ingest.Revision) error {
		return appendRevision(a, r)
	})
	t.nextRevision += sum.Cells
	t.revised += int(sum.Cells)
	return sum, err
}

func appendRevision(a *appender, r *ingest.Revision) error {
	return a.appendRow(r.ID, r.Dataset, r.Symbol, r.Date, r.Column, r.Old, r.New, string(r.Kind), r.SeenAt, r.RunID)
}

// loadNextRevision is the number of the next revision.
func loadNextRevision(d *duck) (next int64, err error) {
	err = d.query("SELECT coalesce(max(revision_id), 0) + 1 FROM "+pool.RevisionsTable, func(c rows) error {
		next = value[int64](c.columns[0], 0)
		return nil
	})
	return next, err
}

// Revisions reads the table of revisions, newest first. A file that was closed is closed
// again at once, so that others need not wait longer for it.
func (s *Sink) Revisions(ctx context.Context, q ingest.RevisionQuery) (out []ingest.Revision, err error) {
	var terms []string
	add := func(wanted bool, term string) {
		if wanted {
			terms = append(terms, term)
		}
	}
	add(q.Dataset != "", "dataset = "+quote(q.Dataset))
	add(q.Symbol != "", "symbol = "+quote(q.Symbol))
	add(q.RunID != "", "run_id = "+quote(q.RunID))
	add(q.Start != market.NoDate, "trade_date >= "+literal(q.Start))
	add(q.End != market.NoDate, "trade_date <= "+literal(q.End))
	add(q.Before > 0, fmt.Sprintf("revision_id < %d", q.Before))
	query := "SELECT revision_id, dataset, symbol, trade_date, column_name, old_value, new_value, change, seen_at, run_id FROM " + pool.RevisionsTable
	if len(terms) > 0 {
		query += " WHERE " + strings.Join(terms, " AND ")
	}
	query += fmt.Sprintf(" ORDER BY revision_id DESC LIMIT %d", q.Limit)
	err = s.do(ctx, func(w *writer) error {
		closed := w.file == nil
		out = nil
		err := w.use(func(file *duck) error {
			return file.query(query, func(c rows) error {
				for i := range c.len {
					out = append(out, revisionAt(c, i))
				}
				return nil
			})
		})
		if closed {
			w.release()
		}
		return err
	})
	return out, err
}

func revisionAt(c rows, i int) ingest.Revision {
	col := c.columns
	held := func(v vector) ingest.Value { return ingest.Value{Text: v.text(i), Set: !v.null(i)} }
	return ingest.Revision{
		ID: value[int64](col[0], i), Dataset: col[1].text(i), Symbol: col[2].text(i), Date: col[3].date(i), Column: col[4].text(i),
		Old: held(col[5]), New: held(col[6]), Kind: ingest.ChangeKind(col[7].text(i)),
		SeenAt: time.UnixMicro(value[int64](col[8], i)).UTC(), RunID: col[9].text(i),
	}
}
