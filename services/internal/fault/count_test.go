package fault

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0, "row", "rows"), "0 rows"}, {Count(1, "row is", "rows are"), "1 row is"}, {Count(int64(12), "row", "rows"), "12 rows"},
		{Of(1, 1, "row", "rows"), "1 of 1 row"}, {Of(1, 3, "row", "rows"), "1 of 3 rows"}, {One(2, "is", "are"), "are"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

// Numbers that are never 1 may have a plural in the text: bounds, sizes that exceed one,
// and what an invariant of the code says.
var neverOne = []*regexp.Regexp{
	regexp.MustCompile(`(at most|larger than|longer than|1 to|only|already|instead of|whole number of) %d `),
	regexp.MustCompile(`is %d (bytes|characters)( with its query)?; at most`),
	regexp.MustCompile(`(has|would have) %d (entries|symbols|addresses); `),
	regexp.MustCompile(`^all sets together would have %d symbols; at most`),
	regexp.MustCompile(`^is given %d times$`),
	regexp.MustCompile(`^%d modules; at most`),
	regexp.MustCompile(`BJ %d rows; from`),                        // a list of three
	regexp.MustCompile(`^after %d waits the limit still applies`), // a constant
	regexp.MustCompile(`^%d calls per minute: must be 1 or more`),
	regexp.MustCompile(`^the file is truncated: it has %d of %d bytes`),
	regexp.MustCompile(`^%d (columns|values) for a table of %d`), // a fault of the code
}

var plural = regexp.MustCompile(`%[dsv] (?:[a-z]+ )?([a-z]+s)\b`)

// A message about a number of things does not say "1 rows": the number and its noun come
// from Count or Of.
func TestMessagesCountInWords(t *testing.T) {
	noNouns := []string{"is", "was", "has", "as", "does", "its"}
	messages := 0
	for _, service := range []string{"orchestrator/internal", "ingestworker/internal", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", service), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && (d.Name() == "sinktest" || strings.HasSuffix(d.Name(), "test")):
				return fs.SkipDir
			case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range plural.FindAllStringSubmatch(text, -1) {
					messages++
					number := strings.HasPrefix(m[0], "%d")
					if number && !slices.Contains(noNouns, m[1]) && !slices.ContainsFunc(neverOne, func(r *regexp.Regexp) bool { return r.MatchString(text) }) {
						t.Errorf("%s: %q would say %q: use Count or Of", path, text, strings.Replace(m[0], "%d", "1", 1))
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if messages < 50 {
		t.Errorf("only %d texts were looked at", messages)
	}
}
