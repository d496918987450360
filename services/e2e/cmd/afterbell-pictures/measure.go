package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/browser"
)

// rounds is how often each time is taken; the median counts.
const rounds = 9

// answers are what the coverage page asks for, and the runs.
const answers = `["/v1/session", "/readyz", "/v1/pools/universe/coverage", "/v1/pools/universe", "/v1/domains", "/v1/runs?page_size=50"]`

// measure prints how long the coverage page and the runs take until they show their
// data, beside an empty page that fetches and parses the same answers, and how many
// frames are dropped while the heatmap is scrolled.
func measure(base string) error {
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
	if err := p.Size(1280, 800, false); err != nil {
		return err
	}
	if err := p.IgnorePolicy(); err != nil { // the empty page may not fetch
		return err
	}
	take := func(path, expression string) (float64, error) {
		var all []float64
		for range rounds {
			if err := p.Goto("about:blank"); err != nil {
				return 0, err
			}
			if err := p.Goto(base + path); err != nil {
				return 0, err
			}
			var ms float64
			if err := p.Eval(expression, &ms); err != nil {
				return 0, err
			}
			all = append(all, ms)
		}
		slices.Sort(all)
		return all[rounds/2], nil
	}
	empty, err := take("/assets/licenses.txt", `Promise.all(`+answers+`.map((a) => fetch(a, { cache: "no-store" }).then((r) => r.json()))).then(() => performance.now())`)
	if err != nil {
		return err
	}
	until := func(selector string) string {
		return fmt.Sprintf(`new Promise((done) => { const look = () => document.querySelector(%q) ? requestAnimationFrame(() => done(performance.now())) : requestAnimationFrame(look); look(); })`, selector)
	}
	coverage, err := take("/#/coverage", until(".heat path"))
	if err != nil {
		return err
	}
	runs, err := take("/#/runs", until("tr[data-run]"))
	if err != nil {
		return err
	}
	const scroll = `new Promise((done) => {
		let last = 0, down = 18, n = 0, dropped = 0;
		const step = (at) => {
			if (last) { n++; dropped += Math.max(0, Math.round((at - last) / (1000 / 60)) - 1); }
			last = at;
			if (n >= 240) return done({ frames: n, dropped });
			const before = scrollY;
			scrollBy(0, down);
			if (scrollY === before) down = -down;
			requestAnimationFrame(step);
		};
		requestAnimationFrame(step);
	})`
	var blank, heat struct{ Frames, Dropped int }
	if err := p.Goto(base + "/assets/licenses.txt"); err != nil {
		return err
	}
	if err := p.Eval(`(document.body.style.height = "2400px", `+scroll+`)`, &blank); err != nil {
		return err
	}
	if err := p.Goto(base + "/#/coverage"); err != nil {
		return err
	}
	if err := p.Until(20*time.Second, "the heatmap", `document.querySelector(".heat path")`); err != nil {
		return err
	}
	if err := p.Eval(scroll, &heat); err != nil {
		return err
	}
	fmt.Printf("empty page fetches and parses the answers: %.0f ms\n", empty)
	fmt.Printf("coverage shows its data:                   %.0f ms (%.2f times)\n", coverage, coverage/empty)
	fmt.Printf("runs show their data:                      %.0f ms (%.2f times)\n", runs, runs/empty)
	fmt.Printf("frames while an empty page is scrolled:    %d, %d dropped\n", blank.Frames, blank.Dropped)
	fmt.Printf("frames while the heatmap is scrolled:      %d, %d dropped\n", heat.Frames, heat.Dropped)
	return nil
}
