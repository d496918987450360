package truth

import (
	"context"
	"database/sql"
	"fmt"

	_ "github.com/duckdb/duckdb-go/v2" // opens analysis.duckdb as a notebook would
	_ "github.com/mattn/go-sqlite3"    // opens targets.sqlite as people's SQL does
)

// Pool is a pool's file, opened for reading.
type Pool struct {
	// Name is "targets" or "universe".
	Name string

	db      *sql.DB
	symbols map[string]bool // nil means the whole market
}

// OpenUniverse opens analysis.duckdb. The worker must have closed it.
func OpenUniverse(path string) (*Pool, error) {
	db, err := sql.Open("duckdb", path+"?access_mode=read_only")
	if err != nil {
		return nil, err
	}
	if err := db.Ping(); err != nil {
		_ = db.Close() // the error that counts is the first
		return nil, err
	}
	return &Pool{Name: "universe", db: db}, nil
}

// OpenTargets opens targets.sqlite, which is to hold the rows of these symbols.
func OpenTargets(path string, symbols []string) (*Pool, error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		return nil, err
	}
	p := &Pool{Name: "targets", db: db, symbols: map[string]bool{}}
	for _, s := range symbols {
		p.symbols[s] = true
	}
	return p, nil
}

// Close closes the file.
func (p *Pool) Close() error { return p.db.Close() }

// days lists the days of which the pool holds rows of a dataset, "YYYY-MM-DD".
func (p *Pool) days(ctx context.Context, d Dataset) ([]string, error) {
	rows, err := p.db.QueryContext(ctx, fmt.Sprintf("select distinct cast(trade_date as varchar) from %s where %s", d.table, d.where))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var day string
		if err := rows.Scan(&day); err != nil {
			return nil, err
		}
		out = append(out, day)
	}
	return out, rows.Err()
}

// rows reads rows by their first column, and counts those that share it with
// another. The others are read as they are: text, float64, or nil.
func (p *Pool) rows(ctx context.Context, query string, args ...any) (held map[string][]any, doubled int64, err error) {
	rows, err := p.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, 0, err
	}
	held = map[string][]any{}
	for rows.Next() {
		var key string
		values := make([]any, len(names)-1)
		into := []any{&key}
		for i := range values {
			into = append(into, &values[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, 0, err
		}
		for i, v := range values {
			values[i] = plain(v)
		}
		if _, twice := held[key]; twice {
			doubled++
		}
		held[key] = values
	}
	return held, doubled, rows.Err()
}

// plain brings the drivers' types to those of the provider's rows.
func plain(v any) any {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case int64:
		return float64(v)
	case int32:
		return float64(v)
	}
	return v
}

// claims counts the rows that the pool's coverage claims of a dataset and day.
func (p *Pool) claims(ctx context.Context, api, day string) (n int64, err error) {
	err = p.db.QueryRowContext(ctx, "select cast(coalesce(sum(row_count), 0) as bigint) from coverage where dataset = ? and trade_date = ?", api, day).Scan(&n)
	return n, err
}
