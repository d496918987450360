package notice

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

var friday = market.NewDate(2026, 11, 27)

// at is a time of that Friday in Shanghai.
func at(hour, minute int) time.Time { return friday.At(hour, minute, market.Shanghai) }

var nextEvening = (friday + 3).At(19, 30, market.Shanghai)

func issue(r fault.Reason) fault.Issue { return fault.NewIssue(r, "Said "+string(r)+".") }

// ended is a run of the evening that began at a minute past 19:00 and ended a minute later.
func ended(minute int, outcome run.Outcome, change func(*Ended)) Ended {
	e := Ended{Run: run.Run{ID: "r", Pool: market.Universe, Outcome: outcome, State: run.Finished, StartedAt: at(19, minute), FinishedAt: at(19, minute+1), AsOf: friday}}
	if change != nil {
		change(&e)
	}
	return e
}

func part(dataset, module string, state run.PartitionState, verdict market.Verdict, issues ...fault.Issue) run.Partition {
	return run.Partition{Dataset: dataset, Module: module, State: state, Verdict: verdict, Issues: issues}
}

var (
	flowLate = func(e *Ended) {
		e.Day = []run.Partition{
			part("daily", "stock.market.daily", run.PartitionCompleted, "complete"),
			part("moneyflow", "stock.moneyflow", run.PartitionFailed, "not_published"),
		}
	}
	tokenBad = func(e *Ended) {
		e.Run.Stage, e.Run.AsOf, e.Run.Issues = run.StageReadiness, market.NoDate, []fault.Issue{issue(fault.TokenInvalid)}
	}
	workerAway = func(e *Ended) {
		e.Run.AsOf, e.Run.Issues = market.NoDate, []fault.Issue{issue(fault.WorkerUnreachable)}
	}
)

// waiting is a queued follow-up that may start at a minute past 19:00.
func waiting(minute int) []run.Run {
	return []run.Run{{Pool: market.Universe, Source: run.SourceAuto, State: run.Queued, CreatedAt: at(19, 0), NotBefore: at(19, minute)}}
}

