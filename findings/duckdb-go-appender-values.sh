#!/usr/bin/env bash
# duckdb-go's Appender stores a different value, without an error, when a Go value does not fit
# the column: integers wrap, fractions are cut off, NaN becomes the smallest integer, and a
# time.Time becomes its date in UTC, which is the day before for midnight in Shanghai. The same
# numbers as parameters of an INSERT are refused or rounded.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
echo "$(date -u +%F) $(go version | cut -d' ' -f3) github.com/duckdb/duckdb-go/v2@v2.10506.0"

cat > main.go <<'EOF'
package main

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

func main() {
	connector, err := duckdb.NewConnector("", nil)
	check(err)
	conn, err := connector.Connect(context.Background())
	check(err)
	db := sql.OpenDB(connector)
	for _, c := range []struct {
		typ   string
		value any
	}{
		{"TINYINT", int64(300)},
		{"UINTEGER", int64(-1)},
		{"INTEGER", 12.99},
		{"BIGINT", math.NaN()},
		{"DATE", time.Date(2026, 11, 29, 0, 0, 0, 0, time.FixedZone("+08:00", 8*3600))},
	} {
		_, err := db.Exec("CREATE OR REPLACE TABLE t (v " + c.typ + ")")
		check(err)
		appender, err := duckdb.NewAppenderFromConn(conn, "", "t")
		check(err)
		row := appender.AppendRow(c.value)
		end := appender.Close()
		var stored string
		check(db.QueryRow("SELECT v::VARCHAR FROM t").Scan(&stored))
		fmt.Printf("%v into %s: Appender errors %v %v, stored %s; ", c.value, c.typ, row, end, stored)
		_, err = db.Exec("DELETE FROM t")
		check(err)
		if _, err = db.Exec("INSERT INTO t VALUES (?)", c.value); err != nil {
			fmt.Println("INSERT refused")
			continue
		}
		check(db.QueryRow("SELECT v::VARCHAR FROM t").Scan(&stored))
		fmt.Printf("INSERT stored %s\n", stored)
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
300 into TINYINT: Appender errors <nil> <nil>, stored 44; INSERT refused
-1 into UINTEGER: Appender errors <nil> <nil>, stored 4294967295; INSERT refused
12.99 into INTEGER: Appender errors <nil> <nil>, stored 12; INSERT stored 13
NaN into BIGINT: Appender errors <nil> <nil>, stored -9223372036854775808; INSERT refused
2026-11-29 00:00:00 +0800 +08:00 into DATE: Appender errors <nil> <nil>, stored 2026-11-28; INSERT stored 2026-11-28
EOF
./finding | tee seen
diff expected seen && echo "The behaviour is as described." || { echo "The behaviour has changed: update findings/README.md." >&2; exit 1; }
