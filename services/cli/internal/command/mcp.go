package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/export"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// mostMCPDays limits what one response lists, because an assistant reads all of it.
const mostMCPDays = 400

// mcpInstructions tell an assistant how to use the tools.
const mcpInstructions = "afterbell keeps a local copy of the Chinese A-share market in two pools: targets (a watch list) and " +
	"universe (the whole market). Read figures with rows, which lists what is missing; before you state a figure for a trade date from elsewhere, ask status or coverage for that date. When the " +
	"verdict is not whole, say so and name what is missing; never present a date with missing rows as a quiet day. Dates are days in " +
	"Shanghai, YYYY-MM-DD. All tools are read-only."

func (a *app) mcpCommand() *cobra.Command {
	httpAddr := ""
	c := &cobra.Command{
		Use: "mcp", Args: a.noArgs, Short: a.T("Serve an assistant over standard input and output (MCP, read-only)"),
		Long:    a.T("Serves the tools status, coverage, condition, rows, explain and runs with the Model Context Protocol on standard input and output, until the input ends. The tools are read-only."),
		Example: `  {"mcpServers": {"afterbell": {"command": "afterbell", "args": ["mcp"]}}}`,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			table, err := a.exporter(c, httpAddr)
			if err != nil {
				return err
			}
			err = a.mcpServer(client, table).Run(c.Context(), &mcp.IOTransport{Reader: io.NopCloser(a.In), Writer: keepOpen{a.Out}})
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&httpAddr, "http-addr", "", a.T("`address` of the orchestrator's REST port (AFTERBELL_HTTP_ADDR; default 127.0.0.1:7780)"))
	return c
}

// keepOpen is standard output, which the protocol does not close.
type keepOpen struct{ io.Writer }

// Close does nothing.
func (keepOpen) Close() error { return nil }

type statusInput struct {
	Pool string `json:"pool,omitempty" jsonschema:"targets or universe; empty means both"`
	Date string `json:"date,omitempty" jsonschema:"trade date YYYY-MM-DD, or today; empty means the last evening that was due"`
	From string `json:"from,omitempty" jsonschema:"first trade date to judge, YYYY-MM-DD; empty means date alone"`
}

type coverageInput struct {
	Pool    string   `json:"pool" jsonschema:"targets or universe"`
	From    string   `json:"from" jsonschema:"first trade date, YYYY-MM-DD"`
	To      string   `json:"to,omitempty" jsonschema:"last trade date, YYYY-MM-DD; empty means the last that is due"`
	Modules []string `json:"modules,omitempty" jsonschema:"only these modules, as in stock.market.daily; empty means all"`
	All     bool     `json:"all,omitempty" jsonschema:"also list what is complete; otherwise only what is incomplete"`
}

type explainInput struct {
	Slot string `json:"slot" jsonschema:"an evening of a pool, as in 2026-11-27.universe"`
}

type runsInput struct {
	Pool  string `json:"pool,omitempty" jsonschema:"targets or universe; empty means both"`
	Count int    `json:"count,omitempty" jsonschema:"how many, newest first, 1 to 50; empty means 10"`
}

type conditionInput struct {
	Table string `json:"table" jsonschema:"daily_prices, daily_basics, daily_moneyflows, instrument_meta or trade_calendar"`
	Pool  string `json:"pool,omitempty" jsonschema:"targets or universe, the default"`
	From  string `json:"from,omitempty" jsonschema:"first trade date, YYYY-MM-DD"`
	To    string `json:"to,omitempty" jsonschema:"last trade date, YYYY-MM-DD"`
	All   bool   `json:"all,omitempty" jsonschema:"list also what is available; otherwise only what lacks"`
}

type rowsInput struct {
	Table   string   `json:"table" jsonschema:"daily_prices, daily_basics, daily_moneyflows, instrument_meta or trade_calendar"`
	Pool    string   `json:"pool,omitempty" jsonschema:"targets or universe, the default"`
	Symbols []string `json:"symbols,omitempty" jsonschema:"as in 600519.SH; empty means all"`
	From    string   `json:"from,omitempty" jsonschema:"first trade date, YYYY-MM-DD"`
	To      string   `json:"to,omitempty" jsonschema:"last trade date, YYYY-MM-DD"`
	Columns []string `json:"columns,omitempty" jsonschema:"by name; empty means all"`
	Adjust  string   `json:"adjust,omitempty" jsonschema:"none, forward or backward: adjust prices for dividends"`
	Count   int      `json:"count,omitempty" jsonschema:"how many rows at most, by date and then symbol, 1 to 500; empty means 100"`
}

