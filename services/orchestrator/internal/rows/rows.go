// Package rows forwards the rows of published versions from the worker to callers, byte for
// byte. It adds what only the orchestrator knows: when missing data is fetched next.
package rows

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	ingestv1 "github.com/afterbell/afterbell/gen/afterbell/ingest/v1"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
	"github.com/afterbell/afterbell/services/internal/transport"
	"github.com/afterbell/afterbell/services/orchestrator/internal/bilingual"
	"github.com/afterbell/afterbell/services/orchestrator/internal/run"
)

// Source serves rows. Safe for concurrent use.
type Source struct {
	// Worker that reads them.
	Worker ingestv1.DataServiceClient
	// NextRun is when the next known run of a pool begins; zero if there is none.
	NextRun func(ctx context.Context, pool market.Pool) time.Time
	// Blocked is why no run of a pool can fetch anything until a user acts; ok is false if a
	// run can, or if it is unknown.
	Blocked func(ctx context.Context, pool market.Pool) (why fault.Issue, ok bool)
	// Held is what a user has paused or disabled of a pool. Nil means nothing.
	Held func(ctx context.Context, pool market.Pool) Held
}

// Held is what no run fetches until a user changes it.
type Held struct {
	// Paused is whether the pool is paused.
	Paused bool
	// Disabled modules and domains, by dataset.
	Disabled map[string]Disabled
}

// Disabled is a module or a domain that is disabled.
type Disabled struct {
	// Kind is "module" or "domain".
	Kind string
	// ID of the module or domain.
	ID string
}

func (d Disabled) text() bilingual.Text {
	kind := bilingual.Text{En: d.Kind, Zh: "模块"}
	if d.Kind == "domain" {
		kind.Zh = "领域"
	}
	return bilingual.Say("The %s %s is disabled.", "%s %s 已停用。", kind, d.ID)
}

func (s *Source) held(ctx context.Context, pool market.Pool) Held {
	if s.Held == nil {
		return Held{}
	}
	return s.Held(ctx, pool)
}

// Stream is a response in progress.
type Stream struct {
	// Summary of the answer.
	Summary *marketv1.RowsSummary
	// Head is the beginning of the response, before any row.
	Head []byte
	// RowCount of the whole response. 0 until Each has ended.
	RowCount int64

	recv func(any) error
}

// Read starts to read rows; the response ends with ctx. An invalid query is returned as an
// error here, before any row.
func (s *Source) Read(ctx context.Context, q *marketv1.RowQuery, f ingestv1.RowFormat, headOnly bool) (*Stream, error) {
	in, err := s.Worker.ReadRows(ctx, &ingestv1.ReadRowsRequest{Query: q, Format: f, HeadOnly: headOnly})
	if err != nil {
		return nil, err
	}
	m, err := in.Recv()
	if err != nil {
		return nil, s.explain(ctx, q.GetPool(), err)
	}
	s.complete(ctx, q.GetPool(), m.GetSummary().GetLacks())
	return &Stream{Summary: m.GetSummary(), Head: m.GetData(), recv: in.RecvMsg}, nil
}

// Each passes the messages after the head to send, until the end. send sends or frees the
// message.
func (st *Stream) Each(send func(*transport.Bytes) error) error {
	for {
		m := &transport.Bytes{}
		err := st.recv(m)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !m.Only() {
			var told ingestv1.ReadRowsResponse
			err := m.Decode(&told)
			m.Free()
			if err != nil {
				return err
			}
			if st.RowCount = told.GetRowCount(); len(told.GetData()) == 0 {
				continue
			}
			m = transport.NewBytes(told.GetData(), nil)
		}
		if err := send(m); err != nil {
			return err
		}
	}
}

// File creates the Parquet file of rows, or finds it.
func (s *Source) File(ctx context.Context, q *marketv1.RowQuery) (*ingestv1.PrepareFileResponse, error) {
	resp, err := s.Worker.PrepareFile(ctx, &ingestv1.PrepareFileRequest{Query: q})
	if err != nil {
		return nil, s.explain(ctx, q.GetPool(), err)
	}
	s.complete(ctx, q.GetPool(), resp.GetSummary().GetLacks())
	return resp, nil
}

// Tables lists the tables of a version.
func (s *Source) Tables(ctx context.Context, pool marketv1.Pool, version string) (*ingestv1.ListTablesResponse, error) {
	resp, err := s.Worker.ListTables(ctx, &ingestv1.ListTablesRequest{Pool: pool, Version: version})
	return resp, s.explain(ctx, pool, err)
}

// Condition returns the condition of each dataset of a table. The table may have its pool
// before it, as in the path of its rows: targets.daily_prices.
func (s *Source) Condition(ctx context.Context, req *ingestv1.GetConditionRequest) (*ingestv1.GetConditionResponse, error) {
	if name, table, ok := strings.Cut(req.GetTable(), "."); ok {
		if pool := marketv1.Pool(marketv1.Pool_value["POOL_"+strings.ToUpper(name)]); pool != marketv1.Pool_POOL_UNSPECIFIED {
			if req.GetPool() != marketv1.Pool_POOL_UNSPECIFIED && req.GetPool() != pool {
				return nil, fault.Invalid("pool", "%s is not the pool of %.80s", poolOf(req.GetPool()), req.GetTable())
			}
			req = proto.CloneOf(req)
			req.Pool, req.Table = pool, table
		}
	}
	resp, err := s.Worker.GetCondition(ctx, req)
	if err == nil {
		s.complete(ctx, req.GetPool(), resp.GetConditions())
	}
	return resp, s.explain(ctx, req.GetPool(), err)
}

