package api

import (
	"context"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// zone is the schedule's, or Shanghai where it cannot be read.
func (b *base) zone(ctx context.Context) *time.Location {
	if s, err := b.Ledger.Schedule(ctx); err == nil {
		if zone, err := time.LoadLocation(s.TimeZone); err == nil && s.TimeZone != "" {
			return zone
		}
	}
	return market.Shanghai
}

// story gathers what the explanation of a run is made from.
func (b *base) story(ctx context.Context, r run.Run) (s run.Story, err error) {
	s = run.Story{Run: r, Zone: b.zone(ctx)}
	if r.SlotID != "" {
		v, err := b.Ledger.Slot(ctx, r.SlotID)
		switch {
		case err == nil:
			s.Slot = &v
		case !fault.Is(err, fault.NotFound):
			return s, err
		}
	}
	if s.Events, err = b.Ledger.Milestones(ctx, r.ID); err != nil {
		return s, err
	}
	if s.Partitions, err = b.Ledger.Partitions(ctx, r.ID, 0, 0); err != nil {
		return s, err
	}
	if s.FollowUps, err = b.Ledger.FollowUps(ctx, r.ID); err != nil {
		return s, err
	}
	if r.State == run.Queued {
		s.Ahead, err = b.ahead(ctx, r)
	}
	return s, err
}

// ahead are the runs that start before a queued one.
func (b *base) ahead(ctx context.Context, r run.Run) ([]run.Run, error) {
	st, err := b.Dispatcher.PoolStatus(ctx, r.Pool)
	if err != nil {
		return nil, err
	}
	var ahead []run.Run
	if st.Current != nil {
		ahead = append(ahead, *st.Current)
	}
	for _, q := range st.Queued {
		if q.ID == r.ID {
			break
		}
		ahead = append(ahead, q)
	}
	return ahead, nil
}
