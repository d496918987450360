package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/afterbell/afterbell/services/internal/market"
)

// stamp is a time as it is stored: Unix ms, NULL for the zero time.
func stamp(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// day is a date as it is stored: 'YYYY-MM-DD', NULL for no date. The zero Date, 1970-01-01,
// is a value that was not set: no exchange was open then.
func day(d market.Date) any {
	if d <= 0 {
		return nil
	}
	return d.String()
}

// list is a slice as JSON; nil and empty are the same.
func list[T any](items []T) (string, error) {
	if len(items) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(items)
	return string(text), err
}

type toTime struct{ t *time.Time }

func (c toTime) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*c.t = time.Time{}
	case int64:
		*c.t = time.UnixMilli(v).UTC()
	default:
		return fmt.Errorf("%T is no Unix ms", v)
	}
	return nil
}

type toDay struct{ d *market.Date }

func (c toDay) Scan(v any) (err error) {
	switch v := v.(type) {
	case nil:
		*c.d = market.NoDate
	case string:
		*c.d, err = market.ParseDate(v)
	default:
		err = fmt.Errorf("%T is no date", v)
	}
	return err
}

// toJSON parses JSON text into v; "", "[]" and "{}" leave it unchanged.
type toJSON struct{ v any }

func (c toJSON) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("%T is no JSON text", v)
	}
	if text == "" || text == "[]" || text == "{}" {
		return nil
	}
	return json.Unmarshal([]byte(text), c.v)
}
