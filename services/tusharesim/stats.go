package tusharesim

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// Limits of what is remembered about calls.
const (
	maxLog    = 10000
	maxParams = 10000
)

// Call is a call that was received.
type Call struct {
	// Seq counts from 1 since the last reset.
	Seq int64 `json:"seq"`
	// Time is the simulator's.
	Time time.Time `json:"time"`
	// API and Params are as sent, without the token.
	API    string            `json:"api"`
	Params map[string]string `json:"params,omitempty"`
	// Fields are the requested fields.
	Fields string `json:"fields,omitempty"`
	// Fault is the kind of the fault that affected it, if any.
	Fault FaultKind `json:"fault,omitempty"`
	// Code is the provider's code; 0 also when the transport failed.
	Code int `json:"code"`
	// Rows is the number of rows sent.
	Rows int `json:"rows"`
}

// Stats has the numbers of calls since the start or the last reset.
type Stats struct {
	// Total counts all calls, refused ones included.
	Total int64 `json:"total"`
	// ByAPI counts them per api_name.
	ByAPI map[string]int64 `json:"by_api"`
	// ByParams counts them per "api_name key=value …", keys sorted; the first
	// 10,000 different ones.
	ByParams map[string]int64 `json:"by_params"`
	// Rows counts the rows sent.
	Rows int64 `json:"rows"`
}

type stats struct {
	Stats
	log  []Call
	next int
}

func (s *stats) reset() {
	*s = stats{Stats: Stats{ByAPI: map[string]int64{}, ByParams: map[string]int64{}}}
}

// Stats returns the counters.
func (s *Sim) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats.Stats
	out.ByAPI, out.ByParams = maps.Clone(out.ByAPI), maps.Clone(out.ByParams)
	return out
}

// Calls returns the newest 10,000 finished calls, oldest first.
func (s *Sim) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Concat(s.stats.log[s.stats.next:], s.stats.log[:s.stats.next])
}

// ResetStats resets the counters and discards the calls.
func (s *Sim) ResetStats() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.reset()
}

// arrive counts a call when it is received. The caller holds mu.
func (s *Sim) arrive(r request) *Call {
	hideToken(&r)
	s.stats.Total++
	c := &Call{Seq: s.stats.Total, Time: s.now(), API: r.api, Params: r.params, Fields: r.fields}
	if len(s.stats.ByAPI) < maxParams || s.stats.ByAPI[r.api] > 0 {
		s.stats.ByAPI[r.api]++
	}
	var b strings.Builder
	b.WriteString(r.api)
	for _, k := range slices.Sorted(maps.Keys(r.params)) {
		b.WriteString(" " + k + "=" + r.params[k])
	}
	key := b.String()
	if len(s.stats.ByParams) < maxParams || s.stats.ByParams[key] > 0 {
		s.stats.ByParams[key]++
	}
	return c
}

// done writes a call to the log.
func (s *Sim) done(c *Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Rows += int64(c.Rows)
	if len(s.stats.log) < maxLog {
		s.stats.log = append(s.stats.log, *c)
		return
	}
	s.stats.log[s.stats.next] = *c
	s.stats.next = (s.stats.next + 1) % maxLog
}

// hideToken removes the token from everything that is remembered, wherever a caller may have
// put it, and truncates long texts.
func hideToken(r *request) {
	clean := func(s string) string {
		if r.token != "" && (s == r.token || len(r.token) >= 8 && strings.Contains(s, r.token)) {
			return "[token]"
		}
		if len(s) > 500 {
			return strings.ToValidUTF8(s[:500], "") + "…"
		}
		return s
	}
	params := make(map[string]string, len(r.params))
	for k, v := range r.params {
		if strings.EqualFold(k, "token") {
			continue
		}
		params[clean(k)] = clean(v)
	}
	r.params, r.fields = params, clean(r.fields)
	if spec.Lookup(r.api) == nil {
		r.api = clean(r.api)
	}
}
