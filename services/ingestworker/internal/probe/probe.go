// Package probe makes the small calls that show whether a module works with the current
// token. It checks permission and protocol, but not whether rows or values are missing. A
// response without rows, or without values in them, passes with a warning, because
// partitions are judged later, with their expectations.
package probe

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/catalog"
	"github.com/afterbell/afterbell/services/ingestworker/internal/ingest"
	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// DefaultTimeout is the default timeout of one module's probe.
const DefaultTimeout = 30 * time.Second

// Tokens returns the token that a domain would use. The vault implements it.
type Tokens interface {
	// Fingerprint is a keyed digest of the token, empty if there is none.
	Fingerprint(domain string) string
}

// Limits returns the known limits of the provider. The limiter implements it.
type Limits interface {
	// Scarce returns a limit per hour or day that allows very few calls of the token's API. ok
	// is false if there is none.
	Scarce(key quota.Key) (calls int, w quota.Window, ok bool)
}

// Request lists the modules to probe.
type Request struct {
	// Modules by name, in order. Each must be implemented.
	Modules []string
	// TradeDate is the last known trading day. If it is NoDate, because no calendar is stored
	// yet, the last weekday is used.
	TradeDate market.Date
	// Timeout of one module. 0 means DefaultTimeout.
	Timeout time.Duration
}

// Outcome is the result of one module's probe.
type Outcome struct {
	// Module that was probed.
	Module *catalog.Module
	// At is when the probe ended.
	At time.Time
	// Latency is the provider's time over all calls, without waiting.
	Latency time.Duration
	// Rows in the responses, and Calls made.
	Rows  int64
	Calls int
	// Passed is whether the module can be ingested.
	Passed bool
	// Issues found, worst first.
	Issues []fault.Issue
	// Fingerprint of the token that was used. Empty if there was none.
	Fingerprint string
}

// Events receives the progress, one module after the other, in the calling goroutine. If it
// returns an error, the probing ends and returns it.
type Events struct {
	// Started is called before a module's first call.
	Started func(m *catalog.Module) error
	// Finished is called with its outcome.
	Finished func(o Outcome) error
}

// Prober probes modules.
type Prober struct {
	provider ingest.Provider
	tokens   Tokens
	answers  *ingest.Answers
	limits   Limits
}

// New returns a Prober. answers stores whole snapshots, to serve as the day's fetch; nil
// stores none. limits says when a probe must leave a call to a run; nil knows none.
func New(p ingest.Provider, t Tokens, answers *ingest.Answers, limits Limits) *Prober {
	return &Prober{provider: p, tokens: t, answers: answers, limits: limits}
}

// Run probes modules one after the other. Before any call it returns INVALID_ARGUMENT for
// an unknown module and MODULE_NOT_SYNC_CAPABLE for one that is not implemented; later only
// the error of ctx or of Events.
func (p *Prober) Run(ctx context.Context, r Request, e Events) error {
	modules := make([]*catalog.Module, len(r.Modules))
	for n, id := range r.Modules {
		m := catalog.LookupModule(id)
		if m == nil {
			return fault.Invalid(fmt.Sprintf("module_ids[%d]", n), "there is no module %.60q", id)
		}
		if !m.Built {
			return fault.New(fault.ModuleNotSyncCapable, fmt.Sprintf("%s (%s) is in the catalog but not implemented.", m.ID, m.Title), "module", m.ID)
		}
		modules[n] = m
	}
	if r.Timeout <= 0 {
		r.Timeout = DefaultTimeout
	}
	if r.TradeDate == market.NoDate {
		r.TradeDate = lastWeekday(time.Now())
	}
	for _, m := range modules {
		if err := e.Started(m); err != nil {
			return err
		}
		o := p.module(ctx, m, r)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := e.Finished(o); err != nil {
			return err
		}
	}
	return nil
}

// lastWeekday is the last weekday before today: the provider has published it at any time
// of day.
func lastWeekday(now time.Time) market.Date {
	d := market.DateOf(now) - 1
	for d.Weekend() {
		d--
	}
	return d
}

