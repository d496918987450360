package preflight

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// publishedHour is the hour in Shanghai from which all datasets of a day should be
// published. Before it, a probe uses the previous day.
const publishedHour = 19

// LoadFacts loads the inputs of verdicts, including the policies that are set.
// Facts.Catalog is nil until the worker has sent one.
func LoadFacts(ctx context.Context, store FactStore, requested []string) (readiness.Facts, error) {
	f := readiness.Facts{Now: time.Now(), Requested: requested, Kinds: map[market.Kind]bool{}}
	cat, ok, err := store.Catalog(ctx)
	if err != nil {
		return f, err
	}
	if ok {
		f.Catalog = &cat
	}
	if f.Tokens, f.ProviderHost, err = store.Tokens(ctx); err != nil {
		return f, err
	}
	if f.Probes, err = store.Probes(ctx); err != nil {
		return f, err
	}
	if f.Probes == nil {
		f.Probes = map[string]readiness.Probe{}
	}
	if f.Domains, err = store.Domains(ctx); err != nil {
		return f, err
	}
	if f.Modules, err = store.Modules(ctx); err != nil {
		return f, err
	}
	symbols, err := store.Targets(ctx)
	if err != nil {
		return f, err
	}
	for _, s := range symbols {
		f.Kinds[market.KindOf(s)] = true
	}
	set, err := store.Settings(ctx)
	if err != nil {
		return f, err
	}
	f.Preflight, f.Readiness = set.Preflight, set.Readiness
	return f, nil
}

// lastTradeDate is the last known trading day whose data should be published.
func lastTradeDate(c slot.Calendar, now time.Time) market.Date {
	last := market.NoDate
	for _, d := range c.Open {
		if d.At(publishedHour, 0, market.Shanghai).After(now) {
			break
		}
		last = d
	}
	return last
}
