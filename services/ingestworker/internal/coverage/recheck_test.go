package coverage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// holding is a pool that holds every open day of a span, looked at at a moment.
func holding(first, last market.Date, at time.Time, symbols ...string) book {
	b := book{}
	if symbols == nil {
		symbols = []string{""}
	}
	for d := first; d <= last; d++ {
		for _, id := range allDaily {
			for _, s := range symbols {
				if s != "" && (catalog.Lookup(id).Kind != market.KindOf(s)) {
					continue
				}
				b.put(id, d, s, Complete, at)
			}
		}
	}
	return b
}

func rechecked(p Plan) (out []string) {
	for i, x := range p.Partitions {
		if x.Recheck {
			out = append(out, x.ID)
			if !x.Repeat || slices.ContainsFunc(p.Partitions[i:], func(later Partition) bool { return !later.Recheck }) {
				out = append(out, "not last")
			}
		}
	}
	return out
}

func TestOldDaysAreLookedAtAgain(t *testing.T) {
	lastEvening := evening.AddDate(0, 0, -3)
	ago := func(days int) time.Time { return evening.AddDate(0, 0, -days) }
	wish := PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Recheck: 2}
	fresh := func() book {
		b := holding(day-60, day-1, lastEvening)
		for _, d := range []market.Date{day - 20, day - 27, day - 34} {
			for _, id := range allDaily {
				b.put(id, d, "", Complete, ago(int(day-d)-2))
			}
		}
		return b
	}
	all := func(d market.Date) (out []string) {
		for _, id := range allDaily {
			out = append(out, id+"/"+d.String())
		}
		return out
	}
	for name, c := range map[string]struct {
		change func(w *PlanRequest, b book)
		want   []string
	}{
		"longest ago first": {func(*PlanRequest, book) {}, append(all(day-34), all(day-27)...)},
		"off":               {func(w *PlanRequest, _ book) { w.Recheck = 0 }, nil},
		"all that are due":  {func(w *PlanRequest, _ book) { w.Recheck = 50 }, append(append(all(day-34), all(day-27)...), all(day-20)...)},
		"with dates":        {func(w *PlanRequest, _ book) { w.Start, w.End = day-40, day }, nil},
		"refetch":           {func(w *PlanRequest, _ book) { w.Refetch = true }, nil},
		"one dataset late": {func(_ *PlanRequest, b book) {
			b.put(catalog.Moneyflow, day-41, "", Complete, ago(39))
		}, append(all(day-41), all(day-34)...)},
		"looked at a moment ago": {func(_ *PlanRequest, b book) {
			for _, id := range allDaily {
				b.put(id, day-34, "", Complete, evening.Add(-time.Minute))
			}
		}, append(all(day-27), all(day-20)...)},
		"anything of it planned anyway": {func(_ *PlanRequest, b book) {
			b.put(catalog.DailyBasic, day-34, "", Incomplete, ago(32))
		}, append(all(day-27), all(day-20)...)},
		"what holds no rows": {func(_ *PlanRequest, b book) {
			b.put(catalog.Moneyflow, day-34, "", ExpectedEmpty, ago(365))
		}, append(slices.DeleteFunc(all(day-34), func(id string) bool { return id == "moneyflow/"+(day-34).String() }), all(day-27)...)},
		"accepted short": {func(_ *PlanRequest, b book) {
			k := Key{Dataset: catalog.Moneyflow, Date: day - 34}
			b[k] = Record{Key: k, Verdict: AcceptedShort, Rows: 5, CommittedAt: ago(32), SameDays: 3, AnswerHash: 1}
		}, append(all(day-34), all(day-27)...)},
		"accepted short without a row": {func(_ *PlanRequest, b book) {
			b.put(catalog.Moneyflow, day-6, "", AcceptedShort, ago(1))
		}, append(all(day-6), all(day-34)...)},
		"accepted short and looked at this evening": {func(_ *PlanRequest, b book) {
			b.put(catalog.Moneyflow, day-6, "", AcceptedShort, evening.Add(-time.Hour))
		}, append(all(day-34), all(day-27)...)},
		"accepted short long ago": {func(_ *PlanRequest, b book) {
			b.put(catalog.Moneyflow, day-41, "", AcceptedShort, ago(3))
		}, append(all(day-34), all(day-27)...)},
		"half of the looks at most": {func(_ *PlanRequest, b book) {
			for _, d := range []market.Date{day - 6, day - 7, day - 10} {
				b.put(catalog.Moneyflow, d, "", AcceptedShort, ago(1))
			}
		}, append(all(day-6), all(day-34)...)},
		"before the window": {func(_ *PlanRequest, b book) {
			for _, id := range allDaily {
				b.put(id, day-76, "", Complete, ago(74))
			}
		}, append(all(day-76), all(day-34)...)},
		"incomplete when it left the window": {func(_ *PlanRequest, b book) {
			for _, id := range allDaily {
				b.put(id, day-76, "", Complete, ago(2))
			}
			b.put(catalog.Moneyflow, day-76, "", Incomplete, ago(20))
		}, append(all(day-76), all(day-34)...)},
		"unless nothing else is due": {func(w *PlanRequest, b book) {
			w.Recheck = 5
			for _, d := range []market.Date{day - 6, day - 7, day - 10, day - 11} {
				b.put(catalog.Moneyflow, d, "", AcceptedShort, ago(1))
			}
			for _, id := range allDaily {
				b.put(id, day-34, "", Complete, lastEvening)
				b.put(id, day-27, "", Complete, lastEvening)
			}
		}, slices.Concat(all(day-6), all(day-7), all(day-10), all(day-20), all(day-11))},
	} {
		w, b := wish, fresh()
		c.change(&w, b)
		p, err := Data(w, world(evening, b, 60))
		if err != nil {
			t.Fatal(err)
		}
		if got := rechecked(p); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Over many evenings each old day is checked again, whatever the calendar.
func TestEveryOldDayHasItsTurn(t *testing.T) {
	b := holding(day-90, day-1, evening.AddDate(0, 0, -30))
	turns := map[string]int{}
	now := evening
	for range 70 {
		now = now.AddDate(0, 0, 1)
		p, err := Data(PlanRequest{Pool: market.Universe, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Recheck: 1}, world(now, b, 60))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range p.Partitions {
			b.put(x.Dataset, x.Start, "", Complete, now)
			if x.Recheck {
				turns[x.ID]++
			}
		}
	}
	for id, n := range turns {
		if n > 2 {
			t.Errorf("%s had %d turns", id, n)
		}
	}
	if len(turns) < 4*30 {
		t.Errorf("%d partitions had a turn", len(turns))
	}
}

func TestOldDaysOfTargetsAreLookedAtWhole(t *testing.T) {
	stocks := []string{"000001.SZ", "600000.SH", "600519.SH", "920001.BJ"}
	b := holding(day-60, day-1, evening.AddDate(0, 0, -3), append(slices.Clone(stocks), "510300.SH")...)
	for _, s := range stocks {
		b.put(catalog.Daily, day-20, s, Complete, evening.AddDate(0, 0, -17))
	}
	for _, id := range allDaily[:3] { // it may have a row by now
		b.put(id, day-20, stocks[2], ExpectedEmpty, evening.AddDate(0, 0, -17))
	}
	p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Recheck: 1,
		Symbols: append([]string{"510300.SH"}, stocks...)}, world(evening, b, 60))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{catalog.Daily: stocks, catalog.DailyBasic: stocks, catalog.Moneyflow: stocks[:3], catalog.FundDaily: {"510300.SH"}}
	n := 0
	for _, x := range p.Partitions {
		if x.Recheck {
			n++
			if !slices.Equal(x.Symbols, want[x.Dataset]) || x.Start != day-20 || x.End != day-20 || x.ID != PartitionID(x.Dataset, x.Start, x.End, x.Symbols) {
				t.Errorf("%+v", x)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d partitions are looked at again: %v", n, ids(p))
	}
}

// One symbol of a long list, of which nothing is held, is not overlooked.
func TestATargetAcceptedShortIsLookedAtAgain(t *testing.T) {
	var stocks []string
	for n := range 40 {
		stocks = append(stocks, fmt.Sprintf("6000%02d.SH", n))
	}
	b := holding(day-60, day-1, evening.AddDate(0, 0, -3), stocks...)
	b.put(catalog.DailyBasic, day-6, stocks[7], AcceptedShort, evening.AddDate(0, 0, -1))
	p, err := Data(PlanRequest{Pool: market.Targets, Datasets: datasets(allDaily...), Start: market.NoDate, End: market.NoDate, Recheck: 2, Symbols: stocks}, world(evening, b, 60))
	if err != nil {
		t.Fatal(err)
	}
	found := slices.ContainsFunc(p.Partitions, func(x Partition) bool {
		return x.Recheck && x.Dataset == catalog.DailyBasic && x.Start == day-6 && slices.Contains(x.Symbols, stocks[7])
	})
	if !found {
		t.Errorf("%s is not looked at again: %v", stocks[7], ids(p))
	}
}
