package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// PublishInterval is the pause between two attempts, until the deadline, to fetch data of
// the newest day that the provider has not published or completed.
const PublishInterval = 15 * time.Minute

// beforeOpen is a time before the market opens at which missing data is fetched again every
// day.
const beforeOpen = slot.Clock(8*60 + 15)

// Times of day in Shanghai at which missing data is fetched again after the deadline: often
// on the first two days, then less often.
var (
	firstDays = clocks(7*60+30, beforeOpen, 10*60, 12*60, 14*60, 16*60, 18*60, 20*60, 22*60)
	laterDays = clocks(beforeOpen, 12*60, 16*60, 20*60)
)

const (
	// oftenDays is the number of days after a trade date on which firstDays applies to it.
	oftenDays = 2
	// chaseDays is the number of trading days before the newest one whose gaps are fetched
	// between two evenings. Older gaps wait for the evening's run.
	chaseDays = 5
	// maxQuotaFollowUps is the largest number of consecutive follow-ups that wait for a quota
	// and fetch nothing.
	maxQuotaFollowUps = 3
)

func clocks(minutes ...slot.Clock) []slot.Clock { return minutes }

// pauses before the attempts after transient failures; the last one repeats.
var pauses = []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// quotaPauses are the shortest pauses before the attempts after a quota was used up.
var quotaPauses = []time.Duration{0, 2 * time.Hour, 4 * time.Hour}

// Next is the follow-up of a finished run.
type Next struct {
	// At is when it may start.
	At time.Time
	// Attempt is Run.Attempt of the follow-up.
	Attempt int
	// Reason for the follow-up.
	Reason fault.Reason
	// Note says why, in a sentence.
	Note string
}

// FollowUpFacts are the inputs of FollowUp other than the run.
type FollowUpFacts struct {
	// Settings as stored.
	Settings settings.Settings
	// Zone of the schedule. The deadline is a time of day in it.
	Zone *time.Location
	// Calendar of the exchange.
	Calendar slot.Calendar
	// DueLater is when the next dataset of the run's pool is due that was not due when the run
	// started, on the trading day of its slot. Zero when there is none.
	DueLater time.Time
	// Now is the current time.
	Now time.Time
}

// FollowUp decides whether and when a follow-up of a finished run starts. The classes of
// its reasons decide. Permanent: never, because a user must act. Transient: after growing
// pauses, at most settings.MaxFollowUps times in a row. Quota: when the quota is available
// again, at most three times in a row without progress. Interrupted: at once.
//
// Later: data of the newest day that is not published or not complete is fetched every 15
// minutes until the deadline. After it, this data and the gaps of the few days before are
// fetched at fixed times of day in Shanghai, on closed days, too, until the data of the
// next trading day is due and the evening's run plans them. The same times apply to data
// that is still missing when the transient or quota attempts are used up.
//
// If the slot of the run was before a dataset was due, a follow-up starts when it is due.
func FollowUp(r Run, partitions []Partition, s FollowUpFacts) (Next, bool) {
	now := s.Now
	var best Next
	offer := func(n Next) {
		if best.At.IsZero() || n.At.Before(best.At) {
			best = n
		}
	}
	switch r.Outcome {
	case Partial, Blocked, Failed, Succeeded, Unchanged:
		if s.DueLater.After(now) {
			offer(Next{At: s.DueLater, Reason: fault.RunAtEarly, Note: "The slot was before a dataset of the day was due."})
		}
	default:
		return Next{}, false
	}
	if r.Outcome == Succeeded || r.Outcome == Unchanged {
		return best, !best.At.IsZero()
	}
	issue, class := r.calls(partitions)
	if has(r.Issues, fault.Cancelled) || r.Outcome == Blocked && class[fault.Permanent] {
		return Next{}, false
	}
	usedUp := fault.Reason("")
	if i, ok := issue[fault.Interrupted]; ok {
		offer(Next{At: now, Attempt: r.Attempt, Reason: i.Reason, Note: "The previous run was interrupted."})
	} else if class[fault.Transient] {
		i := worstOf(issue, fault.Transient)
		switch {
		case r.Attempt < s.Settings.MaxFollowUps:
			at := now.Add(pauses[min(r.Attempt, len(pauses)-1)])
			offer(Next{At: latest(at, i.RetryAt, r.RetryAt), Attempt: r.Attempt + 1, Reason: i.Reason,
				Note: "The previous run ended with a temporary error: " + i.Message})
		case s.Settings.MaxFollowUps > 0:
			usedUp = i.Reason
		}
	}
	if class[fault.Quota] {
		i := worstOf(issue, fault.Quota)
		attempt := r.Attempt
		if progressed(partitions) {
			attempt = 0
		}
		if attempt < maxQuotaFollowUps {
			at := latest(i.RetryAt, r.RetryAt)
			if !at.After(now) {
				at = now.Add(time.Hour)
			}
			offer(Next{At: latest(at, now.Add(quotaPauses[attempt])), Attempt: attempt + 1, Reason: i.Reason, Note: "The provider's quota was used up."})
		} else {
			usedUp = i.Reason
		}
	}
	if n, ok := r.publish(partitions, s, class[fault.Later], usedUp); ok {
		offer(n)
	}
	return best, !best.At.IsZero()
}

