package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim"
)

// grace is how long calls in progress may take once a stop is asked for.
const grace = 5 * time.Second

// config is what the flags say.
type config struct {
	addr   string
	tokens string
	file   string
	opts   tusharesim.Options
}

// run is the program: 0 after a clean stop, 1 after a failure, 2 for a flag that
// cannot be.
func run(args []string, getenv func(string) string, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cfg, err := parse(args, getenv, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "tushare-sim: %s\n", oneLine(err))
		return 2
	}
	if err := serve(ctx, cfg, slog.New(slog.NewJSONHandler(stderr, nil))); err != nil {
		fmt.Fprintf(stderr, "tushare-sim: %s\n", oneLine(err))
		if _, wrong := errors.AsType[optionError](err); wrong {
			return 2
		}
		return 1
	}
	return 0
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// optionError is a flag of which no simulator can be made.
type optionError struct{ error }

// serve runs until ctx ends.
func serve(ctx context.Context, cfg *config, log *slog.Logger) error {
	s, err := tusharesim.StartAt(context.WithoutCancel(ctx), cfg.addr, cfg.opts)
	var network *net.OpError
	switch {
	case errors.As(err, &network):
		return err
	case err != nil:
		return optionError{err}
	}
	st := s.State()
	log.Info("listening", "addr", s.Addr, "url", s.URL, "source", st.Source, "today", st.Today, "seed", cfg.opts.Seed)
	select {
	case <-ctx.Done():
	case <-s.Done():
		return s.Close()
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Shutdown(end); err != nil {
		log.Warn("killed", "reason", err.Error())
		return nil
	}
	log.Info("stopped", "calls", s.Stats().Total)
	return nil
}

// parse reads flags, and for those not given the environment.
func parse(args []string, getenv func(string) string, stderr io.Writer) (*config, error) {
	c := &config{}
	o := &c.opts
	o.Publish, o.Caps = map[string]string{}, map[string]int{}
	fs := flag.NewFlagSet("tushare-sim", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&c.addr, "addr", "127.0.0.1:7790", "address to listen on; loopback only, port 0 takes a free one")
	fs.Uint64Var(&o.Seed, "seed", 1, "seed of the synthetic market and of all random choices")
	fs.IntVar(&o.Stocks, "stocks", tusharesim.DefaultStocks, "stock codes of the synthetic market; -1 none")
	fs.IntVar(&o.Funds, "funds", tusharesim.DefaultFunds, "exchange-traded funds of the synthetic market; -1 none")
	fs.StringVar(&o.ReplayDir, "replay", "", "folder of recorded data to serve instead of the synthetic market")
	fs.StringVar(&o.StockBasicVintage, "stock-basic", "", "recorded stock list to serve, e.g. 201911; the newest if empty")
	fs.DurationVar(&o.ClockOffset, "clock-offset", 0, "added to the system's clock, e.g. -24h")
	fs.Func("publish", "hour of publication, api=HH:MM Beijing time; a comma list or repeated", each(func(k, v string) error {
		o.Publish[k] = v
		return nil
	}))
	fs.Func("cap", "maximum rows of one response, api=N; a comma list or repeated", each(func(k, v string) error {
		n, err := strconv.Atoi(v)
		o.Caps[k] = n
		return err
	}))
	fs.StringVar(&c.tokens, "tokens", "", "accepted tokens, a comma list of token or token=points; any if empty (prefer --tokens-file)")
	fs.StringVar(&c.file, "tokens-file", "", "file of accepted tokens, one token or token=points per line")
	fs.IntVar(&o.Points, "points", 0, "points of tokens that are not listed; 0 means enough for everything")
	fs.Func("deny", "APIs that no token may call, a comma list", func(s string) error {
		for a := range strings.SplitSeq(s, ",") {
			if a = strings.TrimSpace(a); a != "" {
				o.Deny = append(o.Deny, a)
			}
		}
		return nil
	})
	fs.Func("limit", "rate limit per token and API, api=N/minute[:new][:rolling], * for every API; a comma list or repeated", each(func(k, v string) error {
		l, err := limit(k, v)
		o.Limits = append(o.Limits, l)
		return err
	}))
	fs.DurationVar(&o.Latency, "latency", 0, "delay before each response")
	fs.DurationVar(&o.Jitter, "jitter", 0, "maximum random addition to the latency")
	version := fs.Bool("version", false, "print the version and exit")

	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "tushare-sim: a simulated Tushare Pro provider. Each flag is also AFTERBELL_SIM_<FLAG> in the environment.")
			fs.SetOutput(stderr)
			fs.PrintDefaults()
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, errors.New("arguments are not allowed, only flags; see --help")
	}
	if *version {
		fmt.Fprintln(stderr, "tushare-sim", build())
		return nil, flag.ErrHelp
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		env := "AFTERBELL_SIM_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		v := getenv(env)
		if given[f.Name] || v == "" || err != nil || f.Name == "version" {
			return
		}
		if e := fs.Set(f.Name, v); e != nil {
			if strings.HasPrefix(f.Name, "tokens") {
				e = errors.New("not readable")
			}
			err = fmt.Errorf("%s: %w", env, e)
		}
	})
	if err != nil {
		return nil, err
	}
	if o.Latency < 0 || o.Jitter < 0 {
		return nil, errors.New("latency and jitter cannot be negative")
	}
	return c, c.readTokens()
}

