package tusharesim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
	"github.com/afterbell/afterbell/services/tusharesim/internal/wire"
)

// State is the simulator's state as the control endpoint returns it. It has no token.
type State struct {
	// Source is "synthetic" or "replay".
	Source string `json:"source"`
	// Now and Today are the simulator's time and date in Beijing; Today is YYYYMMDD.
	Now   time.Time `json:"now"`
	Today string    `json:"today"`
	// ClockOffset is added to the system's clock.
	ClockOffset string `json:"clock_offset"`
	// StockBasicVintage is the recorded stock list in use; Vintages are all available ones.
	StockBasicVintage string   `json:"stock_basic_vintage,omitempty"`
	Vintages          []string `json:"vintages,omitempty"`
	// Publish and Caps are per interface.
	Publish map[string]string `json:"publish"`
	Caps    map[string]int    `json:"caps"`
	// Latency and Jitter are durations.
	Latency string `json:"latency"`
	Jitter  string `json:"jitter"`
	// TokensListed is the number of accepted tokens; 0 means that any is accepted. Revoked is the
	// number of revoked tokens; -1 means all.
	TokensListed int `json:"tokens_listed"`
	Revoked      int `json:"revoked"`
	Points       int `json:"points"`
	// Denied are the interfaces that no token may call.
	Denied []string `json:"denied"`
	Limits []Limit  `json:"limits"`
	Faults []Fault  `json:"faults"`
	// Withheld and Revised are "api trade_date". An entry of Withheld that ends by itself has
	// " until " and the time appended.
	Withheld []string `json:"withheld"`
	Revised  []string `json:"revised"`
	// Suspensions are those of Suspend.
	Suspensions []Suspension `json:"suspensions"`
	// Rekeyed are replaced ts_codes, first to newest.
	Rekeyed map[string]string `json:"rekeyed"`
	// Hanging is the number of calls that hang now.
	Hanging int `json:"hanging"`
}

