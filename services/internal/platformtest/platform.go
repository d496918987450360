// Package platformtest plays the platforms that notices go to: each checks the signature
// by its own rule and answers, refusals included, as the real one does.
package platformtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The secrets of the platforms. They must not appear in any output of afterbell.
const (
	Token    = "tok-3f9a1c77e02b4d58"
	Secret   = "SEC-8d41f0b6a9c2e7"
	BotToken = "123456789:AAbot-5c0ffee51dea7b1a9d"
)

// Platforms is one server with every platform on it.
type Platforms struct {
	// URL of the server, "http://127.0.0.1:1234".
	URL string

	t      testing.TB
	mu     sync.Mutex
	texts  map[string][]string
	calls  map[string]int
	refuse map[string][]string
	now    func() time.Time
}

// Start starts the platforms; they stop with the test. now is the clock by which they
// refuse stale signatures; nil means time.Now.
func Start(t testing.TB, now func() time.Time) *Platforms {
	if now == nil {
		now = time.Now
	}
	p := &Platforms{t: t, texts: map[string][]string{}, calls: map[string]int{}, refuse: map[string][]string{}, now: now}
	mux := http.NewServeMux()
	for name, serve := range map[string]http.HandlerFunc{
		"POST /robot/send": p.dingTalk, "POST /cgi-bin/webhook/send": p.weCom, "POST /open-apis/bot/v2/hook/{token}": p.feishu,
		"POST /bot{token}/sendMessage": p.telegram, "POST /services/T0/B0/{token}": p.slack, "POST /hook/{token}": p.webhook,
		"/ping/{token}": p.heartbeat, "/ping/{token}/{signal}": p.heartbeat,
	} {
		if strings.HasPrefix(name, "POST /bot{") {
			continue // a pattern has no prefix in a segment: see the fallback
		}
		mux.HandleFunc(name, serve)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/bot") && strings.HasSuffix(r.URL.Path, "/sendMessage") {
			p.telegram(w, r)
			return
		}
		http.NotFound(w, r)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.URL = server.URL
	return p
}

// Refuse lets the next calls of a platform fail, in this order: "5xx", "rate", "sign", or
// "hang up".
func (p *Platforms) Refuse(platform string, how ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse[platform] = append(p.refuse[platform], how...)
}

// Texts are what a platform took, in order. Of a heartbeat, the method and the signal.
func (p *Platforms) Texts(platform string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.texts[platform])
}

// Calls is how often a platform was called.
func (p *Platforms) Calls(platform string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[platform]
}

// next counts a call and says how it is refused; empty for not at all.
func (p *Platforms) next(platform string) (how string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[platform]++
	if queue := p.refuse[platform]; len(queue) > 0 {
		how, p.refuse[platform] = queue[0], queue[1:]
	}
	return how
}

func (p *Platforms) took(platform, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts[platform] = append(p.texts[platform], text)
}

// broken answers the refusals that all platforms share.
func broken(w http.ResponseWriter, how string) bool {
	switch how {
	case "5xx":
		http.Error(w, "<html><h1>502 Bad Gateway</h1>nginx</html>", http.StatusBadGateway)
	case "hang up":
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	default:
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, format, args...)
}

// sign is an HMAC-SHA256 in base64.
func sign(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	io.WriteString(mac, text)
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// recent reports whether a stamp in a unit lies within an hour.
func (p *Platforms) recent(stamp string, unit time.Duration) bool {
	n, err := strconv.ParseInt(stamp, 10, 64)
	return err == nil && p.now().Sub(time.Unix(0, n*int64(unit))).Abs() < time.Hour
}

type robotBody struct {
	Type string `json:"msgtype"`
	Text struct {
		Content string `json:"content"`
	} `json:"text"`
}

func (p *Platforms) dingTalk(w http.ResponseWriter, r *http.Request) {
	how := p.next("dingtalk")
	if broken(w, how) {
		return
	}
	var body robotBody
	q := r.URL.Query()
	stamp := q.Get("timestamp")
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case q.Get("access_token") != Token:
		answer(w, 200, `{"errcode":300005,"errmsg":"token is not exist"}`)
	case how == "rate":
		answer(w, 200, `{"errcode":130101,"errmsg":"send too fast, exceed 20 times per minute"}`)
	case how == "sign" || q.Get("sign") != sign(Secret, stamp+"\n"+Secret):
		answer(w, 200, `{"errcode":310000,"errmsg":"description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中;link:请参考本接口对应文档"}`)
	case !p.recent(stamp, time.Millisecond):
		answer(w, 200, `{"errcode":310000,"errmsg":"invalid timestamp"}`)
	case err != nil || body.Type != "text" || body.Text.Content == "":
		answer(w, 200, `{"errcode":40035,"errmsg":"缺少参数 json"}`)
	default:
		p.took("dingtalk", body.Text.Content)
		answer(w, 200, `{"errcode":0,"errmsg":"ok"}`)
	}
}

