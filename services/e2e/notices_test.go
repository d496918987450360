package e2e_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/e2e/internal/stack"
	"github.com/afterbell/afterbell/services/internal/platformtest"
	"github.com/afterbell/afterbell/services/tusharesim"
)

// eastmost is a time zone in which a slot that is due now belongs to a day of which all datasets are
// due, at any hour: it is 19 hours behind Shanghai, and the last dataset is due at 19:00.
const eastmost = "Pacific/Pago_Pago"

// lastDue is the newest open day of which everything is due.
func (e *env) lastDue() string {
	e.t.Helper()
	zone, err := time.LoadLocation(eastmost)
	if err != nil {
		e.t.Fatal(err)
	}
	there := time.Now().In(zone)
	dates := e.sim.OpenDates(there.AddDate(0, 0, -30).Format("20060102"), there.Format("20060102"))
	return dates[len(dates)-1]
}

// eventually waits until a condition holds.
func (e *env) eventually(what string, limit time.Duration, there func() bool) {
	e.t.Helper()
	deadline, tick := time.After(limit), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-deadline:
			e.t.Fatalf("%s: not within %s", what, limit)
		}
	}
}

// addChannels adds a channel of each kind, all to platforms that refuse at first.
func (e *env) addChannels(p *platformtest.Platforms, mails *platformtest.Mails) {
	e.t.Helper()
	type request = orchestratorv1.CreateChannelRequest
	secret := platformtest.Secret
	for _, req := range []*request{
		{ChannelId: "webhook", Kind: orchestratorv1.Channel_KIND_WEBHOOK, Url: p.URL + "/hook/" + platformtest.Token, Secret: secret},
		{ChannelId: "dingtalk", Kind: orchestratorv1.Channel_KIND_DINGTALK, Url: p.URL + "/robot/send?access_token=" + platformtest.Token, Secret: secret},
		{ChannelId: "wecom", Kind: orchestratorv1.Channel_KIND_WECOM, Url: p.URL + "/cgi-bin/webhook/send?key=" + platformtest.Token},
		{ChannelId: "feishu", Kind: orchestratorv1.Channel_KIND_FEISHU, Url: p.URL + "/open-apis/bot/v2/hook/" + platformtest.Token, Secret: secret},
		{ChannelId: "telegram", Kind: orchestratorv1.Channel_KIND_TELEGRAM, Url: p.URL, Secret: platformtest.BotToken, ChatId: "-1001234567890"},
		{ChannelId: "slack", Kind: orchestratorv1.Channel_KIND_SLACK, Url: p.URL + "/services/T0/B0/" + platformtest.Token},
		{ChannelId: "mail", Kind: orchestratorv1.Channel_KIND_MAIL, SmtpHost: "127.0.0.1", SmtpPort: int32(mails.Port), SmtpUser: "desk@mail.test", Secret: secret,
			From: "afterbell@mail.test", To: []string{"desk@mail.test"}},
		{ChannelId: "heartbeat", Kind: orchestratorv1.Channel_KIND_HEARTBEAT, Url: p.URL + "/ping/" + platformtest.Token, Start: true, Fail: true},
	} {
		if _, err := orchestratorv1.NewNoticeServiceClient(e.Conn).CreateChannel(e.t.Context(), req); err != nil {
			e.t.Fatalf("channel %s: %v", req.GetChannelId(), err)
		}
	}
	p.Refuse("webhook", "5xx", "hang up")
	p.Refuse("dingtalk", "sign", "5xx")
	p.Refuse("wecom", "sign")
	p.Refuse("feishu", "sign", "5xx")
	p.Refuse("telegram", "rate")
	p.Refuse("slack", "rate")
	p.Refuse("heartbeat", "5xx")
	mails.Refuse("sign", "5xx")
}

