package lang_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/afterbell/afterbell/services/cli/internal/lang"
)

// texts are the English texts in the code: the first argument of each call of T.
func texts(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			name, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			read := func(i int) string {
				text, ok := constant(call.Args[i])
				if sum, put := call.Args[i].(*ast.BinaryExpr); !ok && put {
					t.Errorf("%s: a text is put together at offset %d when the program runs; no Chinese can be found for it", path, sum.Pos())
				}
				return text
			}
			switch name.Sel.Name {
			case "T":
				if text := read(0); text != "" {
					all = append(all, text)
				}
			case "N":
				if len(call.Args) < 3 {
					break
				}
				one, many := read(1), read(2)
				if !slices.Equal(verbs(one), verbs(many)) {
					t.Errorf("%s: %q and %q have other verbs", path, one, many)
				}
				all = append(all, many)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 100 {
		t.Fatalf("only %d texts were found", len(all))
	}
	return all
}

// constant returns the value of a string constant in the code, which may have several parts.
func constant(e ast.Expr) (text string, ok bool) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, e.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		left, ok := constant(e.X)
		right, also := constant(e.Y)
		return left + right, ok && also && e.Op == token.ADD
	}
	return "", false
}

func TestEveryTextIsSaidInChinese(t *testing.T) {
	for _, text := range texts(t) {
		if !lang.Chinese.Has(text) {
			t.Errorf("no Chinese for %q", text)
		}
	}
}

// A sentence that was changed in the code leaves none behind. Single words may be those of
// the contract's enums, which stand in no code.
func TestNoChineseIsLeftBehind(t *testing.T) {
	said := texts(t)
	for text := range lang.Keys {
		if strings.ContainsAny(text, ".%:`") && !slices.Contains(said, text) {
			t.Errorf("no code says %q", text)
		}
	}
}

// verbs are those of a format, in order.
func verbs(s string) (out []string) {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '%' {
			out = append(out, s[i:i+2])
			i++
		}
	}
	return out
}

// A translation has the verbs of its text in the same order, because they are filled
// in by position.
func TestVerbsAgree(t *testing.T) {
	for _, text := range texts(t) {
		if en, zh := verbs(text), verbs(lang.Chinese.T(text)); !slices.Equal(en, zh) {
			t.Errorf("%q has the verbs %v, its Chinese %v", text, en, zh)
		}
	}
}

func TestLocale(t *testing.T) {
	for want, env := range map[lang.Lang][]map[string]string{
		lang.Chinese: {{"LANG": "zh_CN.UTF-8"}, {"LC_ALL": "zh_CN"}, {"LC_MESSAGES": "zh-Hans", "LANG": "en_US"}},
		lang.English: {{}, {"LANG": "C"}, {"LANG": "de_DE.UTF-8"}, {"LC_ALL": "C", "LANG": "zh_CN.UTF-8"}},
	} {
		for _, e := range env {
			if got := lang.FromLocale(func(name string) string { return e[name] }); got != want {
				t.Errorf("%v gives %s, want %s", e, got, want)
			}
		}
	}
}

func TestOneHasItsOwnText(t *testing.T) {
	for n, want := range map[int]string{0: "0 changes made.", 1: "1 change made.", 2: "2 changes made."} {
		if got := lang.English.N(n, "%d change made.", "%d changes made."); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := lang.Chinese.N(1, "%d change made.", "%d changes made."); got != "已完成 1 项更改。" {
		t.Error(got)
	}
}
