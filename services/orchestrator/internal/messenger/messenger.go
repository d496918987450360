// Package messenger sends notices to platforms. Each kind of channel has a small adapter:
// the format of its request, its signature, and how it reports that it did not accept a
// message, which several do with HTTP 200.
//
// URLs contain tokens, so no error of this package contains one.
package messenger

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
)

// Config is the configuration of a Messenger. The zero value is the default.
type Config struct {
	// Now is the clock for signatures; nil means time.Now.
	Now func() time.Time
	// TLS replaces the verification of servers; nil means the system's certificates.
	TLS *tls.Config
}

// Messenger sends notices. It is safe for concurrent use.
type Messenger struct {
	now    func() time.Time
	tls    *tls.Config
	client *http.Client
}

// maxAnswer is how much of a response is read, in bytes.
const maxAnswer = 16 << 10

// New returns a Messenger.
func New(cfg Config) *Messenger {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Messenger{now: cfg.Now, tls: cfg.TLS, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.TLS, DisableKeepAlives: true, // there is hardly more than one message an hour
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 20 * time.Second,
		},
		// A redirect is an error: following it would send the token to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Send sends a notice to a channel. The error is a *notify.Refusal without secrets, or that
// of ctx.
func (m *Messenger) Send(ctx context.Context, c notice.Channel, n notice.Notice, d notice.Delivery) error {
	err := m.send(ctx, c, n, d)
	if err == nil {
		return nil
	}
	refusal := &notify.Refusal{}
	if !errors.As(err, &refusal) {
		refusal = &notify.Refusal{Why: plain(err)}
	}
	refusal.Why = c.Redact(refusal.Why)
	return refusal
}

func (m *Messenger) send(ctx context.Context, c notice.Channel, n notice.Notice, d notice.Delivery) error {
	if why := c.LostMessage(); why != "" {
		return refused("%s", why)
	}
	text := n.Text(c.Language)
	switch c.Kind {
	case notice.Webhook:
		return m.webhook(ctx, c, n, d)
	case notice.DingTalk:
		return m.dingTalk(ctx, c, text)
	case notice.WeCom:
		return m.weCom(ctx, c, text)
	case notice.Feishu:
		return m.feishu(ctx, c, text)
	case notice.Telegram:
		return m.telegram(ctx, c, text)
	case notice.Slack:
		return m.slack(ctx, c, text)
	case notice.Mail:
		return m.mail(ctx, c, n, d)
	case notice.Heartbeat:
		return m.heartbeat(ctx, c, text, d)
	}
	return refused("the kind %q is unknown to this version", c.Kind)
}

func refused(format string, args ...any) *notify.Refusal {
	return &notify.Refusal{Why: fmt.Sprintf(format, args...)}
}

// plain returns an error without the URL that net/http adds to it.
func plain(err error) string {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

// answer is the response of a platform.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// post sends JSON.
func (m *Messenger) post(ctx context.Context, address string, body any, header http.Header) (answer, error) {
	text, err := marshal(body)
	if err != nil {
		return answer{}, err
	}
	return m.call(ctx, http.MethodPost, address, text, "application/json; charset=utf-8", header)
}

// marshal writes JSON without escaping what only HTML needs escaped.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

func (m *Messenger) call(ctx context.Context, method, address string, body []byte, kind string, header http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if header != nil {
		req.Header = header
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", kind)
	}
	req.Header.Set("User-Agent", "afterbell")
	resp, err := m.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil && resp.StatusCode/100 == 2 {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header, text}, nil
}

// ok returns nil for a successful status, and otherwise an error with the response.
func (m *Messenger) ok(a answer) error {
	switch {
	case a.status/100 == 2:
		return nil
	case a.status/100 == 3:
		return refused("HTTP %d: the address has moved; set the new address", a.status)
	}
	r := refused("HTTP %d: %s", a.status, bodyText(a.body))
	r.RetryAfter = m.retryAfter(a.header)
	return r
}

func bodyText(body []byte) string {
	if len(bytes.TrimSpace(body)) == 0 {
		return "(no text)"
	}
	return string(body)
}

// retryAfter parses the Retry-After header: seconds or a date.
func (m *Messenger) retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(v, 10, 32); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(m.now()), 0)
	}
	return 0
}

// sign is an HMAC-SHA256.
func sign(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	io.WriteString(mac, text)
	return mac.Sum(nil)
}
