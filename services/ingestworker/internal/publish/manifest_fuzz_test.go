package publish

import (
	"encoding/json"
	"testing"
)

// Any content of a manifest is either read or refused. A manifest that is read names a version in
// the format of the directories.
func FuzzManifest(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"format":1,"version":"20261129T113012.345Z","files":[{"path":"universe.duckdb","bytes":1}]}`, `{"format":1,"version":"../../etc"}`,
		`{"format":1,"version":"20261129T113012.345Z","tables":[{"name":"daily_prices","rows":-1,"first_date":"x"}],"files":null}`, `{"format":1e9}`, `[`, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		if !versionName.MatchString(m.Version) || m.Format != manifestFormat {
			t.Errorf("took format %d, version %q", m.Format, m.Version)
		}
		_ = m.file("universe.duckdb")
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(text); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