// Follow builds the run of a follow-up. The ledger assigns its ID.
func (n Next) Follow(r Run, now time.Time) Run {
	if n.Reason == fault.NotPublished || n.Reason == fault.RunAtEarly {
		r.Request.Refetch = false // the follow-up fetches only what is still missing
	}
	return Run{
		Pool: r.Pool, Mode: r.Mode, Source: SourceAuto, SlotID: r.SlotID, Follows: r.ID, Attempt: n.Attempt,
		Request: r.Request, State: Queued, AsOf: market.NoDate, CreatedAt: now, NotBefore: n.At, Note: n.Note,
	}
}

// Superseded returns the queued follow-ups that f makes unnecessary: they do no more than f
// and start no earlier. serves is a queued follow-up that makes f unnecessary: it does all
// that f does and starts no later.
func Superseded(queued []Run, f Run) (needless []Run, serves *Run) {
	at := latest(f.NotBefore, f.CreatedAt)
	for i := range queued {
		q := &queued[i]
		if q.Source != SourceAuto || q.Pool != f.Pool {
			continue
		}
		ready := *q
		ready.NotBefore = time.Time{}
		switch {
		case !q.NotBefore.After(f.NotBefore) && Covers(ready, f.Request, at, at):
			if serves == nil {
				serves = q
			}
		case !q.NotBefore.Before(f.NotBefore):
			asked := f
			asked.State, asked.NotBefore = Queued, time.Time{}
			if Covers(asked, q.Request, at, at) {
				needless = append(needless, *q)
			}
		}
	}
	if serves != nil {
		return nil, serves
	}
	return needless, nil
}

