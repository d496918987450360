package tushare

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/ingestworker/internal/table"
	"github.com/afterbell/afterbell/services/internal/fault"
)

// maxWaits is how many consecutive refusals per minute one call waits for. If another
// program uses up the token's limit, a run must not wait forever.
const maxWaits = 10

func (c *Client) facts(api string) *apiFacts {
	f, ok := c.apis.Load(api)
	if !ok {
		f, _ = c.apis.LoadOrStore(api, new(apiFacts))
	}
	return f.(*apiFacts)
}

var _ ingest.Provider = (*Client)(nil)

// fetch is one Fetch in progress.
type fetch struct {
	c        *Client
	q        ingest.Query
	dataset  *catalog.Dataset
	domain   string
	fields   string
	progress func(ingest.Progress)
	d        *decoder
	answer   ingest.Answer
	facts    *apiFacts
	shape    string
	// announced is true if earlier responses promised rows at the requested offset.
	announced bool
	// nones counts the responses without data for the current page.
	nones int
	// filled are the columns that responses with rows had; nil before the first.
	filled []bool
}

// Fetch implements ingest.Provider.
func (c *Client) Fetch(ctx context.Context, q ingest.Query, progress func(ingest.Progress)) (ingest.Answer, error) {
	ds := q.Dataset
	names := make([]string, len(ds.Columns))
	for i := range ds.Columns {
		names[i] = ds.Columns[i].Provider
	}
	domain, _, _ := strings.Cut(ds.Module, ".")
	f := &fetch{
		c: c, q: q, dataset: ds, domain: domain, fields: strings.Join(names, ","), progress: progress,
		facts: c.facts(ds.ID), shape: shapeOf(q.Params),
	}
	f.d = c.decoders.Get().(*decoder)
	defer func() {
		f.d.end()
		c.decoders.Put(f.d)
	}()
	if err := f.pages(ctx); err != nil {
		return ingest.Answer{Calls: f.answer.Calls, Latency: f.answer.Latency}, err
	}
	f.answer.Batch, f.answer.Bad = f.d.batch, f.d.bad
	for i, there := range f.filled {
		if name := ds.Columns[i].Provider; !there {
			f.answer.Absent = append(f.answer.Absent, ingest.Absence{Column: name, Before: f.facts.hadBefore(name)})
		}
	}
	return f.answer, nil
}

// pages fetches pages until the provider has no more.
func (f *fetch) pages(ctx context.Context) error {
	facts := f.facts
	size := f.q.MaxRows
	wide := size == 0 && f.q.Params["ts_code"] == "" // about as large as the last such response
	if wide {
		last := facts.size(0)
		f.d.begin(f.dataset, facts.batches.New(f.dataset.Specs(), last+last/32+64))
	} else {
		f.d.begin(f.dataset, table.New(f.dataset.Specs(), size))
	}
	p := pager{limit: f.q.MaxRows}
	isCap := func(n int) bool {
		return n == smallestCap || slices.Contains(f.dataset.RowCaps, n) || facts.isCap(n)
	}
	total, crossed := 0, 0 // rows of the pages, and of these those that repeat another page
	order := uint64(0)
	for {
		held, bad := f.d.batch.Len, len(f.d.bad)
		rep, err := f.page(ctx, p.offset, p.limit)
		if err != nil {
			return err
		}
		f.announced = rep.hasMore
		order = f.d.hashOrder(order, held)
		repeated, within := f.d.dedupe(held, bad)
		f.answer.Repeated += repeated
		if rep.rows > repeated || rep.rows != p.offset { // otherwise the offset was ignored
			total += rep.rows - within
			crossed += repeated - within
		}
		f.tell(ingest.Progress{})
		if f.q.MaxRows > 0 {
			return nil
		}
		if rep.hasMore && rep.rows > 0 && rep.rows != p.limit {
			facts.learnCap(rep.rows)
		}
		more, err := p.next(rep.rows, rep.rows-repeated, rep.hasMore, isCap)
		switch {
		case errors.Is(err, errTooFar):
			return fault.New(fault.ProviderRefused,
				"Tushare has more rows of "+f.dataset.ID+" than it returns for one query ("+err.Error()+"); request fewer dates or symbols at a time.",
				f.meta("provider_message", err.Error())...)
		case err != nil:
			return f.broken(&unavailable{cause: err.Error()})
		case !more:
			if crossed > 0 {
				if err := f.reread(ctx, total, p.largest, order); err != nil {
					return err
				}
			}
			if wide {
				facts.size(f.d.batch.Len)
			}
			return nil
		}
	}
}

