#!/usr/bin/env bash
# parquet-go reads a DECIMAL(12,4) column of a Parquet file into a float64 field of a struct
# without an error and without its scale: 12.34 becomes 123400. DuckDB reads the same file as
# 12.34.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/parquet-go/parquet-go@v0.32.0 github.com/duckdb/duckdb-go/v2@v2.10506.0"

cat > main.go <<'EOF'
package main

import (
	"database/sql"
	"fmt"

	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/parquet-go/parquet-go"
)

type price struct {
	Symbol string  `parquet:"symbol"`
	Close  float64 `parquet:"close"`
}

func main() {
	db, err := sql.Open("duckdb", "")
	check(err)
	_, err = db.Exec("COPY (SELECT '600519.SH' AS symbol, 12.34::DECIMAL(12,4) AS close) TO 'x.parquet' (FORMAT parquet)")
	check(err)
	rows, err := parquet.ReadFile[price]("x.parquet")
	fmt.Println("parquet-go:", rows, err)
	var duck float64
	check(db.QueryRow("SELECT close::DOUBLE FROM 'x.parquet'").Scan(&duck))
	fmt.Println("DuckDB:", duck)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
EOF
go mod init finding 2> /dev/null
go get github.com/parquet-go/parquet-go@v0.32.0 github.com/duckdb/duckdb-go/v2@v2.10506.0 2> /dev/null
go mod tidy 2> /dev/null
go build -o finding .

cat > expected <<'EOF'
parquet-go: [{600519.SH 123400}] <nil>
DuckDB: 12.34
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
