package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

const mb = 1 << 20

// claim is a target of the pair.
type claim struct {
	name, scenario string
	value          func(b *bench) (float64, bool)
	most           float64 // or
	least          float64
	show           string // format of the value and the target
	// full is true if the target applies to three years; with fewer dates it is shown and marked.
	full bool
}

func value(name string) func(b *bench) (float64, bool) {
	return func(b *bench) (float64, bool) { return b.median(name) }
}

func ratio(over, under string) func(b *bench) (float64, bool) {
	return func(b *bench) (float64, bool) { return b.ratio(over, under) }
}

func scaled(of func(b *bench) (float64, bool), by float64) func(b *bench) (float64, bool) {
	return func(b *bench) (float64, bool) { v, ok := of(b); return v * by, ok }
}

// swing returns the larger ÷ the smaller of two values.
func swing(a, c string) func(b *bench) (float64, bool) {
	return func(b *bench) (float64, bool) {
		v, ok := b.ratio(a, c)
		if ok && v < 1 {
			v = 1 / v
		}
		return v, ok
	}
}

var claims = []claim{
	{name: "pair ÷ bare pipe, rows/s", scenario: "pair", value: ratio("pair.rate", "pipe.rate"), least: 0.6, show: "%.2f", full: true},
	{name: "last 50 dates ÷ first 50, time", scenario: "pair", value: ratio("pair.last", "pair.first"), most: 1.3, show: "%.2f", full: true},
	{name: "100 ms a call ÷ no latency, time", scenario: "latency", value: ratio("latency.seconds", "pair.seconds"), most: 1.3, show: "%.2f", full: true},
	{name: "time ÷ (calls ÷ limit)", scenario: "limit", value: ratio("limit.run_seconds", "limit.bound"), most: 1.05, show: "%.2f", full: true},
	{name: "one evening, s", scenario: "evening", value: value("evening.seconds"), most: 1, show: "%.2f", full: true},
	{name: "worker's peak memory, MB", scenario: "pair", value: scaled(value("pair.rss"), 1.0/mb), most: 600, show: "%.0f", full: true},
	{name: "peak memory, all dates against 60", scenario: "memory", value: swing("pair.rss", "few.rss"), most: 1.15, show: "%.2f", full: true},
	{name: "store ÷ bare writer's file", scenario: "pair", value: ratio("pair.row_bytes", "writer.row_bytes"), most: 1.15, show: "%.2f"},
	{name: "store ÷ bare pipe's file", scenario: "pair", value: ratio("pair.row_bytes", "pipe.row_bytes"), most: 1.15, show: "%.2f"},
	{name: "publishing ÷ copying the file and DuckDB's COPY", scenario: "reading", value: ratio("publish.seconds", "publish.floor"), most: 2, show: "%.2f"},
	{name: "publishing an evening ÷ everything", scenario: "evening", value: ratio("evening.publish", "publish.seconds"), most: 0.1, show: "%.3f", full: true},
	{name: "ReadRows of all prices ÷ the same query in one process, rows/s", scenario: "reading", value: ratio("read.floor", "read.grpc"), least: 0.6, show: "%.2f"},
	{name: ".parquet of all prices ÷ DuckDB's COPY", scenario: "reading", value: ratio("parquet.seconds", "parquet.floor"), most: 1.3, show: "%.2f"},
	{name: "one symbol by gRPC ÷ in one process, median", scenario: "reading", value: ratio("symbol.grpc", "symbol.floor"), most: 2, show: "%.2f"},
	{name: "one symbol by REST ÷ in one process, median", scenario: "reading", value: ratio("symbol.rest", "symbol.floor"), most: 2, show: "%.2f"},
	{name: "one symbol by gRPC, p99 ÷ in one process, median", scenario: "reading", value: ratio("symbol.grpc_p99", "symbol.floor"), most: 6, show: "%.2f"},
	{name: "one symbol by REST, p99 ÷ in one process, median", scenario: "reading", value: ratio("symbol.rest_p99", "symbol.floor"), most: 6, show: "%.2f"},
	{name: "one day by gRPC ÷ in one process, median", scenario: "reading", value: ratio("day.grpc", "day.floor"), most: 2.5, show: "%.2f"},
	{name: "one day by REST ÷ in one process, median", scenario: "reading", value: ratio("day.rest", "day.floor"), most: 2.5, show: "%.2f"},
	{name: "a date fetched beside 50 readers ÷ alone, time", scenario: "reading", value: ratio("fifty.beside", "fifty.alone"), most: 1.1, show: "%.2f"},
	{name: "a date fetched beside 2,000 clients and 100 wrong keys a second ÷ alone, time", scenario: "clients", value: ratio("clients.beside", "clients.alone"), most: 1.1, show: "%.2f"},
	{name: "worker's peak memory, publishing ÷ filling", scenario: "reading", value: ratio("publishing.rss", "pair.rss"), most: 1, show: "%.2f"},
	{name: "worker's peak memory, reading all prices ÷ filling", scenario: "reading", value: ratio("everything.rss", "pair.rss"), most: 1, show: "%.2f"},
	{name: "worker's peak memory, .parquet of all prices ÷ filling", scenario: "reading", value: ratio("files.rss", "pair.rss"), most: 1, show: "%.2f"},
	{name: "worker's peak memory, short answers ÷ filling", scenario: "reading", value: ratio("short answers.rss", "pair.rss"), most: 1, show: "%.2f"},
	{name: "start of the command ÷ an empty program with its packages", scenario: "cli", value: ratio("cli.start", "cli.empty"), most: 2, show: "%.2f"},
	{name: "afterbell status ÷ a curl of the same answers", scenario: "cli", value: ratio("cli.status", "cli.curl"), most: 2, show: "%.2f"},
	{name: "targets' calls ÷ a per-symbol loop's", scenario: "targets", value: ratio("targets.calls", "targets.loop"), most: 0.1, show: "%.3f"},
}

