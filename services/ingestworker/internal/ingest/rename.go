package ingest

import (
	"fmt"
	"strings"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Rename is a company whose code the provider changed.
type Rename struct {
	// Old and New are the codes.
	Old, New string
	// Moved is the number of rows that are now under the new code. Twice is the number of rows
	// that were stored under both codes; those under the old code were removed.
	Moved, Twice int64
}

// Orphans are stored rows of symbols that are not in the instrument list.
type Orphans struct {
	// Rows is their number, Symbols the number of their symbols.
	Rows, Symbols int64
	// Sample names some of the symbols.
	Sample []string
}

// renamed reports renamed companies, the first five of them by name, and rows under codes
// that no list has.
func (j *job) renamed(c Changes) (out []fault.Issue) {
	kept := "The stored rows were moved to the new code"
	if j.inTargets() {
		kept = "Stored rows stay under the old code until the target list has the new one; then they move to it, date by date"
	}
	for n, r := range c.Renamed {
		text := fmt.Sprintf("The provider changed the code %s to %s. %s (%d).", r.Old, r.New, kept, r.Moved)
		if j.inTargets() {
			text = fmt.Sprintf("The provider changed the code %s to %s. %s.", r.Old, r.New, kept)
		}
		rows, last := r.Moved, n+1 == sampleSize
		if rest := c.Renamed[n+1:]; last && len(rest) > 0 {
			for _, x := range rest {
				rows += x.Moved
			}
			text += fmt.Sprintf(" The same happened to %s; GET /v1/revisions lists them.", fault.Count(len(rest), "more code", "more codes"))
		}
		i := j.issue(fault.SymbolRenamed, text, "old_symbol", r.Old, "new_symbol", r.New, "count", fmt.Sprint(rows))
		i.Severity = fault.Warning
		if out = append(out, i); last {
			break
		}
	}
	if s := c.Orphans; s.Rows > 0 {
		list := strings.Join(s.Sample, ", ")
		if int(s.Symbols) > len(s.Sample) {
			list += ", …"
		}
		i := j.issue(fault.UnknownSymbols, fmt.Sprintf("%s stored under %s not in the instrument list, and no new code is known: %s. When a date is fetched again, rows that the provider no longer has are deleted.",
			fault.Count(s.Rows, "row is", "rows are"), fault.Count(s.Symbols, "code", "codes"), list), "count", fmt.Sprint(s.Rows), "sample", list)
		i.Severity = fault.Warning
		out = append(out, i)
	}
	return out
}
