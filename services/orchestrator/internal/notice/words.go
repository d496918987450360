package notice

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
)

// Language of a channel's notices.
type Language string

// The languages.
const (
	// English is the default.
	English Language = "en"
	// Chinese is Simplified Chinese.
	Chinese Language = "zh"
)

// Title is a notice in a few words, for the subject of a mail.
func (n Notice) Title(l Language) string {
	say := words(l)
	if n.Kind == Test {
		return say("afterbell: test", "afterbell：测试")
	}
	verdict := say("not whole", "不完整")
	switch {
	case n.Whole:
		verdict = say("whole", "完整")
	case n.Kind == Late:
		verdict = say("late", "逾时未完整")
	}
	return fmt.Sprintf("afterbell %s: %s", n.Date, verdict)
}

// Text is a notice in one sentence, and a second one if a user must act.
func (n Notice) Text(l Language) string {
	text := n.sentence(l)
	if n.Kind == Test || n.Kind == Started {
		return text
	}
	return text + n.todo(l)
}

// todo is the remedy of pools that wait for a user. It is complete: the command at its end
// may be one of several ways, or only show more.
func (n Notice) todo(l Language) string {
	say := words(l)
	var told []string
	for _, p := range n.Pools {
		if !p.permanent() && !p.Reason.NeedsPerson() || p.Remedy == "" || !slices.Contains(n.Changed, p.Pool) && n.Kind != Evening {
			continue
		}
		_, remedy := p.MessageAndRemedy(l)
		text := say(" ", "处理办法：") + remedy
		if !slices.Contains(told, text) {
			told = append(told, text)
		}
	}
	return strings.Join(told, "")
}

// MessageAndRemedy is the message and the remedy of a pool's issue, in the language if it is
// translated.
func (p PoolState) MessageAndRemedy(l Language) (message, remedy string) {
	if l != Chinese {
		return p.Message, p.Remedy
	}
	message, remedy = fault.Chinese(p.Reason, nil, p.Remedy)
	return cmp.Or(message, p.Message), cmp.Or(remedy, p.Remedy)
}

func (n Notice) sentence(l Language) string {
	say := words(l)
	switch n.Kind {
	case Test:
		return say("afterbell: this is a test. Notices arrive here.", "afterbell：这是测试消息，通知可以送达。")
	case Started:
		return fmt.Sprintf(say("afterbell: the update of %s has started.", "afterbell：%s 晚间更新已开始。"), n.Date)
	case Evening:
		if n.Whole {
			return fmt.Sprintf(say("afterbell: the data of %s is complete: %s.", "afterbell：%s 晚间数据完整：%s。"), n.Date, n.clauses(l, false))
		}
		return fmt.Sprintf(say("afterbell: the data of %s is not complete: %s.", "afterbell：%s 晚间数据不完整：%s。"), n.Date, n.clauses(l, false))
	case Better:
		if n.Whole {
			return fmt.Sprintf(say("afterbell: the data of %s is now complete: %s.", "afterbell：%s 晚间数据现已完整：%s。"), n.Date, n.clauses(l, true))
		}
		return fmt.Sprintf(say("afterbell: the data of %s has improved but is not complete yet: %s.", "afterbell：%s 晚间数据有好转，但尚不完整：%s。"), n.Date, n.clauses(l, false))
	case Worse:
		return fmt.Sprintf(say("afterbell: the data of %s has become worse: %s.", "afterbell：%s 晚间数据变差：%s。"), n.Date, n.clauses(l, false))
	case Late:
		return fmt.Sprintf(say("afterbell: it is past %s (Shanghai) and %s is not complete: %s.", "afterbell：已过 %s（上海时间），%s 仍不完整：%s。"), n.LateAt, n.Date, n.clauses(l, true))
	}
	return ""
}

func words(l Language) func(en, zh string) string {
	return func(en, zh string) string {
		if l == Chinese {
			return zh
		}
		return en
	}
}

// clauses returns one clause per pool; only the changed ones if the others are known.
func (n Notice) clauses(l Language, changed bool) string {
	var parts []string
	for _, p := range n.Pools {
		if changed && !slices.Contains(n.Changed, p.Pool) {
			continue
		}
		parts = append(parts, p.clause(l))
	}
	return strings.Join(parts, words(l)("; ", "；"))
}

