package messenger_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/platformtest"
	"github.com/afterbell/afterbell/services/orchestrator/internal/messenger"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var sample = notice.Notice{
	ID: "n1", Kind: notice.Evening, Date: market.NewDate(2026, 11, 27), CreatedAt: time.Now(),
	Pools: []notice.PoolState{
		{Pool: market.Targets, Verdict: notice.Whole},
		{Pool: market.Universe, Verdict: notice.Lacking, Lacks: []notice.Lack{{Dataset: "moneyflow", Reason: fault.NotPublished}},
			NextAt: market.NewDate(2026, 11, 27).At(19, 50, market.Shanghai), Message: "moneyflow <b> & more", Reason: fault.NotPublished},
	},
}

// channel leads to a platform.
func channel(p *platformtest.Platforms, mails *platformtest.Mails, kind notice.ChannelKind) notice.Channel {
	c := notice.Channel{ID: "desk", Kind: kind, Enabled: true, Language: notice.Chinese}
	at := func(path string) notice.Secret { return notice.Secret(p.URL + path) }
	switch kind {
	case notice.Webhook:
		c.URL, c.Secret = at("/hook/"+platformtest.Token), platformtest.Secret
	case notice.DingTalk:
		c.URL, c.Secret = at("/robot/send?access_token="+platformtest.Token), platformtest.Secret
	case notice.WeCom:
		c.URL = at("/cgi-bin/webhook/send?key=" + platformtest.Token)
	case notice.Feishu:
		c.URL, c.Secret = at("/open-apis/bot/v2/hook/"+platformtest.Token), platformtest.Secret
	case notice.Telegram:
		c.URL, c.Secret, c.Chat = at(""), platformtest.BotToken, "-1001234567890"
	case notice.Slack:
		c.URL = at("/services/T0/B0/" + platformtest.Token)
	case notice.Heartbeat:
		c.URL = at("/ping/" + platformtest.Token)
	case notice.Mail:
		c.Host, c.Port, c.User, c.Secret = "127.0.0.1", mails.Port, "desk@mail.test", platformtest.Secret
		c.From, c.To = "afterbell@mail.test", []string{"desk@mail.test", "quant@mail.test"}
	}
	return c
}

func TestMailTellsARemedyOnce(t *testing.T) {
	p, mails := platformtest.Start(t, nil), platformtest.StartMails(t)
	m := messenger.New(messenger.Config{TLS: &tls.Config{RootCAs: mails.Roots()}})
	bad := fault.NewIssue(fault.TokenInvalid, "The provider rejected the token.")
	n := sample
	n.Pools = []notice.PoolState{{Pool: market.Universe, Verdict: notice.Blocked, Reason: bad.Reason, Message: bad.Message, Remedy: bad.Remedy}}
	for i, l := range []notice.Language{notice.English, notice.Chinese} {
		c := channel(p, mails, notice.Mail)
		c.Language = l
		if err := m.Send(t.Context(), c, n, notice.Delivery{ID: "d"}); err != nil {
			t.Fatal(err)
		}
		if got := mails.Texts(); len(got) != i+1 || strings.Count(got[i], bad.Command()) != 1 {
			t.Errorf("%s: %q", l, got)
		}
	}
}

