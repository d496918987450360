package tushare

import (
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
)

func TestClassify(t *testing.T) {
	const doc = "，权限的具体详情访问：https://tushare.pro/document/1?doc_id=108。"
	rate := func(w quota.Window, n int) refusal { return refusal{kindRate, w, n} }
	for _, c := range []struct {
		code, msg string
		want      refusal
	}{
		{"0", "", refusal{}},
		{"40203", "抱歉，您没有接口(fund_daily)访问权限" + doc, refusal{kind: kindPermission}},
		{"40203", "抱歉，您没有接口访问权限" + doc, refusal{kind: kindPermission}},
		{"-1", "抱歉，您没有接口(daily)访问权限", refusal{kind: kindPermission}},
		{"40203", "", refusal{kind: kindPermission}},
		{"2002", "", refusal{kind: kindPermission}},
		{"-2002", "not enough points", refusal{kind: kindPermission}},
		// The old text of a rate limit speaks of 权限 too.
		{"40203", "抱歉，您每分钟最多访问该接口200次" + doc, rate(quota.Minute, 200)},
		{"40203", "抱歉，您每小时最多访问该接口20次" + doc, rate(quota.Hour, 20)},
		{"40203", "抱歉，您每天最多访问该接口8000次" + doc, rate(quota.Day, 8000)},
		{"40203", "抱歉，您访问接口(ths_daily)频率超限(1次/小时)，具体频次详情：https://tushare.pro", rate(quota.Hour, 1)},
		{"40203", "抱歉，您访问接口(daily)频率超限(500次/分钟)", rate(quota.Minute, 500)},
		{"40203", "抱歉，您访问接口(daily)频率超限(5次/天)", rate(quota.Day, 5)},
		{"-2001", "抱歉，您每日最多访问该接口5次", rate(quota.Day, 5)},
		{"40203", "频率超限", rate(quota.Minute, 0)},
		{"40203", "每天最多访问太多次了", rate(quota.Day, 0)},
		{"40203", "频率超限(99999999999999999999次/分钟)", rate(quota.Minute, 0)},
		{"40101", "您的token不对，请确认。", refusal{kind: kindToken}},
		{"40101", "", refusal{kind: kindToken}},
		{"2002", "抱歉，您输入的TOKEN无效！", refusal{kind: kindToken}},
		{"40204", "您的IP数量超限，最大数量为2个！", refusal{kind: kindIPs}},
		{"1", "您的IP数量超限，最大数量为2个！", refusal{kind: kindIPs}},
		{"40201", "抱歉，您每分钟最多访问该接口80次", rate(quota.Minute, 80)},
		{"40201", "访问接口太快(80次/分钟)", rate(quota.Minute, 80)},
		{"40201", "请求过于频繁，请稍后再试", rate(quota.Minute, 0)},
		{"40201", "", refusal{kind: kindUnavailable}},
		// 50101 is the code of a wrong parameter and of the provider's own failures.
		{"50101", "查询数据失败，请确认参数！可以反馈管理员协助您排查问题", refusal{kind: kindRefused}},
		{"50101", "Invalid parameter: trade_date", refusal{kind: kindRefused}},
		{"50101", "", refusal{kind: kindUnavailable}},
		{"50101", "系统繁忙，请稍后再试", refusal{kind: kindUnavailable}},
		{"50101", "数据库查询失败", refusal{kind: kindUnavailable}},
		{"50101", "server error", refusal{kind: kindUnavailable}},
		{"50101", "(2006, 'MySQL server has gone away')", refusal{kind: kindUnavailable}},
		{"-1000", "未知错误", refusal{kind: kindUnavailable}},
		{"1", "必填参数, ts_code", refusal{kind: kindRefused}},
		{"1", "请指定正确的接口名", refusal{kind: kindRefused}},
		{"-2001", "argument error", refusal{kind: kindRefused}},
		{"-2001", "", refusal{kind: kindNone}},
		{"-2001", "Empty.", refusal{kind: kindNone}},
		{"-2001", "暂无数据", refusal{kind: kindNone}},
		{"-2001", "暂无数据，请确认参数", refusal{kind: kindRefused}},
		{"-2001", "内部错误", refusal{kind: kindUnavailable}},
		{"500", "系统繁忙", refusal{kind: kindUnavailable}},
		{"ERR", "", refusal{kind: kindUnavailable}},
	} {
		if got := classify(c.code, c.msg); got != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.code, c.msg, got, c.want)
		}
	}
}

func TestScrub(t *testing.T) {
	const token = "ab+/= c0ffee"
	echo := "t=" + token + "&u=ab%2B%2F%3D+c0ffee p=ab+%2F=%20c0ffee\n" + strings.Repeat("长", 400)
	got := scrub(echo, token)
	if strings.Contains(got, "c0ffee") || strings.Contains(got, "\n") || len(got) > maxQuoted+len("…") || !strings.HasPrefix(got, "t=[token]&u=[token] p=[token] 长") {
		t.Errorf("%q", got)
	}
	if got := scrub("tok is wrong", "tok"); got != "[token] is wrong" {
		t.Errorf("%q", got)
	}
	if scrub("plain", "") != "plain" {
		t.Error("no token, and the text changed")
	}
}
