package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/readiness"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// History is the input of an explanation of a run. Only Run is required.
type History struct {
	// Run to explain.
	Run Run
	// Slot that the run is for, or nil.
	Slot *slot.Slot
	// Events of the run in order; those of single partitions are not needed.
	Events []Event
	// Partitions of the run.
	Partitions []Partition
	// Ahead are the queued runs of its pool that start before it.
	Ahead []Run
	// First is the targets run of the same trigger that a queued universe run waits for, or
	// nil.
	First *Run
	// PauseState of its pool.
	PauseState PauseState
	// FollowUps of the run, oldest first.
	FollowUps []Run
	// Next is the queued follow-up of its pool that starts first, of any run; nil when none is
	// queued.
	Next *Run
	// Later is a run of its pool that started after it ended, covered at least the same
	// request, and did not have its worst issue; nil when there is none.
	Later *Run
	// Check compares its worst issue with newer probes.
	Check readiness.Standing
	// Zone in which times are shown. Nil means Shanghai.
	Zone *time.Location
}

// Explain returns what happened to a run in order, one sentence each, and ends with the
// next command to type.
func Explain(s History) (sentences []bilingual.Text, next string) {
	zone := slot.ZoneOr(s.Zone)
	say := func(en, zh string, args ...any) { sentences = append(sentences, bilingual.Say(en, zh, args...)) }
	when := func(t time.Time) string { return slot.Moment(t, zone) }
	ask := func(t time.Time) bilingual.Text { return slot.Shanghai(t, zone) }
	r := s.Run
	if s.Slot != nil {
		sentences = append(sentences, s.Slot.Explain(zone)...)
	}
	say("Run %s of %s was requested at %s %s.", "%[2]s的运行 %[1]s 于 %[3]s %[4]s。", r.ID, bilingual.Pool(r.Pool), when(r.CreatedAt), r.askedBy())
	if w := r.Request.words(); w != (bilingual.Text{}) {
		say("It was requested for %s.", "请求：%s。", w)
	}
	if r.State == Queued {
		said, next := explainQueued(s, when, ask)
		return append(sentences, said...), next
	}
	if slices.ContainsFunc(s.Events, func(e Event) bool {
		return e.StateChanged != nil && e.StateChanged.From == Queued && e.StateChanged.To == Finished
	}) {
		say("It was cancelled at %s in the queue%s, before it started.", "它在开始之前，于 %s 在队列中被取消%s。", when(r.FinishedAt), because(r.Note))
		return sentences, Again(r.Pool, r.Request)
	}
	waited := r.StartedAt.Sub(latest(r.CreatedAt, r.NotBefore))
	switch {
	case waited >= time.Second:
		say("It started at %s, after %s in the queue.", "它排队 %[2]s后，于 %[1]s 开始。", when(r.StartedAt), bilingual.Took(waited))
	case !r.StartedAt.IsZero():
		say("It started at %s.", "它于 %s 开始。", when(r.StartedAt))
	}
	for _, e := range s.Events {
		switch {
		case e.StateChanged != nil:
			c := e.StateChanged
			switch {
			case c.To == Running && len(r.Meta.BlockedModules) > 0:
				say("At %s the checks passed, except for the blocked modules %s.", "检查于 %s 通过，被阻止的模块除外：%s。", when(e.Time), strings.Join(r.Meta.BlockedModules, ", "))
			case c.To == Running:
				say("At %s all checks passed.", "检查于 %s 全部通过。", when(e.Time))
			case c.To == Paused:
				say("At %s it was paused%s.", "它于 %s 被暂停%s。", when(e.Time), because(c.Note))
			case c.From == Paused && c.To == Checking:
				say("At %s it was resumed%s, and the checks ran again.", "它于 %s 被恢复%s，检查重新进行。", when(e.Time), because(c.Note))
			case c.To == Cancelling:
				say("At %s a user cancelled it%s.", "用户于 %s 取消了它%s。", when(e.Time), because(c.Note))
			}
		case e.Preflight != nil && e.Preflight.Module == "" && e.Preflight.Message != "":
			say("Preflight: %s", "预检：%s", bilingual.Note(e.Preflight.Message).Sentence())
		case e.Preflight != nil:
			for _, i := range e.Preflight.Issues {
				if i.Severity > fault.Warning {
					say("Preflight of %s: %s", "%s 的预检：%s", e.Preflight.Module, bilingual.Issue(i).Sentence())
				}
			}
		case e.Planned != nil && e.Planned.Partitions == 0:
			say("At %s the plan found nothing missing%s.", "%s 的规划没有发现缺失%s。", when(e.Time), upTo(e.Planned))
		case e.Planned != nil:
			say("At %s the plan has %s, about %s%s.", "%s 的规划有 %s，约 %s%s。", when(e.Time), count(e.Planned.Partitions, partition), count(e.Planned.Calls, call), upTo(e.Planned))
		}
	}
	sentences = append(sentences, partitionsSay(r, s.Partitions)...)
	if r.State != Finished {
		say("It is now %s.", "它现在的状态：%s。", inState(r.State))
		switch r.State {
		case Paused:
			return sentences, ResumePool(r.Pool)
		case Cancelling:
			say("It ends when the ingest-worker confirms that it has stopped writing.", "采集器确认停止写入后，它就结束。")
		}
		return sentences, watch(r.ID)
	}
	end, next := explainEnd(s, when, ask)
	return append(sentences, end...), next
}

