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

// PublishInterval is the pause between two attempts at data of the newest day that
// the provider has not published or completed, until the deadline.
const PublishInterval = 15 * time.Minute

// beforeOpen is when data that is missing is asked for once more on every morning, open
// days included: it is held before the market opens.
const beforeOpen = slot.Clock(8*60 + 15)

// Times of day in Shanghai at which data that is missing is asked for after the
// deadline: often in the first two days, then more rarely.
var (
	firstDays = clocks(7*60+30, beforeOpen, 10*60, 12*60, 14*60, 16*60, 18*60, 20*60, 22*60)
	laterDays = clocks(beforeOpen, 12*60, 16*60, 20*60)
)

const (
	// oftenDays is for how many days after its own a day is asked for often.
	oftenDays = 2
	// chaseDays is how many open days back a gap is asked for between two evenings.
	// Older ones wait for the evening's run.
	chaseDays = 5
	// maxQuotaFollowUps bounds the follow-ups in a row that wait for a quota and get
	// nothing out of it.
	maxQuotaFollowUps = 3
)

func clocks(minutes ...slot.Clock) []slot.Clock { return minutes }

// pauses before the attempts after transient failures; the last one repeats.
var pauses = []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// quotaPauses are the shortest pauses before the attempts at a spent quota.
var quotaPauses = []time.Duration{0, 2 * time.Hour, 4 * time.Hour}

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

// Surroundings is what a follow-up depends on beside the run itself.
type Surroundings struct {
	// Settings in force.
	Settings settings.Settings
	// Zone of the schedule, in which the deadline is a time of day.
	Zone *time.Location
	// Calendar of the exchange.
	Calendar slot.Calendar
	// DueLater is when the next dataset of the run's pool is due that was not due
	// when it started, on the day of its own slot. Zero when none does.
	DueLater time.Time
	// Now is the moment.
	Now time.Time
}

// FollowUp decides whether and when a finished run is followed by another. The
// class of each reason decides: what a user must change is never tried again;
// a transient failure is, up to settings.MaxFollowUps times in a row after growing
// pauses; a spent quota when it opens, three times in a row at most; an interruption
// at once.
//
// Data of the newest day that is not published or not complete is asked for every 15
// minutes until the deadline. After it, and for gaps of the few days before, it is
// asked for at fixed times of day in Shanghai, on closed days as well, until the data
// of the next open day is due and the evening's run plans it. So is what a
// transient failure or a quota kept back when its attempts are used up.
//
// A run of a slot that came before a dataset was due is followed when it is due.
func FollowUp(r Run, partitions []Partition, s Surroundings) (Next, bool) {
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

// Follow builds the run of a follow-up. Its ID is for the ledger to give.
func (n Next) Follow(r Run, now time.Time) Run {
	if n.Reason == fault.NotPublished || n.Reason == fault.RunAtEarly {
		r.Request.Refetch = false // what came is not fetched again with what is still to come
	}
	return Run{
		Pool: r.Pool, Mode: r.Mode, Source: SourceAuto, SlotID: r.SlotID, Follows: r.ID, Attempt: n.Attempt,
		Request: r.Request, State: Queued, AsOf: market.NoDate, CreatedAt: now, NotBefore: n.At, Note: n.Note,
	}
}

// Superseded are the queued follow-ups that a follow-up makes needless: those that do
// no more and not earlier. serves is one that makes f needless itself, because it
// does all of it and not later.
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

// calls gathers what a run and its partitions call for: the last issue by reason,
// and the classes among them.
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
		// By reason among equals, so that the same facts give the same sentence.
		if worst.Reason == "" || i.RetryAt.After(worst.RetryAt) || i.RetryAt.Equal(worst.RetryAt) && i.Reason < worst.Reason {
			worst = i
		}
	}
	return worst
}

// progressed reports a partition of data that came, so that waiting for the quota
// does get on.
func progressed(partitions []Partition) bool {
	return slices.ContainsFunc(partitions, func(p Partition) bool { return !p.Reference && p.State == PartitionCompleted })
}

// lacks reports data that did not come, or that was not even planned.
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

// publish is when data is fetched again that is still to come. blockedLater says
// that the run has an issue of that class, which need not be of a partition; usedUp is
// the reason whose attempts are used up, or empty.
func (r Run) publish(partitions []Partition, s Surroundings, blockedLater bool, usedUp fault.Reason) (Next, bool) {
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
	n.At = askAt(newest, gap, waiting, s)
	return n, !n.At.IsZero()
}

// lastDue is market.LastDue as a time of day in Shanghai.
const lastDue = slot.Clock(market.LastDue / time.Minute)

// LastHour is when the last dataset of a trade date is due at the provider. Where the
// catalog is at hand, DueOn tells it of the modules that are enabled.
func LastHour(d market.Date) time.Time { return lastDue.On(d, market.Shanghai) }

// askAt is when data is fetched again: that of the newest day every 15 minutes until
// its deadline, then all at fixed times of day until the data of the next open day is
// due. Zero after that. gap is the newest day of which data is missing.
func askAt(newest, gap market.Date, waiting bool, s Surroundings) time.Time {
	clock, err := slot.ParseClock(s.Settings.FollowUpDeadline)
	if err != nil {
		return time.Time{}
	}
	// The first deadline after the last dataset is due is the one of this date, whatever
	// the zone.
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

// lastOpen is the newest open day whose evening has come.
func lastOpen(c slot.Calendar, now time.Time) market.Date {
	d := market.DateOf(now)
	if now.Before(LastHour(d)) {
		d--
	}
	return OpenBefore(c, d+1, 1)
}

// OpenBefore is the n-th open day before d.
func OpenBefore(c slot.Calendar, d market.Date, n int) market.Date {
	const lookDays = 60 // the longest close is some twelve days
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
