package command

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	afterbell "github.com/afterbell/afterbell/clients/go"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/lang"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// Channels that do not deliver are named with the platform's answer and the next command,
// in both languages; the others are not.
func TestFailingChannelsAreNamed(t *testing.T) {
	since := timestamppb.New(time.Date(2026, 11, 27, 11, 31, 0, 0, time.UTC))
	channels := []*orchestratorv1.Channel{
		{ChannelId: "fine", LastSentTime: since},
		{ChannelId: "desk", WaitingCount: 2, FailingSinceTime: since, Error: "errcode 310000: sign\nnot match"},
		{ChannelId: "ops", GivenUpCount: 3, Error: "535"},
		{ChannelId: "new", WaitingCount: 1},
	}
	for l, want := range map[lang.Lang]string{
		lang.English: "Notices through desk have failed since 2026-11-27 19:31 (Shanghai): errcode 310000: sign not match\nNext: afterbell notify test desk\n" +
			"3 notices through ops were not delivered in the last week: 535\nNext: afterbell notify test ops\n",
		lang.Chinese: "通知无法经 desk 送达，自 2026-11-27 19:31（上海时间） 起：errcode 310000: sign not match\n下一步：afterbell notify test desk\n" +
			"过去一周有 3 条通知放弃发送，渠道 ops：535\n下一步：afterbell notify test ops\n",
	} {
		var words bytes.Buffer
		a := &app{Streams: Streams{Err: &words}, Lang: l, printer: &output.Printer{Zone: afterbell.Shanghai}}
		a.sayChannels(channels)
		if words.String() != want {
			t.Errorf("%s: %q, want %q", l, words.String(), want)
		}
		for _, c := range channels {
			if failing(c) != (c.GetChannelId() == "desk" || c.GetChannelId() == "ops") {
				t.Errorf("%s: failing is %v", c.GetChannelId(), failing(c))
			}
		}
	}
}

// What is secret is read from a file without its line end, and never more than it can be.
func TestSecretsAreReadFromFiles(t *testing.T) {
	a := &app{Streams: Streams{In: strings.NewReader("SEC-1\r\n")}}
	if got, err := a.readSecret("-"); got != "SEC-1" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	a.In = strings.NewReader(strings.Repeat("x", 5000))
	if got, err := a.readSecret("-"); err == nil {
		t.Errorf("%d bytes were read", len(got))
	}
}
