package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// PublishInterval is the pause between two attempts at data that the provider has
// not published or completed.
const PublishInterval = 15 * time.Minute

// morning is when that data is asked for once more after the deadline.
const morning = slot.Clock(7*60 + 30)

// pauses before the attempts after transient failures; the last one repeats.
var pauses = []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// Next is the follow-up that a finished run calls for.
type Next struct {
	// At is when it may start.
	At time.Time
	// Attempt is Run.Attempt of the follow-up.
	Attempt int
	// Reason that calls for it, and Note that says so.
	Reason fault.Reason
	// Note is a sentence for the follow-up.
	Note string
}

// FollowUp decides whether and when a finished run is followed by another. The
// class of each reason decides: what a person must change is never tried again;
// a transient failure is, up to settings.MaxFollowUps times in a row after growing
// pauses; a spent quota when it opens; an interruption at once; and data of the
// newest date that is not published every 15 minutes until the deadline, which is
// a time of day in zone, then once at 07:30. Gaps in older dates wait for the next
// evening, which plans them anyway.
func FollowUp(r Run, partitions []Partition, s settings.Settings, zone *time.Location, now time.Time) (Next, bool) {
	switch r.Outcome {
	case Partial, Blocked, Failed:
	default:
		return Next{}, false
	}
	issue, class := r.calls(partitions)
	if has(r.Issues, fault.Cancelled) || r.Outcome == Blocked && class[fault.Permanent] {
		return Next{}, false
	}
	var best Next
	offer := func(n Next) {
		if best.At.IsZero() || n.At.Before(best.At) {
			best = n
		}
	}
	if i, ok := issue[fault.Interrupted]; ok {
		offer(Next{At: now, Attempt: r.Attempt, Reason: i.Reason, Note: "The run before was interrupted."})
	} else if class[fault.Transient] && r.Attempt < s.MaxFollowUps {
		i := worstOf(issue, fault.Transient)
		at := now.Add(pauses[min(r.Attempt, len(pauses)-1)])
		offer(Next{At: latest(at, i.RetryAt, r.RetryAt), Attempt: r.Attempt + 1, Reason: i.Reason,
			Note: "The run before ended for a passing reason: " + i.Message})
	}
	if class[fault.Quota] {
		i := worstOf(issue, fault.Quota)
		at := latest(i.RetryAt, r.RetryAt)
		if !at.After(now) {
			at = now.Add(time.Hour)
		}
		offer(Next{At: at, Reason: i.Reason, Note: "The provider's quota was spent."})
	}
	if at, date, ok := publishAt(r, partitions, s, zone, now); ok {
		offer(Next{At: at, Reason: fault.NotPublished, Note: "Data of " + date.String() + " was not published or not complete."})
	}
	return best, !best.At.IsZero()
}

// Follow builds the run of a follow-up. Its ID is for the ledger to give.
func (n Next) Follow(r Run, now time.Time) Run {
	if n.Reason == fault.NotPublished {
		r.Request.Refetch = false // what came is not fetched again with what is still to come
	}
	return Run{
		Pool: r.Pool, Mode: r.Mode, Source: SourceAuto, SlotID: r.SlotID, Follows: r.ID, Attempt: n.Attempt,
		Request: r.Request, State: Queued, AsOf: market.NoDate, CreatedAt: now, NotBefore: n.At, Note: n.Note,
	}
}

// calls gathers what a run and its partitions call for: the last issue by reason,
// and the classes among them.
func (r Run) calls(partitions []Partition) (map[fault.Reason]fault.Issue, map[fault.Class]bool) {
	issues, found := map[fault.Reason]fault.Issue{}, map[fault.Class]bool{}
	add := func(i fault.Issue) {
		d, ok := fault.Describe(i.Reason)
		if !ok || i.Severity <= fault.Warning && i.Reason != fault.Interrupted {
			return
		}
		if before, seen := issues[i.Reason]; !seen || i.RetryAt.After(before.RetryAt) {
			issues[i.Reason] = i
		}
		found[d.Class] = true
	}
	for _, i := range r.Issues {
		add(i)
	}
	for i := range partitions {
		p := &partitions[i]
		if p.State != PartitionFailed && p.State != PartitionWaiting {
			continue
		}
		for _, issue := range p.Issues {
			add(issue)
		}
		if classes(p)[fault.Later] {
			found[fault.Later] = true
		}
	}
	return issues, found
}

func worstOf(issues map[fault.Reason]fault.Issue, c fault.Class) (worst fault.Issue) {
	for _, i := range issues {
		d, _ := fault.Describe(i.Reason)
		if d.Class != c {
			continue
		}
		// By reason among equals, so that the same facts give the same sentence.
		if worst.Reason == "" || i.RetryAt.After(worst.RetryAt) || i.RetryAt.Equal(worst.RetryAt) && i.Reason < worst.Reason {
			worst = i
		}
	}
	return worst
}

// publishAt is when the newest date is asked for again, when data of it is still
// to come.
func publishAt(r Run, partitions []Partition, s settings.Settings, zone *time.Location, now time.Time) (time.Time, market.Date, bool) {
	newest := r.AsOf
	for i := range partitions {
		if p := &partitions[i]; !p.Reference && p.End > newest {
			newest = p.End
		}
	}
	waiting := false
	for i := range partitions {
		p := &partitions[i]
		waiting = waiting || !p.Reference && p.End == newest && classes(p)[fault.Later]
	}
	clock, err := slot.ParseClock(s.FollowUpDeadline)
	if !waiting || noDate(newest) || err != nil {
		return time.Time{}, newest, false
	}
	// The last dataset comes due at 19:00, so the first deadline after that is the
	// one of this date, whatever the zone.
	deadline := clock.NextAfter(newest.At(19, 0, market.Shanghai), zone)
	if at := now.Add(PublishInterval); !at.After(deadline) {
		return at, newest, true
	}
	again := morning.NextAfter(deadline, zone)
	return again, newest, again.After(now)
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
