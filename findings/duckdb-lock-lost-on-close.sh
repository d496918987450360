#!/usr/bin/env bash
# A process that has a DuckDB file open loses its lock on the file when it opens the same file for
# any other purpose, such as a checksum or a copy, and closes it again: DuckDB uses POSIX record
# locks, which end when any descriptor of the file is closed. Another process can then open the
# file for writing, and the row that it commits is gone after the first process has closed the
# file. Neither gets an error.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/duckdb/duckdb-go/v2@v2.10506.0"

cat > main.go <<'EOF'
package main

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"

	_ "github.com/duckdb/duckdb-go/v2"
)

const path = "market.duckdb"

func main() {
	if len(os.Args) > 1 {
		fmt.Print(second())
		return
	}
	db, err := sql.Open("duckdb", path)
	check(err)
	for _, text := range []string{"CREATE TABLE t (v VARCHAR)", "CHECKPOINT"} {
		_, err = db.Exec(text)
		check(err)
	}
	other := func() string {
		out, err := exec.Command(os.Args[0], "second").Output()
		check(err)
		return string(out)
	}
	fmt.Println("first process has the file open; the second is", other())
	f, err := os.Open(path)
	check(err)
	check(f.Close())
	fmt.Println("first process has read the file once; the second is", other())
	_, err = db.Exec("INSERT INTO t VALUES ('first')")
	fmt.Println("first process inserts:", err)
	fmt.Println("first process closes:", db.Close())
	db, err = sql.Open("duckdb", path)
	check(err)
	var rows string
	check(db.QueryRow("SELECT list(v)::VARCHAR FROM t").Scan(&rows))
	fmt.Println("rows in the file:", rows)
}

func second() string {
	db, err := sql.Open("duckdb", path)
	if err == nil {
		_, err = db.Exec("INSERT INTO t VALUES ('second')")
	}
	if err != nil || db.Close() != nil {
		return "refused"
	}
	return "let in and commits a row"
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
first process has the file open; the second is refused
first process has read the file once; the second is let in and commits a row
first process inserts: <nil>
first process closes: <nil>
rows in the file: [first]
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
