package targets

import (
	"context"
	"database/sql"
	"math"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// use opens the file for reading, without checking source and space. A missing file has no
// data and is not created.
func (s *Sink) use(ctx context.Context, read func(db *sql.DB) error) error {
	give, err := s.take(ctx)
	if err != nil {
		return err
	}
	defer give()
	if s.stands(); s.db == nil && !pool.Exists(s.cfg.Path) {
		return nil
	}
	if err := s.attach(ctx); err != nil {
		return err
	}
	if err := read(s.db.Reader()); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// beside is use for a long read, which does not wait for commits, nor they for it. prepare is
// called before it, while the file is open.
func (s *Sink) beside(ctx context.Context, prepare func(), read func(db *sql.DB) error) error {
	for {
		s.reads.RLock()
		if s.db != nil && s.watch.FileState() == pool.Same {
			break
		}
		s.reads.RUnlock()
		exists := false
		if err := s.use(ctx, func(*sql.DB) error { exists = true; return nil }); err != nil || !exists {
			return err
		}
	}
	defer s.reads.RUnlock()
	prepare()
	if err := read(s.db.Reader()); err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// Contents reads the tables; without a symbol it reads a date's rows of every symbol. Symbols'
// days are read many at a time. Because of the primary keys Duplicates is always 0.
func (s *Sink) Contents(ctx context.Context, keys ...coverage.Key) ([]ingest.Contents, error) {
	out := make([]ingest.Contents, len(keys))
	for n := 0; n < len(keys); {
		end := n + 1
		for end < min(len(keys), n+keysPerQuery) && keys[n].Symbol != "" && keys[end].Symbol != "" && keys[end].Dataset == keys[n].Dataset {
			end++
		}
		var err error
		if end == n+1 {
			out[n], err = s.contents(ctx, keys[n])
		} else {
			err = s.contentsOf(ctx, keys[n:end], out[n:end])
		}
		if err != nil {
			return nil, err
		}
		n = end
	}
	return out, nil
}

// keysPerQuery is how many keys one query has.
const keysPerQuery = 1000

// withKeys is a table of rows, restricted to the keys of a keyList, which is the argument.
func withKeys(table string) string {
	return "json_each(?) AS k CROSS JOIN " + table + " ON trade_date = substr(k.value, 1, 10) AND symbol = substr(k.value, 11)"
}

func keyList(keys []coverage.Key) string {
	texts := make([]string, len(keys))
	for n, k := range keys {
		texts[n] = k.Date.String() + k.Symbol
	}
	return jsonList(texts)
}

// contentsOf reads symbols' days of one dataset.
func (s *Sink) contentsOf(ctx context.Context, keys []coverage.Key, out []ingest.Contents) error {
	d := catalog.Lookup(keys[0].Dataset)
	if d == nil || d.Snapshot {
		return fault.Invalid("dataset", "%.40q has no trade dates", keys[0].Dataset)
	}
	at := make(map[rowKey]int, len(keys))
	for n, k := range keys {
		at[rowKey{k.Symbol, k.Date}] = n
	}
	b, names := pool.Held(d, len(keys))
	err := s.use(ctx, func(db *sql.DB) error {
		return readBatch(ctx, reading(db), b, "SELECT "+names+" FROM "+withKeys(d.Table)+" WHERE "+ofKind(d), keyList(keys))
	})
	if err != nil {
		return err
	}
	texts, dates := pool.KeyColumns(d, b)
	for r, hash := range b.RowHashes() {
		out[at[rowKey{texts.Texts[r], dates.Dates[r]}]] = ingest.Contents{Rows: 1, Hash: hash}
	}
	return nil
}

func (s *Sink) contents(ctx context.Context, k coverage.Key) (ingest.Contents, error) {
	d := catalog.Lookup(k.Dataset)
	b, err := s.Rows(ctx, k)
	if err != nil {
		return ingest.Contents{}, err
	}
	return pool.Contents(d, b), nil
}

// Rows reads a symbol on a date, or without a symbol the date of every symbol.
func (s *Sink) Rows(ctx context.Context, k coverage.Key) (*table.Batch, error) {
	d := catalog.Lookup(k.Dataset)
	if d == nil {
		return nil, fault.Invalid("dataset", "%.40q is not in the catalog", k.Dataset)
	}
	b, names := pool.Held(d, 0)
	query, args := "SELECT "+names+" FROM "+d.Table+" WHERE "+ofKind(d), []any(nil)
	if !d.Snapshot {
		query, args = query+" AND trade_date = ?", append(args, k.Date.String())
	}
	if k.Symbol != "" {
		query, args = query+" AND symbol = ?", append(args, k.Symbol)
	}
	err := s.use(ctx, func(db *sql.DB) error { return readBatch(ctx, reading(db), b, query, args...) })
	return b, err
}

// Prices implements ingest.PriceReader.
func (s *Sink) Prices(ctx context.Context, dataset string, keys []coverage.Key) (map[coverage.Key]ingest.Prices, error) {
	d := catalog.Lookup(dataset)
	if d == nil || d.Table != catalog.TablePrices {
		return nil, fault.Invalid("dataset", "%.40q has no prices", dataset)
	}
	out := make(map[coverage.Key]ingest.Prices, len(keys))
	err := s.use(ctx, func(db *sql.DB) error {
		for part := range slices.Chunk(keys, keysPerQuery) {
			err := each(ctx, db, "SELECT symbol, trade_date, close, pre_close, volume FROM "+withKeys(d.Table), func(scan func(...any) error) error {
				k := coverage.Key{Dataset: dataset}
				var date string
				var closed, pre, volume sql.NullFloat64
				if err := scan(&k.Symbol, &date, &closed, &pre, &volume); err != nil {
					return err
				}
				var err error
				if k.Date, err = market.ParseDate(date); err != nil {
					return err
				}
				orNaN := func(v sql.NullFloat64) float64 {
					if v.Valid {
						return v.Float64
					}
					return math.NaN()
				}
				out[k] = ingest.Prices{Close: orNaN(closed), PreClose: orNaN(pre), Volume: orNaN(volume)}
				return nil
			}, keyList(part))
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// Calendar is read from the file once after each commit that changed it.
func (s *Sink) Calendar(ctx context.Context) (ingest.Calendar, error) {
	if c := s.calendar.Load(); c != nil {
		return *c, nil
	}
	out := ingest.Calendar{First: market.NoDate, Last: market.NoDate}
	err := s.use(ctx, func(db *sql.DB) error {
		// The exchanges share one calendar; any of them is enough.
		err := each(ctx, db, "SELECT cal_date, max(is_open) FROM trade_calendar GROUP BY cal_date ORDER BY cal_date", func(scan func(...any) error) error {
			var text string
			var open bool
			if err := scan(&text, &open); err != nil {
				return err
			}
			d, err := market.ParseDate(text)
			if err != nil {
				return err
			}
			if out.First == market.NoDate {
				out.First = d
			}
			out.Last = d
			if open {
				out.Open = append(out.Open, d)
			}
			return nil
		})
		if err == nil {
			s.calendar.Store(&out)
		}
		return err
	})
	return out, err
}

// Instruments are read from the file once after each commit that changed them. The slice is
// shared and must not be modified.
func (s *Sink) Instruments(ctx context.Context) ([]coverage.Instrument, error) {
	if list := s.instruments.Load(); list != nil {
		return *list, nil
	}
	var out []coverage.Instrument
	err := s.use(ctx, func(db *sql.DB) (err error) {
		out, err = s.readInstruments(ctx, db)
		return err
	})
	return out, err
}

// readInstruments reads the instruments from the open file.
func (s *Sink) readInstruments(ctx context.Context, db *sql.DB) ([]coverage.Instrument, error) {
	var out []coverage.Instrument
	const query = "SELECT symbol, name, kind, list_status, list_date, delist_date FROM instrument_meta ORDER BY symbol"
	err := each(ctx, db, query, func(scan func(...any) error) error {
		var i coverage.Instrument
		var name, status, listed, delisted sql.NullString
		err := scan(&i.Symbol, &name, &i.Kind, &status, &listed, &delisted)
		if err != nil {
			return err
		}
		i.Name, i.Status = name.String, status.String
		if i.Listed, err = parseDate(listed.String); err != nil {
			return err
		}
		if i.Delisted, err = parseDate(delisted.String); err != nil {
			return err
		}
		out = append(out, i)
		return nil
	})
	if err != nil {
		return nil, err
	}
	former, err := readFormer(ctx, db, "")
	if err != nil {
		return nil, err
	}
	pool.Rename(out, former.Replaced())
	s.instruments.Store(&out)
	return out, nil
}