// smallestCap is the smallest number of rows at which any API was ever seen to truncate.
const smallestCap = 800

// maxRereads limits how often overlapping pages are read again, and idleRereads how often
// in a row without a new row.
const (
	maxRereads  = 12
	idleRereads = 4
)

// reread fetches all pages again. Pages that repeat each other's rows may be in an unstable
// order, and then as many rows as were repeated may be on none of them. It ends when as
// many rows are collected as the pages have; when nothing new comes in the same order as
// before, because then the pages only overlap; or when nothing new came several times.
func (f *fetch) reread(ctx context.Context, total, size int, before uint64) error {
	idle := 0
	f.announced = true
	for range maxRereads {
		start := f.d.batch.Len
		if start >= total {
			return nil
		}
		order := uint64(0)
		for offset := 0; offset < total && offset <= maxOffset; {
			held, bad := f.d.batch.Len, len(f.d.bad)
			rep, err := f.page(ctx, offset, size)
			if err != nil {
				return err
			}
			order = f.d.hashOrder(order, held)
			f.d.dedupe(held, bad)
			f.tell(ingest.Progress{})
			if rep.rows == 0 {
				break
			}
			offset += rep.rows
		}
		if idle++; f.d.batch.Len > start {
			idle = 0
		}
		if idle > 0 && order == before || idle == idleRereads {
			return nil
		}
		before = order
	}
	return f.broken(&unavailable{cause: "the order of its pages changes with each call, and rows are missing"})
}

// page makes the call for one page, waits for limits, and retries failures that may be
// temporary.
func (f *fetch) page(ctx context.Context, offset, limit int) (reply, error) {
	failures, waits := 0, 0
	f.nones = 0
	for {
		token, fingerprint, ok := f.c.cfg.Tokens.Token(f.domain)
		if !ok {
			return reply{}, fault.New(fault.TokenMissing, "No Tushare token is configured for the domain "+f.domain+".", "domain", f.domain)
		}
		key := quota.Key{Token: fingerprint, API: f.dataset.ID}
		if err := f.admit(ctx, key); err != nil {
			return f.settleForNone(err)
		}
		body, err := f.body(token, offset, limit)
		if err != nil {
			return reply{}, err
		}
		held, bad := f.d.batch.Len, len(f.d.bad)
		sent := time.Now()
		rep, err := f.c.post(ctx, f.d, body, token)
		took := time.Since(sent)
		f.answer.Calls++
		f.answer.Latency += took
		var ref refusal
		var hold *tooMany
		switch {
		case err == nil:
			ref, err = f.judge(rep, token, key, sent)
		case errors.As(err, &hold):
			ref, err = f.held(hold, token, key, sent)
		}
		f.c.cfg.Called(f.dataset.ID, resultOf(err), took)
		if ref.kind == kindRate && ref.window == quota.Minute {
			if waits++; waits <= maxWaits {
				f.log(ctx, slog.LevelInfo, "the provider requires a wait", offset, took, "limit", ref.calls)
				f.tell(ingest.Progress{})
				continue
			}
		}
		last := failures+1 >= f.c.cfg.Attempts
		if err == nil {
			if err = f.checkColumns(rep, last); err != nil {
				f.d.undo(held, bad)
			}
		}
		if err == nil {
			rep.hasMore = rep.hasMore && ref.kind != kindNone
			redactRows(f.d.batch, held, f.d.bad[bad:], token)
			f.log(ctx, slog.LevelDebug, "fetched", offset, took, "rows", rep.rows, "has_more", rep.hasMore)
			return rep, nil
		}
		var passing *unavailable
		if !errors.As(err, &passing) {
			return f.settleForNone(err) // ctx ended, or a fault that a retry does not fix
		}
		if failures++; last || passing.refusal && f.facts.believes(f.shape, passing.said(), time.Now()) {
			return reply{}, f.final(passing)
		}
		f.log(ctx, slog.LevelInfo, "a call failed; retrying", offset, took, "cause", passing.cause, "attempt", failures)
		f.tell(ingest.Progress{})
		if err := pause(ctx, f.c.cfg.Backoff, failures); err != nil {
			return reply{}, err
		}
	}
}