func (p *Prober) module(ctx context.Context, m *catalog.Module, r Request) Outcome {
	o := Outcome{Module: m, Fingerprint: p.tokens.Fingerprint(m.Domain)}
	probing, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	for _, x := range m.Probes {
		issues, fatal := p.call(probing, m, x, r, &o)
		o.Issues = append(o.Issues, issues...)
		if fatal { // about the token or the provider; the module's other API would return the same
			break
		}
	}
	o.At = time.Now()
	worst, found := fault.Worst(o.Issues)
	o.Passed = !found || worst.Severity == fault.Warning
	fault.SortIssues(o.Issues)
	return o
}

func (p *Prober) call(ctx context.Context, m *catalog.Module, x catalog.Probe, r Request, o *Outcome) (issues []fault.Issue, fatal bool) {
	ds := catalog.Lookup(x.Dataset)
	q := ingest.Query{Dataset: ds, Params: maps.Clone(x.Params), Priority: ingest.Probe, MaxRows: x.Rows}
	if x.OnTradeDate {
		q.Params = map[string]string{"trade_date": r.TradeDate.Compact()}
	}
	asked, err := time.Now(), error(nil)
	defer p.turn(ctx, ds, x, r.Timeout)()
	ans, shared := p.answered(asked, ds, x)
	if !shared {
		if spared, ok := p.spares(m, ds, x, o); ok {
			return spared, false
		}
		ans, err = p.provider.Fetch(ctx, q, nil)
	}
	o.Calls += ans.Calls
	o.Latency += ans.Latency
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			err = fault.Wrap(err, fault.ProviderUnavailable,
				fmt.Sprintf("Tushare did not respond to %s within %v.", ds.ID, r.Timeout), "api", ds.ID, "cause", "timeout")
		}
		i := about(m, ds, fault.IssueOf(err))
		if held, ok := p.heldToday(ds, x); ok && (i.Reason == fault.QuotaExhausted || i.Reason == fault.RateLimited) {
			// Only a permitted token gets a limit, so no further proof is needed.
			o.Rows += int64(held.Batch.Len)
			i.Severity, i.RetryAt = fault.Warning, time.Time{}
			i.Message += " The response of today is already stored and is used instead."
			return []fault.Issue{i}, false
		}
		return []fault.Issue{i}, i.Reason != fault.PermissionDenied && i.Reason != fault.ModuleTestFailed
	}
	if ans.Batch == nil || ans.Batch.Len == 0 {
		return []fault.Issue{about(m, ds, fault.NewIssue(fault.ProbeEmpty,
			fmt.Sprintf("The probe of %s was permitted and returned no rows.", ds.ID), "domain", m.Domain, "module", m.ID, "api", ds.ID))}, false
	}
	o.Rows += int64(ans.Batch.Len)
	for _, name := range x.Required {
		if i, wanting := lacks(m, ds, ans, name, r.TradeDate); wanting {
			issues = append(issues, about(m, ds, i))
		}
	}
	if len(issues) > 0 {
		fault.SortIssues(issues)
		return issues[:1], false
	}
	if p.keeps(ds, x) {
		p.answers.Put(market.DateOf(time.Now()), ds, q.Params, ans)
	}
	return nil, false
}

// spares reports whether the call is left to the run because the token has few of them.
// Only a permitted token gets such a limit, so there is nothing to prove. A list that was
// not fetched today is probed, because the response serves the run.
func (p *Prober) spares(m *catalog.Module, ds *catalog.Dataset, x catalog.Probe, o *Outcome) ([]fault.Issue, bool) {
	if p.limits == nil || o.Fingerprint == "" {
		return nil, false
	}
	calls, window, ok := p.limits.Scarce(quota.Key{Token: o.Fingerprint, API: ds.ID})
	if !ok {
		return nil, false
	}
	if p.keeps(ds, x) {
		held, ok := p.heldToday(ds, x)
		if ok {
			o.Rows += int64(held.Batch.Len)
		}
		return nil, ok
	}
	i := fault.NewIssue(fault.QuotaExhausted,
		fmt.Sprintf("The limit of %s is %d per %s, so the probe is skipped to leave the call to the run.", ds.ID, calls, window),
		"api", ds.ID, "limit", fmt.Sprint(calls), "window", window.String())
	i.Severity = fault.Warning
	i.Remedy = "No action is needed. If you have upgraded the token: curl -X POST localhost:7780/v1/limits:forget -d '{}'"
	return []fault.Issue{about(m, ds, i)}, true
}

