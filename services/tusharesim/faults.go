package tusharesim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/afterbell/afterbell/services/tusharesim/internal/calendar"
	"github.com/afterbell/afterbell/services/tusharesim/internal/spec"
)

// FaultKind names what goes wrong.
type FaultKind string

// Faults of the transport: the call never gets a proper reply.
const (
	// HTTP500 answers with that status and a page of HTML, as do the next four.
	HTTP500 FaultKind = "http_500"
	// HTTP502 is a bad gateway.
	HTTP502 FaultKind = "http_502"
	// HTTP503 is an outage.
	HTTP503 FaultKind = "http_503"
	// HTTP403 is a gate before the provider.
	HTTP403 FaultKind = "http_403"
	// HTTP429 is a gate that limits calls; RetryAfter, if set, is sent along.
	HTTP429 FaultKind = "http_429"
	// Hang holds the call until ReleaseHangs, or until the caller goes away.
	Hang FaultKind = "hang"
	// Reset closes the connection with a TCP reset before any reply.
	Reset FaultKind = "reset"
	// TruncatedBody breaks the connection in the middle of the reply.
	TruncatedBody FaultKind = "truncated_body"
	// MalformedJSON ends the reply properly but in the middle of a row.
	MalformedJSON FaultKind = "malformed_json"
	// HTMLPage answers status 200 with HTML.
	HTMLPage FaultKind = "html"
	// Slow waits DelayMS and then answers as usual.
	Slow FaultKind = "slow"
	// Redirect answers 302 to the root of another port.
	Redirect FaultKind = "redirect"
	// BOM puts a byte order mark before the reply.
	BOM FaultKind = "bom"
)

// Faults of the account: a code of the provider.
const (
	// BadToken answers 40101.
	BadToken FaultKind = "bad_token"
	// NoPermission answers 40203 with the text about permission.
	NoPermission FaultKind = "no_permission"
	// MinuteLimit answers 40203 with the text about rates; N is the number named,
	// Text its form.
	MinuteLimit FaultKind = "minute_limit"
	// HourLimit is the same per hour.
	HourLimit FaultKind = "hour_limit"
	// DayQuota is the same per day.
	DayQuota FaultKind = "day_quota"
	// TooManyIPs answers 40204.
	TooManyIPs FaultKind = "too_many_ips"
	// BadRequest answers 50101.
	BadRequest FaultKind = "bad_request"
	// AnyCode answers Code and Text as they are, with data null. Code is required
	// and not 0.
	AnyCode FaultKind = "code"
	// DataNull answers code 0 with data null, and Text as the message.
	DataNull FaultKind = "data_null"
)

// Faults of the data: code 0 and wrong content.
const (
	// RepeatedPage answers every later page with the rows of the first; calls
	// for a first page do not count as matching.
	RepeatedPage FaultKind = "repeated_page"
	// SilentTruncation cuts the reply at N rows (half the cap if 0) and says
	// has_more false.
	SilentTruncation FaultKind = "silent_truncation"
	// Empty answers without rows.
	Empty FaultKind = "empty"
	// HalfDay knows only the first N percent of the rows (50 if 0).
	HalfDay FaultKind = "half_day"
	// DuplicateRows repeats N rows of the page at its end (10 if 0).
	DuplicateRows FaultKind = "duplicate_rows"
	// OtherDate labels all rows with the open day before the one asked for.
	OtherDate FaultKind = "other_date"
	// WrongValue spoils N rows of the page (1 if 0) as Mode says.
	WrongValue FaultKind = "wrong_value"
	// LatePage answers every later page with the one before it, so that one page comes
	// twice and the last never; calls for a first page do not count as matching.
	LatePage FaultKind = "late_page"
	// Endless says has_more true whatever is left.
	Endless FaultKind = "endless"
)

// Modes of WrongValue. Column says where; a mode has no effect on replies that
// do not carry its columns.
const (
	// ModeHighBelowLow makes high smaller than low. It is the default where
	// there is a high.
	ModeHighBelowLow = "high_below_low"
	// ModeNegative makes Column negative, by default vol, turnover_rate or
	// buy_sm_vol. It is the default where there is no high.
	ModeNegative = "negative"
	// ModeNull empties Column, by default close.
	ModeNull = "null"
	// ModeText puts text where a number belongs, by default into close.
	ModeText = "text"
	// ModeTenfold multiplies Column by ten, by default close or total_share.
	ModeTenfold = "tenfold"
)

// FaultKinds lists all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{
		HTTP500, HTTP502, HTTP503, HTTP403, HTTP429, Hang, Reset, TruncatedBody, MalformedJSON, HTMLPage, Slow,
		BadToken, NoPermission, MinuteLimit, HourLimit, DayQuota, TooManyIPs, BadRequest, AnyCode, DataNull,
		RepeatedPage, SilentTruncation, Empty, HalfDay, DuplicateRows, OtherDate, WrongValue,
		Stale, ClosedDays, ScaleColumn, NullColumn, MangledCode, DropRows, LongList,
		Redirect, BOM, LatePage, Endless, SetColumn, ShiftColumn, SwapColumns, RoundColumn, DashedDates, FlippedDay, AllSuspended,
	}
}

