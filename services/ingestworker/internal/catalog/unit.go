package catalog

import (
	"regexp"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
)

var unit = regexp.MustCompile(`, (千元|万元|亿份|万股|手|元|%)(?:[ .;,]|$)`)

// Unit is the unit of a column's values, as its Doc states it: "元", "手", "千元", "万元",
// "万股", "亿份" or "%". Empty for texts, dates and pure numbers.
func (c Column) Unit() string {
	if c.Type != table.Number {
		return ""
	}
	if m := unit.FindStringSubmatch(c.Doc); m != nil {
		return m[1]
	}
	return ""
}