// explainQueued explains what a queued run waits for.
func explainQueued(s History, when func(time.Time) string, ask func(time.Time) bilingual.Text) (said []bilingual.Text, next string) {
	r := s.Run
	say := func(en, zh string, args ...any) { said = append(said, bilingual.Say(en, zh, args...)) }
	switch {
	case len(s.Ahead) > 0:
		say("It is waiting in the queue behind %s.", "它在队列中，排在%s之后。", ids(s.Ahead))
	case s.First != nil && r.NotBefore.IsZero():
		say("It is waiting for the targets run of the same trigger, %s, to end, or until order_wait in the settings has elapsed.",
			"它在等同一触发的目标池运行（%s）结束，或等到设置 order_wait 的时间已过。", ids([]Run{*s.First}))
	case !r.NotBefore.IsZero():
		say("It is waiting in the queue and starts at %s.", "它在队列中，于 %s开始。", ask(r.NotBefore))
	default:
		say("It is waiting in the queue and starts next.", "它在队列中，下一个开始。")
	}
	if s.PauseState.Paused {
		say("The pool %s was paused at %s%s; no run of the pool starts until it is resumed.", "%s于 %s 被暂停%s；恢复之前，它的运行都不会开始。", bilingual.Pool(r.Pool), when(s.PauseState.At), because(s.PauseState.Note))
		return said, ResumePool(r.Pool)
	}
	return said, watch(r.ID)
}

