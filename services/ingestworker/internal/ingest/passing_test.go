package ingest_test

import (
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/coverage"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// One temporary error, at the fourth call of the first fill or among its data calls, fails no
// partition, whatever its code and text.
func TestAPassingAnswerCostsNoPartition(t *testing.T) {
	for _, f := range []tusharesim.Fault{
		{Kind: tusharesim.AnyCode, Code: 50101, Text: "查询数据失败，请确认参数！可以反馈管理员协助您排查问题"},
		{Kind: tusharesim.AnyCode, Code: 50101, Text: "必填参数, trade_date"},
		{Kind: tusharesim.AnyCode, Code: 50101},
		{Kind: tusharesim.AnyCode, Code: 50101, Text: "系统繁忙，请稍后再试"},
		{Kind: tusharesim.AnyCode, Code: 50101, Text: "MySQL server has gone away"},
		{Kind: tusharesim.AnyCode, Code: -1000, Text: "未知错误"},
		{Kind: tusharesim.AnyCode, Code: -2001, Text: "argument error"},
		{Kind: tusharesim.AnyCode, Code: -2001, Text: "empty"},
		{Kind: tusharesim.DataNull},
	} {
		for _, skip := range []int{3, 7} {
			r := newHarness(t, tusharesim.Options{Stocks: 60, Funds: 120})
			start, end := r.span(3)
			f.Skip, f.Count = skip, 1
			if _, err := r.sim.AddFault(f); err != nil {
				t.Fatal(err)
			}
			out, err := r.pass(coverage.PlanRequest{Pool: market.Universe, Datasets: everything, Start: start, End: end}, 4, nil)
			if err != nil || len(out) != 3+3*4 {
				t.Fatalf("%d %q at call %d: %d partitions, %v", f.Code, f.Text, skip+1, len(out), err)
			}
			for _, o := range out {
				if o.err != nil || !o.result.Held.Verdict.Settled() || o.result.Held.Rows == 0 {
					t.Errorf("%d %q at call %d: %s is %s %v, %v", f.Code, f.Text, skip+1, o.part.ID, o.result.Held.Verdict, o.result.Issues, o.err)
				}
			}
			if left := r.sim.Faults(); len(left) != 0 {
				t.Errorf("%d %q at call %d did not happen", f.Code, f.Text, skip+1)
			}
		}
	}
}
