package ingest

import (
	"context"
	"fmt"
	"slices"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Absent is an instrument that was listed on a date and has no row.
type Absent struct {
	// Symbol and Name of the instrument; Name may be empty.
	Symbol, Name string
	// TradedBefore is whether it has a row on the previous trading day.
	TradedBefore bool
}

// Absent lists the instruments that were listed on a date and have no row of a dataset, by
// symbol: all in universe, those among symbols in targets. NOT_FOUND if nothing was
// committed for the date.
func (i *Ingester) Absent(ctx context.Context, p market.Pool, ds *catalog.Dataset, d market.Date, symbols []string) ([]Absent, error) {
	sink, err := i.sink(p)
	if err != nil {
		return nil, err
	}
	world, err := i.world(ctx, p)
	if err != nil {
		return nil, err
	}
	held := false
	err = sink.Coverage(ctx, []string{ds.ID}, d, d, func(coverage.Record) bool { held = true; return false })
	if err != nil {
		return nil, err
	}
	if !held {
		return nil, fault.New(fault.NotFound, fmt.Sprintf("No data of %s of %s has been committed yet.", ds.ID, d), "kind", "partition", "id", coverage.PartitionID(ds.ID, d, d, nil))
	}
	on := func(d market.Date) (map[string]bool, error) {
		b, err := sink.Rows(ctx, coverage.Key{Dataset: ds.ID, Date: d})
		if err != nil {
			return nil, err
		}
		out := make(map[string]bool, b.Len)
		for _, s := range b.Column("ts_code").Texts {
			out[s] = true
		}
		return out, nil
	}
	have, err := on(d)
	if err != nil {
		return nil, err
	}
	before, err := on(world.Calendar.Before(d))
	if err != nil {
		return nil, err
	}
	if p == market.Universe {
		symbols = world.Lists.ListedOn(ds.Kind, d)
	}
	var out []Absent
	for _, s := range slices.Sorted(slices.Values(symbols)) {
		if listed, known := world.Lists.Listed(s, d); have[s] || known && !listed || !ds.Covers(s) {
			continue
		}
		entry, _ := world.Lists.Find(s)
		out = append(out, Absent{Symbol: s, Name: entry.Name, TradedBefore: before[s]})
	}
	return out, nil
}