// State returns the simulator's state.
func (s *Sim) State() State {
	st := State{Source: s.Source(), Faults: s.Faults(), Publish: map[string]string{}, Caps: map[string]int{}, Denied: []string{}, Limits: []Limit{}, Withheld: []string{}, Revised: []string{}, Suspensions: []Suspension{}, Rekeyed: map[string]string{}}
	if s.replay != nil {
		st.StockBasicVintage, st.Vintages = s.replay.Vintage(), s.replay.Vintages()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Now = s.now()
	st.Today = st.Now.Format("20060102")
	st.ClockOffset, st.Latency, st.Jitter = s.offset.String(), s.latency.String(), s.jitter.String()
	st.TokensListed, st.Revoked, st.Points, st.Hanging = len(s.tokens), len(s.revoked), s.points, s.hanging
	if s.allGone {
		st.Revoked = -1
	}
	if s.rekeyed != nil {
		maps.Copy(st.Rekeyed, s.rekeyed.shown)
	}
	st.Suspensions = append(st.Suspensions, s.halts...)
	st.Limits = append(st.Limits, s.limiter.limits...)
	for _, a := range spec.All() {
		st.Caps[a.Name] = s.caps[a.ID]
		if a.Dated {
			st.Publish[a.Name] = fmt.Sprintf("%02d:%02d", s.publish[a.ID]/60, s.publish[a.ID]%60)
		}
		if s.deny[a.Name] {
			st.Denied = append(st.Denied, a.Name)
		}
	}
	for k, until := range s.withheld {
		what := k.String()
		if !until.IsZero() {
			what += " until " + until.In(Beijing).Format(time.RFC3339)
		}
		st.Withheld = append(st.Withheld, what)
	}
	for k := range s.revised {
		st.Revised = append(st.Revised, k.String())
	}
	return st
}

// String is "api trade_date".
func (k dayKey) String() string { return fmt.Sprintf("%s %d", spec.Get(k.api).Name, k.date) }

// control serves the endpoint under /_sim/. All responses are JSON; an invalid request gets 400
// with {"error": …}.
func (s *Sim) control() http.Handler {
	mux := http.NewServeMux()
	on := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := fn(r)
			if err != nil {
				writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
				return
			}
			if v == nil {
				v = map[string]bool{"ok": true}
			}
			writeJSON(w, http.StatusOK, v)
		})
	}
	on("GET /_sim/{$}", func(*http.Request) (any, error) { return s.State(), nil })
	on("GET /_sim/state", func(*http.Request) (any, error) { return s.State(), nil })

	on("GET /_sim/faults", func(*http.Request) (any, error) { return s.Faults(), nil })
	on("POST /_sim/faults", func(r *http.Request) (any, error) {
		var f Fault
		if err := decode(r, &f); err != nil {
			return nil, err
		}
		id, err := s.AddFault(f)
		return map[string]int{"id": id}, err
	})
	on("DELETE /_sim/faults", func(*http.Request) (any, error) { s.ClearFaults(); return nil, nil })
	on("DELETE /_sim/faults/{id}", func(r *http.Request) (any, error) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || !s.RemoveFault(id) {
			return nil, fmt.Errorf("no fault %q", r.PathValue("id"))
		}
		return nil, nil
	})
	on("POST /_sim/hangs/release", func(*http.Request) (any, error) { s.ReleaseHangs(); return nil, nil })

	on("POST /_sim/limits", func(r *http.Request) (any, error) {
		var ls []Limit
		if err := decode(r, &ls); err != nil {
			return nil, err
		}
		return nil, s.SetLimits(ls...)
	})
	on("DELETE /_sim/limits", func(*http.Request) (any, error) { return nil, s.SetLimits() })

	on("POST /_sim/publish", func(r *http.Request) (any, error) {
		var m map[string]string
		if err := decode(r, &m); err != nil {
			return nil, err
		}
		for api, at := range m {
			if err := s.SetPublish(api, at); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	on("POST /_sim/caps", func(r *http.Request) (any, error) {
		var m map[string]int
		if err := decode(r, &m); err != nil {
			return nil, err
		}
		for api, n := range m {
			if err := s.SetCap(api, n); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	on("POST /_sim/withhold", func(r *http.Request) (any, error) {
		var x struct {
			API       string    `json:"api"`
			TradeDate string    `json:"trade_date"`
			Until     time.Time `json:"until"`
		}
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		return nil, s.WithholdUntil(x.API, x.TradeDate, x.Until)
	})
	on("POST /_sim/release", func(r *http.Request) (any, error) {
		var x struct {
			API       string `json:"api"`
			TradeDate string `json:"trade_date"`
		}
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		return nil, s.Release(x.API, x.TradeDate)
	})
	on("POST /_sim/revise", func(r *http.Request) (any, error) {
		var x Revision
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		return s.Revise(x)
	})
	on("DELETE /_sim/revise", func(*http.Request) (any, error) { s.ClearRevisions(); return nil, nil })
	on("POST /_sim/rekey", func(r *http.Request) (any, error) {
		var x map[string]string
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		return nil, s.Rekey(x)
	})
	on("DELETE /_sim/rekey", func(*http.Request) (any, error) { s.ClearRekeys(); return nil, nil })
	on("POST /_sim/suspensions", func(r *http.Request) (any, error) {
		var x Suspension
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		codes, err := s.Suspend(x)
		return map[string][]string{"codes": codes}, err
	})
	on("DELETE /_sim/suspensions", func(*http.Request) (any, error) { s.ClearSuspensions(); return nil, nil })

	on("POST /_sim/tokens", s.controlTokens)
	on("POST /_sim/permissions", func(r *http.Request) (any, error) {
		var x struct {
			Deny   []string `json:"deny"`
			Allow  []string `json:"allow"`
			Points *int     `json:"points"`
		}
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		if x.Points != nil {
			s.SetPoints(*x.Points)
		}
		if len(x.Allow) > 0 {
			if err := s.Allow(x.Allow...); err != nil {
				return nil, err
			}
		}
		return nil, s.Deny(x.Deny...)
	})
	on("POST /_sim/clock", func(r *http.Request) (any, error) {
		var x struct {
			Offset *string    `json:"offset"`
			Now    *time.Time `json:"now"`
		}
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		switch {
		case x.Now != nil:
			s.SetTime(*x.Now)
		case x.Offset != nil:
			d, err := time.ParseDuration(*x.Offset)
			if err != nil {
				return nil, err
			}
			s.SetClockOffset(d)
		default:
			return nil, fmt.Errorf("clock: neither offset nor now is given")
		}
		return map[string]any{"now": s.Now()}, nil
	})
	on("POST /_sim/latency", func(r *http.Request) (any, error) {
		var x struct {
			Latency string `json:"latency"`
			Jitter  string `json:"jitter"`
		}
		if err := decode(r, &x); err != nil {
			return nil, err
		}
		l, err := time.ParseDuration(cmp.Or(x.Latency, "0s"))
		if err != nil {
			return nil, err
		}
		j, err := time.ParseDuration(cmp.Or(x.Jitter, "0s"))
		if err != nil {
			return nil, err
		}
		s.SetLatency(l, j)
		return nil, nil
	})

	on("GET /_sim/stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	on("GET /_sim/calls", func(*http.Request) (any, error) { return s.Calls(), nil })
	reset := func(*http.Request) (any, error) { s.ResetStats(); return nil, nil }
	on("DELETE /_sim/stats", reset)
	on("DELETE /_sim/calls", reset)
	on("GET /_sim/open-dates", func(r *http.Request) (any, error) {
		from, to := r.URL.Query().Get("from"), r.URL.Query().Get("to")
		out := s.OpenDates(from, to)
		if out == nil {
			out = []string{}
		}
		return out, nil
	})
	mux.HandleFunc("GET /_sim/rows", s.controlRows)
	mux.HandleFunc("/_sim/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such control call: " + r.Method + " " + r.URL.Path})
	})
	return mux
}

func (s *Sim) controlTokens(r *http.Request) (any, error) {
	var x struct {
		// Accept replaces the accepted tokens, also with {}; if absent, they stay.
		Accept map[string]Grant `json:"accept"`
		// Revoke revokes one token.
		Revoke string `json:"revoke"`
		// RevokeAll revokes all tokens; Restore undoes both.
		RevokeAll bool `json:"revoke_all"`
		Restore   bool `json:"restore"`
	}
	if err := decode(r, &x); err != nil {
		return nil, err
	}
	if x.Restore {
		s.RestoreTokens()
	}
	if x.Accept != nil {
		if err := s.SetTokens(x.Accept); err != nil {
			return nil, err
		}
	}
	if x.RevokeAll {
		s.RevokeToken("")
	}
	if x.Revoke != "" {
		s.RevokeToken(x.Revoke)
	}
	return nil, nil
}

// controlRows serves Rows over HTTP. The URL's query has api and fields; every other key is a
// parameter.
func (s *Sim) controlRows(w http.ResponseWriter, r *http.Request) {
	params := map[string]string{}
	var fields []string
	api := ""
	for k, v := range r.URL.Query() {
		switch k {
		case "api":
			api = v[0]
		case "fields":
			for f := range strings.SplitSeq(v[0], ",") {
				if f = strings.TrimSpace(f); f != "" {
					fields = append(fields, f)
				}
			}
		default:
			params[k] = v[0]
		}
	}
	p, err := s.truth(api, params, fields)
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	body := []byte(`{"fields":[`)
	for i, n := range p.q.names {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, wire.Quote(n)...)
	}
	body = append(body, `],"items":[`...)
	body = append(p.appendRows(body), "]}"...)
	write(w, http.StatusOK, contentType, body)
}

func decode(r *http.Request, v any) error {
	dec := json.NewDecoder(io.LimitReader(r.Body, maxBody))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		// The error may quote the body, which may have a token.
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("the body is not the JSON expected here")
		}
		if strings.HasPrefix(err.Error(), "json: unknown field") {
			return fmt.Errorf("the body has a field that is not known here")
		}
		return fmt.Errorf("the body has a value of the wrong kind")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"cannot be written as JSON"}`)
	}
	write(w, status, contentType, append(b, '\n'))
}
