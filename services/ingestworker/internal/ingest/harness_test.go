package ingest_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // reads the closed file the way others do
	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota/limiter"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

var daily = []string{catalog.Daily, catalog.DailyBasic, catalog.Moneyflow, catalog.FundDaily}

func datasets(ids ...string) []*catalog.Dataset {
	var out []*catalog.Dataset
	for _, id := range ids {
		out = append(out, catalog.Lookup(id))
	}
	return out
}

var everything = datasets(append([]string{catalog.TradeCal, catalog.StockBasic, catalog.FundBasic}, daily...)...)

// patience is how long a test waits for what happens at once on an idle machine.
const patience = time.Minute

// harness is an ingester over both real pools and the simulator over HTTP.
type harness struct {
	t      testing.TB
	sim    *tusharesim.Server
	dir    string
	sinks  map[market.Pool]ingest.Sink
	ing    *ingest.Ingester
	client *tushare.Client
	epoch  atomic.Int64
	// readers read the closed files.
	readers map[market.Pool]*sql.DB
	// logHeld is the size in bytes from which a blocked log of targets is reported; 0 is the
	// default.
	logHeld int64
}

type anyToken struct{}

// Token implements tushare.TokenSource.
func (anyToken) Token(string) (string, string, bool) { return "0123456789abcdef", "fp", true }

func newHarness(t testing.TB, o tusharesim.Options) *harness {
	t.Helper()
	sim := tusharesim.StartTest(t, o)
	r := harnessAt(t, sim.URL)
	r.sim = sim
	return r
}

// harnessAt returns a harness with the provider at a URL.
func harnessAt(t testing.TB, url string) *harness {
	t.Helper()
	r := &harness{t: t, dir: t.TempDir()}
	r.epoch.Store(1_000)
	r.client, _ = newClient(t, limiter.Config{}, tushare.Config{URL: url, Timeout: patience, Attempts: 2, Backoff: time.Millisecond})
	r.open()
	t.Cleanup(func() { r.close(); r.client.Close() })
	return r
}

// newClient returns a client that accepts any token, and the limiter of its calls. Without a
// URL, it has one for a Transport that needs no network.
func newClient(t testing.TB, l limiter.Config, c tushare.Config) (*tushare.Client, *limiter.Limiter) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l.Log = log
	limits, err := limiter.Open(l)
	if err != nil {
		t.Fatal(err)
	}
	if c.URL == "" {
		c.URL = "http://provider.test"
	}
	c.Tokens, c.Limiter, c.Log = anyToken{}, limits, log
	client, err := tushare.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return client, limits
}

func (r *harness) open() {
	r.stopReading()
	log := slog.New(slog.DiscardHandler)
	r.sinks = map[market.Pool]ingest.Sink{
		market.Universe: universe.New(universe.Config{Path: filepath.Join(r.dir, "analysis.duckdb"), Source: "sim", Logger: log}),
		market.Targets:  targets.New(targets.Config{Path: filepath.Join(r.dir, "targets.sqlite"), Source: "sim", Logger: log, LogHeld: r.logHeld}),
	}
	r.ing = ingest.New(ingest.Config{
		Provider: r.client, Sinks: r.sinks, WindowDays: map[market.Pool]int{market.Universe: 60, market.Targets: 60}, Logger: log,
	})
}

func (r *harness) close() {
	r.stopReading()
	for _, s := range r.sinks {
		if err := s.Close(); err != nil {
			r.t.Error(err)
		}
	}
	r.sinks = nil
}

func (r *harness) stopReading() {
	for _, db := range r.readers {
		if err := db.Close(); err != nil {
			r.t.Error(err)
		}
	}
	r.readers = nil
}

type outcome struct {
	part   coverage.Partition
	result ingest.Result
	err    error
}

func (r *harness) one(ctx context.Context, p coverage.Partition) outcome {
	res, err := r.ing.Partition(ctx, ingest.Work{Partition: p, RunID: "run", Epoch: r.epoch.Add(1)}, nil)
	return outcome{p, res, err}
}

// all ingests partitions, so many at once.
func (r *harness) all(parts []coverage.Partition, at int) []outcome {
	out := make([]outcome, len(parts))
	next := make(chan int)
	var wg sync.WaitGroup
	for range at {
		wg.Go(func() {
			for n := range next {
				out[n] = r.one(context.Background(), parts[n])
			}
		})
	}
	for n := range parts {
		next <- n
	}
	close(next)
	wg.Wait()
	return out
}

