package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/auth"
)

const (
	// defaultBody is the default size of the largest request body, in bytes.
	defaultBody = 1 << 20
	// maxOpenBody is the largest body of a path that needs no key, in bytes: it has a key.
	maxOpenBody = 4 << 10
	// maxDrained is how much of a body that is too large is still read, so that a client that
	// reads only after writing gets the response.
	maxDrained = 64 << 20
	// defaultBodyTime is the default time in which a body must arrive.
	defaultBodyTime = 20 * time.Second
)

// guard wraps every handler: it answers panics, foreign hosts and origins, and bodies that
// are too large or too slow, in the API's form.
func (g *gateway) guard(next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	for _, o := range g.origins {
		if err := origin.AddTrustedOrigin(o); err != nil {
			g.log.Error("an origin of --cors-origins is not trusted", "origin", o, "error", err) // validated by the config
		}
	}
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.fail(w, r, http.StatusForbidden,
			fault.Invalid("origin", "is a different site; browsers may send changes only from the service's own pages"))
	}))
	next = origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // a handler closes the connection this way
			}
			if p != nil {
				g.log.Error("request panicked", "method", r.Method, "path", clip(r.URL.Path), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				g.fail(w, r, http.StatusInternalServerError, fault.New(fault.Internal, transport.InternalMessage))
			}
		}()
		h := w.Header()
		g.secureHeaders(h)
		if code, err := tooLong(r); err != nil {
			h.Set("Connection", "close")
			g.fail(w, r, code, err)
			return
		}
		if !g.hostAllowed(r.Host) {
			h.Set("Connection", "close")
			g.fail(w, r, http.StatusMisdirectedRequest,
				fault.Invalid("host", "%.100q is not a loopback name; use localhost or 127.0.0.1, or name the host in --public-hosts", r.Host))
			return
		}
		if g.cors(w, r) {
			return
		}
		if !open(r.URL.Path) {
			caller, err := g.identify(r)
			if err == nil {
				err = caller.May(auth.Viewer, "Reading") // the gRPC side checks the role of each call
			}
			if err != nil {
				if r.ContentLength != 0 { // an unread body would be in the way of the next request
					h.Set("Connection", "close")
				}
				g.refuse(w, r, err)
				return
			}
			ctx := auth.WithCaller(r.Context(), caller)
			if isRows(r.URL.Path) { // what the gRPC side serves ends there, with the reason
				var cancel context.CancelFunc
				ctx, cancel = g.access.Until(ctx, caller)
				defer cancel()
			}
			r = r.WithContext(ctx)
		}
		if err := g.admit(w, r); err != nil {
			code := http.StatusBadRequest
			var large *http.MaxBytesError
			switch {
			case errors.As(err, &large):
				code, err = http.StatusRequestEntityTooLarge, fault.Invalid("body", "is larger than %d bytes", large.Limit)
			case errors.Is(err, errUnacceptable):
				code, err = http.StatusNotAcceptable, fault.Invalid("accept", "%.100q is not supported: allowed is %s", strings.Join(r.Header.Values("Accept"), ", "), strings.Join(served(r.URL.Path), ", "))
			case errors.Is(err, errEncoded):
				code, err = http.StatusUnsupportedMediaType, fault.Invalid("content_encoding", "%.100q is not supported; send the body without an encoding", r.Header.Get("Content-Encoding"))
			}
			h.Set("Connection", "close") // what was not read of the body is in the way of a next request
			g.fail(w, r, code, err)
			return
		}
		if r.Method == http.MethodHead && !streams(r.URL.Path) && !isRows(r.URL.Path) {
			r = r.WithContext(r.Context()) // a copy: the server uses its own to omit the body
			r.Method = http.MethodGet
		}
		if streams(r.URL.Path) {
			if err := g.limits.Full(auth.CallerOf(r.Context()).Account()); err != nil {
				g.refuse(w, r, err)
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), headerOf{}, h))
		}
		next.ServeHTTP(w, r)
	})
}

var (
	errEncoded      = errors.New("encoded body")
	errUnacceptable = errors.New("a form that is not served")
)

