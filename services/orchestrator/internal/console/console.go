// Package console serves the admin console: a bundle of static files that uses only the
// public API. The bundle in dist is generated from web/ by `make console` and never edited.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
)

//go:embed dist
var dist embed.FS

// AssetPath is the path under which the page's files are served.
const AssetPath = "/assets/"

// policy lets the console's page load only from its own host, and no page frame it. It
// allows the one inline script of the bundle.
const policy = "default-src 'none'; script-src 'self' '%s'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// inline matches the inline script of the page.
var inline = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// Console holds the bundle, compressed once.
type Console struct {
	files  map[string]*file
	policy string
}

type file struct {
	plain, packed     []byte
	contentType, etag string
}

// New loads the bundle.
func New() (*Console, error) {
	c := &Console{files: map[string]*file{}}
	entries, err := dist.ReadDir("dist")
	if err != nil {
		return nil, fmt.Errorf("read the console's bundle: %w", err)
	}
	for _, e := range entries {
		plain, err := dist.ReadFile(path.Join("dist", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read the console's bundle: %w", err)
		}
		var packed bytes.Buffer
		zip, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := zip.Write(plain); err != nil {
			return nil, err
		}
		if err := zip.Close(); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(plain)
		c.files[e.Name()] = &file{plain, packed.Bytes(), types[path.Ext(e.Name())], hex.EncodeToString(sum[:12])}
	}
	if c.files["index.html"] == nil {
		return nil, fmt.Errorf("the console's bundle has no index.html")
	}
	script := inline.FindSubmatch(c.files["index.html"].plain)
	if script == nil {
		return nil, fmt.Errorf("the console's index.html has no script of its own")
	}
	sum := sha256.Sum256(script[1])
	c.policy = fmt.Sprintf(policy, "sha256-"+base64.StdEncoding.EncodeToString(sum[:]))
	return c, nil
}

// Index serves the page.
func (c *Console) Index(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", c.policy)
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.files["index.html"].serve(w, r, "no-cache")
}

// Asset serves one of the page's files. It returns false and writes nothing if there is no
// such file. A name changes with the content, so browsers cache it.
func (c *Console) Asset(w http.ResponseWriter, r *http.Request) bool {
	name := strings.TrimPrefix(r.URL.Path, AssetPath)
	f := c.files[name]
	if f == nil || name == "index.html" {
		return false
	}
	keep := "public, max-age=31536000, immutable"
	if name == "licenses.txt" {
		keep = "no-cache"
	}
	f.serve(w, r, keep)
	return true
}

func (f *file) serve(w http.ResponseWriter, r *http.Request, keep string) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", keep)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Add("Vary", "Accept-Encoding")
	body, tag := f.plain, `"`+f.etag+`"`
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		body, tag = f.packed, `"`+f.etag+`-gz"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == tag {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body) // the caller has disconnected
}

// acceptsGzip reports whether an Accept-Encoding header has gzip or * with a weight other
// than 0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(part, ";")
		if name = strings.TrimSpace(name); !strings.EqualFold(name, "gzip") && name != "*" {
			continue
		}
		q := strings.TrimPrefix(strings.ReplaceAll(strings.TrimSpace(weight), " ", ""), "q=")
		return strings.Trim(q, "0.") != "" || q == ""
	}
	return false
}