// restartOrchestrator restarts it with other flags.
func (e *env) restartOrchestrator(flags ...string) {
	e.t.Helper()
	e.Orchestrator.Kill()
	e.Config.OrchestratorFlags = flags
	if err := e.StartOrchestrator(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
}

// An evening with typical failures, with the real pair and a channel of each kind: a blocked token,
// late moneyflow, a worker that is killed, and an orchestrator that is killed between a decision and
// its delivery. Each channel gets the expected notices, once and in order, although each platform
// refuses at first, and no secret is in a log.
func TestNoticesOfAnEvening(t *testing.T) {
	t.Parallel()
	platforms, mails := platformtest.Start(t, nil), platformtest.StartMails(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, mails.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	e := up(t, small(), func(c *stack.Config) { c.Env = append(c.Env, "SSL_CERT_FILE="+ca) })
	e.setTargets(e.listed(3)...)
	e.addChannels(platforms, mails)
	day := e.lastDue()
	date := day[:4] + "-" + day[4:6] + "-" + day[6:]

	// The slot is the next minute's.
	at := time.Now().Add(70 * time.Second).Truncate(time.Minute)
	zone, err := time.LoadLocation(eastmost)
	if err != nil {
		t.Fatal(err)
	}
	no, runAt, name, never := false, at.In(zone).Format("15:04"), eastmost, ""
	if _, err := orchestratorv1.NewScheduleServiceClient(e.Conn).UpdateSchedule(t.Context(), &orchestratorv1.UpdateScheduleRequest{
		RunAt: &runAt, TimeZone: &name, TradingDaysOnly: &no, RunOnStartup: &no,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := orchestratorv1.NewSettingsServiceClient(e.Conn).UpdateSettings(t.Context(), &orchestratorv1.UpdateSettingsRequest{LateAt: &never}); err != nil {
		t.Fatal(err)
	}
	e.sim.RevokeToken(token)
	e.restartOrchestrator()

	beats := []string{"GET start", "GET fail", "GET"}
	notices := func() []*orchestratorv1.Notice {
		resp, err := orchestratorv1.NewNoticeServiceClient(e.Conn).ListNotices(t.Context(), &orchestratorv1.ListNoticesRequest{})
		if err != nil {
			return nil // it is being started
		}
		// Past 22:00 the first start says that the pools are late, and the evening counts as begun.
		evening := slices.DeleteFunc(resp.GetNotices(), func(n *orchestratorv1.Notice) bool { return n.GetKind() == orchestratorv1.Notice_KIND_LATE })
		if len(evening) < len(resp.GetNotices()) {
			beats = []string{"GET fail", "GET"}
		}
		slices.Reverse(evening)
		return evening
	}
	told := func(n int) func() bool { return func() bool { return len(notices()) >= n } }
	e.eventually("the blocked evening is told", 2*time.Minute, told(1))
	e.restartOrchestrator() // killed before most platforms took it
	e.eventually("a channel that fails shows", 30*time.Second, func() bool {
		resp, err := orchestratorv1.NewNoticeServiceClient(e.Conn).ListChannels(t.Context(), &orchestratorv1.ListChannelsRequest{})
		return err == nil && slices.ContainsFunc(resp.GetChannels(), func(c *orchestratorv1.Channel) bool {
			return c.GetFailingSinceTime() != nil && c.GetWaitingCount() > 0 && c.GetError() != ""
		})
	})

	e.sim.RestoreTokens()
	if err := e.sim.Withhold(tusharesim.Moneyflow, day); err != nil {
		t.Fatal(err)
	}
	e.run(&orchestratorv1.CreateRunRequest{})
	e.eventually("that moneyflow is late is told", time.Minute, told(2))

	if err := e.sim.Release(tusharesim.Moneyflow, day); err != nil {
		t.Fatal(err)
	}
	e.Worker.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	created, err := e.Runs().CreateRun(ctx, &orchestratorv1.CreateRunRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.StartWorker(ctx); err != nil {
		t.Fatal(err)
	}
	for _, r := range created.GetRuns() {
		e.follow(ctx, r.GetRunId())
	}
	e.eventually("that it is whole is told", time.Minute, told(3))

	want := []string{
		"the data of " + date + " is not complete: targets is blocked and lacks all data of the day: the provider rejected the token (TOKEN_INVALID), which needs your action",
		"the data of " + date + " has improved but is not complete yet: targets lacks moneyflow",
		"the data of " + date + " is now complete: targets is complete; universe is complete.",
	}
	same := func(got []string, want []string) bool {
		return slices.EqualFunc(got, want, func(g, w string) bool { return strings.Contains(g, w) })
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("heartbeat: %q; webhook: %q; mail: %q", platforms.Texts("heartbeat"), platforms.Texts("webhook"), mails.Texts())
		}
	})
	e.eventually("every channel has everything", 3*time.Minute, func() bool {
		for _, kind := range []string{"webhook", "dingtalk", "wecom", "feishu", "telegram", "slack"} {
			if len(platforms.Texts(kind)) < len(want) {
				return false
			}
		}
		return len(mails.Texts()) >= len(want) && len(platforms.Texts("heartbeat")) >= len(beats)
	})
	texts := map[string][]string{"mail": mails.Texts()}
	for _, kind := range []string{"webhook", "dingtalk", "wecom", "feishu", "telegram", "slack"} {
		texts[kind] = platforms.Texts(kind)
	}
	for kind, got := range texts {
		if !same(got, want) {
			t.Errorf("%s was sent:\n%s\nwant:\n%s", kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := platforms.Texts("heartbeat"); !slices.Equal(got, beats) {
		t.Errorf("the heartbeat was called with %q", got)
	}
	// A platform has a message before the delivery is recorded.
	var channels []*orchestratorv1.Channel
	e.eventually("no channel waits or has failed", time.Minute, func() bool {
		resp, err := orchestratorv1.NewNoticeServiceClient(e.Conn).ListChannels(t.Context(), &orchestratorv1.ListChannelsRequest{})
		channels = resp.GetChannels()
		return err == nil && len(channels) == 8 && !slices.ContainsFunc(channels, func(c *orchestratorv1.Channel) bool {
			return c.GetWaitingCount() != 0 || c.GetGivenUpCount() != 0 || c.GetError() != ""
		})
	})
	e.noSecrets(platformtest.Token, platformtest.Secret, platformtest.BotToken)
}

// noSecrets fails if a secret is in the logs or in an API response about channels.
func (e *env) noSecrets(secrets ...string) {
	e.t.Helper()
	texts := map[string]string{}
	for _, name := range []string{"orchestrator", "ingest-worker"} {
		text, err := os.ReadFile(filepath.Join(e.Config.Data, "logs", name+".log"))
		if err != nil {
			e.t.Fatal(err)
		}
		texts[name+".log"] = string(text)
	}
	for _, list := range []func() (string, error){
		func() (string, error) {
			r, err := orchestratorv1.NewNoticeServiceClient(e.Conn).ListChannels(e.t.Context(), &orchestratorv1.ListChannelsRequest{})
			return r.String(), err
		},
		func() (string, error) {
			r, err := orchestratorv1.NewNoticeServiceClient(e.Conn).ListDeliveries(e.t.Context(), &orchestratorv1.ListDeliveriesRequest{PageSize: 500})
			return r.String(), err
		},
		func() (string, error) {
			r, err := orchestratorv1.NewAuditServiceClient(e.Conn).ListAuditEntries(e.t.Context(), &orchestratorv1.ListAuditEntriesRequest{})
			return r.String(), err
		},
	} {
		text, err := list()
		if err != nil {
			e.t.Error(err)
		}
		texts["an answer"] += text
	}
	for where, text := range texts {
		for _, s := range secrets {
			if strings.Contains(text, s) {
				e.t.Errorf("%s holds %q", where, s)
			}
		}
	}
}
