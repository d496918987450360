package api

import (
	"context"
	"errors"
	"slices"
	"time"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notice"
	"github.com/afterbell/afterbell/services/orchestrator/internal/notify"
)

// NoticeLedger stores channels, notices and deliveries; *ledger.Store implements it. It
// returns NOT_FOUND for what does not exist.
type NoticeLedger interface {
	Channels(ctx context.Context) ([]notice.Channel, error)
	Channel(ctx context.Context, id string) (notice.Channel, error)
	SaveChannel(ctx context.Context, c notice.Channel) error
	DeleteChannel(ctx context.Context, id string) error
	ChannelHealth(ctx context.Context, since time.Time) (map[string]notice.Health, error)
	// Fingerprint is a keyed digest of a secret.
	Fingerprint(ctx context.Context, secret notice.Secret) (string, error)
	Notices(ctx context.Context, limit int, before string) ([]notice.Notice, error)
	Deliveries(ctx context.Context, channel string, state notice.DeliveryState, limit int, before string) ([]notice.Delivery, error)
}

// Notifier sends the stored notices; *notify.Notifier implements it.
type Notifier interface {
	// Test sends a message to a channel at once. The error is a *notify.Refusal if the
	// platform did not accept it.
	Test(ctx context.Context, channel string) error
	// Wake makes it check at once.
	Wake()
}

const (
	// maxChannels is the largest number of channels.
	maxChannels = 50
	// givenUpFor is for how long a given-up notice is counted.
	givenUpFor = 7 * 24 * time.Hour
)

type noticeService struct {
	orchestratorv1.UnimplementedNoticeServiceServer
	*base
}

// ListChannels implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) ListChannels(ctx context.Context, _ *orchestratorv1.ListChannelsRequest) (*orchestratorv1.ListChannelsResponse, error) {
	channels, err := s.Notices.Channels(ctx)
	if err != nil {
		return nil, err
	}
	resp := &orchestratorv1.ListChannelsResponse{}
	for _, c := range channels {
		out, err := s.channelOf(ctx, c)
		if err != nil {
			return nil, err
		}
		resp.Channels = append(resp.Channels, out)
	}
	return resp, nil
}

// channelOf converts a channel, without its secrets.
func (s *noticeService) channelOf(ctx context.Context, c notice.Channel) (*orchestratorv1.Channel, error) {
	health, err := s.Notices.ChannelHealth(ctx, time.Now().Add(-givenUpFor))
	if err != nil {
		return nil, err
	}
	address, err := s.Notices.Fingerprint(ctx, c.URL)
	if err != nil {
		return nil, err
	}
	secret, err := s.Notices.Fingerprint(ctx, c.Secret)
	if err != nil {
		return nil, err
	}
	h := health[c.ID]
	if why := c.LostMessage(); why != "" {
		h.Error = why
	}
	return &orchestratorv1.Channel{
		ChannelId: c.ID, Enabled: c.Enabled, Host: c.Where(), UrlFingerprint: address, SecretFingerprint: secret,
		Kind:     enum[orchestratorv1.Channel_Kind](orchestratorv1.Channel_Kind_value, "KIND_", string(c.Kind)),
		Language: enum[orchestratorv1.Channel_Language](orchestratorv1.Channel_Language_value, "LANGUAGE_", string(c.Language)),
		ChatId:   c.Chat, SmtpHost: c.Host, SmtpPort: int32(c.Port), SmtpUser: c.User, From: c.From, To: c.To,
		Post: c.Post, Start: c.Start, Fail: c.Fail,
		Etag:         etagOf([]any{c.Kind, c.Enabled, c.Language, address, secret, c.Lost, c}),
		WaitingCount: int32(h.Waiting), GivenUpCount: int32(h.GivenUp), FailingSinceTime: transport.TimeToProto(h.FailingSince),
		NextTime: transport.TimeToProto(h.NextAt), LastSentTime: transport.TimeToProto(h.SentAt), Error: h.Error,
	}, nil
}

