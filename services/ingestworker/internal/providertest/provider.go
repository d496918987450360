// Package providertest is a second provider for tests. It was written from the description of
// the protocol, independently of the simulator. Its market is small, and its responses vary in
// many ways: the order of fields, caps and pages, numbers as text, chunked responses, late and
// partly published days. Only tests import it.
package providertest

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/afterbell/afterbell/services/internal/market"
)

// Habits are the properties of responses that may differ between providers.
type Habits struct {
	// Cap is the most rows per reply; 0 means 6000.
	Cap int
	// Mute omits has_more and count.
	Mute bool
	// Texts writes numbers as strings, and IntDates writes dates as numbers.
	Texts, IntDates bool
	// Reverse returns the fields in reverse order, Extra adds fields that were not requested,
	// and ItemsFirst puts items before fields.
	Reverse, Extra, ItemsFirst bool
	// NullMsg writes null for msg, and TextCode writes the code as a string.
	NullMsg, TextCode bool
	// Shuffled orders the rows differently at each call.
	Shuffled bool
	// Overlap is the number of rows by which each page begins too early.
	Overlap int
	// Gzip compresses responses, Pieces sends them in small chunks, and Closing closes the
	// connection after each one.
	Gzip, Pieces, Closing bool
}

// Instrument is a stock or a fund.
type Instrument struct {
	// Code is the ts_code, and Status its list_status.
	Code, Status string
	// Listed and Delisted are its first trading day and the day after its last one; NoDate if
	// there is none.
	Listed, Delisted market.Date
	// Idle reports whether it is suspended on an open day; nil means never.
	Idle func(d market.Date) bool
}

// Call is one request.
type Call struct {
	// API and Params of the request, without Offset and Limit.
	API           string
	Params        map[string]string
	Offset, Limit int
}

// Key identifies the call without its page.
func (c Call) Key() string {
	var b strings.Builder
	b.WriteString(c.API)
	for _, k := range slices.Sorted(maps.Keys(c.Params)) {
		b.WriteString("|" + k + "=" + c.Params[k])
	}
	return b.String()
}

// Provider is an http.Handler. Its fields may be changed through Do.
type Provider struct {
	mu sync.Mutex
	// Habits of the responses.
	Habits Habits
	// First and Last bound the calendar, and Closed reports holidays.
	First, Last market.Date
	Closed      func(d market.Date) bool
	// Stocks and Funds of the market.
	Stocks, Funds []Instrument
	// Answer may respond to the n-th call itself; then it returns true. Nil responds to none.
	Answer func(c Call, n int, w http.ResponseWriter) bool
	// Share returns how much of a date is published, from 0 to 1; nil means all.
	Share func(api string, d market.Date) float64
	// Change may change a row of a response, or drop it by returning false. Nil changes none.
	Change func(api string, row map[string]any) bool
	// Also returns rows to add to a response by trade date; nil means none.
	Also func(api string, params map[string]string) []map[string]any
	// MostCodes is the largest number of codes in ts_code; 0 means any. A longer list is
	// refused, or truncated silently if CutCodes is set.
	MostCodes int
	CutCodes  bool
	// Calls is the number of calls by Key.
	Calls map[string]int

	n int
}

// New returns a provider with so many stocks and funds, from 2019 to the end of last's year.
func New(stocks, funds int, last market.Date) *Provider {
	p := &Provider{First: market.NewDate(2019, 1, 1), Last: market.NewDate(last.Time().Year(), 12, 31), Calls: map[string]int{}}
	for i := range stocks {
		code := fmt.Sprintf("60%04d.SH", i)
		switch i % 8 {
		case 1, 3, 5:
			code = fmt.Sprintf("00%04d.SZ", i)
		case 7:
			code = fmt.Sprintf("92%04d.BJ", i)
		}
		p.Stocks = append(p.Stocks, Instrument{Code: code, Status: "L", Listed: market.NewDate(2019, 1, 2), Delisted: market.NoDate})
	}
	for i := range funds {
		code := fmt.Sprintf("51%04d.SH", i)
		switch i % 5 {
		case 1, 3:
			code = fmt.Sprintf("159%03d.SZ", i)
		case 4:
			code = fmt.Sprintf("16%04d.SZ", i) // not an ETF
		}
		p.Funds = append(p.Funds, Instrument{Code: code, Status: "L", Listed: market.NewDate(2019, 1, 2), Delisted: market.NoDate})
	}
	return p
}

