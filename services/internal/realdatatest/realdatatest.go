// Package realdatatest finds and reads the recorded market data for tests.
package realdatatest

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Dir returns the absolute path of the directory of recorded market data: the one that
// AFTERBELL_REALDATA names, or shared/realdata beside the workspace. It skips the test, and
// says so on stderr, if the directory does not exist.
func Dir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("AFTERBELL_REALDATA")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(workspace(t)), "shared", "realdata")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "daily")); err != nil {
		message := fmt.Sprintf("SKIPPED: %s, because there is no recorded market data at %s; set AFTERBELL_REALDATA", t.Name(), dir)
		fmt.Fprintln(os.Stderr, message)
		t.Skip(message)
	}
	return dir
}

// Rows reads a CSV file of the recorded data: each row as its fields by column name. A field
// is empty if the provider returned null.
func Rows(t testing.TB, path string) []map[string]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) == 0 {
		t.Fatalf("%s has no header", path)
	}
	out := make([]map[string]string, len(lines)-1)
	for n, line := range lines[1:] {
		out[n] = make(map[string]string, len(line))
		for i, name := range lines[0] {
			out[n][name] = line[i]
		}
	}
	return out
}

// workspace returns the directory that has go.work.
func workspace(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return dir
}
