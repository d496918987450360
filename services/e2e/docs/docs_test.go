package docs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../../.." // of the checkout

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is the part of a document under a heading of the second level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("there is no section %q", heading)
	}
	body, _, _ := strings.Cut(after, "\n## ")
	return body
}

var diffs = regexp.MustCompile("(?s)```diff\n(.*?)```")

// migration is a new one in a patch: its folder and number.
var migration = regexp.MustCompile(`(?m)^\+\+\+ b/(.*/migrations)/(\d{4})_`)

// newestMigration is the highest number in a folder of migrations.
func newestMigration(t *testing.T, dir string) (number int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, dir, "*.sql"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no migrations, %v", dir, err)
	}
	if _, err := fmt.Sscanf(filepath.Base(slices.Max(names)), "%04d_", &number); err != nil {
		t.Fatal(err)
	}
	return number
}

// changed names the files of a patch.
var changed = regexp.MustCompile(`(?m)^\+\+\+ b/(.*)$`)

// Each example is applied to a copy of the tree. The tests of the packages it concerns
// must pass then: those that keep catalog, schemas and documents together, and those that
// the example brings. Most run in this tree with the changed files laid over it, which
// compiles little; those that read the tree run in the copy.
func TestContributingExamples(t *testing.T) {
	text := read(t, "CONTRIBUTING.md")
	tree := t.TempDir()
	for _, part := range []string{"go.work", "go.work.sum", "gen", "proto", "clients", "services", "examples", "dev-docs"} {
		copyTree(t, filepath.Join(root, part), filepath.Join(tree, part))
	}
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	overlay := map[string]string{}
	for _, x := range []struct {
		heading string
		patches int
		laid    [][]string
		copied  [][]string
	}{
		{heading: "Add a dataset", patches: 4, laid: [][]string{
			{"test", "./services/ingestworker/internal/catalog", "./services/ingestworker/internal/pool"},
			{"test", "-run", "Schema|OthersAreRefused|^TestSink$/^FirstReleaseIsMigrated$", "./services/ingestworker/internal/targets", "./services/ingestworker/internal/universe"},
			{"test", "-run", "TestFillBothPoolsOverTheWire", "./services/ingestworker/internal/app"},
			{"test", "-run", "TestAdjFactor", "./services/tusharesim"},
		}},
		{heading: "Add a reason", patches: 1, laid: [][]string{
			{"test", "-run", "Expired", "./services/ingestworker/internal/tushare"},
		}, copied: [][]string{{"test", "./services/internal/fault/..."}}},
	} {
		patches := diffs.FindAllStringSubmatch(section(t, text, x.heading), -1)
		for _, m := range migration.FindAllStringSubmatch(section(t, text, x.heading), -1) {
			if taken := newestMigration(t, m[1]); m[2] != fmt.Sprintf("%04d", taken+1) {
				t.Errorf("%s: the migration %s_… in %s is not the next one after %04d, so files of the last release would be refused", x.heading, m[2], m[1], taken)
			}
		}
		if len(patches) != x.patches {
			t.Errorf("%s: %d patches, want %d", x.heading, len(patches), x.patches)
		}
		for n, patch := range patches {
			apply := exec.CommandContext(t.Context(), "git", "apply", "-C1", "-")
			apply.Dir, apply.Stdin = tree, strings.NewReader(patch[1])
			if out, err := apply.CombinedOutput(); err != nil {
				t.Fatalf("%s: block %d does not apply, so the example is out of date: %v\n%s", x.heading, n+1, err, out)
			}
			for _, name := range changed.FindAllStringSubmatch(patch[1], -1) {
				overlay[filepath.Join(here, name[1])] = filepath.Join(tree, name[1])
			}
		}
		list := filepath.Join(t.TempDir(), "overlay.json")
		data, err := json.Marshal(map[string]any{"Replace": overlay})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(list, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range x.laid {
			runGo(t, here, append([]string{args[0], "-overlay", list}, args[1:]...))
		}
		for _, args := range x.copied {
			runGo(t, tree, args)
		}
	}
}

func runGo(t *testing.T, dir string, args []string) {
	t.Helper()
	run := exec.CommandContext(t.Context(), "go", args...)
	run.Dir = dir
	run.Env = append(os.Environ(), "CGO_CFLAGS=") // what make test has compiled for the programs is used
	if out, err := run.CombinedOutput(); err != nil {
		t.Errorf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dest := filepath.Join(to, rel)
		if d.IsDir() {
			if d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return os.MkdirAll(dest, 0o755)
		}
		if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(dest, text, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// documents are all Markdown files of the project.
func documents(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.md", "dev-docs/*.md", "dev-docs/*/*.md", "dev-docs/*/*/*.md", "bench/*.md", "findings/*.md", "services/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	if len(names) < 10 {
		t.Fatalf("only %d documents were found", len(names))
	}
	return names
}

var (
	links = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	// rows are a file and a text that it must contain.
	rows = regexp.MustCompile("(?m)^\\| (?:[^|`]*\\| )?`([\\w./-]+/[\\w.-]+\\.[a-z]+)` \\| `([^`]+)` \\|")
)

func TestLinksLead(t *testing.T) {
	for _, name := range documents(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range links.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", filepath.Base(name), m[1], err)
			}
		}
	}
}

// A table that names a file and a symbol is true of the code.
func TestNamedSymbolsExist(t *testing.T) {
	found := 0
	for _, name := range []string{"CONTRIBUTING.md", "ARCHITECTURE.md"} {
		for _, m := range rows.FindAllStringSubmatch(read(t, name), -1) {
			found++
			if text := read(t, m[1]); !strings.Contains(text, m[2]) {
				t.Errorf("%s says that %s has %q", name, m[1], m[2])
			}
		}
	}
	if found < 9 {
		t.Errorf("only %d files with a symbol were found", found)
	}
}