// Fault is one thing that goes wrong. The first fault that matches a call is the
// one that happens to it.
type Fault struct {
	// ID is given by AddFault.
	ID int `json:"id"`
	// Kind says what happens.
	Kind FaultKind `json:"kind"`
	// API narrows to an interface; empty matches all.
	API string `json:"api,omitempty"`
	// TradeDate (YYYYMMDD) narrows to calls that cover this date; empty matches
	// all.
	TradeDate string `json:"trade_date,omitempty"`
	// EndDate (YYYYMMDD) makes TradeDate the first of a span of dates; empty is
	// TradeDate alone.
	EndDate string `json:"end_date,omitempty"`
	// Probability between 0 and 1; 0 means always.
	Probability float64 `json:"probability,omitempty"`
	// Skip lets this many matching calls pass first.
	Skip int `json:"skip,omitempty"`
	// Count is the number of times it happens; 0 means until removed.
	Count int `json:"count,omitempty"`
	// N, Text, Column and Mode are explained with the kinds.
	N      int    `json:"n,omitempty"`
	Text   string `json:"text,omitempty"`
	Column string `json:"column,omitempty"`
	Mode   string `json:"mode,omitempty"`
	// Columns are the columns of Stale, ScaleColumn, NullColumn, SetColumn, ShiftColumn,
	// SwapColumns and RoundColumn; EveryColumn is all that hold numbers.
	Columns []string `json:"columns,omitempty"`
	// Codes narrows a fault of rows to these ts_codes; empty is all.
	Codes []string `json:"codes,omitempty"`
	// To are the codes that MangledCode puts in place of Codes, in their order.
	To []string `json:"to,omitempty"`
	// Exchange (SH, SZ, BJ) narrows a fault of rows to the codes that end so.
	Exchange string `json:"exchange,omitempty"`
	// Share narrows a fault of rows to this share of them, the same in each call;
	// 0 is all.
	Share float64 `json:"share,omitempty"`
	// Factor is what ScaleColumn multiplies by, and RoundColumn rounds to.
	Factor float64 `json:"factor,omitempty"`
	// SourceDate (YYYYMMDD) is the day whose rows Stale and ClosedDays show.
	SourceDate string `json:"source_date,omitempty"`
	// Code is the provider's code of AnyCode and LongList.
	Code int `json:"code,omitempty"`
	// RetryAfter is the Retry-After of HTTP429 in seconds; 0 sends none.
	RetryAfter int `json:"retry_after,omitempty"`
	// DelayMS is waited before the reply, in milliseconds.
	DelayMS int64 `json:"delay_ms,omitempty"`
	// Happened counts how often it happened.
	Happened int `json:"happened"`
}

func (f *Fault) check() error {
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("fault kind %q is not known; there are %v", f.Kind, FaultKinds())
	}
	if f.API != "" {
		if _, err := lookup(f.API); err != nil {
			return err
		}
	}
	if f.TradeDate != "" {
		if _, ok := calendar.Parse(f.TradeDate); !ok {
			return fmt.Errorf("fault trade_date %q is not YYYYMMDD", f.TradeDate)
		}
	}
	if !(f.Probability >= 0 && f.Probability <= 1) {
		return fmt.Errorf("fault probability %v is not between 0 and 1", f.Probability)
	}
	if f.Skip < 0 || f.Count < 0 || f.N < 0 || f.DelayMS < 0 || f.RetryAfter < 0 {
		return fmt.Errorf("fault %s: skip, count, n, delay_ms and retry_after cannot be negative", f.Kind)
	}
	switch f.Mode {
	case "", ModeHighBelowLow, ModeNegative, ModeNull, ModeText, ModeTenfold:
	case ModeAsIs, ModeCut:
		if f.Kind != map[string]FaultKind{ModeAsIs: ClosedDays, ModeCut: LongList}[f.Mode] {
			return fmt.Errorf("fault %s has no mode %q", f.Kind, f.Mode)
		}
	default:
		return fmt.Errorf("fault mode %q is not known", f.Mode)
	}
	if err := f.checkRows(); err != nil {
		return err
	}
	switch f.Kind {
	case AnyCode:
		if f.Code == 0 {
			return fmt.Errorf("fault %s: code is missing; data_null answers code 0", f.Kind)
		}
	case DataNull, LongList, SetColumn:
	default:
		if f.Text != "" && f.Text != TextOld && f.Text != TextNew {
			return fmt.Errorf("fault %s: text %q is not old or new", f.Kind, f.Text)
		}
	}
	return nil
}

// AddFault switches a fault on and returns its id.
func (s *Sim) AddFault(f Fault) (int, error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	f.Columns, f.Codes, f.To = slices.Clone(f.Columns), slices.Clone(f.Codes), slices.Clone(f.To)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultSeq++
	f.ID, f.Happened = s.faultSeq, 0
	s.faults = append(s.faults, &f)
	return f.ID, nil
}

