package tushare

import (
	"fmt"
	"strconv"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ipPause is the minimum time for which the provider remembers addresses.
const ipPause = 30 * time.Minute

// judge turns an unsuccessful response into a fault, or into *unavailable if a retry may
// help. A limit is reported to the limiter.
func (f *fetch) judge(rep reply, token string, key quota.Key, sent time.Time) (refusal, error) {
	api := f.dataset.ID
	ref := classify(rep.code, rep.msg)
	if rep.none {
		ref.kind = kindNone
	}
	said := scrub(rep.msg, token)
	code := scrub(rep.code, token)
	switch ref.kind {
	case kindOK:
		if rep.missing == "" {
			return ref, nil
		}
		return ref, &unavailable{cause: "the response lacks the field " + rep.missing, lacks: rep.missing}
	case kindNone:
		if f.announced {
			return ref, &unavailable{cause: "it returned no data after it had announced more rows"}
		}
		if f.nones++; f.nones == 1 && !f.facts.saysNone(false) {
			return ref, &unavailable{cause: "it returned no data"} // a single one may be a failure
		}
		if f.nones > 1 {
			f.facts.saysNone(true)
		}
		return ref, nil
	case kindRate:
		until := f.c.cfg.Limiter.Refused(key, sent, ref.window, ref.calls)
		if ref.window != quota.Minute {
			return ref, f.exhausted(ref.window, ref.calls, until)
		}
		return ref, f.limited(ref.calls, until, fmt.Sprintf("after %d waits the limit still applies, so another program probably uses the same token", maxWaits))
	case kindPermission:
		return ref, fault.New(fault.PermissionDenied,
			fmt.Sprintf("The token has no permission for %s: Tushare returned %q (code %s).", api, said, code),
			f.meta("provider_code", code)...)
	case kindToken:
		return ref, fault.New(fault.TokenInvalid,
			fmt.Sprintf("Tushare rejected the token: it returned %q (code %s).", said, code),
			f.meta("provider_code", code)...)
	case kindIPs:
		err := fault.New(fault.TooManyIPs,
			fmt.Sprintf("Too many IP addresses use the token: Tushare returned %q (code %s). Tushare forgets addresses after 30 to 60 minutes.", said, code),
			f.meta("provider_code", code)...)
		err.RetryAt = time.Now().Add(ipPause)
		return ref, err
	}
	return ref, &unavailable{
		cause: fmt.Sprintf("it returned %q (code %s)", said, code), code: code, text: said, refusal: ref.kind == kindRefused,
	}
}

// held handles HTTP 429: a limit of a proxy in front of the provider. The text of its body
// takes precedence if it says more than the status.
func (f *fetch) held(t *tooMany, token string, key quota.Key, sent time.Time) (ref refusal, err error) {
	if t.reply.code != "" {
		switch said := classify(t.reply.code, t.reply.msg); said.kind {
		case kindRate, kindPermission, kindToken, kindIPs:
			ref, err = f.judge(t.reply, token, key, sent)
		}
	}
	if err == nil || t.named {
		until := f.c.cfg.Limiter.Hold(key, time.Now().Add(t.after))
		if err == nil {
			ref = refusal{kind: kindRate, window: quota.WindowOf(t.after)}
			err = f.askedToWait(ref.window, until)
		}
	}
	return ref, err
}

// askedToWait is the fault of a limit whose end the provider named, or of which only the
// status is known.
func (f *fetch) askedToWait(w quota.Window, until time.Time) error {
	message := fmt.Sprintf("Tushare responded to %s with HTTP 429 (too many requests) and requires a wait until %s.",
		f.dataset.ID, until.In(market.Shanghai).Format(market.Moment))
	reason, kv := fault.QuotaExhausted, f.meta("window", w.String())
	if w == quota.Minute {
		reason, kv = fault.RateLimited, []string{"api", f.dataset.ID, "window", w.String()}
	}
	err := fault.New(reason, message, kv...)
	err.RetryAt = until
	return err
}

// limited is the fault of a limit per minute that was not waited for, and why.
func (f *fetch) limited(calls int, until time.Time, why string) error {
	err := fault.New(fault.RateLimited,
		fmt.Sprintf("The limit per minute of %s is reached: %s.", f.dataset.ID, why),
		"api", f.dataset.ID, "limit", count(calls), "window", quota.Minute.String())
	err.RetryAt = until
	return err
}

// exhausted is the fault of a limit per hour or day.
func (f *fetch) exhausted(w quota.Window, calls int, until time.Time) error {
	limit := "The limit"
	if calls > 0 {
		limit = "The limit of " + fault.Count(calls, "call", "calls")
	}
	err := fault.New(fault.QuotaExhausted,
		fmt.Sprintf("%s per %s for %s is used up; calls are expected to work again at %s.", limit, w, f.dataset.ID, until.In(market.Shanghai).Format(market.Moment)),
		f.meta("limit", count(calls), "window", w.String())...)
	err.RetryAt = until
	return err
}

// final is the fault of a call whose last attempt failed. Permanent is only what cannot be
// temporary: a field that never existed, and a refusal that is believed.
func (f *fetch) final(u *unavailable) error {
	api := f.dataset.ID
	switch {
	case u.lacks != "" && !f.facts.hadBefore(u.lacks):
		return fault.New(fault.ModuleTestFailed,
			fmt.Sprintf("The response of Tushare to %s lacks the field %s, which %s needs.", api, u.lacks, f.dataset.Module),
			f.meta("cause", u.cause)...)
	case u.refusal && !documented(f.dataset, f.q.Params) && f.facts.refused(f.shape, u.said(), time.Now()):
		return fault.New(fault.ProviderRefused,
			fmt.Sprintf("Tushare rejected the request for %s: %q (code %s). It has rejected every request of this kind.", api, u.text, u.code),
			f.meta("provider_code", u.code, "provider_message", u.text)...)
	}
	return f.broken(u)
}

// broken is PROVIDER_UNAVAILABLE after the last attempt.
func (f *fetch) broken(u *unavailable) error {
	kv := f.meta("cause", u.cause)
	if u.code != "" {
		kv = append(kv, "provider_code", u.code, "provider_message", u.text)
	}
	return fault.Wrap(u, fault.ProviderUnavailable,
		fmt.Sprintf("The call to Tushare for %s failed: %s.", f.dataset.ID, u.cause), kv...)
}

// meta is the metadata of every provider fault, and more.
func (f *fetch) meta(more ...string) []string {
	return append([]string{"domain", f.domain, "module", f.dataset.Module, "api", f.dataset.ID}, more...)
}

// count formats a number for metadata; empty if unknown.
func count(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}
