package reader_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/publish"
	"github.com/afterbell/afterbell/services/ingestworker/internal/reader"
	"github.com/afterbell/afterbell/services/ingestworker/internal/sinktest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/ingestworker/internal/targets"
	"github.com/afterbell/afterbell/services/ingestworker/internal/universe"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/fault/faulttest"
	"github.com/afterbell/afterbell/services/internal/market"
)

type harness struct {
	t       *testing.T
	dir     string
	sink    *universe.Sink
	store   *publish.Store
	service *reader.Service
	epoch   int64
}

var stocks, etfs = sinktest.Stocks(60), sinktest.ETFs(12)

// now is in the evening of the last day that newHarness fills.
var now = time.Date(2026, 3, 6, 20, 0, 0, 0, market.Shanghai)

func newHarness(t *testing.T) *harness {
	r := &harness{t: t, dir: t.TempDir()}
	r.sink = universe.New(universe.Config{Path: filepath.Join(r.dir, "analysis.duckdb"), Source: "test"})
	t.Cleanup(func() { _ = r.sink.Close() })
	r.store = publish.New(publish.Config{Pool: market.Universe, Dir: filepath.Join(r.dir, "published"), Mark: filepath.Join(r.dir, "mark"), Source: r.sink, Host: "test", MinFree: 1})
	t.Cleanup(func() { _ = r.store.Close() })
	var err error
	r.service, err = reader.New(reader.Config{
		Stores: map[market.Pool]*publish.Store{market.Universe: r.store}, Dir: filepath.Join(r.dir, "answers"), Now: func() time.Time { return now },
		WindowDays: map[market.Pool]int{market.Universe: 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *harness) commit(dataset string, date market.Date, b *table.Batch, symbols []string) {
	r.t.Helper()
	r.epoch++
	if _, err := r.sink.Commit(r.t.Context(), sinktest.Commit(market.Universe, dataset, date, symbols, b, r.epoch)); err != nil {
		r.t.Fatal(err)
	}
}

// lists commits the calendar and the list of stocks and ETFs.
func (r *harness) lists() {
	for dataset, b := range map[string]*table.Batch{
		catalog.TradeCal: sinktest.CalendarDays(60), catalog.StockBasic: sinktest.List(catalog.StockBasic, stocks), catalog.FundBasic: sinktest.List(catalog.FundBasic, etfs),
	} {
		r.epoch++
		if _, err := r.sink.Commit(r.t.Context(), sinktest.Snapshot(market.Universe, dataset, b, r.epoch)); err != nil {
			r.t.Fatal(err)
		}
	}
}

// week fills five days, newest first, as a first fill does.
func (r *harness) week() {
	r.lists()
	for i := 4; i >= 0; i-- {
		day := sinktest.Day0 + market.Date(i)
		r.commit(catalog.FundDaily, day, sinktest.Rows(catalog.FundDaily, day, etfs, 3), etfs)
		r.commit(catalog.Daily, day, sinktest.Rows(catalog.Daily, day, stocks, 3), stocks)
		r.commit(catalog.DailyBasic, day, sinktest.Rows(catalog.DailyBasic, day, stocks, 3), stocks)
		r.commit(catalog.Moneyflow, day, sinktest.Rows(catalog.Moneyflow, day, stocks, 3), stocks)
	}
}

func (r *harness) publish() {
	r.t.Helper()
	if _, err := r.store.Publish(r.t.Context(), "run-1"); err != nil {
		r.t.Fatal(err)
	}
}

func query(table string) reader.Query {
	return reader.Query{Pool: market.Universe, Table: table, Start: market.NoDate, End: market.NoDate}
}

func (r *harness) open(q reader.Query) *reader.Answer {
	r.t.Helper()
	a, err := r.service.Open(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(a.Close)
	return a
}

func (r *harness) write(q reader.Query, f reader.Format) []byte {
	r.t.Helper()
	var out bytes.Buffer
	a := r.open(q)
	head, err := a.Head(f)
	if err != nil {
		r.t.Fatal(err)
	}
	out.Write(head)
	rows, err := a.Write(r.t.Context(), f, func(b []byte, done func()) error {
		if len(b) >= 2<<20 {
			r.t.Errorf("a message has %d bytes", len(b))
		}
		out.Write(b)
		if done != nil {
			clear(b) // a later read would see this
			done()
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if n := int64(bytes.Count(out.Bytes(), []byte("\n"))); f == reader.NDJSON && n != rows {
		r.t.Errorf("%d rows are reported, %d were sent", rows, n)
	}
	return out.Bytes()
}

// rows are an answer as text: shortest numbers, ISO dates, and nil for null.
type rows [][]any

// truth reads the same rows from the DuckDB file, by SQL of the test.
func (r *harness) truth(sql string, columns []catalog.Column) rows {
	r.t.Helper()
	d, err := universe.OpenReader(filepath.Join(r.dir, "published", "universe.duckdb"), universe.ReaderConfig{Memory: "100MB", Threads: 1, TempDir: r.t.TempDir()})
	if err != nil {
		r.t.Fatal(err)
	}
	defer d.Close()
	var out rows
	err = d.Query(r.t.Context(), sql, func(c universe.Chunk) error {
		for i := range c.Len() {
			row := make([]any, len(columns))
			for n, col := range columns {
				switch {
				case c.Null(n, i):
				case col.Type == table.Text:
					row[n] = c.Text(n, i)
				case col.Type == table.Date:
					row[n] = market.Date(c.Ints(n)[i]).String()
				case col.Type == table.Int:
					row[n] = float64(c.Ints(n)[i])
				default:
					row[n] = c.Floats(n)[i]
				}
			}
			out = append(out, row)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func parseArrow(t *testing.T, data []byte) (rows, *arrow.Schema) {
	t.Helper()
	in, err := ipc.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Release()
	var out rows
	for in.Next() {
		b := in.RecordBatch()
		for i := range int(b.NumRows()) {
			row := make([]any, b.NumCols())
			for n, c := range b.Columns() {
				if c.IsNull(i) {
					continue
				}
				switch c := c.(type) {
				case *array.String:
					row[n] = c.Value(i)
				case *array.Date32:
					row[n] = market.Date(c.Value(i)).String()
				case *array.Int32:
					row[n] = float64(c.Value(i))
				case *array.Float64:
					row[n] = c.Value(i)
				default:
					t.Fatalf("a column is %T", c)
				}
			}
			out = append(out, row)
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return out, in.Schema()
}

func parseCSV(t *testing.T, data []byte, columns []catalog.Column) rows {
	t.Helper()
	text, ok := strings.CutPrefix(string(data), "\ufeff")
	if !ok {
		t.Error("the CSV has no byte order mark")
	}
	records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out rows
	for i, rec := range records {
		row := make([]any, len(rec))
		for n, field := range rec {
			switch {
			case i == 0:
				if field != columns[n].Stored {
					t.Errorf("heading %q, want %q", field, columns[n].Stored)
				}
			case field == "":
			case columns[n].Type == table.Number || columns[n].Type == table.Int:
				f, err := strconv.ParseFloat(field, 64)
				if err != nil {
					t.Fatal(err)
				}
				row[n] = f
			default:
				row[n] = field
			}
		}
		if i > 0 {
			out = append(out, row)
		}
	}
	return out
}

func parseNDJSON(t *testing.T, data []byte, columns []catalog.Column) rows {
	t.Helper()
	var out rows
	for line := range strings.Lines(string(data)) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatal(err)
		}
		row := make([]any, len(columns))
		for n, c := range columns {
			row[n] = object[c.Stored]
		}
		out = append(out, row)
	}
	return out
}

func (r *harness) parquet(q reader.Query, columns []catalog.Column) (rows, string) {
	r.t.Helper()
	a := r.open(q)
	made, err := a.File(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, "answers", made.ID+".parquet")
	var content []byte
	err = r.service.ReadFile(r.t.Context(), made.ID, 0, 0, func(b []byte, done func()) error {
		content = append(content, b...)
		clear(b) // a later read would see this
		done()
		return nil
	})
	if err != nil || int64(len(content)) != made.Bytes || sha256.Sum256(content) != made.SHA256 {
		r.t.Errorf("the file has %d bytes with the hash %x, %d with another were read, %v", made.Bytes, made.SHA256, len(content), err)
	}
	held := r.truth("SELECT * FROM read_parquet("+universe.Quote(path)+")", columns)
	if int64(len(held)) != made.Rows {
		r.t.Errorf("the file has %d rows, reported are %d", len(held), made.Rows)
	}
	return held, path
}

func same(t *testing.T, what string, got, want rows) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d rows, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Errorf("%s: row %d is %v, want %v", what, i, got[i], want[i])
			return
		}
	}
}

// Whatever rows and columns are asked for, every format gives those of the file, to the
// bit.
func TestEveryFormatGivesTheRowsOfTheFile(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 40 {
		tables := pool.Tables()
		tab := tables[rng.IntN(len(tables))]
		q := query(tab.Name)
		var terms []string
		order := strings.Join(tab.Key, ", ")
		if tab.Name == catalog.TablePrices || tab.Name == catalog.TableBasics || tab.Name == catalog.TableMoneyflows {
			order = "trade_date, symbol"
			if rng.IntN(2) == 0 {
				q.Start = sinktest.Day0 + market.Date(rng.IntN(5))
				terms = append(terms, "trade_date >= DATE '"+q.Start.String()+"'")
			}
			if rng.IntN(2) == 0 {
				q.End = sinktest.Day0 + 4
				terms = append(terms, "trade_date <= DATE '"+q.End.String()+"'")
			}
		}
		if tab.Name == catalog.TableCalendar {
			order = "cal_date, exchange"
		} else if rng.IntN(2) == 0 {
			var quoted []string
			for range 1 + rng.IntN(5) {
				s := append(stocks, etfs...)[rng.IntN(len(stocks)+len(etfs))]
				q.Symbols = append(q.Symbols, s)
				quoted = append(quoted, universe.Quote(s))
			}
			terms = append(terms, "symbol IN ("+strings.Join(quoted, ",")+")")
		}
		columns, names := tab.Columns, "*"
		if rng.IntN(2) == 0 {
			columns, names = nil, ""
			for _, i := range rng.Perm(len(tab.Columns))[:1+rng.IntN(len(tab.Columns))] {
				columns = append(columns, tab.Columns[i])
				q.Columns = append(q.Columns, tab.Columns[i].Stored)
				names += `, "` + tab.Columns[i].Stored + `"`
			}
			names = names[2:]
		}
		where := ""
		if len(terms) > 0 {
			where = " WHERE " + strings.Join(terms, " AND ")
		}
		want := r.truth("SELECT "+names+" FROM "+tab.Name+where+" ORDER BY "+order, columns)
		what := fmt.Sprintf("query %d of %s%s", n, tab.Name, where)
		got, _ := parseArrow(t, r.write(q, reader.Arrow))
		same(t, what+" as Arrow", got, want)
		same(t, what+" as CSV", parseCSV(t, r.write(q, reader.CSV), columns), want)
		same(t, what+" as NDJSON", parseNDJSON(t, r.write(q, reader.NDJSON), columns), want)
		got, _ = r.parquet(q, columns)
		same(t, what+" as Parquet", got, want)
	}
}

func TestArrowSaysWhatItHolds(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	q := query(catalog.TablePrices)
	_, schema := parseArrow(t, r.write(q, reader.Arrow))
	for key, want := range map[string]string{"afterbell.table": "daily_prices", "afterbell.complete": "true", "afterbell.run_id": "run-1", "afterbell.lacks": "[]"} {
		if got, _ := schema.Metadata().GetValue(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	f, _ := schema.FieldsByName("amount")
	if unit, _ := f[0].Metadata.GetValue("unit"); unit != "千元" || f[0].Type.ID() != arrow.FLOAT64 {
		t.Errorf("amount is %v in %q", f[0].Type, unit)
	}
	_, path := r.parquet(q, pool.Tables()[0].Columns[:0])
	got := r.truth("SELECT decode(value) FROM parquet_kv_metadata("+universe.Quote(path)+") WHERE decode(key) = 'afterbell.complete'",
		[]catalog.Column{{Stored: "value", Type: table.Text}})
	if fmt.Sprint(got) != "[[true]]" {
		t.Errorf("the Parquet file says %v", got)
	}
}

// A large answer comes in slices, each of whole days, in order.
func TestLargeAnswerComesInOrder(t *testing.T) {
	r := newHarness(t)
	r.lists()
	many := sinktest.Stocks(5000)
	for _, i := range []int{3, 11, 0, 7, 10, 1, 2, 4, 8, 9} {
		day := sinktest.Day0 + market.Date(i)
		r.commit(catalog.Daily, day, sinktest.Rows(catalog.Daily, day, many, 3), many)
	}
	r.publish()
	q := query(catalog.TablePrices)
	want := r.truth("SELECT * FROM daily_prices ORDER BY trade_date, symbol", pool.Tables()[2].Columns)
	got, _ := parseArrow(t, r.write(q, reader.Arrow))
	if len(want) != 50_000 {
		t.Fatalf("%d rows", len(want))
	}
	same(t, "Arrow", got, want)
	got, _ = r.parquet(q, pool.Tables()[2].Columns)
	same(t, "Parquet", got, want)
}

func TestIncompleteIsToldOrRefused(t *testing.T) {
	r := newHarness(t)
	r.week()
	day := sinktest.Day0 + 2
	c := sinktest.Commit(market.Universe, catalog.Daily, day, stocks, sinktest.Rows(catalog.Daily, day, stocks[:20], 3), 100)
	c.Records[0].Verdict = coverage.Incomplete
	if _, err := r.sink.Commit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r.publish()
	q := query(catalog.TablePrices)
	a := r.open(q)
	if a.Complete || len(a.Lacks) != 1 || a.Lacks[0].String() != "daily/2026-03-04" || a.Lacks[0].State != reader.Short || !a.Lacks[0].AskedAgain {
		t.Errorf("complete %v, lacks %+v", a.Complete, a.Lacks)
	}
	q.Complete = true
	_, err := r.service.Open(t.Context(), q)
	faulttest.Produces(t, err, fault.DataIncomplete)
	if f, _ := fault.As(err); f.Meta["partitions"] != "daily/2026-03-04" || f.Meta["count"] != "1" {
		t.Errorf("%+v", f.Meta)
	}
	q.Symbols = []string{etfs[0]} // ETFs have another dataset, which is complete
	r.open(q)
	q.Symbols = []string{stocks[1]}
	if _, err := r.service.Open(t.Context(), q); !fault.Is(err, fault.DataIncomplete) {
		t.Errorf("a stock on that day: %v", err)
	}
	q.Symbols, q.Start = nil, day+1
	r.open(q)
	q.End = sinktest.Day0 + 4
	r.open(q)
	q.Symbols = []string{"600999.SH"}
	if _, err := r.service.Open(t.Context(), q); !fault.Is(err, fault.DataIncomplete) {
		t.Errorf("a symbol that no list has: %v", err)
	}
	q.Start, q.End = day, day // a day that is fetched again, which does not help the symbol
	_, err = r.service.Open(t.Context(), q)
	if f, _ := fault.As(err); f.Meta["fetched_again"] != "false" || !strings.HasPrefix(f.Meta["partitions"], "600999.SH") || !strings.Contains(f.Message, "No instrument list of this version has 600999.SH") || fault.CommandIn(f.Remedy) != `curl "localhost:7780/v1/instruments?query=600999.SH"` {
		t.Errorf("a symbol that no list has on a day that is not complete: %v, %+v", err, f.Meta)
	}
	q.End = market.NoDate
	q.Symbols, q.Start = nil, sinktest.Day0-7
	_, err = r.service.Open(t.Context(), q)
	if f, _ := fault.As(err); !fault.Is(err, fault.DataIncomplete) || f.Meta["fetched_again"] != "true" {
		t.Errorf("days before the first one held: %v", err)
	}
	q.Start, q.End = sinktest.Day0-60, sinktest.Day0-56
	_, err = r.service.Open(t.Context(), q)
	want := `curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_UNIVERSE"],"start_date":"2026-01-01","end_date":"2026-01-05"}'`
	if f, _ := fault.As(err); !fault.Is(err, fault.DataIncomplete) || f.Meta["fetched_again"] != "false" || fault.CommandIn(f.Remedy) != want {
		t.Errorf("days before the window: %v; want no promise, and %q", f, want)
	}
	short := sinktest.Commit(market.Universe, catalog.Daily, day, stocks, sinktest.Rows(catalog.Daily, day, stocks[:20], 3), 101)
	short.Records[0].Verdict = coverage.AcceptedShort
	if _, err := r.sink.Commit(t.Context(), short); err != nil {
		t.Fatal(err)
	}
	r.publish()
	q.Start, q.End = day, day
	_, err = r.service.Open(t.Context(), q)
	want = `curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_UNIVERSE"],"start_date":"2026-03-04","end_date":"2026-03-04","refetch":true}'`
	if f, _ := fault.As(err); !fault.Is(err, fault.DataIncomplete) || f.Meta["fetched_again"] != "false" || fault.CommandIn(f.Remedy) != want {
		t.Errorf("a day that was accepted short: %+v; want %q", f, want)
	}
}

// A stock that is not in the target list is not fetched by waiting, so the refusal says how to
// add it.
func TestUnlistedTargetSaysHowToAddIt(t *testing.T) {
	dir, day := t.TempDir(), sinktest.Day0
	sink := targets.New(targets.Config{Path: filepath.Join(dir, "targets.sqlite"), Source: "test"})
	t.Cleanup(func() { _ = sink.Close() })
	store := publish.New(publish.Config{
		Pool: market.Targets, Dir: filepath.Join(dir, "published"), Mark: filepath.Join(dir, "mark"),
		Source: publish.FromRows(sink, "test", "100MB"), Host: "test", MinFree: 1,
	})
	t.Cleanup(func() { _ = store.Close() })
	for i, c := range []ingest.Commit{
		sinktest.Snapshot(market.Targets, catalog.TradeCal, sinktest.CalendarDays(60), 1),
		sinktest.Snapshot(market.Targets, catalog.StockBasic, sinktest.List(catalog.StockBasic, stocks), 1),
		sinktest.Commit(market.Targets, catalog.Daily, day, stocks[:2], sinktest.Rows(catalog.Daily, day, stocks[:2], 1), 1),
	} {
		if _, err := sink.Commit(t.Context(), c); err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := store.Publish(t.Context(), "run-1"); err != nil {
		t.Fatal(err)
	}
	service, err := reader.New(reader.Config{
		Stores: map[market.Pool]*publish.Store{market.Targets: store}, Dir: filepath.Join(dir, "answers"), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	q := reader.Query{Pool: market.Targets, Table: catalog.TablePrices, Symbols: stocks[:1], Start: day, End: day, Complete: true}
	a, err := service.Open(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	q.Symbols = []string{stocks[0], stocks[5]}
	_, err = service.Open(t.Context(), q)
	want := fmt.Sprintf(`curl -X POST localhost:7780/v1/targets/sets/default:add -d '{"symbols":[%q]}'`, stocks[5])
	if f, _ := fault.As(err); !fault.Is(err, fault.DataIncomplete) || !strings.Contains(f.Message, "No run has fetched "+stocks[5]+" for targets") || fault.CommandIn(f.Remedy) != want {
		t.Errorf("%+v; want %q", f, want)
	}
	_, conditions, err := service.Conditions(t.Context(), q)
	if err != nil || len(conditions) == 0 || conditions[0].Symbol != stocks[5] || conditions[0].Chinese == "" || !strings.HasSuffix(conditions[0].Message, "of the target list.") {
		t.Errorf("the condition of a symbol that is not on the list: %+v, %v", conditions, err)
	}
	lists := reader.Query{Pool: market.Targets, Table: catalog.TableInstruments, Symbols: q.Symbols, Start: market.NoDate, End: market.NoDate}
	if _, conditions, err := service.Conditions(t.Context(), lists); err != nil || slices.ContainsFunc(conditions, func(c reader.Condition) bool { return c.Symbol != "" }) {
		t.Errorf("the lists have all symbols: %+v, %v", conditions, err)
	}
}

// A span whose open days are not due yet has no rows, and is not complete, with an end and
// without one.
func TestNothingDueIsNotComplete(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	old := now
	defer func() { now = old }()
	monday := sinktest.Day0 + 7
	for _, c := range []struct {
		hour  int
		start market.Date
		end   market.Date
		lacks string
	}{
		{12, monday, market.NoDate, "daily/2026-03-09 fund_daily/2026-03-09"},
		{12, monday, monday, "daily/2026-03-09 fund_daily/2026-03-09"},
		{12, monday - 1, market.NoDate, "daily/2026-03-09 fund_daily/2026-03-09"}, // from Sunday on
		{12, monday - 3, market.NoDate, ""},                                       // Friday is due, and is the last day that is
		{12, market.NoDate, market.NoDate, ""},
		{17, monday, market.NoDate, "daily/2026-03-09 fund_daily/2026-03-09"}, // daily is missing, fund_daily not due
	} {
		now = time.Date(2026, 3, 9, c.hour, 30, 0, 0, market.Shanghai)
		q := query(catalog.TablePrices)
		q.Start, q.End = c.start, c.end
		a := r.open(q)
		var lacks []string
		for _, l := range a.Lacks {
			lacks = append(lacks, l.String())
			if want := l.Date.String() + " 的 " + l.Dataset + " 于 "; c.hour == 12 && (!strings.HasPrefix(l.Chinese, want) || !strings.HasSuffix(l.Chinese, "（上海时间）到期。")) {
				t.Errorf("%+v: in Chinese %q", c, l.Chinese)
			}
		}
		if got := strings.Join(lacks, " "); got != c.lacks || a.Complete != (c.lacks == "") {
			t.Errorf("%+v: complete %v, lacks %q", c, a.Complete, got)
		}
		q.Complete = true
		if b, err := r.service.Open(t.Context(), q); fault.Is(err, fault.DataIncomplete) != (c.lacks != "") {
			t.Errorf("%+v: %v", c, err)
		} else if err == nil {
			b.Close()
		}
		a.Close()
	}
}

// The condition of symbols is what rows of these symbols lack.
func TestConditionOfSymbols(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	stock, etf := sinktest.Stocks(1)[0], sinktest.ETFs(1)[0]
	for _, c := range []struct {
		symbols  []string
		datasets string
		unknown  string
	}{
		{nil, "daily fund_daily", ""},
		{[]string{strings.ToLower(stock)}, "daily", ""},
		{[]string{etf}, "fund_daily", ""},
		{[]string{stock, etf, "999999.SH"}, "daily fund_daily", "999999.SH"},
	} {
		q := query(catalog.TablePrices)
		q.Symbols = c.symbols
		_, conditions, err := r.service.Conditions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		var datasets, unknown []string
		for _, x := range conditions {
			switch {
			case x.Symbol != "":
				unknown = append(unknown, x.Symbol)
			case !slices.Contains(datasets, x.Dataset):
				datasets = append(datasets, x.Dataset)
			}
		}
		slices.Sort(datasets)
		if strings.Join(datasets, " ") != c.datasets || strings.Join(unknown, " ") != c.unknown {
			t.Errorf("%v: %v, unknown %v", c.symbols, datasets, unknown)
		}
	}
	q := query(catalog.TablePrices)
	q.Symbols = []string{"600519"}
	if _, _, err := r.service.Conditions(t.Context(), q); !fault.Is(err, fault.InvalidArgument) || !strings.HasPrefix(err.Error(), "symbols[0]: ") {
		t.Errorf("a symbol in a wrong form: %v", err)
	}
}

// The column of factors is there if prices are adjusted, and the error says so.
func TestFactorNeedsAdjust(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	q := query(catalog.TablePrices)
	q.Columns = []string{"close", "factor"}
	if _, err := r.service.Open(t.Context(), q); err == nil || err.Error() != `columns[1]: "factor" needs adjust=forward or adjust=backward` {
		t.Errorf("unadjusted: %v", err)
	}
	q.Adjust = reader.Forward
	r.open(q).Close()
}

func TestConditionTellsPendingFromMissing(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	old := now
	defer func() { now = old }()
	state := func(dataset string, date market.Date) reader.State {
		t.Helper()
		q := query(catalog.TablePrices)
		_, conditions, err := r.service.Conditions(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range conditions {
			if (c.Message == "") != (c.Chinese == "") || strings.Contains(c.Chinese, "fetched") {
				t.Errorf("%s: %q, in Chinese %q", c, c.Message, c.Chinese)
			}
			if c.Dataset == dataset && c.Date == date {
				return c.State
			}
		}
		return 0
	}
	monday := sinktest.Day0 + 7
	if s := state(catalog.Daily, sinktest.Day0+4); s != reader.Available {
		t.Errorf("Friday is %v", s)
	}
	if s := state(catalog.Daily, sinktest.Day0+5); s != 0 {
		t.Errorf("Saturday is %v", s)
	}
	now = time.Date(2026, 3, 9, 12, 0, 0, 0, market.Shanghai)
	if s := state(catalog.Daily, monday); s != reader.Pending {
		t.Errorf("Monday at noon is %v", s)
	}
	now = time.Date(2026, 3, 9, 17, 30, 0, 0, market.Shanghai)
	if s := state(catalog.Daily, monday); s != reader.Missing {
		t.Errorf("Monday at 17:30 is %v", s)
	}
	if s := state(catalog.FundDaily, monday); s != reader.Pending {
		t.Errorf("fund_daily at 17:30 is %v", s)
	}
}

func TestBadQueriesNameTheField(t *testing.T) {
	r := newHarness(t)
	if _, err := r.service.Open(t.Context(), query(catalog.TablePrices)); !fault.Is(err, fault.NotFound) {
		t.Errorf("nothing is published: %v", err)
	}
	r.week()
	r.publish()
	many := sinktest.Stocks(5001)
	for field, change := range map[string]func(q *reader.Query){
		"symbols[1]": func(q *reader.Query) { q.Symbols = []string{"600519.SH", "600519"} },
		"symbols":    func(q *reader.Query) { q.Symbols = many },
		"end_date":   func(q *reader.Query) { q.Start, q.End = sinktest.Day0+1, sinktest.Day0 },
		"columns[1]": func(q *reader.Query) { q.Columns = []string{"close", `close" FROM x; --`} },
		"columns[2]": func(q *reader.Query) { q.Columns = []string{"close", "open", "close"} },
		"adjust":     func(q *reader.Query) { q.Table, q.Adjust = catalog.TableBasics, reader.Forward },
		"start_date": func(q *reader.Query) { q.Table, q.Start = catalog.TableInstruments, sinktest.Day0 },
		"version":    func(q *reader.Query) { q.Version = "../../etc" },
		"pool":       func(q *reader.Query) { q.Pool = "nothing" },
		"table":      func(q *reader.Query) { q.Table = "" },
	} {
		q := query(catalog.TablePrices)
		change(&q)
		_, err := r.service.Open(t.Context(), q)
		if f, ok := fault.As(err); !ok || f.Reason != fault.InvalidArgument || f.Meta["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	q := query(catalog.TablePrices)
	q.Start = market.DateOf(time.Now()) + 400 // where no rows are the whole answer
	if _, err := r.service.Open(t.Context(), q); !fault.Is(err, fault.InvalidArgument) || !strings.HasPrefix(err.Error(), "start_date: ") {
		t.Errorf("a span to come: %v", err)
	}
	if _, _, err := r.service.Conditions(t.Context(), q); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("the condition of a span to come: %v", err)
	}
	q.Table = catalog.TableCalendar
	if answer, err := r.service.Open(t.Context(), q); err != nil {
		t.Errorf("the calendar has future days: %v", err)
	} else {
		answer.Close()
	}
	q = query(catalog.TablePrices)
	q.End = sinktest.Day0 - 1 // before the first stored date, which is where the span begins
	for _, complete := range []bool{false, true} {
		q.Complete = complete
		if _, err := r.service.Open(t.Context(), q); !fault.Is(err, fault.InvalidArgument) || !strings.HasPrefix(err.Error(), "end_date: ") {
			t.Errorf("a span that ends before it begins: %v", err)
		}
	}
	if _, _, err := r.service.Conditions(t.Context(), q); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("the condition of a span that ends before it begins: %v", err)
	}
	q.Start = sinktest.Day0 - 4 // with trading days
	if _, err := r.service.Open(t.Context(), q); !fault.Is(err, fault.DataIncomplete) {
		t.Errorf("a named date before the first stored one: %v", err)
	}
	for what, change := range map[string]func(q *reader.Query){
		"table":   func(q *reader.Query) { q.Table = "meta" },
		"version": func(q *reader.Query) { q.Version = "20200101T000000.000Z" },
	} {
		q := query(catalog.TablePrices)
		change(&q)
		_, err := r.service.Open(t.Context(), q)
		if f, ok := fault.As(err); !ok || f.Reason != fault.NotFound || f.Meta["kind"] != what {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What deletes or cuts the Parquet files of queries costs their making, not the answers.
func TestFilesThatAreDamagedAreMadeAgain(t *testing.T) {
	r := newHarness(t)
	r.week()
	r.publish()
	q := query(catalog.TablePrices)
	columns := r.open(q).Columns
	whole, path := r.parquet(q, columns)
	for what, damage := range map[string]func() error{
		"the file was deleted":   func() error { return os.Remove(path) },
		"the file was cut":       func() error { return os.Truncate(path, 100) },
		"the folder was deleted": func() error { return os.RemoveAll(filepath.Dir(path)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		if again, _ := r.parquet(q, columns); len(again) != len(whole) || len(whole) == 0 {
			t.Errorf("%s: %d rows, want %d", what, len(again), len(whole))
		}
	}
}
