#!/usr/bin/env bash
# go-sqlite3 reads an integer in a column that is declared TIMESTAMP as seconds or as
# milliseconds, by its size: above 1e12 it is milliseconds. So Unix milliseconds are read
# correctly after 2001-09-09, and earlier moments, such as the first trading day in Shanghai, come
# back some twenty thousand years late. The same integer in a column that is declared INTEGER is
# read as it is.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/mattn/go-sqlite3@v1.14.53"

cat > main.go <<'EOF'
package main

import (
	"database/sql"
	"fmt"
	"time"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	db, err := sql.Open("sqlite3", ":memory:")
	check(err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE t (day TEXT, declared TIMESTAMP, plain INTEGER)")
	check(err)
	for _, day := range []string{"2026-11-29", "2001-09-10", "2001-09-08", "1990-12-19"} {
		at, err := time.Parse(time.DateOnly, day)
		check(err)
		_, err = db.Exec("INSERT INTO t VALUES (?1, ?2, ?2)", day, at.UnixMilli())
		check(err)
	}
	rows, err := db.Query("SELECT day, declared, plain FROM t")
	check(err)
	for rows.Next() {
		var day string
		var declared time.Time
		var plain int64
		check(rows.Scan(&day, &declared, &plain))
		fmt.Printf("%s: TIMESTAMP reads %s, INTEGER reads %s\n", day,
			declared.UTC().Format(time.DateOnly), time.UnixMilli(plain).UTC().Format(time.DateOnly))
	}
	check(rows.Err())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
EOF
go mod init finding 2> /dev/null
go get github.com/mattn/go-sqlite3@v1.14.53 2> /dev/null
go mod tidy 2> /dev/null
go build -o finding .

cat > expected <<'EOF'
2026-11-29: TIMESTAMP reads 2026-11-29, INTEGER reads 2026-11-29
2001-09-10: TIMESTAMP reads 2001-09-10, INTEGER reads 2001-09-10
2001-09-08: TIMESTAMP reads 33655-10-19, INTEGER reads 2001-09-08
1990-12-19: TIMESTAMP reads 22934-02-26, INTEGER reads 1990-12-19
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
