package output

import (
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// narrowest is the least width that a table's last column is wrapped to.
const narrowest = 20

// gap separates columns.
const gap = "  "

func (p *Printer) table(a Answer) error {
	a.Columns = slices.Clone(a.Columns)
	var columns []int
	for i, c := range a.Columns {
		if !c.Wide {
			columns = append(columns, i)
		}
		if p.Zoned != nil && slices.ContainsFunc(a.Rows, func(row []any) bool { return isTime(row[i]) }) {
			a.Columns[i].Title = p.Zoned(c.Title)
		}
	}
	cells := make([][]string, len(a.Rows))
	for n, row := range a.Rows {
		for _, i := range columns {
			cells[n] = append(cells[n], p.text(row[i]))
		}
	}
	columns, cells = p.fit(a, columns, cells)
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", gap
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	var head table.Row
	var configs []table.ColumnConfig
	for n, i := range columns {
		c := a.Columns[i]
		head = append(head, c.Title)
		config := table.ColumnConfig{Number: n + 1}
		if c.Right {
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		if p.Width > 0 && n == len(columns)-1 {
			config.WidthMax = max(narrowest, p.Width-taken(a, columns[:n], cells))
			config.WidthMaxEnforcer = text.WrapSoft
		}
		configs = append(configs, config)
	}
	w.SetColumnConfigs(configs)
	w.AppendHeader(head)
	for _, row := range cells {
		line := make(table.Row, len(row))
		for i, s := range row {
			line[i] = s
		}
		w.AppendRow(line)
	}
	var out strings.Builder
	for line := range strings.Lines(w.Render()) {
		out.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	_, err := p.Out.Write([]byte(out.String()))
	return err
}

// fit leaves out the columns that matter least until the others fit.
func (p *Printer) fit(a Answer, columns []int, cells [][]string) ([]int, [][]string) {
	for p.Width > 0 && taken(a, columns[:len(columns)-1], cells)+narrowest > p.Width {
		worst := -1
		for n, i := range columns {
			if d := a.Columns[i].Drop; d > 0 && (worst < 0 || d > a.Columns[columns[worst]].Drop) {
				worst = n
			}
		}
		if worst < 0 {
			break
		}
		columns = slices.Delete(slices.Clone(columns), worst, worst+1)
		for n := range cells {
			cells[n] = slices.Delete(slices.Clone(cells[n]), worst, worst+1)
		}
	}
	return columns, cells
}

// taken is the width of all columns but the last.
func taken(a Answer, columns []int, cells [][]string) (width int) {
	for n, i := range columns {
		widest := text.StringWidthWithoutEscSequences(a.Columns[i].Title)
		for _, row := range cells {
			widest = max(widest, text.StringWidthWithoutEscSequences(row[n]))
		}
		width += widest + len(gap)
	}
	return width
}

// Width is how many cells a text of one line takes.
func Width(s string) int { return text.StringWidthWithoutEscSequences(s) }

// Cut is text of one line cut to a width in cells.
func Cut(s string, width int) string { return text.Snip(s, max(width, 1), "…") }
