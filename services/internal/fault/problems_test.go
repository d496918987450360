package fault

import "testing"

func TestProblemsInChinese(t *testing.T) {
	for problem, want := range map[string]string{
		"99 is outside 1 to 64":                                              "f：99 不在 1 至 64 之间。",
		"99999 is outside 1 to 65535; 0 means 587":                           "f：99999 不在 1 至 65535 之间，0 表示 587。",
		`"9h" is not a duration in seconds, such as "300s"`:                  `f："9h" 不是以秒计的时长，例如 "300s"。`,
		`"25:00" is not a time of day: write HH:MM, 00:00 to 23:59`:          `f："25:00" 不是时刻：请写 HH:MM，00:00 至 23:59。`,
		`"x" is not a value of type int32`:                                   `f："x" 不是整数。`,
		`"Mars/Base" is not an IANA time zone: write one such as Asia/Tokyo`: `f："Mars/Base" 不是 IANA 时区：请写如 Asia/Tokyo。`,
		`"60051" is not a symbol: write six digits, a dot and SH, SZ or BJ, as in 600519.SH; the nearest existing symbol is 600519.SH 贵州茅台`: `f："60051" 不是代码：请写六位数字、点和 SH、SZ 或 BJ，如 600519.SH，最接近的代码是 600519.SH 贵州茅台。`,
		"999999.SH is not in the lists of stocks and ETFs":                                                         "f：999999.SH 不在股票和 ETF 的列表中。",
		"000001.SH does not exist: stocks and ETFs with this code are on the exchange SZ":                          "f：000001.SH 不存在：这个代码的股票和 ETF 在交易所 SZ。",
		`"my desk!" is not allowed: write 1 to 40 of a-z, 0-9, dot, dash and underscore, beginning with a digit`:   `f："my desk!" 不可用：请写 1 至 40 个 a-z、0-9、点、连字符或下划线，以字母或数字开头。`,
		`"nonsense" is not allowed: allowed are A, B`:                                                              `f："nonsense" 不可用：可用的是 A, B。`,
		"7200s is outside 0s to 3600s":                                                                             "f：7200s 不在 0s 至 3600s 之间。",
		"is required: write a part of a code or name, or pinyin initials, as in gzmt":                              "f：必须填写：请写代码或名称的一部分，或拼音首字母，如 gzmt。",
		`"x" is not a symbol: write six digits, a dot and SH, SZ or BJ, as in 600519.SH; or SSE, for the calendar`: `f："x" 不是代码：请写六位数字、点和 SH、SZ 或 BJ，如 600519.SH，日历请写 SSE。`,
		"is required for dingtalk":                                                                                 "f：是 dingtalk 必需的。",
		"2026-11-20 is after end_date 2026-11-01":                                                                  "f：2026-11-20 晚于 end_date 2026-11-01。",
		"must have 1 to 100 characters":                                                                            "f：必须有 1 至 100 个字符。",
		"99 is outside 1 to 64; or so":                                                                             "",
		"what a newer release says":                                                                                "",
	} {
		if got := ChineseOf([]Violation{{Field: "f", Problem: problem}}); got != want {
			t.Errorf("%q is %q, want %q", problem, got, want)
		}
	}
	two := []Violation{{Field: "a", Problem: "is required"}, {Field: "b", Problem: "must not be empty"}}
	if got := ChineseOf(two); got != "a：必须填写；b：不能为空。" {
		t.Errorf("two fields: %q", got)
	}
	if got := ChineseOf(nil); got != "" {
		t.Errorf("no field: %q", got)
	}
}