// turn waits while another caller makes the same request, so that concurrent preflights and
// a run spend one call: a low tier may have one per hour. It stops waiting when the probe's
// own timeout is over.
func (p *Prober) turn(ctx context.Context, ds *catalog.Dataset, x catalog.Probe, timeout time.Duration) (give func()) {
	if !p.keeps(ds, x) {
		return func() {}
	}
	waiting, cancel := context.WithTimeout(ctx, timeout/2)
	defer cancel()
	give, err := p.answers.Take(waiting, ds)
	if err != nil {
		return func() {}
	}
	return give
}

// answered is a response that arrived since the probe began: it proves as much as a call of
// its own. An earlier one does not.
func (p *Prober) answered(asked time.Time, ds *catalog.Dataset, x catalog.Probe) (ans ingest.Answer, ok bool) {
	if !p.keeps(ds, x) {
		return ingest.Answer{}, false
	}
	ans, ok = p.answers.Since(asked, ds, x.Params)
	ans.Calls = 0 // they are counted where they were made
	return ans, ok
}

// keeps reports whether a probe's response serves as the day's fetch.
func (p *Prober) keeps(ds *catalog.Dataset, x catalog.Probe) bool {
	return ds.Snapshot && p.answers != nil && x.Rows == 0
}

func (p *Prober) heldToday(ds *catalog.Dataset, x catalog.Probe) (ingest.Answer, bool) {
	if !p.keeps(ds, x) {
		return ingest.Answer{}, false
	}
	return p.answers.Get(market.DateOf(time.Now()), ds, x.Params)
}

// lacks says what is wrong with a required column. A response without it fails the module,
// unless earlier responses had it; if no row has a value, the provider has not published
// the values yet.
func lacks(m *catalog.Module, ds *catalog.Dataset, ans ingest.Answer, name string, date market.Date) (fault.Issue, bool) {
	cause := "the response lacks the field " + name
	for _, x := range ans.Absent {
		switch {
		case x.Column != name:
		case x.Before:
			return fault.NewIssue(fault.ProviderUnavailable,
				fmt.Sprintf("The response of Tushare to %s lacks the field %s, which earlier responses had.", ds.ID, name), "api", ds.ID, "cause", cause), true
		default:
			return fault.NewIssue(fault.ModuleTestFailed,
				fmt.Sprintf("The response of Tushare to %s lacks the field %s, which %s needs.", ds.ID, name, m.ID), "api", ds.ID, "cause", cause), true
		}
	}
	if col := ans.Batch.Column(name); col == nil || slices.Contains(col.Null, false) {
		return fault.Issue{}, false
	}
	kv := []string{"dataset", ds.ID, "column", name, "count", fmt.Sprint(ans.Batch.Len), "row_count", fmt.Sprint(ans.Batch.Len)}
	of := ds.ID
	if !ds.Snapshot {
		of += " of " + date.String()
		kv = append(kv, "trade_date", date.String())
	}
	i := fault.NewIssue(fault.ValuesMissing, fmt.Sprintf("%s has no value in %s, so its values are not published yet.", of, name), kv...)
	i.Severity = fault.Warning
	i.Remedy = "No action is needed: the run decides for each date whether values are missing."
	return i, true
}

func about(m *catalog.Module, ds *catalog.Dataset, i fault.Issue) fault.Issue {
	i.Domain, i.Module = m.Domain, m.ID
	meta := map[string]string{"domain": m.Domain, "module": m.ID, "api": ds.ID}
	maps.Copy(meta, i.Meta)
	i.Meta = meta
	return i
}
