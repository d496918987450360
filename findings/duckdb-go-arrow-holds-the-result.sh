#!/usr/bin/env bash
# duckdb-go's Arrow reader looks like a stream, and its first batch has 2,048 rows. But the whole
# result is in memory before the first batch is returned, so a large table cannot be streamed with
# it in little memory. It must be read in slices of the query.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/duckdb/duckdb-go/v2@v2.10506.0"

cat > main.go <<'EOF'
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/duckdb/duckdb-go/v2"
)

func main() {
	connector, err := duckdb.NewConnector("", nil)
	check(err)
	conn, err := connector.Connect(context.Background())
	check(err)
	arrow, err := duckdb.NewArrowFromConn(conn)
	check(err)
	const rows = 10_000_000 // two columns of eight bytes: 152 MB
	before := resident()
	reader, err := arrow.QueryContext(context.Background(), fmt.Sprintf("SELECT range::DOUBLE a, range::DOUBLE b FROM range(%d)", rows))
	check(err)
	reader.Next()
	grown := resident() - before
	fmt.Println("rows of the first batch:", reader.RecordBatch().NumRows())
	fmt.Println("memory holds more than half of the result at the first batch:", grown > rows*16/2)
	reader.Release()
}

// resident is the process's memory in bytes.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	check(err)
	var size, pages int64
	_, err = fmt.Sscan(string(text), &size, &pages)
	check(err)
	return pages * int64(os.Getpagesize())
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
go build -tags duckdb_arrow -o finding .

cat > expected <<'EOF'
rows of the first batch: 2048
memory holds more than half of the result at the first batch: true
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
