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

// Secret is text that opens something: an address with a token in it, a signing secret,
// a password. It is shown, formatted and logged as three dots.
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

// ChannelKind is where a channel leads.
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
	// Mail is SMTP with STARTTLS, or TLS from the start on port 465.
	Mail ChannelKind = "mail"
	// Heartbeat is an address that is called after a whole evening.
	Heartbeat ChannelKind = "heartbeat"
)

// ChannelKinds lists them all.
func ChannelKinds() []ChannelKind {
	return []ChannelKind{Webhook, DingTalk, WeCom, Feishu, Telegram, Slack, Mail, Heartbeat}
}

// Channel is where notices go. Its JSON form holds no secret; the ledger keeps those in
// columns of their own.
type Channel struct {
	// ID is the name that a person chose.
	ID string `json:"-"`
	// Kind of it.
	Kind ChannelKind `json:"-"`
	// Enabled channels get what is told from now on.
	Enabled bool `json:"-"`
	// Language of the sentences.
	Language Language `json:"-"`
	// URL is the address, with the token that it holds. Of Telegram, the base of the bot
	// API; empty for the usual one. Empty for mail.
	URL Secret `json:"-"`
	// Secret signs a request, is the token of a Telegram bot, or the password of SMTP.
	Secret Secret `json:"-"`
	// Lost names what of "url" and "secret" is stored and cannot be read, because its key is
	// lost.
	Lost []string `json:"-"`
	// Chat is the id of a Telegram chat, or @channel.
	Chat string `json:"chat,omitempty"`
	// Host and Port of the SMTP server. Port 0 means 587.
	Host string `json:"host,omitempty"`
	// Port of the SMTP server.
	Port int `json:"port,omitempty"`
	// User of the SMTP server. Empty sends without authentication.
	User string `json:"user,omitempty"`
	// From is the sender's address; To are those who get the mail.
	From string `json:"from,omitempty"`
	// To are the addresses that get the mail.
	To []string `json:"to,omitempty"`
	// Post makes a heartbeat a POST; otherwise it is a GET.
	Post bool `json:"post,omitempty"`
	// Start calls a heartbeat's address with /start when an evening begins.
	Start bool `json:"start,omitempty"`
	// Fail calls it with /fail when an evening is not whole.
	Fail bool `json:"fail,omitempty"`
}

// LostMessage says what is wrong with a channel whose address or secret cannot be read;
// empty where nothing is.
func (c Channel) LostMessage() string {
	if len(c.Lost) == 0 {
		return ""
	}
	return "the " + strings.Join(c.Lost, " and the ") + " of the channel cannot be read, because the key of the ledger is lost; set it again: afterbell notify set " + c.ID
}

// Signal says what a channel is sent of a notice: a sentence, or for a heartbeat the end
// of its address. ok is false when nothing is.
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

// Validate names every field that is wrong, as the contract writes it; none when all
// hold. It never repeats a secret.
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

// checkStray refuses what the kind does not use, so that a setting in the wrong place is
// not overlooked.
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

// Where is where the channel leads, without anything secret: the host of its address.
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

// TelegramHost is where Telegram's bot API is.
const TelegramHost = "api.telegram.org"

// Redact takes everything secret of the channel out of a text, shortens it and makes it
// one line: answers of a platform may repeat the request.
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

// secrets are the texts that must not be told, longest first: the secret, the address,
// and the parts of the address that can hold a token.
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

// DeliveryState is where a delivery is.
type DeliveryState string

// The states.
const (
	// ToSend waits, or is tried again.
	ToSend DeliveryState = "pending"
	// Sent was taken by the platform.
	Sent DeliveryState = "sent"
	// GivenUp was tried for a day, or once if it was a test.
	GivenUp DeliveryState = "given_up"
)

// Delivery is one notice on its way through one channel.
type Delivery struct {
	// ID sorts by time.
	ID string
	// NoticeID and ChannelID it belongs to.
	NoticeID, ChannelID string
	// Signal is the end of a heartbeat's address.
	Signal string
	// State of it.
	State DeliveryState
	// Attempts made.
	Attempts int
	// CreatedAt is when it was recorded; NextAt when it is tried next; EndedAt when it
	// was sent or given up.
	CreatedAt, NextAt, EndedAt time.Time
	// Error of the last attempt, without secrets. Empty when it was sent at once.
	Error string
}

// Health is how a channel gets on.
type Health struct {
	// Waiting is the number of notices that wait, GivenUp that of the last week that were
	// not delivered.
	Waiting, GivenUp int
	// FailingSince is when the oldest of those that wait and failed was recorded. Zero
	// when none did.
	FailingSince time.Time
	// NextAt is when it is tried again. Zero when nothing waits.
	NextAt time.Time
	// SentAt is when something was delivered last. Zero for never.
	SentAt time.Time
	// Error of the last attempt that failed, where nothing was delivered since.
	Error string
}

const (
	// GiveUp is for how long a delivery is tried.
	GiveUp = 24 * time.Hour
	// maxRetryAfter bounds what a platform may ask for.
	maxRetryAfter = 6 * time.Hour
)

// pauses before the attempts of a delivery; the last one repeats.
var pauses = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 30 * time.Minute, time.Hour}

// Failed is a delivery after an attempt that failed. retryAfter is what the platform asked
// for; zero when it asked for nothing.
func (d Delivery) Failed(now time.Time, why string, retryAfter time.Duration) Delivery {
	d.Attempts++
	d.Error = why
	d.NextAt = now.Add(max(pauses[min(d.Attempts, len(pauses))-1], min(retryAfter, maxRetryAfter)))
	if d.NextAt.Sub(d.CreatedAt) > GiveUp {
		d.State, d.EndedAt = GivenUp, now
	}
	return d
}

// Abandoned is a delivery after an attempt that failed and is not repeated.
func (d Delivery) Abandoned(now time.Time, why string) Delivery {
	d.Attempts++
	d.State, d.EndedAt, d.Error = GivenUp, now, why
	return d
}

// Done is a delivery after an attempt that succeeded.
func (d Delivery) Done(now time.Time) Delivery {
	d.Attempts++
	d.State, d.EndedAt, d.Error = Sent, now, ""
	return d
}