// resultOf is the result of a call in one word: "ok", "cancelled", or the reason in lower
// case.
func resultOf(err error) string {
	f, told := fault.As(err)
	switch {
	case err == nil:
		return "ok"
	case told:
		return strings.ToLower(string(f.Reason))
	case errors.As(err, new(*unavailable)):
		return strings.ToLower(string(fault.ProviderUnavailable))
	}
	return "cancelled"
}

// settleForNone accepts "no rows" that came once, if that is normal and a limit forbids a
// second call: a list may have one call per hour.
func (f *fetch) settleForNone(err error) (reply, error) {
	limit := fault.Is(err, fault.QuotaExhausted) || fault.Is(err, fault.RateLimited)
	if limit && f.nones > 0 && !f.announced && mayBeEmpty(f.dataset, f.q.Params) {
		return reply{code: "0", none: true}, nil
	}
	return reply{}, err
}

// checkColumns records the columns of a response. If it lacks a column that earlier
// responses had, it is fetched again; the last attempt is accepted, because a provider may
// drop a column that no row needs.
func (f *fetch) checkColumns(rep reply, last bool) error {
	if rep.code == "0" && !rep.none {
		f.facts.worked(f.shape)
	}
	if rep.rows == 0 {
		return nil
	}
	if !last {
		for i, there := range f.d.filled {
			if name := f.dataset.Columns[i].Provider; !there && f.facts.hadBefore(name) {
				return &unavailable{cause: "the response lacks the field " + name + ", which earlier responses had"}
			}
		}
	}
	f.facts.has(f.dataset.Columns, f.d.filled)
	if f.filled == nil {
		f.filled = make([]bool, len(f.d.filled))
	}
	for i, there := range f.d.filled {
		f.filled[i] = f.filled[i] || there
	}
	return nil
}

// admit waits for the limiter and reports the wait to progress.
func (f *fetch) admit(ctx context.Context, key quota.Key) error {
	waited := false
	err := f.c.cfg.Limiter.Acquire(ctx, key, quota.Priority(f.q.Priority), func(until time.Time) {
		waited = true
		f.tell(ingest.Progress{WaitAPI: f.dataset.ID, WaitUntil: until})
	})
	if waited {
		f.tell(ingest.Progress{})
	}
	var spent *quota.Exhausted
	switch {
	case !errors.As(err, &spent):
		return err
	case spent.Asked:
		return f.askedToWait(spent.Window, spent.Until)
	case spent.Window == quota.Minute:
		return f.limited(spent.Limit, spent.Until, "the deadline of this call is before the next minute")
	}
	return f.exhausted(spent.Window, spent.Limit, spent.Until)
}

// tell reports progress with the counts.
func (f *fetch) tell(p ingest.Progress) {
	if f.progress != nil {
		p.Rows, p.Calls = f.d.batch.Len, f.answer.Calls
		f.progress(p)
	}
}

// body builds the request. The token is in no other value.
func (f *fetch) body(token string, offset, limit int) ([]byte, error) {
	params := make(map[string]any, len(f.q.Params)+2)
	for k, v := range f.q.Params {
		params[k] = v
	}
	if limit > 0 {
		params["limit"] = limit
	}
	if offset > 0 {
		params["offset"] = offset
	}
	return json.Marshal(map[string]any{"api_name": f.dataset.ID, "token": token, "params": params, "fields": f.fields})
}

// pause waits before attempt n+1: exponential backoff with full jitter, so that calls that
// failed together are not retried together.
func pause(ctx context.Context, base time.Duration, n int) error {
	longest := base << min(n-1, 3)
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// log writes one line about a call: its parameters, but not its body.
func (f *fetch) log(ctx context.Context, level slog.Level, msg string, offset int, took time.Duration, more ...any) {
	if log := f.c.cfg.Log; log.Enabled(ctx, level) {
		log.Log(ctx, level, msg, append([]any{"api", f.dataset.ID, "params", f.q.Params, "offset", offset, "ms", took.Milliseconds()}, more...)...)
	}
}
