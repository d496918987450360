package table_test

import (
	"math"
	"slices"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

var specs = []table.Spec{
	{Name: "ts_code", Type: table.Text}, {Name: "trade_date", Type: table.Date}, {Name: "open", Type: table.Number},
	{Name: "close", Type: table.Number}, {Name: "is_open", Type: table.Int}, {Name: "name", Type: table.Text},
}

// rows are two, the second with nulls.
func rows() *table.Batch {
	b := table.New(specs, 2)
	b.Len = 2
	for r, symbol := range []string{"600000.SH", "000001.SZ"} {
		b.Column("ts_code").AppendText(symbol)
		b.Column("trade_date").AppendDate(market.NewDate(2026, 3, 2))
		b.Column("open").AppendNumber(float64(r))
		b.Column("close").AppendNumber(10.5 + float64(r))
		b.Column("is_open").AppendNumber(1)
	}
	b.Column("name").AppendText("")
	b.Column("name").AppendNull()
	return b
}

func TestHashIsOfRowsInAnyOrder(t *testing.T) {
	b := rows()
	if b.Hash() != b.Select([]int{1, 0}).Hash() {
		t.Error("the order of rows changes the hash")
	}
	turned := rows()
	slices.Reverse(turned.Columns)
	if turned.Hash() != b.Hash() {
		t.Error("the order of columns changes the hash")
	}
	wider := rows()
	wider.Columns = append(wider.Columns, table.Column{Name: "market", Type: table.Text, Texts: make([]string, 2), Null: []bool{true, true}})
	if wider.Hash() != b.Hash() {
		t.Error("a column of nulls changes the hash")
	}
	b.Column("open").Numbers[0] = math.Copysign(0, -1)
	if rows().Hash() != b.Hash() {
		t.Error("-0 is not 0")
	}
	b.Column("name").Texts[1] = "a leftover where null is"
	if rows().Hash() != b.Hash() {
		t.Error("the value under a null changes the hash")
	}
	// The hash is stored: this number must never change.
	if got, want := rows().Hash(), uint64(0x3bd9cd12aefc4d0a); got != want {
		t.Errorf("hash = %#x, want %#x", got, want)
	}
	if table.New(specs, 0).Hash() != 0 {
		t.Error("the hash of no rows is not 0")
	}
}

func TestHashTellsEveryChange(t *testing.T) {
	seen := map[uint64]string{rows().Hash(): "none"}
	for name, change := range map[string]func(b *table.Batch){
		"another text":              func(b *table.Batch) { b.Column("ts_code").Texts[0] = "600001.SH" },
		"another date":              func(b *table.Batch) { b.Column("trade_date").Dates[1]++ },
		"the least of a number":     func(b *table.Batch) { b.Column("close").Numbers[0] = math.Nextafter(10.5, 11) },
		"another whole number":      func(b *table.Batch) { b.Column("is_open").Numbers[0] = 0 },
		"null for 0":                func(b *table.Batch) { b.Column("open").Null[0] = true },
		"null for an empty text":    func(b *table.Batch) { b.Column("name").Null[0] = true },
		"an empty text for null":    func(b *table.Batch) { b.Column("name").Null[1] = false },
		"rows swap values":          func(b *table.Batch) { n := b.Column("close").Numbers; n[0], n[1] = n[1], n[0] },
		"rows swap symbols":         func(b *table.Batch) { s := b.Column("ts_code").Texts; s[0], s[1] = s[1], s[0] },
		"columns swap values":       func(b *table.Batch) { b.Column("open").Numbers[1], b.Column("close").Numbers[1] = 11.5, 1 },
		"a value in another column": func(b *table.Batch) { b.Column("name").Name = "fullname" },
		"a row less":                func(b *table.Batch) { *b = *b.Select([]int{0}) },
		"a row twice":               func(b *table.Batch) { *b = *b.Select([]int{0, 1, 1}) },
		"a row for the other":       func(b *table.Batch) { *b = *b.Select([]int{0, 0}) },
	} {
		b := rows()
		change(b)
		if was, twice := seen[b.Hash()]; twice {
			t.Errorf("%s: the hash is that of %s", name, was)
		}
		seen[b.Hash()] = name
	}
}

func BenchmarkHash(b *testing.B) {
	batch := table.New(specs[:2], 0)
	for _, name := range []string{"open", "high", "low", "close", "pre_close", "change", "pct_chg", "vol", "amount"} {
		batch.Columns = append(batch.Columns, table.Column{Name: name, Type: table.Number})
	}
	batch.Len = 5400
	for i := range batch.Columns {
		c := &batch.Columns[i]
		for r := range batch.Len {
			switch c.Type {
			case table.Text:
				c.AppendText("600000.SH")
			case table.Date:
				c.AppendDate(market.Date(r))
			default:
				c.AppendNumber(float64(r) / 100)
			}
		}
	}
	for b.Loop() {
		batch.Hash()
	}
}
