package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/e2e/internal/browser"
)

// rounds is the number of measurements of each time; the median is printed.
const rounds = 9

// views are the measured pages, each with a selector that matches once the data is shown.
var views = []struct{ name, path, shown string }{
	{"tonight", "", "[data-pool][data-verdict]"},
	{"coverage", "coverage", ".heat path"},
	{"runs", "runs", "tr[data-run]"},
	{"largest run", "runs/%s", "tr[data-partition]"},
	{"schedule", "schedule", "main tbody [data-row]"},
}

// measure prints how long pages take to show their data, compared with an empty page that fetches
// and parses the same responses, and how many frames are dropped while the heat map is scrolled.
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
	if err := p.IgnorePolicy(); err != nil { // otherwise the empty page may not fetch
		return err
	}
	look := func(path, expression string, v any) error {
		if err := p.Goto("about:blank"); err != nil {
			return err
		}
		if err := p.Goto(base + path); err != nil {
			return err
		}
		return p.Eval(expression, v)
	}
	var largest string
	if err := look("/assets/licenses.txt", `(async () => {
		let best = { partitionCount: -1 }, token = "";
		do {
			const d = await (await fetch("/v1/runs?page_size=500&page_token=" + encodeURIComponent(token))).json();
			for (const r of d.runs) if (r.partitionCount > best.partitionCount) best = r;
			token = d.nextPageToken;
		} while (token);
		return best.runId;
	})()`, &largest); err != nil {
		return err
	}
	fmt.Println("page: shows its data | an empty page fetches and parses the same answers | ratio of the medians")
	for _, v := range views {
		path := "/#/" + strings.Replace(v.path, "%s", largest, 1)
		shown := fmt.Sprintf(`new Promise((done) => { const look = () => document.querySelector(%q) ? requestAnimationFrame(() => done({
			ms: performance.now(), asked: performance.getEntriesByType("resource").filter((e) => e.initiatorType === "fetch").map((e) => e.name),
		})) : requestAnimationFrame(look); look(); })`, v.shown)
		var pages, empties []float64
		for range rounds { // alternately, so that a busy moment of the machine affects both
			var page struct {
				MS    float64
				Asked []string
			}
			if err := look(path, shown, &page); err != nil {
				return err
			}
			asked, err := json.Marshal(page.Asked)
			if err != nil {
				return err
			}
			var empty float64
			if err := look("/assets/licenses.txt", `Promise.all(`+string(asked)+`.map((a) => fetch(a, { cache: "no-store", headers: { Accept: a.includes(":watch") ? "application/x-ndjson" : "application/json", "Accept-Language": "zh-CN" } })
				.then((r) => r.text()).then((x) => x.split("\n").filter(Boolean).map((l) => JSON.parse(l))))).then(() => performance.now())`, &empty); err != nil {
				return err
			}
			pages, empties = append(pages, page.MS), append(empties, empty)
		}
		slices.Sort(pages)
		slices.Sort(empties)
		fmt.Printf("%s: %.0f ms | %.0f ms | %.2f\n", v.name, pages[rounds/2], empties[rounds/2], pages[rounds/2]/empties[rounds/2])
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
	fmt.Printf("frames while an empty page is scrolled:    %d, %d dropped\n", blank.Frames, blank.Dropped)
	fmt.Printf("frames while the heatmap is scrolled:      %d, %d dropped\n", heat.Frames, heat.Dropped)
	return nil
}
