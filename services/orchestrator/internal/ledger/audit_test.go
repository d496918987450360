package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
	"github.com/afterbell/afterbell/services/orchestrator/internal/targetset"
)

// Every write that a caller asks for leaves its entry in the same transaction, once,
// with the values before and after.
func TestChangesAreAudited(t *testing.T) {
	s := open(t)
	as := func(method string) context.Context {
		return auth.WithChange(t.Context(), &auth.Change{Entry: auth.Entry{
			Caller: auth.Caller{Name: "desk", KeyID: "k", Role: auth.Admin, Via: auth.ViaREST, Address: "10.0.0.9"}, Method: method, Request: `{"a":1}`,
		}})
	}
	v := settings.Default()
	v.RetentionDays = 30
	sched := slot.Default()
	sched.RunAt = "20:00"
	queued := []run.Run{{Pool: market.Universe, Mode: run.Manual, Source: run.SourceManual, Request: run.Request{Start: market.NoDate, End: market.NoDate}}}
	key, _, err := auth.NewKey("viewer", auth.Viewer, 0, "desk", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method        string
		do            func(ctx context.Context) error
		before, after string
	}{
		{"S.Settings", func(ctx context.Context) error { return s.SaveSettings(ctx, v) }, `"retentionDays":0`, "30"},
		{"S.Schedule", func(ctx context.Context) error { return s.SaveSchedule(ctx, sched) }, "19:30", "20:00"},
		{"S.Domain", func(ctx context.Context) error {
			return s.SaveDomain(ctx, readiness.DomainSetting{Domain: "etf", Provider: "tushare"})
		}, `"enabled":true`, `"enabled":false`},
		{"S.Module", func(ctx context.Context) error { return s.SaveModule(ctx, "stock.moneyflow", true) }, "", `{"stock.moneyflow":true}`},
		{"S.Module", func(ctx context.Context) error { return s.SaveModule(ctx, "stock.moneyflow", false) }, `{"stock.moneyflow":true}`, `{"stock.moneyflow":false}`},
		{"S.Targets", func(ctx context.Context) error {
			_, err := s.SaveTargetSet(ctx, targetset.Explicit("600519.SH"))
			return err
		}, "", "600519.SH"},
		{"S.Targets", func(ctx context.Context) error {
			_, err := s.SaveTargetSet(ctx, targetset.Explicit("510300.SH"))
			return err
		}, "600519.SH", "510300.SH"},
		{"S.Hold", func(ctx context.Context) error {
			return s.SetPauseState(ctx, market.Universe, PauseState{Paused: true, Note: "why", At: time.Now()})
		}, "false", "why"},
		{"S.Create", func(ctx context.Context) error { return s.Enqueue(ctx, queued, nil) }, "", "universe"},
		{"S.Cancel", func(ctx context.Context) error {
			_, err := s.CancelQueued(ctx, queued[0].ID, "no", time.Now())
			return err
		}, "", ""},
		{"S.Stop", func(ctx context.Context) error {
			r := run.Run{ID: NewID(), Pool: market.Universe, Mode: run.Manual, Source: run.SourceManual, State: run.Checking, CreatedAt: time.Now(), StartedAt: time.Now()}
			_, err := s.Save(ctx, run.Update{Run: r})
			return err
		}, "", string(run.Checking)},
		{"S.Delete", func(ctx context.Context) error { return s.DeleteRun(ctx, queued[0].ID) }, "universe", ""},
		{"S.Key", func(ctx context.Context) error { return s.AddKey(ctx, key) }, "", key.ID},
		{"S.Revoke", func(ctx context.Context) error {
			_, err := s.RevokeKey(ctx, key.ID, time.Now())
			return err
		}, key.ID, "RevokedAt"},
	} {
		ctx := as(c.method)
		if err := c.do(ctx); err != nil {
			t.Fatalf("%s: %v", c.method, err)
		}
		if auth.ChangeOf(ctx) != nil {
			t.Errorf("%s left its entry to others", c.method)
		}
		entries, _, err := s.Entries(t.Context(), auth.EntryFilter{Limit: 1})
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: %v, %v", c.method, entries, err)
		}
		if e := entries[0]; e.Method != c.method || e.Caller.Name != "desk" || e.Caller.Address != "10.0.0.9" || e.Request != `{"a":1}` ||
			!strings.Contains(e.Before, c.before) || !strings.Contains(e.After, c.after) || (c.before == "") != (e.Before == "" || e.Before == "null") {
			t.Errorf("%s: %+v", c.method, e)
		}
	}
	same := as("S.Settings") // what is as it was before is no change
	if err := s.SaveSettings(same, v); err != nil || auth.ChangeOf(same) != nil {
		t.Errorf("saving the same again: %v", err)
	}
	if entries, _, _ := s.Entries(t.Context(), auth.EntryFilter{Actor: "desk", Method: "S", Limit: 100}); len(entries) != 14 {
		t.Errorf("%d entries", len(entries))
	}
	if entries, _, _ := s.Entries(t.Context(), auth.EntryFilter{Method: "S.Targets", Before: 7, Limit: 100}); len(entries) != 1 {
		t.Errorf("%d entries of one method before the seventh", len(entries))
	}
	if entries, _, _ := s.Entries(t.Context(), auth.EntryFilter{Actor: "other", Limit: 100}); len(entries) != 0 {
		t.Errorf("%d entries without a caller", len(entries))
	}
}