// admit reads the body and rejects everything that grpc-gateway would turn into a server
// error or ignore.
func (g *gateway) admit(w http.ResponseWriter, r *http.Request) error {
	if !utf8.ValidString(r.URL.Path) {
		return fault.Invalid("path", "is not valid UTF-8")
	}
	query, err := url.ParseQuery(r.URL.RawQuery) // URL.Query drops what it cannot read, for example a limit
	if strings.Contains(r.URL.RawQuery, ";") {
		err = errors.New("parameters are separated by &, not by semicolons")
	}
	for key, values := range query {
		for _, v := range append([]string{key}, values...) {
			if !utf8.ValidString(v) {
				err = errors.New("it is not valid UTF-8")
			}
		}
	}
	if err != nil {
		return fault.Invalid("query", "cannot be read: %v", err)
	}
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		if len(query) > 0 && strings.HasPrefix(r.URL.Path, "/v1/") {
			return fault.Invalid("query", "is not allowed with %s; put the fields into the body", r.Method)
		}
	default:
		if err := g.refuseQuery(r.Method, r.URL, query); err != nil {
			return err
		}
	}
	if media := served(r.URL.Path); media != nil && !slices.ContainsFunc(media, func(m string) bool { return takes(r.Header.Values("Accept"), m) }) {
		return errUnacceptable
	}
	if streams(r.URL.Path) || isRows(r.URL.Path) { // a proxy must pass on each message immediately
		w.Header().Set("X-Accel-Buffering", "no")
		w.Header().Set("Cache-Control", "no-cache, no-store, no-transform")
	}
	if strings.Contains(strings.Join(r.Header.Values("Accept"), ","), eventStream) && streams(r.URL.Path) {
		r.Header.Set("Accept", eventStream)
		if last := r.Header.Get("Last-Event-ID"); last != "" && r.Method == http.MethodGet && !query.Has("after_sequence") && !query.Has("afterSequence") {
			query.Set("after_sequence", last) // a browser that reconnects continues there
			r.URL.RawQuery = query.Encode()
		}
	} else if r.URL.Path != "/" && !isRows(r.URL.Path) {
		r.Header.Del("Accept") // there is only one other form
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Del("Grpc-Timeout") // grpc-gateway would answer 504 for a timeout of the caller
	if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return errEncoded
	}
	return g.readBody(w, r)
}

// streams reports whether the response of a path is a stream.
func streams(path string) bool {
	return strings.HasSuffix(path, ":watch") || path == "/v1/preflights:run"
}

func (g *gateway) readBody(w http.ResponseWriter, r *http.Request) error {
	if r.Body == nil || r.Body == http.NoBody {
		return bodyNeeded(r, nil)
	}
	limit, drained := g.maxBody, int64(maxDrained)
	if open(r.URL.Path) {
		limit, drained = min(limit, maxOpenBody), 0
	}
	if r.ContentLength > limit && r.Header.Get("Expect") != "" { // it waits for this response before it sends
		return &http.MaxBytesError{Limit: limit}
	}
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Now().Add(g.bodyTime)) // a recorder in a test has none
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			_, _ = io.CopyN(io.Discard, r.Body, drained) // the response is the same, however much arrived
			return err
		}
		return fault.Invalid("body", "ended before it was complete")
	}
	r.Body = io.NopCloser(bytes.NewReader(data))
	return bodyNeeded(r, data)
}

// bodyNeeded rejects a request to start runs without a body: {} requests all.
func bodyNeeded(r *http.Request, data []byte) error {
	if r.Method == http.MethodPost && r.URL.Path == "/v1/runs" && len(bytes.TrimSpace(data)) == 0 {
		return fault.Invalid("body", "is empty; send {} to start a run of each pool")
	}
	return nil
}

// hostAllowed reports whether a request to a host name is served. A listener that only this
// machine reaches requires a loopback name. Elsewhere every caller has a key, which a page
// of another site does not have.
func (g *gateway) hostAllowed(host string) bool {
	return !g.loopback || loopbackName(host) || slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, host) || strings.EqualFold(h, hostName(host)) })
}

// loopbackName reports whether a Host header is a loopback name. Any other name may be from
// a web page whose own name resolves to 127.0.0.1.
func loopbackName(host string) bool {
	host = hostName(host)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// hostName is a Host header without the port.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}
