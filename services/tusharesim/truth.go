package tusharesim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Table has rows as typed values.
type Table struct {
	// Fields are the column names.
	Fields []string
	// Rows hold string, float64 or nil (null) values in the order of Fields.
	Rows [][]any
}

// Rows returns what the provider has, for the parameters and fields of a call, without faults,
// pages, caps, limits and publication hours, and with withheld rows. The changes and drops of a
// Revision are applied, and days after today have no rows. Without fields it returns the default
// columns in their default order.
func (s *Sim) Rows(api string, params map[string]string, fields ...string) (*Table, error) {
	p, err := s.truth(api, params, fields)
	if err != nil {
		return nil, err
	}
	out := &Table{Fields: p.q.names, Rows: make([][]any, len(p.refs))}
	flat := make([]any, len(p.refs)*len(p.q.cols))
	for i := range p.refs {
		row := flat[:len(p.q.cols):len(p.q.cols)]
		flat = flat[len(p.q.cols):]
		for j, c := range p.cells(i) {
			if row[j], err = value(c); err != nil {
				return nil, err
			}
		}
		out.Rows[i] = row
	}
	return out, nil
}

// RowCount returns the number of rows that Rows would return.
func (s *Sim) RowCount(api string, params map[string]string) (int, error) {
	p, err := s.truth(api, params, nil)
	if err != nil {
		return 0, err
	}
	return len(p.refs), nil
}

func (s *Sim) truth(api string, params map[string]string, fields []string) (*plan, error) {
	a, err := lookup(api)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if _, ok := a.Index(f); !ok {
			return nil, fmt.Errorf("%s has no column %q", api, f)
		}
	}
	q, bad := parseQuery(a, params, strings.Join(fields, ","))
	if bad != nil {
		return nil, fmt.Errorf("%s: %s", api, bad.msg)
	}
	s.mu.Lock()
	v := s.look(a)
	s.mu.Unlock()
	v.truth = true
	p := &plan{q: q}
	if err := s.collect(p, v, 1<<30); err != nil {
		return nil, err
	}
	s.applyRevisions(p, v)
	return p, nil
}

// value converts a JSON text to a typed value.
func value(cell string) (any, error) {
	switch cell[0] {
	case 'n':
		return nil, nil
	case '"':
		if !strings.ContainsRune(cell, '\\') {
			return cell[1 : len(cell)-1], nil
		}
		var v string
		if err := json.Unmarshal([]byte(cell), &v); err != nil {
			return nil, fmt.Errorf("cell %s: %w", cell, err)
		}
		return v, nil
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return nil, fmt.Errorf("cell %s: %w", cell, err)
	}
	return v, nil
}
