package api

import (
	"context"
	"time"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/rows"
)

type dataService struct {
	orchestratorv1.UnimplementedDataServiceServer
	*base
}

// ReadRows implements orchestratorv1.DataServiceServer.
func (s *dataService) ReadRows(req *orchestratorv1.ReadRowsRequest, stream orchestratorv1.DataService_ReadRowsServer) error {
	ctx, cancel := s.stoppable(stream.Context())
	defer cancel()
	in, err := s.Rows.Read(ctx, req.GetQuery(), ingestv1.RowFormat_ROW_FORMAT_ARROW, false)
	if err != nil {
		return err
	}
	err = transport.SendWithin(s.StallTime, func() error {
		return stream.Send(&orchestratorv1.ReadRowsResponse{Data: in.Head, Summary: in.Summary})
	})
	if err == nil {
		err = in.Each(func(m *transport.Bytes) error {
			return transport.SendWithin(s.StallTime, func() error { return stream.SendMsg(m) })
		})
	}
	if err != nil && s.stopping() {
		return fault.New(fault.Interrupted, "The orchestrator is shutting down; read the rows again after it has restarted.")
	}
	return err
}

// ListTables implements orchestratorv1.DataServiceServer.
func (s *dataService) ListTables(ctx context.Context, req *orchestratorv1.ListTablesRequest) (*orchestratorv1.ListTablesResponse, error) {
	resp, err := s.Rows.Tables(ctx, req.GetPool(), req.GetVersion())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ListTablesResponse{Version: resp.GetVersion(), Tables: resp.GetTables()}, nil
}

// GetCondition implements orchestratorv1.DataServiceServer.
func (s *dataService) GetCondition(ctx context.Context, req *orchestratorv1.GetConditionRequest) (*orchestratorv1.GetConditionResponse, error) {
	resp, err := s.Rows.Condition(ctx, &ingestv1.GetConditionRequest{
		Pool: req.GetPool(), Table: req.GetTable(), StartDate: req.GetStartDate(), EndDate: req.GetEndDate(), Version: req.GetVersion(),
		Symbols: req.GetSymbols(),
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetConditionResponse{Version: resp.GetVersion(), Conditions: resp.GetConditions()}, nil
}

// NextRun returns when a pool is fetched next, as far as is known: by an active run, a queued one, or
// the schedule. Zero if none is known.
func NextRun(d Dispatcher, s Scheduler) func(ctx context.Context, pool market.Pool) time.Time {
	return func(ctx context.Context, pool market.Pool) time.Time {
		var next time.Time
		earlier := func(t time.Time) {
			if !t.IsZero() && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
		if st, err := d.PoolStatus(ctx, pool); err == nil {
			if st.Current != nil {
				earlier(drill.Now())
			}
			for _, q := range st.Queued {
				due := q.NotBefore
				if due.IsZero() {
					due = drill.Now()
				}
				earlier(due)
			}
		}
		if v, fires, err := s.NextSlot(ctx, pool); err == nil && fires {
			earlier(v.DueAt)
		}
		return next
	}
}

// Blocked is why no run of a pool can fetch anything until a user acts, by the last probes.
// ok is false when a run can, or that is not known.
func Blocked(p Preflighter) func(ctx context.Context, pool market.Pool) (why fault.Issue, ok bool) {
	return func(ctx context.Context, pool market.Pool) (fault.Issue, bool) {
		f, err := p.Facts(ctx, nil)
		if err != nil || !known(f.Catalog) {
			return fault.Issue{}, false
		}
		return readiness.Judge(pool, f).BlockedBy()
	}
}

// Held is what a user has paused or disabled of a pool, as far as is known.
func Held(d Dispatcher, p Preflighter) func(ctx context.Context, pool market.Pool) rows.Held {
	return func(ctx context.Context, pool market.Pool) (held rows.Held) {
		if st, err := d.PoolStatus(ctx, pool); err == nil {
			held.Paused = st.Paused
		}
		f, err := p.Facts(ctx, nil)
		if err != nil || f.Catalog == nil {
			return held
		}
		held.Disabled = map[string]rows.Disabled{}
		for i := range f.Catalog.Modules {
			m := &f.Catalog.Modules[i]
			off := rows.Disabled{Kind: "module", ID: m.ID}
			if !f.Domain(m.Domain).Enabled {
				off = rows.Disabled{Kind: "domain", ID: m.Domain}
			} else if f.Enabled(m) {
				continue
			}
			for _, ds := range m.Datasets {
				held.Disabled[ds.ID] = off
			}
		}
		return held
	}
}
