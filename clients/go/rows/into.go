package rows

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/proto"

	afterbell "github.com/afterbell/afterbell/clients/go"
)

// Of reads rows into structs. A field belongs to the column that its tag names, as in
//
//	type Price struct {
//		Symbol string    `afterbell:"symbol"`
//		Date   time.Time `afterbell:"trade_date"`
//		Close  *float64  `afterbell:"close"` // nil where it is null
//	}
//
// Fields without a tag are ignored. A field is a string (texts, and dates as
// "YYYY-MM-DD"), a float64 (numbers), an int32 (whole numbers) or a time.Time (dates, at
// midnight UTC), or a pointer to one of these. A null is an error if the field is not a
// pointer. A query without columns requests those of the tags. The sequence ends after the
// first error.
func Of[T any](ctx context.Context, c *afterbell.Client, q *Query) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		fields, err := fieldsOf(reflect.TypeFor[T]())
		if err != nil {
			yield(zero, err)
			return
		}
		if len(q.GetColumns()) == 0 {
			q = proto.CloneOf(q)
			for _, f := range fields {
				q.Columns = append(q.Columns, f.column)
			}
		}
		r, err := Read(ctx, c, q)
		if err != nil {
			yield(zero, err)
			return
		}
		for batch, err := range r.Batches() {
			var set []func(into reflect.Value, row int) error
			if err == nil {
				set, err = settersOf(fields, batch)
			}
			if err != nil {
				yield(zero, err)
				return
			}
			for row := range int(batch.NumRows()) {
				var value T
				into := reflect.ValueOf(&value).Elem()
				for _, s := range set {
					if err := s(into, row); err != nil {
						yield(zero, err)
						return
					}
				}
				if !yield(value, nil) {
					return
				}
			}
		}
	}
}

// field is a field of a struct that a column fills.
type field struct {
	column  string
	name    string
	index   []int
	pointer bool
	typ     reflect.Type // without the pointer
}

var (
	textType   = reflect.TypeFor[string]()
	numberType = reflect.TypeFor[float64]()
	intType    = reflect.TypeFor[int32]()
	timeType   = reflect.TypeFor[time.Time]()
)

func fieldsOf(t reflect.Type) ([]field, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rows are read into structs, and %s is none", t)
	}
	var out []field
	for _, f := range reflect.VisibleFields(t) {
		column, ok := f.Tag.Lookup("afterbell")
		if !ok || column == "" || column == "-" {
			continue
		}
		if !f.IsExported() {
			return nil, fmt.Errorf("field %s of %s has a column and is not exported", f.Name, t)
		}
		if embeds := t.FieldByIndex(f.Index[:1]); len(f.Index) > 1 && embeds.Type.Kind() == reflect.Pointer {
			return nil, fmt.Errorf("field %s of %s is in %s, which is a pointer", f.Name, t, embeds.Type)
		}
		x := field{column: column, name: f.Name, index: f.Index, typ: f.Type}
		if f.Type.Kind() == reflect.Pointer {
			x.pointer, x.typ = true, f.Type.Elem()
		}
		switch x.typ {
		case textType, numberType, intType, timeType:
		default:
			return nil, fmt.Errorf("field %s of %s is %s; string, float64, int32, time.Time and pointers to them are filled", f.Name, t, f.Type)
		}
		out = append(out, x)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no field of %s has a tag, as in `afterbell:\"close\"`", t)
	}
	return out, nil
}

// settersOf fill the fields from a batch.
func settersOf(fields []field, batch arrow.RecordBatch) ([]func(reflect.Value, int) error, error) {
	var out []func(reflect.Value, int) error
	for _, f := range fields {
		at := batch.Schema().FieldIndices(f.column)
		if len(at) != 1 {
			return nil, fmt.Errorf("the answer has no column %q for field %s", f.column, f.name)
		}
		values := batch.Column(at[0])
		value := valueOf(values, f.typ)
		if value == nil {
			return nil, fmt.Errorf("column %q is %s and does not fit field %s, which is %s", f.column, values.DataType(), f.name, f.typ)
		}
		out = append(out, func(into reflect.Value, row int) error {
			target := into.FieldByIndex(f.index)
			switch {
			case values.IsNull(row) && f.pointer:
				return nil
			case values.IsNull(row):
				return fmt.Errorf("column %q is null; make field %s a *%s", f.column, f.name, f.typ)
			case f.pointer:
				target.Set(reflect.New(f.typ))
				target = target.Elem()
			}
			value(target, row)
			return nil
		})
	}
	return out, nil
}

// valueOf returns a function that sets a value of a type from a column; nil if the types do not
// match.
func valueOf(values arrow.Array, t reflect.Type) func(into reflect.Value, row int) {
	switch c := values.(type) {
	case *array.String:
		if t == textType {
			return func(into reflect.Value, row int) { into.SetString(c.Value(row)) }
		}
	case *array.Float64:
		if t == numberType {
			return func(into reflect.Value, row int) { into.SetFloat(c.Value(row)) }
		}
	case *array.Int32:
		switch t {
		case intType:
			return func(into reflect.Value, row int) { into.SetInt(int64(c.Value(row))) }
		case numberType:
			return func(into reflect.Value, row int) { into.SetFloat(float64(c.Value(row))) }
		}
	case *array.Date32:
		switch t {
		case timeType:
			return func(into reflect.Value, row int) { into.Set(reflect.ValueOf(date(c.Value(row)))) }
		case textType:
			return func(into reflect.Value, row int) { into.SetString(date(c.Value(row)).Format(time.DateOnly)) }
		}
	}
	return nil
}