// RemoveFault switches a fault off; false when there is none of that id. A hang
// in progress goes on until ReleaseHangs.
func (s *Sim) RemoveFault(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return f.ID == id })
	return len(s.faults) < n
}

// ClearFaults switches all faults off and lets hanging calls go on.
func (s *Sim) ClearFaults() {
	s.mu.Lock()
	s.faults = nil
	s.mu.Unlock()
	s.ReleaseHangs()
}

// Faults returns the faults that are enabled.
func (s *Sim) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.faults))
	for _, f := range s.faults {
		out = append(out, *f)
	}
	return out
}

// ReleaseHangs lets every call that hangs now go on; later ones hang again.
func (s *Sim) ReleaseHangs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.hang)
	s.hang = make(chan struct{})
}

// WaitHanging waits until at least n calls hang.
func (s *Sim) WaitHanging(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		now, changed := s.hanging, s.hangWait
		s.mu.Unlock()
		if now >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d calls hang: %w", now, n, ctx.Err())
		}
	}
}

func (s *Sim) countHanging(d int) {
	s.hanging += d
	close(s.hangWait)
	s.hangWait = make(chan struct{})
}

// wait holds a call until release, or until the caller has gone: then false.
func (s *Sim) wait(ctx context.Context) bool {
	s.mu.Lock()
	release := s.hang
	s.countHanging(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.countHanging(-1)
		s.mu.Unlock()
	}()
	select {
	case <-release:
		return true
	case <-ctx.Done():
		return false
	}
}

// match picks the fault that happens to a call, or nil. The caller holds mu.
func (s *Sim) match(api string, params map[string]string) *Fault {
	for i, f := range s.faults {
		if f.API != "" && f.API != api || f.TradeDate != "" && !f.covered(spec.Lookup(api), params) || !f.suits(spec.Lookup(api), params) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Probability > 0 && s.rng.Float64() >= f.Probability {
			continue
		}
		f.Happened++
		hit := *f
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				s.faults = slices.Delete(s.faults, i, i+1)
			}
		}
		return &hit
	}
	return nil
}

// covered tells whether a call asks for a date of the fault. A call for a dated
// interface without dates asks for all.
func (f *Fault) covered(api *spec.API, p map[string]string) bool {
	if f.Kind == FlippedDay {
		return true
	}
	first, last := f.TradeDate, cmp.Or(f.EndDate, f.TradeDate)
	if d := p["trade_date"]; d != "" {
		return d >= first && d <= last
	}
	from, to := p["start_date"], p["end_date"]
	if from == "" && to == "" {
		return api != nil && api.Dated
	}
	return from <= last && (to == "" || first <= to)
}

// edit changes the JSON texts of one row in place.
type edit func(names []string, cells []string)

// wrongValue is the edit of a WrongValue fault.
func (f *Fault) wrongValue(api string) edit {
	mode := f.Mode
	if mode == "" {
		mode = ModeNegative
		if api == Daily || api == FundDaily {
			mode = ModeHighBelowLow
		}
	}
	if mode == ModeHighBelowLow {
		return func(names, cells []string) {
			h, l := slices.Index(names, "high"), slices.Index(names, "low")
			if h < 0 || l < 0 {
				return
			}
			if cells[h] == cells[l] {
				cells[h] = "0.001"
				return
			}
			cells[h], cells[l] = cells[l], cells[h]
		}
	}
	column := f.Column
	if column == "" {
		column = defaultColumn(mode, api)
	}
	return func(names, cells []string) {
		i := slices.Index(names, column)
		if i < 0 {
			return
		}
		switch mode {
		case ModeNegative:
			if cells[i] == "null" || strings.Trim(cells[i], "0.") == "" {
				cells[i] = "1"
			}
			cells[i] = "-" + strings.TrimPrefix(cells[i], "-")
		case ModeNull:
			cells[i] = "null"
		case ModeText:
			cells[i] = `"--"`
		case ModeTenfold:
			cells[i] = shifted(cells[i], func(v float64) float64 { return v * 10 })
		}
	}
}

func defaultColumn(mode, api string) string {
	switch {
	case mode == ModeNegative && api == DailyBasic:
		return "turnover_rate"
	case mode == ModeNegative && api == Moneyflow:
		return "buy_sm_vol"
	case mode == ModeNegative:
		return "vol"
	case mode == ModeTenfold && api == DailyBasic:
		return "total_share"
	case api == Moneyflow:
		return "buy_sm_amount"
	}
	return "close"
}

// shifted rewrites a number with a function, keeping four decimals and the
// provider's way of writing them. Null counts as 0.
func shifted(cell string, fn func(float64) float64) string {
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		v = 0
	}
	out := strings.TrimRight(strconv.FormatFloat(fn(v), 'f', 4, 64), "0")
	if strings.HasSuffix(out, ".") {
		out += "0"
	}
	return out
}
