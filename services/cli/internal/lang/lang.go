// Package lang translates the command's texts into Simplified Chinese. An English text is
// its own key, as with gettext. Package fault translates reasons and remedies.
package lang

import (
	"fmt"
	"strings"
)

// Lang is a language.
type Lang string

// The languages.
const (
	// English is the language of the texts in the code.
	English Lang = "en"
	// Chinese is Simplified Chinese.
	Chinese Lang = "zh"
)

// Parse reads a language as a flag has it: en or zh, or a locale such as zh_CN.UTF-8.
func Parse(s string) (Lang, error) {
	switch name, _, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(s, "-", "_")), "_"); name {
	case "en":
		return English, nil
	case "zh":
		return Chinese, nil
	}
	return "", fmt.Errorf("%.20q is not a language: allowed are en, zh", s)
}

// FromLocale is the language of the locale, English by default.
func FromLocale(env func(string) string) Lang {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := env(name); v != "" {
			if l, err := Parse(strings.SplitN(v, ".", 2)[0]); err == nil {
				return l
			}
			return English
		}
	}
	return English
}

// T is a text in the language, with its verbs filled in as by fmt.Sprintf.
func (l Lang) T(format string, args ...any) string {
	if l == Chinese {
		if zh, ok := chinese()[format]; ok {
			format = zh
		}
	}
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

// N is a text about a number of things, in the language: one of them has its own text.
// The first verb of both is the number.
func (l Lang) N(n int, one, many string, args ...any) string {
	format := many
	if n == 1 && l != Chinese { // which has no plural
		format = one
	}
	return l.T(format, append([]any{n}, args...)...)
}

// Has reports whether a text can be said in the language.
func (l Lang) Has(format string) bool {
	_, ok := chinese()[format]
	return l == English || ok
}