func explainEnd(s History, when func(time.Time) string, ask func(time.Time) bilingual.Text) (said []bilingual.Text, next string) {
	r := s.Run
	say := func(en, zh string, args ...any) { said = append(said, bilingual.Say(en, zh, args...)) }
	var took bilingual.Text
	if d := r.FinishedAt.Sub(r.StartedAt); d >= time.Second && !r.StartedAt.IsZero() {
		took = bilingual.Say(" after %s", "，用时 %s", bilingual.Took(d))
	}
	say("It finished at %s%s as %s: %s", "它于 %s 结束%s，结果为%s：%s", when(r.FinishedAt), took, ended(r.Outcome), r.ended())
	for _, e := range s.Events {
		if c := e.StateChanged; r.Outcome == Unchanged && c != nil && c.To == Finished && c.Note != "" {
			said = append(said, bilingual.Note(c.Note).Sentence())
		}
	}
	for _, i := range r.Issues {
		text := bilingual.Say("%s: %s", "%s：%s", i.Reason, bilingual.Issue(i).Sentence())
		// One sentence for all modules that the same token blocks. Its Chinese names the API of the first.
		if !slices.ContainsFunc(said, func(t bilingual.Text) bool { return t.En == text.En }) {
			said = append(said, text)
		}
	}
	worst, bad := fault.Worst(r.Issues)
	bad = bad && worst.Severity > fault.Warning
	switch {
	case s.Later != nil:
		say("Run %s, which started later, ended as %s.", "之后开始的运行 %s 已结束，结果为%s。", s.Later.ID, ended(s.Later.Outcome))
	case bad && s.Check == readiness.Changed:
		say("The token or the configuration has changed since; check it: %s", "此后令牌或配置有变化，请检查：%s", preflightNow)
	case bad && s.Check == readiness.Passed:
		say("The checks have passed since. Start a run: %s", "此后检查已通过。请开始一次运行：%s", Again(r.Pool, r.Request))
	case bad && worst.Remedy != "" && (len(s.FollowUps) == 0 || worst.Command() != ""):
		say("What to do: %s", "怎么办：%s", bilingual.Remedy(worst).Sentence())
	}
	for _, f := range s.FollowUps {
		switch {
		case f.State == Queued:
			text := bilingual.Say("The follow-up run %s starts at %s", "后续运行 %s 于 %s开始", f.ID, ask(latest(f.NotBefore, f.CreatedAt)))
			if f.Note != "" {
				text = bilingual.Say("%s: %s", "%s：%s", text, noteOf(f.Note, worst))
			}
			said = append(said, text.Sentence())
		case f.State == Finished:
			say("The follow-up run %s ended as %s.", "后续运行 %s 已结束，结果为%s。", f.ID, ended(f.Outcome))
		default:
			say("The follow-up run %s is %s.", "后续运行 %s 的状态：%s。", f.ID, inState(f.State))
		}
	}
	if len(s.FollowUps) == 0 {
		switch d, _ := fault.Describe(worst.Reason); {
		case !r.RetryAt.IsZero() && s.Next != nil:
			say("Run %s, which is already in the queue, is its follow-up and starts at %s.", "已在队列中的运行 %s 就是它的后续运行，于 %s开始。", s.Next.ID, ask(latest(s.Next.NotBefore, s.Next.CreatedAt)))
		case !r.RetryAt.IsZero():
			say("A run that was already in the queue was its follow-up; it was due at %s.", "当时已在队列中的一次运行是它的后续运行，应于 %s开始。", ask(r.RetryAt))
		case !bad || s.Later != nil:
		case d.Class == fault.Permanent && s.Check == readiness.Holds:
			say("No follow-up run is queued, because this needs your action. Once you have done it, start a run: %s",
				"没有安排后续运行，因为这需要你来处理。处理之后，请开始一次运行：%s", Again(r.Pool, r.Request))
		case d.Class == fault.Permanent:
		case (d.Class == fault.Transient || d.Class == fault.Quota) && r.Attempt > 0:
			say("It was attempt %d in a row; no further attempt is made before the next scheduled run.", "这是连续第 %d 次尝试；在下一次计划的运行之前不再尝试。", r.Attempt+1)
		case d.Class == fault.Transient || d.Class == fault.Quota:
			say("No follow-up run is queued; the next scheduled run tries again.", "没有安排后续运行；下一次计划的运行会再试。")
		case d.Class == fault.Later:
			say("No follow-up run is queued; the next scheduled run fetches what is missing.", "没有安排后续运行；下一次计划的运行会获取缺少的数据。")
		}
	}
	return said, nextAfter(s, worst, bad)
}

// nextAfter is the command to type after a finished run.
func nextAfter(s History, worst fault.Issue, bad bool) string {
	r, command := s.Run, ""
	if bad {
		command = worst.Command()
	}
	switch {
	case s.Later != nil:
		return "curl localhost:7780/v1/runs/" + s.Later.ID
	case bad && s.Check == readiness.Changed:
		return preflightNow
	case bad && s.Check == readiness.Passed:
		return Again(r.Pool, r.Request)
	}
	if n := len(s.FollowUps); n > 0 {
		switch last := s.FollowUps[n-1]; {
		case last.State == Finished:
			return "curl localhost:7780/v1/runs/" + last.ID
		case last.State == Queued && command != "": // it fails again until a user acts
			return command
		default:
			return watch(last.ID)
		}
	}
	switch {
	case r.Outcome == Unchanged && r.Pool == market.Targets && r.Symbols == 0:
		return `curl -X PUT localhost:7780/v1/targets -d '{"targets":{"symbols":["600519.SH"]}}'`
	case r.Outcome == Succeeded || r.Outcome == Unchanged:
		return fmt.Sprintf("curl localhost:7780/v1/pools/%s/coverage", r.Pool)
	case command != "":
		return command
	case !r.RetryAt.IsZero():
		return "curl localhost:7780/v1/pools/" + string(r.Pool)
	case r.Outcome != Cancelled && len(s.Partitions) > 0:
		return fmt.Sprintf("curl localhost:7780/v1/runs/%s/partitions", r.ID)
	}
	return Again(r.Pool, r.Request)
}

