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

// FaultKind is the kind of a fault.
type FaultKind string

// Faults of the transport: the call gets no valid reply.
const (
	// HTTP500 returns that status and an HTML page, as do the next four.
	HTTP500 FaultKind = "http_500"
	// HTTP502 is a bad gateway.
	HTTP502 FaultKind = "http_502"
	// HTTP503 is an outage.
	HTTP503 FaultKind = "http_503"
	// HTTP403 is the refusal of a gateway in front of the provider.
	HTTP403 FaultKind = "http_403"
	// HTTP429 is the refusal of a gateway that limits calls; RetryAfter, if set, is sent.
	HTTP429 FaultKind = "http_429"
	// Hang holds the call until ReleaseHangs, or until the caller goes away.
	Hang FaultKind = "hang"
	// Reset closes the connection with a TCP reset before any reply.
	Reset FaultKind = "reset"
	// TruncatedBody breaks the connection in the middle of the reply.
	TruncatedBody FaultKind = "truncated_body"
	// MalformedJSON ends the reply properly but in the middle of a row.
	MalformedJSON FaultKind = "malformed_json"
	// HTMLPage returns status 200 with HTML.
	HTMLPage FaultKind = "html"
	// Slow waits DelayMS and then responds as usual.
	Slow FaultKind = "slow"
	// Redirect returns 302 to the root of another port.
	Redirect FaultKind = "redirect"
	// BOM puts a byte order mark before the reply.
	BOM FaultKind = "bom"
)

// Faults of the account: the reply has a code of the provider.
const (
	// BadToken answers 40101.
	BadToken FaultKind = "bad_token"
	// NoPermission answers 40203 with the text about permission.
	NoPermission FaultKind = "no_permission"
	// MinuteLimit answers 40203 with the text about rates; N is the limit in the text, and Text
	// its form.
	MinuteLimit FaultKind = "minute_limit"
	// HourLimit is the same per hour.
	HourLimit FaultKind = "hour_limit"
	// DayQuota is the same per day.
	DayQuota FaultKind = "day_quota"
	// TooManyIPs answers 40204.
	TooManyIPs FaultKind = "too_many_ips"
	// BadRequest answers 50101.
	BadRequest FaultKind = "bad_request"
	// AnyCode returns Code and Text with data null. Code is required and must not be 0.
	AnyCode FaultKind = "code"
	// DataNull answers code 0 with data null, and Text as the message.
	DataNull FaultKind = "data_null"
)

// Faults of the data: the code is 0 and the content is wrong.
const (
	// RepeatedPage returns the rows of the first page for every later one. Calls for a first page
	// do not match.
	RepeatedPage FaultKind = "repeated_page"
	// SilentTruncation truncates the reply to N rows (half the cap if 0) with has_more false.
	SilentTruncation FaultKind = "silent_truncation"
	// Empty answers without rows.
	Empty FaultKind = "empty"
	// HalfDay has only the first N percent of the rows (50 if 0).
	HalfDay FaultKind = "half_day"
	// DuplicateRows repeats N rows of the page at its end (10 if 0).
	DuplicateRows FaultKind = "duplicate_rows"
	// OtherDate labels all rows with the open day before the requested one.
	OtherDate FaultKind = "other_date"
	// WrongValue changes a value in N rows of the page (1 if 0) as Mode says.
	WrongValue FaultKind = "wrong_value"
	// LatePage returns the previous page for every later one, so that the first page comes twice
	// and the last one never. Calls for a first page do not match.
	LatePage FaultKind = "late_page"
	// Endless always sets has_more to true.
	Endless FaultKind = "endless"
)

// Modes of WrongValue. Column is the column that is changed. A mode has no effect on replies
// without its columns.
const (
	// ModeHighBelowLow makes high smaller than low. It is the default of replies with high.
	ModeHighBelowLow = "high_below_low"
	// ModeNegative makes Column negative, by default vol, turnover_rate or buy_sm_vol. It is the
	// default of replies without high.
	ModeNegative = "negative"
	// ModeNull sets Column to null, by default close.
	ModeNull = "null"
	// ModeText sets Column to a text, by default close.
	ModeText = "text"
	// ModeTenfold multiplies Column by ten, by default close or total_share.
	ModeTenfold = "tenfold"
)

