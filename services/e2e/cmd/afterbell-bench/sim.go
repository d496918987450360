package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// control calls the simulator's control endpoint; in and out may be nil.
func (b *bench) control(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, b.simURL+"/_sim/"+path, body)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return fmt.Errorf("simulator: %s %s: %s", method, path, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// simStats are the calls of the simulator since the last reset.
type simStats struct {
	Total int64            `json:"total"`
	ByAPI map[string]int64 `json:"by_api"`
}

// data returns the number of calls for datasets by trade date; most is that of the API with the
// most calls.
func (s simStats) data() (all, most int64) {
	for _, api := range dailyAPIs {
		all, most = all+s.ByAPI[api], max(most, s.ByAPI[api])
	}
	return all, most
}

var dailyAPIs = []string{"daily", "daily_basic", "moneyflow", "fund_daily"}

// snapshotCalls is the least number of calls for the references: the calendar, the stock list in
// three statuses, and the fund list.
const snapshotCalls = 5

func (b *bench) resetStats(ctx context.Context) error {
	return b.control(ctx, http.MethodDelete, "stats", nil, nil)
}

func (b *bench) stats(ctx context.Context) (s simStats, err error) {
	return s, b.control(ctx, http.MethodGet, "stats", nil, &s)
}

func (b *bench) setLatency(ctx context.Context, d time.Duration) error {
	return b.control(ctx, http.MethodPost, "latency", map[string]string{"latency": d.String(), "jitter": "0s"}, nil)
}

// setLimit sets the calls per minute and API; 0 removes all limits.
func (b *bench) setLimit(ctx context.Context, n int) error {
	if n == 0 {
		return b.control(ctx, http.MethodDelete, "limits", nil, nil)
	}
	return b.control(ctx, http.MethodPost, "limits", []map[string]any{{"n": n, "per": "minute"}}, nil)
}

var shanghai = time.FixedZone("Asia/Shanghai", 8*3600)

// openDays returns the last open days whose data is published, newest first.
func (b *bench) openDays(ctx context.Context, n int) ([]string, error) {
	now := time.Now().In(shanghai)
	last := now
	if now.Hour() < 19 { // the last dataset of a day is published at 19:00
		last = now.AddDate(0, 0, -1)
	}
	var compact []string
	from := now.AddDate(0, 0, -n*7/5*5/4-30)
	path := fmt.Sprintf("open-dates?from=%s&to=%s", from.Format("20060102"), last.Format("20060102"))
	if err := b.control(ctx, http.MethodGet, path, nil, &compact); err != nil {
		return nil, err
	}
	if len(compact) < n {
		return nil, fmt.Errorf("the simulator knows %d open days from %s to %s, not %d", len(compact), from.Format(time.DateOnly), last.Format(time.DateOnly), n)
	}
	slices.Sort(compact)
	slices.Reverse(compact)
	days := make([]string, n)
	for i := range days {
		d, err := time.Parse("20060102", compact[i])
		if err != nil {
			return nil, fmt.Errorf("simulator: open day %q", compact[i])
		}
		days[i] = d.Format(time.DateOnly)
	}
	return days, nil
}

// stocks returns symbols of SH and SZ that traded on a day.
func (b *bench) stocks(ctx context.Context, day string, n int) ([]string, error) {
	d, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return nil, err
	}
	var rows struct {
		Items [][]string `json:"items"`
	}
	if err := b.control(ctx, http.MethodGet, "rows?api=moneyflow&fields=ts_code&trade_date="+d.Format("20060102"), nil, &rows); err != nil {
		return nil, err
	}
	out := make([]string, 0, n)
	for _, r := range rows.Items {
		if len(out) < n && len(r) == 1 {
			out = append(out, r[0])
		}
	}
	if len(out) < n {
		return nil, fmt.Errorf("only %d stocks traded on %s", len(out), day)
	}
	return out, nil
}