// calls collects the last issue of each reason from a run and its partitions, and the
// classes of all reasons.
func (r Run) calls(partitions []Partition) (map[fault.Reason]fault.Issue, map[fault.Class]bool) {
	issues, found := map[fault.Reason]fault.Issue{}, map[fault.Class]bool{}
	add := func(i fault.Issue) {
		if i.Severity <= fault.Warning && i.Reason != fault.Interrupted {
			return
		}
		if before, seen := issues[i.Reason]; !seen || i.RetryAt.After(before.RetryAt) {
			issues[i.Reason] = i
		}
		found[i.Reason.Class()] = true
	}
	for _, i := range r.Issues {
		add(i)
	}
	for i := range partitions {
		p := &partitions[i]
		if p.State != PartitionFailed && p.State != PartitionWaiting || p.Recheck {
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
		if i.Reason.Class() != c {
			continue
		}
		// By reason among equals, so that equal inputs give the same sentence.
		if worst.Reason == "" || i.RetryAt.After(worst.RetryAt) || i.RetryAt.Equal(worst.RetryAt) && i.Reason < worst.Reason {
			worst = i
		}
	}
	return worst
}

// progressed reports whether some data partition was completed, so that waiting for the
// quota is worthwhile.
func progressed(partitions []Partition) bool {
	return slices.ContainsFunc(partitions, func(p Partition) bool { return !p.Reference && p.State == PartitionCompleted })
}

// lacks reports whether data is missing or was not even planned.
func (r Run) lacks(partitions []Partition) bool {
	data := 0
	for i := range partitions {
		if p := &partitions[i]; !p.Reference {
			if data++; p.State != PartitionCompleted {
				return true
			}
		}
	}
	return data == 0 && noDate(r.AsOf)
}

// publish returns the follow-up for data that the provider has yet to publish or complete.
// blockedLater is true if the run has an issue of the class Later, of a partition or not;
// usedUp is the reason whose attempts are used up, or empty.
func (r Run) publish(partitions []Partition, s FollowUpFacts, blockedLater bool, usedUp fault.Reason) (Next, bool) {
	newest := r.AsOf
	for i := range partitions {
		if p := &partitions[i]; !p.Reference && p.End > newest {
			newest = p.End
		}
	}
	held := r.Outcome == Blocked || len(r.Meta.BlockedModules) > 0
	if noDate(newest) {
		if !held && usedUp == "" || !noDate(r.Request.End) {
			return Next{}, false
		}
		newest = lastOpen(s.Calendar, s.Now)
	}
	waiting := held && blockedLater && slices.ContainsFunc(r.Issues, func(i fault.Issue) bool {
		return i.Severity > fault.Warning && (r.Outcome == Blocked || slices.Contains(r.Meta.BlockedModules, i.Module)) && i.Reason.Class() == fault.Later
	})
	gap, oldest := market.NoDate, OpenBefore(s.Calendar, newest, chaseDays)
	var late []string
	for i := range partitions {
		p := &partitions[i]
		if p.Reference || p.End < oldest || !classes(p)[fault.Later] {
			continue
		}
		waiting = waiting || p.End == newest
		if p.End > gap {
			gap, late = p.End, nil
		}
		if p.End == gap && !slices.Contains(late, p.Dataset) {
			late = append(late, p.Dataset)
		}
	}
	if gap == market.NoDate {
		gap = newest
	}
	n := Next{Reason: fault.NotPublished, Note: "Data of " + newest.String() + " was not published or not complete."}
	switch {
	case len(late) > 0:
		n.Note = fmt.Sprintf("%s of %s was not published or not complete.", strings.Join(late, ", "), gap)
	case waiting:
	case usedUp != "" && (held || r.lacks(partitions)):
		n.Reason, n.Attempt = usedUp, r.Attempt
		n.Note = fmt.Sprintf("Data of %s is missing, and the maximum number of attempts in a row is reached (%s).", newest, usedUp)
	default:
		return Next{}, false
	}
	n.At = refetchAt(newest, gap, waiting, s)
	return n, !n.At.IsZero()
}

// lastDue is market.LastDue as a time of day in Shanghai.
const lastDue = slot.Clock(market.LastDue / time.Minute)

// LastHour is when the last dataset of a trade date is due. DueOn is the same for the
// enabled modules, if the catalog is known.
func LastHour(d market.Date) time.Time { return lastDue.On(d, market.Shanghai) }

// refetchAt is when missing data is fetched again: data of the newest day every 15 minutes
// until its deadline, then all data at fixed times of day until the data of the next
// trading day is due. Zero after that. gap is the newest day with missing data.
func refetchAt(newest, gap market.Date, waiting bool, s FollowUpFacts) time.Time {
	clock, err := slot.ParseClock(s.Settings.FollowUpDeadline)
	if err != nil {
		return time.Time{}
	}
	// The deadline is the first one after the last dataset is due, in any zone.
	deadline := clock.NextAfter(LastHour(newest), slot.ZoneOr(s.Zone))
	if at := s.Now.Add(PublishInterval); waiting && !at.After(deadline) {
		return at
	}
	next := LastHour(s.Calendar.NextOpen(newest))
	after := latest(s.Now, deadline)
	for d := market.DateOf(after); ; d++ {
		times := laterDays
		if d <= gap+oftenDays {
			times = firstDays
		}
		for _, c := range times {
			if at := c.On(d, market.Shanghai); at.After(after) {
				if !at.Before(next) {
					return time.Time{} // the evening's run plans it
				}
				return at
			}
		}
	}
}

// lastOpen is the newest trading day whose data was due by now.
func lastOpen(c slot.Calendar, now time.Time) market.Date {
	d := market.DateOf(now)
	if now.Before(LastHour(d)) {
		d--
	}
	return OpenBefore(c, d+1, 1)
}

// OpenBefore is the n-th trading day before d.
func OpenBefore(c slot.Calendar, d market.Date, n int) market.Date {
	const lookDays = 60 // the longest close is about twelve days
	for last := d - lookDays; d > last; {
		if d--; c.IsOpen(d) {
			if n--; n == 0 {
				break
			}
		}
	}
	return d
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
