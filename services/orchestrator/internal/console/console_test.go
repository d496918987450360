package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// firstPage is the largest first page allowed, in bytes over the wire.
const firstPage = 60_000

func get(t *testing.T, h http.HandlerFunc, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h(w, r)
	return w
}

func TestBundle(t *testing.T) {
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	asset := func(w http.ResponseWriter, r *http.Request) {
		if !c.Asset(w, r) {
			w.WriteHeader(http.StatusTeapot)
		}
	}
	page := get(t, c.Index, "/")
	if got := page.Header().Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") || strings.Contains(got, "http") {
		t.Errorf("policy %q", got)
	}
	scripts := regexp.MustCompile(`(?s)<script>(.*?)</script>`).FindAllSubmatch(page.Body.Bytes(), -1)
	if len(scripts) != 1 {
		t.Fatalf("%d scripts stand in the page, want only the prefetch script", len(scripts))
	}
	sum := sha256.Sum256(scripts[0][1])
	if got, want := page.Header().Get("Content-Security-Policy"), "script-src 'self' 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"';"; !strings.Contains(got, want) {
		t.Errorf("policy %q does not let the page's script run: %s", got, want)
	}
	names := regexp.MustCompile(`/assets/([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(names) < 4 {
		t.Fatalf("the page names %d files, want its icon, its style, its script and what that imports", len(names))
	}
	wire := get(t, c.Index, "/", "Accept-Encoding", "gzip").Body.Len()
	seen := map[string]bool{}
	var load func(name string)
	load = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		packed := get(t, asset, "/assets/"+name, "Accept-Encoding", "br, gzip")
		if packed.Code != http.StatusOK || packed.Header().Get("Content-Encoding") != "gzip" || !strings.Contains(packed.Header().Get("Cache-Control"), "immutable") {
			t.Fatalf("%s: %d %v", name, packed.Code, packed.Header())
		}
		wire += packed.Body.Len()
		zip, err := gzip.NewReader(bytes.NewReader(packed.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(zip)
		if err != nil {
			t.Fatal(err)
		}
		raw := get(t, asset, "/assets/"+name, "Accept-Encoding", "identity")
		if !bytes.Equal(raw.Body.Bytes(), plain) || raw.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s differs when it is not compressed", name)
		}
		if raw.Header().Get("ETag") == packed.Header().Get("ETag") {
			t.Errorf("%s has the same ETag in both codings", name)
		}
		again := get(t, asset, "/assets/"+name, "Accept-Encoding", "gzip", "If-None-Match", packed.Header().Get("ETag"))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s asked for again: %d", name, again.Code)
		}
		if strings.HasSuffix(name, ".js") {
			for _, m := range regexp.MustCompile(`from"\./([^"]+)"`).FindAllSubmatch(plain, -1) {
				load(string(m[1]))
			}
			if found := regexp.MustCompile(`https?://[a-z0-9.-]+`).FindAll(plain, -1); len(found) > 0 {
				for _, f := range found {
					if s := string(f); s != "http://www.w3.org" {
						t.Errorf("%s names the host %s", name, s)
					}
				}
			}
		}
	}
	for _, m := range names {
		load(m[1])
	}
	for name := range c.files { // the page that opens first comes after its frame
		if strings.HasPrefix(name, "tonight-") {
			load(name)
		}
	}
	if len(seen) < 5 {
		t.Errorf("only %d files were followed", len(seen))
	}
	if wire > firstPage {
		t.Errorf("the first page takes %d bytes over the wire, at most %d are allowed", wire, firstPage)
	}
	t.Logf("first page: %d files, %d bytes over the wire", len(seen)+1, wire)
	for _, path := range []string{"/assets/index.html", "/assets/", "/assets/../console.go", "/assets/none.js"} {
		if w := get(t, asset, path); w.Code != http.StatusTeapot {
			t.Errorf("%s is served: %d", path, w.Code)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "gzip": true, "br, GZIP;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "*": true, "identity": false, "xgzip": false,
	} {
		if got := acceptsGzip(header); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
}

// Every reason has a title in both languages.
func TestEveryReasonHasATitle(t *testing.T) {
	words, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "web", "src", "lib", "words.ts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range fault.Reasons() {
		if !regexp.MustCompile(`\b` + string(r) + `: \["[^"]+", "[^"]+"\]`).Match(words) {
			t.Errorf("%s has no title in words.ts", r)
		}
	}
}