func poolOf(p marketv1.Pool) market.Pool {
	if p == marketv1.Pool_POOL_TARGETS {
		return market.Targets
	}
	return market.Universe
}

// complete adds to the missing data when it is fetched next, or why it is not. It removes the
// Chinese for callers that do not prefer it.
func (s *Source) complete(ctx context.Context, pool marketv1.Pool, conditions []*marketv1.DataCondition) {
	if !transport.InChinese(ctx) {
		defer func() {
			for _, c := range conditions {
				c.LocalizedMessage = ""
			}
		}()
	}
	if !slices.ContainsFunc(conditions, (*marketv1.DataCondition).GetAskedAgain) {
		return
	}
	held := s.held(ctx, poolOf(pool))
	var next *timestamppb.Timestamp
	if !held.Paused {
		next = transport.TimeToProto(s.NextRun(ctx, poolOf(pool)))
	}
	for _, c := range conditions {
		switch off, disabled := held.Disabled[c.GetDatasetId()]; {
		case !c.GetAskedAgain():
		case disabled:
			c.AskedAgain = false
			add(c, off.text())
		case held.Paused:
			add(c, bilingual.Text{En: "The pool is paused.", Zh: "股票池已暂停。"})
		default:
			c.NextAskTime = next
		}
	}
}

// add adds a sentence to the message of a condition.
func add(c *marketv1.DataCondition, text bilingual.Text) {
	c.Message = strings.TrimSpace(c.GetMessage() + " " + text.En)
	c.LocalizedMessage += text.Zh
}

// disables is the disabled module or domain that has all missing data of a refusal. ok is
// false if the refusal is about something else, or not all of it.
func (h Held) disables(f *fault.Error) (off Disabled, ok bool) {
	names := strings.Split(f.Meta["partitions"], ",")
	if f.Meta["count"] != strconv.Itoa(len(names)) {
		return off, false
	}
	for _, name := range names {
		dataset, _, _ := strings.Cut(name, "/")
		if off, ok = h.Disabled[dataset]; !ok {
			return off, false
		}
	}
	return off, ok
}

// explain says when the pool is fetched next, if that run fetches what is incomplete, or
// else what prevents that.
func (s *Source) explain(ctx context.Context, p marketv1.Pool, err error) error {
	f, ok := fault.As(err)
	unpublished := ok && f.Reason == fault.NotFound && f.Meta["kind"] == "version" && f.Meta["id"] == ""
	if !ok || !unpublished && (f.Reason != fault.DataIncomplete || f.Meta["fetched_again"] != "true") {
		return err
	}
	told, pool := *f, poolOf(p)
	why, blocked := s.Blocked(ctx, pool)
	if unpublished {
		if blocked {
			told.Message += fmt.Sprintf(" The last check failed (%s). Until its cause is fixed, runs are blocked.", why.Reason)
			told.Remedy = why.Remedy
		}
		return &told
	}
	held := s.held(ctx, pool)
	if off, ok := held.disables(f); ok {
		told.Message += fmt.Sprintf(" The %s %s is disabled, so no run fetches it.", off.Kind, off.ID)
		told.Remedy = fmt.Sprintf(`Enable the module, and repeat the request when a run has ended: curl -X PATCH localhost:7780/v1/modules/%s -d '{"enabled":true}'`, off.ID)
		if off.Kind == "domain" {
			told.Remedy = fmt.Sprintf(`Enable the domain, and repeat the request when a run has ended: curl -X PATCH localhost:7780/v1/domains/%s -d '{"enabled":true}'`, off.ID)
		}
		return &told
	}
	if held.Paused {
		told.Message += " The pool is paused, and nothing is fetched until it is resumed."
		told.Remedy = "Resume the pool, and repeat the request when a run has ended: " + run.ResumePool(pool)
		return &told
	}
	told.RetryAt = s.NextRun(ctx, pool)
	at := told.RetryAt.In(market.Shanghai).Format("2006-01-02 15:04") + " (Shanghai)"
	switch {
	case blocked && told.RetryAt.IsZero():
		told.Message += fmt.Sprintf(" No run is scheduled, and the last check failed (%s).", why.Reason)
	case blocked:
		told.Message += fmt.Sprintf(" The next run starts at %s, but the last check failed (%s). If its cause is not fixed by then, the run is blocked.", at, why.Reason)
	case told.RetryAt.IsZero():
		told.Message += " No run is scheduled."
		told.Remedy = "Start a run, and repeat the request when it has ended: " + run.Again(pool, run.Request{})
	default:
		told.Message += " The pool is fetched next at " + at + "."
	}
	if blocked {
		told.Remedy = why.Remedy
	}
	return &told
}