func (a *app) mcpServer(client *afterbell.Client, table export.Request) *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "afterbell", Version: "1"}, &mcp.ServerOptions{Instructions: mcpInstructions})
	look := &mcp.ToolAnnotations{ReadOnlyHint: true, IdempotentHint: true}
	mcp.AddTool(s, &mcp.Tool{Name: "status", Annotations: look,
		Description: "Whether the data of a trade date is complete in each pool; if not, what is missing, why, and when it is fetched next. Verdicts: whole, blocked, not_whole, not_due."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in statusInput) (*mcp.CallToolResult, any, error) {
			v, err := a.mcpStatus(ctx, client, in)
			return nil, v, mcpError(err)
		})
	mcp.AddTool(s, &mcp.Tool{Name: "coverage", Annotations: look,
		Description: "What a pool has of each dataset and trading day of a range: rows stored and expected, and the verdict. Lists only what is incomplete unless all is set."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in coverageInput) (*mcp.CallToolResult, any, error) {
			v, err := a.mcpCoverage(ctx, client, in)
			return nil, v, mcpError(err)
		})
	mcp.AddTool(s, &mcp.Tool{Name: "condition", Annotations: look,
		Description: "Whether a published table, which rows are read from, is available, short, pending or missing on each trading day, and when missing data is fetched next. Lists only what is missing unless all is set."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in conditionInput) (*mcp.CallToolResult, any, error) {
			ctx, cancel := a.call(ctx)
			defer cancel()
			v, err := mcpCondition(ctx, client, in)
			return nil, v, mcpError(err)
		})
	mcp.AddTool(s, &mcp.Tool{Name: "rows", Annotations: look,
		Description: "Rows of a published table, together with what is missing on the requested dates. A date in lacking has unknown rows, even if some are listed. " +
			"On any other open day a symbol without a row did not trade or was not listed. Prices in yuan, volume in lots of 100 (shou), amount in thousand yuan."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in rowsInput) (*mcp.CallToolResult, any, error) {
			ctx, cancel := a.call(ctx)
			defer cancel()
			v, err := mcpRows(ctx, client, table, in)
			return nil, v, mcpError(err)
		})
	mcp.AddTool(s, &mcp.Tool{Name: "explain", Annotations: look,
		Description: "Why an evening's run did or did not happen, step by step, with the next command to type."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in explainInput) (*mcp.CallToolResult, any, error) {
			ctx, cancel := a.call(ctx)
			defer cancel()
			resp, err := client.Schedule.ExplainSlot(ctx, &orchestratorv1.ExplainSlotRequest{SlotId: in.Slot})
			if err != nil {
				return nil, nil, mcpError(err)
			}
			said := make([]string, len(resp.GetExplanation()))
			for i, line := range resp.GetExplanation() {
				said[i] = a.commands(line)
			}
			return nil, map[string]any{
				"slot": output.Proto{Message: resp.GetSlot()}, "explanation": said, "nextCommand": a.commands(resp.GetNextCommand()),
			}, nil
		})
	mcp.AddTool(s, &mcp.Tool{Name: "runs", Annotations: look, Description: "The newest runs: who or what requested them, how they ended, and why they did not succeed."},
		func(ctx context.Context, _ *mcp.CallToolRequest, in runsInput) (*mcp.CallToolResult, any, error) {
			if in.Count < 0 || in.Count > 50 {
				return nil, nil, fmt.Errorf("count: %d is not from 1 to 50", in.Count)
			}
			ctx, cancel := a.call(ctx)
			defer cancel()
			req := &orchestratorv1.ListRunsRequest{PageSize: 10, Pool: pool(in.Pool)}
			if in.Pool != "" && req.Pool == marketv1.Pool_POOL_UNSPECIFIED {
				return nil, nil, fmt.Errorf("pool: %q is not a pool: allowed are targets, universe", in.Pool)
			}
			if in.Count > 0 {
				req.PageSize = int32(in.Count)
			}
			resp, err := client.Runs.ListRuns(ctx, req)
			if err != nil {
				return nil, nil, mcpError(err)
			}
			return nil, map[string]any{"runs": output.Protos(resp.GetRuns())}, nil
		})
	return s
}

// mcpError is an error with its reason, and what it means for the assistant's answer.
func mcpError(err error) error {
	var e *afterbell.Error
	if !errors.As(err, &e) {
		return err
	}
	text := e.Message
	if e.ReasonName != "" {
		text += " [" + e.ReasonName + "]"
	}
	if errors.Is(err, afterbell.ErrUnreachable) || errors.Is(err, afterbell.ErrWorkerUnreachable) {
		text += " The state of the data is unknown."
	}
	return errors.New(text)
}

