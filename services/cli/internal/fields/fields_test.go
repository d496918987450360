package fields_test

import (
	"strings"
	"testing"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/fields"
)

func TestSetAndGet(t *testing.T) {
	schedule, settings := &orchestratorv1.UpdateScheduleRequest{}, &orchestratorv1.UpdateSettingsRequest{}
	for _, c := range []struct{ name, text, want string }{
		{"enabled", "false", "false"}, {"run_at", "19:30", "19:30"}, {"pools", "targets,universe", "targets,universe"},
		{"catch_up", "LAST", "last"}, {"catch_up", "CATCH_UP_ALL", "all"},
	} {
		if err := fields.Set(schedule, c.name, c.text); err != nil || fields.Get(schedule, c.name) != c.want {
			t.Errorf("%s=%s reads %q, %v; want %q", c.name, c.text, fields.Get(schedule, c.name), err, c.want)
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"order_wait", "90s", "1m30s"}, {"order_wait", "2h", "2h"}, {"dispatch_width", "8", "8"}, {"preflight_policy", "always", "always"},
	} {
		if err := fields.Set(settings, c.name, c.text); err != nil || fields.Get(settings, c.name) != c.want {
			t.Errorf("%s=%s reads %q, %v; want %q", c.name, c.text, fields.Get(settings, c.name), err, c.want)
		}
	}
	for name, text := range map[string]string{
		"order_wait": "soon", "dispatch_width": "3.5", "preflight_policy": "often", "retention_days": "99999999999", "none": "1",
	} {
		if err := fields.Set(settings, name, text); err == nil {
			t.Errorf("%s=%s is accepted as %q", name, text, fields.Get(settings, name))
		}
	}
	if err := fields.Set(schedule, "pools", "targets,both"); err == nil || !strings.Contains(err.Error(), "targets, universe") {
		t.Errorf("a pool that is none: %v", err)
	}
}

func TestSame(t *testing.T) {
	settings, schedule := &orchestratorv1.UpdateSettingsRequest{}, &orchestratorv1.UpdateScheduleRequest{}
	if !fields.Same(settings, "order_wait", "10m", "600s") || fields.Same(settings, "order_wait", "10m", "11m") {
		t.Error("lengths of time are compared by their value")
	}
	if !fields.Same(schedule, "pools", "targets,universe", "universe,targets") {
		t.Error("the order of pools does not matter")
	}
	if channel := (&orchestratorv1.CreateChannelRequest{}); fields.Same(channel, "secret", "one,two", "two,one") {
		t.Error("a text with a comma is no list")
	}
}