func TestJudge(t *testing.T) {
	fired := &slot.Slot{State: slot.Fired, Date: friday, DueAt: at(19, 30)}
	for name, c := range map[string]struct {
		facts   Facts
		verdict Verdict
		lacks   string
		settled bool
		next    time.Time
	}{
		"nothing yet":      {Facts{Slot: fired}, Pending, "", false, nextEvening},
		"under way":        {Facts{Slot: fired, Waiting: []run.Run{{State: run.Running, CreatedAt: at(19, 30)}}}, Pending, "", false, nextEvening},
		"whole":            {Facts{Slot: fired, Runs: []Ended{ended(30, run.Succeeded, nil)}}, Whole, "", true, time.Time{}},
		"nothing to do":    {Facts{Slot: fired, Runs: []Ended{ended(30, run.Unchanged, nil)}}, Whole, "", true, time.Time{}},
		"late moneyflow":   {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, flowLate)}, Waiting: waiting(46)}, Lacking, "moneyflow", true, at(19, 46)},
		"and then whole":   {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, flowLate), ended(46, run.Succeeded, nil)}}, Whole, "", true, time.Time{}},
		"blocked":          {Facts{Slot: fired, Runs: []Ended{ended(30, run.Blocked, tokenBad)}}, Blocked, "", true, nextEvening},
		"tried again soon": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Blocked, workerAway)}, Waiting: waiting(32)}, Failed, "", false, at(19, 32)},
		"tried again late": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Blocked, workerAway)}, Waiting: waiting(39)}, Failed, "", true, at(19, 39)},
		"whole stays whole when the next run is blocked": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Succeeded, nil), ended(40, run.Blocked, tokenBad)}}, Whole, "", true, time.Time{}},
		"what lacks stays when the next run fails":       {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, flowLate), ended(40, run.Blocked, workerAway)}}, Lacking, "moneyflow", true, nextEvening},
		"blocked stays blocked when the worker is away":  {Facts{Slot: fired, Runs: []Ended{ended(30, run.Blocked, tokenBad), ended(40, run.Blocked, workerAway)}}, Blocked, "", true, nextEvening},
		"by hand the module that lacked": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, flowLate), ended(40, run.Succeeded, func(e *Ended) {
			e.Run.Request.Modules = []string{"stock.moneyflow"}
		})}}, Whole, "", true, time.Time{}},
		"by hand another module": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, flowLate), ended(40, run.Succeeded, func(e *Ended) {
			e.Run.Request.Modules = []string{"stock.market.daily"}
		})}}, Lacking, "moneyflow", true, nextEvening},
		"a part says nothing of the whole": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Succeeded, func(e *Ended) {
			e.Run.Request.Modules = []string{"stock.moneyflow"}
		})}}, Pending, "", false, nextEvening},
		"a run of another day": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Failed, func(e *Ended) {
			e.Run.Request.End = friday - 1
		})}}, Pending, "", false, nextEvening},
		"only an earlier day lacks": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, func(e *Ended) {
			e.Day, e.Older = []run.Partition{part("daily", "m", run.PartitionCompleted, "complete")}, []Gap{{"daily", "2026-11-20"}}
		})}}, Whole, "", true, time.Time{}},
		"a module held back": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Partial, func(e *Ended) {
			e.Run.Meta.BlockedModules = []string{"etf.daily_quote"}
			e.Day = []run.Partition{part("daily", "m", run.PartitionCompleted, "complete")}
		})}}, Lacking, "etf.daily_quote", true, nextEvening},
		"a second look that fails takes nothing away": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Succeeded, nil), ended(40, run.Partial, func(e *Ended) {
			p := part("daily", "m", run.PartitionFailed, "", issue(fault.ProviderUnavailable))
			p.Repeat = true
			e.Day = []run.Partition{p}
		})}}, Whole, "", true, time.Time{}},
		"a second look that finds less": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Succeeded, nil), ended(40, run.Partial, func(e *Ended) {
			p := part("daily", "m", run.PartitionFailed, "incomplete")
			p.Repeat = true
			e.Day = []run.Partition{p}
		})}}, Lacking, "daily", true, nextEvening},
		"early, and followed": {Facts{Slot: fired, Due: at(19, 35), Runs: []Ended{ended(30, run.Succeeded, nil)}, Waiting: waiting(35)}, Pending, "", false, at(19, 35)},
		"missed":              {Facts{Slot: &slot.Slot{State: slot.Missed, DueAt: at(19, 30), Issues: []fault.Issue{issue(fault.SlotMissed)}}}, Absent, "", true, nextEvening},
		"paused":              {Facts{Slot: fired, PauseState: run.PauseState{Paused: true, Note: "anna"}, Waiting: []run.Run{{State: run.Queued, CreatedAt: at(19, 30)}}}, Absent, "", true, time.Time{}},
		"stopped by a person": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Cancelled, nil)}}, Absent, "", true, nextEvening},
		"disk full in the midst": {Facts{Slot: fired, Runs: []Ended{ended(30, run.Failed, func(e *Ended) {
			e.Run.Issues = []fault.Issue{issue(fault.DiskFull)}
			e.Day = []run.Partition{part("daily", "m", run.PartitionFailed, "", issue(fault.DiskFull))}
		})}}, Failed, "daily", true, nextEvening},
	} {
		t.Run(name, func(t *testing.T) {
			f := c.facts
			f.Pool, f.Day, f.NextSlot = market.Universe, friday, nextEvening
			if f.Due.IsZero() {
				f.Due = at(19, 0)
			}
			j := Judge(f)
			var lacks []string
			for _, l := range j.Lacks {
				lacks = append(lacks, l.Name())
			}
			if j.Verdict != c.verdict || strings.Join(lacks, ",") != c.lacks || j.Settled != c.settled || !j.NextAt.Equal(c.next) {
				t.Errorf("%+v; want %s lacking %q, settled %v, next %v", j, c.verdict, c.lacks, c.settled, c.next)
			}
			if clause := j.clause(English); strings.Contains(clause, "%") || !strings.HasPrefix(clause, "universe ") {
				t.Errorf("%q", clause)
			}
		})
	}
}

