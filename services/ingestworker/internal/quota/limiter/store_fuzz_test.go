package limiter

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
)

// Any content of the limits' file is either read or refused. A file that is read delays no call for
// longer than a limit per day does.
func FuzzLimitsFile(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"version":1}`, `{"version":1,"states":[{"token":"t","api":"daily","limits":{"minute":{"calls":200,"at":1}},"closed":{"day":9999999999999},"held":99999999999999999,"spent":[1,2,-3],"day":20000,"spent_today":-5}]}`,
		`{"version":1,"states":[{"api":"daily","closed":{"hour":1},"spent":[9223372036854775807]}]}`, `{"version":2}`, `[`, "\xff",
	} {
		f.Add([]byte(s))
	}
	now := time.Date(2026, 11, 27, 11, 30, 0, 0, time.UTC)
	set := quota.DefaultSettings(200)
	f.Fuzz(func(t *testing.T, raw []byte) {
		states, err := parse(raw, set, now)
		if err != nil {
			return
		}
		for k, s := range states {
			if s.Held.After(now.Add(48*time.Hour)) || s.SpentToday < 0 {
				t.Errorf("%v is held until %s, %d spent", k, s.Held, s.SpentToday)
			}
			for _, w := range allWindows {
				if s.Closed[w].After(now.Add(48 * time.Hour)) {
					t.Errorf("%v is closed until %s", k, s.Closed[w])
				}
			}
		}
	})
}

// A file that cannot be read does not keep the limiter from starting.
func TestLimitsFileThatCannotBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "limits.json")
	if err := os.WriteFile(path, []byte(`{"version":1,"states":[`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(Config{Path: path, Settings: quota.DefaultSettings(200)})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
