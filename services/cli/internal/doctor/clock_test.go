package doctor

import (
	"testing"
	"time"
)

func TestTimeZoneIsSaidInHours(t *testing.T) {
	shanghai := time.FixedZone("CST", 8*3600)
	for _, c := range []struct {
		zone *time.Location
		want string
	}{
		{time.UTC, "local time (UTC) is 8 hours behind Shanghai time; the schedule uses its own time zone"},
		{time.FixedZone("ACST", 9*3600+1800), "local time (ACST) is 1.5 hours ahead of Shanghai time; the schedule uses its own time zone"},
		{shanghai, "local time is Shanghai time"},
	} {
		d := &doctor{Options: Options{Zone: shanghai, Commands: func(s string) string { return s }, Now: func() time.Time { return time.Unix(1796000000, 0).In(c.zone) }}}
		d.zone()
		if len(d.findings) != 1 || d.findings[0].Found != c.want {
			t.Errorf("%+v, want %q", d.findings, c.want)
		}
	}
}
