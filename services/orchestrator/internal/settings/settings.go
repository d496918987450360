// Package settings defines the settings of runs, their defaults and limits. It does no I/O
// and reads no clock.
package settings

import (
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// The limits that Validate checks.
const (
	// MaxOrderWait bounds OrderWait.
	MaxOrderWait = time.Hour
	// MaxDispatchWidth bounds DispatchWidth.
	MaxDispatchWidth = 64
	// MaxRetentionDays bounds RetentionDays.
	MaxRetentionDays = 3650
	// MaxFollowUps bounds the setting of that name.
	MaxFollowUps = 20
	// MaxRecheckDays bounds RecheckDays. The worker's API has the same bound,
	// maxRechecks.
	MaxRecheckDays = 100
)

// Settings are what a user may change about runs. Their JSON form is stored in the ledger.
type Settings struct {
	// Preflight says which modules a run probes.
	Preflight readiness.PreflightPolicy `json:"preflight"`
	// Readiness says how a failing module affects its pool.
	Readiness readiness.Policy `json:"readiness"`
	// OrderWait is how long a universe run waits for the targets run of its trigger.
	OrderWait time.Duration `json:"orderWait"`
	// DispatchWidth is how many partitions of one pool are at the worker at a time.
	DispatchWidth int `json:"dispatchWidth"`
	// RetentionDays is how long finished runs are kept; 0 keeps them forever.
	RetentionDays int `json:"retentionDays"`
	// FollowUpDeadline is "HH:MM" in the schedule's zone: until then data that is not
	// published is fetched every 15 minutes, later at fixed times of day.
	FollowUpDeadline string `json:"followUpDeadline"`
	// MaxFollowUps is the largest number of consecutive attempts after a transient failure.
	MaxFollowUps int `json:"maxFollowUps"`
	// RecheckDays is how many old days an evening's run of a pool fetches again; 0 means none.
	RecheckDays int `json:"recheckDays"`
	// LateAt is "HH:MM" in Shanghai: if the newest trading day of a pool is not complete by
	// then, a notice is sent. Empty sends none.
	LateAt string `json:"lateAt"`
}

// Default is used until a user changes the settings.
func Default() Settings {
	return Settings{
		Preflight: readiness.StaleOnly, Readiness: readiness.Strict,
		OrderWait: 10 * time.Minute, DispatchWidth: 24, RetentionDays: 0,
		LateAt:      "22:00",
		RecheckDays: 2, FollowUpDeadline: "23:30", MaxFollowUps: 10, // three hours: an outage at 19:30 need not cost the evening
	}
}

// Validate returns every invalid field by its name in the contract; none if all are valid.
func (s Settings) Validate() []fault.Violation {
	var wrong []fault.Violation
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Violation{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	switch s.Preflight {
	case readiness.StaleOnly, readiness.Always, readiness.ReadinessOnly:
	default:
		add("preflight_policy", "%.40q is not allowed: write stale_only, always or readiness_only", string(s.Preflight))
	}
	switch s.Readiness {
	case readiness.Strict, readiness.Lenient:
	default:
		add("readiness_policy", "%.40q is not allowed: write strict or degraded", string(s.Readiness))
	}
	if s.OrderWait < 0 || s.OrderWait > MaxOrderWait {
		add("order_wait", "%gs is outside 0s to %gs", s.OrderWait.Seconds(), MaxOrderWait.Seconds())
	}
	if s.DispatchWidth < 1 || s.DispatchWidth > MaxDispatchWidth {
		add("dispatch_width", "%d is outside 1 to %d", s.DispatchWidth, MaxDispatchWidth)
	}
	if s.RetentionDays < 0 || s.RetentionDays > MaxRetentionDays {
		add("retention_days", "%d is outside 0 to %d", s.RetentionDays, MaxRetentionDays)
	}
	if _, err := slot.ParseClock(s.FollowUpDeadline); err != nil {
		add("follow_up_deadline", "%v", err)
	}
	if s.MaxFollowUps < 0 || s.MaxFollowUps > MaxFollowUps {
		add("max_follow_ups", "%d is outside 0 to %d", s.MaxFollowUps, MaxFollowUps)
	}
	if s.RecheckDays < 0 || s.RecheckDays > MaxRecheckDays {
		add("recheck_days", "%d is outside 0 to %d", s.RecheckDays, MaxRecheckDays)
	}
	if s.LateAt != "" {
		if _, err := slot.ParseClock(s.LateAt); err != nil {
			add("late_at", "%v; leave it empty to get no notice", err)
		}
	}
	return wrong
}
