// Package browser drives a headless Chromium, for the tests of the admin console and for
// the pictures in the README. It hears what a page writes to its console and which hosts
// it asks.
package browser

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// ErrAbsent says that there is no Chromium on the machine.
var ErrAbsent = errors.New("there is no chromium; install it, as with apt-get install chromium, or name it in AFTERBELL_CHROMIUM")

// Find is the path of Chromium: AFTERBELL_CHROMIUM, or the first of its usual names.
func Find() (string, error) {
	if named := os.Getenv("AFTERBELL_CHROMIUM"); named != "" {
		return named, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrAbsent
}

// Browser is a running Chromium.
type Browser struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// Start starts Chromium. Close it.
func Start(ctx context.Context) (*Browser, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // a container's root may not use it
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("lang", "zh-CN"),
		chromedp.Flag("force-color-profile", "srgb"),
	)
	ctx, stopAllocator := chromedp.NewExecAllocator(ctx, options...)
	ctx, stop := chromedp.NewContext(ctx)
	b := &Browser{ctx: ctx, cancel: func() { stop(); stopAllocator() }}
	if err := chromedp.Do(ctx); err != nil {
		b.cancel()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

// Close ends Chromium.
func (b *Browser) Close() { b.cancel() }

// Request is one request of a page as it was answered.
type Request struct {
	// URL asked for.
	URL string
	// Bytes that came over the wire, headers included.
	Bytes float64
}

// Page is one tab.
type Page struct {
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	errors   []string
	requests map[network.RequestID]*Request
}

// Open opens a tab of its own, with storage of its own.
func (b *Browser) Open() (*Page, error) {
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	p := &Page{ctx: ctx, cancel: cancel, requests: map[network.RequestID]*Request{}}
	err := chromedp.Listen(ctx, p.hear)
	if err == nil {
		_, err = chromedp.Call(ctx, network.Enable, network.EnableParams{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, log.Enable, cdp.Empty{})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, runtime.Enable, cdp.Empty{})
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return p, nil
}

// Close closes the tab.
func (p *Page) Close() { p.cancel() }

func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			p.errors = append(p.errors, strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, fmt.Sprint(e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			p.errors = append(p.errors, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		p.requests[e.RequestID] = &Request{URL: e.Request.URL}
	case *network.EventLoadingFinished:
		if r := p.requests[e.RequestID]; r != nil {
			r.Bytes = e.EncodedDataLength
		}
	}
}

// Errors takes what the page has written to its console as errors and warnings since the
// last call, exceptions included.
func (p *Page) Errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.errors
	p.errors = nil
	return all
}

// Requests are the requests of the page so far.
func (p *Page) Requests() (all []Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		all = append(all, *r)
	}
	return all
}

// Foreign are the URLs asked for that lie on another host than host.
func (p *Page) Foreign(host string) (all []string) {
	for _, r := range p.Requests() {
		if u, err := url.Parse(r.URL); err != nil || u.Host != host && u.Scheme != "data" && u.Scheme != "about" && u.Scheme != "blob" {
			all = append(all, r.URL)
		}
	}
	return all
}

// within gives a call to the tab a deadline.
func (p *Page) within(timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(p.ctx, timeout)
}

// do does steps with a deadline.
func (p *Page) do(timeout time.Duration, steps ...chromedp.Action[chromedp.Void]) error {
	ctx, cancel := p.within(timeout)
	defer cancel()
	return chromedp.Do(ctx, steps...)
}

// Goto loads a URL. If only the fragment differs from that of the page, nothing is loaded.
func (p *Page) Goto(url string) error {
	return p.do(20*time.Second, chromedp.Navigate(url))
}

// Size sets the window in CSS pixels, as a desk's or as a phone's.
func (p *Page) Size(width, height int64, phone bool) error {
	ctx, cancel := p.within(10 * time.Second)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetDeviceMetricsOverride,
		emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: phone})
	return err
}

// Dark sets the scheme that the system asks for.
func (p *Page) Dark(on bool) error {
	scheme := "light"
	if on {
		scheme = "dark"
	}
	ctx, cancel := p.within(10 * time.Second)
	defer cancel()
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
	return err
}

// IgnorePolicy lets pages that are loaded from now on do what their content security
// policy forbids.
func (p *Page) IgnorePolicy() error {
	ctx, cancel := p.within(10 * time.Second)
	defer cancel()
	_, err := chromedp.Call(ctx, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true})
	return err
}

// Eval evaluates an expression, awaits it, and decodes its JSON into v, which may be nil.
func (p *Page) Eval(expression string, v any) error {
	ctx, cancel := p.within(30 * time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("(async () => JSON.stringify((await ("+expression+")) ?? null))()", chromedp.EvalAwaitPromise))
	if err != nil || v == nil {
		return err
	}
	return json.Unmarshal([]byte(text), v)
}

// lookEvery is how long Until lets pass between two looks.
const lookEvery = 30 * time.Millisecond

// Until looks until an expression is true in the page. The error names what did not come,
// and what the page says instead.
func (p *Page) Until(timeout time.Duration, what, expression string) error {
	deadline := time.Now().Add(timeout)
	for {
		var yes bool
		err := p.Eval("!!("+expression+")", &yes)
		if err == nil && yes {
			return nil
		}
		if p.ctx.Err() != nil || time.Now().After(deadline) {
			var text string
			_ = p.Eval("document.body.innerText.slice(0, 3000)", &text) // it only helps to see why
			return errors.Join(fmt.Errorf("%s did not come within %s; the page says:\n%s", what, timeout, text), err)
		}
		time.Sleep(lookEvery)
	}
}

// Text is the visible text of the first element of a selector.
func (p *Page) Text(selector string) (text string, err error) {
	quoted, err := json.Marshal(selector)
	if err != nil {
		return "", err
	}
	err = p.Eval("document.querySelector("+string(quoted)+")?.innerText", &text)
	return text, err
}

// Click clicks the first visible element of a selector, as a mouse does.
func (p *Page) Click(selector string) error {
	if err := p.do(8*time.Second, chromedp.Click(selector, chromedp.NodeVisible)); err != nil {
		return fmt.Errorf("click %s: %w", selector, err)
	}
	return nil
}

// ClickAt clicks at a place of the window, with the shift key held where shift is true.
func (p *Page) ClickAt(x, y float64, shift bool) error {
	var options []chromedp.MouseOption
	if shift {
		options = append(options, chromedp.ButtonModifiers(chromedp.ModifierShift))
	}
	if err := p.do(8*time.Second, chromedp.MouseClickXY(x, y, options...)); err != nil {
		return fmt.Errorf("click at %v, %v: %w", x, y, err)
	}
	return nil
}

// Press presses keys one after the other; see package kb for those that are no letters.
func (p *Page) Press(keys ...string) error {
	for _, k := range keys {
		if err := p.do(5*time.Second, chromedp.KeyEvent(k)); err != nil {
			return fmt.Errorf("press %q: %w", k, err)
		}
	}
	return nil
}

// Picture takes the window, or with full the whole page, as PNG.
func (p *Page) Picture(full bool) (png []byte, err error) {
	ctx, cancel := p.within(20 * time.Second)
	defer cancel()
	shot, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: &full,
	})
	return shot.Data, err
}
