package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// pace records when dates became complete. One goroutine uses it at a time.
type pace struct {
	began, start, told time.Time
	partitions         int
	completed          int
	rows               int64
	of                 map[string]int // complete partitions per date
	times              []time.Time    // when each date became complete
}

func newPace(began time.Time) *pace {
	return &pace{began: began, start: began, told: began, of: map[string]int{}}
}

// planned records when the ingestion of dates began.
func (p *pace) planned(at time.Time, partitions int) {
	p.start, p.partitions = at, partitions
}

// done records a complete partition; date is empty for snapshots.
func (p *pace) done(at time.Time, date string, rows int64) {
	if date == "" {
		return
	}
	p.completed++
	p.rows += rows
	if p.of[date]++; p.of[date] == len(dailyAPIs) {
		p.times = append(p.times, at)
	}
}

// all reports whether all planned partitions are complete.
func (p *pace) all() bool { return p.partitions > 0 && p.completed == p.partitions }

// tell prints progress at most once per second.
func (p *pace) tell(out io.Writer) {
	now := time.Now()
	if now.Sub(p.told) < time.Second {
		return
	}
	p.told = now
	fmt.Fprintf(out, "  %5d of %d partitions, %9d rows, %7.0f rows/s\n", p.completed, p.partitions, p.rows, float64(p.rows)/now.Sub(p.began).Seconds())
}

func (p *pace) end(took time.Duration) filled {
	f := filled{took: took, rows: p.rows}
	slices.SortFunc(p.times, time.Time.Compare)
	if n := len(p.times); n >= 4 {
		f.span = min(50, n/2)
		f.first = p.times[f.span-1].Sub(p.start)
		f.last = p.times[n-1].Sub(p.times[n-1-f.span])
	}
	return f
}
