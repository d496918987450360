package command

import (
	"github.com/spf13/cobra"

	"github.com/afterbell/afterbell/services/cli/internal/output"
	"github.com/afterbell/afterbell/services/internal/program"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: a.T("Print the version"), Args: a.noArgs,
		RunE: func(*cobra.Command, []string) error {
			v := program.Version()
			return a.printer.Print(output.Answer{
				Columns: []output.Column{{Key: "program", Title: a.T("program")}, {Key: "version", Title: a.T("version")}},
				Rows:    [][]any{{"afterbell", v}},
				Records: []any{map[string]string{"program": "afterbell", "version": v}},
			})
		},
	}
}
