package gateway

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	// maxHeader is the largest header of a request in bytes, and maxTarget that of its path
	// and query. The server reads readHeader bytes, so that the error for more is ours.
	maxHeader, maxTarget, readHeader = 64 << 10, 64 << 10, 1 << 20
	eventStream                      = "text/event-stream"
)

// secureHeaders tell a browser not to treat a response as a page, a frame or a script of another
// site. The console's page has its own policy.
func (g *gateway) secureHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if g.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// tooLong rejects a header or a path that is too long.
func tooLong(r *http.Request) (code int, err error) {
	if n := len(r.RequestURI); n > maxTarget {
		return http.StatusRequestURITooLong, fault.Invalid("path", "is %d bytes with its query; at most %d are allowed", n, maxTarget)
	}
	size := len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			size += len(name) + len(v) + len(": \r\n")
		}
	}
	if size > maxHeader {
		return http.StatusRequestHeaderFieldsTooLarge, fault.Invalid("header", "is %d bytes; at most %d are allowed", size, maxHeader)
	}
	return 0, nil
}

// cors answers the preflight request of a page of another site, and allows it to read the
// response. Only origins in the config are allowed. done is true if that was the whole
// request.
func (g *gateway) cors(w http.ResponseWriter, r *http.Request) (done bool) {
	if len(g.origins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(g.origins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "Content-Location, ETag, Retry-After, X-Afterbell-Version, X-Afterbell-Run-Id, X-Afterbell-Complete, X-Afterbell-Lack-Count, X-Afterbell-Lacks, X-Afterbell-Units, X-Afterbell-Broken-Link-Count")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID, Range, If-Range, If-None-Match")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// served are the media types of the responses at a path; nil if the path handles Accept
// itself or ignores it.
func served(path string) []string {
	switch {
	case !strings.HasPrefix(path, "/v1/"), isRows(path):
		return nil
	case streams(path):
		return []string{"application/x-ndjson", eventStream, "application/json"}
	}
	return []string{"application/json"}
}

// takes reports whether a caller accepts a media type, by the most specific entry of the
// Accept header.
func takes(accept []string, media string) bool {
	likes := strings.Join(accept, ",")
	if strings.TrimSpace(likes) == "" {
		return true
	}
	kind, _, _ := strings.Cut(media, "/")
	closest, weight := 0, 0.0
	for part := range strings.SplitSeq(likes, ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		close := map[string]int{"*/*": 1, kind + "/*": 2, media: 3}[name]
		if close == 0 || close < closest {
			continue
		}
		q := 1.0
		if text, given := params["q"]; given {
			if q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
		}
		if close > closest || q > weight {
			closest, weight = close, q
		}
	}
	return weight > 0
}