// build is the commit and the Go that the program was built from and with.
func build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit := "unknown"
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			commit = s.Value
		}
	}
	return fmt.Sprintf("commit %.12s, %s", commit, info.GoVersion)
}

// each parses a comma list of key=value.
func each(fn func(k, v string) error) func(string) error {
	return func(s string) error {
		for part := range strings.SplitSeq(s, ",") {
			k, v, ok := strings.Cut(strings.TrimSpace(part), "=")
			if !ok {
				return fmt.Errorf("%q is not in the form api=value", part)
			}
			if err := fn(k, v); err != nil {
				return fmt.Errorf("%q: %w", part, err)
			}
		}
		return nil
	}
}

// limit parses N/minute[:new][:rolling].
func limit(api, v string) (tusharesim.Limit, error) {
	l := tusharesim.Limit{API: api}
	if api == "*" {
		l.API = ""
	}
	parts := strings.Split(v, ":")
	n, per, ok := strings.Cut(parts[0], "/")
	if !ok {
		return l, errors.New("a limit reads N/minute, N/hour or N/day")
	}
	var err error
	if l.N, err = strconv.Atoi(n); err != nil {
		return l, errors.New("a limit begins with a number")
	}
	l.Per = per
	for _, p := range parts[1:] {
		switch p {
		case "old", "new":
			l.Text = p
		case "rolling":
			l.Rolling = true
		default:
			return l, fmt.Errorf("a limit may end in :old, :new or :rolling, not :%s", p)
		}
	}
	return l, nil
}

// readTokens fills in the accepted tokens; its errors name places, never values.
func (c *config) readTokens() error {
	lines := strings.Split(c.tokens, ",")
	if c.file != "" {
		b, err := os.ReadFile(c.file)
		if err != nil {
			return fmt.Errorf("tokens-file: %w", err)
		}
		lines = append(lines, strings.Split(string(b), "\n")...)
	}
	for i, l := range lines {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasPrefix(l, "#") {
			continue
		}
		token, points, has := strings.Cut(l, "=")
		g := tusharesim.Grant{}
		if has {
			n, err := strconv.Atoi(points)
			if err != nil || n < 0 {
				return fmt.Errorf("token number %d: its points are not a number", i+1)
			}
			g.Points = n
		}
		if c.opts.Tokens == nil {
			c.opts.Tokens = map[string]tusharesim.Grant{}
		}
		c.opts.Tokens[token] = g
	}
	return nil
}