// Do changes the provider between calls.
func (p *Provider) Do(change func()) { p.mu.Lock(); defer p.mu.Unlock(); change() }

// Count returns the number of calls of an API.
func (p *Provider) Count(api string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, c := range p.Calls {
		if k == api || strings.HasPrefix(k, api+"|") {
			n += c
		}
	}
	return n
}

// IsOpen reports whether a date is a trading day.
func (p *Provider) IsOpen(d market.Date) bool {
	return d >= p.First && d <= p.Last && !d.Weekend() && (p.Closed == nil || !p.Closed(d))
}

// Open returns the trading days from one date to another.
func (p *Provider) Open(from, to market.Date) (out []market.Date) {
	for d := from; d <= to; d++ {
		if p.IsOpen(d) {
			out = append(out, d)
		}
	}
	return out
}

func noise(parts ...any) float64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...)
	return rand.New(rand.NewPCG(h.Sum64(), 1)).Float64()
}

func round(v float64, digits int) float64 {
	m := math.Pow10(digits)
	return math.Round(v*m) / m
}

func (p *Provider) trades(i Instrument, d market.Date) bool {
	return p.IsOpen(d) && d >= i.Listed && (i.Delisted == market.NoDate || d < i.Delisted) && (i.Idle == nil || !i.Idle(d))
}

// before returns the last day before d on which an instrument traded, or d-1 if there is none.
func (p *Provider) before(i Instrument, d market.Date) market.Date {
	for last := d - 1; last >= max(i.Listed, p.First); last-- {
		if p.trades(i, last) {
			return last
		}
	}
	return d - 1
}

// cache has rows that were computed before. A row depends only on its key, and with small
// pages each row is needed many times.
var cache struct {
	sync.Mutex
	rows map[row]map[string]any
}

type row struct {
	api, code     string
	d, lastTraded market.Date
}

// mostCached is the largest number of cached rows.
const mostCached = 1 << 14

// cells returns the row of an instrument and day. The caller must not change it.
func (k row) cells() map[string]any {
	cache.Lock()
	defer cache.Unlock()
	r, ok := cache.rows[k]
	if !ok {
		if len(cache.rows) >= mostCached || cache.rows == nil {
			cache.rows = map[row]map[string]any{}
		}
		r = dated(k.api, k.code, k.d, k.lastTraded)
		cache.rows[k] = r
	}
	return r
}

func dated(api, code string, d, lastTraded market.Date) map[string]any {
	r := map[string]any{"ts_code": code, "trade_date": d.Compact()}
	price := func(d market.Date) float64 { return round(5+20*noise(code)+noise(code, d), 2) }
	last, before := price(d), price(lastTraded)
	open, volume := round((last+before)/2, 2), math.Floor(100+1e5*noise(code, d, "v"))
	mean := (open + last) / 2
	switch api {
	case "daily", "fund_daily":
		r["open"], r["close"], r["pre_close"], r["change"] = open, last, before, round(last-before, 2)
		r["high"], r["low"] = math.Max(open, last), math.Min(open, last)
		r["pct_chg"] = round((last/before-1)*100, 4)
		r["vol"], r["amount"] = volume, round(volume*mean/10, 3)
	case "daily_basic":
		share := round(1e4+1e6*noise(code, "s"), 4)
		r["close"], r["total_share"], r["float_share"], r["free_share"] = last, share, share, round(share/2, 4)
		r["total_mv"], r["circ_mv"] = round(share*last, 4), round(share*last, 4)
		r["volume_ratio"] = round(noise(code, d, "volume_ratio")*9, 4)
		r["turnover_rate"], r["turnover_rate_f"] = round(volume/share, 4), round(2*volume/share, 4) // 手 ÷ 万股 is a percentage
		// Between two reports, a valuation only follows the price.
		for _, k := range []string{"pb", "ps", "ps_ttm"} {
			r[k] = round(noise(code, k)*last, 4)
		}
		r["dv_ratio"] = round(noise(code, "dv_ratio")*90/last, 4)
		for _, k := range []string{"pe", "pe_ttm", "dv_ttm"} { // null is not 0
			switch v := noise(code, k); {
			case v < 0.3:
				r[k] = nil
			case v < 0.4:
				r[k] = 0.0
			case k == "dv_ttm":
				r[k] = round(v*90/last, 4)
			default:
				r[k] = round(v*5*last, 4)
			}
		}
	case "moneyflow":
		// A company has about the same sizes of orders each day.
		sizes, weight, all := []string{"sm", "md", "lg", "elg"}, map[string]float64{}, 0.0
		for _, size := range sizes {
			weight[size] = 1 + 3*noise(code, size)
			all += weight[size]
		}
		left := volume
		for _, size := range sizes {
			v := math.Floor(volume * weight[size] / all * (0.95 + 0.05*noise(code, d, size)))
			if size == "elg" {
				v = left
			}
			left -= v
			r["buy_"+size+"_vol"], r["sell_"+size+"_vol"] = v, v
			r["buy_"+size+"_amount"], r["sell_"+size+"_amount"] = round(v*mean/100, 2), round(v*mean/100, 2)
		}
		net := math.Floor(volume * (noise(code, d, "n") - 0.5))
		r["net_mf_vol"], r["net_mf_amount"] = net, round(net*mean/100, 2)
	}
	return r
}