// The notices of a whole evening, their order, and that unchanged states send none.
func TestAnEveningInOrder(t *testing.T) {
	whole := func(p market.Pool) Judged {
		return Judged{PoolState: PoolState{Pool: p, Verdict: Whole}, Settled: true}
	}
	lacking := func(names ...string) Judged {
		j := Judged{PoolState: PoolState{Pool: market.Universe, Verdict: Lacking, NextAt: at(19, 50)}, Settled: true}
		for _, n := range names {
			j.Lacks = append(j.Lacks, Lack{Dataset: n, Reason: fault.NotPublished})
		}
		return j
	}
	is := func(v Verdict, r fault.Reason, settled bool) Judged {
		return Judged{PoolState: PoolState{Pool: market.Universe, Verdict: v, Reason: r}, Settled: settled, Busy: !settled}
	}
	targets := whole(market.Targets)
	var told []Notice
	for n, step := range []struct {
		universe Judged
		kind     Kind // empty for nothing
		says     string
	}{
		{is(Pending, "", false), "", ""},
		{is(Failed, fault.WorkerUnreachable, false), "", ""}, // it will be tried in a minute
		{lacking("daily_basic", "moneyflow"), Evening, "the data of 2026-11-27 is not complete: targets is complete; universe lacks daily_basic (not published yet), moneyflow (not published yet), and it is fetched again at 2026-11-27 19:50 (Shanghai)."},
		{lacking("daily_basic", "moneyflow"), "", ""},
		{lacking("moneyflow"), Better, "has improved but is not complete yet: targets is complete; universe lacks moneyflow"},
		{is(Blocked, fault.TokenInvalid, true), Worse, "has become worse: targets is complete; universe is blocked and lacks all data of the day: the provider rejected the token (TOKEN_INVALID), which needs your action, and no run is scheduled."},
		{is(Blocked, fault.TokenInvalid, true), "", ""},
		{is(Blocked, fault.PermissionDenied, true), Worse, "the token has no permission (PERMISSION_DENIED)"},
		{is(Failed, fault.ProviderUnavailable, true), Better, "universe failed and lacks all data of the day: the provider cannot be reached"},
		{is(Failed, fault.WorkerUnreachable, true), "", ""},
		{whole(market.Universe), Better, "the data of 2026-11-27 is now complete: universe is complete."},
		{whole(market.Universe), "", ""},
		{lacking("daily"), Worse, "universe lacks daily"},
	} {
		got, ok := Decide(friday, []Judged{targets, step.universe}, told, at(20, n))
		if ok != (step.kind != "") || ok && got.Kind != step.kind {
			t.Errorf("step %d: %v %+v, want %q", n, ok, got, step.kind)
			continue
		}
		if !ok {
			continue
		}
		if text := got.Text(English); !strings.Contains(text, step.says) {
			t.Errorf("step %d: %q does not say %q", n, text, step.says)
		}
		if slices.ContainsFunc(told, func(t Notice) bool { return t.Key == got.Key }) {
			t.Errorf("step %d: the topic %s comes twice", n, got.Key)
		}
		told = append(told, got)
	}
}

