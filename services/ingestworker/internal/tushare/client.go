package tushare

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/drill"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// TokenSource returns the token of a domain. The vault implements it.
type TokenSource interface {
	// Token is the domain's current token and its keyed fingerprint, by which limits are
	// counted. ok is false if there is none.
	Token(domain string) (token, fingerprint string, ok bool)
}

// Limiter delays calls. Package quota/limiter implements it.
type Limiter interface {
	// Acquire waits until a call may be made and counts it. It must return *quota.Exhausted if
	// a limit per hour or day is used up, or if the wait for a limit per minute would exceed
	// ctx's deadline, and ctx's error when ctx ends. waiting is called before each wait, in
	// the calling goroutine.
	Acquire(ctx context.Context, key quota.Key, p quota.Priority, waiting func(until time.Time)) error
	// Refused records the refusal of a call sent at sent, and returns when calls are allowed
	// again.
	Refused(key quota.Key, sent time.Time, w quota.Window, n int) time.Time
	// Hold records that the provider asked for no call before a time, and returns the time
	// from which calls are made again.
	Hold(key quota.Key, until time.Time) time.Time
}

// Config is the configuration of a Client. URL, Tokens and Limiter are required; the zero
// value of the others means the default.
type Config struct {
	// URL is the provider's URL, for example https://api.tushare.pro. Its path is kept.
	URL string
	// Tokens returns tokens.
	Tokens TokenSource
	// Limiter delays calls.
	Limiter Limiter
	// Timeout of one call, from sending to the last byte. 0 means 30 s.
	Timeout time.Duration
	// MaxReply is the largest response, in bytes. 0 means 64 MiB; the largest documented one,
	// of fund_basic, has about 10 MiB.
	MaxReply int64
	// Attempts is how often a call is tried that fails for a reason that may be temporary. 0
	// means 3.
	Attempts int
	// Backoff is the longest first pause between attempts; it doubles up to eight times as
	// long, and each pause is random between zero and that. 0 means 1 s.
	Backoff time.Duration
	// Transport makes the calls. Nil means one tuned for many connections to one
	// host.
	Transport http.RoundTripper
	// Called is called after every call with its result, "ok" or one of a few words, and its
	// duration. May be nil.
	Called func(api, result string, took time.Duration)
	// Log may be nil.
	Log *slog.Logger
}

// Client fetches rows from the provider. It implements ingest.Provider and is
// safe for concurrent use.
type Client struct {
	cfg      Config
	url      string
	http     *http.Client
	decoders sync.Pool
	apis     sync.Map // api_name → *apiFacts
}

// ParseURL parses the provider's URL. INVALID_ARGUMENT does not quote any part that may
// contain a password.
func ParseURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil {
		return nil, fault.Invalid("tushare-url", "not a URL such as https://api.tushare.pro")
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, fault.Invalid("tushare-url", "must have a host, an optional port and path, and no user, query or fragment, as in https://api.tushare.pro")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, fault.Invalid("tushare-url", "%.80q is not an http or https URL with a host, such as https://api.tushare.pro", u.Redacted())
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fault.Invalid("tushare-url", "the port %.20q is not from 1 to 65535", port)
		}
	}
	return u, nil
}

