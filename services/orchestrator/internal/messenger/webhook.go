package messenger

import (
	"context"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
)

// The headers of a webhook. The signature is "v1=" and the hexadecimal HMAC-SHA256, with
// the channel's secret as key, of the timestamp, a dot and the body.
const (
	headerTimestamp = "X-Afterbell-Timestamp"
	headerSignature = "X-Afterbell-Signature"
	headerDelivery  = "X-Afterbell-Delivery"
)

// webhookBody is the body of a webhook. Fields may be added, but not changed.
type webhookBody struct {
	ID       string             `json:"id"`
	Delivery string             `json:"deliveryId"`
	Kind     notice.Kind        `json:"kind"`
	Date     string             `json:"date"`
	Whole    bool               `json:"whole"`
	Time     time.Time          `json:"time"`
	Language notice.Language    `json:"language"`
	Text     string             `json:"text"`
	Pools    []notice.PoolState `json:"pools"`
	Changed  []string           `json:"changed"`
}

func (m *Messenger) webhook(ctx context.Context, c notice.Channel, n notice.Notice, d notice.Delivery) error {
	body := webhookBody{
		ID: n.ID, Delivery: d.ID, Kind: n.Kind, Date: n.Date.String(), Whole: n.Whole, Time: n.CreatedAt.UTC(),
		Language: c.Language, Text: n.Text(c.Language), Pools: n.Pools, Changed: []string{},
	}
	if body.Pools == nil {
		body.Pools = []notice.PoolState{}
	}
	for _, p := range n.Changed {
		body.Changed = append(body.Changed, string(p))
	}
	text, err := marshal(body)
	if err != nil {
		return err
	}
	header := http.Header{}
	header.Set(headerDelivery, d.ID)
	stamp := strconv.FormatInt(m.now().Unix(), 10)
	header.Set(headerTimestamp, stamp)
	if c.Secret != "" {
		header.Set(headerSignature, "v1="+hex.EncodeToString(sign(string(c.Secret), stamp+"."+string(text))))
	}
	a, err := m.call(ctx, http.MethodPost, string(c.URL), text, "application/json; charset=utf-8", header)
	if err != nil {
		return err
	}
	return m.ok(a)
}

// heartbeat requests the URL with the signal appended to its path. Healthchecks reports
// some errors with HTTP 200.
func (m *Messenger) heartbeat(ctx context.Context, c notice.Channel, text string, d notice.Delivery) error {
	address, err := url.Parse(string(c.URL))
	if err != nil {
		return err
	}
	if d.Signal != "" {
		address = address.JoinPath(d.Signal)
	}
	method, body := http.MethodGet, []byte(nil)
	if c.Post {
		method, body = http.MethodPost, []byte(text)
	}
	a, err := m.call(ctx, method, address.String(), body, "text/plain; charset=utf-8", nil)
	if err != nil {
		return err
	}
	if err := m.ok(a); err != nil {
		return err
	}
	switch body := strings.TrimSpace(string(a.body)); body {
	case "OK (not found)":
		return refused("the service does not know this address: %s", body)
	case "OK (rate limited)":
		r := refused("the service accepts no more messages for now: %s", body)
		r.RetryAfter = time.Minute
		return r
	}
	return nil
}
