package targets

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// The migrations are written by hand and the catalog is Go: this binds them. A
// column added to the catalog needs a migration here.
func TestSchemaIsTheCatalogs(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context(), migrations()); err != nil {
		t.Fatal(err)
	}
	for _, want := range pool.Tables() {
		var text string
		if err := db.Reader().QueryRow("SELECT sql FROM sqlite_schema WHERE name = ?", want.Name).Scan(&text); err != nil {
			t.Errorf("%s: %v", want.Name, err)
			continue
		}
		var columns, key []string
		err := each(t.Context(), db.Reader(), "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid", func(scan func(...any) error) error {
			var name, typ string
			var pk int
			if err := scan(&name, &typ, &pk); err != nil {
				return err
			}
			columns = append(columns, name+" "+typ)
			if pk > 0 {
				key = append(key, name)
			}
			return nil
		}, want.Name)
		if err != nil {
			t.Fatal(err)
		}
		var expected []string
		for _, c := range want.Columns {
			expected = append(expected, c.Stored+" "+sqliteTypes[c.Type])
			if !strings.Contains(text, "-- "+c.Doc) {
				t.Errorf("%s.%s lacks its comment %q", want.Name, c.Stored, c.Doc)
			}
		}
		if !slices.Equal(columns, expected) || !slices.Equal(key, want.Key) {
			t.Errorf("%s has columns %v and key %v; the catalog has %v and %v", want.Name, columns, key, expected, want.Key)
		}
	}
}

func TestFileThatLacksSomethingIsRefused(t *testing.T) {
	for sql, lacks := range map[string]string{
		"DROP TABLE daily_basics":                 "the table daily_basics",
		"DROP TABLE rejects":                      "the table rejects",
		"ALTER TABLE daily_basics DROP COLUMN pe": "the column pe of daily_basics",
		"CREATE TABLE mine (x); ALTER TABLE daily_prices ADD COLUMN mine REAL": "",
	} {
		path := filepath.Join(t.TempDir(), "targets.sqlite")
		for range 2 {
			s := New(Config{Path: path, Source: "api.tushare.pro"})
			err := s.Open(t.Context())
			if closed := s.Close(); closed != nil {
				t.Fatal(closed)
			}
			if sql == "" {
				if f, ok := fault.As(err); lacks != "" && (!ok || f.Reason != fault.TargetsDBNotInitialized || !strings.Contains(f.Message, lacks)) ||
					lacks == "" && err != nil {
					t.Errorf("got %v, want that it lacks %q", err, lacks)
				}
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = db.Write(t.Context(), func(tx *sqlite.Tx) error {
				_, err := tx.ExecContext(t.Context(), sql)
				return err
			})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
			sql = ""
		}
	}
}