// Each kind is taken by a platform that checks its own signature rule, and each of its
// refusals, also those with HTTP 200, is an error that says what was answered and nothing
// secret.
func TestEveryKind(t *testing.T) {
	p, mails := platformtest.Start(t, nil), platformtest.StartMails(t)
	m := messenger.New(messenger.Config{TLS: &tls.Config{RootCAs: mails.Roots()}})
	for kind, refusals := range map[notice.ChannelKind]map[string]struct {
		says  string
		after time.Duration
	}{
		notice.Webhook:   {"sign": {"HTTP 401: bad signature", 0}, "rate": {"HTTP 503: slow down", 80 * time.Second}, "5xx": {"HTTP 502", 0}, "hang up": {"EOF", 0}},
		notice.DingTalk:  {"sign": {"errcode 310000: description:机器人发送签名不匹配", 0}, "rate": {"errcode 130101: send too fast", 10 * time.Minute}, "5xx": {"HTTP 502", 0}, "hang up": {"EOF", 0}},
		notice.WeCom:     {"sign": {"errcode 93000: invalid webhook url", 0}, "rate": {"errcode 45009: api freq", time.Minute}, "5xx": {"HTTP 502", 0}},
		notice.Feishu:    {"sign": {"code 19021: sign match fail", 0}, "rate": {"code 9499: too many request", time.Minute}, "5xx": {"HTTP 502", 0}},
		notice.Telegram:  {"sign": {"error 401: Unauthorized", 0}, "rate": {"error 429: Too Many Requests", 35 * time.Second}, "5xx": {"HTTP 502", 0}},
		notice.Slack:     {"sign": {"HTTP 403: invalid_token", 0}, "rate": {"HTTP 429: rate_limited", 30 * time.Second}, "5xx": {"HTTP 502", 0}},
		notice.Mail:      {"sign": {"5.7.8 Error: authentication failed", 0}, "rate": {"4.2.2 Too many messages", 0}, "5xx": {"4.3.0 Temporary lookup failure", 0}, "hang up": {"EOF", 0}},
		notice.Heartbeat: {"sign": {"does not know this address", 0}, "rate": {"OK (rate limited)", time.Minute}, "5xx": {"HTTP 502", 0}},
	} {
		t.Run(string(kind), func(t *testing.T) {
			c := channel(p, mails, kind)
			if wrong := c.Validate(); len(wrong) > 0 {
				t.Fatalf("the channel is refused: %+v", wrong)
			}
			taken := func() []string {
				if kind == notice.Mail {
					return mails.Texts()
				}
				return p.Texts(string(kind))
			}
			for how, want := range refusals {
				if kind == notice.Mail {
					mails.Refuse(how)
				} else {
					p.Refuse(string(kind), how)
				}
				err := m.Send(t.Context(), c, sample, notice.Delivery{ID: "d1"})
				var refused *notify.Refusal
				if !errors.As(err, &refused) || !strings.Contains(refused.Why, want.says) {
					t.Errorf("%s: %v, want %q", how, err, want.says)
					continue
				}
				if refused.RetryAfter < want.after || refused.RetryAfter > want.after+time.Minute {
					t.Errorf("%s: retry after %s, want %s", how, refused.RetryAfter, want.after)
				}
				noSecrets(t, how, fmt.Sprintf("%v %+v %#v", err, refused, refused))
			}
			if n := len(taken()); n > 0 {
				t.Fatalf("%d messages were taken and refused", n)
			}
			if err := m.Send(t.Context(), c, sample, notice.Delivery{ID: "d1"}); err != nil {
				t.Fatal(err)
			}
			want := sample.Text(notice.Chinese)
			switch kind {
			case notice.Heartbeat:
				want = "GET"
			case notice.Mail:
				want += "\n\nuniverse: NOT_PUBLISHED: 数据源尚未发布。"
			}
			if got := taken(); len(got) != 1 || got[0] != want {
				t.Errorf("the platform has %q, want %q", got, want)
			}
			if kind != notice.Mail {
				return
			}
			c.Language = notice.English
			if err := m.Send(t.Context(), c, sample, notice.Delivery{ID: "d2"}); err != nil {
				t.Fatal(err)
			}
			want = sample.Text(notice.English) + "\n\nuniverse: NOT_PUBLISHED: moneyflow <b> & more"
			if got := taken(); len(got) != 2 || got[1] != want {
				t.Errorf("in English: %q, want %q", got, want)
			}
		})
	}
}

