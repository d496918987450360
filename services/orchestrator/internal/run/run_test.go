package run

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/catalog"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/settings"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

var (
	monday = market.NewDate(2026, 3, 2)
	half7  = monday.At(19, 30, market.Shanghai)
)

func at(minutes int) time.Time { return half7.Add(time.Duration(minutes) * time.Minute) }

var anyDates = Request{Start: market.NoDate, End: market.NoDate}

func TestEveryPairOfStates(t *testing.T) {
	moves := map[string]func(Run) (Run, Event, error){
		"take":   func(r Run) (Run, Event, error) { return Take(r, half7) },
		"begin":  func(r Run) (Run, Event, error) { return Begin(r, half7) },
		"pause":  func(r Run) (Run, Event, error) { return Pause(r, half7, "n") },
		"resume": func(r Run) (Run, Event, error) { return Resume(r, half7, "n") },
		"cancel": func(r Run) (Run, Event, error) { return AskCancel(r, half7, "n") },
	}
	for _, o := range Outcomes() {
		end := End{Outcome: o}
		if o == Blocked {
			end.Stage = StageReadiness
		}
		moves["finish "+string(o)] = func(r Run) (Run, Event, error) { return Finish(r, half7, end) }
	}
	allowed := map[string]State{
		"take queued": Checking, "begin checking": Running, "pause checking": Paused, "pause running": Paused, "resume paused": Checking,
		"cancel checking": Cancelling, "cancel running": Cancelling, "cancel paused": Cancelling,
		"finish cancelled queued": Finished, "finish cancelled cancelling": Finished, "finish failed cancelling": Finished,
		"finish blocked checking": Finished, "finish failed checking": Finished, "finish unchanged checking": Finished,
		"finish succeeded running": Finished, "finish partial running": Finished, "finish failed running": Finished, "finish unchanged running": Finished,
	}
	reached := map[[2]State]bool{}
	for name, move := range moves {
		for _, from := range States() {
			before := Run{ID: "r", Pool: market.Targets, State: from}
			after, e, err := move(before)
			to, ok := allowed[name+" "+string(from)]
			if !ok {
				f, is := fault.As(err)
				if !is || f.Reason != fault.WrongState || f.Meta["state"] != string(from) || f.Meta["allowed_states"] == "" ||
					strings.Contains(f.Meta["allowed_states"], string(from)) || after.State != from {
					t.Errorf("%s from %s: %v, now %s", name, from, err, after.State)
				}
				continue
			}
			reached[[2]State{from, to}] = true
			if err != nil || after.State != to || e.StateChanged == nil || e.StateChanged.From != from || e.StateChanged.To != to || !e.Time.Equal(half7) {
				t.Errorf("%s from %s: %+v %+v %v", name, from, after, e, err)
			}
			if (after.State == Finished) != (after.Outcome != "") || (after.State == Finished) != !after.FinishedAt.IsZero() {
				t.Errorf("%s from %s: outcome %q at %v in state %s", name, from, after.Outcome, after.FinishedAt, after.State)
			}
		}
	}
	for pair := range reached {
		if pair[0] == Finished || pair[1] == Queued {
			t.Errorf("%s to %s must not exist", pair[0], pair[1])
		}
	}
	picture, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[[2]State]bool{}
	for _, m := range regexp.MustCompile(`([A-Z]+) --> ([A-Z]+):`).FindAllStringSubmatch(string(picture), -1) {
		drawn[[2]State{State(strings.ToLower(m[1])), State(strings.ToLower(m[2]))}] = true
	}
	if !maps.Equal(drawn, reached) {
		t.Errorf("the picture in doc.go shows %v, the code allows %v", drawn, reached)
	}
}

func TestFinishNamesStageAndWhoCancelled(t *testing.T) {
	if _, _, err := Finish(Run{State: Checking}, half7, End{Outcome: Blocked}); !fault.Is(err, fault.Internal) {
		t.Errorf("blocked without a stage: %v", err)
	}
	if _, _, err := Finish(Run{State: Running}, half7, End{Outcome: Succeeded, Stage: StageToken}); !fault.Is(err, fault.Internal) {
		t.Errorf("succeeded with a stage: %v", err)
	}
	r, _, err := Finish(Run{State: Cancelling, Note: "anna: wrong dates"}, half7, End{Outcome: Cancelled})
	if err != nil || len(r.Issues) != 1 || r.Issues[0].Message != "A user cancelled the run: anna: wrong dates." {
		t.Errorf("%+v %v", r.Issues, err)
	}
}

func TestStatusOfEveryStateAndOutcome(t *testing.T) {
	for _, s := range States() {
		if s != Finished && s.Status("") != "running" {
			t.Errorf("%s: %s", s, s.Status(""))
		}
	}
	want := []string{"success", "partial", "failed", "failed", "canceled", "success"}
	for i, o := range Outcomes() {
		if got := Finished.Status(o); got != want[i] {
			t.Errorf("%s: %s, want %s", o, got, want[i])
		}
	}
}

func part(dataset string, d market.Date, s PartitionState, verdict market.Verdict, reasons ...fault.Reason) Partition {
	p := Partition{ID: dataset + ":" + d.String(), Dataset: dataset, Module: "m", Start: d, End: d, State: s, Verdict: verdict}
	for _, r := range reasons {
		p.Issues = append(p.Issues, fault.NewIssue(r, string(r)+" happened."))
	}
	return p
}

