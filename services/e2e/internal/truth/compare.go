package truth

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// Report says how a pool differs from the provider. The zero value says that
// nothing was compared.
type Report struct {
	// Rows of the provider that were looked for.
	Rows int64
	// Lost rows are at the provider and not in the pool.
	Lost int64
	// Doubled rows share their key with another in the pool.
	Doubled int64
	// Wrong rows have another value than at the provider.
	Wrong int64
	// Alien rows are in the pool and not at the provider.
	Alien int64
	// Miscounted is the number of days whose coverage claims another number of rows
	// than there are.
	Miscounted int64
	// Examples describe some of the differences.
	Examples []string
	// Differences are all of them.
	Differences []Difference
}

// Difference is one row in which a pool and the provider differ, or a day that
// coverage miscounts.
type Difference struct {
	// Pool is "targets" or "universe".
	Pool string
	// Dataset is the provider's name of the rows, or the table of a list.
	Dataset string
	// Day is the trade date, "YYYY-MM-DD"; empty for a list.
	Day string
	// Key is the symbol, or the date of the calendar; empty for a day that is
	// miscounted and for rows that are doubled.
	Key string
	// What is "lost", "doubled", "wrong", "alien" or "miscounted".
	What string
}

// String is the difference in a line.
func (d Difference) String() string {
	return strings.Join(strings.Fields(d.Pool+" "+d.Dataset+" "+d.Day+" "+d.Key+" "+d.What), " ")
}

// Clean reports whether something was compared and nothing differs.
func (r Report) Clean() bool {
	return r.Rows > 0 && r.Lost == 0 && r.Doubled == 0 && r.Wrong == 0 && r.Alien == 0 && r.Miscounted == 0
}

// Add adds another pool's report.
func (r *Report) Add(o Report) {
	r.Rows += o.Rows
	r.Lost += o.Lost
	r.Doubled += o.Doubled
	r.Wrong += o.Wrong
	r.Alien += o.Alien
	r.Miscounted += o.Miscounted
	r.Examples = append(r.Examples, o.Examples...)
	r.Differences = append(r.Differences, o.Differences...)
}

const maxExamples = 5

