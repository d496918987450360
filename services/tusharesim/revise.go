package tusharesim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
)

// Revision describes changes of a dataset on a date or a range of dates, as vendors make them.
// Rows returns the data after changes and drops, and also the rows that are withheld.
type Revision struct {
	// API and TradeDate (YYYYMMDD) are the dataset and the date.
	API       string `json:"api"`
	TradeDate string `json:"trade_date"`
	// Change, Drop and Withhold are numbers of rows. The seed decides which, among the rows that
	// no revision affects yet.
	Change   int `json:"change,omitempty"`
	Drop     int `json:"drop,omitempty"`
	Withhold int `json:"withhold,omitempty"`
	// Codes, if set, are the affected ts_codes, in this order.
	Codes []string `json:"codes,omitempty"`
	// EndDate (YYYYMMDD) revises each day from TradeDate to EndDate in the same way. Codes
	// without a row on a day are skipped on that day.
	EndDate string `json:"end_date,omitempty"`
	// Columns, if set, are multiplied by Factor in all rows of Codes, or in all rows. They cannot
	// be combined with Change, Drop or Withhold.
	Columns []string `json:"columns,omitempty"`
	Factor  float64  `json:"factor,omitempty"`
}

// Revised has the ts_codes that a Revision affected.
type Revised struct {
	Changed  []string `json:"changed"`
	Dropped  []string `json:"dropped"`
	Withheld []string `json:"withheld"`
}

// revision has the changes of a dataset and date. It is immutable, so that readers need no
// lock.
type revision struct {
	changed  map[string]int
	dropped  map[string]bool
	withheld map[string]bool
	columns  []columnRule
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
		out.columns = slices.Clone(r.columns)
	}
	return out
}