// A heartbeat keeps the query of its address, and its signals stand at the end of the path.
func TestHeartbeatSignals(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Method+" "+r.RequestURI) }))
	defer server.Close()
	m := messenger.New(messenger.Config{})
	c := notice.Channel{Kind: notice.Heartbeat, URL: notice.Secret(server.URL + "/abc?rid=1")}
	for _, signal := range []string{"/start", "", "/fail"} {
		c.Post = signal == "/fail"
		if err := m.Send(t.Context(), c, sample, notice.Delivery{Signal: signal}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "GET /abc/start?rid=1, GET /abc?rid=1, POST /abc/fail?rid=1"; strings.Join(got, ", ") != want {
		t.Errorf("called %v, want %s", got, want)
	}
}

// What a network error says never has the address in it, and an address that moved is not
// followed.
func TestErrorsHaveNoAddress(t *testing.T) {
	m := messenger.New(messenger.Config{})
	moved := httptest.NewServer(http.RedirectHandler("https://elsewhere.test/"+platformtest.Token, http.StatusFound))
	defer moved.Close()
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then is a caller who hangs up noticed
		<-r.Context().Done()
	}))
	defer hung.Close()
	for base, want := range map[string]string{
		"http://127.0.0.1:1": "connection refused", "https://no-such-host.invalid": "", moved.URL: "the address has moved", hung.URL: "no answer in time",
	} {
		for _, kind := range notice.ChannelKinds() {
			if kind == notice.Mail {
				continue
			}
			c := channel(&platformtest.Platforms{URL: base}, nil, kind)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			err := m.Send(ctx, c, sample, notice.Delivery{})
			cancel()
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s at %s: %v, want %q", kind, base, err, want)
			}
			noSecrets(t, base, fmt.Sprintf("%+v", err))
		}
	}
}

// A mail server without STARTTLS gets neither mail nor password.
func TestMailInsistsOnTLS(t *testing.T) {
	mails := platformtest.StartMails(t)
	// Its certificate is not known here.
	err := messenger.New(messenger.Config{}).Send(t.Context(), channel(nil, mails, notice.Mail), sample, notice.Delivery{ID: "d"})
	if err == nil || !strings.Contains(err.Error(), "certificate") || len(mails.Texts()) > 0 {
		t.Errorf("a server that cannot be verified: %v", err)
	}
}

// Texts beyond a platform's limit are cut between characters.
func TestLongTexts(t *testing.T) {
	p := platformtest.Start(t, nil)
	n := sample
	for range 300 {
		n.Pools = append(n.Pools, sample.Pools[1])
	}
	if err := messenger.New(messenger.Config{}).Send(t.Context(), channel(p, nil, notice.WeCom), n, notice.Delivery{}); err != nil {
		t.Fatal(err)
	}
	if got := p.Texts("wecom")[0]; len(got) > 2048 || len(got) < 2000 || !strings.HasSuffix(got, "…") {
		t.Errorf("%d bytes: %q", len(got), got[len(got)-20:])
	}
}

// Slack reads &, < and > as markup.
func TestSlackEscapes(t *testing.T) {
	p := platformtest.Start(t, nil)
	n := sample
	n.Pools = []notice.PoolState{{Pool: market.Universe, Verdict: notice.Absent, Reason: fault.SchedulePaused, Note: "a <b> & c"}}
	if err := messenger.New(messenger.Config{}).Send(t.Context(), channel(p, nil, notice.Slack), n, notice.Delivery{}); err != nil {
		t.Fatal(err)
	}
	if got := p.Texts("slack")[0]; !strings.Contains(got, "a &lt;b&gt; &amp; c") {
		t.Errorf("%q", got)
	}
}

// However a channel is printed, logged or marshalled, nothing secret shows.
func TestChannelsHideTheirSecrets(t *testing.T) {
	c := channel(&platformtest.Platforms{URL: "https://x.test"}, nil, notice.Webhook)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "channel", c, "secret", c.Secret)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "channel", c, "url", c.URL)
	text, err := json.Marshal(struct {
		C notice.Channel
		S notice.Secret
	}{c, c.Secret})
	if err != nil {
		t.Fatal(err)
	}
	noSecrets(t, "printed", fmt.Sprintf("%v %+v %#v %s", c, c, c, c.Secret)+log.String()+string(text))
}

// noSecrets fails if a text has a secret of a platform.
func noSecrets(t *testing.T, where, text string) {
	t.Helper()
	for _, s := range []string{platformtest.Token, platformtest.Secret, platformtest.BotToken} {
		if strings.Contains(text, s) {
			t.Errorf("%s: %q has a secret in it", where, text)
		}
	}
}