// pass is one run of a pool: references, then data. Plans that cannot be made end
// it.
func (r *harness) pass(w coverage.PlanRequest, at int, mix *rand.Rand) (out []outcome, err error) {
	refs, err := r.ing.References(context.Background(), w)
	if err != nil {
		return nil, err
	}
	out = r.all(refs.Partitions, at)
	plan, err := r.ing.Data(context.Background(), w)
	if err != nil {
		return out, err
	}
	if mix != nil {
		mix.Shuffle(len(plan.Partitions), func(i, j int) {
			plan.Partitions[i], plan.Partitions[j] = plan.Partitions[j], plan.Partitions[i]
		})
	}
	return append(out, r.all(plan.Partitions, at)...), nil
}

// settle runs clean passes until nothing is planned, and fails when that takes
// more than so many.
func (r *harness) settle(w coverage.PlanRequest, most int) {
	r.t.Helper()
	for range most {
		out, err := r.pass(w, 4, nil)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(out) == 0 {
			return
		}
		for _, o := range out {
			if o.err != nil {
				r.t.Fatalf("%s: %v", o.part.ID, o.err)
			}
		}
	}
	refs, _ := r.ing.References(context.Background(), w)
	data, _ := r.ing.Data(context.Background(), w)
	r.t.Fatalf("still planned after %d clean runs: %+v", most, append(refs.Partitions, data.Partitions...))
}

// span returns the first and the last of so many open days that ended some days ago, so that all
// their datasets are due at any time of the test.
func (r *harness) span(days int) (start, end market.Date) {
	return r.spanTo(market.DateOf(time.Now())-14, days)
}

// spanTo is span for other days: those up to a date.
func (r *harness) spanTo(last market.Date, days int) (start, end market.Date) {
	open := r.sim.OpenDates((last - market.Date(30+2*days)).Compact(), last.Compact())
	start, err := market.ParseCompact(open[len(open)-days])
	if err != nil {
		r.t.Fatal(err)
	}
	end, err = market.ParseCompact(open[len(open)-1])
	if err != nil {
		r.t.Fatal(err)
	}
	return start, end
}

// calendar fetches the calendar of a pool again, with no answer remembered.
func (r *harness) calendar(t *testing.T, pool market.Pool) outcome {
	t.Helper()
	r.close()
	r.open()
	o := r.one(t.Context(), coverage.Partition{ID: catalog.TradeCal, Pool: pool, Dataset: catalog.TradeCal, Start: market.NoDate, End: market.NoDate, Repeat: true})
	if o.err != nil {
		t.Fatal(o.err)
	}
	return o
}

type rowSet map[string][]any

// truth is what the provider has of a dataset and day, by symbol.
func (r *harness) truth(ds *catalog.Dataset, params map[string]string, keep func(symbol string) bool) rowSet {
	r.t.Helper()
	fields := make([]string, len(ds.Columns))
	for i, c := range ds.Columns {
		fields[i] = c.Provider
	}
	tab, err := r.sim.Rows(ds.ID, params, fields...)
	if err != nil {
		r.t.Fatal(err)
	}
	out := rowSet{}
	for _, row := range tab.Rows {
		symbol := row[0].(string)
		if keep != nil && !keep(symbol) {
			continue
		}
		for i, c := range ds.Columns {
			if s, ok := row[i].(string); ok && (strings.HasSuffix(c.Provider, "_date") || c.Provider == "trade_date" || strings.HasSuffix(c.Provider, "startdate")) {
				d, err := market.ParseCompact(s)
				if err != nil {
					r.t.Fatal(err)
				}
				row[i] = d.String()
			}
		}
		out[symbol] = row
	}
	return out
}

// stored reads a table of a closed pool's file, by symbol.
func (r *harness) stored(pool market.Pool, ds *catalog.Dataset, where string) rowSet {
	r.t.Helper()
	return r.storedBy(pool, ds, where, func([]any) string { return "" })[""]
}

// storedDays reads the days of a span from a closed pool's file, by date and symbol.
func (r *harness) storedDays(pool market.Pool, ds *catalog.Dataset, start, end market.Date) map[string]rowSet {
	r.t.Helper()
	at := slices.IndexFunc(ds.Columns, func(c catalog.Column) bool { return c.Provider == "trade_date" })
	where := fmt.Sprintf("trade_date BETWEEN '%s' AND '%s'", start, end)
	return r.storedBy(pool, ds, where, func(cells []any) string { return cells[at].(string) })
}