// Both pools that change within minutes are one sentence.
func TestChangesOfBothPoolsAreOneSentence(t *testing.T) {
	blocked := func(p market.Pool) Judged {
		return Judged{PoolState: PoolState{Pool: p, Verdict: Blocked, Reason: fault.TokenInvalid}, Settled: true}
	}
	first, _ := Decide(friday, []Judged{blocked(market.Targets), blocked(market.Universe)}, nil, at(19, 31))
	mended := Judged{PoolState: PoolState{Pool: market.Targets, Verdict: Whole}, Settled: true, At: at(19, 40)}
	busy := blocked(market.Universe)
	busy.Busy, busy.Settled = true, false
	if n, ok := Decide(friday, []Judged{mended, busy}, []Notice{first}, at(19, 41)); ok {
		t.Errorf("reported while the other pool's run is active: %+v", n)
	}
	if n, ok := Decide(friday, []Judged{mended, busy}, []Notice{first}, at(19, 56)); !ok || n.Kind != Better || n.Whole {
		t.Errorf("a quarter of an hour later: %v %+v", ok, n)
	}
	done := Judged{PoolState: PoolState{Pool: market.Universe, Verdict: Whole}, Settled: true, At: at(19, 45)}
	if n, ok := Decide(friday, []Judged{mended, done}, []Notice{first}, at(19, 46)); !ok || n.Text(Chinese) != "afterbell：2026-11-27 晚间数据现已完整：目标池完整；全市场完整。" {
		t.Errorf("both: %v %q", ok, n.Text(Chinese))
	}
}

func TestLate(t *testing.T) {
	ten, _ := slot.ParseClock("22:00")
	pending := Judged{PoolState: PoolState{Pool: market.Universe, Verdict: Pending}}
	paused := Judged{PoolState: PoolState{Pool: market.Targets, Verdict: Absent, Chosen: true}}
	pools := []Judged{paused, pending}
	if _, ok := DecideLate(friday, ten, pools, nil, at(21, 59)); ok {
		t.Error("reported before the hour")
	}
	n, ok := DecideLate(friday, ten, pools, nil, at(22, 0))
	if want := "afterbell: it is past 22:00 (Shanghai) and 2026-11-27 is not complete: universe has not finished yet."; !ok || n.Text(English) != want {
		t.Errorf("%v %q", ok, n.Text(English))
	}
	if _, ok := DecideLate(friday, ten, pools, []Notice{n}, at(22, 1)); ok {
		t.Error("reported twice")
	}
	if _, ok := DecideLate(friday, ten, []Judged{paused}, nil, at(22, 1)); ok {
		t.Error("reported what a user chose")
	}
	if _, ok := DecideLate(friday, ten, pools, nil, (friday+1).At(0, 1, market.Shanghai)); ok {
		t.Error("reported on the next day")
	}
}

// A heartbeat is called after a whole evening and only then, but for the signals that were
// asked for.
func TestHeartbeatSignal(t *testing.T) {
	plain, full := Channel{Kind: Heartbeat}, Channel{Kind: Heartbeat, Start: true, Fail: true}
	for _, c := range []struct {
		n           Notice
		plain, full string // "-" for nothing
	}{
		{Notice{Kind: Started}, "-", "/start"},
		{Notice{Kind: Evening, Whole: true}, "", ""},
		{Notice{Kind: Evening}, "-", "/fail"},
		{Notice{Kind: Better, Whole: true}, "", ""},
		{Notice{Kind: Better}, "-", "-"},
		{Notice{Kind: Worse}, "-", "/fail"},
		{Notice{Kind: Late}, "-", "/fail"},
	} {
		for want, channel := range map[string]Channel{c.plain + " ": plain, c.full: full} {
			signal, ok := channel.Signal(c.n)
			if !ok {
				signal = "-"
			}
			if signal != strings.TrimSpace(want) {
				t.Errorf("%s, whole %v: %q, want %q", c.n.Kind, c.n.Whole, signal, want)
			}
		}
	}
	if _, ok := (Channel{Kind: Slack}).Signal(Notice{Kind: Started}); ok {
		t.Error("a notice says that an evening begins")
	}
}