// preflightNow is the command that checks token and modules.
const preflightNow = "curl -N -X POST localhost:7780/v1/preflights:run -d '{}'"

// Outlives reports whether a finished run makes an earlier run's issue obsolete: it started
// later, covered at least the same request, and did not have the issue.
func Outlives(later, earlier Run, met fault.Issue) bool {
	switch later.Outcome {
	case Succeeded, Unchanged, Partial:
	default:
		return false
	}
	if later.Pool != earlier.Pool || !later.StartedAt.After(earlier.FinishedAt) || !covers(later.Request.Modules, earlier.Request.Modules) {
		return false
	}
	whole := noDate(later.Request.Start) && noDate(later.Request.End)
	if !whole && (later.Request.Start != earlier.Request.Start || later.Request.End != earlier.Request.End) {
		return false
	}
	return !slices.ContainsFunc(later.Issues, func(i fault.Issue) bool { return i.Reason == met.Reason && i.Severity > fault.Warning })
}

// Again is the command that repeats a request for a pool.
func Again(pool market.Pool, q Request) string {
	body := fmt.Sprintf(`"pools":["POOL_%s"]`, strings.ToUpper(string(pool)))
	if q.Start > 0 {
		body += fmt.Sprintf(`,"start_date":%q`, q.Start)
	}
	if q.End > 0 {
		body += fmt.Sprintf(`,"end_date":%q`, q.End)
	}
	if m := q.Modules; len(m) > 0 {
		body += fmt.Sprintf(`,"module_ids":["%s"]`, strings.Join(m, `","`))
	}
	if q.Refetch {
		body += `,"refetch":true`
	}
	return "curl -X POST localhost:7780/v1/runs -d '{" + body + "}'"
}

// ResumePool is the command that resumes a pool.
func ResumePool(pool market.Pool) string {
	return fmt.Sprintf("curl -X POST localhost:7780/v1/pools/%s:resume -d '{}'", pool)
}

func (r Run) askedBy() bilingual.Text {
	switch r.Source {
	case SourceSchedule:
		return bilingual.Text{En: "by the schedule", Zh: "由计划发起"}
	case SourceStartup:
		return bilingual.Text{En: "because the orchestrator started", Zh: "因编排器启动而发起"}
	case SourceAuto:
		return bilingual.Say("to follow up run %s%s", "作为运行 %s 的后续发起%s", r.Follows, because(r.Note))
	}
	return bilingual.Text{En: "manually", Zh: "由人发起"}
}

func (r Run) ended() bilingual.Text {
	if r.Meta.Revised == nil {
		return r.end()
	}
	return r.end().And(r.Meta.Revised.sentence())
}

