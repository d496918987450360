package command

import (
	"context"

	"github.com/spf13/cobra"

	orchestratorv1 "github.com/afterbell/afterbell/gen/afterbell/orchestrator/v1"
	"github.com/afterbell/afterbell/services/cli/internal/output"
)

func (a *app) pauseCommand() *cobra.Command {
	return a.holdCommand("pause", a.T("Pause pools until they are resumed; default: both"), func(ctx context.Context, name, note string) (*orchestratorv1.PoolStatus, error) {
		resp, err := a.client.Pools.PausePool(ctx, &orchestratorv1.PausePoolRequest{Pool: name, Note: note})
		return resp.GetPool(), err
	})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.holdCommand("resume", a.T("Resume pools; default: both"), func(ctx context.Context, name, note string) (*orchestratorv1.PoolStatus, error) {
		resp, err := a.client.Pools.ResumePool(ctx, &orchestratorv1.ResumePoolRequest{Pool: name, Note: note})
		return resp.GetPool(), err
	})
}

func (a *app) holdCommand(name, short string, do func(ctx context.Context, pool, note string) (*orchestratorv1.PoolStatus, error)) *cobra.Command {
	var note string
	c := &cobra.Command{Use: name + " [POOL]...", Short: short, Args: a.poolArgs, ValidArgs: poolNames}
	c.Flags().StringVar(&note, "note", "", a.T("who does this and why, at most 500 characters"))
	c.RunE = func(c *cobra.Command, args []string) error {
		list, err := a.pools(c.CommandPath(), "POOL", args)
		if err != nil {
			return err
		}
		if _, err := a.connect(); err != nil {
			return err
		}
		answer := output.Answer{Columns: []output.Column{
			{Key: "pool", Title: a.T("pool")}, {Key: "paused", Title: a.T("paused")}, {Key: "run_id", Title: a.T("current run")},
			{Key: "queued", Title: a.T("waiting"), Right: true}, {Key: "note", Title: a.T("note")},
		}}
		paused := ""
		for _, p := range list {
			ctx, cancel := a.call(c.Context())
			s, err := do(ctx, poolName(p), note)
			cancel()
			if err != nil {
				return err
			}
			if s.GetPaused() {
				paused = poolName(p)
			}
			answer.Rows = append(answer.Rows, []any{poolName(p), s.GetPaused(), s.GetCurrentRun().GetRunId(), len(s.GetQueuedRuns()), s.GetNote()})
			answer.Records = append(answer.Records, s)
		}
		if err := a.printer.Print(answer); err != nil {
			return err
		}
		if paused != "" {
			if len(list) > 1 {
				paused = ""
			}
			a.hint("afterbell resume " + paused)
		}
		return nil
	}
	return c
}
