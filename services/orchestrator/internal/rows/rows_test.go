package rows

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
)

// refusing is a worker that refuses a file because dates are not complete.
type refusing struct {
	ingestv1.DataServiceClient
	again string
}

func (w refusing) GetCondition(context.Context, *ingestv1.GetConditionRequest, ...grpc.CallOption) (*ingestv1.GetConditionResponse, error) {
	err := fault.New(fault.NotFound, "Nothing is published.", "kind", "version", "id", "")
	err.Remedy = "Start a run, and read the data when it has ended: curl -X POST localhost:7780/v1/runs -d '{}'"
	return nil, err
}

func (w refusing) PrepareFile(context.Context, *ingestv1.PrepareFileRequest, ...grpc.CallOption) (*ingestv1.PrepareFileResponse, error) {
	return nil, fault.New(fault.DataIncomplete, "1 is not complete.", "fetched_again", w.again, "count", "1", "partitions", "moneyflow/2026-11-27")
}

// A refusal says when the pool is fetched next, and what to do where that does not help.
func TestRefusalSaysWhatHelps(t *testing.T) {
	usual := fault.RemedyOf(fault.New(fault.DataIncomplete, ""))
	at := time.Date(2026, 11, 30, 17, 35, 0, 0, time.UTC)
	token := fault.NewIssue(fault.TokenInvalid, "The token is rejected.")
	for name, c := range map[string]struct {
		again   string
		next    time.Time
		blocked bool
		message string
		remedy  string
		held    Held
	}{
		"paused": {"true", at, true, "The pool is paused, and nothing is fetched until it is resumed.",
			"Resume the pool, and repeat the request when a run has ended: curl -X POST localhost:7780/v1/pools/targets:resume -d '{}'", Held{Paused: true}},
		"the module is disabled": {"true", at, false, "The module stock.moneyflow is disabled, so no run fetches it.",
			"Enable the module, and repeat the request when a run has ended: curl -X PATCH localhost:7780/v1/modules/stock.moneyflow -d '{\"enabled\":true}'", Held{Disabled: map[string]Disabled{"moneyflow": {"module", "stock.moneyflow"}}}},
		"the domain is disabled": {"true", at, false, "The domain stock is disabled, so no run fetches it.",
			"Enable the domain, and repeat the request when a run has ended: curl -X PATCH localhost:7780/v1/domains/stock -d '{\"enabled\":true}'", Held{Disabled: map[string]Disabled{"moneyflow": {"domain", "stock"}}}},
		"another module is disabled": {"true", at, false, "The pool is fetched next at 2026-12-01 01:35 (Shanghai).", usual, Held{Disabled: map[string]Disabled{"daily": {"domain", "stock"}}}},
		"fetched next":               {"true", at, false, "The pool is fetched next at 2026-12-01 01:35 (Shanghai).", usual, Held{}},
		"blocked":                    {"true", at, true, "The next run starts at 2026-12-01 01:35 (Shanghai), but the last check failed (TOKEN_INVALID). If its cause is not fixed by then, the run is blocked.", token.Remedy, Held{}},
		"blocked, no run":            {"true", time.Time{}, true, "No run is scheduled, and the last check failed (TOKEN_INVALID).", token.Remedy, Held{}},
		"no run":                     {"true", time.Time{}, false, "No run is scheduled.", `Start a run, and repeat the request when it has ended: curl -X POST localhost:7780/v1/runs -d '{"pools":["POOL_TARGETS"]}'`, Held{}},
		"never by a schedule":        {"false", at, true, "1 is not complete.", usual, Held{}},
	} {
		s := &Source{
			Worker:  refusing{again: c.again},
			NextRun: func(context.Context, market.Pool) time.Time { return c.next },
			Blocked: func(context.Context, market.Pool) (fault.Issue, bool) { return token, c.blocked },
			Held:    func(context.Context, market.Pool) Held { return c.held },
		}
		_, err := s.File(t.Context(), &marketv1.RowQuery{Pool: marketv1.Pool_POOL_TARGETS})
		f, ok := fault.As(err)
		if !ok || !strings.HasSuffix(f.Message, c.message) || fault.RemedyOf(f) != c.remedy {
			t.Errorf("%s: %+v", name, f)
		}
		if _, todo := fault.Chinese(f.Reason, f.Meta, fault.RemedyOf(f)); todo == "" {
			t.Errorf("%s: %q has no Chinese", name, f.Remedy)
		}
	}
}

// asked is a worker that keeps the request for a condition.
type asked struct {
	ingestv1.DataServiceClient
	request *ingestv1.GetConditionRequest
}

func (w *asked) GetCondition(_ context.Context, req *ingestv1.GetConditionRequest, _ ...grpc.CallOption) (*ingestv1.GetConditionResponse, error) {
	w.request = req
	return &ingestv1.GetConditionResponse{}, nil
}

