package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
)

// measure is a figure that is compared between two builds.
type measure struct {
	name, scenario string
	value          func(r *round) (float64, bool)
	show           string // format of the value
	// most or least limits this build's figure ÷ the other's; 0 means no limit.
	most, least float64
}

func figure(name string, by float64) func(r *round) (float64, bool) {
	return func(r *round) (float64, bool) { v, ok := r.values[name]; return v * by, ok }
}

func over(name, under string) func(r *round) (float64, bool) {
	return func(r *round) (float64, bool) {
		v, ok := r.values[name]
		u, ok2 := r.values[under]
		return v / u, ok && ok2 && u != 0
	}
}

// measures are printed in this order. The limits are what a release must gain over the previous
// one.
var measures = []measure{
	{name: "pair, rows/s", scenario: "pair", value: figure("pair.rate", 1), show: "%.0f", least: 1.15},
	{name: "pair, CPU s per million rows", scenario: "pair", value: figure("pair.cpu_million", 1), show: "%.2f", most: 0.85},
	{name: "worker, CPU s per million rows", scenario: "pair", value: figure("pair.worker_cpu_million", 1), show: "%.2f", most: 0.85},
	{name: "worker's peak memory, MB", scenario: "pair", value: figure("pair.rss", 1.0/mb), show: "%.0f", most: 0.75},
	{name: "worker's peak memory with the copy for readers, MB", scenario: "pair", value: figure("pair.publish_rss", 1.0/mb), show: "%.0f"},
	{name: "orchestrator's peak memory, MB", scenario: "pair", value: figure("pair.orchestrator_rss", 1.0/mb), show: "%.0f"},
	{name: "store, bytes a row", scenario: "pair", value: figure("pair.row_bytes", 1), show: "%.1f"},
	{name: "VerifyRun, s", scenario: "verify", value: figure("verify.seconds", 1), show: "%.2f", most: 0.2},
	{name: "VerifyRun, worker's CPU s", scenario: "verify", value: figure("verify.cpu", 1), show: "%.2f"},
	{name: "VerifyRun, worker's peak memory, MB", scenario: "verify", value: figure("verify.rss", 1.0/mb), show: "%.0f"},
	{name: "one evening, s", scenario: "evening", value: figure("evening.seconds", 1), show: "%.2f"},
	{name: "100 ms a call, rows/s", scenario: "latency", value: figure("latency.rate", 1), show: "%.0f"},
	{name: "100 ms a call ÷ no latency, time", scenario: "latency", value: over("latency.seconds", "pair.seconds"), show: "%.2f"},
	{name: "100 ms a call, worker's peak memory, MB", scenario: "latency", value: figure("latency.rss", 1.0/mb), show: "%.0f"},
	{name: "pair, 60 dates, rows/s", scenario: "memory", value: figure("few.rate", 1), show: "%.0f"},
	{name: "targets, 500 symbols × 30 days, s", scenario: "targets", value: figure("targets.seconds", 1), show: "%.2f"},
	{name: "2,000 targets, s", scenario: "manytargets", value: figure("manytargets.seconds", 1), show: "%.1f", most: 0.125},
	{name: "2,000 targets, worker's peak memory, MB", scenario: "manytargets", value: figure("manytargets.worker_rss", 1.0/mb), show: "%.0f", most: 0.25},
	{name: "2,000 targets again, s", scenario: "manytargets", value: figure("manytargets.refetch.seconds", 1), show: "%.1f"},
	{name: "worker alone, rows/s", scenario: "worker", value: figure("worker.rate", 1), show: "%.0f"},
	{name: "under a limit, time ÷ (calls ÷ limit)", scenario: "limit", value: over("limit.run_seconds", "limit.bound"), show: "%.2f"},
}

// compared is the median of a measure for both builds, and the median of the rounds' ratios.
// The two values of a round were measured one right after the other, so their ratio is more
// reliable than that of the medians.
func (b *bench) compared(m measure) (mine, other, ratio float64, ok bool) {
	mine, ok1 := medianOf(b.rounds, m.value)
	other, ok2 := medianOf(b.others, m.value)
	var ratios []float64
	for n := range b.rounds {
		v, has := m.value(b.rounds[n])
		o, has2 := m.value(b.others[n])
		if has && has2 && o != 0 {
			ratios = append(ratios, v/o)
		}
	}
	ratio, ok3 := middle(ratios)
	return mine, other, ratio, ok1 && ok2 && ok3
}

func printComparison(out io.Writer, b *bench) {
	fmt.Fprintf(out, "\n%d dates; medians of %d round(s), both builds in each; the ratio is the median of the rounds' ratios\n\n", len(b.days), b.opts.rounds)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\twhat\tthis build\t%s\tratio\ttarget\n", b.opts.against)
	for _, m := range measures {
		mine, other, ratio, ok := b.compared(m)
		if !ok {
			if b.failures(m.scenario) != nil || failures(b.others, m.scenario) != nil {
				fmt.Fprintf(t, "FAIL\t%s\tfailed, see above\n", m.name)
			}
			continue
		}
		mark, target := "", ""
		switch {
		case m.least > 0:
			mark, target = verdict(ratio >= m.least), fmt.Sprintf("≥ %.2f", m.least)
		case m.most > 0:
			mark, target = verdict(ratio <= m.most), fmt.Sprintf("≤ %.2f", m.most)
		}
		fmt.Fprintf(t, "%s\t%s\t"+m.show+"\t"+m.show+"\t%.3f\t%s\n", mark, m.name, mine, other, ratio, target)
	}
	_ = t.Flush()
}

func verdict(reached bool) string {
	if reached {
		return "pass"
	}
	return "FAIL"
}

func failures(rounds []*round, name string) error {
	var all []error
	for _, r := range rounds {
		all = append(all, r.failed[name])
	}
	return errors.Join(all...)
}
