package config

import (
	"flag"
	"net/url"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Web limits what callers may send, and from where. 0 means the default of the package that
// uses it, or no limit.
type Web struct {
	// PublicHosts are host names of a reverse proxy.
	PublicHosts []string
	// Origins are the sites whose pages may call the REST API.
	Origins []string
	// MaxRequest is the size of the largest accepted request, in bytes.
	MaxRequest int
	// MaxStreams is the number of open streams of all callers, StreamsPerCaller of each;
	// MaxCalls the number of calls in progress of all, and MaxRate of calls a second of each.
	// 0 means no limit.
	MaxStreams, StreamsPerCaller, MaxCalls, MaxRate int
	// BodyTimeout is how long a request may take to arrive, StallTimeout how long a reader of
	// rows may stop reading, and CallTimeout how long a call that is not a stream may take.
	BodyTimeout, StallTimeout, CallTimeout time.Duration
}

// flags adds the flags of w to fs, and returns a function that stores those that are lists.
func (w *Web) flags(fs *flag.FlagSet) (lists func()) {
	var hosts, origins string
	fs.StringVar(&hosts, "public-hosts", "", "comma-separated host `names` under which a reverse proxy is reached, with or without a port; needs --require-keys")
	fs.StringVar(&origins, "cors-origins", "", "comma-separated `origins`, such as https://desk.example, whose pages may call the REST API; needs --require-keys")
	fs.IntVar(&w.MaxRequest, "max-request", 1<<20, "largest request accepted, in `bytes`")
	fs.IntVar(&w.MaxStreams, "max-streams", 1024, "open streams of all callers; 0 for no limit")
	fs.IntVar(&w.StreamsPerCaller, "max-streams-per-caller", 64, "open streams of one API key, or of one address without a key; 0 for no limit")
	fs.IntVar(&w.MaxCalls, "max-calls", 512, "calls in progress of all callers, streams not counted; 0 for no limit")
	fs.IntVar(&w.MaxRate, "max-rate", 500, "calls a second of one API key, or of one address without a key; four seconds' worth may come at once; 0 for no limit")
	fs.DurationVar(&w.BodyTimeout, "body-timeout", 20*time.Second, "how long a request may take to arrive")
	fs.DurationVar(&w.StallTimeout, "stall-timeout", 30*time.Second, "how long a client that reads rows may read nothing")
	fs.DurationVar(&w.CallTimeout, "call-timeout", 10*time.Minute, "how long a call that is not a stream may take")
	return func() { w.PublicHosts, w.Origins = words(hosts), words(origins) }
}

func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

func (w *Web) check(keys bool) error {
	for _, h := range w.PublicHosts {
		if u, err := url.Parse("http://" + h); err != nil || u.Host != h || u.Hostname() == "" {
			return fault.Invalid("public-hosts", "%.80q is not a host name such as data.example or data.example:8443", h)
		}
	}
	for _, o := range w.Origins {
		if u, err := url.Parse(o); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			return fault.Invalid("cors-origins", "%.80q is not an origin such as https://desk.example", o)
		}
	}
	switch { // a page of another site must not become an admin because of the same proxy
	case len(w.PublicHosts) > 0 && !keys:
		return fault.Invalid("public-hosts", "needs --require-keys: whoever reaches the proxy could change everything")
	case len(w.Origins) > 0 && !keys:
		return fault.Invalid("cors-origins", "needs --require-keys: pages of these sites could change everything")
	}
	for _, n := range []struct {
		name      string
		v, lo, hi int
	}{
		{"max-request", w.MaxRequest, 1 << 10, 64 << 20}, {"max-streams", w.MaxStreams, 0, 1 << 20}, {"max-streams-per-caller", w.StreamsPerCaller, 0, 1 << 20},
		{"max-calls", w.MaxCalls, 0, 1 << 20}, {"max-rate", w.MaxRate, 0, 1 << 20},
	} {
		if n.v < n.lo || n.v > n.hi {
			return fault.Invalid(n.name, "%d is not from %d to %d", n.v, n.lo, n.hi)
		}
	}
	for _, d := range []struct {
		name string
		v    time.Duration
		most time.Duration
	}{{"body-timeout", w.BodyTimeout, 10 * time.Minute}, {"stall-timeout", w.StallTimeout, 10 * time.Minute}, {"call-timeout", w.CallTimeout, 24 * time.Hour}} {
		if d.v < time.Second || d.v > d.most {
			return fault.Invalid(d.name, "%s is not from 1s to %s", d.v, d.most)
		}
	}
	return nil
}
