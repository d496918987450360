package universe

import (
	"fmt"
	"slices"
	"strings"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/market"
)

// schemaVersion is increased when a table changes. A file of an older version is migrated
// when it is opened (see migrate); one of a newer version is rejected.
//
//	2  revisions
const schemaVersion = 2

// column is one column of a table as DuckDB declares it.
type column struct{ name, typ, doc string }

type schemaTable struct {
	name, doc string
	columns   []column
}

// The bookkeeping tables. Times are UTC.
var bookkeeping = []schemaTable{
	{"coverage", "What is stored per dataset and trade date; committed with the rows.", []column{
		{"dataset", "VARCHAR", "Name of the dataset, the provider's api_name."},
		{"trade_date", "DATE", "Trade date. Null for lists and calendars, which are stored whole."},
		{"row_count", "BIGINT", "Rows stored."},
		{"row_count_sh", "BIGINT", "Rows of symbols with suffix SH."},
		{"row_count_sz", "BIGINT", "Rows of symbols with suffix SZ."},
		{"row_count_bj", "BIGINT", "Rows of symbols with suffix BJ."},
		{"rows_hash", "UBIGINT", "Hash of the stored rows with all their values, in any order; 0 if there are none."},
		{"expected_count", "BIGINT", "Rows expected; 0 if unknown or none."},
		{"verdict", "VARCHAR", "Result of checking the last response: complete, expected_empty, not_published, incomplete, empty, accepted_short."},
		{"committed_at", "TIMESTAMP", "When it was committed, UTC."},
		{"epoch", "BIGINT", "Epoch of the dispatch that wrote it, Unix ms."},
		{"run_id", "VARCHAR", "Run that wrote it."},
		{"answer_hash", "UBIGINT", "Hash of a short response; 0 if complete."},
		{"same_since", "DATE", "Day of the first of the same short responses."},
		{"same_days", "BIGINT", "On how many days the same short response came."},
		{"last_same", "DATE", "The last of those days."},
		{"filtered_count", "BIGINT", "Rows that the pool leaves out by rule: funds that are not ETFs."},
		{"rejected_count", "BIGINT", "Rows that failed a check; see rejects."},
		{"unknown_count", "BIGINT", "Stored rows of symbols that are not in the instrument list."},
		{"new_count", "BIGINT", "Rows that the last commit added."},
		{"changed_count", "BIGINT", "Rows with a value that the last commit changed."},
		{"gone_count", "BIGINT", "Rows that the last commit removed."},
		{"issues", "VARCHAR", "Warnings and findings of the last response, JSON. Null if there are none."},
	}},
	{"rejects", "Rows that failed a check and are not in the tables.", []column{
		{"dataset", "VARCHAR", "Name of the dataset."},
		{"trade_date", "DATE", "Trade date of the partition. Null for lists and calendars."},
		{"symbol", "VARCHAR", "Symbol of the row, if known."},
		{"reason", "VARCHAR", "The check that failed."},
		{"row_json", "VARCHAR", "The row as JSON, by the provider's column names."},
		{"rejected_at", "TIMESTAMP", "When it was rejected, UTC."},
	}},
	{pool.RevisionsTable, "Values that the provider changed or removed after they were stored, one row per value.", []column{
		{"revision_id", "BIGINT", "Number of the revision, in the order of writing."},
		{"dataset", "VARCHAR", "Name of the dataset, the provider's api_name."},
		{"symbol", "VARCHAR", "Symbol of the row; for a calendar, its exchange."},
		{"trade_date", "DATE", "Trade date of the row. Null for lists."},
		{"column_name", "VARCHAR", "Column of the dataset's table."},
		{"old_value", "VARCHAR", "Previous value, as text. Null if it was null."},
		{"new_value", "VARCHAR", "New value, as text. Null if it is null or the row was removed."},
		{"change", "VARCHAR", "changed: the row stayed; dropped: the provider no longer has it; renamed: the company has a new code."},
		{"seen_at", "TIMESTAMP", "When the change was committed, UTC."},
		{"run_id", "VARCHAR", "Run that changed it."},
	}},
	{"meta", "One row about this file.", []column{
		{"schema_version", "BIGINT", "Version of these tables."},
		{"source", "VARCHAR", "Host of the provider's URL that filled the file."},
		{"created_at", "TIMESTAMP", "When the file was created, UTC."},
	}},
}

var duckTypes = map[table.Type]string{
	table.Text: "VARCHAR", table.Date: "DATE", table.Number: "DOUBLE", table.Int: "INTEGER",
}

// schema is every table of the file.
func schema() []schemaTable {
	var out []schemaTable
	for _, t := range pool.Tables() {
		s := schemaTable{name: t.Name, doc: t.Doc}
		for _, c := range t.Columns {
			s.columns = append(s.columns, column{c.Stored, duckTypes[c.Type], c.Doc})
		}
		out = append(out, s)
	}
	return append(out, bookkeeping...)
}

// createSQL creates every table, with its comments and no key: a PRIMARY KEY makes writing
// 4 to 10 times slower and the file 6 times larger, and has produced files that do not open
// again.
func createSQL() string {
	var b strings.Builder
	for _, t := range schema() {
		b.WriteString(t.createSQL())
	}
	return b.String()
}

func (t schemaTable) createSQL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (", t.name)
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q %s", c.name, c.typ)
	}
	fmt.Fprintf(&b, ");\nCOMMENT ON TABLE %s IS %s;\n", t.name, quote(t.doc))
	for _, c := range t.columns {
		fmt.Fprintf(&b, "COMMENT ON COLUMN %s.%q IS %s;\n", t.name, c.name, quote(c.doc))
	}
	return b.String()
}

// predicate selects the rows of a partition of the dataset.
func predicate(d *catalog.Dataset, date market.Date) string {
	var terms []string
	if !d.Snapshot {
		terms = append(terms, "trade_date = "+literal(date))
	}
	if kind := kindPredicate(d); kind != "" {
		terms = append(terms, kind)
	}
	if len(terms) == 0 {
		return "true"
	}
	return strings.Join(terms, " AND ")
}

// kindPredicate selects the rows of a dataset in a table that two datasets fill; empty if
// only one does.
func kindPredicate(d *catalog.Dataset) string {
	switch {
	case d.Table == catalog.TablePrices && d.Kind == market.ETF:
		return etfPredicate
	case d.Table == catalog.TablePrices:
		return "NOT " + etfPredicate
	case d.Table == catalog.TableInstruments:
		return pool.KindColumn + " = " + quote(string(d.Kind))
	}
	return ""
}

// etfPredicate selects ETFs by their code ranges, which separates the rows of `daily` and
// `fund_daily` in one table.
var etfPredicate = func() string {
	var terms []string
	for _, r := range market.ETFRanges() {
		terms = append(terms, fmt.Sprintf("(starts_with(symbol, %s) AND suffix(symbol, %s))", quote(r.Prefix), quote("."+r.Exchange)))
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}()

// sources returns what fills each column of a dataset's table.
func sources(d *catalog.Dataset, b *table.Batch) []source {
	tables := pool.Tables()
	t := tables[slices.IndexFunc(tables, func(t pool.Table) bool { return t.Name == d.Table })]
	out := make([]source, len(t.Columns))
	for i, c := range t.Columns {
		if c.Stored == pool.KindColumn {
			out[i].constant = string(d.Kind)
			continue
		}
		at := slices.IndexFunc(d.Columns, func(have catalog.Column) bool { return have.Stored == c.Stored })
		if at >= 0 {
			out[i].column = &b.Columns[at]
		}
	}
	return out
}