// clause is a pool's state and what happens next.
func (p PoolState) clause(l Language) string {
	say := words(l)
	name := bilingual.Pool(p.Pool).En
	if l == Chinese {
		name = bilingual.Pool(p.Pool).Zh
	}
	lacking := p.lacking(l)
	var text string
	switch p.Verdict {
	case Whole:
		text = fmt.Sprintf(say("%s is complete", "%s完整"), name)
		if p.NoSymbols {
			text += say(" (its list has no symbols)", "（列表中没有代码）")
		}
		if older := p.older(l); older != "" {
			text += fmt.Sprintf(say(", but earlier dates lack %s", "，但此前的日期缺少 %s"), older)
		}
		return text
	case Pending:
		text = fmt.Sprintf(say("%s has not finished yet", "%s尚未结束"), name)
	case Lacking:
		text = fmt.Sprintf(say("%s lacks %s", "%s缺少 %s"), name, lacking)
	case Failed:
		text = fmt.Sprintf(say("%s failed and lacks %s%s", "%s失败，缺少 %s%s"), name, lacking, p.because(l))
	case Blocked:
		text = fmt.Sprintf(say("%s is blocked and lacks %s%s", "%s被阻止，缺少 %s%s"), name, lacking, p.because(l))
	case Absent:
		text = fmt.Sprintf(say("%s did not run and lacks %s%s", "%s没有运行，缺少 %s%s"), name, lacking, p.because(l))
	}
	if p.permanent() {
		text += say(", which needs your action", "，需要人工处理")
		if p.NextIsSlot {
			return text + fmt.Sprintf(say("; start a run afterwards (afterbell run %s), otherwise the next one at %s (Shanghai) fails in the same way", "；处理后请开始一次运行（afterbell run %s），否则下次运行（%s，上海时间）仍会如此"), p.Pool, moment(p.NextAt))
		}
	}
	return text + p.follows(l)
}

// lacking lists what is missing, with the reasons. Without a list, nothing of the day is
// stored.
func (p PoolState) lacking(l Language) string {
	say := words(l)
	if len(p.Lacks) == 0 {
		return say("all data of the day", "当日全部数据")
	}
	parts := make([]string, len(p.Lacks))
	for i, x := range p.Lacks {
		parts[i] = x.Name()
		if phrase := Phrase(x.Reason, l); phrase != "" {
			parts[i] += fmt.Sprintf(say(" (%s)", "（%s）"), phrase)
		}
	}
	return strings.Join(parts, say(", ", "、"))
}

func (p PoolState) older(l Language) string {
	var parts []string
	for _, g := range p.Older {
		parts = append(parts, fmt.Sprintf(words(l)("%s of %s", "%s（%s）"), g.Dataset, g.Date))
	}
	return strings.Join(parts, words(l)(", ", "、"))
}

func (p PoolState) because(l Language) string {
	say := words(l)
	phrase := Phrase(p.Reason, l)
	if phrase == "" {
		return ""
	}
	if p.Reason == fault.SchedulePaused && p.Message == poolPaused {
		phrase = say("the pool is paused", "股票池已暂停")
	}
	text := fmt.Sprintf(say(": %s (%s)", "：%s（%s）"), phrase, p.Reason)
	if p.Note != "" {
		text += fmt.Sprintf(say(", %s", "，%s"), oneLine(p.Note))
	}
	return text
}

// follows says when the pool is fetched next.
func (p PoolState) follows(l Language) string {
	say := words(l)
	switch {
	case p.Verdict == Pending:
		return ""
	case p.NextAt.IsZero():
		return say(", and no run is scheduled", "，不会自动重试")
	case p.NextIsSlot:
		return fmt.Sprintf(say(", and the next run starts at %s (Shanghai)", "，下次运行为 %s（上海时间）"), moment(p.NextAt))
	}
	return fmt.Sprintf(say(", and it is fetched again at %s (Shanghai)", "，将于 %s（上海时间）再次获取"), moment(p.NextAt))
}

func moment(t time.Time) string { return t.In(market.Shanghai).Format("2006-01-02 15:04") }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Phrase is a reason in a few words. Empty if there is none.
func Phrase(r fault.Reason, l Language) string {
	if r == "" {
		return ""
	}
	p, ok := phrases[r]
	if !ok {
		return string(r)
	}
	return words(l)(p[0], p[1])
}