// A delivery is tried for about a day, ever more rarely, and waits as long as asked.
func TestAttempts(t *testing.T) {
	d := Delivery{State: ToSend, CreatedAt: at(19, 31)}
	now := d.CreatedAt
	for d.State == ToSend {
		if d = d.Failed(now, "no", 0); d.State == ToSend {
			if !d.NextAt.After(now) {
				t.Fatalf("attempt %d at %v: next at %v", d.Attempts, now, d.NextAt)
			}
			now = d.NextAt
		}
		if d.Attempts == 1 && d.NextAt.Sub(d.CreatedAt) != 10*time.Second {
			t.Errorf("the second attempt comes after %s", d.NextAt.Sub(d.CreatedAt))
		}
	}
	if took := now.Sub(d.CreatedAt); took < 23*time.Hour || took > 24*time.Hour || d.Attempts < 25 || d.Attempts > 40 || d.State != GivenUp {
		t.Errorf("given up after %s and %d attempts: %+v", took, d.Attempts, d)
	}
	if d := (Delivery{State: ToSend, CreatedAt: at(19, 31)}).Failed(at(19, 31), "slow down", 10*time.Minute); !d.NextAt.Equal(at(19, 41)) {
		t.Errorf("asked to wait ten minutes: %v", d.NextAt)
	}
	if d := (Delivery{State: ToSend, CreatedAt: at(19, 31)}).Failed(at(19, 31), "go away", 1000*time.Hour); d.State != ToSend || d.NextAt.After(at(19, 31).Add(maxRetryAfter)) {
		t.Errorf("asked to wait for weeks: %+v", d)
	}
}

// Every reason that keeps a run from succeeding has words in both languages: those about
// a module, a pool, a dataset or a partition. Others are answers to a caller.
func TestEveryReasonHasWords(t *testing.T) {
	about := []string{"domain", "module", "pool", "dataset", "partition_id", "slot_id"}
	for _, r := range fault.Reasons() {
		d, _ := fault.Describe(r)
		p, ok := phrases[r]
		ofRun := d.Class != fault.Notice && slices.ContainsFunc(d.Keys, func(k string) bool { return slices.Contains(about, k) }) &&
			r != fault.WrongState && r != fault.DataIncomplete
		if (ok || ofRun) && (p[0] == "" || p[1] == "") {
			t.Errorf("%s has no words", r)
		}
	}
}

// What is wrong with a channel is named by its field, and nothing secret is repeated.
func TestChannelsAreChecked(t *testing.T) {
	good := Channel{ID: "desk", Kind: DingTalk, Language: Chinese, URL: "https://oapi.dingtalk.com/robot/send?access_token=tok-secret-1", Secret: "SEC-secret-2"}
	if wrong := good.Validate(); len(wrong) > 0 {
		t.Fatalf("%+v", wrong)
	}
	for name, c := range map[string]struct {
		change func(*Channel)
		field  string
	}{
		"name":            {func(c *Channel) { c.ID = "Desk 1" }, "channel_id"},
		"kind":            {func(c *Channel) { c.Kind = "fax" }, "kind"},
		"language":        {func(c *Channel) { c.Language = "de" }, "language"},
		"no address":      {func(c *Channel) { c.URL = "" }, "url"},
		"plain http":      {func(c *Channel) { c.URL = "http://oapi.dingtalk.com/robot/send?access_token=tok-secret-1" }, "url"},
		"no scheme":       {func(c *Channel) { c.URL = "oapi.dingtalk.com/tok-secret-1" }, "url"},
		"user":            {func(c *Channel) { c.URL = "https://u:tok-secret-1@x.test/" }, "url"},
		"unreadable":      {func(c *Channel) { c.URL = "https://x.test/%zz?tok-secret-1" }, "url"},
		"line end":        {func(c *Channel) { c.Secret = "SEC-secret-2\n" }, "secret"},
		"stray chat":      {func(c *Channel) { c.Chat = "1" }, "chat_id"},
		"stray start":     {func(c *Channel) { c.Start = true }, "start"},
		"unused secret":   {func(c *Channel) { c.Kind = Slack }, "secret"},
		"bot token":       {func(c *Channel) { c.Kind, c.URL, c.Chat = Telegram, "", "-100" }, "secret"},
		"mail without to": {func(c *Channel) { *c = Channel{ID: "m", Kind: Mail, Language: English, Host: "h", From: "a@b.test"} }, "to"},
		"mail from": {func(c *Channel) {
			*c = Channel{ID: "m", Kind: Mail, Language: English, Host: "h", From: "A <a@b.test>", To: []string{"a@b.test"}}
		}, "from"},
		"mail password": {func(c *Channel) {
			*c = Channel{ID: "m", Kind: Mail, Language: English, Host: "h", User: "u", From: "a@b.test", To: []string{"a@b.test"}}
		}, "secret"},
	} {
		bad := good
		c.change(&bad)
		wrong := bad.Validate()
		if !slices.ContainsFunc(wrong, func(v fault.Violation) bool { return v.Field == c.field }) {
			t.Errorf("%s: %+v, want %s", name, wrong, c.field)
		}
		for _, v := range wrong {
			if strings.Contains(v.Problem, "secret-") {
				t.Errorf("%s: %q repeats a secret", name, v.Problem)
			}
		}
	}
}