// The condition of a table is found under the name of its rows.
func TestConditionOfATableWithItsPool(t *testing.T) {
	const targets, universe, unset = marketv1.Pool_POOL_TARGETS, marketv1.Pool_POOL_UNIVERSE, marketv1.Pool_POOL_UNSPECIFIED
	for _, c := range []struct {
		table    string
		pool     marketv1.Pool
		want     string
		wantPool marketv1.Pool
	}{
		{"daily_prices", unset, "daily_prices", unset},
		{"daily_prices", targets, "daily_prices", targets},
		{"targets.daily_prices", unset, "daily_prices", targets},
		{"targets.daily_prices", targets, "daily_prices", targets},
		{"universe.daily_prices", unset, "daily_prices", universe},
		{"unspecified.daily_prices", unset, "unspecified.daily_prices", unset}, // which the worker refuses
		{"target.daily_prices", unset, "target.daily_prices", unset},
	} {
		w := &asked{}
		_, err := (&Source{Worker: w}).Condition(t.Context(), &ingestv1.GetConditionRequest{Table: c.table, Pool: c.pool})
		if err != nil || w.request.GetTable() != c.want || w.request.GetPool() != c.wantPool {
			t.Errorf("%s of %s: %v, %v", c.table, c.pool, w.request, err)
		}
	}
	_, err := (&Source{Worker: &asked{}}).Condition(t.Context(), &ingestv1.GetConditionRequest{Table: "targets.daily_prices", Pool: universe})
	if f, ok := fault.As(err); !ok || f.Reason != fault.InvalidArgument || f.Message != "pool: universe is not the pool of targets.daily_prices" {
		t.Errorf("two pools: %v", err)
	}
}

// Where nothing is published because no run can fetch anything, the way out is another one.
func TestNothingPublishedSaysWhatBlocks(t *testing.T) {
	token := fault.NewIssue(fault.TokenInvalid, "The token is rejected.")
	for _, blocked := range []bool{false, true} {
		s := &Source{
			Worker:  refusing{},
			NextRun: func(context.Context, market.Pool) time.Time { return time.Time{} },
			Blocked: func(context.Context, market.Pool) (fault.Issue, bool) { return token, blocked },
		}
		_, err := s.Condition(t.Context(), &ingestv1.GetConditionRequest{})
		f, ok := fault.As(err)
		if !ok || strings.Contains(f.Message, "TOKEN_INVALID") != blocked || (fault.RemedyOf(f) == token.Remedy) != blocked {
			t.Errorf("blocked %v: %+v", blocked, f)
		}
	}
}

// fixedConditions is a worker whose table has these conditions.
type fixedConditions struct {
	ingestv1.DataServiceClient
	conditions []*marketv1.DataCondition
}

func (w fixedConditions) GetCondition(context.Context, *ingestv1.GetConditionRequest, ...grpc.CallOption) (*ingestv1.GetConditionResponse, error) {
	return &ingestv1.GetConditionResponse{Conditions: w.conditions}, nil
}

// Each condition says when it is fetched next, or why it is not.
func TestEveryConditionSaysWhenNext(t *testing.T) {
	at := time.Date(2026, 11, 30, 17, 35, 0, 0, time.UTC)
	off := map[string]Disabled{"moneyflow": {"module", "stock.moneyflow"}}
	for name, c := range map[string]struct {
		held    Held
		next    time.Time
		message string
		chinese string
	}{
		"as usual":            {Held{Disabled: map[string]Disabled{"fund_daily": {"domain", "etf"}}}, at, "", ""},
		"no run":              {Held{}, time.Time{}, "", ""},
		"paused":              {Held{Paused: true}, at, "It lacks. The pool is paused.", "缺少。股票池已暂停。"},
		"disabled":            {Held{Disabled: off}, at, "It lacks. The module stock.moneyflow is disabled.", "缺少。模块 stock.moneyflow 已停用。"},
		"paused and disabled": {Held{Paused: true, Disabled: off}, at, "It lacks. The module stock.moneyflow is disabled.", "缺少。模块 stock.moneyflow 已停用。"},
	} {
		w := fixedConditions{}
		for n := range marketv1.ConditionState_name {
			for _, again := range []bool{true, false} {
				w.conditions = append(w.conditions, &marketv1.DataCondition{DatasetId: "moneyflow", State: marketv1.ConditionState(n), AskedAgain: again, Message: "It lacks.", LocalizedMessage: "缺少。"})
			}
		}
		s := &Source{Worker: w, NextRun: func(context.Context, market.Pool) time.Time { return c.next }, Held: func(context.Context, market.Pool) Held { return c.held }}
		inChinese := metadata.NewIncomingContext(t.Context(), metadata.Pairs(transport.LanguageKey, "zh"))
		resp, err := s.Condition(inChinese, &ingestv1.GetConditionRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range resp.GetConditions() {
			asked := i%2 == 0
			want := "缺少。"
			if asked && c.chinese != "" {
				want = c.chinese
			}
			if v.GetLocalizedMessage() != want {
				t.Errorf("%s: in Chinese %q", name, v.GetLocalizedMessage())
			}
			switch {
			case !asked || c.message != "" || c.next.IsZero():
				want := "It lacks."
				if asked && c.message != "" {
					want = c.message
				}
				if v.GetNextAskTime() != nil || v.GetMessage() != want || v.GetAskedAgain() != (asked && len(c.held.Disabled) == 0) {
					t.Errorf("%s: %v", name, v)
				}
			case !v.GetNextAskTime().AsTime().Equal(c.next) || !v.GetAskedAgain():
				t.Errorf("%s: %v", name, v)
			}
		}
		if resp, err = s.Condition(t.Context(), &ingestv1.GetConditionRequest{}); err != nil {
			t.Fatal(err)
		}
		for _, v := range resp.GetConditions() {
			if v.GetLocalizedMessage() != "" {
				t.Errorf("%s: a caller who prefers English gets %q", name, v.GetLocalizedMessage())
			}
		}
	}
}