// CreateChannel implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) CreateChannel(ctx context.Context, req *orchestratorv1.CreateChannelRequest) (*orchestratorv1.CreateChannelResponse, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	channels, err := s.Notices.Channels(ctx)
	if err != nil {
		return nil, err
	}
	var p problems
	c := notice.Channel{
		ID: req.GetChannelId(), Enabled: req.Enabled == nil || req.GetEnabled(), Language: notice.English,
		Kind: notice.ChannelKind(p.choice("kind", req.GetKind(), "KIND_")),
		URL:  notice.Secret(req.GetUrl()), Secret: notice.Secret(req.GetSecret()), Chat: req.GetChatId(),
		Host: req.GetSmtpHost(), Port: int(req.GetSmtpPort()), User: req.GetSmtpUser(), From: req.GetFrom(), To: req.GetTo(),
		Post: req.GetPost(), Start: req.GetStart(), Fail: req.GetFail(),
	}
	if l := p.choice("language", req.GetLanguage(), "LANGUAGE_"); l != "" {
		c.Language = notice.Language(l)
	}
	if slices.ContainsFunc(channels, func(o notice.Channel) bool { return o.ID == c.ID }) {
		p.add("channel_id", "%.40q already exists; choose another name, or change the existing one", c.ID)
	} else if len(channels) >= maxChannels {
		p.add("channel_id", "there are already %d channels, the maximum", len(channels))
	}
	if len(p.fields) == 0 || req.GetKind() != orchestratorv1.Channel_KIND_UNSPECIFIED {
		p.fields = append(p.fields, c.Validate()...)
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if !req.GetValidateOnly() {
		if err := s.Notices.SaveChannel(ctx, c); err != nil {
			return nil, err
		}
	}
	out, err := s.channelOf(ctx, c)
	return &orchestratorv1.CreateChannelResponse{Channel: out}, err
}

// UpdateChannel implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) UpdateChannel(ctx context.Context, req *orchestratorv1.UpdateChannelRequest) (*orchestratorv1.UpdateChannelResponse, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	before, err := s.channel(ctx, req.GetChannelId())
	if err != nil {
		return nil, err
	}
	read, err := s.channelOf(ctx, before)
	if err != nil {
		return nil, err
	}
	if err := checkEtag("channel", before.ID, req.GetEtag(), read.GetEtag()); err != nil {
		return nil, err
	}
	var p problems
	p.changes(req)
	c := before
	if k := p.choice("kind", req.GetKind(), "KIND_"); k != "" {
		c.Kind = notice.ChannelKind(k)
	}
	if l := p.choice("language", req.GetLanguage(), "LANGUAGE_"); l != "" {
		c.Language = notice.Language(l)
	}
	set(&c.Enabled, req.Enabled)
	if req.Url != nil {
		c.URL = notice.Secret(req.GetUrl())
	}
	if req.Secret != nil {
		c.Secret = notice.Secret(req.GetSecret())
	}
	c.Lost = slices.DeleteFunc(slices.Clone(c.Lost), func(field string) bool {
		return field == "url" && req.Url != nil || field == "secret" && req.Secret != nil
	})
	if req.SmtpPort != nil {
		c.Port = int(req.GetSmtpPort())
	}
	set(&c.Chat, req.ChatId)
	set(&c.Host, req.SmtpHost)
	set(&c.User, req.SmtpUser)
	set(&c.From, req.From)
	set(&c.Post, req.Post)
	set(&c.Start, req.Start)
	set(&c.Fail, req.Fail)
	if len(req.GetTo()) > 0 {
		c.To = req.GetTo()
	}
	for _, field := range c.Lost {
		p.add(field, "cannot be read any more, because the key of the ledger is lost; set it again")
	}
	if len(p.fields) == 0 {
		p.fields = c.Validate()
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	resp := &orchestratorv1.UpdateChannelResponse{ChangedFields: changedFields(before, c)}
	if !req.GetValidateOnly() && len(resp.ChangedFields) > 0 {
		if err := s.Notices.SaveChannel(ctx, c); err != nil {
			return nil, err
		}
		s.Notifier.Wake()
	}
	resp.Channel, err = s.channelOf(ctx, c)
	return resp, err
}

// changedFields names the fields that differ, as in the request.
func changedFields(a, b notice.Channel) (names []string) {
	for _, f := range []struct {
		name    string
		differs bool
	}{
		{"kind", a.Kind != b.Kind}, {"enabled", a.Enabled != b.Enabled}, {"language", a.Language != b.Language},
		{"url", a.URL != b.URL || slices.Contains(a.Lost, "url")}, {"secret", a.Secret != b.Secret || slices.Contains(a.Lost, "secret")}, {"chat_id", a.Chat != b.Chat},
		{"smtp_host", a.Host != b.Host}, {"smtp_port", a.Port != b.Port}, {"smtp_user", a.User != b.User},
		{"from", a.From != b.From}, {"to", !slices.Equal(a.To, b.To)},
		{"post", a.Post != b.Post}, {"start", a.Start != b.Start}, {"fail", a.Fail != b.Fail},
	} {
		if f.differs {
			names = append(names, f.name)
		}
	}
	return names
}

// channel returns a channel by a name that may be invalid.
func (s *noticeService) channel(ctx context.Context, id string) (notice.Channel, error) {
	var p problems
	p.id("channel_id", id)
	if err := p.err(); err != nil {
		return notice.Channel{}, err
	}
	return s.Notices.Channel(ctx, id)
}

