// Package table stores rows by column, from the provider's response to a pool. A Batch
// belongs to one goroutine at a time.
package table

import "github.com/afterbell/afterbell/services/internal/market"

// Type of a column's values.
type Type uint8

// The types of columns.
const (
	// Text is a string; symbols and exchanges are interned by the decoder.
	Text Type = iota
	// Date is a day; the provider writes YYYYMMDD.
	Date
	// Number is a float64, in the provider's unit.
	Number
	// Int is a whole number stored as float64, for example is_open.
	Int
)

// Column is one column of a Batch. Only the slice of its type is used. It is as long as the
// batch and has the zero value where Null is true.
type Column struct {
	// Name is the provider's name of the column.
	Name string
	// Type says which slice is used.
	Type Type
	// Texts holds the values of a Text column.
	Texts []string
	// Dates holds the values of a Date column; NoDate where null.
	Dates []market.Date
	// Numbers holds the values of a Number or Int column.
	Numbers []float64
	// Null marks JSON null, which is neither 0 nor "". It is as long as the batch.
	Null []bool
}

// Batch is the rows of one or more responses, column by column.
type Batch struct {
	// Columns in the order of the dataset's columns in the catalog.
	Columns []Column
	// Len is the number of rows.
	Len int

	home *Pool // nil for a batch that is not from a Pool
}

// Spec names a column of a new batch.
type Spec struct {
	// Name is the provider's name.
	Name string
	// Type is how its values are held.
	Type Type
}

// New returns an empty batch with capacity for size rows.
func New(specs []Spec, size int) *Batch {
	b := &Batch{Columns: make([]Column, len(specs))}
	for i, s := range specs {
		c := &b.Columns[i]
		c.Name, c.Type, c.Null = s.Name, s.Type, make([]bool, 0, size)
		switch s.Type {
		case Text:
			c.Texts = make([]string, 0, size)
		case Date:
			c.Dates = make([]market.Date, 0, size)
		default:
			c.Numbers = make([]float64, 0, size)
		}
	}
	return b
}

// Column returns a column by the provider's name, or nil.
func (b *Batch) Column(name string) *Column {
	for i := range b.Columns {
		if b.Columns[i].Name == name {
			return &b.Columns[i]
		}
	}
	return nil
}

// AppendNull adds a null to the column.
func (c *Column) AppendNull() {
	c.Null = append(c.Null, true)
	switch c.Type {
	case Text:
		c.Texts = append(c.Texts, "")
	case Date:
		c.Dates = append(c.Dates, market.NoDate)
	default:
		c.Numbers = append(c.Numbers, 0)
	}
}

// AppendText adds a value to a Text column.
func (c *Column) AppendText(v string) { c.Texts, c.Null = append(c.Texts, v), append(c.Null, false) }

// AppendDate adds a value to a Date column.
func (c *Column) AppendDate(v market.Date) {
	c.Dates, c.Null = append(c.Dates, v), append(c.Null, false)
}

// AppendNumber adds a value to a Number or Int column.
func (c *Column) AppendNumber(v float64) {
	c.Numbers, c.Null = append(c.Numbers, v), append(c.Null, false)
}

// AppendFrom adds row i of another column of the same type.
func (c *Column) AppendFrom(from *Column, i int) {
	c.Null = append(c.Null, from.Null[i])
	switch c.Type {
	case Text:
		c.Texts = append(c.Texts, from.Texts[i])
	case Date:
		c.Dates = append(c.Dates, from.Dates[i])
	default:
		c.Numbers = append(c.Numbers, from.Numbers[i])
	}
}

// Select returns a batch of the given rows, in their order. The columns are copied.
func (b *Batch) Select(rows []int) *Batch {
	specs := make([]Spec, len(b.Columns))
	for i := range b.Columns {
		specs[i] = Spec{b.Columns[i].Name, b.Columns[i].Type}
	}
	out := New(specs, len(rows))
	out.Len = len(rows)
	for i := range b.Columns {
		from, c := &b.Columns[i], &out.Columns[i]
		for _, r := range rows {
			c.AppendFrom(from, r)
		}
	}
	return out
}

// AppendRow adds row i of a batch with the same columns.
func (b *Batch) AppendRow(from *Batch, i int) {
	for c := range b.Columns {
		b.Columns[c].AppendFrom(&from.Columns[c], i)
	}
	b.Len++
}

// Truncate removes all rows and keeps the capacity.
func (b *Batch) Truncate() {
	for i := range b.Columns {
		c := &b.Columns[i]
		c.Texts, c.Dates, c.Numbers, c.Null = c.Texts[:0], c.Dates[:0], c.Numbers[:0], c.Null[:0]
	}
	b.Len = 0
}
