package universe

import (
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// readBatch reads the rows of a partition by the provider's names, with all columns of
// their table.
func readBatch(d *duck, ds *catalog.Dataset, where string, size int) (*table.Batch, error) {
	b, names := pool.Held(ds, size)
	err := d.query("SELECT "+names+" FROM "+ds.Table+" WHERE "+where, func(c rows) error {
		b.Len += c.len
		for n := range b.Columns {
			col, from := &b.Columns[n], c.columns[n]
			for i := range c.len {
				switch {
				case from.null(i):
					col.AppendNull()
				case col.Type == table.Text:
					col.AppendText(from.text(i))
				case col.Type == table.Date:
					col.AppendDate(from.date(i))
				case col.Type == table.Int:
					col.AppendNumber(float64(value[int32](from, i)))
				default:
					col.AppendNumber(value[float64](from, i))
				}
			}
		}
		return nil
	})
	return b, err
}

// use opens the file for reading, without checking source and space. A missing file has no
// data and is not created.
func (w *writer) use(read func(d *duck) error) error {
	if w.stands(); w.file == nil && !pool.Exists(w.cfg.Path) {
		return nil
	}
	if err := w.attach(); err != nil {
		return err
	}
	if err := read(w.file); err != nil {
		w.abandon(err)
		return w.failure(err)
	}
	return nil
}

func (w *writer) calendar() (ingest.Calendar, error) {
	out := ingest.Calendar{First: market.NoDate, Last: market.NoDate}
	err := w.use(func(file *duck) error {
		// The exchanges share one calendar; any of them is enough.
		return file.query("SELECT cal_date, max(is_open) FROM "+catalog.TableCalendar+" GROUP BY cal_date ORDER BY cal_date", func(c rows) error {
			for i := range c.len {
				d := c.columns[0].date(i)
				if out.First == market.NoDate {
					out.First = d
				}
				out.Last = d
				if value[int32](c.columns[1], i) == 1 {
					out.Open = append(out.Open, d)
				}
			}
			return nil
		})
	})
	return out, err
}

func (w *writer) instruments() (out []coverage.Instrument, err error) {
	columns := []string{"symbol", "name", pool.KindColumn, "list_status", "list_date", "delist_date"}
	err = w.use(func(file *duck) error {
		former, err := readFormer(file)
		if err != nil {
			return err
		}
		err = file.query("SELECT "+strings.Join(columns, ", ")+" FROM "+catalog.TableInstruments+" ORDER BY symbol", func(c rows) error {
			for i := range c.len {
				out = append(out, coverage.Instrument{
					Symbol: c.columns[0].text(i), Name: c.columns[1].text(i), Kind: market.Kind(c.columns[2].text(i)),
					Status: c.columns[3].text(i), Listed: c.columns[4].date(i), Delisted: c.columns[5].date(i),
				})
			}
			return nil
		})
		pool.Rename(out, former.Replaced())
		return err
	})
	return out, err
}