func (p *Platforms) weCom(w http.ResponseWriter, r *http.Request) {
	how := p.next("wecom")
	if broken(w, how) {
		return
	}
	var body robotBody
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case how == "sign" || r.URL.Query().Get("key") != Token:
		// The real one repeats the request's traits.
		answer(w, 200, `{"errcode":93000,"errmsg":"invalid webhook url, hint: [1592021214_50_551fc8807c11f27e], from ip: 1.2.3.4, key %s, more info at https://open.work.weixin.qq.com/devtool/query?e=93000"}`, r.URL.Query().Get("key"))
	case how == "rate":
		answer(w, 200, `{"errcode":45009,"errmsg":"api freq out of limit, hint: [1592021214_50], from ip: 1.2.3.4"}`)
	case err != nil || body.Type != "text" || body.Text.Content == "":
		answer(w, 200, `{"errcode":40008,"errmsg":"invalid message type"}`)
	case len(body.Text.Content) > 2048:
		answer(w, 200, `{"errcode":40058,"errmsg":"text.content exceed max length 2048"}`)
	default:
		p.took("wecom", body.Text.Content)
		answer(w, 200, `{"errcode":0,"errmsg":"ok"}`)
	}
}

func (p *Platforms) feishu(w http.ResponseWriter, r *http.Request) {
	how := p.next("feishu")
	if broken(w, how) {
		return
	}
	var body struct {
		Timestamp, Sign string
		Type            string `json:"msg_type"`
		Content         struct{ Text string }
	}
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case r.PathValue("token") != Token:
		answer(w, 200, `{"code":19001,"data":{},"msg":"param invalid: incoming webhook access token invalid"}`)
	case how == "rate":
		answer(w, 200, `{"StatusCode":0,"StatusMessage":"","code":9499,"msg":"too many request"}`)
	case how == "sign" || body.Sign != sign(body.Timestamp+"\n"+Secret, "") || !p.recent(body.Timestamp, time.Second):
		answer(w, 200, `{"StatusCode":0,"StatusMessage":"","code":19021,"data":{},"msg":"sign match fail or timestamp is not within one hour from current time"}`)
	case err != nil || body.Type != "text" || body.Content.Text == "":
		answer(w, 200, `{"code":9499,"msg":"Bad Request","data":{}}`)
	default:
		p.took("feishu", body.Content.Text)
		answer(w, 200, `{"StatusCode":0,"StatusMessage":"success","code":0,"data":{},"msg":"success"}`)
	}
}

func (p *Platforms) telegram(w http.ResponseWriter, r *http.Request) {
	how := p.next("telegram")
	if broken(w, how) {
		return
	}
	var body struct {
		Chat string `json:"chat_id"`
		Text string `json:"text"`
	}
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case how == "sign" || r.URL.Path != "/bot"+BotToken+"/sendMessage":
		answer(w, 401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`)
	case how == "rate":
		w.Header().Set("Retry-After", "35")
		answer(w, 429, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}`)
	case err != nil || body.Chat != "-1001234567890":
		answer(w, 400, `{"ok":false,"error_code":400,"description":"Bad Request: chat not found"}`)
	default:
		p.took("telegram", body.Text)
		answer(w, 200, `{"ok":true,"result":{"message_id":7,"text":"…"}}`)
	}
}

func (p *Platforms) slack(w http.ResponseWriter, r *http.Request) {
	how := p.next("slack")
	if broken(w, how) {
		return
	}
	var body struct{ Text string }
	switch err := json.NewDecoder(r.Body).Decode(&body); {
	case how == "sign" || r.PathValue("token") != Token:
		http.Error(w, "invalid_token", http.StatusForbidden)
	case how == "rate":
		w.Header().Set("Retry-After", "30")
		http.Error(w, "rate_limited", http.StatusTooManyRequests)
	case err != nil || body.Text == "":
		http.Error(w, "no_text", http.StatusBadRequest)
	default:
		p.took("slack", body.Text)
		io.WriteString(w, "ok")
	}
}

func (p *Platforms) webhook(w http.ResponseWriter, r *http.Request) {
	how := p.next("webhook")
	if broken(w, how) {
		return
	}
	text, err := io.ReadAll(r.Body)
	stamp := r.Header.Get("X-Afterbell-Timestamp")
	mac := hmac.New(sha256.New, []byte(Secret))
	io.WriteString(mac, stamp+"."+string(text))
	var body struct{ Text, DeliveryID string }
	switch {
	case r.PathValue("token") != Token || err != nil || json.Unmarshal(text, &body) != nil:
		http.Error(w, "no such hook", http.StatusNotFound)
	case how == "rate":
		w.Header().Set("Retry-After", p.now().Add(90*time.Second).UTC().Format(http.TimeFormat))
		http.Error(w, "slow down", http.StatusServiceUnavailable)
	case how == "sign" || r.Header.Get("X-Afterbell-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) || !p.recent(stamp, time.Second):
		http.Error(w, "bad signature", http.StatusUnauthorized)
	case r.Header.Get("X-Afterbell-Delivery") != body.DeliveryID:
		http.Error(w, "the header names another delivery", http.StatusBadRequest)
	default:
		p.took("webhook", body.Text)
		w.WriteHeader(http.StatusNoContent)
	}
}

func (p *Platforms) heartbeat(w http.ResponseWriter, r *http.Request) {
	how := p.next("heartbeat")
	if broken(w, how) {
		return
	}
	switch {
	case how == "sign" || r.PathValue("token") != Token:
		io.WriteString(w, "OK (not found)")
	case how == "rate":
		io.WriteString(w, "OK (rate limited)")
	default:
		p.took("heartbeat", strings.TrimSpace(r.Method+" "+r.PathValue("signal")))
		io.WriteString(w, "OK")
	}
}
