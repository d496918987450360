package logging

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestSecretsAreBlanked(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := New(&out, "debug", format)
		if err != nil {
			t.Fatal(err)
		}
		log.With("Token", "s3cret").WithGroup("http").Info("called",
			"authorization", "Bearer s3cret", slog.Group("inner", "password", "s3cret"), "token_source", "main")
		if got := out.String(); strings.Contains(got, "s3cret") || strings.Count(got, Redacted) != 3 || !strings.Contains(got, "main") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestLengthsOfTimeAreReadable(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := New(&out, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("done", "took", 3179948076*time.Nanosecond)
		if !strings.Contains(out.String(), "3.179948s") {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}

func TestLevelAndFormat(t *testing.T) {
	var out bytes.Buffer
	log, err := New(&out, "warn", "json")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"msg":"loud"`) || strings.Count(got, "\n") != 1 {
		t.Errorf("got %s", got)
	}
	for _, c := range [][2]string{{"verbose", "json"}, {"info", "xml"}, {"", "json"}, {"info", ""}} {
		if _, err := New(&out, c[0], c[1]); err == nil || !strings.Contains(err.Error(), "allowed are") {
			t.Errorf("New(%v) = %v, want what is allowed", c, err)
		}
	}
}