func (r Run) end() bilingual.Text {
	switch r.Outcome {
	case Succeeded:
		if left := r.Partitions - r.Completed; left > 0 {
			return bilingual.Say("%s complete, %s (%d new, %d changed, %d gone), %s. %s of old dates failed and will be repeated on a later evening.",
				"完成 %s，%s（新 %d，变 %d，去 %d），%s。旧日期的 %s失败，以后的晚上会重做。",
				count(r.Completed, partition), count(int(r.Rows), row), r.New, r.Changed, r.Gone, count(r.Calls, call), count(left, recheck))
		}
		return bilingual.Say("all of %s complete, %s (%d new, %d changed, %d gone), %s.", "%s全部完成，%s（新 %d，变 %d，去 %d），%s。",
			count(r.Partitions, partition), count(int(r.Rows), row), r.New, r.Changed, r.Gone, count(r.Calls, call))
	case Unchanged:
		return bilingual.Text{En: "there was nothing to do.", Zh: "没有要做的。"}
	case Blocked:
		if r.Completed > 0 { // before a pause
			return bilingual.Say("%s failed; %d of %s had been completed and are kept.", "%s没有通过；%[3]s中已完成 %[2]d 个，予以保留。", r.Stage.words(), r.Completed, count(r.Partitions, partition))
		}
		return bilingual.Say("%s failed, and nothing was written.", "%s没有通过，没有写入任何内容。", r.Stage.words())
	case Cancelled:
		return bilingual.Say("%d of %s had been completed and are kept.", "%[2]s中已完成 %[1]d 个，予以保留。", r.Completed, count(r.Partitions, partition))
	}
	text := bilingual.Say("%d of %s complete, %s (%d new, %d changed, %d gone), %s.", "%[2]s中完成 %[1]d 个，%[3]s（新 %[4]d，变 %[5]d，去 %[6]d），%[7]s。",
		r.Completed, count(r.Partitions, partition), count(int(r.Rows), row), r.New, r.Changed, r.Gone, count(r.Calls, call))
	if len(r.Meta.BlockedModules) > 0 {
		text = text.And(bilingual.Say("Blocked: %s.", "被阻止：%s。", strings.Join(r.Meta.BlockedModules, ", ")))
	}
	return text
}

// words names the check of a stage.
func (s Stage) words() bilingual.Text {
	switch s {
	case StageToken:
		return bilingual.Text{En: "the check of the token", Zh: "令牌的检查"}
	case StageReadiness:
		return bilingual.Text{En: "the check of token and modules", Zh: "令牌和模块的检查"}
	case StageAnalysisInit:
		return bilingual.Text{En: "the check of the pool's file", Zh: "股票池文件的检查"}
	}
	return bilingual.Text{En: "the check of the ingest-worker", Zh: "采集器的检查"}
}

// partitionsSay returns a sentence for each dataset that is not complete.
func partitionsSay(r Run, partitions []Partition) (sentences []bilingual.Text) {
	type tally struct {
		states map[PartitionState]int
		sample *Partition
	}
	var datasets []string
	by := map[string]*tally{}
	for i := range partitions {
		p := &partitions[i]
		t := by[p.Dataset]
		if t == nil {
			t = &tally{states: map[PartitionState]int{}}
			by[p.Dataset], datasets = t, append(datasets, p.Dataset)
		}
		t.states[p.State]++
		if p.State != PartitionCompleted && (t.sample == nil || len(p.Issues) > 0) {
			t.sample = p
		}
	}
	for _, name := range datasets {
		t := by[name]
		if t.sample == nil {
			continue
		}
		var en, zh []string
		for _, state := range []PartitionState{PartitionCompleted, PartitionFailed, PartitionWaiting, PartitionRunning, PartitionPending, PartitionCancelled} {
			if n := t.states[state]; n > 0 {
				en, zh = append(en, fmt.Sprintf("%d %s", n, state)), append(zh, fmt.Sprintf("%s %d 个", partitionStates[state], n))
			}
		}
		text := bilingual.Text{En: name + ": " + strings.Join(en, ", ") + ".", Zh: name + "：" + strings.Join(zh, "，") + "。"}
		if worst, ok := fault.Worst(t.sample.Issues); ok && r.State != Finished {
			text = text.And(bilingual.Issue(worst).Sentence())
		}
		sentences = append(sentences, text)
	}
	return sentences
}

func (q Request) words() bilingual.Text {
	var parts []bilingual.Text
	switch {
	case !noDate(q.Start) && !noDate(q.End):
		parts = append(parts, bilingual.Say("the dates %s to %s", "日期 %s 至 %s", q.Start, q.End))
	case !noDate(q.Start):
		parts = append(parts, bilingual.Say("the dates from %s", "自 %s 起的日期", q.Start))
	case !noDate(q.End):
		parts = append(parts, bilingual.Say("the dates up to %s", "至 %s 为止的日期", q.End))
	}
	if len(q.Modules) > 0 {
		parts = append(parts, bilingual.Say("the modules %s", "模块 %s", strings.Join(q.Modules, ", ")))
	}
	if q.Refetch {
		parts = append(parts, bilingual.Text{En: "complete dates as well (refetch)", Zh: "也包括完整的日期（refetch）"})
	}
	return bilingual.Text{En: strings.Join(bilingual.In(parts, false), ", "), Zh: strings.Join(bilingual.In(parts, true), "，")}
}