func (a *app) mcpStatus(ctx context.Context, client *afterbell.Client, in statusInput) (any, error) {
	names := poolNames
	if in.Pool != "" {
		names = []string{in.Pool}
	}
	if in.Date == "today" {
		in.Date = a.now().In(a.printer.Zone).Format(time.DateOnly)
	}
	ctx, cancel := a.call(ctx)
	defer cancel()
	doc := statusJSON{Verdict: string(afterbell.Whole), FailingChannels: []output.Proto{}}
	var requests []afterbell.EveningRequest
	for _, name := range names {
		p := pool(name)
		if p == marketv1.Pool_POOL_UNSPECIFIED {
			return nil, fmt.Errorf("pool: %q is not a pool: allowed are targets, universe", name)
		}
		requests = append(requests, afterbell.EveningRequest{Pool: p, Date: in.Date, From: in.From})
	}
	evenings, err := client.Evenings(ctx, requests...)
	if err != nil {
		return nil, err
	}
	for _, e := range evenings {
		doc.add(a.poolStatus(e), in.Pool != "")
	}
	return doc, nil
}

func (a *app) mcpCoverage(ctx context.Context, client *afterbell.Client, in coverageInput) (any, error) {
	ctx, cancel := a.call(ctx)
	defer cancel()
	resp, err := client.Pools.ListCoverage(ctx, &orchestratorv1.ListCoverageRequest{
		Pool: in.Pool, StartDate: in.From, EndDate: in.To, ModuleIds: in.Modules,
	})
	if err != nil {
		return nil, err
	}
	var listed []*marketv1.Coverage
	lacking := 0
	for _, v := range resp.GetCoverages() {
		settled := afterbell.Settled(v.GetVerdict(), false)
		if !settled {
			lacking++
		}
		if in.All || !settled {
			listed = append(listed, v)
		}
	}
	left := max(0, len(listed)-mostMCPDays)
	return map[string]any{
		"counted": len(resp.GetCoverages()), "lacking": lacking, "coverages": output.Protos(listed[:len(listed)-left]), "leftOut": left,
	}, nil
}

// mcpPool is a pool by its name, universe by default.
func mcpPool(name string) (marketv1.Pool, error) {
	p := pool(cmp.Or(name, "universe"))
	if p == marketv1.Pool_POOL_UNSPECIFIED {
		return p, fmt.Errorf("pool: %q is no pool: allowed are targets, universe", name)
	}
	return p, nil
}

// mostMCPRows bounds the rows of one answer.
const mostMCPRows = 500

func mcpCondition(ctx context.Context, client *afterbell.Client, in conditionInput) (any, error) {
	p, err := mcpPool(in.Pool)
	if err != nil {
		return nil, err
	}
	resp, err := client.Data.GetCondition(ctx, &orchestratorv1.GetConditionRequest{Table: in.Table, Pool: p, StartDate: in.From, EndDate: in.To})
	if err != nil {
		return nil, err
	}
	var listed []*marketv1.DataCondition
	lacking := 0
	for _, v := range resp.GetConditions() {
		available := v.GetState() == marketv1.ConditionState_CONDITION_STATE_AVAILABLE
		if !available {
			lacking++
		}
		if in.All || !available {
			listed = append(listed, v)
		}
	}
	left := max(0, len(listed)-mostMCPDays)
	return map[string]any{
		"version": resp.GetVersion(), "counted": len(resp.GetConditions()), "lacking": lacking,
		"conditions": output.Protos(listed[:len(listed)-left]), "leftOut": left,
	}, nil
}

func mcpRows(ctx context.Context, client *afterbell.Client, r export.Request, in rowsInput) (any, error) {
	p, err := mcpPool(in.Pool)
	if err != nil {
		return nil, err
	}
	if in.Count < 0 || in.Count > mostMCPRows {
		return nil, fmt.Errorf("count: %d is not from 1 to %d", in.Count, mostMCPRows)
	}
	if in.Count == 0 {
		in.Count = 100
	}
	if in.Table == "" || strings.ContainsAny(in.Table, "./?#") {
		return nil, fmt.Errorf("table: %q is no table: allowed are %s", in.Table, strings.Join(tableNames, ", "))
	}
	r.Table, r.Query = poolName(p)+"."+in.Table, url.Values{}
	for name, value := range map[string]string{
		"symbols": strings.Join(in.Symbols, ","), "columns": strings.Join(in.Columns, ","), "start_date": in.From, "end_date": in.To, "adjust": in.Adjust,
	} {
		if value != "" {
			r.Query.Set(name, value)
		}
	}
	page, err := export.Rows(ctx, r, in.Count)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{
		"version": page.Version, "complete": page.Complete, "rows": page.Rows, "more": page.More,
	}
	if page.Complete {
		return answer, nil
	}
	resp, err := client.Data.GetCondition(ctx, &orchestratorv1.GetConditionRequest{Table: in.Table, Pool: p, StartDate: in.From, EndDate: in.To, Version: page.Version})
	if err != nil {
		return nil, err
	}
	lacking := slices.DeleteFunc(resp.GetConditions(), func(v *marketv1.DataCondition) bool {
		return v.GetState() == marketv1.ConditionState_CONDITION_STATE_AVAILABLE
	})
	left := max(0, len(lacking)-mostMCPDays)
	answer["lacking"], answer["lackingLeftOut"] = output.Protos(lacking[:len(lacking)-left]), left
	return answer, nil
}