func printReport(out io.Writer, b *bench) {
	fmt.Fprintf(out, "\n%d dates; medians of %d round(s)\n\n", len(b.days), b.opts.rounds)
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\trows\tseconds\tCPU s\trows/s\t÷ pipe\tms a date, first\tlast\tpeak MB\tB a row\tcalls\t")
	for _, line := range []struct{ name, title string }{
		{"fetch", "fetch and decode"}, {"writer", "bare writer"}, {"pipe", "bare pipe"}, {"ingester", "worker, no RPC"},
		{"worker", "worker alone"}, {"pair", "pair"}, {"few", "pair, 60 dates"}, {"latency", "pair, 100 ms a call"}, {"limit", "pair, limited"},
	} {
		if _, ok := b.median(line.name + ".rows"); !ok {
			continue
		}
		span := float64(min(50, len(b.days)/2))
		if line.name == "few" {
			span = fewDates / 2
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", line.title,
			b.cell(line.name+".rows", 1, "%.0f"), b.cell(line.name+".seconds", 1, "%.2f"), b.cell(line.name+".cpu", 1, "%.1f"), b.cell(line.name+".rate", 1, "%.0f"),
			show(ratio(line.name+".rate", "pipe.rate"), b, "%.2f"),
			b.cell(line.name+".first", 1000/span, "%.1f"), b.cell(line.name+".last", 1000/span, "%.1f"),
			b.cell(line.name+".rss", 1.0/mb, "%.0f"), b.cell(line.name+".row_bytes", 1, "%.1f"), b.cell(line.name+".calls", 1, "%.0f"))
	}
	_ = t.Flush()
	fmt.Fprintln(out)
	note := func(format string, names ...string) {
		values := make([]any, len(names))
		for i, n := range names {
			v, ok := b.median(n)
			if !ok {
				return
			}
			values[i] = v
		}
		fmt.Fprintf(out, format+"\n", values...)
	}
	note("Calls of the pair: %.0f, probes included; the least possible is %.0f.", "pair.calls", "pair.least_calls")
	note("One evening: %.2f s from CreateRun to the ledger row, %.0f calls, %.0f rows; services idle before, every module probed.", "evening.seconds", "evening.calls", "evening.rows")
	note("Targets: %.0f calls for 500 symbols × 30 days (%.0f rows, %.2f s); a loop over symbols makes %.0f.", "targets.calls", "targets.rows", "targets.seconds", "targets.loop")
	note("Limit: %.0f calls a minute; %.1f s of run against %.1f s = calls ÷ limit.", "limit.per_minute", "limit.run_seconds", "limit.bound")
	note("Reading all %.0f prices: %.2f s by gRPC, %.2f s as Arrow, %.2f s as CSV, %.2f s as NDJSON, by REST; DuckDB in one process %.2f s, %.2f s without the order.",
		"read.rows", "read.grpc", "read.arrow", "read.csv", "read.ndjson", "read.floor", "read.floor_unsorted")
	note("Instead of ReadRows: one SQL row at a time takes %.2f s for the same rows.", "instead.scan")
	note("Instead of one symbol by REST (%.4f s): opening analysis.duckdb between runs %.4f s; asking the provider again %.4f s, without its limit of calls.",
		"symbol.rest", "instead.open", "instead.provider_symbol")
	note("Instead of ReadRows (%.0f rows/s): asking the provider for whole days again, %.0f rows/s, without its limit of calls.", "read.rate", "instead.provider_rate")
	note("The command: %.4f s to start, an empty program with its packages %.4f s; status %.4f s, a curl of the same answers %.4f s.", "cli.start", "cli.empty", "cli.status", "cli.curl")
	if v, ok := b.median("pair.orchestrator_rss"); ok {
		fmt.Fprintf(out, "Orchestrator's peak memory: %.0f MB.\n", v/mb)
	}
	fmt.Fprintln(out)
	printClaims(out, b)
}

func printClaims(out io.Writer, b *bench) {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\tclaim\tmeasured\ttarget")
	small := false
	for _, c := range claims {
		v, ok := c.value(b)
		sign, target := "≤ ", c.most
		reached := v <= c.most
		if c.least > 0 {
			sign, target, reached = "≥ ", c.least, v >= c.least
		}
		mark, measured := "FAIL", fmt.Sprintf(c.show, v)
		switch {
		case b.failures(c.scenario) != nil:
			measured = "failed, see above"
		case !ok:
			mark, measured = "-", "not measured"
		case reached:
			mark = "pass"
		}
		if ok && c.full && len(b.days) < 700 {
			small, mark = true, mark+"*"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s%s\n", mark, c.name, measured, sign, fmt.Sprintf(c.show, target))
	}
	_ = t.Flush()
	if small {
		fmt.Fprintln(out, "* the target is meant for three years; fixed costs weigh more on fewer dates")
	}
}

// cell formats a median, or a dash if there is none.
func (b *bench) cell(name string, by float64, format string) string {
	return show(scaled(value(name), by), b, format)
}

func show(of func(b *bench) (float64, bool), b *bench, format string) string {
	v, ok := of(b)
	if !ok {
		return "-"
	}
	return fmt.Sprintf(format, v)
}
