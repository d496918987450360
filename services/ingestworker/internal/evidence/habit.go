package evidence

import (
	"fmt"
	"math"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// habit is a relation between the fields of a row that the provider keeps. All recorded
// rows keep it: 278,123 of prices, 19,000 of daily_basic and 10,356 of moneyflow. Another
// provider may not, so a day is compared with a neighbouring one.
type habit struct {
	name string
	// odd reports whether a row breaks it; told is false if a value is null.
	odd func(i int) (odd, told bool)
}

func (d *Day) habits() []habit {
	value := func(name string) func(i int) float64 {
		col := d.column(name)
		return func(i int) float64 { return float64(col[i]) }
	}
	known := func(values ...float64) bool {
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
		return true
	}
	switch d.Dataset {
	case catalog.DailyBasic:
		total, float, free := value("total_share"), value("float_share"), value("free_share")
		turnover, freely := value("turnover_rate"), value("turnover_rate_f")
		return []habit{
			{"shares", func(i int) (bool, bool) {
				return free(i) > 1.0001*float(i) || float(i) > 1.0001*total(i), known(total(i), float(i), free(i))
			}},
			{"turnover_rate_f", func(i int) (bool, bool) {
				one, other := turnover(i)*float(i), freely(i)*free(i)
				return math.Abs(one-other) > 0.03*math.Abs(one)+0.01*free(i), known(one, other)
			}},
		}
	case catalog.Moneyflow:
		bought, sold := d.named("buy_", "_vol"), d.named("sell_", "_amount")
		spent := d.named("buy_", "_amount")
		volume, amount := value("net_mf_vol"), value("net_mf_amount")
		volumes, amounts := append(bought, d.named("sell_", "_vol")...), append(spent, sold...)
		return []habit{
			{"net_mf_vol", func(i int) (bool, bool) {
				most := sum(bought, i)
				return math.Abs(volume(i)) > most+2, known(most, volume(i))
			}},
			{"amount", func(i int) (bool, bool) {
				one, other := sum(spent, i), sum(sold, i)
				return math.Abs(one-other) > 0.05*one+2, known(one, other)
			}},
			{"price", func(i int) (bool, bool) {
				mean := sum(spent, i) / sum(bought, i)
				for n, v := range volumes {
					vol, worth := float64(v[i]), float64(amounts[n][i])
					if vol*mean > 1 && (worth > 1.5*vol*mean+1 || worth < vol*mean/1.5-1) {
						return true, known(mean)
					}
				}
				return false, known(mean)
			}},
			{"net_mf_amount", func(i int) (bool, bool) {
				most, mean := sum(spent, i), sum(spent, i)/sum(bought, i)
				net, worth := math.Abs(volume(i)), math.Abs(amount(i))
				odd := worth > most+1 || net > 0.05*sum(bought, i) && (worth > 2*net*mean+1 || worth < net*mean/2-1)
				odd = odd || net > 0.05*sum(bought, i) && (volume(i) > 0) != (amount(i) > 0)
				return odd, known(most, mean, net, worth)
			}},
		}
	}
	return nil
}

// kept says how a day keeps one of its habits.
type kept struct {
	odd  []Symbol // whose rows break it
	rows int      // that have the values for it
}

// breaks counts the rows that break each habit.
func (d *Day) breaks() []kept {
	habits := d.habits()
	out := make([]kept, len(habits))
	for n, h := range habits {
		for i, s := range d.Symbols {
			if odd, told := h.odd(i); told {
				if out[n].rows++; odd {
					out[n].odd = append(out[n].odd, s)
				}
			}
		}
	}
	return out
}

// Unhabitual returns those rows of a batch, of any symbols and dates, that break a relation between
// their fields that most rows of the same symbol keep, each with the name of the relation.
func Unhabitual(ds *catalog.Dataset, b *table.Batch) map[int]string {
	out := map[int]string{}
	d := &Day{Dataset: ds.ID, columns: remembered[ds.ID]}
	for _, c := range d.columns {
		v := make([]float32, b.Len)
		col := b.Column(c.name)
		for r := range v {
			if col == nil || col.Null[r] {
				v[r] = float32(math.NaN())
			} else {
				v[r] = float32(col.Numbers[r])
			}
		}
		d.values = append(d.values, v)
	}
	symbol := b.Column("ts_code").Texts
	for _, h := range d.habits() {
		rows, odd := map[string]int{}, map[string][]int{}
		for r, s := range symbol {
			if breaks, told := h.odd(r); told {
				if rows[s]++; breaks {
					odd[s] = append(odd[s], r)
				}
			}
		}
		for s, broken := range odd {
			if !Mostly(rows[s]-len(broken), rows[s]) {
				continue
			}
			for _, r := range broken {
				if out[r] == "" {
					out[r] = h.name
				}
			}
		}
	}
	return out
}

// brokenShare is the share of the rows of a day that must break a relation. Beijing alone
// has more rows than that.
const brokenShare = 0.05

// leastKept is the least number of rows of another day that must keep a relation.
const leastKept = 2

// Breaks checks whether too many rows of a day break a relation between their fields that
// the rows of another day, possibly those of a target list, keep without exception.
func Breaks(day, other *Day) (Finding, bool) {
	if len(day.Symbols) < leastRows || len(other.Symbols) < leastKept {
		return Finding{}, false
	}
	for n, k := range day.kept {
		if len(k.odd) <= fewRows || float64(len(k.odd)) <= brokenShare*float64(k.rows) {
			continue
		}
		before := other.kept[n]
		if few := min(1, before.rows/leastRows); before.rows >= leastKept && len(before.odd) <= max(few, before.rows/1000) {
			name := day.habits()[n].name
			return Finding{Reason: fault.ValuesConflict, Count: len(k.odd), Of: k.rows, Sample: names(k.odd),
				What: fmt.Sprintf("has a %s that contradicts the other fields in %s, as on %s it does not", name, fault.Of(len(k.odd), k.rows, "row", "rows"), other.Date),
				Meta: []string{"check", name, "other_date", other.Date.String()}}, true
		}
	}
	return Finding{}, false
}