func text(d market.Date) any {
	if d == market.NoDate {
		return nil
	}
	return d.Compact()
}

// Rows returns all rows of a query, including those that are not published yet. The caller
// must not change them.
func (p *Provider) Rows(api string, params map[string]string) []map[string]any {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rows(api, params, false)
}

// rows returns the rows of a query; if published is true, only those that are published, and
// those of Also.
func (p *Provider) rows(api string, params map[string]string, published bool) (out []map[string]any) {
	add := func(r map[string]any) {
		if p.Change == nil || p.Change(api, r) {
			out = append(out, r)
		}
	}
	switch api {
	case "trade_cal":
		for d := p.Last; d >= p.First; d-- {
			open := 0.0
			if p.IsOpen(d) {
				open = 1
			}
			add(map[string]any{"exchange": "SSE", "cal_date": d.Compact(), "is_open": open, "pretrade_date": nil})
		}
		return out
	case "stock_basic", "fund_basic":
		list := p.Stocks
		if api == "fund_basic" {
			list = p.Funds
		}
		status := params["list_status"]
		if status == "" && api == "stock_basic" {
			status = "L"
		}
		for _, i := range list {
			if status != "" && i.Status != status {
				continue
			}
			r := map[string]any{"ts_code": i.Code, "name": "名" + i.Code[:6], "list_date": text(i.Listed), "delist_date": text(i.Delisted)}
			if api == "stock_basic" {
				r["list_status"], r["exchange"], r["industry"], r["market"] = i.Status, "SSE", "银行", "主板"
			} else {
				r["status"], r["market"], r["fund_type"], r["m_fee"] = i.Status, "E", "股票型", 0.5
			}
			add(r)
		}
		return out
	}
	list := p.Stocks
	if api == "fund_daily" {
		list = p.Funds
	}
	var want map[string]bool
	if s := params["ts_code"]; s != "" {
		want = map[string]bool{}
		for n, c := range strings.Split(s, ",") {
			if !published || p.MostCodes == 0 || n < p.MostCodes {
				want[c] = true
			}
		}
	}
	from, to := p.First, p.Last
	parse := func(k string, into ...*market.Date) {
		if d, err := market.ParseCompact(params[k]); err == nil {
			for _, x := range into {
				*x = d
			}
		}
	}
	parse("start_date", &from)
	parse("end_date", &to)
	parse("trade_date", &from, &to)
	for d := to; d >= from; d-- {
		if !p.IsOpen(d) {
			continue
		}
		share := 1.0
		if published && p.Share != nil {
			share = p.Share(api, d)
		}
		for n, i := range list {
			if float64(n) >= share*float64(len(list)) {
				break
			}
			if want != nil && !want[i.Code] || !p.trades(i, d) || api == "moneyflow" && strings.HasSuffix(i.Code, "BJ") {
				continue
			}
			r := row{api, i.Code, d, p.before(i, d)}.cells()
			if p.Change != nil {
				r = maps.Clone(r)
			}
			add(r)
		}
	}
	if published && p.Also != nil {
		out = append(out, p.Also(api, params)...)
	}
	return out
}

