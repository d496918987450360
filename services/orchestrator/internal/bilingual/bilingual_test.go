package bilingual_test

import (
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
)

func TestSay(t *testing.T) {
	n := bilingual.Text{En: "2 calls", Zh: "2 次调用"}
	got := bilingual.Say("At %s it made %s.", "它于 %[1]s 做了 %[2]s。", "19:30", n)
	if want := (bilingual.Text{En: "At 19:30 it made 2 calls.", Zh: "它于 19:30 做了 2 次调用。"}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := got.And(bilingual.Same("daily")); got.En != "At 19:30 it made 2 calls. daily" || got.Zh != "它于 19:30 做了 2 次调用。daily" {
		t.Errorf("joined: %q", got)
	}
	if got := bilingual.In([]bilingual.Text{n, bilingual.Same("x")}, true); got[0] != "2 次调用" || got[1] != "x" {
		t.Errorf("in Chinese: %q", got)
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]bilingual.Text{
		0:                        {En: "0s", Zh: "0 秒"},
		36140 * time.Millisecond: {En: "36.1s", Zh: "36.1 秒"},
		9 * time.Second:          {En: "9s", Zh: "9 秒"},
		65 * time.Second:         {En: "1m5s", Zh: "1 分 5 秒"},
		26 * time.Hour:           {En: "26h0m0s", Zh: "1 天 2 小时"},
	} {
		if got := bilingual.Took(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestSentence(t *testing.T) {
	for text, want := range map[bilingual.Text]bilingual.Text{
		{En: "It ended", Zh: "它结束了"}:                    {En: "It ended.", Zh: "它结束了。"},
		{En: "It ended.", Zh: "It ended."}:              {En: "It ended.", Zh: "It ended."},
		{En: "Look: curl -N x", Zh: "查看：curl -N x"}:     {En: "Look: curl -N x", Zh: "查看：curl -N x"},
		{En: "curl x -d '{}'", Zh: "请用 curl x -d '{}'"}: {En: "curl x -d '{}'", Zh: "请用 curl x -d '{}'"},
		{}: {},
	} {
		if got := text.Sentence(); got != want {
			t.Errorf("%q ends as %q, want %q", text, got, want)
		}
	}
}

func TestIssue(t *testing.T) {
	i := fault.NewIssue(fault.NotTradingDay, "The exchange is closed on 2026-03-01.", "trade_date", "2026-03-01")
	if got := bilingual.Issue(i); got.En != i.Message || got.Zh != "2026-03-01 不是交易日。" {
		t.Errorf("%q", got)
	}
	i = fault.Issue{Reason: "OF_A_NEWER_RELEASE", Message: "It broke.", Remedy: "Mend it."}
	if got, todo := bilingual.Issue(i), bilingual.Remedy(i); got.Zh != "It broke." || todo.Zh != "Mend it." {
		t.Errorf("without Chinese: %q %q", got, todo)
	}
}

func TestNote(t *testing.T) {
	for text, want := range map[string]string{
		"Ann: the disk is moved": "Ann: the disk is moved",
		"the orchestrator was not running when the slot was due; it started at 2026-03-02 20:00:00 +08:00.":           "时段到期时编排器没有运行，它于 2026-03-02 20:00:00 +08:00 启动",
		"run R1, which covered it, was cancelled at 2026-03-02 20:00:00 +08:00.":                                      "覆盖它的运行 R1 已于 2026-03-02 20:00:00 +08:00 取消",
		"run R1, which covered it, was cancelled at 2026-03-02 20:00:00 +08:00 (Ann: no).":                            "覆盖它的运行 R1 已于 2026-03-02 20:00:00 +08:00 取消（Ann: no）",
		"daily, moneyflow of 2026-03-02 was not published or not complete.":                                           "2026-03-02 的 daily, moneyflow 尚未发布或不完整",
		"Data of 2026-03-02 was not published or not complete":                                                        "2026-03-02 的数据尚未发布或不完整",
		"The clock was wrong: follow-up runs for future days were dropped, and missing data is fetched now.":          "时钟曾经不准：未来日期的后续运行已取消，现在获取缺少的数据",
		"Verdict for universe: blocked, because of etf.daily_quote; not checked again: stock.basic, stock.moneyflow.": "全市场的结论：被阻止，原因在 etf.daily_quote；未再检查：stock.basic, stock.moneyflow",
		"Verdict for universe: blocked; 0 modules can run, 6 are blocked.":                                            "全市场的结论：被阻止；0 个模块可运行，6 个被阻止",
		"Verdict for targets: degraded; 1 module can run, 1 is blocked.":                                              "目标池的结论：部分可运行；1 个模块可运行，1 个被阻止",
		"Checking 1 module.":  "检查 1 个模块",
		"Checking 6 modules.": "检查 6 个模块",
		"stock.basic: the probe of 2026-03-02 19:00:00 +08:00 is reused (pass).": "stock.basic：沿用 2026-03-02 19:00:00 +08:00 的探测（pass）",
	} {
		if got := bilingual.Note(text); got.En != text || got.Zh != want {
			t.Errorf("%q is in Chinese %q, want %q", text, got.Zh, want)
		}
	}
}
