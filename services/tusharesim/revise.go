package tusharesim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
)

// Revision asks for changes to one dataset on one date, as vendors make them.
// Changed and dropped rows are the new truth; withheld rows are only not shown
// yet.
type Revision struct {
	// API and TradeDate (YYYYMMDD) say where.
	API       string `json:"api"`
	TradeDate string `json:"trade_date"`
	// Change, Drop and Withhold are numbers of rows, chosen by the seed among
	// those not touched before.
	Change   int `json:"change,omitempty"`
	Drop     int `json:"drop,omitempty"`
	Withhold int `json:"withhold,omitempty"`
	// Codes, if set, are the ts_codes to choose among, in this order.
	Codes []string `json:"codes,omitempty"`
}

// Revised tells what a Revision did, as ts_codes.
type Revised struct {
	Changed  []string `json:"changed"`
	Dropped  []string `json:"dropped"`
	Withheld []string `json:"withheld"`
}

// revision is what is different about one dataset and date. It is replaced, not
// changed, so that readers need no lock.
type revision struct {
	changed  map[string]int
	dropped  map[string]bool
	withheld map[string]bool
}

func (r *revision) clone() *revision {
	out := &revision{changed: map[string]int{}, dropped: map[string]bool{}, withheld: map[string]bool{}}
	if r != nil {
		for k, v := range r.changed {
			out.changed[k] = v
		}
		for k := range r.dropped {
			out.dropped[k] = true
		}
		for k := range r.withheld {
			out.withheld[k] = true
		}
	}
	return out
}

// Revise changes, drops or withholds rows. A changed row has another vol (daily,
// fund_daily), volume_ratio (daily_basic) or net_mf_amount (moneyflow).
func (s *Sim) Revise(r Revision) (Revised, error) {
	var out Revised
	api, date, err := dated(r.API, r.TradeDate)
	if err != nil {
		return out, err
	}
	if r.Change < 0 || r.Drop < 0 || r.Withhold < 0 {
		return out, fmt.Errorf("revision of %s: numbers of rows cannot be negative", r.API)
	}
	refs, err := s.src.Select(nil, api, date, nil)
	if err != nil {
		return out, err
	}
	have := map[string]bool{}
	codes := make([]string, 0, len(refs))
	for _, ref := range refs {
		c := s.src.Code(api, ref)
		codes = append(codes, c)
		have[c] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := dayKey{api.ID, date}
	rev := s.revised[k].clone()
	if r.Codes != nil {
		for _, c := range r.Codes {
			if !have[c] {
				return out, fmt.Errorf("revision of %s: %s has no row on %s", r.API, c, r.TradeDate)
			}
		}
		codes = slices.Clone(r.Codes)
	} else {
		slices.Sort(codes)
		rand.New(rand.NewPCG(uint64(date), uint64(api.ID)+1)).Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
		codes = slices.DeleteFunc(codes, func(c string) bool { return rev.changed[c] > 0 || rev.dropped[c] || rev.withheld[c] })
	}
	if r.Change+r.Drop+r.Withhold > len(codes) {
		return out, fmt.Errorf("revision of %s on %s: %d rows asked for, %d left", r.API, r.TradeDate, r.Change+r.Drop+r.Withhold, len(codes))
	}
	out.Changed, codes = codes[:r.Change:r.Change], codes[r.Change:]
	out.Dropped, codes = codes[:r.Drop:r.Drop], codes[r.Drop:]
	out.Withheld = codes[:r.Withhold:r.Withhold]
	for _, c := range out.Changed {
		rev.changed[c]++
	}
	for _, c := range out.Dropped {
		rev.dropped[c] = true
	}
	for _, c := range out.Withheld {
		rev.withheld[c] = true
	}
	s.revised[k] = rev
	return out, nil
}

// ClearRevisions takes back all revisions, withheld rows included.
func (s *Sim) ClearRevisions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.revised)
}

// Withhold makes a dataset not published on a date, whatever the hour, until
// Release.
func (s *Sim) Withhold(api, tradeDate string) error {
	return s.WithholdUntil(api, tradeDate, time.Time{})
}

// WithholdUntil is Withhold that ends by itself when the simulator's clock reaches
// until; the zero time never comes.
func (s *Sim) WithholdUntil(api, tradeDate string, until time.Time) error {
	a, d, err := dated(api, tradeDate)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withheld[dayKey{a.ID, d}] = until
	return nil
}

// Release publishes what Withhold held back, and the rows a Revision withheld on
// that date.
func (s *Sim) Release(api, tradeDate string) error {
	a, d, err := dated(api, tradeDate)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := dayKey{a.ID, d}
	delete(s.withheld, k)
	if r := s.revised[k]; r != nil {
		r = r.clone()
		clear(r.withheld)
		s.revised[k] = r
	}
	return nil
}

// hide removes rows that a revision hides; the truth keeps withheld ones.
func (s *Sim) hide(api *spec.API, r *revision, refs []table.Ref, truth bool) []table.Ref {
	return slices.DeleteFunc(refs, func(ref table.Ref) bool {
		c := s.src.Code(api, ref)
		return r.dropped[c] || !truth && r.withheld[c]
	})
}

// revisedColumn is the column a changed row differs in, and by how much each
// time.
func revisedColumn(api spec.ID) (string, float64) {
	switch api {
	case spec.DailyBasic:
		return "volume_ratio", 0.01
	case spec.Moneyflow:
		return "net_mf_amount", 0.01
	}
	return "vol", 1
}

func revisedEdit(api spec.ID, times int) edit {
	column, step := revisedColumn(api)
	return func(names, cells []string) {
		if i := slices.Index(names, column); i >= 0 {
			cells[i] = shifted(cells[i], func(v float64) float64 { return v + step*float64(times) })
		}
	}
}
