// Package bilingual writes sentences in English and in Simplified Chinese side by side, so
// that both are changed together.
package bilingual

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// Text is a text in both languages.
type Text struct {
	// En is the English.
	En string
	// Zh is the Simplified Chinese. Text that has no translation, for example a user's note,
	// is unchanged.
	Zh string
}

// Same is a text that is equal in both languages, for example a name or a time.
func Same(text string) Text { return Text{text, text} }

// Say formats a sentence. Both formats get the same arguments; the Chinese one uses indexes
// if its order differs. A Text among them is used in each language.
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

// Pool is the name of a pool, as the console shows it.
func Pool(p market.Pool) Text {
	switch p {
	case market.Targets:
		return Text{En: string(p), Zh: "目标池"}
	case market.Universe:
		return Text{En: string(p), Zh: "全市场"}
	}
	return Same(string(p))
}

// Took formats a duration: with tenths of a second below a minute, in seconds above.
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

// Issue is the message of an issue.
func Issue(i fault.Issue) Text {
	zh, _ := fault.Chinese(i.Reason, i.Meta, i.Remedy)
	if zh == "" {
		zh = i.Message
	}
	return Text{i.Message, zh}
}

// Remedy is the remedy of an issue.
func Remedy(i fault.Issue) Text {
	_, zh := fault.Chinese(i.Reason, i.Meta, i.Remedy)
	if zh == "" {
		zh = i.Remedy
	}
	return Text{i.Remedy, zh}
}

// Sentence ends a text with a full stop in both languages, unless it ends with a command.
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

// In returns the texts in Chinese if chinese is true, otherwise in English.
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
