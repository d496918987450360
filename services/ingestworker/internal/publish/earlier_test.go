package publish_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Files that an earlier build left open as they are: they are brought up to date, hold
// every row that they held, take commits, keep revisions, and are published.
func TestPoolsOfAnEarlierBuildOpen(t *testing.T) {
	const host = "127.0.0.1" // which they are stamped with
	friday := market.NewDate(2026, 11, 27)
	for _, c := range []struct {
		pool   market.Pool
		file   string
		rows   int64 // as that build counted them, lists and calendar included
		symbol string
		close  float64 // of the symbol on Friday
		open   func(path string) (ingest.Sink, publish.Source)
	}{
		{market.Universe, "analysis.duckdb", 13887, "000001.SZ", 11.06, func(path string) (ingest.Sink, publish.Source) {
			s := universe.New(universe.Config{Path: path, Source: host})
			return s, s
		}},
		{market.Targets, "targets.sqlite", 13254, "000001.SZ", 11.06, func(path string) (ingest.Sink, publish.Source) {
			s := targets.New(targets.Config{Path: path, Source: host})
			return s, publish.FromRows(s, host, "100MB")
		}},
	} {
		t.Run(string(c.pool), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, c.file)
			unpack(t, filepath.Join("testdata", c.file+".gz"), path)
			sink, source := c.open(path)
			defer sink.Close()
			if err := sink.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			var keys []coverage.Key
			var records []coverage.Record
			var held int64
			err := sink.Coverage(t.Context(), nil, market.NoDate, market.NoDate, func(r coverage.Record) bool {
				keys, records, held = append(keys, r.Key), append(records, r), held+r.Rows
				return true
			})
			if err != nil || held != c.rows {
				t.Fatalf("%d rows are covered, want %d, %v", held, c.rows, err)
			}
			contents, err := sink.Contents(t.Context(), keys...)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range records {
				if contents[i].Rows != r.Rows || contents[i].Duplicates != 0 || contents[i].Hash != r.RowsHash {
					t.Errorf("%v: the file holds %+v, and its coverage says %d rows of hash %x", r.Key, contents[i], r.Rows, r.RowsHash)
				}
			}
			symbols := []string{c.symbol}
			changed := sinktest.Commit(c.pool, catalog.Daily, friday-1, symbols, sinktest.Rows(catalog.Daily, friday-1, symbols, 1), 1<<60)
			if _, err := sink.Commit(t.Context(), changed); err != nil {
				t.Fatal(err)
			}
			revisions, err := sink.Revisions(t.Context(), ingest.RevisionQuery{Symbol: c.symbol, Start: market.NoDate, End: market.NoDate, Limit: 100})
			if err != nil || len(revisions) == 0 {
				t.Errorf("%d revisions were kept of what changed, %v", len(revisions), err)
			}
			store := publish.New(publish.Config{
				Pool: c.pool, Dir: filepath.Join(dir, "published"), Mark: filepath.Join(dir, "mark"), Source: source, Host: host, MinFree: 1,
			})
			defer store.Close()
			if res, err := store.Publish(t.Context(), "run"); err != nil || !res.Published {
				t.Fatalf("%+v, %v", res, err)
			}
			file := filepath.Join(dir, "published", store.FileName())
			for sql, want := range map[string]int64{
				"SELECT count(*) FROM daily_prices WHERE symbol = '" + c.symbol + "' AND trade_date = DATE '2026-11-27' AND close = " + fmt.Sprint(c.close): 1,
				"SELECT count(*) FROM revisions": int64(len(revisions)),
			} {
				if n := count(t, file, sql); n < want {
					t.Errorf("%s: %d, want %d", sql, n, want)
				}
			}
		})
	}
}

func unpack(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	text, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
