package tusharesim

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/replay"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/synthetic"
	"github.com/afterbell/afterbell/services/tusharesim/internal/table"
)

// Beijing is the provider's time zone.
var Beijing = time.FixedZone("CST", 8*3600)

type digest [sha256.Size]byte

// dayKey names one dataset on one date.
type dayKey struct {
	api  spec.ID
	date int32
}

// Sim is a simulated provider. It is safe for concurrent use.
type Sim struct {
	src    table.Source
	replay *replay.Source // nil when synthetic
	clock  func() time.Time

	mu       sync.Mutex
	offset   time.Duration
	rng      *rand.Rand
	tokens   map[digest]Grant
	points   int
	revoked  map[digest]bool
	allGone  bool
	deny     map[string]bool
	publish  [spec.Count]int
	caps     [spec.Count]int
	latency  time.Duration
	jitter   time.Duration
	faults   []*Fault
	faultSeq int
	limiter  limiter
	// withheld has the time until which a dataset is withheld; zero means until Release.
	withheld map[dayKey]time.Time
	revised  map[dayKey]*revision
	halts    []Suspension
	rekeyed  *rekeying // nil when none
	hang     chan struct{}
	hanging  int
	hangWait chan struct{}
	stats    stats
	snaps    map[snapKey]*table.Table
}

type snapKey struct {
	api    spec.ID
	market string
	today  int32
}

// New returns a simulator. Of a replay directory it reads the file names and the calendar now,
// and the rest when it is requested.
func New(o Options) (*Sim, error) {
	s := &Sim{
		clock: o.Now, offset: o.ClockOffset, points: o.Points, latency: o.Latency, jitter: o.Jitter,
		revoked: map[digest]bool{}, deny: map[string]bool{}, withheld: map[dayKey]time.Time{}, revised: map[dayKey]*revision{},
		hang: make(chan struct{}), hangWait: make(chan struct{}), snaps: map[snapKey]*table.Table{},
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	seed := o.Seed
	if seed == 0 {
		seed = 1
	}
	s.rng = rand.New(rand.NewPCG(seed, 0x7573))
	s.stats.reset()
	for _, a := range spec.All() {
		s.publish[a.ID], s.caps[a.ID] = a.Publish, a.Cap
	}
	switch {
	case o.Points < 0:
		return nil, fmt.Errorf("points: %d is negative; 0 means enough for everything", o.Points)
	case o.ReplayDir == "" && o.StockBasicVintage != "":
		return nil, fmt.Errorf("stock-basic: %q is a recorded list, which only --replay serves", o.StockBasicVintage)
	}
	if o.ReplayDir != "" {
		r, err := replay.Open(o.ReplayDir, o.StockBasicVintage)
		if err != nil {
			return nil, err
		}
		s.src, s.replay = r, r
	} else {
		u, err := synthetic.New(synthetic.Options{Seed: seed, Stocks: size(o.Stocks, DefaultStocks), Funds: size(o.Funds, DefaultFunds)})
		if err != nil {
			return nil, err
		}
		s.src = u
	}
	errs := []error{s.SetTokens(o.Tokens), s.SetLimits(o.Limits...), named("deny", s.Deny(o.Deny...))}
	for api, at := range o.Publish {
		errs = append(errs, named("publish", s.SetPublish(api, at)))
	}
	for api, n := range o.Caps {
		errs = append(errs, named("cap", s.SetCap(api, n)))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// named adds the option's name in front of an error.
func named(option string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", option, err)
}

func size(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return 0
	}
	return n
}

// Now returns the simulator's time, in Beijing time.
func (s *Sim) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now()
}

func (s *Sim) now() time.Time { return s.clock().Add(s.offset).In(Beijing) }

// Today returns the simulator's date as YYYYMMDD. No later day is ever served.
func (s *Sim) Today() string { return calendar.Text(calendar.FromTime(s.Now())) }

// SetClockOffset sets the duration that is added to the clock.
func (s *Sim) SetClockOffset(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = d
}

// SetTime sets the clock to t; it continues from there.
func (s *Sim) SetTime(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = t.Sub(s.clock())
}

// SetTokens replaces the accepted tokens; an empty map accepts any token that is
// not empty. Revocations are lifted.
func (s *Sim) SetTokens(tokens map[string]Grant) error {
	m := map[digest]Grant{}
	for t, g := range tokens {
		if t == "" {
			return errors.New("tokens: an empty token cannot be accepted")
		}
		for _, a := range g.Deny {
			if _, err := lookup(a); err != nil {
				return err
			}
		}
		m[sha256.Sum256([]byte(t))] = g
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = m
	s.allGone = false
	clear(s.revoked)
	return nil
}

// RevokeToken revokes a token; an empty one revokes all tokens.
func (s *Sim) RevokeToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if token == "" {
		s.allGone = true
		return
	}
	s.revoked[sha256.Sum256([]byte(token))] = true
}

// RestoreTokens undoes all revocations.
func (s *Sim) RestoreTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allGone = false
	clear(s.revoked)
}

