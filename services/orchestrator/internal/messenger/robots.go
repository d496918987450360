package messenger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

// The longest texts that the platforms accept: DingTalk 20,000 bytes, WeCom 2,048 bytes,
// Feishu a request of 20 KB, Telegram 4,096 characters, Slack 40,000 characters.
const (
	dingTalkMost = 18_000
	weComMost    = 2_048
	feishuMost   = 18_000
	telegramMost = 4_000 // bytes, so that it is fewer characters
	slackMost    = 30_000
)

type textBody struct {
	Content string `json:"content"`
}

// coded is a response of DingTalk or WeCom: HTTP 200, and a code that is not 0 if the
// message was not accepted.
type coded struct {
	Code    *int64 `json:"errcode"`
	Message string `json:"errmsg"`
}

func (m *Messenger) coded(a answer, tooFast map[int64]time.Duration) error {
	var c coded
	if err := json.Unmarshal(a.body, &c); err != nil || c.Code == nil {
		if err := m.ok(a); err != nil {
			return err
		}
		return refused("an unexpected response for this platform: %s", bodyText(a.body))
	}
	if *c.Code == 0 {
		return m.ok(a)
	}
	r := refused("errcode %d: %s", *c.Code, c.Message)
	r.RetryAfter = max(tooFast[*c.Code], m.retryAfter(a.header))
	return r
}

// dingTalk signs with the secret of the robot: the base64 of an HMAC-SHA256 over the time
// in ms, a newline and the secret, with the secret as key. Time and signature are query
// parameters. After more than 20 messages a minute a robot accepts none for ten minutes.
func (m *Messenger) dingTalk(ctx context.Context, c notice.Channel, text string) error {
	address, err := url.Parse(string(c.URL))
	if err != nil {
		return err
	}
	if c.Secret != "" {
		stamp := strconv.FormatInt(m.now().UnixMilli(), 10)
		q := address.Query()
		q.Set("timestamp", stamp)
		q.Set("sign", base64.StdEncoding.EncodeToString(sign(string(c.Secret), stamp+"\n"+string(c.Secret))))
		address.RawQuery = q.Encode()
	}
	a, err := m.post(ctx, address.String(), struct {
		Type string   `json:"msgtype"`
		Text textBody `json:"text"`
	}{"text", textBody{fault.Clip(text, dingTalkMost)}}, nil)
	if err != nil {
		return err
	}
	return m.coded(a, map[int64]time.Duration{130101: 10 * time.Minute, 660026: 10 * time.Minute})
}

// weCom has the token in its URL and no signature.
func (m *Messenger) weCom(ctx context.Context, c notice.Channel, text string) error {
	a, err := m.post(ctx, string(c.URL), struct {
		Type string   `json:"msgtype"`
		Text textBody `json:"text"`
	}{"text", textBody{fault.Clip(text, weComMost)}}, nil)
	if err != nil {
		return err
	}
	return m.coded(a, map[int64]time.Duration{45009: time.Minute, 45033: time.Minute})
}

// feishu signs with an empty HMAC-SHA256 whose key is the time in seconds, a newline and
// the secret. Time and signature are in the body.
func (m *Messenger) feishu(ctx context.Context, c notice.Channel, text string) error {
	body := struct {
		Timestamp string `json:"timestamp,omitempty"`
		Sign      string `json:"sign,omitempty"`
		Type      string `json:"msg_type"`
		Content   struct {
			Text string `json:"text"`
		} `json:"content"`
	}{Type: "text"}
	body.Content.Text = fault.Clip(text, feishuMost)
	if c.Secret != "" {
		body.Timestamp = strconv.FormatInt(m.now().Unix(), 10)
		body.Sign = base64.StdEncoding.EncodeToString(sign(body.Timestamp+"\n"+string(c.Secret), ""))
	}
	a, err := m.post(ctx, string(c.URL), body, nil)
	if err != nil {
		return err
	}
	// Older robots return only StatusCode, newer ones code, and some both.
	var said struct {
		Code       *int64 `json:"code"`
		Message    string `json:"msg"`
		OldCode    *int64 `json:"StatusCode"`
		OldMessage string `json:"StatusMessage"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil || said.Code == nil && said.OldCode == nil {
		if err := m.ok(a); err != nil {
			return err
		}
		return refused("an unexpected response for this platform: %s", a.body)
	}
	code, message := said.Code, said.Message
	if code == nil || *code == 0 && said.OldCode != nil && *said.OldCode != 0 {
		code, message = said.OldCode, said.OldMessage
	}
	if *code == 0 {
		return m.ok(a)
	}
	r := refused("code %d: %s", *code, message)
	r.RetryAfter = m.retryAfter(a.header)
	if *code == 11232 || *code == 9499 && strings.Contains(strings.ToLower(message), "too many") {
		r.RetryAfter = max(r.RetryAfter, time.Minute)
	}
	return r
}

// telegram has the bot's token in the path. The text has no markup.
func (m *Messenger) telegram(ctx context.Context, c notice.Channel, text string) error {
	base := strings.TrimRight(string(c.URL), "/")
	if base == "" {
		base = "https://" + notice.TelegramHost
	}
	a, err := m.post(ctx, fmt.Sprintf("%s/bot%s/sendMessage", base, string(c.Secret)), struct {
		Chat string `json:"chat_id"`
		Text string `json:"text"`
	}{c.Chat, fault.Clip(text, telegramMost)}, nil)
	if err != nil {
		return err
	}
	var said struct {
		OK          *bool  `json:"ok"`
		Code        int    `json:"error_code"`
		Description string `json:"description"`
		Parameters  struct {
			RetryAfter int `json:"retry_after"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal(a.body, &said); err != nil || said.OK == nil {
		if err := m.ok(a); err != nil {
			return err
		}
		return refused("an unexpected response for this platform: %s", a.body)
	}
	if *said.OK {
		return m.ok(a)
	}
	r := refused("error %d: %s", said.Code, said.Description)
	r.RetryAfter = max(m.retryAfter(a.header), time.Duration(said.Parameters.RetryAfter)*time.Second)
	return r
}

// slack returns "ok" in plain text, or a word such as invalid_token.
func (m *Messenger) slack(ctx context.Context, c notice.Channel, text string) error {
	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	a, err := m.post(ctx, string(c.URL), struct {
		Text string `json:"text"`
	}{fault.Clip(escaped, slackMost)}, nil)
	if err != nil {
		return err
	}
	if err := m.ok(a); err != nil {
		return err
	}
	if body := strings.TrimSpace(string(a.body)); body != "ok" {
		return refused("an error response: %s", bodyText(a.body))
	}
	return nil
}
