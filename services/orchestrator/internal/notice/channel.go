package notice

import (
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Secret is a URL with a token, a signing secret or a password. It is formatted and logged
// as three dots.
type Secret string

// String hides it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "…"
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides it from logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// ChannelKind is the kind of a channel.
type ChannelKind string

// The kinds of channels.
const (
	// Webhook is a JSON request with an HMAC-SHA256 signature.
	Webhook ChannelKind = "webhook"
	// DingTalk is a custom robot of a DingTalk group.
	DingTalk ChannelKind = "dingtalk"
	// WeCom is a robot of a WeCom group.
	WeCom ChannelKind = "wecom"
	// Feishu is a custom robot of a Feishu or Lark group.
	Feishu ChannelKind = "feishu"
	// Telegram is a bot.
	Telegram ChannelKind = "telegram"
	// Slack is an incoming webhook.
	Slack ChannelKind = "slack"
	// Mail is SMTP with STARTTLS, or TLS from the first byte on port 465.
	Mail ChannelKind = "mail"
	// Heartbeat is a URL that is requested after a complete evening.
	Heartbeat ChannelKind = "heartbeat"
)

// ChannelKinds lists all kinds.
func ChannelKinds() []ChannelKind {
	return []ChannelKind{Webhook, DingTalk, WeCom, Feishu, Telegram, Slack, Mail, Heartbeat}
}

// Channel is where notices are sent. Its JSON form has no secrets; the ledger stores those
// in separate columns.
type Channel struct {
	// ID is the name that a user chose.
	ID string `json:"-"`
	// Kind of the channel.
	Kind ChannelKind `json:"-"`
	// Enabled channels get new notices.
	Enabled bool `json:"-"`
	// Language of the notices.
	Language Language `json:"-"`
	// URL of the platform, with the token that it contains. For Telegram the base URL of the
	// bot API, or empty for the default. Empty for mail.
	URL Secret `json:"-"`
	// Secret is the signing secret, the token of a Telegram bot, or the SMTP password.
	Secret Secret `json:"-"`
	// Lost lists which of "url" and "secret" is stored but cannot be decrypted, because the
	// key is lost.
	Lost []string `json:"-"`
	// Chat is the id of a Telegram chat, or @channel.
	Chat string `json:"chat,omitempty"`
	// Host of the SMTP server.
	Host string `json:"host,omitempty"`
	// Port of the SMTP server. 0 means 587.
	Port int `json:"port,omitempty"`
	// User for SMTP authentication. Empty means none.
	User string `json:"user,omitempty"`
	// From is the sender's address.
	From string `json:"from,omitempty"`
	// To are the recipients.
	To []string `json:"to,omitempty"`
	// Post makes a heartbeat a POST; otherwise it is a GET.
	Post bool `json:"post,omitempty"`
	// Start makes a heartbeat request the URL with /start when an evening begins.
	Start bool `json:"start,omitempty"`
	// Fail makes it request the URL with /fail when an evening is not complete.
	Fail bool `json:"fail,omitempty"`
}

// LostMessage is the message about a channel whose URL or secret cannot be decrypted; empty
// if both can.
func (c Channel) LostMessage() string {
	if len(c.Lost) == 0 {
		return ""
	}
	return "the " + strings.Join(c.Lost, " and the ") + " of the channel cannot be read, because the key of the ledger is lost; set it again: afterbell notify set " + c.ID
}

// Signal returns what a notice sends to a channel: the text, or the end of a heartbeat's
// URL. ok is false if nothing is sent.
func (c Channel) Signal(n Notice) (signal string, ok bool) {
	if c.Kind != Heartbeat {
		return "", n.Kind != Started
	}
	switch n.Kind {
	case Started:
		return "/start", c.Start
	case Evening, Better:
		if n.Whole {
			return "", true
		}
		return "/fail", c.Fail && n.Kind == Evening
	case Worse, Late:
		return "/fail", c.Fail
	}
	return "", true // a test
}

const (
	maxURL    = 2000
	maxSecret = 1000
	maxField  = 320
	maxTo     = 20
)

var (
	channelID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,39}$`)
	botToken  = regexp.MustCompile(`^[0-9]{1,20}:[A-Za-z0-9_-]{10,100}$`)
	chatID    = regexp.MustCompile(`^(-?[0-9]{1,20}|@[A-Za-z0-9_]{4,64})$`)
)

// Validate returns every invalid field by its name in the contract; none if all are valid.
// It never returns a secret.
func (c Channel) Validate() []fault.Violation {
	var wrong []fault.Violation
	add := func(field, format string, args ...any) {
		wrong = append(wrong, fault.Violation{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if !channelID.MatchString(c.ID) {
		add("channel_id", "%.50q is not allowed: write 1 to 40 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit", c.ID)
	}
	if !slices.Contains(ChannelKinds(), c.Kind) {
		add("kind", "%.40q is not allowed: allowed are %s", string(c.Kind), join(ChannelKinds()))
		return wrong
	}
	if c.Language != English && c.Language != Chinese {
		add("language", "%.20q is not allowed: write en or zh", string(c.Language))
	}
	c.checkURL(add)
	if len(c.Secret) > maxSecret {
		add("secret", "is longer than %d bytes", maxSecret)
	}
	if strings.ContainsFunc(string(c.Secret), func(r rune) bool { return r < ' ' || r == 0x7f }) {
		add("secret", "holds a character that cannot be printed, perhaps a line end")
	}
	switch c.Kind {
	case Telegram:
		if !botToken.MatchString(string(c.Secret)) {
			add("secret", "must be the bot's token, digits, a colon and letters, as @BotFather gives it")
		}
		if !chatID.MatchString(c.Chat) {
			add("chat_id", "%.40q is not a chat: write its number, or @ and the channel's name", c.Chat)
		}
	case WeCom, Slack, Heartbeat:
		if c.Secret != "" {
			add("secret", "is not used by %s; leave it empty", c.Kind)
		}
	case Mail:
		c.checkMail(add)
	}
	c.checkStray(add)
	return wrong
}

func (c Channel) checkURL(add func(field, format string, args ...any)) {
	if c.Kind == Mail {
		if c.URL != "" {
			add("url", "is not used by mail; write smtp_host and smtp_port")
		}
		return
	}
	if c.URL == "" {
		if c.Kind != Telegram {
			add("url", "is required for %s", c.Kind)
		}
		return
	}
	u, err := url.Parse(string(c.URL))
	switch {
	case len(c.URL) > maxURL:
		add("url", "is longer than %d bytes", maxURL)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		add("url", "is not an address: write one that begins with https:// or http://")
	case u.Fragment != "" || u.User != nil:
		add("url", "may hold no # and no user or password")
	case u.Scheme == "http" && c.Kind != Webhook && c.Kind != Heartbeat && !loopback(u.Hostname()):
		add("url", "must begin with https:// for %s, because it holds a token", c.Kind)
	}
}

func (c Channel) checkMail(add func(field, format string, args ...any)) {
	if c.Host == "" || len(c.Host) > 253 || strings.ContainsAny(c.Host, " :/@\t\r\n") {
		add("smtp_host", "%.60q is not the name of a server", c.Host)
	}
	if c.Port < 0 || c.Port > 65535 {
		add("smtp_port", "%d is outside 1 to 65535; 0 means 587", c.Port)
	}
	if len(c.User) > maxField || strings.ContainsFunc(c.User, func(r rune) bool { return r < ' ' }) {
		add("smtp_user", "is longer than %d bytes or cannot be printed", maxField)
	}
	if c.User == "" && c.Secret != "" {
		add("smtp_user", "is required with a password")
	}
	if c.User != "" && c.Secret == "" {
		add("secret", "is required with smtp_user: it is the password")
	}
	if !address(c.From) {
		add("from", "%.80q is not a mail address", c.From)
	}
	if len(c.To) == 0 || len(c.To) > maxTo {
		add("to", "has %d addresses; 1 to %d are allowed", len(c.To), maxTo)
	}
	for i, a := range c.To {
		if !address(a) {
			add(fmt.Sprintf("to[%d]", i), "%.80q is not a mail address", a)
		}
	}
}

// checkStray reports fields that the kind does not use, so that a setting in the wrong
// field is not ignored.
func (c Channel) checkStray(add func(field, format string, args ...any)) {
	stray := func(set bool, field string) {
		if set {
			add(field, "is not used by %s; leave it out", c.Kind)
		}
	}
	if c.Kind != Telegram {
		stray(c.Chat != "", "chat_id")
	}
	if c.Kind != Mail {
		stray(c.Host != "", "smtp_host")
		stray(c.Port != 0, "smtp_port")
		stray(c.User != "", "smtp_user")
		stray(c.From != "", "from")
		stray(len(c.To) > 0, "to")
	}
	if c.Kind != Heartbeat {
		stray(c.Post, "post")
		stray(c.Start, "start")
		stray(c.Fail, "fail")
	}
}

func address(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && len(s) <= maxField && a.Name == "" && a.Address == s
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func join(kinds []ChannelKind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// Where is the host of the channel's URL, without anything secret.
func (c Channel) Where() string {
	switch {
	case c.Kind == Mail:
		return c.Host
	case c.Kind == Telegram && c.URL == "":
		return TelegramHost
	}
	u, err := url.Parse(string(c.URL))
	if err != nil {
		return ""
	}
	return u.Host
}

// TelegramHost is the host of Telegram's bot API.
const TelegramHost = "api.telegram.org"

// Redact removes the channel's secrets from a text, shortens it and puts it on one line.
// The response of a platform may repeat the request.
func (c Channel) Redact(text string) string {
	for _, s := range c.secrets() {
		text = strings.ReplaceAll(text, s, "…")
	}
	text = oneLine(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
	const most = 300
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// secrets are the texts to remove, longest first: the secret, the URL, and the parts of the
// URL that can contain a token.
func (c Channel) secrets() (all []string) {
	add := func(s string) {
		if len(s) >= 4 {
			all = append(all, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
	add(string(c.Secret))
	if c.URL != "" {
		all = append(all, string(c.URL))
		if u, err := url.Parse(string(c.URL)); err == nil {
			all = append(all, u.RequestURI())
			add(u.RawQuery)
			for _, values := range u.Query() {
				for _, v := range values {
					add(v)
				}
			}
			for part := range strings.SplitSeq(u.EscapedPath(), "/") {
				if len(part) >= 8 {
					add(part)
				}
			}
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return len(s) < 4 })
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// DeliveryState is the state of a delivery.
type DeliveryState string

// The states.
const (
	// ToSend is waiting for its first or next attempt.
	ToSend DeliveryState = "pending"
	// Sent was accepted by the platform.
	Sent DeliveryState = "sent"
	// GivenUp failed for a day, or once if it is a test.
	GivenUp DeliveryState = "given_up"
)

// Delivery is a notice for one channel.
type Delivery struct {
	// ID sorts by time.
	ID string
	// NoticeID and ChannelID it belongs to.
	NoticeID, ChannelID string
	// Signal is the end of a heartbeat's URL.
	Signal string
	// State of the delivery.
	State DeliveryState
	// Attempts made.
	Attempts int
	// CreatedAt is when it was stored; NextAt when it is tried next; EndedAt when it was sent
	// or given up.
	CreatedAt, NextAt, EndedAt time.Time
	// Error of the last attempt, without secrets. Empty if the first attempt succeeded.
	Error string
}

// Health is the state of a channel.
type Health struct {
	// Waiting is the number of waiting deliveries, GivenUp the number given up in the last
	// week.
	Waiting, GivenUp int
	// FailingSince is when the oldest waiting delivery with a failed attempt was stored. Zero
	// if there is none.
	FailingSince time.Time
	// NextAt is the next attempt. Zero if nothing is waiting.
	NextAt time.Time
	// SentAt is the last successful delivery. Zero if there was none.
	SentAt time.Time
	// Error of the last failed attempt, if nothing was delivered since.
	Error string
}

const (
	// GiveUp is how long a delivery is retried.
	GiveUp = 24 * time.Hour
	// maxRetryAfter limits the pause that a platform may ask for.
	maxRetryAfter = 6 * time.Hour
)

// pauses before the attempts of a delivery; the last one repeats.
var pauses = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour}

// Failed is a delivery after a failed attempt. retryAfter is the pause that the platform
// asked for; zero if none.
func (d Delivery) Failed(now time.Time, why string, retryAfter time.Duration) Delivery {
	d.Attempts++
	d.Error = why
	d.NextAt = now.Add(max(pauses[min(d.Attempts, len(pauses))-1], min(retryAfter, maxRetryAfter)))
	if d.NextAt.Sub(d.CreatedAt) > GiveUp {
		d.State, d.EndedAt = GivenUp, now
	}
	return d
}

// Abandoned is a delivery after a failed attempt that is not retried.
func (d Delivery) Abandoned(now time.Time, why string) Delivery {
	d.Attempts++
	d.State, d.EndedAt, d.Error = GivenUp, now, why
	return d
}

// Done is a delivery after a successful attempt.
func (d Delivery) Done(now time.Time) Delivery {
	d.Attempts++
	d.State, d.EndedAt, d.Error = Sent, now, ""
	return d
}
