package ingest

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// listLengths is how many symbols a call of each dataset is known to accept, for the life
// of the process.
type listLengths struct {
	mu   sync.Mutex
	most map[string]int
}

func (l *listLengths) of(ds *catalog.Dataset) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := max(1, ds.SymbolsPerCall)
	if n, ok := l.most[ds.ID]; ok {
		most = min(most, n)
	}
	return most
}

// learn lowers the length; it never increases again.
func (l *listLengths) learn(ds *catalog.Dataset, n int) {
	now := l.of(ds)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.most == nil {
		l.most = map[string]int{}
	}
	l.most[ds.ID] = max(1, min(now, n))
}

// spanAnswer is the collected response for symbols over a date range.
type spanAnswer struct {
	batch *table.Batch
	bad   []table.BadCell
	// shared are the symbols whose rows came in the response to a list. Such a response may be
	// truncated, so a row that it lacks is not known to be absent.
	shared map[string]bool
	// dates are the trade dates that were fetched whole because of symbols without any row,
	// with their results; rejects are those of their rows.
	dates   map[market.Date]coverage.Evidence
	rejects []rejected
}

// span fetches the symbols of a partition over its days, with as few calls as the provider
// accepts. A list that is refused is halved, down to single symbols. A symbol without any
// row in the response to a list is fetched again, until a response of its own or whole
// dates decide.
func (j *job) span(ctx context.Context, world coverage.PoolState) (spanAnswer, error) {
	p := j.work.Partition
	a := spanAnswer{shared: map[string]bool{}, dates: map[market.Date]coverage.Evidence{}}
	absent, came, err := j.lists(ctx, &a, p.Symbols)
	if err != nil {
		return a, err
	}
	days, _ := world.Calendar.Days(p.Start, p.End)
	absent = slices.DeleteFunc(absent, func(s string) bool {
		return !slices.ContainsFunc(days, func(d market.Date) bool {
			listed, known := world.Lists.Listed(s, d)
			return listed || !known
		})
	})
	for len(absent) > 1 {
		again, cameNow, err := j.lists(ctx, &a, absent)
		if err != nil {
			return a, err
		}
		if len(again) == len(absent) {
			break
		}
		j.i.lists.learn(j.ds, came) // the list was truncated
		absent, came = again, cameNow
	}
	if len(absent) > len(days) {
		return a, j.dates(ctx, &a, world, days, absent)
	}
	for _, s := range absent {
		if err := j.one(ctx, &a, []string{s}); err != nil {
			return a, err
		}
		delete(a.shared, s)
	}
	return a, nil
}

// lists fetches symbols in lists and returns those of lists that have no row, and how many
// symbols came in the shortest response that lacks some.
func (j *job) lists(ctx context.Context, a *spanAnswer, symbols []string) (absent []string, shortest int, err error) {
	shortest = len(symbols)
	queue := [][]string{symbols}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		if most := j.i.lists.of(j.ds); len(g) > most {
			queue = append(slices.Collect(slices.Chunk(g, most)), queue...)
			continue
		}
		before := 0
		if a.batch != nil {
			before = a.batch.Len
		}
		err := j.one(ctx, a, g)
		if len(g) > 1 && fault.Is(err, fault.ProviderUnavailable) {
			// A provider that is down refuses everything: a single symbol shows that.
			if j.one(ctx, a, g[:1]) != nil {
				return nil, 0, err
			}
			g, err = g[1:], fault.New(fault.ProviderRefused, "The list is too long.")
			if len(g) == 1 {
				queue = append([][]string{g}, queue...)
				continue
			}
		}
		if len(g) > 1 && fault.Is(err, fault.ProviderRefused) {
			j.i.lists.learn(j.ds, (len(g)+1)/2)
			queue = append([][]string{g}, queue...)
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if len(g) == 1 {
			continue
		}
		came := map[string]bool{}
		for _, s := range a.batch.Column("ts_code").Texts[before:] {
			came[s] = true
		}
		for _, s := range g {
			a.shared[s] = true
			if !came[s] {
				absent = append(absent, s)
			}
		}
		if n := len(came); n > 0 && n < len(g) {
			shortest = min(shortest, n)
		}
	}
	return absent, shortest, nil
}

// one makes one call for symbols over the date range and adds its response.
func (j *job) one(ctx context.Context, a *spanAnswer, symbols []string) error {
	p := j.work.Partition
	ans, err := j.ask(ctx, map[string]string{
		"ts_code": strings.Join(symbols, ","), "start_date": p.Start.Compact(), "end_date": p.End.Compact(),
	})
	if err != nil {
		return err
	}
	a.batch, a.bad = join(j.ds, a.batch, a.bad, ans, nil)
	return nil
}

// dates fetches whole trade dates for symbols without a row in any list's response, if that
// needs fewer calls than one per symbol.
func (j *job) dates(ctx context.Context, a *spanAnswer, world coverage.PoolState, days []market.Date, symbols []string) error {
	wanted := make(map[string]bool, len(symbols))
	for _, s := range symbols {
		wanted[s] = true
		delete(a.shared, s)
	}
	for _, d := range days {
		ans, err := j.ask(ctx, map[string]string{"trade_date": d.Compact()})
		if err != nil {
			return err
		}
		c := check(scope{ds: j.ds, start: d, end: d, symbols: wanted, pick: true, closed: closedDays(world.Calendar)}, ans.Batch, ans.Bad)
		a.dates[d] = dateEvidence(j.ds, d, c, world.Lists)
		a.batch, a.bad = join(j.ds, a.batch, a.bad, Answer{Batch: c.batch}, nil)
		a.rejects = append(a.rejects, c.rejects...)
	}
	return nil
}