func (r *harness) storedBy(pool market.Pool, ds *catalog.Dataset, where string, group func(cells []any) string) map[string]rowSet {
	r.t.Helper()
	names := make([]string, len(ds.Columns))
	for i, c := range ds.Columns {
		names[i] = `"` + c.Stored + `"`
	}
	rows, err := r.reader(pool).Query("SELECT " + strings.Join(names, ",") + " FROM " + ds.Table + " WHERE " + where)
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	out := map[string]rowSet{}
	dest := make([]any, len(names))
	for rows.Next() {
		cells := make([]any, len(names))
		for i := range cells {
			dest[i] = &cells[i]
		}
		if err := rows.Scan(dest...); err != nil {
			r.t.Fatal(err)
		}
		for i, v := range cells {
			switch x := v.(type) {
			case time.Time:
				cells[i] = x.Format(time.DateOnly)
			case []byte:
				cells[i] = string(x)
			case int64:
				cells[i] = float64(x)
			case int32:
				cells[i] = float64(x)
			}
		}
		symbol, of := cells[0].(string), group(cells)
		if out[of] == nil {
			out[of] = rowSet{}
		}
		if _, twice := out[of][symbol]; twice {
			r.t.Errorf("%s is stored twice in %s where %s %s", symbol, ds.Table, where, of)
		}
		out[of][symbol] = cells
	}
	if err := rows.Err(); err != nil {
		r.t.Fatal(err)
	}
	return out
}

// reader reads a closed pool's file until the pools are opened again.
func (r *harness) reader(pool market.Pool) *sql.DB {
	r.t.Helper()
	if db := r.readers[pool]; db != nil {
		return db
	}
	driver, dsn := "duckdb", filepath.Join(r.dir, "analysis.duckdb")+"?access_mode=READ_ONLY"
	if pool == market.Targets {
		driver, dsn = "sqlite3", "file:"+filepath.Join(r.dir, "targets.sqlite")+"?mode=ro"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	if r.readers == nil {
		r.readers = map[market.Pool]*sql.DB{}
	}
	r.readers[pool] = db
	return db
}

func (r *harness) equal(what string, got, want rowSet) {
	r.t.Helper()
	if len(got) != len(want) {
		r.t.Errorf("%s: %d rows stored, the provider has %d", what, len(got), len(want))
	}
	for _, symbol := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[symbol], want[symbol]) && fmt.Sprint(got[symbol]) != fmt.Sprint(want[symbol]) {
			r.t.Errorf("%s %s\nstored   %v\nprovider %v", what, symbol, got[symbol], want[symbol])
			return
		}
	}
}

// sameAsProvider closes the pools and compares universe with the provider row for
// row, then opens them again.
func (r *harness) sameAsProvider(start, end market.Date, of []*catalog.Dataset) {
	r.t.Helper()
	r.close()
	for _, ds := range of {
		if ds.Snapshot {
			continue
		}
		id, days := ds.ID, r.storedDays(market.Universe, ds, start, end)
		for _, text := range r.sim.OpenDates(start.Compact(), end.Compact()) {
			d, err := market.ParseCompact(text)
			if err != nil {
				r.t.Fatal(err)
			}
			var keep func(string) bool
			if ds.Kind == market.ETF {
				keep = market.IsETF
			}
			got := days[d.String()]
			maps.DeleteFunc(got, func(s string, _ []any) bool { return market.IsETF(s) != (ds.Kind == market.ETF) })
			r.equal(id+" "+d.String(), got, r.truth(ds, map[string]string{"trade_date": text}, keep))
		}
	}
	stocks := r.stored(market.Universe, catalog.Lookup(catalog.StockBasic), "true")
	maps.DeleteFunc(stocks, func(s string, _ []any) bool { return market.IsETF(s) })
	want := rowSet{}
	for _, status := range []string{"L", "D", "P"} {
		part := r.truth(catalog.Lookup(catalog.StockBasic), map[string]string{"list_status": status}, nil)
		at := slices.IndexFunc(catalog.Lookup(catalog.StockBasic).Columns, func(c catalog.Column) bool { return c.Provider == "list_status" })
		for _, row := range part {
			if row[at] == nil { // older lists have no such column; the parameter implies it
				row[at] = status
			}
		}
		maps.Copy(want, part)
	}
	r.equal("stock_basic", stocks, want)
	r.open()
}