// Pages are limited by number and by size, and no entry is lost between them.
func TestPagesOfTheAuditTrail(t *testing.T) {
	s := open(t)
	const n = 60
	for i := range n {
		e := auth.Entry{Method: "S.A", Request: strings.Repeat("r", auth.MaxAudit), Before: strings.Repeat("b", i)}
		if err := s.AddEntry(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{7, 1000} {
		seen, pages, f := 0, 0, auth.EntryFilter{Limit: limit}
		for {
			entries, more, err := s.Entries(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for _, e := range entries {
				if size += len(e.Request); len(e.Before) != n-1-seen {
					t.Fatalf("entry %d after %d", len(e.Before), seen)
				}
				seen++
			}
			if pages++; len(entries) > limit || size > auth.MaxAnswer+auth.MaxAudit {
				t.Errorf("a page has %d entries, %d bytes", len(entries), size)
			}
			if !more {
				break
			}
			f.Before = entries[len(entries)-1].ID
		}
		if seen != n || pages < 2 {
			t.Errorf("%d entries on %d pages", seen, pages)
		}
	}
}

// A failed change has no entry, and entries cannot be changed or deleted.
func TestAuditTrailIsKept(t *testing.T) {
	s := open(t)
	ctx := auth.WithChange(t.Context(), &auth.Change{Entry: auth.Entry{Method: "S.Revoke"}})
	if _, err := s.RevokeKey(ctx, "nothing", time.Now()); err == nil {
		t.Error("a key that there is not was revoked")
	}
	if auth.ChangeOf(ctx) == nil {
		t.Error("a change that failed counts as stored")
	}
	if err := s.AddEntry(t.Context(), auth.Entry{Method: "S.A"}); err != nil {
		t.Fatal(err)
	}
	if entries, _, err := s.Entries(t.Context(), auth.EntryFilter{Limit: 9}); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	for _, statement := range []string{"DELETE FROM audit", "UPDATE audit SET actor = 'x'"} {
		if err := s.exec(t.Context(), "change the trail", statement); err == nil {
			t.Errorf("%s went through", statement)
		}
	}
	if n, err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || n != 0 {
		t.Errorf("%d, %v", n, err)
	}
	if entries, _, _ := s.Entries(t.Context(), auth.EntryFilter{Limit: 9}); len(entries) != 1 {
		t.Error("pruning deleted the audit trail")
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.AddEntry(cancelled, auth.Entry{}); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled write: %v", err)
	}
}