// New validates the configuration and returns a client. It makes no call.
func New(cfg Config) (*Client, error) {
	u, err := ParseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.Tokens == nil || cfg.Limiter == nil {
		return nil, errors.New("tushare: Tokens and Limiter are required")
	}
	// A trailing slash is a mistake: /dataapi/ is a different path.
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	if u.Path == "" {
		u.Path = "/"
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.MaxReply <= 0 {
		cfg.MaxReply = 64 << 20
	}
	if cfg.Attempts <= 0 {
		cfg.Attempts = 3
	}
	if cfg.Backoff <= 0 {
		cfg.Backoff = time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = newTransport()
	}
	if cfg.Called == nil {
		cfg.Called = func(string, string, time.Duration) {}
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	c := &Client{cfg: cfg, url: u.String()}
	c.decoders.New = func() any { return new(decoder) }
	c.http = &http.Client{
		Transport: cfg.Transport,
		// A redirect would send the token to another host, or lose the body.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          128,
		MaxIdleConnsPerHost:   128,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ReadBufferSize:        64 << 10,
	}
}

// unavailable is a failure of one call that may be temporary.
type unavailable struct {
	cause string // for users, scrubbed
	err   error  // may be nil
	// code and text of the provider's response, scrubbed; empty if there was none.
	code, text string
	// refusal is true if the text blames the request.
	refusal bool
	// lacks is the required field that the response lacks.
	lacks string
}

func (e *unavailable) Error() string { return e.cause }
func (e *unavailable) Unwrap() error { return e.err }

// said identifies a refusal.
func (e *unavailable) said() string { return e.code + " " + e.text }

// tooMany is HTTP 429.
type tooMany struct {
	after time.Duration // how long to wait
	named bool          // whether the response says so
	reply reply         // the JSON in its body; without a code if there is none
}

func (e *tooMany) Error() string { return "HTTP 429" }

// post makes one call and decodes its response with d. Its error is *unavailable, *tooMany
// or ctx's, and never contains the token.
func (c *Client) post(ctx context.Context, d *decoder, body []byte, token string) (reply, error) {
	drill.Point("tushare.fetch")
	call, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	rep, cause, err := c.exchange(call, cancel, d, body)
	if err == nil && cause == "" {
		return rep, nil
	}
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	var limited *tooMany
	if errors.As(err, &limited) {
		return reply{}, limited
	}
	var m *malformedError
	deadline, _ := call.Deadline()
	switch {
	case cause != "":
	case errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(deadline):
		cause = fmt.Sprintf("no complete response within %v", c.cfg.Timeout)
	case errors.As(err, &m):
		cause = "the response is malformed: " + m.Error()
	default:
		cause = "the connection failed: " + reason(err)
	}
	return reply{}, &unavailable{cause: scrub(cause, token), err: err}
}

// drainTime is how long the rest of a discarded response is read.
const drainTime = time.Second

// exchange makes the HTTP call under ctx, which cancel ends. cause is set if the response
// is unusable because of its HTTP status.
func (c *Client) exchange(ctx context.Context, cancel func(), d *decoder, body []byte) (rep reply, cause string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return reply{}, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "afterbell")
	res, err := c.http.Do(req)
	if err != nil {
		return reply{}, "", err
	}
	defer func() {
		// A connection whose body was read to its end is reused; but the end may never come.
		defer time.AfterFunc(drainTime, cancel).Stop()
		_, _ = io.CopyN(io.Discard, res.Body, 64<<10)
		_ = res.Body.Close()
	}()
	switch {
	case res.StatusCode >= 500:
		return reply{}, "HTTP " + res.Status, nil
	case res.StatusCode >= 300 && res.StatusCode < 400:
		return reply{}, "HTTP " + res.Status + ": it redirects to a different address; check --tushare-url", nil
	case res.ContentLength > c.cfg.MaxReply:
		return reply{}, fmt.Sprintf("the response is larger than %d bytes", c.cfg.MaxReply), nil
	}
	start, bad := d.batch.Len, len(d.bad)
	rep, err = d.page(withoutMark(res.Body), c.cfg.MaxReply)
	if res.StatusCode == http.StatusTooManyRequests {
		d.undo(start, bad)
		limited := &tooMany{}
		if err == nil {
			limited.reply = rep
		}
		limited.after, limited.named = retryAfter(res.Header, time.Now())
		return reply{}, "", limited
	}
	if res.StatusCode >= 400 && (err != nil || rep.code == "0") {
		d.undo(start, bad)
		return reply{}, "HTTP " + res.Status, nil
	}
	return rep, "", err
}

// byteOrderMark precedes the text of some programs; JSON has none.
const byteOrderMark = "\ufeff"

func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if head, _ := b.Peek(len(byteOrderMark)); string(head) == byteOrderMark { // a later read gets the error again
		_, _ = b.Discard(len(head)) // held already
	}
	return b
}

// How long to wait after a 429: a minute if it names no time; otherwise that time, within
// limits.
const (
	defaultWait  = time.Minute
	shortestWait = time.Second
	longestWait  = 24 * time.Hour
)

// retryAfter parses the Retry-After header: seconds, or a time of the provider's clock.
// named is false if there is none or it is invalid.
func retryAfter(h http.Header, now time.Time) (wait time.Duration, named bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseUint(value, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		wait = longestWait
		if n < uint64(longestWait/time.Second) {
			wait = time.Duration(n) * time.Second
		}
	} else if at, err := http.ParseTime(value); err == nil {
		if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
			now = theirs
		}
		wait = at.Sub(now)
	} else {
		return defaultWait, false
	}
	return min(max(wait, shortestWait), longestWait), true
}

// reason is the innermost text of a network error, without the URL and method that net/http
// adds.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}
