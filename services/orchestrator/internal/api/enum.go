package api

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// enum is a contract's enum value for the word that the core uses: "running" is
// STATE_RUNNING. An empty or unknown word is unspecified.
func enum[E ~int32](values map[string]int32, prefix, word string) E {
	return E(values[prefix+strings.ToUpper(word)])
}

// word is the inverse; ok is false for unspecified and unknown numbers.
func word(v protoreflect.Enum, prefix string) (string, bool) {
	d := v.Descriptor().Values().ByNumber(v.Number())
	if d == nil || v.Number() == 0 {
		return "", false
	}
	return strings.ToLower(strings.TrimPrefix(string(d.Name()), prefix)), true
}

// choice parses a filter or a setting: unspecified is empty, an unknown number is invalid.
func (p *problems) choice(field string, v protoreflect.Enum, prefix string) string {
	if v.Number() == 0 {
		return ""
	}
	w, ok := word(v, prefix)
	if !ok {
		var names []string
		values := v.Descriptor().Values()
		for i := 1; i < values.Len(); i++ {
			names = append(names, string(values.Get(i).Name()))
		}
		p.add(field, "%d is not allowed: allowed are %s", v.Number(), strings.Join(names, ", "))
	}
	return w
}
