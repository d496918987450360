package faulttest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	root     = "../../../.." // of the checkout
	pitfalls = root + "/dev-docs/active/market-ingest-persistence/05-pitfalls.md"
	contract = root + "/proto/afterbell/fault/v1/fault.proto"
)

// Every reason has a meaning and a remedy, the same words in the documentation and the
// contract, and a test that produces it by Produces.
func TestEveryReasonIsExplainedAndProduced(t *testing.T) {
	doc, err := os.ReadFile(pitfalls)
	if err != nil {
		t.Fatal(err)
	}
	comments := comments(t)
	names := constants(t, "../reason.go")
	produced := producers(t, filepath.Join(root, "services"), names)
	for _, r := range fault.Reasons() {
		d, ok := fault.Describe(r)
		if !ok || d.Remedy == "" || d.Meaning == "" {
			t.Errorf("%s has no meaning or no remedy", r)
		}
		line := fmt.Sprintf("| `%s` | %s | %s | %s |\n", r, d.Class, d.Meaning, d.Remedy)
		if !strings.Contains(string(doc), line) {
			t.Errorf("%s lacks this line:\n%s", filepath.Base(pitfalls), line)
		}
		if !strings.Contains(comments[r], d.Meaning) {
			t.Errorf("the comment of REASON_%s in %s does not say: %s", r, filepath.Base(contract), d.Meaning)
		}
		if len(produced[r]) == 0 {
			t.Errorf("%s is produced by no test; call faulttest.Produces(t, got, fault.%s) where it arises", r, nameOf(names, r))
		}
	}
}

// comments maps each reason to its comment in the contract, as one line.
func comments(t *testing.T) map[fault.Reason]string {
	t.Helper()
	text, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	found := map[fault.Reason]string{}
	var comment []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if part, ok := strings.CutPrefix(line, "//"); ok {
			comment = append(comment, strings.TrimSpace(part))
			continue
		}
		if name, ok := strings.CutPrefix(line, "REASON_"); ok {
			name, _, _ = strings.Cut(name, " ")
			found[fault.Reason(name)] = strings.Join(comment, " ")
		}
		comment = nil
	}
	return found
}

func nameOf(names map[string]fault.Reason, r fault.Reason) string {
	for name, reason := range names {
		if reason == r {
			return name
		}
	}
	return string(r)
}

// constants maps the Go name of each reason to its text.
func constants(t *testing.T, path string) map[string]fault.Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]fault.Reason{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Reason" && len(spec.Values) == 1 {
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					names[spec.Names[0].Name] = fault.Reason(text)
				}
			}
		}
		return true
	})
	if len(names) != len(fault.Reasons()) {
		t.Fatalf("%d constants in %s, %d reasons in the catalog", len(names), path, len(fault.Reasons()))
	}
	return names
}

// producers finds, per reason, the test files that produce it: those that name it in
// a call of Produces, or in a table of the function that hands it to Produces.
func producers(t *testing.T, dir string, names map[string]fault.Reason) map[fault.Reason][]string {
	t.Helper()
	found := map[fault.Reason][]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || filepath.Base(filepath.Dir(path)) == "faulttest" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if !tests(path, file) {
			return nil
		}
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			for _, name := range producedIn(fn) {
				if r, ok := names[name]; ok && !slices.Contains(found[r], path) {
					found[r] = append(found[r], path)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// tests reports whether a file is a test file, or a suite that tests of several packages share.
func tests(path string, file *ast.File) bool {
	return strings.HasSuffix(path, "_test.go") ||
		slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing"` })
}

// producedIn lists the constants of package fault that a function hands to Produces.
func producedIn(fn *ast.FuncDecl) (names []string) {
	fromTable := false
	ast.Inspect(fn, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 3 || !selects(call.Fun, "faulttest", "Produces") {
			return true
		}
		if name := constant(call.Args[2]); name != "" {
			names = append(names, name)
		} else {
			fromTable = true
		}
		return true
	})
	if !fromTable {
		return names
	}
	ast.Inspect(fn, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok {
			return true
		}
		for _, element := range table.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				names = append(names, constant(pair.Key), constant(pair.Value))
				continue
			}
			names = append(names, constant(element))
		}
		return true
	})
	return names
}

func constant(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok && selects(s, "fault", s.Sel.Name) {
		return s.Sel.Name
	}
	return ""
}

func selects(e ast.Expr, pkg, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	if !ok || s.Sel.Name != name {
		return false
	}
	x, ok := s.X.(*ast.Ident)
	return ok && x.Name == pkg
}
