package tushare

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
)

// kind is the meaning of a refusal. Only this file decides it.
type kind int

const (
	kindOK kind = iota
	kindRate
	kindPermission
	kindToken
	kindIPs
	kindNone        // a code that means no rows, instead of an empty list
	kindRefused     // the text blames the request; the provider also returns it when its own database fails
	kindUnavailable // anything else; may be temporary
)

// refusal is a classified code and text.
type refusal struct {
	kind   kind
	window quota.Window // of kindRate
	calls  int          // allowed in the window; 0 where the text does not say
}

var (
	// 抱歉，您每分钟最多访问该接口200次，权限的具体详情访问：…
	oldRate = regexp.MustCompile(`每\s*(分钟|小时|天|日)\s*最多访问该?接口?\s*(\d+)\s*次`)
	// 抱歉，您访问接口(ths_daily)频率超限(1次/小时)，具体频次详情…
	newRate       = regexp.MustCompile(`(\d+)\s*次\s*/\s*(分钟|小时|天|日)`)
	anyUnit       = regexp.MustCompile(`[每/]\s*(分钟|小时|天|日)`)
	blamesRequest = regexp.MustCompile(`(?i)\b(parameters?|params?|arguments?|api_name)\b`)
	// The text of -2001 if there are no rows: none, "empty", "no data", 暂无数据.
	noRows = regexp.MustCompile(`(?i)^\s*(empty|no data|no rows|(暂无|没有|无)数据)?\s*[.!。！]?\s*$`)
)

// classify maps a code and its text to a kind. A rate limit is checked before permission:
// both have code 40203, and the old text of a rate limit contains 权限, too. 50101 says
// little: it is the code of a wrong parameter and of the provider's own failures, with any
// text. Only a text about parameters or the API's name blames the request.
func classify(code, msg string) refusal {
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(msg, w) {
				return true
			}
		}
		return false
	}
	switch {
	case code == "0":
		return refusal{kind: kindOK}
	case has("频率超限", "频次超限", "最多访问", "过于频繁"), newRate.MatchString(msg) && !has("没有接口"):
		return rate(msg)
	case code == "40203", has("没有接口") && has("权限"):
		return refusal{kind: kindPermission}
	case code == "40101", has("token不对", "TOKEN无效", "token无效", "Token无效"):
		return refusal{kind: kindToken}
	case code == "40204", has("IP数量超限"):
		return refusal{kind: kindIPs}
	case code == "-2001" && noRows.MatchString(msg):
		return refusal{kind: kindNone}
	case has("参数", "接口名"), blamesRequest.MatchString(msg):
		return refusal{kind: kindRefused}
	case code == "2002", code == "-2002": // documented once, never seen
		return refusal{kind: kindPermission}
	}
	return refusal{kind: kindUnavailable}
}

// rate reads from a text how many calls are allowed, and in which window. A text without a
// number or a unit is treated as a limit per minute of unknown size.
func rate(msg string) refusal {
	r := refusal{kind: kindRate, window: quota.Minute}
	number, unit := "", ""
	if m := oldRate.FindStringSubmatch(msg); m != nil {
		unit, number = m[1], m[2]
	} else if m := newRate.FindStringSubmatch(msg); m != nil {
		number, unit = m[1], m[2]
	} else if m := anyUnit.FindStringSubmatch(msg); m != nil {
		unit = m[1]
	}
	switch unit {
	case "小时":
		r.window = quota.Hour
	case "天", "日":
		r.window = quota.Day
	}
	if n, err := strconv.Atoi(number); err == nil && n <= 1<<30 {
		r.calls = n
	}
	return r
}
