// Command console bundles the admin console's TypeScript into the files that the
// orchestrator embeds, or with --check proves that the files on disk are current.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

func main() {
	web := flag.String("web", "web", "`folder` of the sources, with node_modules")
	out := flag.String("out", "services/orchestrator/internal/console/dist", "`folder` of the bundle")
	check := flag.Bool("check", false, "compare with the files that are there, and write nothing")
	flag.Parse()
	files, err := bundle(*web)
	if err == nil {
		if *check {
			err = compare(*out, files)
		} else {
			err = write(*out, files)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var index = template.Must(template.New("index.html").Parse(`<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="theme-color" media="(prefers-color-scheme: light)" content="#f6f7f9">
<meta name="theme-color" media="(prefers-color-scheme: dark)" content="#101418">
<title>afterbell</title>
<link rel="icon" href="/assets/{{.Icon}}" type="image/svg+xml">
<script>{{.Prefetch}}</script>
<link rel="stylesheet" href="/assets/{{.Style}}">
{{range .Needed}}<link rel="modulepreload" href="/assets/{{.}}">
{{end}}<script type="module" src="/assets/{{.Script}}"></script>
</head>
<body>
<div id="app"></div>
<noscript>afterbell: JavaScript is off. The API answers at /v1; see /openapi.json.</noscript>
</body>
</html>
`))

// bundle is the bundle by file name.
func bundle(web string) (map[string][]byte, error) {
	web, err := filepath.Abs(web)
	if err != nil {
		return nil, err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     web,
		EntryPoints:       []string{"src/main.tsx", "src/style.css", "src/icon.svg"},
		Outdir:            "dist",
		EntryNames:        "[name]-[hash]",
		ChunkNames:        "[name]-[hash]",
		AssetNames:        "[name]-[hash]",
		Loader:            map[string]api.Loader{".svg": api.LoaderCopy},
		Bundle:            true,
		Splitting:         true,
		Format:            api.FormatESModule,
		Target:            api.ES2022,
		JSX:               api.JSXAutomatic,
		JSXImportSource:   "preact",
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		Charset:           api.CharsetUTF8,
		PreserveSymlinks:  true, // a name must not depend on where node_modules lies
		Metafile:          true,
		LogLevel:          api.LogLevelWarning,
	})
	if len(result.Errors) > 0 || len(result.Warnings) > 0 {
		return nil, errors.New("the console does not build")
	}
	var meta struct {
		Outputs map[string]struct {
			EntryPoint string
			Imports    []struct{ Path, Kind string }
		}
	}
	if err := json.Unmarshal([]byte(result.Metafile), &meta); err != nil {
		return nil, err
	}
	entries := map[string]string{}
	for name, o := range meta.Outputs {
		if o.EntryPoint != "" {
			entries[o.EntryPoint] = filepath.Base(name)
		}
	}
	files := map[string][]byte{}
	for _, f := range result.OutputFiles {
		files[filepath.Base(f.Path)] = f.Contents
	}
	for name := range files {
		if strings.HasPrefix(name, "icon-") && strings.HasSuffix(name, ".svg") {
			entries["src/icon.svg"] = name
		}
	}
	imports := map[string][]string{} // what an entry imports statically, so that both are loaded in parallel
	for _, o := range meta.Outputs {
		for _, i := range o.Imports {
			if o.EntryPoint != "" && i.Kind == "import-statement" {
				imports[o.EntryPoint] = append(imports[o.EntryPoint], filepath.Base(i.Path))
			}
		}
		slices.Sort(imports[o.EntryPoint])
	}
	needed := imports["src/main.tsx"]
	pages := map[string][]string{} // what each page loads besides
	for source, name := range entries {
		if page, ok := strings.CutPrefix(source, "src/pages/"); ok {
			more := slices.DeleteFunc(imports[source], func(f string) bool { return slices.Contains(needed, f) || f == entries["src/main.tsx"] })
			pages[strings.TrimSuffix(page, ".tsx")] = append([]string{name}, more...)
		}
	}
	prefetch, err := prefetchScript(web, pages)
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	err = index.Execute(&page, map[string]any{
		"Script": entries["src/main.tsx"], "Style": entries["src/style.css"], "Icon": entries["src/icon.svg"], "Needed": needed, "Prefetch": prefetch,
	})
	if err != nil {
		return nil, err
	}
	files["index.html"] = page.Bytes()
	files["licenses.txt"], err = licenses(web)
	return files, err
}

// prefetchScript returns the inline script of the page that preloads the files of each page.
func prefetchScript(web string, pages map[string][]string) (template.JS, error) {
	known, err := json.Marshal(pages) // sorted by name
	if err != nil {
		return "", err
	}
	result := api.Build(api.BuildOptions{
		AbsWorkingDir:     web,
		EntryPoints:       []string{"src/prefetch.ts"},
		Bundle:            true,
		Format:            api.FormatIIFE,
		Target:            api.ES2022,
		Define:            map[string]string{"PAGE_FILES": string(known)},
		MinifySyntax:      true,
		MinifyWhitespace:  true,
		MinifyIdentifiers: true,
		Charset:           api.CharsetUTF8,
		LogLevel:          api.LogLevelWarning,
	})
	if len(result.Errors) > 0 || len(result.Warnings) > 0 || len(result.OutputFiles) != 1 {
		return "", errors.New("src/prefetch.ts does not build")
	}
	return template.JS(bytes.TrimSpace(result.OutputFiles[0].Contents)), nil
}

// licenses returns the licenses of third-party code in the bundle.
func licenses(web string) ([]byte, error) {
	var all bytes.Buffer
	for _, name := range []string{"preact", "@preact/signals", "@preact/signals-core"} {
		text, err := os.ReadFile(filepath.Join(web, "node_modules", name, "LICENSE"))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "%s\n\n%s\n\n", name, bytes.TrimSpace(text))
	}
	return all.Bytes(), nil
}

func write(out string, files map[string][]byte) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	there, err := names(out)
	if err != nil {
		return err
	}
	for _, name := range there {
		if _, keep := files[name]; !keep {
			if err := os.Remove(filepath.Join(out, name)); err != nil {
				return err
			}
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(out, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func compare(out string, files map[string][]byte) error {
	there, err := names(out)
	if err != nil {
		return err
	}
	for _, name := range there {
		if _, ok := files[name]; !ok {
			return fmt.Errorf("%s/%s is generated from nothing: run make console and commit", out, name)
		}
	}
	for name, content := range files {
		if old, err := os.ReadFile(filepath.Join(out, name)); err != nil || !bytes.Equal(old, content) {
			return fmt.Errorf("%s/%s is not current: run make console and commit", out, name)
		}
	}
	fmt.Println("the console's bundle is current")
	return nil
}

func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	slices.Sort(all)
	return all, nil
}
