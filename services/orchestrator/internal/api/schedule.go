package api

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/worker"
)

type scheduleService struct {
	orchestratorv1.UnimplementedScheduleServiceServer
	*base
}

// GetSchedule implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) GetSchedule(ctx context.Context, _ *orchestratorv1.GetScheduleRequest) (*orchestratorv1.GetScheduleResponse, error) {
	v, err := s.Scheduler.Get(ctx)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.GetScheduleResponse{Schedule: scheduleOf(v)}, nil
}

// UpdateSchedule implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) UpdateSchedule(ctx context.Context, req *orchestratorv1.UpdateScheduleRequest) (*orchestratorv1.UpdateScheduleResponse, error) {
	var p problems
	pools := p.pools("pools", req.GetPools())
	catchUp := slot.CatchUp("")
	p.changes(req)
	if req.RunAt != nil {
		if _, err := slot.ParseClock(req.GetRunAt()); err != nil {
			p.add("run_at", "%v", err)
		}
	}
	if req.TimeZone != nil {
		if _, err := slot.ParseZone(req.GetTimeZone()); err != nil {
			p.add("time_zone", "%v", err)
		}
	}
	if req.CatchUp != nil {
		catchUp = slot.CatchUp(p.choice("catch_up", req.GetCatchUp(), "CATCH_UP_"))
		if req.GetCatchUp() == orchestratorv1.CatchUp_CATCH_UP_UNSPECIFIED {
			p.add("catch_up", "CATCH_UP_UNSPECIFIED is not allowed: allowed are CATCH_UP_LAST, CATCH_UP_ALL, CATCH_UP_NONE")
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if req.GetEtag() != "" {
		now, err := s.Scheduler.Get(ctx)
		if err != nil {
			return nil, err
		}
		if err := checkEtag("schedule", "", req.GetEtag(), scheduleEtag(now.Schedule)); err != nil {
			return nil, err
		}
	}
	update := s.Scheduler.Update
	if req.GetValidateOnly() {
		update = s.Scheduler.Check
	}
	v, err := update(ctx, func(sched *slot.Schedule) {
		set(&sched.Enabled, req.Enabled)
		set(&sched.RunAt, req.RunAt)
		set(&sched.TimeZone, req.TimeZone)
		set(&sched.RunOnStartup, req.RunOnStartup)
		set(&sched.TradingDaysOnly, req.TradingDaysOnly)
		if len(pools) > 0 {
			sched.Pools = pools
		}
		if catchUp != "" {
			sched.CatchUp = catchUp
		}
	})
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.UpdateScheduleResponse{Schedule: scheduleOf(v)}, nil
}

// PauseSchedule implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) PauseSchedule(ctx context.Context, req *orchestratorv1.PauseScheduleRequest) (*orchestratorv1.PauseScheduleResponse, error) {
	var p problems
	if p.note("note", req.GetNote()); p.err() != nil {
		return nil, p.err()
	}
	v, err := s.Scheduler.Pause(ctx, req.GetNote())
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.PauseScheduleResponse{Schedule: scheduleOf(v)}, nil
}

// ResumeSchedule implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) ResumeSchedule(ctx context.Context, req *orchestratorv1.ResumeScheduleRequest) (*orchestratorv1.ResumeScheduleResponse, error) {
	var p problems
	p.note("note", req.GetNote())
	catchUp := slot.CatchUp(p.choice("catch_up", req.GetCatchUp(), "CATCH_UP_"))
	if err := p.err(); err != nil {
		return nil, err
	}
	v, err := s.Scheduler.Resume(ctx, req.GetNote(), catchUp)
	if err != nil {
		return nil, err
	}
	return &orchestratorv1.ResumeScheduleResponse{Schedule: scheduleOf(v)}, nil
}

// ListSlots implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) ListSlots(ctx context.Context, req *orchestratorv1.ListSlotsRequest) (*orchestratorv1.ListSlotsResponse, error) {
	var p problems
	pool := p.pool("pool", req.GetPool())
	limit, before := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "slots", string(pool))
	if err := p.err(); err != nil {
		return nil, err
	}
	slots, err := s.Scheduler.ListSlots(ctx, pool, limit+1, before)
	if err != nil {
		return nil, err
	}
	slots, next := pageOf(slots, limit, "slots", string(pool), func(v slot.Slot) string { return v.ID })
	return &orchestratorv1.ListSlotsResponse{Slots: each(slots, slotOf), NextPageToken: next}, nil
}

// ExplainSlot implements orchestratorv1.ScheduleServiceServer.
func (s *scheduleService) ExplainSlot(ctx context.Context, req *orchestratorv1.ExplainSlotRequest) (*orchestratorv1.ExplainSlotResponse, error) {
	var p problems
	if p.id("slot_id", req.GetSlotId()); p.err() != nil {
		return nil, p.err()
	}
	e, err := s.Scheduler.ExplainSlot(ctx, req.GetSlotId())
	if err != nil {
		return nil, s.explainBefore(ctx, req.GetSlotId(), err)
	}
	out := slotOf(e.Slot)
	if transport.InChinese(ctx) {
		out.LocalizedLateNote = bilingual.Note(e.Slot.LateNote).Sentence().Zh
	}
	return &orchestratorv1.ExplainSlotResponse{
		Slot: out, Runs: runsOf(e.Runs), Explanation: bilingual.In(e.Sentences, false), LocalizedExplanation: chinese(ctx, e.Sentences), NextCommand: e.Next,
	}, nil
}

// explainBefore adds to the error about a day before the first slot whether that day is
// complete; the metadata then has "complete": "true" or "false". If the worker does not
// respond, the error is unchanged.
func (s *scheduleService) explainBefore(ctx context.Context, id string, err error) error {
	f, ok := fault.As(err)
	if !ok || f.Meta["before_schedule"] == "" {
		return err
	}
	text, name, _ := strings.Cut(id, ".")
	day, dateErr := market.ParseDate(text)
	cal, calErr := s.Ledger.Calendar(ctx)
	if dateErr != nil || calErr != nil {
		return err
	}
	told := *f
	told.Meta = maps.Clone(f.Meta)
	said := func(complete bool, what string) error {
		told.Meta["complete"] = strconv.FormatBool(complete)
		told.Message = "There is no slot " + id + ": its day is before the first day of this schedule. " + what
		return &told
	}
	if !cal.IsOpen(day) {
		return said(true, "The exchange was closed, so nothing is missing.")
	}
	held, err := s.coverage(ctx, worker.CoverageQuery{Pool: market.Pool(name), Start: day, End: day})
	if err != nil {
		s.Logger.Debug("a day before the schedule is explained without its coverage", "error", err)
		return f
	}
	var lacks []string
	for _, c := range held {
		if c.Date == day && !c.Settled() && !slices.Contains(lacks, c.Dataset) {
			lacks = append(lacks, c.Dataset)
		}
	}
	switch dated := slices.ContainsFunc(held, func(c worker.Coverage) bool { return c.Date == day }); {
	case !dated:
		return f
	case len(lacks) == 0:
		return said(true, "All data of that day is complete.")
	}
	told.Meta["complete"] = "false"
	told.Message += " It lacks " + strings.Join(lacks, ", ") + "."
	return &told
}

// scheduleEtag changes with the fields that UpdateSchedule sets.
func scheduleEtag(v slot.Schedule) string {
	v.Paused, v.Note, v.NotedAt = false, "", time.Time{}
	return etagOf(v)
}

// set copies a field that is given.
func set[T any](field *T, given *T) {
	if given != nil {
		*field = *given
	}
}
