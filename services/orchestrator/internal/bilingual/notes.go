package bilingual

import (
	"regexp"
	"sync"

	"github.com/afterbell/afterbell/services/internal/market"
)

// notes has the Chinese of the notes that this service writes to the ledger in English,
// without the full stop. Users' notes are not translated.
var notes = [][2]string{
	// reasons why a slot was late
	{`the orchestrator was not running when the slot was due; it started at (.+?)`, "时段到期时编排器没有运行，它于 $1 启动"},
	{`the schedule was changed after the slot was due`, "时段到期之后计划被更改"},
	{`the schedule was paused from (.+) to (.+?)`, "计划从 $1 到 $2 处于暂停"},
	{`the scheduler did not run between (.+) and (.+): the host was asleep, or its clock was changed`, "调度器在 $1 与 $2 之间没有运行：主机休眠过，或时钟被更改"},
	{`the scheduler could not read or write its state until now: (.+?)`, "此前调度器无法读写状态：$1"},
	{`run (\S+), which covered it, was cancelled at (\d\S+ \S+ \S+?)`, "覆盖它的运行 $1 已于 $2 取消"},
	{`run (\S+), which covered it, was cancelled at (\d\S+ \S+ \S+?) \((.+)\)`, "覆盖它的运行 $1 已于 $2 取消（$3）"},
	// reasons for a follow-up run
	{`The slot was before a dataset of the day was due`, "时段早于当日某个数据集的到期时间"},
	{`The previous run was interrupted`, "上一次运行被中断"},
	{`The previous run ended with a temporary error: (.*?)`, "上一次运行因暂时的错误结束：$1"},
	{`The provider's quota was used up`, "数据源的额度已用尽"},
	{`Data of (\S+) was not published or not complete`, "$1 的数据尚未发布或不完整"},
	{`([a-z_, ]+) of (\S+) was not published or not complete`, "$2 的 $1 尚未发布或不完整"},
	{`Data of (\S+) is missing, and the maximum number of attempts in a row is reached \((.+)\)`, "$1 的数据缺失，而连续尝试的次数已达上限（$2）"},
	{`Rows of (\S+) were altered in the pool's file`, "股票池的文件中 $1 的行被改动"},
	{`The clock was wrong: follow-up runs for future days were dropped, and missing data is fetched now`, "时钟曾经不准：未来日期的后续运行已取消，现在获取缺少的数据"},
	// the progress of a run
	{`The target list is empty, so there was nothing to do`, "目标列表为空，没有要做的"},
	{`Checking one module`, "检查 1 个模块"}, // of earlier releases
	{`Checking (\d+) modules?`, "检查 $1 个模块"},
	{`Probing (\S+?)`, "正在探测 $1"},
	{`(\S+): the probe of (.+) is reused \((.+)\)`, "$1：沿用 $2 的探测（$3）"},
	{`(\S+) passed in (\S+?)`, "$1 通过，用时 $2"},
	{`(\S+) failed`, "$1 未通过"},
}

// decisions are the Chinese names of a pool's verdicts.
var decisions = map[string]string{"ready": "可以运行", "degraded": "部分可运行", "retry": "稍后再试", "blocked": "被阻止"}

// pattern matches a note and has its Chinese.
type pattern struct {
	*regexp.Regexp
	zh string
}

var patterns = sync.OnceValue(func() []pattern {
	all := notes
	for _, p := range market.Pools() {
		pool := Pool(p)
		for decision, zh := range decisions {
			all = append(all,
				[2]string{`Verdict for ` + pool.En + `: ` + decision + `, because of (.+); not checked again: (.+?)`, pool.Zh + "的结论：" + zh + "，原因在 $1；未再检查：$2"},
				[2]string{`Verdict for ` + pool.En + `: ` + decision + `; (\d+) modules? can run, (\d+) (?:is|are) blocked`, pool.Zh + "的结论：" + zh + "；$1 个模块可运行，$2 个被阻止"})
		}
	}
	out := make([]pattern, len(all))
	for i, n := range all {
		out[i] = pattern{regexp.MustCompile(`(?s)^` + n[0] + `\.?$`), n[1]}
	}
	return out
})

// Note translates a note of the ledger. The Chinese has no full stop.
func Note(text string) Text {
	for _, p := range patterns() {
		if at := p.FindStringSubmatchIndex(text); at != nil {
			return Text{text, string(p.ExpandString(nil, p.zh, text, at))}
		}
	}
	return Same(text)
}
