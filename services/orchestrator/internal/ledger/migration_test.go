package ledger

import (
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/afterbell/afterbell/services/internal/sqlite"
)

// older is the path of a ledger as it was before a migration, "0012", with what the
// statements write.
func older(t *testing.T, before string, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	files := fstest.MapFS{}
	for _, name := range must(fs.Glob(migrations, "migrations/*.sql"))(t) {
		if filepath.Base(name) < before {
			files[filepath.Base(name)] = &fstest.MapFile{Data: must(fs.ReadFile(migrations, name))(t)}
		}
	}
	db := must(sqlite.Open(t.Context(), path, sqlite.Options{}))(t)
	defer db.Close()
	if err := db.Migrate(t.Context(), files); err != nil {
		t.Fatal(err)
	}
	err := db.Write(t.Context(), func(tx *sqlite.Tx) error {
		for _, s := range statements {
			if _, err := tx.ExecContext(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}
