package targets

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/ingestworker/internal/pool"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// The migrations are written by hand and the catalogue is Go: this binds them. A
// column added to the catalogue needs a migration here.
func TestSchemaIsTheCatalogues(t *testing.T) {
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "x.sqlite"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(t.Context(), migrations()); err != nil {
		t.Fatal(err)
	}
	types := map[table.Type]string{table.Text: "TEXT", table.Date: "TEXT", table.Number: "REAL", table.Int: "INTEGER"}
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
			expected = append(expected, c.Stored+" "+types[c.Type])
			if !strings.Contains(text, "-- "+c.Doc) {
				t.Errorf("%s.%s lacks its comment %q", want.Name, c.Stored, c.Doc)
			}
		}
		if !slices.Equal(columns, expected) || !slices.Equal(key, want.Key) {
			t.Errorf("%s has columns %v and key %v; the catalogue has %v and %v", want.Name, columns, key, expected, want.Key)
		}
	}
}