// DeleteChannel implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) DeleteChannel(ctx context.Context, req *orchestratorv1.DeleteChannelRequest) (*orchestratorv1.DeleteChannelResponse, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if _, err := s.channel(ctx, req.GetChannelId()); err != nil {
		return nil, err
	}
	return &orchestratorv1.DeleteChannelResponse{}, s.Notices.DeleteChannel(ctx, req.GetChannelId())
}

// TestChannel implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) TestChannel(ctx context.Context, req *orchestratorv1.TestChannelRequest) (*orchestratorv1.TestChannelResponse, error) {
	if _, err := s.channel(ctx, req.GetChannelId()); err != nil {
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	err := s.Notifier.Test(ctx, req.GetChannelId())
	var refused *notify.Refusal
	switch {
	case errors.As(err, &refused):
		return &orchestratorv1.TestChannelResponse{Error: refused.Why}, nil
	case err != nil:
		return nil, err
	}
	return &orchestratorv1.TestChannelResponse{Delivered: true}, nil
}

// ListNotices implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) ListNotices(ctx context.Context, req *orchestratorv1.ListNoticesRequest) (*orchestratorv1.ListNoticesResponse, error) {
	var p problems
	limit, before := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "notices", "")
	if err := p.err(); err != nil {
		return nil, err
	}
	all, err := s.Notices.Notices(ctx, limit+1, before)
	if err != nil {
		return nil, err
	}
	all, next := pageOf(all, limit, "notices", "", func(n notice.Notice) string { return n.ID })
	return &orchestratorv1.ListNoticesResponse{Notices: each(all, noticeOf), NextPageToken: next}, nil
}

// ListDeliveries implements orchestratorv1.NoticeServiceServer.
func (s *noticeService) ListDeliveries(ctx context.Context, req *orchestratorv1.ListDeliveriesRequest) (*orchestratorv1.ListDeliveriesResponse, error) {
	var p problems
	if req.GetChannelId() != "" {
		p.id("channel_id", req.GetChannelId())
	}
	state := notice.DeliveryState(p.choice("state", req.GetState(), "STATE_"))
	filter := req.GetChannelId() + "/" + string(state)
	limit, before := p.page(req.GetPageSize(), 50, 500, req.GetPageToken(), "deliveries", filter)
	if err := p.err(); err != nil {
		return nil, err
	}
	all, err := s.Notices.Deliveries(ctx, req.GetChannelId(), state, limit+1, before)
	if err != nil {
		return nil, err
	}
	all, next := pageOf(all, limit, "deliveries", filter, func(d notice.Delivery) string { return d.ID })
	return &orchestratorv1.ListDeliveriesResponse{Deliveries: each(all, deliveryOf), NextPageToken: next}, nil
}

func noticeOf(n notice.Notice) *orchestratorv1.Notice {
	return &orchestratorv1.Notice{
		NoticeId: n.ID, Date: n.Date.String(), Whole: n.Whole, CreateTime: transport.TimeToProto(n.CreatedAt),
		Kind: enum[orchestratorv1.Notice_Kind](orchestratorv1.Notice_Kind_value, "KIND_", string(n.Kind)),
		Text: n.Text(notice.English), TextZh: n.Text(notice.Chinese), Pools: each(n.Pools, noticePoolOf),
	}
}

func noticePoolOf(s notice.PoolState) *orchestratorv1.NoticePool {
	return &orchestratorv1.NoticePool{
		Pool:       transport.PoolToProto(s.Pool),
		Verdict:    enum[orchestratorv1.NoticePool_Verdict](orchestratorv1.NoticePool_Verdict_value, "VERDICT_", string(s.Verdict)),
		LackingIds: each(s.Lacks, notice.Lack.Name), Reason: reasonToProto(s.Reason), Message: s.Message, Remedy: s.Remedy,
		RunId: s.RunID, NextTime: transport.TimeToProto(s.NextAt),
	}
}

func reasonToProto(r fault.Reason) faultv1.Reason {
	return faultv1.Reason(faultv1.Reason_value["REASON_"+string(r)])
}

func deliveryOf(d notice.Delivery) *orchestratorv1.Delivery {
	out := &orchestratorv1.Delivery{
		DeliveryId: d.ID, NoticeId: d.NoticeID, ChannelId: d.ChannelID, Signal: d.Signal, AttemptCount: int32(d.Attempts),
		State:      enum[orchestratorv1.Delivery_State](orchestratorv1.Delivery_State_value, "STATE_", string(d.State)),
		CreateTime: transport.TimeToProto(d.CreatedAt), EndTime: transport.TimeToProto(d.EndedAt), Error: d.Error,
	}
	if d.State == notice.ToSend {
		out.NextTime = transport.TimeToProto(d.NextAt)
	}
	return out
}