// SetPoints sets the points of tokens that are not listed; 0 means enough.
func (s *Sim) SetPoints(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.points = n
}

// Deny forbids interfaces to every token.
func (s *Sim) Deny(apis ...string) error { return s.setDeny(true, apis) }

// Allow undoes Deny for interfaces; without arguments, for all.
func (s *Sim) Allow(apis ...string) error {
	if len(apis) == 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.deny)
		return nil
	}
	return s.setDeny(false, apis)
}

func (s *Sim) setDeny(on bool, apis []string) error {
	for _, a := range apis {
		if _, err := lookup(a); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range apis {
		if on {
			s.deny[a] = true
		} else {
			delete(s.deny, a)
		}
	}
	return nil
}

// SetPublish sets the hour, "HH:MM" Beijing time, from which an interface shows
// today's rows; "00:00" shows them all day.
func (s *Sim) SetPublish(api, at string) error {
	a, err := lookup(api)
	if err != nil {
		return err
	}
	if !a.Dated {
		return fmt.Errorf("%s has no hour of publication", api)
	}
	t, err := time.Parse("15:04", at)
	if err != nil {
		return fmt.Errorf("hour of publication of %s: %q is not HH:MM", api, at)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.publish[a.ID] = t.Hour()*60 + t.Minute()
	return nil
}

// SetCap sets the most rows of one reply; 0 restores the documented cap.
func (s *Sim) SetCap(api string, n int) error {
	a, err := lookup(api)
	if err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("cap of %s: %d is negative", api, n)
	}
	if n == 0 {
		n = a.Cap
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caps[a.ID] = n
	return nil
}

// SetLatency sets the wait before each reply and the most that chance adds.
func (s *Sim) SetLatency(latency, jitter time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.latency, s.jitter = max(0, latency), max(0, jitter)
}

// OpenDates returns the open days from..to (YYYYMMDD, inclusive) of the exchange calendar in
// ascending order, including future ones. It returns nil if a bound is not a date.
func (s *Sim) OpenDates(from, to string) []string {
	f, ok1 := calendar.Parse(from)
	t, ok2 := calendar.Parse(to)
	if !ok1 || !ok2 {
		return nil
	}
	var days []int32
	if s.replay != nil {
		days = s.replay.OpenDays(f, t)
	} else {
		days = calendar.Standard().Between(f, t)
	}
	out := make([]string, len(days))
	for i, d := range days {
		out[i] = calendar.Text(d)
	}
	return out
}

// Source returns what is served: "synthetic" or "replay".
func (s *Sim) Source() string {
	if s.replay != nil {
		return "replay"
	}
	return "synthetic"
}

func lookup(api string) (*spec.API, error) {
	if a := spec.Lookup(api); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("no interface %q; there are %v", api, apiNames())
}

func apiNames() []string {
	var out []string
	for _, a := range spec.All() {
		out = append(out, a.Name)
	}
	slices.Sort(out)
	return out
}

func dated(api, date string) (*spec.API, int32, error) {
	a, err := lookup(api)
	if err != nil {
		return nil, 0, err
	}
	if !a.Dated {
		return nil, 0, fmt.Errorf("%s is not kept by trade date", api)
	}
	d, ok := calendar.Parse(date)
	if !ok {
		return nil, 0, fmt.Errorf("trade date %q is not YYYYMMDD", date)
	}
	return a, d, nil
}
