package targets

import (
	"context"
	"database/sql/driver"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// A company that has a new code keeps its rows under the old one until rows come under the new
// one: then those of the same dates move, so that no date has the company twice.

// formerCodes are the earlier codes of companies, by the present one, except codes that another
// instrument has now, and those that a commit of the group is for.
func (s *Sink) formerCodes(ctx context.Context, group []*work) (map[string][]string, error) {
	var list []coverage.Instrument
	if known := s.instruments.Load(); known != nil {
		list = *known
	} else {
		var err error
		if list, err = s.readInstruments(ctx, s.db.Reader()); err != nil {
			return nil, err
		}
	}
	current := map[string]string{} // by earlier code
	for i := range list {
		for _, code := range list[i].Former {
			current[code] = list[i].Symbol
		}
	}
	if len(current) == 0 {
		return nil, nil
	}
	for i := range list {
		delete(current, list[i].Symbol)
	}
	for _, w := range group {
		for _, symbol := range w.commit.Partition.Symbols {
			delete(current, symbol)
		}
	}
	out := map[string][]string{}
	for code, symbol := range current {
		out[symbol] = append(out[symbol], code)
	}
	return out, nil
}

// supersede finds the rows under earlier codes of the symbols of the batch's rows, of the same
// dates. Their records are dropped.
func (w *work) supersede(former map[string][]string) {
	if len(former) == 0 {
		return
	}
	for key := range w.rows {
		for _, code := range former[key.symbol] {
			for _, d := range w.sink.index.span(series{w.dataset.ID, code}, key.date, key.date) {
				if d.rows() == 0 {
					continue
				}
				if w.moved == nil {
					w.moved = map[coverage.Key]string{}
				}
				k := coverage.Key{Dataset: w.dataset.ID, Date: key.date, Symbol: code}
				w.before[k], w.moved[k] = d, key.symbol
			}
		}
	}
}

// move gives the rows of earlier codes the present one. A row of a date that has one already stays,
// and is then removed like one that the provider no longer has.
func (w *work) move(ctx context.Context, tx *sqlite.Tx) error {
	for k, current := range w.moved {
		_, err := tx.ExecContext(ctx, "UPDATE OR IGNORE "+w.dataset.Table+" SET symbol = ? WHERE symbol = ? AND trade_date = ?", current, k.Symbol, k.Date.String())
		if err != nil {
			return err
		}
	}
	return nil
}

// moves reports whether a row under an earlier code is of a date on which it moves.
func (w *work) moves(symbol string, day driver.Value) bool {
	text, _ := day.(string)
	d, err := parseDate(text)
	_, moves := w.moved[coverage.Key{Dataset: w.dataset.ID, Date: d, Symbol: symbol}]
	return err == nil && moves
}
