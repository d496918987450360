package ingest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Answers caches the day's responses of reference datasets, so that a probe, the targets
// pool and the universe pool make one call: a low tier may call stock_basic rarely. It has
// at most one response per call of the catalog and drops them at the end of the day in
// Shanghai. Its batches are never changed.
type Answers struct {
	mu     sync.Mutex
	day    market.Date
	held   map[string]heldAnswer
	asking map[string]chan struct{} // who is fetching a dataset
}

type heldAnswer struct {
	Answer
	at time.Time // when it came
}

// NewAnswers returns an empty cache.
func NewAnswers() *Answers {
	return &Answers{held: map[string]heldAnswer{}, asking: map[string]chan struct{}{}}
}

// Take waits for the turn to fetch a dataset, so that concurrent callers make one call.
// give ends the turn.
func (a *Answers) Take(ctx context.Context, ds *catalog.Dataset) (give func(), err error) {
	a.mu.Lock()
	turn, ok := a.asking[ds.ID]
	if !ok {
		turn = make(chan struct{}, 1)
		a.asking[ds.ID] = turn
	}
	a.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Put caches the response to a call of a snapshot. Responses to other queries are not
// cached, and neither are responses without rows that should have some.
func (a *Answers) Put(day market.Date, ds *catalog.Dataset, params map[string]string, ans Answer) {
	n := slices.IndexFunc(ds.Calls, func(c catalog.Call) bool { return maps.Equal(c.Params, params) })
	if n < 0 || ans.Batch == nil || ans.Batch.Len == 0 && !ds.Calls[n].MayBeEmpty {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(day)
	a.held[answerKey(ds, params)] = heldAnswer{ans, time.Now()}
}

// Get is the day's response to a call; ok is false if there is none.
func (a *Answers) Get(day market.Date, ds *catalog.Dataset, params map[string]string) (ans Answer, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn(day)
	held, ok := a.held[answerKey(ds, params)]
	return held.Answer, ok
}

// Since is the response to a call that came at a given time or later; ok is false if there
// is none.
func (a *Answers) Since(t time.Time, ds *catalog.Dataset, params map[string]string) (ans Answer, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	held, ok := a.held[answerKey(ds, params)]
	return held.Answer, ok && !held.at.Before(t)
}

// Drop removes every response of a dataset, because one of them was incomplete.
func (a *Answers) Drop(ds *catalog.Dataset) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range ds.Calls {
		delete(a.held, answerKey(ds, c.Params))
	}
}

func (a *Answers) turn(day market.Date) {
	if day != a.day {
		a.day = day
		clear(a.held)
	}
}

func answerKey(ds *catalog.Dataset, params map[string]string) string {
	var b strings.Builder
	b.WriteString(ds.ID)
	for _, k := range slices.Sorted(maps.Keys(params)) {
		b.WriteString("|" + k + "=" + params[k])
	}
	return b.String()
}