func TestOutcomeOf(t *testing.T) {
	done := part("daily", monday, PartitionCompleted, "complete")
	later := part("moneyflow", monday, PartitionFailed, "not_published", fault.NotPublished)
	down := part("daily", monday, PartitionFailed, "", fault.ProviderUnavailable)
	old, oldDown := done, down
	old.Recheck, oldDown.Recheck = true, true
	for name, c := range map[string]struct {
		parts   []Partition
		blocked []string
		want    Outcome
	}{
		"a failed re-check":             {[]Partition{done, oldDown, old}, nil, Succeeded},
		"a re-check beside failures":    {[]Partition{down, old}, nil, Failed},
		"a re-check beside a late one":  {[]Partition{later, old}, nil, Partial},
		"nothing but re-checks":         {[]Partition{old, oldDown}, nil, Succeeded},
		"nothing but failed re-checks":  {[]Partition{oldDown}, nil, Unchanged},
		"re-checks and blocked modules": {[]Partition{old}, []string{"m"}, Partial},
		"nothing to do":                 {nil, nil, Unchanged},
		"nothing but blocked modules":   {nil, []string{"m"}, Partial},
		"all done":                      {[]Partition{done, done}, nil, Succeeded},
		"done with blocked modules":     {[]Partition{done}, []string{"m"}, Partial},
		"some done":                     {[]Partition{done, down}, nil, Partial},
		"none done":                     {[]Partition{down, down}, nil, Failed},
		"only not published":            {[]Partition{later}, nil, Partial},
		"not published and down":        {[]Partition{later, down}, nil, Partial},
	} {
		if got := OutcomeOf(c.parts, c.blocked); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestIssuesOfGathersAlike(t *testing.T) {
	overcome := part("daily", monday, PartitionCompleted, "complete", fault.ProviderUnavailable, fault.UnknownSymbols)
	got := IssuesOf([]Partition{
		overcome, part("daily", monday, PartitionFailed, "", fault.ProviderUnavailable),
		part("daily", monday-1, PartitionFailed, "", fault.ProviderUnavailable), part("fund_daily", monday, PartitionFailed, "", fault.PermissionDenied),
	})
	if len(got) != 3 || got[0].Reason != fault.PermissionDenied || got[1].Message != "PROVIDER_UNAVAILABLE happened. 1 other partition of daily had the same result." ||
		got[2].Reason != fault.UnknownSymbols {
		t.Errorf("%+v", got)
	}
}

// One partition may have two issues of a reason: it is no other partition.
func TestIssuesOfCountsPartitions(t *testing.T) {
	twice := part("daily", monday, PartitionFailed, "", fault.SymbolsMissing, fault.SymbolsMissing)
	if got := IssuesOf([]Partition{twice}); len(got) != 1 || got[0].Message != "SYMBOLS_MISSING happened." {
		t.Errorf("%+v", got)
	}
	other := part("daily", monday-1, PartitionFailed, "", fault.SymbolsMissing)
	if got := IssuesOf([]Partition{twice, other}); len(got) != 1 || got[0].Message != "SYMBOLS_MISSING happened. 1 other partition of daily had the same result." {
		t.Errorf("%+v", got)
	}
}

// A failed re-check is a warning and needs no follow-up run.
func TestFailedRecheckIsAWarning(t *testing.T) {
	p := part("daily", monday-60, PartitionFailed, "incomplete", fault.ProviderUnavailable, fault.Incomplete)
	p.Recheck = true
	done := part("daily", monday, PartitionCompleted, "complete")
	issues := IssuesOf([]Partition{done, p})
	if len(issues) != 2 || issues[0].Severity != fault.Warning || issues[1].Severity != fault.Warning || p.Issues[0].Severity <= fault.Warning {
		t.Errorf("%+v", issues)
	}
	r := Run{Outcome: Partial, Partitions: 3, Completed: 1, Issues: issues}
	if _, classes := r.calls([]Partition{done, p}); len(classes) != 0 {
		t.Errorf("it calls for %v", classes)
	}
	r.Outcome = Succeeded
	if said := r.ended(); !strings.Contains(said.En, "2 re-checks of old dates failed and will be repeated on a later evening") {
		t.Errorf("it ended: %s", said)
	}
}

func TestCovers(t *testing.T) {
	due := monday.At(19, 0, market.Shanghai)
	req := func(start, end market.Date, modules ...string) Request {
		return Request{Start: start, End: end, Modules: modules}
	}
	none := market.NoDate
	refetch := anyDates
	refetch.Refetch = true
	for name, c := range map[string]struct {
		have Run
		want Request
		yes  bool
	}{
		"queued, the same":             {Run{State: Queued, Request: anyDates}, anyDates, true},
		"queued for later":             {Run{State: Queued, Request: anyDates, NotBefore: at(5)}, anyDates, false},
		"queued, its hour came":        {Run{State: Queued, Request: anyDates, NotBefore: at(-5)}, anyDates, true},
		"running since the data came":  {Run{State: Running, Request: anyDates, StartedAt: at(-1)}, anyDates, true},
		"running since before":         {Run{State: Running, Request: anyDates, StartedAt: at(-40)}, anyDates, false},
		"checking":                     {Run{State: Checking, Request: anyDates, StartedAt: half7}, anyDates, true},
		"paused":                       {Run{State: Paused, Request: anyDates, StartedAt: half7}, anyDates, true},
		"cancelling":                   {Run{State: Cancelling, Request: anyDates, StartedAt: half7}, anyDates, false},
		"finished":                     {Run{State: Finished, Request: anyDates, StartedAt: half7}, anyDates, false},
		"some modules only":            {Run{State: Queued, Request: req(none, none, "a")}, anyDates, false},
		"a module among all":           {Run{State: Queued, Request: anyDates}, req(none, none, "a"), true},
		"a module among some":          {Run{State: Queued, Request: req(none, none, "a", "b")}, req(none, none, "b"), true},
		"another module":               {Run{State: Queued, Request: req(none, none, "a")}, req(none, none, "b"), false},
		"refetch wanted":               {Run{State: Queued, Request: anyDates}, refetch, false},
		"refetch queued":               {Run{State: Queued, Request: refetch}, anyDates, true},
		"dates within":                 {Run{State: Queued, Request: req(monday-9, monday-1)}, req(monday-5, monday-2), true},
		"dates that reach further":     {Run{State: Queued, Request: req(monday-9, monday-1)}, req(monday-5, monday), false},
		"dates that begin earlier":     {Run{State: Queued, Request: req(monday-9, monday)}, req(monday-10, monday-2), false},
		"from the first gap":           {Run{State: Queued, Request: req(monday-9, monday)}, anyDates, false},
		"old dates, open run":          {Run{State: Queued, Request: anyDates}, req(monday-900, monday-800), false},
		"up to a day, open run":        {Run{State: Queued, Request: anyDates}, req(none, monday-1), true},
		"old day, run from before due": {Run{State: Running, Request: anyDates, StartedAt: at(-40)}, req(none, monday-1), true},
		"zero dates mean none":         {Run{State: Queued}, Request{}, true},
	} {
		if got := Covers(c.have, c.want, half7, due); got != c.yes {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestLastDue(t *testing.T) {
	if got := LastDue(catalog.Catalog{}, half7); !got.Equal(monday.At(19, 0, market.Shanghai)) {
		t.Errorf("evening: %v", got)
	}
	if got := LastDue(catalog.Catalog{}, monday.At(9, 0, market.Shanghai)); !got.Equal((monday - 1).At(19, 0, market.Shanghai)) {
		t.Errorf("morning: %v", got)
	}
	c := catalog.Catalog{Modules: []catalog.Module{{SyncCapable: true, Datasets: []catalog.Dataset{{DueTime: "20:00"}, {DueTime: "17:00"}}}}}
	if got := LastDue(c, half7); !got.Equal(monday.At(17, 0, market.Shanghai)) {
		t.Errorf("by catalog: %v", got)
	}
}

func TestFollowUp(t *testing.T) {
	s := settings.Default()
	failedWith := func(attempt int, reasons ...fault.Reason) Run {
		r := Run{ID: "r", Outcome: Failed, Attempt: attempt, AsOf: monday}
		for _, x := range reasons {
			r.Issues = append(r.Issues, fault.NewIssue(x, string(x)+" happened."))
		}
		return r
	}
	with := func(r Run, o Outcome) Run { r.Outcome = o; return r }
	quota := failedWith(0)
	quota.Issues = []fault.Issue{{Reason: fault.QuotaExhausted, Severity: fault.Retry, RetryAt: at(275)}}
	ips := failedWith(0)
	ips.Issues = []fault.Issue{{Reason: fault.TooManyIPs, Severity: fault.Retry, RetryAt: at(30)}}
	late := []Partition{part("daily", monday, PartitionCompleted, "complete"), part("moneyflow", monday, PartitionFailed, "not_published", fault.NotPublished)}
	short := []Partition{part("daily", monday, PartitionFailed, "incomplete", fault.Incomplete)}
	oldGap := []Partition{part("daily", monday, PartitionCompleted, "complete"), part("daily", monday-7, PartitionFailed, "incomplete", fault.Incomplete)}
	oldest := []Partition{part("daily", monday, PartitionCompleted, "complete"), part("daily", monday-10, PartitionFailed, "incomplete", fault.Incomplete)}
	refs := []Partition{{ID: "stock_basic", Dataset: "stock_basic", Reference: true, State: PartitionFailed, Start: market.NoDate, End: market.NoDate,
		Issues: []fault.Issue{fault.NewIssue(fault.QuotaExhausted, "Spent.")}}}
	mixed := append(slices.Clone(late), part("fund_daily", monday, PartitionFailed, "", fault.PermissionDenied))
	nextMorning := (monday + 1).At(7, 30, market.Shanghai)

	for name, c := range map[string]struct {
		r       Run
		parts   []Partition
		now     time.Time
		at      time.Time // zero: none
		attempt int
	}{
		"succeeded":                     {Run{Outcome: Succeeded}, nil, half7, time.Time{}, 0},
		"unchanged":                     {Run{Outcome: Unchanged}, nil, half7, time.Time{}, 0},
		"cancelled":                     {with(failedWith(0, fault.Cancelled), Cancelled), late, half7, time.Time{}, 0},
		"interrupted while cancelled":   {failedWith(0, fault.Interrupted, fault.Cancelled), nil, half7, time.Time{}, 0},
		"interrupted":                   {failedWith(0, fault.Interrupted), nil, half7, half7, 0},
		"interrupted in a late chain":   {failedWith(3, fault.Interrupted), late, half7, half7, 3},
		"provider down, first":          {failedWith(0, fault.ProviderUnavailable), nil, half7, at(1), 1},
		"provider down, second":         {failedWith(1, fault.ProviderUnavailable), nil, half7, at(2), 2},
		"provider down, fifth":          {failedWith(4, fault.ProviderUnavailable), nil, half7, at(15), 5},
		"provider down, sixth":          {failedWith(5, fault.ProviderUnavailable), nil, half7, at(30), 6},
		"provider down, tenth":          {failedWith(9, fault.ProviderUnavailable), nil, half7, at(30), 10},
		"provider down, bound":          {failedWith(10, fault.ProviderUnavailable), []Partition{part("daily", monday, PartitionFailed, "", fault.ProviderUnavailable)}, half7, nextMorning, 10},
		"provider down, bound, blocked": {with(failedWith(10, fault.ProviderUnavailable), Blocked), nil, half7, nextMorning, 10},
		"worker down":                   {with(failedWith(0, fault.WorkerUnreachable), Blocked), nil, half7, at(1), 1},
		"file locked":                   {with(failedWith(2, fault.AnalysisDBLocked), Blocked), nil, half7, at(4), 3},
		"too many addresses":            {with(ips, Blocked), nil, half7, at(30), 1},
		"bad token":                     {with(failedWith(0, fault.TokenInvalid), Blocked), nil, half7, time.Time{}, 0},
		"bad token and provider down":   {with(failedWith(0, fault.TokenInvalid, fault.ProviderUnavailable), Blocked), nil, half7, time.Time{}, 0},
		"quota":                         {with(quota, Partial), nil, half7, at(275), 1},
		"quota of no known end":         {with(failedWith(0, fault.QuotaExhausted), Partial), nil, half7, at(60), 1},
		"quota, second":                 {with(failedWith(1, fault.QuotaExhausted), Partial), refs, half7, at(120), 2},
		"quota, third":                  {with(failedWith(2, fault.QuotaExhausted), Partial), refs, half7, at(240), 3},
		"quota, bound":                  {with(failedWith(3, fault.QuotaExhausted), Partial), refs, half7, time.Time{}, 0},
		"quota, bound, data missing":    {with(failedWith(3, fault.QuotaExhausted), Partial), []Partition{part("daily", monday, PartitionFailed, "", fault.QuotaExhausted)}, half7, nextMorning, 3},
		"quota, getting on":             {with(failedWith(3, fault.QuotaExhausted), Partial), append(slices.Clone(refs), part("daily", monday, PartitionCompleted, "complete")), half7, at(60), 1},
		"not published":                 {with(failedWith(4, fault.NotPublished), Partial), late, half7, at(15), 0},
		"not published at 23:15":        {with(failedWith(0, fault.NotPublished), Partial), late, at(225), at(240), 0},
		"not published at 23:16":        {with(failedWith(0, fault.NotPublished), Partial), late, at(226), nextMorning, 0},
		"not published at 00:10":        {with(failedWith(0, fault.NotPublished), Partial), late, at(280), nextMorning, 0},
		"not published at 07:31":        {with(failedWith(0, fault.NotPublished), Partial), late, nextMorning.Add(time.Minute), nextMorning.Add(45 * time.Minute), 0},
		"not published next evening":    {with(failedWith(0, fault.NotPublished), Partial), late, (monday + 1).At(18, 1, market.Shanghai), time.Time{}, 0},
		"probe without values":          {with(failedWith(0, fault.ValuesMissing), Blocked), nil, half7, at(15), 0},
		"incomplete":                    {with(failedWith(0), Partial), short, half7, at(15), 0},
		"a gap of last week":            {with(failedWith(0, fault.Incomplete), Partial), oldGap, half7, (monday + 1).At(8, 15, market.Shanghai), 0},
		"an old gap":                    {with(failedWith(0, fault.Incomplete), Partial), oldest, half7, time.Time{}, 0},
		"refused beside not published":  {with(failedWith(0, fault.PermissionDenied, fault.NotPublished), Partial), mixed, half7, at(15), 0},
		"a permanent refusal":           {with(failedWith(0), Partial), mixed[2:], half7, time.Time{}, 0},
		"partition timed out":           {with(failedWith(0), Partial), []Partition{part("daily", monday, PartitionFailed, "", fault.Stalled)}, half7, at(1), 1},
	} {
		n, ok := FollowUp(c.r, c.parts, FollowUpFacts{Settings: s, Zone: market.Shanghai, Now: c.now})
		if ok != !c.at.IsZero() || !n.At.Equal(c.at) || n.Attempt != c.attempt || ok && (n.Note == "" || n.Reason == "") {
			t.Errorf("%s: %v %v attempt %d %q; want %v", name, ok, n.At, n.Attempt, n.Note, c.at)
		}
		if ok && bilingual.Note(n.Note).Zh == n.Note {
			t.Errorf("%s: %q has no Chinese", name, n.Note)
		}
	}

	early := s
	early.FollowUpDeadline = "01:00" // of the next day: the first one after the data is due
	if n, ok := FollowUp(with(failedWith(0, fault.NotPublished), Partial), late, FollowUpFacts{Settings: early, Zone: market.Shanghai, Now: at(300)}); !ok || !n.At.Equal(at(315)) {
		t.Errorf("deadline after midnight: %v %v", n.At, ok)
	}
	f := Next{At: at(15), Attempt: 2, Note: "because"}.Follow(Run{ID: "a", Pool: market.Universe, Mode: Bootstrap, SlotID: "s", Request: anyDates}, half7)
	if f.Source != SourceAuto || f.Follows != "a" || f.State != Queued || f.SlotID != "s" || f.Mode != Bootstrap || !f.NotBefore.Equal(at(15)) || f.Attempt != 2 || f.AsOf != market.NoDate {
		t.Errorf("%+v", f)
	}
	again := Request{Start: market.NoDate, End: market.NoDate, Refetch: true}
	for reason, want := range map[fault.Reason]bool{fault.NotPublished: false, fault.Interrupted: true, fault.ProviderUnavailable: true} {
		if f := (Next{At: at(15), Reason: reason}).Follow(Run{ID: "a", Request: again}, half7); f.Request.Refetch != want {
			t.Errorf("after %s the follow-up fetches all again: %v", reason, f.Request.Refetch)
		}
	}
}

// TestFollowUpsOverClosedDays follows a chain of follow-up runs that find nothing, from an evening
// until the next open day's run: they continue on closed days with growing pauses, and one of them is
// shortly before the market opens.
func TestFollowUpsOverClosedDays(t *testing.T) {
	friday, sept30 := market.NewDate(2026, 3, 6), market.NewDate(2026, 9, 30)
	cal := slot.Calendar{First: market.NewDate(2026, 1, 1), Last: market.NewDate(2026, 12, 31)}
	for d := cal.First; d <= cal.Last; d++ {
		if !d.Weekend() && (d <= sept30 || d > sept30+8) {
			cal.Open = append(cal.Open, d)
		}
	}
	for name, c := range map[string]struct {
		day, open market.Date
		released  time.Time
		within    time.Duration
		perDay    int // asks on a closed day, at most
		clock     string
	}{
		"Friday, released on Saturday at ten":        {friday, friday + 3, (friday + 1).At(10, 0, market.Shanghai), 2 * time.Hour, 9, "23:30"},
		"Friday, released on Sunday at noon":         {friday, friday + 3, (friday + 2).At(12, 1, market.Shanghai), 2 * time.Hour, 9, "23:30"},
		"Friday, released on Monday at eight":        {friday, friday + 3, (friday + 3).At(8, 0, market.Shanghai), 15 * time.Minute, 9, "23:30"},
		"National Day, released in the middle":       {sept30, sept30 + 9, (sept30 + 5).At(9, 0, market.Shanghai), 4 * time.Hour, 9, "23:30"},
		"National Day, released on the last morning": {sept30, sept30 + 9, (sept30 + 9).At(8, 0, market.Shanghai), 15 * time.Minute, 9, "23:30"},
		"Friday, deadline after midnight":            {friday, friday + 3, (friday + 1).At(10, 0, market.Shanghai), 2 * time.Hour, 13, "01:00"},
	} {
		set := settings.Default()
		set.FollowUpDeadline = c.clock
		parts := []Partition{part("daily", c.day, PartitionCompleted, "complete"), part("moneyflow", c.day, PartitionFailed, "not_published", fault.NotPublished)}
		now, held, perDay, asks := c.day.At(19, 31, market.Shanghai), time.Time{}, map[market.Date]int{}, 0
		for {
			n, ok := FollowUp(Run{ID: "r", Outcome: Partial, AsOf: c.day, Issues: IssuesOf(parts)}, parts, FollowUpFacts{Settings: set, Zone: market.Shanghai, Calendar: cal, Now: now})
			if !ok {
				break
			}
			if !n.At.After(now) {
				t.Fatalf("%s: asked again at %v, which is not after %v", name, n.At, now)
			}
			if held.IsZero() && !n.At.Before(c.released) {
				held = n.At
			}
			if d := market.DateOf(n.At); !cal.IsOpen(d) {
				perDay[d]++
			}
			now = n.At.Add(time.Minute) // the run takes a minute
			asks++
		}
		if held.IsZero() || held.Sub(c.released) > c.within {
			t.Errorf("%s: asked for at %v", name, held)
		}
		for d, n := range perDay {
			if n > c.perDay {
				t.Errorf("%s: %d asks on %s", name, n, d)
			}
		}
		if closed := int(c.open - c.day - 1); len(perDay) != closed || asks > 16+9*2+5*closed {
			t.Errorf("%s: asks on %d of %d closed days, %d in all", name, len(perDay), closed, asks)
		}
		if market.DateOf(now) != c.open || !now.Before(c.open.At(19, 0, market.Shanghai)) {
			t.Errorf("%s: the last ask was at %v", name, now)
		}
	}
}

// TestSuperseded: of follow-ups that do the same only the earliest waits.
func TestSuperseded(t *testing.T) {
	queued := func(id string, minutes int, source Source, r Request) Run {
		return Run{ID: id, Pool: market.Universe, Source: source, State: Queued, Request: r, NotBefore: at(minutes)}
	}
	follow := queued("", 15, SourceAuto, anyDates)
	other := anyDates
	other.Modules = []string{"a"}
	for name, c := range map[string]struct {
		queue    []Run
		needless string
		serves   string
	}{
		"empty":                       {nil, "", ""},
		"one earlier":                 {[]Run{queued("A", 10, SourceAuto, anyDates)}, "", "A"},
		"one at that":                 {[]Run{queued("A", 15, SourceAuto, anyDates)}, "", "A"},
		"one later":                   {[]Run{queued("A", 60, SourceAuto, anyDates)}, "A", ""},
		"several later":               {[]Run{queued("A", 60, SourceAuto, anyDates), queued("B", 16, SourceAuto, other)}, "AB", ""},
		"one that does less, earlier": {[]Run{queued("A", 10, SourceAuto, other)}, "", ""},
		"one by hand":                 {[]Run{queued("A", 60, SourceManual, anyDates)}, "", ""},
	} {
		needless, serves := Superseded(c.queue, follow)
		ids, by := "", ""
		for _, r := range needless {
			ids += r.ID
		}
		if serves != nil {
			by = serves.ID
		}
		if ids != c.needless || by != c.serves {
			t.Errorf("%s: needless %q, served by %q", name, ids, by)
		}
	}
}

func TestDueLaterAndEarly(t *testing.T) {
	c := catalog.Catalog{Modules: []catalog.Module{
		{ID: "stock", SyncCapable: true, Datasets: []catalog.Dataset{{ID: "daily", DueTime: "17:00"}, {ID: "daily_basic", DueTime: "18:00"}}},
		{ID: "flow", SyncCapable: true, Datasets: []catalog.Dataset{{ID: "moneyflow", DueTime: "19:00"}}},
	}}
	both, clock := []string{"stock", "flow"}, func(h, m int) time.Time { return monday.At(h, m, market.Shanghai) }
	for name, x := range map[string]struct {
		modules    []string
		since, now time.Time
		want       time.Time
		early      string
	}{
		"in the afternoon":           {both, clock(14, 5), clock(14, 6), clock(17, 0), "daily,daily_basic,moneyflow"},
		"between":                    {both, clock(17, 30), clock(17, 31), clock(18, 0), "daily_basic,moneyflow"},
		"at the last hour":           {both, clock(19, 0), clock(19, 1), time.Time{}, ""},
		"without the late module":    {both[:1], clock(18, 0), clock(18, 1), time.Time{}, ""},
		"due while it was under way": {both, clock(16, 59), clock(17, 4), clock(17, 4).Add(time.Second), "daily,daily_basic,moneyflow"},
		"until after midnight":       {both, clock(18, 59), clock(24, 1), time.Time{}, "moneyflow"},
		"on a Sunday":                {both, clock(14, 5).AddDate(0, 0, -1), clock(14, 6).AddDate(0, 0, -1), time.Time{}, "-"},
	} {
		if got := DueLater(c, x.modules, slot.Calendar{}, x.since, x.now); !got.Equal(x.want) {
			t.Errorf("%s: %v, want %v", name, got, x.want)
		}
		if x.early == "-" {
			continue
		}
		i, ok := Early(c, x.modules, monday, x.since, "HH:MM")
		if ok != (x.early != "") || i.Meta["dataset"] != x.early {
			t.Errorf("%s: %v %+v", name, ok, i)
		}
		n, follows := FollowUp(Run{Outcome: Succeeded, AsOf: monday - 3}, nil, FollowUpFacts{Settings: settings.Default(), Zone: market.Shanghai, Now: x.now, DueLater: x.want})
		if follows != !x.want.IsZero() || !n.At.Equal(x.want) {
			t.Errorf("%s: a run that succeeded is followed up at %v", name, n.At)
		}
	}
}

func TestExplainTellsTheChain(t *testing.T) {
	r := Run{ID: "R1", Pool: market.Universe, Source: SourceSchedule, State: Queued, Request: anyDates, CreatedAt: half7}
	said, next := Explain(History{Run: r, Ahead: []Run{{ID: "R0", State: Running}}})
	if got := english(t, said); !strings.Contains(got, "behind run R0 (running)") || next != "curl -N localhost:7780/v1/runs/R1:watch" {
		t.Errorf("queued: %s / %s", got, next)
	}
	v := slot.Slot{ID: slot.ID(monday, market.Universe), Pool: market.Universe, Date: monday, DueAt: half7, State: slot.Fired, RunID: "R1",
		DecidedAt: at(3), Late: 3 * time.Minute, LateNote: "the host was asleep."}
	var events []Event
	add := func(next Run, e Event, err error) Run {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
		return next
	}
	r = add(Take(r, at(4)))
	events = append(events, Event{Time: at(4), Preflight: &PreflightNote{Message: "universe is READY"}})
	r = add(Begin(r, at(5)))
	events = append(events, Event{Time: at(5), Planned: &Planned{Partitions: 2, Calls: 3, LastTradeDate: monday}})
	r.Partitions, r.Completed, r.AsOf = 2, 1, monday
	parts := []Partition{part("daily", monday, PartitionCompleted, "complete"), part("moneyflow", monday, PartitionFailed, "not_published", fault.NotPublished)}
	r = add(Finish(r, at(6), End{Outcome: Partial, Issues: IssuesOf(parts)}))
	follow := Run{ID: "R2", State: Queued, NotBefore: at(21)}
	said, next = Explain(History{Run: r, Slot: &v, Events: events, Partitions: parts, FollowUps: []Run{follow}})
	want := []string{"was due at 2026-03-02 19:30:00 +08:00", "3m0s late: the host was asleep.", "by the schedule", "It started at 2026-03-02 19:34:00 +08:00, after 4m0s",
		"Preflight: universe is READY.", "all checks passed", "the plan has 2 partitions", "up to 2026-03-02", "moneyflow: 1 failed.",
		"PARTIAL: 1 of 2 partitions complete", "NOT_PUBLISHED: NOT_PUBLISHED happened.", "The follow-up run R2 starts at 2026-03-02 19:51:00 +08:00 (Shanghai)."}
	rest := english(t, said)
	for _, w := range want { // in this order
		i := strings.Index(rest, w)
		if i < 0 {
			t.Fatalf("%q is missing or out of order in:\n%s", w, english(t, said))
		}
		rest = rest[i:]
	}
	if next != "curl -N localhost:7780/v1/runs/R2:watch" {
		t.Errorf("next: %s", next)
	}

	follow.Note = "The previous run ended with a temporary error: " + r.Issues[0].Message
	said, _ = Explain(History{Run: r, Events: events, Partitions: parts, FollowUps: []Run{follow}})
	if zh := strings.Join(bilingual.In(said, true), "\n"); !strings.Contains(zh, "上一次运行因暂时的错误结束：数据源尚未发布。") {
		t.Errorf("the note of the follow-up run in Chinese:\n%s", zh)
	}

	backfill := Request{Modules: []string{"stock.basic", "stock.moneyflow"}, Refetch: true}
	for text, date := range map[string]*market.Date{"2026-11-02": &backfill.Start, "2026-11-06": &backfill.End} {
		var err error
		if *date, err = market.ParseDate(text); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		r    Run
		want string
	}{
		"succeeded": {Run{ID: "A", Pool: market.Targets, State: Finished, Outcome: Succeeded}, "curl localhost:7780/v1/pools/targets/coverage"},
		"paused":    {Run{ID: "A", Pool: market.Targets, State: Paused}, "curl -X POST localhost:7780/v1/pools/targets:resume -d '{}'"},
		"running":   {Run{ID: "A", Pool: market.Targets, State: Running}, "curl -N localhost:7780/v1/runs/A:watch"},
		"cancelled": {Run{ID: "A", Pool: market.Targets, State: Finished, Outcome: Cancelled, Request: backfill}, `curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"],"start_date":"2026-11-02","end_date":"2026-11-06","module_ids":["stock.basic","stock.moneyflow"],"refetch":true}'`},
		"blocked": {Run{ID: "A", Pool: market.Targets, State: Finished, Outcome: Blocked, Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "No.")}},
			"afterbell tokens set < token.txt"},
		"no module": {Run{ID: "A", Pool: market.Targets, State: Finished, Outcome: Blocked, Issues: []fault.Issue{fault.NewIssue(fault.NoSyncModuleSelected, "No.")}},
			`curl -X PATCH localhost:7780/v1/modules/stock.market.daily -d '{"enabled":true}'`},
	} {
		if said, next := Explain(History{Run: c.r}); next != c.want || len(said) == 0 {
			t.Errorf("%s: %s", name, next)
		}
	}
}

func TestExplainSaysWhatAQueuedRunWaitsFor(t *testing.T) {
	r := Run{ID: "R1", Pool: market.Universe, State: Queued, CreatedAt: half7}
	held := PauseState{Paused: true, Note: "Ann: disk is moved", At: at(1)}
	for name, c := range map[string]struct {
		s          History
		says, next string
	}{
		"its pool is paused": {History{Run: r, PauseState: held}, "paused at 2026-03-02 19:31:00 +08:00 (Ann: disk is moved); no run of the pool", ResumePool(market.Universe)},
		"behind another":     {History{Run: r, Ahead: []Run{{ID: "R0", State: Paused}}, PauseState: held}, "behind run R0 (paused)", ResumePool(market.Universe)},
		"for its targets":    {History{Run: r, First: &Run{ID: "T1", State: Running}}, "targets run of the same trigger, run T1 (running), to end", watch("R1")},
		"for nothing":        {History{Run: r}, "starts next", watch("R1")},
	} {
		if said, next := Explain(c.s); !strings.Contains(english(t, said), c.says) || next != c.next {
			t.Errorf("%s: %q / %s", name, said, next)
		}
	}
}

func TestExplainSaysWhatComesAfter(t *testing.T) {
	ended := func(o Outcome, reason fault.Reason) Run {
		return Run{ID: "R1", Pool: market.Targets, State: Finished, Outcome: o, Issues: []fault.Issue{fault.NewIssue(reason, "It broke.")}}
	}
	last := ended(Blocked, fault.WorkerUnreachable)
	last.Attempt = 5
	served := ended(Partial, fault.NotPublished)
	served.RetryAt = at(15)
	parts := []Partition{part("daily", monday, PartitionFailed, "", fault.TokenInvalid)}
	queued := []Run{{ID: "R2", State: Queued, NotBefore: at(15)}}
	for name, c := range map[string]struct {
		s          History
		says, next string
	}{
		"a person can help meanwhile": {History{Run: ended(Blocked, fault.WorkerUnreachable), FollowUps: queued}, "What to do: Check", "bin/ingest-worker"},
		"none is to be made":          {History{Run: ended(Failed, fault.ProviderUnavailable)}, "the next scheduled run tries again", `curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"]}'`},
		"an old gap":                  {History{Run: ended(Partial, fault.Incomplete), Partitions: parts}, "the next scheduled run fetches what is missing", "curl localhost:7780/v1/runs/R1/partitions"},
		"only time helps":             {History{Run: ended(Partial, fault.NotPublished), FollowUps: queued}, "The follow-up run R2 starts at", watch("R2")},
		"attempts are used up":        {History{Run: last}, "It was attempt 6 in a row; no further attempt", "bin/ingest-worker"},
		"permanent":                   {History{Run: ended(Failed, fault.TokenInvalid), Partitions: parts}, "because this needs your action. Once you have done it, start a run: curl -X POST localhost:7780/v1/runs -d '{\"pools\":[\"POOL_TARGETS\"]}'", "afterbell tokens set < token.txt"},
		"another token was stored":    {History{Run: ended(Blocked, fault.TokenInvalid), Check: readiness.Changed}, "The token or the configuration has changed since; check it: " + preflightNow, preflightNow},
		"the checks have passed":      {History{Run: ended(Blocked, fault.TokenInvalid), Check: readiness.Passed}, "The checks have passed since.", `curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"]}'`},
		"a later run ended well":      {History{Run: ended(Blocked, fault.TokenInvalid), Later: &Run{ID: "R9", Outcome: Succeeded}}, "Run R9, which started later, ended as SUCCEEDED.", "curl localhost:7780/v1/runs/R9"},
		"served by another":           {History{Run: served, Partitions: parts, Next: &queued[0]}, "Run R2, which is already in the queue, is its follow-up and starts at 2026-03-02 19:45:00 +08:00", "curl localhost:7780/v1/pools/targets"},
		"was served by another":       {History{Run: served, Partitions: parts}, "was already in the queue was its follow-up; it was due at 2026-03-02 19:45:00 +08:00", "curl localhost:7780/v1/pools/targets"},
	} {
		if said, next := Explain(c.s); !strings.Contains(english(t, said), c.says) || next != c.next {
			t.Errorf("%s: %q / %s", name, said, next)
		}
	}
}

// An outdated remedy is not shown.
func TestExplainRepeatsNoRemedyThatIsOvertaken(t *testing.T) {
	r := Run{ID: "R1", Pool: market.Targets, State: Finished, Outcome: Blocked, Stage: StageReadiness, Issues: []fault.Issue{fault.NewIssue(fault.TokenInvalid, "It is refused.")}}
	for _, s := range []History{{Run: r, Check: readiness.Changed}, {Run: r, Check: readiness.Passed}, {Run: r, Later: &Run{ID: "R9", Outcome: Succeeded}}} {
		said, next := Explain(s)
		if text := english(t, said) + "\n" + next; strings.Contains(text, "tokens set") || strings.Contains(text, "needs your action") || !strings.Contains(text, "the check of token and modules failed") {
			t.Errorf("%s", text)
		}
	}
}

func TestOutlives(t *testing.T) {
	token := fault.NewIssue(fault.TokenInvalid, "It is refused.")
	early := Run{ID: "R1", Pool: market.Targets, StartedAt: at(0), FinishedAt: at(1), Outcome: Blocked, Issues: []fault.Issue{token}}
	for name, c := range map[string]struct {
		change func(r *Run)
		want   bool
	}{
		"succeeded": {func(*Run) {}, true},
		"partial, for another reason": {func(r *Run) {
			r.Outcome, r.Issues = Partial, []fault.Issue{fault.NewIssue(fault.NotPublished, "Later.")}
		}, true},
		"partial, for the same reason": {func(r *Run) { r.Outcome, r.Issues = Partial, []fault.Issue{token} }, false},
		"blocked":                      {func(r *Run) { r.Outcome = Blocked }, false},
		"earlier":                      {func(r *Run) { r.StartedAt = at(0) }, false},
		"of another pool":              {func(r *Run) { r.Pool = market.Universe }, false},
		"of one module":                {func(r *Run) { r.Request.Modules = []string{"stock.moneyflow"} }, false},
		"of another day":               {func(r *Run) { r.Request.Start, r.Request.End = monday-7, monday-7 }, false},
	} {
		later := Run{ID: "R2", Pool: market.Targets, StartedAt: at(2), FinishedAt: at(3), Outcome: Succeeded}
		c.change(&later)
		if got := Outlives(later, early, token); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestExplainSaysWhatTheGateFound(t *testing.T) {
	denied := fault.NewIssue(fault.PermissionDenied, "Not yours.")
	r := Run{ID: "R1", Pool: market.Universe, State: Finished, Outcome: Partial, Issues: []fault.Issue{denied, denied}, Meta: Meta{BlockedModules: []string{"etf.daily_quote"}}}
	events := []Event{{Time: at(1), StateChanged: &StateChanged{From: Checking, To: Running}}, {Time: at(2), Planned: &Planned{LastTradeDate: monday}}}
	said, _ := Explain(History{Run: r, Events: events})
	text := english(t, said)
	for _, want := range []string{"the checks passed, except for the blocked modules etf.daily_quote", "the plan found nothing missing, up to 2026-03-02"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Count(text, "PERMISSION_DENIED: Not yours.") != 1 {
		t.Errorf("one sentence for what is the same:\n%s", text)
	}
	none := Run{ID: "R2", Pool: market.Targets, State: Finished, Outcome: Unchanged}
	said, next := Explain(History{Run: none, Events: []Event{{StateChanged: &StateChanged{From: Checking, To: Finished, Note: "The target list is empty, so there was nothing to do."}}}})
	if !strings.Contains(english(t, said), "The target list is empty, so there was nothing to do.") || !strings.HasPrefix(next, "curl -X PUT localhost:7780/v1/targets") {
		t.Errorf("no targets: %q / %s", said, next)
	}
}

// english returns the texts in English, and checks that each has Chinese, too.
func english(t *testing.T, said []bilingual.Text) string {
	t.Helper()
	for _, s := range said {
		if !strings.ContainsFunc(s.Zh, func(r rune) bool { return unicode.Is(unicode.Han, r) }) || strings.Contains(s.Zh, "%!") {
			t.Errorf("%q is in Chinese %q", s.En, s.Zh)
		}
	}
	return strings.Join(bilingual.In(said, false), "\n")
}

// A note about a failed probe is translated with the issue's own Chinese.
func TestPreflightNoteInChinese(t *testing.T) {
	failed := fault.NewIssue(fault.TokenInvalid, "It is refused.", "api", "daily")
	for want, n := range map[string]PreflightNote{
		"检查 6 个模块。": {Message: "Checking 6 modules."},
		"stock.basic 未通过：数据源不接受该令牌（接口 daily）。": {Module: "stock.basic", Message: "stock.basic failed: It is refused.", Issues: []fault.Issue{failed}},
		"stock.basic 通过，用时 4ms。":               {Module: "stock.basic", Message: "stock.basic passed in 4ms."},
	} {
		if got := n.Text(); got.En != n.Message || got.Zh != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}
