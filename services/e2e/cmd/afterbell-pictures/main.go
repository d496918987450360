// Command afterbell-pictures takes screenshots of the admin console, for the README and for
// review, and measures how soon it shows its data.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/browser"
)

func main() {
	base := flag.String("url", "", "`address` of the console; empty starts a pair with a simulated market")
	bin := flag.String("bin", "bin", "`folder` of the built programs, for a pair of its own")
	out := flag.String("out", ".", "`folder` of the pictures")
	pages := flag.String("pages", "tonight=,run=runs/last,coverage=coverage", "name=path of each picture, separated by commas")
	sizes := flag.String("sizes", "desk", "desk, phone, or both, separated by commas")
	schemes := flag.String("schemes", "light", "light, dark, or both, separated by commas")
	language := flag.String("lang", "zh", "zh or en")
	full := flag.Bool("full", false, "take the whole page instead of the window")
	wait := flag.Duration("wait", 900*time.Millisecond, "how long a page may settle")
	times := flag.Bool("measure", false, "take times instead of pictures")
	flag.Parse()
	of := pictured
	if *times {
		of = measured
	}
	if err := run(*base, *bin, of, func(base string) error {
		if *times {
			return measure(base)
		}
		return take(base, *out, *pages, strings.Split(*sizes, ","), strings.Split(*schemes, ","), *language, *full, *wait)
	}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run takes screenshots or measures, with the console at base or with a pair that it starts.
func run(base, bin string, of market, do func(base string) error) (err error) {
	if base != "" {
		return do(base)
	}
	base, stop, err := pair(context.Background(), bin, of)
	if stop != nil {
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err != nil {
		return err
	}
	return do(base)
}

func take(base, out, pages string, sizes, schemes []string, language string, full bool, wait time.Duration) error {
	b, err := browser.Start(context.Background())
	if err != nil {
		return err
	}
	defer b.Close()
	p, err := b.Open()
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.Goto(base + "/"); err != nil {
		return err
	}
	if err := p.Eval(fmt.Sprintf("localStorage.setItem('afterbell.lang', %q)", language), nil); err != nil {
		return err
	}
	var last string // the run with the most partitions
	if err := p.Eval(`fetch("/v1/runs").then((r) => r.json()).then((d) => d.runs.sort((a, b) => b.partitionCount - a.partitionCount)[0]?.runId ?? "")`, &last); err != nil {
		return err
	}
	pages = strings.ReplaceAll(pages, "runs/last", "runs/"+last)
	for _, size := range sizes {
		width, height, phone := int64(1280), int64(800), false
		if size == "phone" {
			width, height, phone = 390, 844, true
		}
		if err := p.Size(width, height, phone); err != nil {
			return err
		}
		for _, scheme := range schemes {
			if err := p.Dark(scheme == "dark"); err != nil {
				return err
			}
			for one := range strings.SplitSeq(pages, ",") {
				name, path, _ := strings.Cut(one, "=")
				if err := p.Goto("about:blank"); err != nil {
					return err
				}
				if err := p.Goto(base + "/#/" + path); err != nil {
					return err
				}
				if err := p.Until(20*time.Second, "page "+name, `document.querySelector("h1") && !document.querySelector(".skeleton, [aria-busy=true]")`); err != nil {
					return err
				}
				time.Sleep(wait)
				png, err := p.Picture(full)
				if err != nil {
					return err
				}
				file := filepath.Join(out, fmt.Sprintf("%s-%s-%s.png", name, size, scheme))
				if png, err = smaller(png); err != nil {
					return err
				}
				if err := os.WriteFile(file, png, 0o644); err != nil {
					return err
				}
				fmt.Println(file)
			}
		}
	}
	for _, e := range p.Errors() {
		fmt.Fprintln(os.Stderr, "console:", e)
	}
	return nil
}