func (r *Report) example(format string, args ...any) {
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// Required lists the open days of a dataset that a pool must hold: of the last
// window calendar days, and due by now.
func (d Dataset) Required(sim *tusharesim.Sim, now time.Time, window int) []string {
	now = now.In(tusharesim.Beijing)
	last := now
	if now.Hour() < d.Due {
		last = now.AddDate(0, 0, -1)
	}
	var out []string
	for _, day := range sim.OpenDates(now.AddDate(0, 0, 1-window).Format("20060102"), last.Format("20060102")) {
		out = append(out, day[:4]+"-"+day[4:6]+"-"+day[6:])
	}
	return out
}

// Compare looks at every day that the pool must hold, at every other day that it
// holds rows of, and at its lists and calendar.
func (p *Pool) Compare(ctx context.Context, sim *tusharesim.Sim, now time.Time, window int) (Report, error) {
	var r Report
	for _, d := range datasets {
		held, err := p.days(ctx, d)
		if err != nil {
			return r, fmt.Errorf("%s %s: %w", p.Name, d.API, err)
		}
		days := append(d.Required(sim, now, window), held...)
		slices.Sort(days)
		for _, day := range slices.Compact(days) {
			if err := p.day(ctx, sim, d, day, &r); err != nil {
				return r, fmt.Errorf("%s %s %s: %w", p.Name, d.API, day, err)
			}
		}
	}
	if err := p.lists(ctx, sim, &r); err != nil {
		return r, fmt.Errorf("%s lists: %w", p.Name, err)
	}
	return r, nil
}

func (p *Pool) day(ctx context.Context, sim *tusharesim.Sim, d Dataset, day string, r *Report) error {
	table, err := sim.Rows(d.API, map[string]string{"trade_date": strings.ReplaceAll(day, "-", "")}, append([]string{"ts_code"}, d.columns...)...)
	if err != nil {
		return err
	}
	want := map[string][]any{}
	for _, row := range table.Rows {
		symbol, _ := row[0].(string)
		if d.API == "fund_daily" && !IsETF(symbol) || p.symbols != nil && !p.symbols[symbol] {
			continue
		}
		want[symbol] = row[1:]
	}
	held, doubled, err := p.rows(ctx, fmt.Sprintf("select symbol, %s from %s where trade_date = ? and %s", d.stored(), d.table, d.where), day)
	if err != nil {
		return err
	}
	claimed, err := p.claims(ctx, d.API, day)
	if err != nil {
		return err
	}
	if have := int64(len(held)) + doubled; claimed != have {
		r.Miscounted++
		r.Differences = append(r.Differences, Difference{p.Name, d.API, day, "", "miscounted"})
		r.example("%s %s %s: coverage claims %d rows, there are %d", p.Name, d.API, day, claimed, have)
	}
	r.differ(Difference{Pool: p.Name, Dataset: d.API, Day: day}, want, held, doubled)
	return nil
}

func (r *Report) differ(at Difference, want, held map[string][]any, doubled int64) {
	what := at.String()
	note := func(key, what string) {
		at.Key, at.What = key, what
		r.Differences = append(r.Differences, at)
	}
	r.Rows += int64(len(want))
	if r.Doubled += doubled; doubled > 0 {
		note("", "doubled")
		r.example("%s: %d rows twice", what, doubled)
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		row, ok := held[key]
		switch {
		case !ok:
			r.Lost++
			note(key, "lost")
			r.example("%s: %s is lost", what, key)
		case !slices.Equal(row, want[key]):
			r.Wrong++
			note(key, "wrong")
			r.example("%s: %s is %v, the provider has %v", what, key, row, want[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(held)) {
		if _, ok := want[key]; !ok {
			r.Alien++
			note(key, "alien")
			r.example("%s: %s is not at the provider", what, key)
		}
	}
}

// lists compares the instruments and the calendar.
func (p *Pool) lists(ctx context.Context, sim *tusharesim.Sim, r *Report) error {
	want := map[string][]any{}
	for _, call := range []struct{ api, status, parameter, value string }{
		{"stock_basic", "list_status", "list_status", "L"}, {"stock_basic", "list_status", "list_status", "D"},
		{"stock_basic", "list_status", "list_status", "P"}, {"fund_basic", "status", "market", "E"},
	} {
		table, err := sim.Rows(call.api, map[string]string{call.parameter: call.value}, "ts_code", "name", call.status, "list_date")
		if err != nil {
			return err
		}
		for _, row := range table.Rows {
			symbol, _ := row[0].(string)
			if call.api == "fund_basic" && !IsETF(symbol) {
				continue
			}
			want[symbol] = []any{row[1], row[2], dashed(row[3])}
		}
	}
	held, doubled, err := p.rows(ctx, "select symbol, name, list_status, cast(list_date as varchar) from instrument_meta")
	if err != nil {
		return err
	}
	r.differ(Difference{Pool: p.Name, Dataset: "instrument_meta"}, want, held, doubled)

	table, err := sim.Rows("trade_cal", map[string]string{"exchange": "SSE"}, "cal_date", "is_open")
	if err != nil {
		return err
	}
	want = map[string][]any{}
	for _, row := range table.Rows {
		day, _ := dashed(row[0]).(string)
		want[day] = []any{row[1]}
	}
	if held, doubled, err = p.rows(ctx, "select cast(cal_date as varchar), is_open from trade_calendar"); err != nil {
		return err
	}
	r.differ(Difference{Pool: p.Name, Dataset: "trade_calendar"}, want, held, doubled)
	return nil
}

// dashed turns the provider's YYYYMMDD into YYYY-MM-DD and lets null be.
func dashed(v any) any {
	s, ok := v.(string)
	if !ok || len(s) != 8 {
		return v
	}
	return s[:4] + "-" + s[4:6] + "-" + s[6:]
}