// A notice says what lacks and what to type, once for both pools, and times are in UTC.
func TestNoticeSaysWhatToType(t *testing.T) {
	bad := fault.NewIssue(fault.TokenInvalid, "The provider rejected the token.")
	kiritimati := time.FixedZone("+14", 14*3600)
	var pools []Judged
	for _, pool := range market.Pools() {
		pools = append(pools, Judge(Facts{Pool: pool, Day: friday, Due: at(19, 0), NextSlot: at(20, 0).In(kiritimati), Runs: []Ended{ended(30, run.Blocked, func(e *Ended) { e.Run.Issues = []fault.Issue{bad} })}}))
	}
	if zone, _ := pools[0].NextAt.Zone(); zone != "UTC" || !pools[0].NextAt.Equal(at(20, 0)) {
		t.Errorf("next at %v", pools[0].NextAt)
	}
	n, ok := Decide(friday, pools, nil, at(19, 40))
	if text := n.Text(English); !ok || strings.Count(text, "lacks all data of the day: the provider rejected the token (TOKEN_INVALID)") != 2 ||
		!strings.HasSuffix(text, ". Copy the token again from the provider's account page and store it; no restart is needed: afterbell tokens set < token.txt") || strings.Count(text, "afterbell tokens") != 1 {
		t.Errorf("%q", text)
	}
	if text := n.Text(Chinese); !strings.HasSuffix(text, "。处理办法：从数据源的账户页面重新复制令牌并存入，无需重启：afterbell tokens set < token.txt") || !strings.Contains(text, "缺少 当日全部数据") {
		t.Errorf("%q", text)
	}
	// What is retried may also need a user's action.
	locked := fault.NewIssue(fault.TargetsDBLocked, "")
	n.Pools[1].Verdict, n.Pools[1].Reason, n.Pools[1].Remedy = Failed, locked.Reason, locked.Remedy
	if text := n.Text(English); !strings.HasSuffix(text, "token.txt "+locked.Remedy) {
		t.Errorf("%q", text)
	}
}

// The notice of a pool that needs an action does not promise that its next slot repairs it.
func TestAnActionComesBeforeTheNextSlot(t *testing.T) {
	p := PoolState{Pool: market.Universe, Verdict: Blocked, Reason: fault.TokenInvalid, NextAt: time.Date(2026, 11, 30, 17, 35, 0, 0, time.UTC), NextIsSlot: true}
	for l, want := range map[Language]string{
		English: ", which needs your action; start a run afterwards (afterbell run universe), otherwise the next one at 2026-12-01 01:35 (Shanghai) fails in the same way",
		Chinese: "，需要人工处理；处理后请开始一次运行（afterbell run universe），否则下次运行（2026-12-01 01:35，上海时间）仍会如此",
	} {
		if got := p.clause(l); !strings.HasSuffix(got, want) {
			t.Errorf("%s", got)
		}
	}
}
