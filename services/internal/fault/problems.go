package fault

import (
	"regexp"
	"strings"
	"sync"
)

// problems has the Chinese of problems of request fields. A problem is one or more of
// these, separated by "; ".
var problems = [][2]string{
	{`(\S+) is outside (\S+) to (\S+)`, "$1 不在 $2 至 $3 之间"},
	{`0 means (\d+)`, "0 表示 $1"},
	{`(".*") is not a duration in seconds, such as (".*")`, "$1 不是以秒计的时长，例如 $2"},
	{`(".*") is not a time of day: write HH:MM, 00:00 to 23:59`, "$1 不是时刻：请写 HH:MM，00:00 至 23:59"},
	{`(".*") is not a value of type u?int(?:32|64)`, "$1 不是整数"},
	{`(".*") is not an IANA time zone: write one such as (\S+)`, "$1 不是 IANA 时区：请写如 $2"},
	{`changes nothing`, "没有更改任何内容"},
	{`set at least one of (.+)`, "请至少给出其中一项：$1"},
	{`(".*") is not a symbol: write six digits, a dot and SH, SZ or BJ, as in (\S+)`, "$1 不是代码：请写六位数字、点和 SH、SZ 或 BJ，如 $2"},
	{`the nearest existing symbol is (.+)`, "最接近的代码是 $1"},
	{`(\S+) is not in the lists of stocks and ETFs`, "$1 不在股票和 ETF 的列表中"},
	{`(\S+) does not exist: stocks and ETFs with this code are on the exchange (\S+)`, "$1 不存在：这个代码的股票和 ETF 在交易所 $2"},
	{`(".*") is not a valid set name: write 1 to 64 characters of .*`, `$1 不是集合名：请写 1 至 64 个 a-z、0-9、"."、"_"、"-" 或 ":"，以字母或数字开头`},
	{`(".*") is not allowed: write 1 to 40 of a-z, 0-9, dot, dash and underscore, .*`, "$1 不可用：请写 1 至 40 个 a-z、0-9、点、连字符或下划线，以字母或数字开头"},
	{`(".*") is not allowed: allowed (?:is|are) (.+)`, "$1 不可用：可用的是 $2"},
	{`is required for (\S+)`, "是 $1 必需的"},
	{`is required`, "必须填写"},
	{`is required: write a part of a code or name, or pinyin initials, as in (\S+)`, "必须填写：请写代码或名称的一部分，或拼音首字母，如 $1"},
	{`or SSE, for the calendar`, "日历请写 SSE"},
	{`must not be empty`, "不能为空"},
	{`is not an address: write one that begins with https:// or http://`, "不是地址：请写以 https:// 或 http:// 开头的地址"},
	{`must be the bot's token, .*`, "必须是机器人的令牌：@BotFather 给出的数字、冒号和字母"},
	{`(".*") is not a chat: write its number, or @ and the channel's name`, "$1 不是会话：请写它的编号，或 @ 加频道名"},
	{`(".*") is not the name of a server`, "$1 不是服务器名"},
	{`(".*") is not a mail address`, "$1 不是邮件地址"},
	{`must have 1 to (\d+) characters`, "必须有 1 至 $1 个字符"},
	{`must have at most (\d+) characters`, "最多 $1 个字符"},
	{`must not contain control characters, and must not begin or end with a space`, "不能含有控制字符，首尾不能是空格"},
	{`(\S+) is reserved for callers without a key`, "$1 保留给没有密钥的调用方"},
	{`is already used by the active key (\S+)`, "已被有效的密钥 $1 使用"},
	{`revoke that key, or choose another name`, "请吊销那个密钥，或另选一个名称"},
	{`(\S+) is after end_date (\S+)`, "$1 晚于 end_date $2"},
	{`(\S+) is before start_date (\S+)`, "$1 早于 start_date $2"},
	{`(".*") is not a date in the format YYYY-MM-DD`, "$1 不是 YYYY-MM-DD 格式的日期"},
	{`leave it empty to get no notice`, "留空则不发通知"},
	{`write a slot as YYYY-MM-DD.pool`, "时段请写成 YYYY-MM-DD.pool"},
}

var problemPatterns = sync.OnceValue(func() []*regexp.Regexp {
	all := make([]*regexp.Regexp, len(problems))
	for i, p := range problems {
		all[i] = regexp.MustCompile(`^(?:` + p[0] + `)$`)
	}
	return all
})

// ChineseOf says what is wrong with the fields of a request in Simplified Chinese. Empty
// is what has no Chinese for one of them.
func ChineseOf(fields []Violation) string {
	said := make([]string, len(fields))
	for i, v := range fields {
		parts := strings.Split(v.Problem, "; ")
		for k, part := range parts {
			if parts[k] = chineseProblem(part); parts[k] == "" {
				return ""
			}
		}
		said[i] = v.Field + "：" + strings.Join(parts, "，")
	}
	if len(said) == 0 {
		return ""
	}
	return strings.Join(said, "；") + "。"
}

func chineseProblem(text string) string {
	for i, pattern := range problemPatterns() {
		if at := pattern.FindStringSubmatchIndex(text); at != nil {
			return string(pattern.ExpandString(nil, problems[i][1], text, at))
		}
	}
	return ""
}
