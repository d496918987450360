package fault

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestEveryReasonHasChinese(t *testing.T) {
	for _, r := range Reasons() {
		d, _ := Describe(r)
		bare, todo := Chinese(r, nil, d.Remedy)
		if bare == "" || strings.ContainsAny(bare, "{}[]") || !strings.HasSuffix(bare, "。") {
			t.Errorf("%s: %q", r, bare)
		}
		if todo == "" || CommandIn(d.Remedy) != "" && !strings.HasSuffix(todo, "："+CommandIn(d.Remedy)) {
			t.Errorf("%s: %q becomes %q", r, d.Remedy, todo)
		}
		meta := map[string]string{}
		for _, k := range d.Keys {
			meta[k] = "<" + k + ">"
		}
		full, _ := Chinese(r, meta, "")
		for _, key := range placeholder().FindAllString(chinese[r], -1) {
			if k := key[1 : len(key)-1]; !slices.Contains(d.Keys, k) || !strings.Contains(full, "<"+k+">") {
				t.Errorf("%s: %s is not among %v, or not in %q", r, key, d.Keys, full)
			}
		}
	}
	if extra := len(chinese) - len(Reasons()); extra != 0 {
		t.Errorf("%d texts are of no reason", extra)
	}
	message, todo := Chinese(Incomplete, map[string]string{"dataset": "daily", "trade_date": "2026-11-27", "row_count": "10", "expected_count": "20", "floor": "0.98"}, "What a newer release says.")
	if want := "数据源返回的行数少于应有行数：2026-11-27 的 daily 有 10 行，应有 20 行。"; message != want || todo != "" {
		t.Errorf("%q, %q", message, todo)
	}
	if message, _ := Chinese(Incomplete, map[string]string{"dataset": "daily"}, ""); message != "数据源返回的行数少于应有行数。" {
		t.Errorf("with values missing: %q", message)
	}
	if message, _ := Chinese("NEWER", nil, ""); message != "" {
		t.Errorf("a reason of a newer release: %q", message)
	}
}

// Every kind of a resource that does not exist has a Chinese sentence and a remedy.
func TestEveryKindNotFoundHasChinese(t *testing.T) {
	for kind := range finding {
		bare, _ := Chinese(NotFound, map[string]string{"kind": kind}, "")
		full, todo := Chinese(NotFound, map[string]string{"kind": kind, "id": "<id>", "pool": "universe"}, RemedyOf(New(NotFound, "x", "kind", kind)))
		for _, text := range []string{bare, full} {
			if strings.Contains(text, "请求的对象") || strings.ContainsAny(text, "{}[]") || !strings.HasSuffix(text, "。") {
				t.Errorf("%s: %q", kind, text)
			}
		}
		if todo == "" {
			t.Errorf("%s has no Chinese remedy", kind)
		}
		if !ChineseIsComplete(NotFound, map[string]string{"kind": kind}) && kind != "table" {
			t.Errorf("%s: its Chinese is said to be incomplete", kind)
		}
	}
	if extra := len(chineseNotFound) - len(finding) - 1; extra != 0 {
		t.Errorf("%d sentences are of no kind", extra)
	}
	for _, c := range []struct {
		meta map[string]string
		want string
	}{
		{map[string]string{"kind": "run", "id": "R1"}, "运行 R1 不存在。"},
		{map[string]string{"kind": "version", "id": "", "pool": "universe"}, "还没有发布 universe，运行结束时会发布。"},
		{map[string]string{"kind": "of a newer release", "id": "x"}, "请求的对象不存在：x。"},
	} {
		if got, _ := Chinese(NotFound, c.meta, ""); got != c.want {
			t.Errorf("%v: %q, want %q", c.meta, got, c.want)
		}
	}
	if ChineseIsComplete(NotFound, map[string]string{"kind": "slot", "before_schedule": "true"}) || ChineseIsComplete(Incomplete, nil) {
		t.Error("the English says more")
	}
}

// A remedy that a package writes in place of the catalog's has Chinese, too.
func TestEveryRemedyHasChinese(t *testing.T) {
	texts := regexp.MustCompile("Remedy = (?:fault.Warning, )?(?:fmt.Sprintf\\()?([\"`])(.*)")
	found := 0
	for _, service := range []string{"orchestrator", "ingestworker"} {
		err := filepath.WalkDir(filepath.Join("..", "..", service), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range texts.FindAllStringSubmatch(string(source), -1) {
				text := m[2]
				if m[1] == "`" {
					text, _, _ = strings.Cut(text, "`")
				} else if quoted, err := strconv.QuotedPrefix(`"` + text); err != nil {
					t.Fatalf("%s: %s", path, text)
				} else if text, err = strconv.Unquote(quoted); err != nil {
					t.Fatal(err)
				}
				if text == "" {
					continue
				}
				found++
				if strings.HasSuffix(text, ": ") {
					text += "afterbell"
				}
				if _, todo := Chinese(Internal, nil, text); todo == "" {
					t.Errorf("%s: %q has no Chinese", path, text)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 12 {
		t.Errorf("only %d remedies were found", found)
	}
	for kind, text := range finding {
		if _, todo := Chinese(NotFound, nil, text); todo == "" {
			t.Errorf("%s: %q has no Chinese", kind, text)
		}
	}
	for en := range maps.Keys(chineseRemedies) {
		if strings.HasSuffix(en, ":") || strings.TrimSpace(en) != en {
			t.Errorf("%q does not stand alone", en)
		}
	}
}