// FaultKinds returns all kinds.
func FaultKinds() []FaultKind {
	return []FaultKind{
		HTTP500, HTTP502, HTTP503, HTTP403, HTTP429, Hang, Reset, TruncatedBody, MalformedJSON, HTMLPage, Slow,
		BadToken, NoPermission, MinuteLimit, HourLimit, DayQuota, TooManyIPs, BadRequest, AnyCode, DataNull,
		RepeatedPage, SilentTruncation, Empty, HalfDay, DuplicateRows, OtherDate, WrongValue,
		Stale, ClosedDays, ScaleColumn, NullColumn, MangledCode, DropRows, LongList,
		Redirect, BOM, LatePage, Endless, SetColumn, ShiftColumn, SwapColumns, RoundColumn, DashedDates, FlippedDay, AllSuspended,
	}
}

// Fault is a fault to inject. Of several faults that match a call, the first one applies.
type Fault struct {
	// ID is set by AddFault.
	ID int `json:"id"`
	// Kind of the fault.
	Kind FaultKind `json:"kind"`
	// API is the interface that it affects; empty means all.
	API string `json:"api,omitempty"`
	// TradeDate (YYYYMMDD) limits it to calls that include this date; empty means all.
	TradeDate string `json:"trade_date,omitempty"`
	// EndDate (YYYYMMDD) is the last date of a range that begins at TradeDate; empty means
	// TradeDate only.
	EndDate string `json:"end_date,omitempty"`
	// Probability between 0 and 1; 0 means always.
	Probability float64 `json:"probability,omitempty"`
	// Skip lets this many matching calls pass first.
	Skip int `json:"skip,omitempty"`
	// Count is the number of calls that it affects; 0 means all until it is removed.
	Count int `json:"count,omitempty"`
	// N, Text, Column and Mode are explained with the kinds.
	N      int    `json:"n,omitempty"`
	Text   string `json:"text,omitempty"`
	Column string `json:"column,omitempty"`
	Mode   string `json:"mode,omitempty"`
	// Columns are the columns of Stale, ScaleColumn, NullColumn, SetColumn, ShiftColumn,
	// SwapColumns and RoundColumn; EveryColumn means all columns of numbers.
	Columns []string `json:"columns,omitempty"`
	// Codes limits a fault of rows to these ts_codes; empty means all.
	Codes []string `json:"codes,omitempty"`
	// To are the codes by which MangledCode replaces Codes, in the same order.
	To []string `json:"to,omitempty"`
	// Exchange (SH, SZ, BJ) limits a fault of rows to the codes of an exchange.
	Exchange string `json:"exchange,omitempty"`
	// Share limits a fault of rows to this share of them, the same ones in each call; 0 means all.
	Share float64 `json:"share,omitempty"`
	// Factor is the factor of ScaleColumn, and the unit to which RoundColumn rounds.
	Factor float64 `json:"factor,omitempty"`
	// SourceDate (YYYYMMDD) is the day whose rows Stale and ClosedDays return.
	SourceDate string `json:"source_date,omitempty"`
	// Code is the provider's code of AnyCode and LongList.
	Code int `json:"code,omitempty"`
	// RetryAfter is the Retry-After of HTTP429 in seconds; 0 sends none.
	RetryAfter int `json:"retry_after,omitempty"`
	// DelayMS is the delay of the reply in milliseconds.
	DelayMS int64 `json:"delay_ms,omitempty"`
	// Happened is the number of calls that it has affected.
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

// AddFault enables a fault and returns its ID.
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

// RemoveFault disables a fault; it returns false if there is none with this ID. A call that hangs
// continues to hang until ReleaseHangs.
func (s *Sim) RemoveFault(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults)
	s.faults = slices.DeleteFunc(s.faults, func(f *Fault) bool { return f.ID == id })
	return len(s.faults) < n
}

// ClearFaults disables all faults and releases calls that hang.
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

// ReleaseHangs releases the calls that hang now; later ones hang again.
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

// wait holds a call until it is released; it returns false if the caller has gone.
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

// match returns the fault that applies to a call, or nil. The caller holds mu.
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

// covered reports whether a call requests a date of the fault. A call of a dated interface
// without dates requests all of them.
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

// shifted applies a function to a number and formats the result as the provider does, with up
// to four decimals. Null counts as 0.
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
