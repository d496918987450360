package settings

import (
	"testing"
	"time"
)

func TestDefaultsHold(t *testing.T) {
	if wrong := Default().Validate(); len(wrong) != 0 {
		t.Fatalf("the defaults are refused: %v", wrong)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*Settings){
		"preflight_policy":   func(s *Settings) { s.Preflight = "never" },
		"readiness_policy":   func(s *Settings) { s.Readiness = "" },
		"order_wait":         func(s *Settings) { s.OrderWait = time.Hour + 1 },
		"dispatch_width":     func(s *Settings) { s.DispatchWidth = 0 },
		"retention_days":     func(s *Settings) { s.RetentionDays = -1 },
		"follow_up_deadline": func(s *Settings) { s.FollowUpDeadline = "24:00" },
		"recheck_days":       func(s *Settings) { s.RecheckDays = 101 },
		"max_follow_ups":     func(s *Settings) { s.MaxFollowUps = 21 },
	} {
		s := Default()
		change(&s)
		wrong := s.Validate()
		if len(wrong) != 1 || wrong[0].Field != field || wrong[0].Problem == "" {
			t.Errorf("%s: %v", field, wrong)
		}
	}
	long := Default()
	long.OrderWait = 2 * time.Hour
	if wrong := long.Validate(); len(wrong) != 1 || wrong[0].Problem != "7200s is outside 0s to 3600s" {
		t.Errorf("not in the unit of the field: %v", wrong)
	}
	var zero Settings
	if wrong := zero.Validate(); len(wrong) < 4 {
		t.Errorf("all fields that are wrong are named at once, got %v", wrong)
	}
}
