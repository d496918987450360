package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/evidence"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// mostAsked is for how many days of a changed calendar `daily` is fetched.
const mostAsked = 3

// turned compares a calendar with the stored one. A closed day is never planned, so a wrong
// one would hide an evening. It adds to out what contradicts the calendar, and which days
// changed.
func (j *job) turned(ctx context.Context, b *table.Batch, held Calendar, out *doubt) error {
	if j.ds.ID != catalog.TradeCal {
		return nil
	}
	today := market.DateOf(time.Now())
	date, open := b.Column("cal_date").Dates, b.Column("is_open").Numbers
	var weekends, closed, opened, later []market.Date
	for r := range b.Len {
		d, isOpen := date[r], open[r] == 1
		known := held.Known() && d >= held.First && d <= held.Last
		switch {
		case isOpen && d.Weekend():
			weekends = append(weekends, d)
		case !known || isOpen == held.IsOpen(d):
		case d > today:
			later = append(later, d)
		case isOpen:
			opened = append(opened, d)
		default:
			closed = append(closed, d)
		}
	}
	conflict := func(days []market.Date, what, check string) {
		out.against = append(out.against, evidence.Finding{
			Reason: fault.ValuesConflict, Count: len(days), Of: b.Len, Sample: dayTexts(days), What: what, Meta: []string{"check", check},
		})
	}
	if len(weekends) > 0 {
		conflict(weekends, "has trading days on weekends", "is_open")
	}
	// Only the newest are fetched: an older day was stored or settled long ago.
	for _, x := range []struct {
		days  []market.Date
		wrong bool // whether rows contradict the new calendar
		what  string
	}{{closed, true, "has no trading on days of which daily has rows"}, {opened, false, "has trading on past days of which daily has no rows"}} {
		slices.Sort(x.days)
		var wrong, unconfirmed []market.Date
		for _, d := range x.days[max(0, len(x.days)-mostAsked):] {
			rows, told, err := j.tradedOn(ctx, d)
			switch {
			case err != nil:
				return err
			case told && rows == x.wrong && (rows || d < today):
				wrong = append(wrong, d)
			case x.wrong && d == today:
				unconfirmed = append(unconfirmed, d) // its rows may only not be published yet
			}
		}
		switch {
		case len(wrong) > 0:
			conflict(wrong, x.what, "is_open")
		case len(unconfirmed) > 0:
			conflict(unconfirmed, "has no trading today, although it had until now", "is_open")
		default:
			later = append(later, x.days...)
		}
	}
	if len(later) > 0 && !slices.ContainsFunc(out.against, evidence.Finding.False) {
		slices.Sort(later)
		i := j.issue(fault.ValuesRevised, fmt.Sprintf("The provider's calendar changed for %s: %s.", fault.Count(len(later), "day", "days"), strings.Join(turnedTexts(later, held), ", ")),
			"count", fmt.Sprint(len(later)), "sample", strings.Join(dayTexts(later), ", "))
		i.Severity = fault.Warning
		out.notices = append(out.notices, i)
	}
	return nil
}

func dayTexts(days []market.Date) []string {
	var out []string
	for _, d := range days[:min(len(days), sampleSize)] {
		out = append(out, d.String())
	}
	return out
}

func turnedTexts(days []market.Date, held Calendar) []string {
	out := dayTexts(days)
	for n := range out {
		if held.IsOpen(days[n]) {
			out[n] += " is closed now"
		} else {
			out[n] += " is a trading day now"
		}
	}
	if len(days) > len(out) {
		out = append(out, "…")
	}
	return out
}

// tradedOn reports whether the provider's daily has rows of a date. told is false if it
// cannot be fetched.
func (j *job) tradedOn(ctx context.Context, d market.Date) (rows, told bool, err error) {
	ans, err := j.i.provider.Fetch(ctx, Query{
		Dataset: catalog.Lookup(catalog.Daily), Params: map[string]string{"trade_date": d.Compact()}, Priority: j.priority(), MaxRows: 1,
	}, nil)
	j.calls += ans.Calls
	switch {
	case ctx.Err() != nil:
		return false, false, context.Cause(ctx)
	case err != nil:
		j.i.log.Info("daily could not be asked about a day of the calendar", "trade_date", d, "error", err)
		return false, false, nil
	}
	dates := ans.Batch.Column("trade_date")
	for r := range ans.Batch.Len {
		rows = rows || dates.Dates[r] == d
	}
	return rows, true, nil
}
