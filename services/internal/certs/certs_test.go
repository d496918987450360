package certs

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

func read(t *testing.T, dir, name string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMake(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	now := time.Now()
	r := Request{Dir: dir, Orchestrator: []string{"desk1.lan", "10.0.0.5"}, Worker: []string{"desk2"}, Now: now}
	made, err := Make(r)
	if err != nil || !made.NewCA || len(made.Files) != 6 {
		t.Fatalf("%+v, %v", made, err)
	}
	for _, f := range made.Files {
		st, err := os.Stat(f)
		if err != nil || strings.HasSuffix(f, ".key") != (st.Mode().Perm() == 0o600) {
			t.Errorf("%s: %v, %v", f, st.Mode(), err)
		}
	}
	ca, roots := read(t, dir, "ca.crt"), x509.NewCertPool()
	roots.AddCert(ca)
	orchestrator, worker := read(t, dir, "orchestrator.crt"), read(t, dir, "worker.crt")
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	for _, c := range []struct {
		cert  *x509.Certificate
		name  string
		usage []x509.ExtKeyUsage
		want  bool
	}{
		{orchestrator, "desk1.lan", nil, true}, {orchestrator, "10.0.0.5", nil, true}, {orchestrator, "127.0.0.1", nil, true}, {orchestrator, "desk2", nil, false},
		{orchestrator, ClientName, client, true}, {worker, "desk2", nil, true}, {worker, "localhost", nil, true}, {worker, "", client, false}, {worker, ClientName, nil, false},
	} {
		if _, err := c.cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: c.name, KeyUsages: c.usage, CurrentTime: now}); (err == nil) != c.want {
			t.Errorf("%s as %q: %v", c.cert.Subject, c.name, err)
		}
	}
	if !orchestrator.NotAfter.Equal(now.AddDate(0, 0, DefaultDays).UTC().Truncate(time.Second)) {
		t.Errorf("it expires at %s", orchestrator.NotAfter)
	}
	// Again, without hosts: the CA and the hosts stay.
	again, err := Make(Request{Dir: dir, Now: now})
	for name, host := range map[string]string{"orchestrator.crt": "10.0.0.5", "worker.crt": "desk2"} {
		if err := read(t, dir, name).VerifyHostname(host); err != nil {
			t.Errorf("the renewed %s: %v", name, err)
		}
	}
	if err != nil || again.NewCA || len(again.Files) != 4 || slices.ContainsFunc(again.Files, func(f string) bool { return strings.Contains(f, "ca.") }) {
		t.Errorf("%+v, %v", again, err)
	}
	if renewed := read(t, dir, "worker.crt"); renewed.Equal(worker) || renewed.CheckSignatureFrom(ca) != nil {
		t.Error("the worker's certificate was not renewed by the same CA")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// The CA ends first.
	r.Now = now.AddDate(0, 0, MaxDays-10)
	if last, err := Make(r); err != nil || !last.Expires.Equal(ca.NotAfter) {
		t.Errorf("%+v, %v", last, err)
	}
	r.Now = now.AddDate(0, 0, MaxDays+1)
	if _, err := Make(r); !fault.Is(err, fault.InvalidArgument) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired CA: %v", err)
	}
}

func TestWrongRequestsAreNamed(t *testing.T) {
	broken := t.TempDir()
	if _, err := Make(Request{Dir: broken, Now: time.Now()}); err != nil {
		t.Fatal(err)
	}
	missing := t.TempDir()
	for name, dir := range map[string]string{"worker.key": broken, "": missing} {
		text, err := os.ReadFile(filepath.Join(broken, "ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(missing, "ca.crt"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		if name != "" {
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "ca.key")); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		request Request
		field   string
	}{
		{Request{Dir: t.TempDir(), Days: -1}, "days"}, {Request{Dir: t.TempDir(), Days: MaxDays + 1}, "days"},
		{Request{Dir: t.TempDir(), Worker: []string{"a b"}}, "worker"}, {Request{Dir: t.TempDir(), Orchestrator: []string{"10.0.0.5:7700"}}, "orchestrator"},
		{Request{Dir: file}, "dir"}, {Request{Dir: broken}, "dir"}, {Request{Dir: missing}, "dir"},
	} {
		c.request.Now = time.Now()
		_, err := Make(c.request)
		if f, ok := fault.As(err); !ok || f.Meta["field"] != c.field || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want field %s", c.request, err, c.field)
		}
	}
}
