package run

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/slot"
)

// Forecast is the forecast for a pool: what will fetch it next. Every explanation ends with
// it.
type Forecast struct {
	// Pool of the forecast.
	Pool market.Pool
	// Now is the current time.
	Now time.Time
	// PauseState of the pool.
	PauseState PauseState
	// Current is the pool's run that has left the queue and not ended, or nil.
	Current *Run
	// Queued is the queued run that starts first, or nil.
	Queued *Run
	// Slot is the next slot of the pool that will fire, or nil.
	Slot *slot.Slot
	// Schedule as stored.
	Schedule slot.Schedule
	// Off is true when this process does not run the schedule.
	Off bool
	// EndsAs is how the next run will end if nobody fixes what stopped the last one: Blocked or
	// Failed. Empty if there is nothing to fix.
	EndsAs Outcome
}

// Commands that make the schedule fire again.
const (
	// ResumeSchedule resumes a paused schedule.
	ResumeSchedule = `curl -X POST localhost:7780/v1/schedule:resume -d '{"catch_up":"CATCH_UP_LAST"}'`
	// EnableSchedule enables a disabled schedule.
	EnableSchedule = `curl -X PATCH localhost:7780/v1/schedule -d '{"enabled":true}'`
	// SchedulePools makes the schedule run both pools.
	SchedulePools = `curl -X PATCH localhost:7780/v1/schedule -d '{"pools":["POOL_TARGETS","POOL_UNIVERSE"]}'`
	// ShowSchedule shows the schedule.
	ShowSchedule = "curl localhost:7780/v1/schedule"
)

// At is the time at which the pool is fetched next. Zero if it is being fetched now, or
// nothing is scheduled.
func (c Forecast) At() time.Time {
	switch {
	case c.PauseState.Paused:
	case c.waits() && (c.Slot == nil || !c.Queued.NotBefore.After(c.Slot.DueAt)):
		return c.Queued.NotBefore
	case c.Slot != nil:
		return c.Slot.DueAt
	}
	return time.Time{}
}

// waits reports whether a queued run waits for its time.
func (c Forecast) waits() bool { return c.Queued != nil && c.Queued.NotBefore.After(c.Now) }

// Explain says when the pool is fetched next, in Shanghai time, or that nothing fetches it
// and what to type. key is the essential part of the English text: a text that contains it
// needs no such sentence.
func (c Forecast) Explain(zone *time.Location) (text bilingual.Text, key string) {
	pool := bilingual.Pool(c.Pool)
	if c.PauseState.Paused {
		key = ResumePool(c.Pool)
		return bilingual.Say("The pool %s is paused, and nothing is fetched until it is resumed: %s", "%s已暂停，恢复之前不会获取数据：%s", pool, key), key
	}
	switch {
	case c.Current != nil:
		text = bilingual.Say("Run %s of %s is in progress.", "%[2]s的运行 %[1]s 正在进行。", c.Current.ID, pool)
	case c.Queued != nil && !c.waits():
		text = bilingual.Say("Run %s of %s is in the queue and starts next.", "%[2]s的运行 %[1]s 在队列中，下一个开始。", c.Queued.ID, pool)
	}
	at := slot.Shanghai(c.At(), zone)
	switch {
	case c.At().IsZero():
		said := c.nothing(text != bilingual.Text{})
		return text.And(said), said.En
	case c.Slot == nil || c.At().Before(c.Slot.DueAt):
		return text.And(bilingual.Say("Run %s, which is in the queue, fetches %s next, at %s.", "%[2]s接下来由队列中的运行 %[1]s 于 %[3]s获取。", c.Queued.ID, pool, at)), at.En
	case text != bilingual.Text{} || c.EndsAs == "":
		return text.And(bilingual.Say("The slot of %s fetches %s next, at %s.", "%[2]s接下来由 %[1]s 的时段于 %[3]s获取。", c.Slot.Date, pool, at)), at.En
	case c.EndsAs == Blocked:
		return bilingual.Say("Otherwise the slot of %s tries again at %s, and is blocked again.", "否则 %s 的时段于 %s再试，并再次被阻止。", c.Slot.Date, at), at.En
	}
	return bilingual.Say("Otherwise the slot of %s tries again at %s, and fails with the same error.", "否则 %s 的时段于 %s再试，并因同样的错误失败。", c.Slot.Date, at), at.En
}

// Command is the command after which the pool is fetched again. Empty if something is
// scheduled.
func (c Forecast) Command() string {
	switch {
	case c.PauseState.Paused:
		return ResumePool(c.Pool)
	case c.Current != nil || c.Queued != nil || c.Slot != nil:
		return ""
	}
	_, command := c.why()
	return command
}

// why says why no slot will fire, and what to type.
func (c Forecast) why() (why bilingual.Text, command string) {
	why, command = bilingual.Text{En: "no trading day is known within one year", Zh: "一年之内没有已知的交易日"}, Again(c.Pool, Request{})
	switch {
	case c.Off:
		why = bilingual.Text{En: "this process does not run the schedule", Zh: "这个进程不执行计划"}
	case len(c.Schedule.Validate()) > 0:
		why, command = bilingual.Text{En: "the schedule is not valid", Zh: "计划无效"}, ShowSchedule
	case !c.Schedule.Enabled:
		why, command = bilingual.Text{En: "the schedule is disabled", Zh: "计划已停用"}, EnableSchedule
	case c.Schedule.Paused:
		why, command = bilingual.Text{En: "the schedule is paused", Zh: "计划已暂停"}, ResumeSchedule
	case !c.Schedule.Fires(c.Pool):
		why, command = bilingual.Say("the schedule does not include the pool %s", "计划不包括%s", bilingual.Pool(c.Pool)), SchedulePools
	}
	return why, command
}

// nothing says that no slot will fire, why, and what to type. after is true if a run comes
// before.
func (c Forecast) nothing(after bool) bilingual.Text {
	why, command := c.why()
	if after {
		return bilingual.Say("After it, nothing is scheduled, because %s: %s", "此后没有计划的运行，因为%s：%s", why, command)
	}
	return bilingual.Say("Nothing is scheduled, because %s: %s", "没有计划的运行，因为%s：%s", why, command)
}
