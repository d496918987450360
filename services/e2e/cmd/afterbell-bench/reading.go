package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	_ "github.com/duckdb/duckdb-go/v2" // for the floors of reading
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	afterbell "github.com/afterbell/afterbell/clients/go"
	"github.com/afterbell/afterbell/clients/go/rows"
	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
)

// reading is the pair with a filled pool, and DuckDB in this process for comparison.
type reading struct {
	b      *bench
	r      *round
	stack  *stack.Stack
	client *afterbell.Client
	db     *sql.DB
	floor  *sql.Conn // of the published file
	symbol string
	day    string
	n      int // number of requested files, so that each request is new
}

// many is the number of requests of a short response.
const many = 200

// readingScenario measures publishing and reading the filled pool, compared with DuckDB in this
// process.
func readingScenario(ctx context.Context, b *bench, r *round) (err error) {
	if r.filled == "" {
		return errors.New("pair has left nothing to read")
	}
	c, err := b.config(r.filled, 0)
	if err != nil {
		return err
	}
	x := &reading{b: b, r: r, day: b.days[len(b.days)/2]}
	if x.stack, err = stack.New(ctx, c); err != nil {
		return err
	}
	closed := false
	shut := func() error {
		if closed {
			return nil
		}
		closed = true
		return x.stack.Close()
	}
	defer func() { err = errors.Join(err, shut()) }()
	if x.client, err = afterbell.Dial(x.stack.Config.GRPCAddr); err != nil {
		return err
	}
	defer x.client.Close() //nolint:errcheck // no call is in progress
	if err := x.remembering(ctx, "publishing", x.publishing); err != nil {
		return err
	}
	if x.db, err = sql.Open("duckdb", x.published("universe.duckdb")+"?access_mode=READ_ONLY"); err != nil {
		return err
	}
	defer x.db.Close()
	if x.floor, err = x.db.Conn(ctx); err != nil {
		return err
	}
	defer x.floor.Close() //nolint:errcheck // as above
	if err := x.floor.QueryRowContext(ctx, "SELECT symbol FROM daily_prices GROUP BY symbol ORDER BY count(*) DESC, symbol LIMIT 1").Scan(&x.symbol); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"everything", x.everything}, {"files", x.files}, {"short answers", x.short}, {"instead", x.instead}, {"fifty", x.fifty}} {
		if err := x.remembering(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	return shut()
}

// remembering runs one step and records the worker's peak memory during it.
func (x *reading) remembering(ctx context.Context, name string, do func(context.Context) error) error {
	if err := forgetPeak(x.stack.Worker); err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	x.r.values[name+".rss"] = float64(peakMemory(x.stack.Worker))
	return nil
}

func (x *reading) published(name string) string {
	return filepath.Join(x.r.filled, "published", name)
}

// way is one of several ways to do the same.
type way struct {
	name string
	do   func() error
}

// inTurns returns the duration of each of so many tries of each way, in seconds. The ways
// alternate, because the machine's speed varies.
func inTurns(tries int, ways []way) ([][]float64, error) {
	all := make([][]float64, len(ways))
	for range tries {
		for i, w := range ways {
			began := time.Now()
			if err := w.do(); err != nil {
				return nil, err
			}
			all[i] = append(all[i], time.Since(began).Seconds())
		}
	}
	return all, nil
}

// timed records the median of three durations of each way.
func (x *reading) timed(ways ...way) error {
	all, err := inTurns(3, ways)
	if err != nil {
		return err
	}
	for i, w := range ways {
		x.r.values[w.name], _ = middle(all[i])
	}
	return nil
}

// publishing measures creating the copy for readers, compared with copying the file's bytes and
// with DuckDB's COPY of the same tables.
func (x *reading) publishing(ctx context.Context) error {
	conn, err := grpc.NewClient(x.stack.Config.WorkerAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	worker := ingestv1.NewDataServiceClient(conn)
	dir, err := x.b.dataDir("floor")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var floors, took []float64
	for range 3 {
		began := time.Now()
		if err := copyFile(analysis(x.r.filled), filepath.Join(dir, "copy.duckdb")); err != nil {
			return err
		}
		if err := copyTables(ctx, dir); err != nil {
			return err
		}
		floors = append(floors, time.Since(began).Seconds())
		if err := os.RemoveAll(x.published("")); err != nil {
			return err
		}
		began = time.Now()
		if _, err := worker.PublishPool(ctx, &ingestv1.PublishPoolRequest{Pool: marketv1.Pool_POOL_UNIVERSE, RunId: "bench"}); err != nil {
			return err
		}
		took = append(took, time.Since(began).Seconds())
	}
	x.r.values["publish.floor"], _ = middle(floors)
	x.r.values["publish.seconds"], _ = middle(took)
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// copyTables writes the tables of the copy to dir as Parquet files.
func copyTables(ctx context.Context, dir string) error {
	db, err := sql.Open("duckdb", filepath.Join(dir, "copy.duckdb")+"?access_mode=READ_ONLY")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, table := range []string{"daily_prices", "daily_basics", "daily_moneyflows", "instrument_meta", "trade_calendar"} {
		if _, err := db.ExecContext(ctx, fmt.Sprintf("COPY %s TO '%s' (FORMAT parquet)", table, filepath.Join(dir, table+".parquet"))); err != nil {
			return err
		}
	}
	return nil
}

// everything reads all prices over gRPC, and in each format over REST.
func (x *reading) everything(ctx context.Context) error {
	var held int64
	floor := func(query string) func() error {
		return func() (err error) {
			held, err = drain(ctx, x.floor, query)
			return err
		}
	}
	ways := []way{
		{"read.floor", floor("SELECT * FROM daily_prices ORDER BY trade_date, symbol")}, {"read.floor_unsorted", floor("SELECT * FROM daily_prices")},
		{"read.grpc", func() error {
			n, err := x.grpc(ctx, &rows.Query{Table: "daily_prices"})
			if err == nil && n != held {
				err = fmt.Errorf("%d rows came, and there are %d", n, held)
			}
			return err
		}},
	}
	for _, form := range []string{"arrow", "csv", "ndjson"} {
		ways = append(ways, way{"read." + form, func() error { return x.get(ctx, "daily_prices."+form) }})
	}
	err := x.timed(ways...)
	x.r.values["read.rows"] = float64(held)
	return err
}

// files requests Parquet files that do not exist yet, compared with DuckDB's COPY.
func (x *reading) files(ctx context.Context) error {
	dir, err := x.b.dataDir("parquet")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return x.timed(
		way{"parquet.floor", func() error {
			_, err := x.floor.ExecContext(ctx, fmt.Sprintf("COPY daily_prices TO '%s' (FORMAT parquet)", filepath.Join(dir, "all.parquet")))
			return err
		}},
		way{"parquet.seconds", func() error {
			x.n++
			return x.get(ctx, fmt.Sprintf("daily_prices.parquet?start_date=1990-01-%02d", x.n))
		}})
}

// short reads all days of one symbol, and one day of the whole market.
func (x *reading) short(ctx context.Context) error {
	for _, q := range []struct {
		name, where, parameters string
		query                   *rows.Query
	}{
		{"symbol", "symbol = '" + x.symbol + "'", "symbols=" + x.symbol, &rows.Query{Table: "daily_prices", Symbols: []string{x.symbol}}},
		{"day", "trade_date = DATE '" + x.day + "'", "start_date=" + x.day + "&end_date=" + x.day, &rows.Query{Table: "daily_prices", StartDate: x.day, EndDate: x.day}},
	} {
		ways := []way{
			{"floor", func() error {
				_, err := drain(ctx, x.floor, "SELECT * FROM daily_prices WHERE "+q.where+" ORDER BY trade_date, symbol")
				return err
			}},
			{"grpc", func() error { _, err := x.grpc(ctx, q.query); return err }},
			{"rest", func() error { return x.get(ctx, "daily_prices.arrow?"+q.parameters) }},
		}
		all, err := inTurns(many, ways)
		if err != nil {
			return err
		}
		for i, w := range ways {
			slices.Sort(all[i])
			x.r.values[q.name+"."+w.name] = all[i][len(all[i])/2]
			x.r.values[q.name+"."+w.name+"_p99"] = all[i][len(all[i])*99/100]
		}
	}
	return nil
}

// instead measures what a user would do without the copy for readers.
func (x *reading) instead(ctx context.Context) error {
	// One SQL row at a time.
	err := x.timed(way{"instead.scan", func() error {
		result, err := x.floor.QueryContext(ctx, "SELECT * FROM daily_prices")
		if err != nil {
			return err
		}
		defer result.Close()
		columns, err := result.Columns()
		if err != nil {
			return err
		}
		row := make([]any, len(columns))
		into := make([]any, len(columns))
		for i := range row {
			into[i] = &row[i]
		}
		for result.Next() {
			if err := result.Scan(into...); err != nil {
				return err
			}
		}
		return result.Err()
	}})
	if err != nil {
		return err
	}
	// Opening the pool's file between runs.
	err = x.timed(way{"instead.open", func() error {
		db, err := sql.Open("duckdb", analysis(x.r.filled)+"?access_mode=READ_ONLY")
		if err != nil {
			return err
		}
		defer db.Close()
		var n int64
		return db.QueryRowContext(ctx, "SELECT count(close) FROM daily_prices WHERE symbol = '"+x.symbol+"'").Scan(&n)
	}})
	if err != nil {
		return err
	}
	// Calling the provider again: for a symbol, and for some days.
	err = x.timed(way{"instead.provider_symbol", func() error {
		_, err := x.ask(ctx, map[string]string{"ts_code": x.symbol, "start_date": compact(x.b.days[len(x.b.days)-1]), "end_date": compact(x.b.days[0])})
		return err
	}})
	if err != nil {
		return err
	}
	began, got := time.Now(), 0
	for _, day := range x.b.days[:min(10, len(x.b.days))] {
		n, err := x.ask(ctx, map[string]string{"trade_date": compact(day)})
		if err != nil {
			return err
		}
		got += n
	}
	x.r.values["instead.provider_rate"] = float64(got) / time.Since(began).Seconds()
	x.r.values["read.rate"] = x.r.values["read.rows"] / x.r.values["read.grpc"]
	return nil
}

func compact(day string) string { return day[:4] + day[5:7] + day[8:] }

// ask calls daily and decodes the response.
func (x *reading) ask(ctx context.Context, params map[string]string) (rows int, err error) {
	body, err := json.Marshal(map[string]any{"api_name": "daily", "token": token, "params": params, "fields": ""})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.b.simURL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Code int
		Msg  string
		Data struct{ Items [][]any }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Code != 0 {
		return 0, fmt.Errorf("the provider answers %d: %s", answer.Code, answer.Msg)
	}
	return len(answer.Data.Items), nil
}

// fifty fetches a date again, with and without fifty readers, each of which reads a symbol once
// per second.
func (x *reading) fifty(ctx context.Context) error {
	again := x.b.universe(x.b.days[0], x.b.days[0])
	again.Refetch = true
	var alone, beside []float64
	for range 3 {
		f, err := x.b.fill(ctx, x.stack, again)
		if err != nil {
			return err
		}
		alone = append(alone, f.took.Seconds())
		reading, stop := context.WithCancel(ctx)
		var readers sync.WaitGroup
		var mu sync.Mutex
		var failed error
		for n := range 50 {
			readers.Go(func() {
				tick := time.NewTicker(time.Second)
				defer tick.Stop()
				for first := time.After(time.Duration(n) * 20 * time.Millisecond); ; { // so that they do not all read at the same time
					select {
					case <-first:
					case <-tick.C:
					case <-reading.Done():
						return
					}
					if err := x.get(reading, "daily_prices.arrow?symbols="+x.symbol); err != nil && reading.Err() == nil {
						mu.Lock()
						failed = errors.Join(failed, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		f, err = x.b.fill(ctx, x.stack, again)
		stop()
		readers.Wait()
		if err = errors.Join(err, failed); err != nil {
			return err
		}
		beside = append(beside, f.took.Seconds())
	}
	x.r.values["fifty.alone"], _ = middle(alone)
	x.r.values["fifty.beside"], _ = middle(beside)
	return nil
}

// grpc reads rows with the Go client and returns their number.
func (x *reading) grpc(ctx context.Context, q *rows.Query) (n int64, err error) {
	r, err := rows.Read(ctx, x.client, q)
	if err != nil {
		return 0, err
	}
	for batch, err := range r.Batches() {
		if err != nil {
			return n, err
		}
		n += batch.NumRows()
	}
	return n, nil
}

// get reads a table over REST to its end.
func (x *reading) get(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+x.stack.Config.HTTPAddr+"/v1/data/"+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, resp.StatusCode)
	}
	return nil
}
