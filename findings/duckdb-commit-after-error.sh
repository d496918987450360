#!/usr/bin/env bash
# In DuckDB, COMMIT succeeds and stores nothing after a statement of the transaction has failed
# while it ran (a conversion error). After a statement that failed before it ran (no such table),
# COMMIT stores the rest. A caller that ignores one failed statement and commits cannot tell from
# COMMIT whether its rows are stored.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/duckdb/duckdb-go/v2@v2.10506.0"

cat > main.go <<'EOF'
package main

import (
	"database/sql"
	"fmt"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2"
)

func main() {
	db, err := sql.Open("duckdb", "")
	check(err)
	_, err = db.Exec("CREATE TABLE t (v INTEGER)")
	check(err)
	for _, bad := range []string{"INSERT INTO missing VALUES (2)", "INSERT INTO t SELECT 'x'::VARCHAR::INTEGER"} {
		_, err = db.Exec("DELETE FROM t")
		check(err)
		tx, err := db.Begin()
		check(err)
		_, err = tx.Exec("INSERT INTO t VALUES (1)")
		check(err)
		_, failed := tx.Exec(bad)
		kind, _, _ := strings.Cut(failed.Error(), ":")
		committed := tx.Commit()
		var rows int
		check(db.QueryRow("SELECT count(*) FROM t").Scan(&rows))
		fmt.Printf("after a %s: COMMIT returns %v, rows stored: %d of 1\n", kind, committed, rows)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
EOF
go mod init finding 2> /dev/null
go get github.com/duckdb/duckdb-go/v2@v2.10506.0 2> /dev/null
go mod tidy 2> /dev/null
go build -o finding .

cat > expected <<'EOF'
after a Catalog Error: COMMIT returns <nil>, rows stored: 1 of 1
after a Conversion Error: COMMIT returns <nil>, rows stored: 0 of 1
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
