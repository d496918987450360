// Package bilingual writes sentences for people in English and in Simplified Chinese, side by
// side, so that neither is changed without the other in sight.
package bilingual

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Text says the same in both languages.
type Text struct {
	// En is the English.
	En string
	// Zh is the Simplified Chinese. What has no Chinese, as what a person wrote, is here as
	// it was written.
	Zh string
}

// Same is a text that is the same in both languages, as a name or a time.
func Same(text string) Text { return Text{text, text} }

// Say formats a sentence. Both formats take the same arguments; the Chinese one names
// those by number that it wants in another order. A Text among them is put in each
// language.
func Say(en, zh string, args ...any) Text {
	inEn, inZh := make([]any, len(args)), make([]any, len(args))
	for i, a := range args {
		inEn[i], inZh[i] = a, a
		if t, ok := a.(Text); ok {
			inEn[i], inZh[i] = t.En, t.Zh
		}
	}
	return Text{fmt.Sprintf(en, inEn...), fmt.Sprintf(zh, inZh...)}
}

// And joins two texts. English puts a space between sentences.
func (t Text) And(more Text) Text {
	if t == (Text{}) {
		return more
	}
	return Text{t.En + " " + more.En, t.Zh + more.Zh}
}

// Pool names a pool as the console does.
func Pool(p market.Pool) Text {
	switch p {
	case market.Targets:
		return Text{En: string(p), Zh: "目标池"}
	case market.Universe:
		return Text{En: string(p), Zh: "全市场"}
	}
	return Same(string(p))
}

// Took says how long something took: to a tenth of a second below a minute, and to the
// second above.
func Took(d time.Duration) Text {
	if d < time.Minute {
		d = d.Round(100 * time.Millisecond)
		return Text{d.String(), strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " 秒"}
	}
	d = d.Round(time.Second)
	zh, left := "", int(d/time.Second)
	for _, unit := range []struct {
		seconds int
		name    string
	}{{86400, "天"}, {3600, "小时"}, {60, "分"}, {1, "秒"}} {
		if n := left / unit.seconds; n > 0 {
			zh += fmt.Sprintf(" %d %s", n, unit.name)
			left %= unit.seconds
		}
	}
	return Text{d.String(), zh[1:]}
}

// Issue says an issue as its message does.
func Issue(i fault.Issue) Text {
	zh, _ := fault.Chinese(i.Reason, i.Meta, i.Remedy)
	if zh == "" {
		zh = i.Message
	}
	return Text{i.Message, zh}
}

// Remedy says what to do about an issue.
func Remedy(i fault.Issue) Text {
	_, zh := fault.Chinese(i.Reason, i.Meta, i.Remedy)
	if zh == "" {
		zh = i.Remedy
	}
	return Text{i.Remedy, zh}
}

// Sentence makes both languages end as a sentence does, except where a command line ends
// the text.
func (t Text) Sentence() Text {
	if t.En == "" || strings.HasSuffix(t.En, "'") || fault.CommandIn(t.En) != "" {
		return t
	}
	if !strings.HasSuffix(t.En, ".") {
		t.En += "."
	}
	if !strings.HasSuffix(t.Zh, "。") && !strings.HasSuffix(t.Zh, ".") {
		t.Zh += "。"
	}
	return t
}

// In is the texts in English, and with chinese in Chinese.
func In(texts []Text, chinese bool) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = t.En
		if chinese {
			out[i] = t.Zh
		}
	}
	return out
}
