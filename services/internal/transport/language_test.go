package transport

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	faultv1 "github.com/afterbell/afterbell/gen/afterbell/fault/v1"
	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
)

func TestWhoReadsChinese(t *testing.T) {
	for header, want := range map[string]bool{
		"": false, "zh-CN": true, "ZH": true, "en": false, "zh-CN,zh;q=0.9,en;q=0.8": true, "en-US,en;q=0.9,zh;q=0.8": false,
		"fr, zh;q=0.5": true, "en;q=0.3, zh;q=0.7": true, "*": false, "zh;q=nonsense": false, ";;,": false,
	} {
		if got := InChinese(metadata.NewIncomingContext(t.Context(), metadata.Pairs(LanguageKey, header))); got != want {
			t.Errorf("%q: %v", header, got)
		}
	}
}

// A caller who prefers Chinese gets it in addition to English, in responses, streams and errors.
func TestChineseBesideTheEnglish(t *testing.T) {
	issue := fault.NewIssue(fault.NotPublished, "moneyflow of 2026-11-27 is not published yet.", "dataset", "moneyflow", "trade_date", "2026-11-27")
	refusal := fault.New(fault.PermissionDenied, "The token may not call moneyflow.", "api", "moneyflow")
	p := start(t, &scripted{
		list: func(context.Context) error { return refusal },
		ingest: func(ss grpc.ServerStreamingServer[ingestv1.IngestPartitionResponse]) error {
			return ss.Send(&ingestv1.IngestPartitionResponse{Event: &ingestv1.IngestPartitionResponse_Result{
				Result: &ingestv1.PartitionResult{Issues: IssuesToProto([]fault.Issue{issue})},
			}})
		},
	}, time.Second)
	for _, chinese := range []bool{true, false} {
		ctx := t.Context()
		if chinese {
			ctx = metadata.AppendToOutgoingContext(ctx, LanguageKey, "zh-CN")
		}
		stream, err := p.client.IngestPartition(ctx, &ingestv1.IngestPartitionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got := m.GetResult().GetIssues()[0]
		if got.GetMessage() != issue.Message || (got.GetLocalized() != nil) != chinese {
			t.Errorf("Chinese %v: %v", chinese, got)
		}
		if x := got.GetLocalized(); chinese && (x.GetMessage() != "数据源尚未发布 2026-11-27 的 moneyflow。" || x.GetRemedy() != "无需处理：该日期稍后会重新获取。" || x.GetLocale() != "zh-CN") {
			t.Errorf("%v", x)
		}
		_, err = p.client.ListModules(ctx, &ingestv1.ListModulesRequest{})
		f, _ := fault.As(err)
		if f == nil || f.Reason != fault.PermissionDenied || f.Message != refusal.Message {
			t.Fatalf("%v", err)
		}
		var told *faultv1.Localized
		for _, d := range status.Convert(f.Unwrap()).Details() {
			if x, ok := d.(*faultv1.Localized); ok {
				told = x
			}
		}
		if (told != nil) != chinese || chinese && told.GetMessage() != "令牌没有权限调用接口 moneyflow：积分或授权不足。" {
			t.Errorf("Chinese %v: %v", chinese, told)
		}
	}
}
