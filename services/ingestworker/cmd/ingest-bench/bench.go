package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/ingestworker/internal/tushare"
	"github.com/afterbell/afterbell/services/internal/market"
)

// report is the output.
type report struct {
	Name          string  `json:"name"`
	Dates         int     `json:"dates"`
	Rows          int64   `json:"rows"`
	Seconds       float64 `json:"seconds"`
	RowsPerSecond float64 `json:"rows_per_second"`
	CPUSeconds    float64 `json:"cpu_seconds"`
	PeakRSS       int64   `json:"peak_rss_bytes"`
	FileBytes     int64   `json:"file_bytes,omitempty"`
	Calls         int     `json:"calls,omitempty"`
	// Span is the number of dates of FirstSeconds and of LastSeconds.
	Span         int     `json:"span,omitempty"`
	FirstSeconds float64 `json:"first_seconds,omitempty"`
	LastSeconds  float64 `json:"last_seconds,omitempty"`
	// CheckpointSeconds is the part of Seconds after the last commit of rows.
	CheckpointSeconds float64 `json:"checkpoint_seconds,omitempty"`
}

// bench is the state of one floor.
type bench struct {
	opts   options
	client *tushare.Client
	days   []market.Date // newest first
	dir    string
	errout io.Writer

	report     report
	began      time.Time
	cpu        time.Duration
	told       time.Time
	finished   []time.Time // when each date became complete
	partitions map[market.Date]int
}

// anyToken is a token source with a token that the simulator accepts.
type anyToken struct{}

func (anyToken) Token(string) (token, fingerprint string, ok bool) {
	return "simulated", "0000000000000000", true
}

// noLimit allows all calls, as the worker's limiter does with --rate-limit 0.
type noLimit struct{}

func (noLimit) Acquire(ctx context.Context, _ quota.Key, _ quota.Priority, _ func(time.Time)) error {
	return ctx.Err()
}

func (noLimit) Refused(_ quota.Key, _ time.Time, w quota.Window, _ int) time.Time {
	return time.Now().Add(w.Length())
}

// Hold implements tushare.Limiter.
func (noLimit) Hold(_ quota.Key, until time.Time) time.Time { return until }

func newBench(ctx context.Context, name string, o options, dir string, errout io.Writer) (*bench, error) {
	client, err := tushare.New(tushare.Config{URL: o.url, Tokens: anyToken{}, Limiter: noLimit{}})
	if err != nil {
		return nil, err
	}
	b := &bench{opts: o, client: client, dir: dir, errout: errout, partitions: map[market.Date]int{}}
	b.report.Name = name
	if b.days, err = b.openDays(ctx); err != nil {
		client.Close()
		return nil, err
	}
	b.report.Dates = len(b.days)
	return b, nil
}

// openDays returns the last open days, newest first, in which order the worker plans them.
func (b *bench) openDays(ctx context.Context) ([]market.Date, error) {
	ds := catalog.Lookup(catalog.TradeCal)
	ans, err := b.client.Fetch(ctx, ingest.Query{Dataset: ds, Params: ds.Calls[0].Params}, nil)
	if err != nil {
		return nil, err
	}
	var days []market.Date
	for i, d := range ans.Batch.Column("cal_date").Dates {
		if d <= b.opts.end && ans.Batch.Column("is_open").Numbers[i] == 1 {
			days = append(days, d)
		}
	}
	slices.Sort(days)
	slices.Reverse(days)
	if len(days) < b.opts.dates {
		return nil, fmt.Errorf("the calendar has %d open days until %s, not %d", len(days), b.opts.end, b.opts.dates)
	}
	return days[:b.opts.dates], nil
}

// daily are the datasets by trade date, in the order of a date's partitions.
func daily() []*catalog.Dataset {
	var out []*catalog.Dataset
	for _, d := range catalog.Datasets() {
		if !d.Snapshot {
			out = append(out, d)
		}
	}
	return out
}

// fetchDay fetches a dataset of a date and returns the rows that the pool stores: of funds only
// ETFs, so that all floors have the same rows as the pair.
func (b *bench) fetchDay(ctx context.Context, d *catalog.Dataset, day market.Date) (*table.Batch, int, error) {
	ans, err := b.client.Fetch(ctx, ingest.Query{Dataset: d, Params: map[string]string{"trade_date": day.Compact()}}, nil)
	if err != nil {
		return nil, ans.Calls, err
	}
	if d.Kind != market.ETF {
		return ans.Batch, ans.Calls, nil
	}
	symbols := ans.Batch.Column("ts_code").Texts
	keep := make([]int, 0, ans.Batch.Len)
	for i, s := range symbols {
		if market.IsETF(s) {
			keep = append(keep, i)
		}
	}
	return ans.Batch.Select(keep), ans.Calls, nil
}

// begin starts the clock.
func (b *bench) begin() {
	runtime.GC()
	b.began, b.cpu, b.told = time.Now(), cpuTime(), time.Now()
}

// committed records committed rows of a date, and prints progress every second.
func (b *bench) committed(day market.Date, rows int) {
	b.report.Rows += int64(rows)
	if b.partitions[day]++; b.partitions[day] == len(daily()) {
		b.finished = append(b.finished, time.Now())
	}
	if now := time.Now(); now.Sub(b.told) >= time.Second {
		b.told = now
		fmt.Fprintf(b.errout, "%-8s %4d of %d dates, %9d rows, %7.0f rows/s\n", b.report.Name,
			len(b.finished), len(b.days), b.report.Rows, float64(b.report.Rows)/now.Sub(b.began).Seconds())
	}
}

// end stops the clock. file may be empty.
func (b *bench) end(file string) error {
	now := time.Now()
	r := &b.report
	r.Seconds = now.Sub(b.began).Seconds()
	r.CPUSeconds = (cpuTime() - b.cpu).Seconds()
	r.RowsPerSecond = float64(r.Rows) / r.Seconds
	if n := len(b.finished); n >= 4 {
		r.Span = min(50, n/2)
		r.FirstSeconds = b.finished[r.Span-1].Sub(b.began).Seconds()
		r.LastSeconds = b.finished[n-1].Sub(b.finished[n-1-r.Span]).Seconds()
		r.CheckpointSeconds = now.Sub(b.finished[n-1]).Seconds()
	}
	if file == "" {
		return nil
	}
	st, err := os.Stat(file)
	if err != nil {
		return err
	}
	r.FileBytes = st.Size()
	return nil
}

func (b *bench) finish() report {
	b.report.PeakRSS = peakRSS()
	return b.report
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS returns the peak resident memory of this process in bytes; 0 if the system does not
// have it.
func peakRSS() int64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10
		}
	}
	return 0
}

func writeHeap(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return pprof.WriteHeapProfile(f)
}
