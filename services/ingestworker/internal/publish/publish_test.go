package publish_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

type harness struct {
	t     *testing.T
	dir   string
	sink  *universe.Sink
	store *publish.Store
	cfg   publish.Config
	epoch int64
}

func newHarness(t *testing.T) *harness {
	r := &harness{t: t, dir: t.TempDir()}
	r.sink = universe.New(universe.Config{Path: filepath.Join(r.dir, "analysis.duckdb"), Source: "test"})
	t.Cleanup(func() { _ = r.sink.Close() })
	r.cfg = publish.Config{Pool: market.Universe, Dir: filepath.Join(r.dir, "published"), Mark: filepath.Join(r.dir, "mark"), Source: r.sink, Host: "test", MinFree: 1}
	r.store = publish.New(r.cfg)
	t.Cleanup(func() { _ = r.store.Close() })
	return r
}

func (r *harness) path(name string) string { return filepath.Join(r.dir, "published", name) }

func (r *harness) commit(dataset string, date market.Date, symbols []string, seed uint64) {
	r.t.Helper()
	r.epoch++
	c := sinktest.Commit(market.Universe, dataset, date, symbols, sinktest.Rows(dataset, date, symbols, seed), r.epoch)
	if _, err := r.sink.Commit(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *harness) publish(run string) publish.Result {
	r.t.Helper()
	res, err := r.store.Publish(r.t.Context(), run)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

func (r *harness) manifest() publish.Manifest {
	r.t.Helper()
	data, err := os.ReadFile(r.path("manifest.json"))
	if err != nil {
		r.t.Fatal(err)
	}
	var m publish.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// count asks another DuckDB instance, by the names a reader uses.
func count(t *testing.T, path, sql string) int64 {
	t.Helper()
	d, err := universe.OpenReader(path, universe.ReaderConfig{Memory: "100MB", Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var n int64
	if err := d.Query(t.Context(), sql, func(c universe.Chunk) error { n = c.Longs(0)[0]; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func (r *harness) rows(table string) int64 {
	return count(r.t, r.path("universe.duckdb"), "SELECT count(*) FROM "+table)
}

func (r *harness) parquetRows(table string) int64 {
	return count(r.t, r.path("universe.duckdb"), "SELECT count(*) FROM read_parquet("+universe.Quote(r.path("parquet/"+table+"/*/*.parquet"))+")")
}

func (r *harness) fill() {
	stocks, etfs := sinktest.Stocks(40), sinktest.ETFs(10)
	for _, day := range []market.Date{sinktest.Day0, sinktest.Day0 + 1, sinktest.Day0 + 35} {
		r.commit(catalog.Daily, day, stocks, 1)
		r.commit(catalog.FundDaily, day, etfs, 1)
		r.commit(catalog.Moneyflow, day, stocks, 1)
	}
	c := sinktest.Snapshot(market.Universe, catalog.StockBasic, sinktest.List(catalog.StockBasic, stocks), 1)
	if _, err := r.sink.Commit(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

func TestPublishMakesWhatReadersOpen(t *testing.T) {
	r := newHarness(t)
	if res := r.publish("run-0"); res.Version != "" || res.Published {
		t.Errorf("an empty pool was published: %+v", res)
	}
	r.fill()
	res := r.publish("run-1")
	if !res.Published || res.Repaired != "" || res.Linked != 0 {
		t.Errorf("the first publication: %+v", res)
	}
	for table, want := range map[string]int64{"daily_prices": 150, "daily_moneyflows": 120} {
		if got := r.rows(table); got != want {
			t.Errorf("%s: %d rows in the DuckDB file, want %d", table, got, want)
		}
		if got := r.parquetRows(table); got != want {
			t.Errorf("%s: %d rows in the Parquet files, want %d", table, got, want)
		}
	}
	m := r.manifest()
	if m.Version != res.Version || m.RunID != "run-1" || m.Source != "test" {
		t.Errorf("the manifest names %s, %s, %s", m.Version, m.RunID, m.Source)
	}
	var paths []string
	for _, f := range m.Files {
		paths = append(paths, f.Path)
		data, err := os.ReadFile(r.path("current/" + f.Path))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(data)) {
			t.Errorf("%s is not the file of the manifest", f.Path)
		}
		st, _ := os.Stat(r.path("current/" + f.Path))
		if st.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s can be written to", f.Path)
		}
	}
	want := []string{
		"universe.duckdb", "parquet/instrument_meta/instrument_meta.parquet",
		"parquet/daily_prices/year=2026/2026-03.parquet", "parquet/daily_prices/year=2026/2026-04.parquet",
		"parquet/daily_moneyflows/year=2026/2026-03.parquet", "parquet/daily_moneyflows/year=2026/2026-04.parquet",
	}
	if !slices.Equal(paths, want) {
		t.Errorf("files %v, want %v", paths, want)
	}
	i := slices.IndexFunc(m.Files, func(f publish.FileInfo) bool { return strings.HasSuffix(f.Path, "prices/year=2026/2026-03.parquet") })
	if f := m.Files[i]; f.Rows != 100 || f.FirstDate != "2026-03-02" || f.LastDate != "2026-03-03" || f.Verdicts[coverage.Complete] != 4 {
		t.Errorf("the file of March: %+v", f)
	}
	unsorted := fmt.Sprintf(`SELECT count(*) FROM (SELECT (symbol, trade_date) < lag((symbol, trade_date)) OVER (ORDER BY file_row_number) AS bad
	  FROM read_parquet(%s, file_row_number=true)) WHERE bad`, universe.Quote(r.path("parquet/daily_prices/year=2026/2026-03.parquet")))
	if n := count(t, r.path("universe.duckdb"), unsorted); n != 0 {
		t.Errorf("%d rows are not in the order of symbol and date", n)
	}
	decimals := `SELECT count(*) FROM parquet_schema(` + universe.Quote(r.path("parquet/daily_prices/year=2026/2026-03.parquet")) + `) WHERE name = 'close' AND type = 'DOUBLE'`
	if n := count(t, r.path("universe.duckdb"), decimals); n != 1 {
		t.Error("prices are no DOUBLE in the Parquet file")
	}
}

func TestPublishRewritesOnlyWhatChanged(t *testing.T) {
	r := newHarness(t)
	r.fill()
	first := r.publish("run-1")
	if again := r.publish("run-2"); again.Published || again.Version != first.Version {
		t.Errorf("nothing changed, and it was published: %+v", again)
	}
	old := r.manifest()
	r.commit(catalog.Daily, sinktest.Day0+35, sinktest.Stocks(40), 2)
	res := r.publish("run-3")
	if !res.Published || res.Written != 1 || res.Linked != 4 || res.Version <= first.Version {
		t.Errorf("one date changed: %+v", res)
	}
	same, _ := os.Stat(r.path("versions/" + first.Version + "/parquet/daily_prices/year=2026/2026-03.parquet"))
	now, _ := os.Stat(r.path("current/parquet/daily_prices/year=2026/2026-03.parquet"))
	if !os.SameFile(same, now) {
		t.Error("a month that did not change is another file")
	}
	if r.manifest().Version == old.Version {
		t.Error("the manifest is still the old one")
	}
	// The version before stays readable by its name; the one before that goes.
	r.commit(catalog.Daily, sinktest.Day0+36, sinktest.Stocks(40), 2)
	r.publish("run-4")
	if _, _, err := r.store.Acquire(t.Context(), first.Version); !fault.Is(err, fault.NotFound) {
		t.Errorf("a version that is gone: %v", err)
	}
	v, release, err := r.store.Acquire(t.Context(), res.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if v.Manifest.Version != res.Version {
		t.Errorf("asked for %s, got %s", res.Version, v.Manifest.Version)
	}
}

func TestReaderKeepsItsVersion(t *testing.T) {
	r := newHarness(t)
	r.fill()
	r.publish("run-1")
	reader, err := universe.OpenReader(r.path("universe.duckdb"), universe.ReaderConfig{Memory: "100MB", Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	for i := range 4 { // more than are kept, so its version is removed
		r.commit(catalog.Daily, sinktest.Day0+36+market.Date(i), sinktest.Stocks(40), 2)
		r.publish("run")
	}
	var n int64
	err = reader.Query(t.Context(), "SELECT count(*) FROM daily_prices", func(c universe.Chunk) error { n = c.Longs(0)[0]; return nil })
	if err != nil || n != 150 {
		t.Errorf("the reader that was there before sees %d rows, %v", n, err)
	}
	if n := r.rows("daily_prices"); n != 310 {
		t.Errorf("the next reader sees %d rows, want 310", n)
	}
}

// A version that a caller names by mistake is none of the log's business; one that is damaged is.
func TestLogOfAVersionThatCannotBeRead(t *testing.T) {
	r := newHarness(t)
	r.fill()
	r.publish("run-1")
	var log bytes.Buffer
	r.cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	store := publish.New(r.cfg)
	defer store.Close()
	acquire := func(name string) {
		t.Helper()
		log.Reset()
		if _, _, err := store.Acquire(t.Context(), name); !fault.Is(err, fault.NotFound) {
			t.Errorf("version %q: %v", name, err)
		}
	}
	if acquire("20200101T000000.000Z"); log.Len() > 0 {
		t.Errorf("a version that does not exist: %s", &log)
	}
	version := r.manifest().Version
	for _, remove := range []string{"manifest.json", ""} { // the file, then the whole directory
		if err := os.RemoveAll(r.path(filepath.Join("versions", version, remove))); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{version, ""} {
			if acquire(name); !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), version) {
				t.Errorf("version %q without %q: %q", name, remove, &log)
			}
		}
	}
}

func TestPublishRepairsWhatWasDamaged(t *testing.T) {
	april := "parquet/daily_prices/year=2026/2026-04.parquet"
	for name, c := range map[string]struct {
		harm   func(r *harness)
		linked int
	}{
		"deleted":         {func(r *harness) { os.RemoveAll(r.path("")) }, 0},
		"link gone":       {func(r *harness) { os.Remove(r.path("current")) }, 5},
		"name gone":       {func(r *harness) { os.Remove(r.path("universe.duckdb")) }, 5},
		"manifest gone":   {func(r *harness) { os.Remove(r.path("current/manifest.json")) }, 0},
		"manifest broken": {func(r *harness) { overwrite(r.t, r.path("current/manifest.json"), "{") }, 0},
		"file gone":       {func(r *harness) { os.Remove(r.path("current/" + april)) }, 4},
		"file cut off":    {func(r *harness) { os.Truncate(r.path("current/"+april), 100) }, 4},
		"value changed":   {func(r *harness) { flip(r.t, r.path("current/"+april)) }, 4},
		"DuckDB changed":  {func(r *harness) { flip(r.t, r.path("current/universe.duckdb")) }, 5},
		"folder in place": {func(r *harness) { os.Remove(r.path("parquet")); os.MkdirAll(r.path("parquet/x"), 0o755) }, 5},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t)
			r.fill()
			before := r.publish("run-1")
			c.harm(r)
			res := r.publish("run-2")
			if res.Repaired == "" || !res.Published || res.Linked != c.linked || res.Version <= before.Version {
				t.Errorf("after the harm: %+v", res)
			}
			if a, b := r.rows("daily_prices"), r.parquetRows("daily_prices"); a != 150 || b != 150 {
				t.Errorf("%d and %d rows after the repair", a, b)
			}
			if again := r.publish("run-3"); again.Repaired != "" || again.Published {
				t.Errorf("it is still damaged: %+v", again)
			}
		})
	}
}

func overwrite(t *testing.T, path, text string) {
	os.Remove(path)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string) {
	os.Chmod(path, 0o644)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// failingSource fails to copy after it wrote something, as a full disk does.
type failingSource struct {
	*universe.Sink
	err error
}

func (b failingSource) Copy(ctx context.Context, path string, _ func(int64), _ func(coverage.Record)) error {
	_ = os.WriteFile(path, []byte("half"), 0o644)
	return b.err
}

func TestFailedPublicationLeavesTheVersionBefore(t *testing.T) {
	r := newHarness(t)
	r.fill()
	r.publish("run-0")
	r.commit(catalog.Daily, sinktest.Day0+36, sinktest.Stocks(40), 2)
	before := r.publish("run-1")
	r.commit(catalog.Daily, sinktest.Day0+37, sinktest.Stocks(40), 2)
	cfg := r.cfg
	cfg.Source = failingSource{r.sink, fmt.Errorf("wrote nothing more")}
	_, err := publish.New(cfg).Publish(t.Context(), "run-2")
	faulttest.Produces(t, err, fault.PublicationFailed)
	cfg.Source, cfg.MinFree = r.sink, 1<<60
	_, err = publish.New(cfg).Publish(t.Context(), "run-2")
	faulttest.Produces(t, err, fault.DiskFull)
	if m := r.manifest(); m.Version != before.Version {
		t.Errorf("%s is current", m.Version)
	}
	entries, err := os.ReadDir(r.path("versions"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%d versions, %v", len(entries), err)
	}
	if r.rows("daily_prices") != 190 {
		t.Error("the version before is not what it was")
	}
	if res := r.publish("run-3"); !res.Published || res.Repaired != "" {
		t.Errorf("the next run: %+v", res)
	}
}

// A version whose manifest is damaged has other files, and there is the version before it.
func TestFailedRepairDeletesNoVersion(t *testing.T) {
	r := newHarness(t)
	r.fill()
	before := r.publish("run-1")
	r.commit(catalog.Daily, sinktest.Day0+36, sinktest.Stocks(40), 2)
	r.publish("run-2")
	overwrite(t, r.path("current/manifest.json"), "{")
	cfg := r.cfg
	cfg.MinFree = 1 << 60
	_, err := publish.New(cfg).Publish(t.Context(), "run-3")
	faulttest.Produces(t, err, fault.DiskFull)
	if n := r.rows("daily_prices"); n != 190 {
		t.Errorf("the file of the current version has %d rows", n)
	}
	_, release, err := r.store.Acquire(t.Context(), before.Version)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if res := r.publish("run-4"); !res.Published || res.Repaired == "" {
		t.Errorf("the next run: %+v", res)
	}
}

func TestMissingCopySaysWhetherItWasDeleted(t *testing.T) {
	r := newHarness(t)
	says := func(want string) {
		t.Helper()
		if _, _, err := r.store.Acquire(t.Context(), ""); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	says("has not been published yet")
	r.fill()
	r.publish("run-1")
	if err := os.RemoveAll(r.path("")); err != nil {
		t.Fatal(err)
	}
	says("was deleted")
}

// lostSource finds that the copy's directory was deleted.
type lostSource struct{ *universe.Sink }

func (l lostSource) Copy(ctx context.Context, path string, written func(int64), yield func(coverage.Record)) error {
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		return err
	}
	return l.Sink.Copy(ctx, path, written, yield)
}

func TestErrorOfTheCopyIsNotThePools(t *testing.T) {
	r := newHarness(t)
	r.fill()
	cfg := r.cfg
	cfg.Source = lostSource{r.sink}
	_, err := publish.New(cfg).Publish(t.Context(), "run-1")
	faulttest.Produces(t, err, fault.PublicationFailed)
}

// Each thread needs memory of its own, for a month of the whole market.
func TestDefaultMemoryIsEnoughForManyThreads(t *testing.T) {
	r := newHarness(t)
	symbols := sinktest.Stocks(7000)
	for day := range market.Date(46) { // a whole month and half of the next
		for _, dataset := range []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow} {
			r.commit(dataset, sinktest.Day0+day, symbols, uint64(day))
		}
	}
	r.cfg.Threads = 4
	if res, err := publish.New(r.cfg).Publish(t.Context(), "run-1"); err != nil || !res.Published {
		t.Errorf("%+v, %v", res, err)
	}
}

// The first publication does not fill the disk until nothing is left for others.
func TestFirstPublicationNeedsRoomForTheWholePool(t *testing.T) {
	r := newHarness(t)
	r.fill()
	r.cfg.File = filepath.Join(r.dir, "large")
	if err := errors.Join(os.WriteFile(r.cfg.File, nil, 0o600), os.Truncate(r.cfg.File, 1<<42)); err != nil {
		t.Fatal(err)
	}
	store := publish.New(r.cfg)
	_, err := store.Publish(t.Context(), "run-1")
	faulttest.Produces(t, err, fault.DiskFull)
	if strings.Contains(err.Error(), "previous") {
		t.Errorf("there is no previous version: %v", err)
	}
	if entries, _ := os.ReadDir(r.path("versions")); len(entries) != 0 {
		t.Errorf("%v is left", entries)
	}
	if err := os.Truncate(r.cfg.File, 1<<20); err != nil {
		t.Fatal(err)
	}
	if res, err := store.Publish(t.Context(), "run-2"); err != nil || !res.Published {
		t.Errorf("with room: %+v, %v", res, err)
	}
}

// What a process that was killed leaves behind is removed by the next.
func TestPublishRemovesWhatACrashLeft(t *testing.T) {
	r := newHarness(t)
	r.fill()
	before := r.publish("run-1")
	for _, left := range []string{"versions/.new-20990101T000000.000Z", "versions/29990101T000000.000Z"} {
		if err := os.MkdirAll(r.path(left+"/parquet"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if res := r.publish("run-2"); res.Version != before.Version || res.Published {
		t.Errorf("nothing had changed: %+v", res)
	}
	entries, _ := os.ReadDir(r.path("versions"))
	if len(entries) != 1 {
		t.Errorf("%v is left", entries)
	}
}

// A pool in SQLite is published the same way.
func TestPublishTargets(t *testing.T) {
	dir := t.TempDir()
	sink := targets.New(targets.Config{Path: filepath.Join(dir, "targets.sqlite"), Source: "test"})
	defer sink.Close()
	store := publish.New(publish.Config{
		Pool: market.Targets, Dir: filepath.Join(dir, "published", "targets"), Mark: filepath.Join(dir, "mark"),
		Source: publish.FromRows(sink, "test", "100MB"), Host: "test", MinFree: 1,
	})
	defer store.Close()
	if res, err := store.Publish(t.Context(), "run-0"); err != nil || res.Published {
		t.Errorf("an empty pool: %+v, %v", res, err)
	}
	symbols := append(sinktest.Stocks(5), sinktest.ETFs(3)...)
	for _, dataset := range []string{catalog.Daily, catalog.FundDaily, catalog.DailyBasic} {
		of := symbols[:5]
		if dataset == catalog.FundDaily {
			of = symbols[5:]
		}
		for day := sinktest.Day0; day < sinktest.Day0+3; day++ {
			if _, err := sink.Commit(t.Context(), sinktest.Commit(market.Targets, dataset, day, of, sinktest.Rows(dataset, day, of, 1), 1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := sink.Commit(t.Context(), sinktest.Snapshot(market.Targets, catalog.StockBasic, sinktest.List(catalog.StockBasic, symbols[:5]), 2)); err != nil {
		t.Fatal(err)
	}
	// A row that failed a check, and values that the provider changed later.
	day := sinktest.Day0 + 1
	revised := sinktest.Commit(market.Targets, catalog.Daily, day, symbols[:2], sinktest.Rows(catalog.Daily, day, symbols[:2], 9), 3)
	revised.Rejects = []coverage.Reject{{Key: coverage.Key{Dataset: catalog.Daily, Date: day}, Reason: "high < low", Row: `{"high":1,"low":2}`}}
	if _, err := sink.Commit(t.Context(), revised); err != nil {
		t.Fatal(err)
	}
	if res, err := store.Publish(t.Context(), "run-1"); err != nil || !res.Published {
		t.Fatalf("%+v, %v", res, err)
	}
	path := filepath.Join(dir, "published", "targets", "targets.duckdb")
	revisions, err := sink.Revisions(t.Context(), ingest.RevisionQuery{Start: market.NoDate, End: market.NoDate, Limit: 1000})
	if err != nil || len(revisions) == 0 {
		t.Fatalf("%d revisions, %v", len(revisions), err)
	}
	for sql, want := range map[string]int64{
		"SELECT count(*) FROM rejects WHERE reason = 'high < low' AND trade_date = DATE '" + day.String() + "' AND symbol IS NULL": 1,
		"SELECT count(*) FROM revisions WHERE old_value IS DISTINCT FROM new_value AND run_id = '" + revised.RunID + "'":           int64(len(revisions)),
	} {
		if n := count(t, path, sql); n != want {
			t.Errorf("%s has %d rows, want %d", sql, n, want)
		}
	}
	for table, want := range map[string]int64{"daily_prices": 24, "daily_basics": 15, "instrument_meta": 5, "coverage": 40} {
		if n := count(t, path, "SELECT count(*) FROM "+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	if n := count(t, path, "SELECT count(*) FROM instrument_meta WHERE kind = 'stock'"); n != 5 {
		t.Errorf("%d instruments are stocks", n)
	}
	// The values are those of the rows that were committed.
	b := sinktest.Rows(catalog.Daily, day, symbols[:5], 1)
	want := b.Column("close").Numbers[2]
	sql := fmt.Sprintf("SELECT count(*) FROM daily_prices WHERE symbol = '%s' AND trade_date = DATE '%s' AND close = %v", symbols[2], day, want)
	if n := count(t, path, sql); n != 1 {
		t.Errorf("%s did not find its row", sql)
	}
	v, release, err := store.Acquire(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	records, err := v.Reader.Coverage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	listed := map[coverage.Key]coverage.Record{}
	for r := range records.All() {
		listed[r.Key] = r
	}
	if len(listed) != 40 {
		t.Errorf("%d records", len(listed))
	}
	held := 0
	err = sink.Coverage(t.Context(), nil, market.NoDate, market.NoDate, func(h coverage.Record) bool {
		held++
		want := coverage.Record{
			Key: h.Key, Rows: h.Rows, Expected: h.Expected, Verdict: h.Verdict, CommittedAt: h.CommittedAt, RunID: h.RunID,
		}
		if r, ok := records.Get(h.Key); !ok || !reflect.DeepEqual(r, want) || !reflect.DeepEqual(listed[h.Key], want) {
			t.Errorf("the version has %+v and lists %+v, want %+v", r, listed[h.Key], want)
		}
		return true
	})
	if err != nil || len(listed) != held {
		t.Errorf("%d records are listed of %d, %v", len(listed), held, err)
	}
	if _, ok := records.Get(coverage.Key{Dataset: catalog.Daily, Date: sinktest.Day0 - 1, Symbol: symbols[0]}); ok {
		t.Error("a day that was never committed has a record")
	}
	if res, err := store.Publish(t.Context(), "run-2"); err != nil || res.Published {
		t.Errorf("nothing changed: %+v, %v", res, err)
	}
}