// ServeHTTP responds to a call.
func (p *Provider) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var q struct {
		API    string         `json:"api_name"`
		Token  string         `json:"token"`
		Params map[string]any `json:"params"`
		Fields string         `json:"fields"`
	}
	if err := json.NewDecoder(req.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c := Call{API: q.API, Params: map[string]string{}}
	for k, v := range q.Params {
		s := fmt.Sprint(v)
		switch k {
		case "offset":
			c.Offset, _ = strconv.Atoi(s) // an invalid number counts as 0
		case "limit":
			c.Limit, _ = strconv.Atoi(s)
		default:
			c.Params[k] = s
		}
	}
	p.mu.Lock()
	p.n++
	n := p.n
	p.Calls[c.Key()]++
	answer := p.Answer
	p.mu.Unlock()
	if answer != nil && answer(c, n, w) {
		return
	}
	p.mu.Lock()
	if n := 1 + strings.Count(c.Params["ts_code"], ","); p.MostCodes > 0 && n > p.MostCodes && !p.CutCodes {
		p.mu.Unlock()
		Send(w, p.Habits, `{"code":50101,"msg":"查询数据失败，请确认参数！可以反馈管理员协助您排查问题","data":null}`)
		return
	}
	rows, h := p.rows(c.API, c.Params, true), p.Habits
	p.mu.Unlock()
	h.write(w, c, n, rows, strings.Split(q.Fields, ","))
}

func (h Habits) write(w http.ResponseWriter, c Call, n int, rows []map[string]any, fields []string) {
	most := h.Cap
	if most == 0 {
		most = 6000
	}
	if c.Limit > 0 {
		most = min(most, c.Limit)
	}
	if h.Shuffled {
		mix := rand.New(rand.NewPCG(uint64(n), 5))
		mix.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	from := min(len(rows), max(0, c.Offset-h.Overlap))
	to := min(len(rows), from+most)
	if h.Reverse {
		slices.Reverse(fields)
	}
	if h.Extra {
		fields = append([]string{"ah_vol", "symbol"}, fields...)
	}
	items := make([][]any, 0, to-from)
	for _, r := range rows[from:to] {
		row := make([]any, len(fields))
		for i, f := range fields {
			row[i] = h.cell(f, r[f])
		}
		items = append(items, row)
	}
	code := any(0)
	if h.TextCode {
		code = "0"
	}
	msg := any("")
	if h.NullMsg {
		msg = nil
	}
	enc := func(v any) string { b, _ := json.Marshal(v); return string(b) } // plain values always marshal
	data := []string{`"fields":` + enc(fields), `"items":` + enc(items)}
	if h.ItemsFirst {
		slices.Reverse(data)
	}
	if !h.Mute {
		data = append(data, `"has_more":`+enc(to < len(rows)), `"count":-1`)
	}
	Send(w, h, `{"request_id":"r","msg":`+enc(msg)+`,"elapsed":{"ms":[1,2]},"data":{`+strings.Join(data, ",")+`},"code":`+enc(code)+`}`)
}

// Send writes a response body according to the habits.
func Send(w http.ResponseWriter, h Habits, body string) {
	if h.Closing {
		w.Header().Set("Connection", "close")
	}
	var out io.Writer = w
	if h.Gzip {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer func() { _ = z.Close() }() // the caller may have gone
		out = z
	}
	if h.Pieces {
		flush, _ := w.(http.Flusher)
		for i := 0; i < len(body); {
			k := min(len(body)-i, max(1, i/3))
			_, _ = io.WriteString(out, body[i:i+k]) // the caller may have gone
			if flush != nil && !h.Gzip {
				flush.Flush()
			}
			i += k
		}
		return
	}
	_, _ = io.WriteString(out, body) // the caller may have gone
}

func (h Habits) cell(field string, v any) any {
	switch x := v.(type) {
	case float64:
		if h.Texts {
			return strconv.FormatFloat(x, 'f', -1, 64)
		}
	case string:
		if h.IntDates && strings.HasSuffix(field, "_date") {
			n, _ := strconv.Atoi(x) // dates are digits
			return n
		}
	}
	return v
}
