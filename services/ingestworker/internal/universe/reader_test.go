package universe

import (
	"path/filepath"
	"testing"
)

// After Forget a reader has no block in memory, keeps its limit and can continue to read.
func TestReaderForgetsBlocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.duckdb")
	d, err := openDuck(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.exec("CREATE TABLE x AS SELECT hash(range) AS v FROM range(500000)"); err != nil {
		t.Fatal(err)
	}
	d.close()
	r, err := OpenReader(path, ReaderConfig{Memory: "64MiB", Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	number := func(sql string) (n int64) {
		t.Helper()
		err := r.Query(t.Context(), sql, func(c Chunk) error {
			n = c.Longs(0)[0]
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const held = "SELECT sum(memory_usage_bytes)::BIGINT FROM duckdb_memory() WHERE tag = 'BASE_TABLE'"
	for range 2 {
		if n := number("SELECT count(*) FILTER (v > 0) FROM x"); n < 499_999 {
			t.Errorf("%d rows", n)
		}
		if n := number(held); n < 2<<20 {
			t.Errorf("%d bytes of blocks are held after reading them", n)
		}
		if err := r.Forget(); err != nil {
			t.Fatal(err)
		}
		if n := number(held); n > 1<<20 {
			t.Errorf("%d bytes of blocks are held after forgetting them", n)
		}
	}
	if n := number("SELECT count(*) FROM duckdb_settings() WHERE name = 'memory_limit' AND value = '64.0 MiB'"); n != 1 {
		t.Error("the memory limit is another one")
	}
}