// phrases has the phrase of each reason for the end of a run or for a slot that did not
// fire, in English and in Chinese.
var phrases = map[fault.Reason][2]string{
	fault.TokenMissing:              {"there is no provider token", "没有数据源令牌"},
	fault.TokenInvalid:              {"the provider rejected the token", "数据源拒绝了令牌"},
	fault.TooManyIPs:                {"too many IP addresses use the token", "令牌在过多地址上使用"},
	fault.PermissionDenied:          {"the token has no permission", "令牌权限不足"},
	fault.ProviderUnavailable:       {"the provider cannot be reached", "数据源无法访问"},
	fault.ProviderRefused:           {"the provider rejected the request", "数据源拒绝了请求"},
	fault.RateLimited:               {"a limit of the provider is reached", "达到数据源的频率限制"},
	fault.QuotaExhausted:            {"the provider's quota is used up", "数据源额度已用完"},
	fault.WorkerUnreachable:         {"the ingest-worker does not respond", "采集器无法访问"},
	fault.PreflightFailed:           {"the check before the run failed", "运行前检查中断"},
	fault.ModuleTestFailed:          {"the probe of a module failed", "模块探测未通过"},
	fault.DomainTestFailed:          {"all probes of a domain failed", "领域探测全部未通过"},
	fault.ModuleTestStale:           {"the probe of a module is too old", "模块探测已过期"},
	fault.DomainTestStale:           {"the probes of a domain are too old", "领域探测已过期"},
	fault.ModuleTestRequired:        {"a module has never been probed", "模块从未探测"},
	fault.DomainTestRequired:        {"a domain has never been probed", "领域从未探测"},
	fault.NoSyncModuleSelected:      {"no module is enabled", "没有启用的模块"},
	fault.DomainHasNoEnabledModules: {"a domain has no enabled module", "领域没有启用的模块"},
	fault.DomainProviderNotActive:   {"the provider of a domain is only planned", "领域的数据源尚未实现"},
	fault.ModuleNotSyncCapable:      {"a module is not implemented", "模块尚未实现"},
	fault.AnalysisDBLocked:          {"analysis.duckdb is locked by another program", "analysis.duckdb 被其他程序占用"},
	fault.AnalysisDBNotInitialized:  {"analysis.duckdb cannot be used", "analysis.duckdb 无法使用"},
	fault.TargetsDBLocked:           {"targets.sqlite is locked by another program", "targets.sqlite 被其他程序占用"},
	fault.TargetsDBNotInitialized:   {"targets.sqlite cannot be used", "targets.sqlite 无法使用"},
	fault.SourceMismatch:            {"the file was filled from a different provider", "文件来自另一个数据源"},
	fault.DiskFull:                  {"the disk is full", "磁盘已满"},
	fault.StoreFailed:               {"a file could not be written", "文件无法写入"},
	fault.NotPublished:              {"not published yet", "尚未发布"},
	fault.Incomplete:                {"too few rows", "行数不足"},
	fault.EmptyAnswer:               {"an empty response", "返回为空"},
	fault.CalendarUnavailable:       {"no trading calendar", "没有交易日历"},
	fault.Interrupted:               {"the orchestrator stopped during the run", "编排器中途停止"},
	fault.Cancelled:                 {"a user cancelled it", "被人取消"},
	fault.Stalled:                   {"no progress", "没有进展"},
	fault.StaleEpoch:                {"a newer attempt replaced it", "被更新的一次取代"},
	fault.SchedulePaused:            {"the schedule is paused", "计划已暂停"},
	fault.ScheduleDisabled:          {"the schedule is disabled", "计划已停用"},
	fault.SlotMissed:                {"the orchestrator was not running", "到时没有程序运行"},
	fault.Internal:                  {"an unexpected error", "意外错误"},
	fault.ValuesRepeated:            {"values of another day", "数值与另一日重复"},
	fault.ValuesMissing:             {"a column without values", "某列没有数值"},
	fault.ValuesConflict:            {"values that contradict others", "数值相互矛盾"},
	fault.UnitSuspect:               {"values in a different unit", "数值单位可疑"},
	fault.SymbolsMissing:            {"symbols without a row", "有代码缺少数据"},
	fault.FileReplaced:              {"the file was replaced during the run", "文件中途被替换"},
	fault.StoreAltered:              {"rows were altered in the file", "文件中的行被改动"},
}
