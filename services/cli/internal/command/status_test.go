package command

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// TestStatusAlwaysSaysWhenNext walks every verdict, with every state of a run and of what
// is missing: the words name the next time in Shanghai, or a run that fetches now, or say
// that nothing follows and what to type.
func TestStatusAlwaysSaysWhenNext(t *testing.T) {
	later := time.Now().Add(26 * time.Hour)
	var runs []*orchestratorv1.Run
	for n := range orchestratorv1.Run_State_name {
		state := orchestratorv1.Run_State(n)
		runs = append(runs, &orchestratorv1.Run{RunId: "R1", State: state})
		if state == orchestratorv1.Run_STATE_QUEUED {
			runs = append(runs, &orchestratorv1.Run{RunId: "R1", State: state, NotBeforeTime: timestamppb.New(later)})
		}
	}
	lacking := map[string][]*marketv1.Coverage{"nothing": nil}
	for n, name := range marketv1.Verdict_name {
		for _, again := range []bool{false, true} {
			lacking[fmt.Sprint(name, again)] = []*marketv1.Coverage{{DatasetId: "daily", TradeDate: "2026-11-27", Verdict: marketv1.Verdict(n), FetchedAgain: again}}
		}
	}
	said := map[string]bool{}
	for _, verdict := range afterbell.Verdicts() {
		if _, known := exitOf[string(verdict)]; !known {
			t.Errorf("the verdict %s has no exit code", verdict)
		}
		for name, lacks := range lacking {
			for _, run := range append(runs, nil) {
				for bits := range 16 {
					on := func(n int) bool { return bits>>n&1 == 1 }
					e := &afterbell.Evening{Pool: marketv1.Pool_POOL_UNIVERSE, Verdict: verdict, Date: "2026-11-27", Lacking: lacks, Run: run, Paused: on(0), NothingCounted: on(1)}
					if on(2) && !e.Paused {
						e.NextTime = later
					}
					if on(3) && !e.Paused {
						e.NextRunTime = later
					}
					for _, l := range []lang.Lang{lang.English, lang.Chinese} {
						var out bytes.Buffer
						a := &app{Lang: l, now: time.Now, printer: &output.Printer{Zone: afterbell.Shanghai}}
						a.Err = &out
						a.sayEvening(e)
						a.hint(a.nextFor(e))
						text := out.String()
						said[text] = true
						at := a.moment(later)
						typed := strings.Contains(text, "Next: afterbell ") || strings.Contains(text, "下一步：afterbell ")
						fetching := e.Fetching() != nil && strings.Contains(text, "R1")
						if verdict == afterbell.Empty && typed {
							continue
						}
						if !strings.Contains(text, at) && !fetching && !(typed && a.nothing(text)) {
							t.Errorf("%s, %s, %v, paused %v, nothing counted %v, next %v, next run %v:\n%s", verdict, name, run, on(0), on(1), on(2), on(3), text)
						}
					}
				}
			}
		}
	}
	if len(said) < 100 {
		t.Errorf("only %d texts were said", len(said))
	}
}

// nothing reports whether a text says that no run is to come.
func (a *app) nothing(text string) bool {
	for _, line := range []string{
		a.T("The pool is paused, and nothing is fetched until it is resumed."), a.T("No run is scheduled."),
		a.T("No scheduled run fetches it."), a.T("No scheduled run fetches what is missing."),
	} {
		if strings.Contains(text, line) {
			return true
		}
	}
	return false
}

// In Chinese the state comes first, then what the worker wrote.
func TestConditionsSpeakChinese(t *testing.T) {
	pending, missing := marketv1.ConditionState_CONDITION_STATE_PENDING, marketv1.ConditionState_CONDITION_STATE_MISSING
	a := &app{Lang: lang.Chinese}
	for want, v := range map[string]*marketv1.DataCondition{
		"":                  {State: marketv1.ConditionState_CONDITION_STATE_AVAILABLE, Verdict: marketv1.Verdict_VERDICT_COMPLETE},
		"尚未到时间（It is due.）": {State: pending, Verdict: marketv1.Verdict_VERDICT_MISSING, Message: "It is due."},
		"尚未获取（It lacks.）":   {State: missing, Verdict: marketv1.Verdict_VERDICT_MISSING, Message: "It lacks."},
		"尚未发布（It is late.）": {State: pending, Verdict: marketv1.Verdict_VERDICT_NOT_PUBLISHED, Message: "It is late."},
	} {
		if got := a.why(v); got != strings.ReplaceAll(want, ".）", "）") {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (&app{Lang: lang.English}).why(&marketv1.DataCondition{Message: "It lacks."}); got != "It lacks." {
		t.Errorf("in English: %q", got)
	}
}

// What a user has paused or disabled has a command that ends that.
func TestConditionNamesWhatReleasesIt(t *testing.T) {
	for reason, want := range map[string]string{
		"It is due. The module stock.moneyflow is disabled.": "afterbell modules enable stock.moneyflow",
		"It is due. The domain etf is disabled.":             "afterbell domains enable etf",
		"It is due. The pool is paused.":                     "afterbell resume universe",
		"It is due.":                                         "",
	} {
		if got := release("universe", reason); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
}

// Whatever lacks, the words after the table name the next time, or say that there is none.
func TestConditionSaysWhenNext(t *testing.T) {
	at := time.Date(2026, 11, 30, 11, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		next         time.Time
		lacks, never int
		en, zh       string
	}{
		{at, 2, 0, "It is fetched next at 2026-11-30 19:30 (Shanghai).\n", "下次获取时间：2026-11-30 19:30（上海时间）。\n"},
		{at, 2, 1, "It is fetched next at 2026-11-30 19:30 (Shanghai).\nNo scheduled run fetches 1 of them.\n", "下次获取时间：2026-11-30 19:30（上海时间）。\n其中 1 项，计划的运行不会获取。\n"},
		{time.Time{}, 2, 0, "No scheduled run fetches it.\n", "没有计划的运行会获取它。\n"},
		{time.Time{}, 2, 1, "No scheduled run fetches it.\nNo scheduled run fetches 1 of them.\n", "没有计划的运行会获取它。\n其中 1 项，计划的运行不会获取。\n"},
		{time.Time{}, 2, 2, "No scheduled run fetches what is missing.\n", "计划的运行不会获取缺少的数据。\n"},
	} {
		for l, want := range map[lang.Lang]string{lang.English: c.en, lang.Chinese: c.zh} {
			var out bytes.Buffer
			a := &app{Lang: l, printer: &output.Printer{Zone: afterbell.Shanghai}}
			a.Err = &out
			a.sayNext(c.next, c.lacks, c.never)
			if out.String() != want {
				t.Errorf("%+v: %q, want %q", c, out.String(), want)
			}
		}
	}
}
