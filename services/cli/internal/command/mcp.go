package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	afterbell "github.com/afterbell/afterbell/clients/go"
	marketv1 "github.com/afterbell/afterbell/gen/afterbell/market/v1"
	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

// mostMCPDays bounds what one answer lists, because an assistant reads all of it.
const mostMCPDays = 400

// mcpInstructions tell an assistant how to use what it hears.
const mcpInstructions = "afterbell keeps a local copy of the Chinese A-share market in two pools: targets (a watch list) and " +
	"universe (the whole market). Before you state a figure for a trade date, ask status or coverage for that date. When the " +
	"verdict is not whole, say so and name what is missing; never present a date with missing rows as a quiet day. Dates are days in " +
	"Shanghai, YYYY-MM-DD. All tools are read-only."

func (a *app) mcpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "mcp", Args: a.noArgs, Short: a.T("Serve an assistant over standard input and output (MCP, read-only)"),
		Long:    a.T("Serves the tools status, coverage, explain and runs with the Model Context Protocol on standard input and output, until the input ends. The tools are read-only."),
		Example: `  {"mcpServers": {"afterbell": {"command": "afterbell", "args": ["mcp"]}}}`,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := a.connect()
			if err != nil {
				return err
			}
			err = a.mcpServer(client).Run(c.Context(), &mcp.IOTransport{Reader: io.NopCloser(a.In), Writer: keepOpen{a.Out}})
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		},
	}
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

func (a *app) mcpServer(client *afterbell.Client) *mcp.Server {
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

// mcpError is an error with its reason, and what it means for the answer.
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
	for _, name := range names {
		p := pool(name)
		if p == marketv1.Pool_POOL_UNSPECIFIED {
			return nil, fmt.Errorf("pool: %q is not a pool: allowed are targets, universe", name)
		}
		e, err := client.Evening(ctx, afterbell.EveningRequest{Pool: p, Date: in.Date, From: in.From})
		if err != nil {
			return nil, err
		}
		doc.add(a.poolStatus(e))
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
