package targets

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

const revisionColumns = "revision_id, dataset, symbol, trade_date, column_name, old_value, new_value, change, seen_at, run_id"

// writeRevisions stores the values that the commit changes or removes, and records the
// companies that a list has under a new code.
func (w *work) writeRevisions(ctx context.Context, tx *sqlite.Tx) (err error) {
	var kept []ingest.Revision
	next := int64(1)
	if len(w.diff.Changed)+len(w.diff.Gone) > 0 || pool.Lists(w.dataset) {
		if err := tx.QueryRowContext(ctx, "SELECT coalesce(max(revision_id), 0) + 1 FROM revisions").Scan(&next); err != nil {
			return err
		}
	}
	w.revised, err = pool.Revise(w.dataset, w.diff, w.old, w.commit.Batch, w.commit.RunID, tx.Now, next, func(r *ingest.Revision) error {
		kept = append(kept, *r)
		return nil
	})
	if err != nil {
		return err
	}
	if err := insertRevisions(ctx, tx, kept); err != nil || !pool.Lists(w.dataset) {
		return err
	}
	former, err := readFormer(ctx, tx.Tx, w.dataset.ID)
	if err != nil {
		return err
	}
	known := former.Replaced()
	kept = kept[:0]
	for _, r := range pool.Renames(w.dataset, former.Identities(), w.commit.Batch) {
		if known[r.Old] == r.New {
			continue // it was reported when it happened
		}
		w.renamed = append(w.renamed, r)
		kept = append(kept, pool.Replaced(w.dataset, r, w.commit.RunID, tx.Now, next+w.revised.Cells+int64(len(kept))))
	}
	return insertRevisions(ctx, tx, kept)
}

func insertRevisions(ctx context.Context, tx *sqlite.Tx, kept []ingest.Revision) error {
	day := dayTexts{}
	return tx.Insert(ctx, pool.RevisionsTable, revisionColumns, 10, len(kept), func(i int, args []any) []any {
		r := &kept[i]
		return append(args, r.ID, r.Dataset, r.Symbol, day.of(r.Date), r.Column, nullable(r.Old), nullable(r.New), string(r.Kind), r.SeenAt.UnixMilli(), r.RunID)
	})
}

// readFormer reads what the revisions of a list say about its earlier codes; of all lists
// if none is named.
func readFormer(ctx context.Context, db querier, list string) (kept pool.Former, err error) {
	err = each(ctx, db, "SELECT symbol, column_name, coalesce(old_value, ''), coalesce(new_value, ''), change FROM revisions WHERE "+
		pool.FormerWhere+" AND (? = '' OR dataset = ?) ORDER BY revision_id", func(scan func(...any) error) error {
		var symbol, column, was, is string
		var kind ingest.ChangeKind
		if err := scan(&symbol, &column, &was, &is, &kind); err != nil {
			return err
		}
		kept.Add(symbol, column, was, is, kind)
		return nil
	}, list, list)
	return kept, err
}

func nullable(v ingest.Value) any {
	if !v.Set {
		return nil
	}
	return v.Text
}

// Revisions reads the table of revisions, newest first.
func (s *Sink) Revisions(ctx context.Context, q ingest.RevisionQuery) ([]ingest.Revision, error) {
	var terms []string
	var args []any
	add := func(wanted bool, term string, arg any) {
		if wanted {
			terms, args = append(terms, term), append(args, arg)
		}
	}
	add(q.Dataset != "", "dataset = ?", q.Dataset)
	add(q.Symbol != "", "symbol = ?", q.Symbol)
	add(q.RunID != "", "run_id = ?", q.RunID)
	add(q.Start != market.NoDate, "trade_date >= ?", q.Start.String())
	add(q.End != market.NoDate, "trade_date <= ?", q.End.String())
	add(q.Before > 0, "revision_id < ?", q.Before)
	query := "SELECT " + revisionColumns + " FROM revisions"
	if len(terms) > 0 {
		query += " WHERE " + strings.Join(terms, " AND ")
	}
	args = append(args, q.Limit)
	var out []ingest.Revision
	err := s.use(ctx, func(db *sql.DB) error {
		return each(ctx, db, query+" ORDER BY revision_id DESC LIMIT ?", func(scan func(...any) error) error {
			r, err := scanRevision(scan)
			if err != nil {
				return err
			}
			out = append(out, r)
			return nil
		}, args...)
	})
	return out, err
}

// scanRevision reads a row of revisionColumns.
func scanRevision(scan func(...any) error) (r ingest.Revision, err error) {
	var date, was, is sql.NullString
	var seen int64
	if err := scan(&r.ID, &r.Dataset, &r.Symbol, &date, &r.Column, &was, &is, &r.Kind, &seen, &r.RunID); err != nil {
		return r, err
	}
	r.Old, r.New = ingest.Value{Text: was.String, Set: was.Valid}, ingest.Value{Text: is.String, Set: is.Valid}
	r.SeenAt = time.UnixMilli(seen).UTC()
	r.Date, err = parseDate(date.String)
	return r, err
}