// Revise changes, drops or withholds rows. A changed row has another vol (daily, fund_daily),
// volume_ratio (daily_basic) or net_mf_amount (moneyflow); with Columns, these are multiplied
// by Factor. After an error nothing is changed.
func (s *Sim) Revise(r Revision) (Revised, error) {
	var out Revised
	api, from, err := dated(r.API, r.TradeDate)
	if err != nil {
		return out, err
	}
	to := from
	if r.EndDate != "" {
		if _, to, err = dated(r.API, r.EndDate); err != nil {
			return out, err
		}
	}
	switch {
	case r.Change < 0 || r.Drop < 0 || r.Withhold < 0:
		return out, fmt.Errorf("revision of %s: numbers of rows cannot be negative", r.API)
	case len(r.Columns) > 0 && r.Change+r.Drop+r.Withhold > 0:
		return out, fmt.Errorf("revision of %s: columns are revised in all rows of codes; change, drop and withhold do not go with them", r.API)
	case len(r.Columns) > 0:
		if err := (columnRule{columns: r.Columns, factor: r.Factor}).check(api); err != nil {
			return out, err
		}
	}
	s.mu.Lock()
	keys := s.rekeyed
	s.mu.Unlock()
	days, err := s.src.Days(api, from, to)
	if err != nil {
		return out, err
	}
	held := make([][]string, len(days))
	for i, day := range days {
		refs, err := s.src.Select(nil, api, day, nil)
		if err != nil {
			return out, err
		}
		for _, ref := range refs {
			held[i] = append(held[i], s.src.Code(api, ref))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[dayKey]*revision{}
	for i, day := range days {
		k := dayKey{api.ID, day}
		rev := s.revised[k].clone()
		did, err := rev.revise(r, k, held[i], keys, to > from)
		if err != nil {
			return Revised{}, err
		}
		out.add(did)
		next[k] = rev
	}
	if r.Change+r.Drop+r.Withhold > len(out.Changed)+len(out.Dropped)+len(out.Withheld) || len(r.Columns) > 0 && len(out.Changed) == 0 {
		return Revised{}, fmt.Errorf("revision of %s on %s: there is no such row", r.API, r.TradeDate)
	}
	for _, list := range []*[]string{&out.Changed, &out.Dropped, &out.Withheld} {
		for i, c := range *list {
			(*list)[i] = keys.code(c)
		}
	}
	maps.Copy(s.revised, next)
	return out, nil
}

// revise adds a Revision to the changes of a day. lax skips codes without a row, because they
// may be suspended on some days of a range.
func (r *revision) revise(ask Revision, k dayKey, held []string, keys *rekeying, lax bool) (Revised, error) {
	codes := slices.Clone(held)
	if ask.Codes != nil {
		have := map[string]bool{}
		for _, c := range held {
			have[c] = true
		}
		codes = nil
		for _, c := range ask.Codes {
			source, ok := keys.find(c)
			switch {
			case ok && have[source]:
				codes = append(codes, source)
			case !lax:
				return Revised{}, fmt.Errorf("revision of %s: %s has no row on %d", ask.API, c, k.date)
			}
		}
	} else if len(ask.Columns) == 0 {
		slices.Sort(codes)
		rand.New(rand.NewPCG(uint64(k.date), uint64(k.api)+1)).Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
		codes = slices.DeleteFunc(codes, func(c string) bool { return r.changed[c] > 0 || r.dropped[c] || r.withheld[c] })
	}
	if len(ask.Columns) > 0 {
		rule := columnRule{columns: slices.Clone(ask.Columns), factor: ask.Factor}
		if ask.Codes != nil {
			rule.codes = map[string]bool{}
			for _, c := range codes {
				rule.codes[c] = true
			}
		}
		r.columns = append(r.columns, rule)
		return Revised{Changed: codes}, nil
	}
	change, drop, withhold := ask.Change, ask.Drop, ask.Withhold
	if change+drop+withhold > len(codes) {
		if !lax {
			return Revised{}, fmt.Errorf("revision of %s on %d: %d rows asked for, %d left", ask.API, k.date, change+drop+withhold, len(codes))
		}
		change = min(change, len(codes))
		drop = min(drop, len(codes)-change)
		withhold = min(withhold, len(codes)-change-drop)
	}
	did := Revised{Changed: codes[:change:change], Dropped: codes[change : change+drop : change+drop], Withheld: codes[change+drop:][:withhold:withhold]}
	for _, c := range did.Changed {
		r.changed[c]++
	}
	for _, c := range did.Dropped {
		r.dropped[c] = true
	}
	for _, c := range did.Withheld {
		r.withheld[c] = true
	}
	return did, nil
}

// add adds the codes of another day, without repetitions.
func (r *Revised) add(o Revised) {
	join := func(a *[]string, b []string) {
		if len(*a) == 0 {
			*a = slices.Clone(b)
			return
		}
		seen := make(map[string]bool, len(*a))
		for _, c := range *a {
			seen[c] = true
		}
		for _, c := range b {
			if !seen[c] {
				*a = append(*a, c)
			}
		}
	}
	join(&r.Changed, o.Changed)
	join(&r.Dropped, o.Dropped)
	join(&r.Withheld, o.Withheld)
}

// ClearRevisions undoes all revisions, including withheld rows.
func (s *Sim) ClearRevisions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.revised)
}

// Withhold makes a dataset of a date unpublished until Release, whatever the hour.
func (s *Sim) Withhold(api, tradeDate string) error {
	return s.WithholdUntil(api, tradeDate, time.Time{})
}

// WithholdUntil is Withhold until the simulator's clock reaches a time; the zero time means
// until Release.
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

// Release publishes what Withhold withheld, and the rows that a Revision withheld on that date.
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

// hide removes the rows that a revision drops or withholds; Rows keeps withheld ones.
func (s *Sim) hide(api *spec.API, r *revision, refs []table.Ref, truth bool) []table.Ref {
	return slices.DeleteFunc(refs, func(ref table.Ref) bool {
		c := s.src.Code(api, ref)
		return r.dropped[c] || !truth && r.withheld[c]
	})
}

// revisedColumn returns the column in which a changed row differs, and by how much per change.
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

// columnRule is a revision of whole columns.
type columnRule struct {
	codes   map[string]bool // the source's; nil = all
	columns []string
	factor  float64
}

func (c columnRule) edit(names, cells []string) {
	for _, col := range c.columns {
		if i := slices.Index(names, col); i >= 0 {
			cells[i] = scaled(cells[i], c.factor)
		}
	}
}

func (c columnRule) check(api *spec.API) error {
	if c.factor == 0 {
		return fmt.Errorf("revision of %s: factor is missing", api.Name)
	}
	for _, name := range c.columns {
		if i, ok := api.Index(name); !ok || api.Columns[i].Kind == spec.Text {
			return fmt.Errorf("revision of %s: there is no column %q of numbers", api.Name, name)
		}
	}
	return nil
}