func watch(id string) string { return "curl -N localhost:7780/v1/runs/" + id + ":watch" }

func upTo(p *Planned) bilingual.Text {
	if noDate(p.LastTradeDate) {
		return bilingual.Text{}
	}
	return bilingual.Say(", up to %s", "，至 %s", p.LastTradeDate)
}

// Text is the note in both languages.
func (n PreflightNote) Text() bilingual.Text {
	if worst, found := fault.Worst(n.Issues); found && n.Module != "" && worst.Severity > fault.Warning {
		return bilingual.Text{En: n.Message, Zh: bilingual.Say("%s failed: %s", "%s 未通过：%s", n.Module, bilingual.Issue(worst)).Zh}
	}
	return bilingual.Note(n.Message).Sentence()
}

// because puts a note in parentheses. The full stop of a generated note is dropped.
func because(note string) bilingual.Text {
	if note == "" {
		return bilingual.Text{}
	}
	text := bilingual.Note(note)
	text.En = strings.TrimSuffix(text.En, ".")
	return bilingual.Say(" (%s)", "（%s）", text)
}

// noteOf is a note that may quote an issue.
func noteOf(note string, quoted fault.Issue) bilingual.Text {
	text := bilingual.Note(note)
	if quoted.Message != "" {
		text.Zh = strings.ReplaceAll(text.Zh, strings.TrimSuffix(quoted.Message, "."), strings.TrimSuffix(bilingual.Issue(quoted).Zh, "。"))
	}
	return text
}

func ids(runs []Run) bilingual.Text {
	names := make([]bilingual.Text, len(runs))
	for i, r := range runs {
		names[i] = bilingual.Say("run %s (%s)", "运行 %s（%s）", r.ID, inState(r.State))
	}
	return bilingual.Text{En: strings.Join(bilingual.In(names, false), ", "), Zh: strings.Join(bilingual.In(names, true), "、")}
}

// states are the Chinese names of a run's states, outcomes those of its outcomes, and
// partitionStates those of a partition's states.
var (
	states = map[State]string{
		Queued: "排队中", Checking: "检查中", Running: "进行中", Paused: "已暂停", Cancelling: "正在取消", Finished: "已结束",
	}
	outcomes = map[Outcome]string{
		Succeeded: "成功", Unchanged: "无需更新", Partial: "部分完成", Blocked: "被阻止", Failed: "失败", Cancelled: "已取消",
	}
	partitionStates = map[PartitionState]string{
		PartitionCompleted: "完成", PartitionFailed: "未完成", PartitionWaiting: "等待重试", PartitionRunning: "处理中",
		PartitionPending: "等待分派", PartitionCancelled: "未执行",
	}
)

// ended names an outcome for readers; in English it is the name in the API.
func ended(o Outcome) bilingual.Text {
	return bilingual.Text{En: strings.ToUpper(string(o)), Zh: outcomes[o]}
}

func inState(s State) bilingual.Text { return bilingual.Text{En: string(s), Zh: states[s]} }

// What is counted, in the singular, with the Chinese measure word.
var (
	partition      = bilingual.Text{En: "partition", Zh: "个分区"}
	otherPartition = bilingual.Text{En: "other partition", Zh: "个其他分区"}
	call           = bilingual.Text{En: "call", Zh: "次调用"}
	recheck        = bilingual.Text{En: "re-check", Zh: "次复查"}
	value          = bilingual.Text{En: "value", Zh: "个值"}
	row            = bilingual.Text{En: "row", Zh: "行"}
)

func count(n int, thing bilingual.Text) bilingual.Text {
	if n != 1 {
		thing.En += "s"
	}
	return bilingual.Say("%d %s", "%d %s", n, thing)
}
