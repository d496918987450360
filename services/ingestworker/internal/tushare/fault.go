package tushare

import (
	"fmt"
	"strconv"
	"time"

	"github.com/afterbell/afterbell/services/ingestworker/internal/quota"
	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// ipPause is how long the provider is known to remember addresses, at least.
const ipPause = 30 * time.Minute

// judge turns a reply that is no success into a fault, or into *unavailable where
// asking again may help. The limiter learns from a limit.
func (f *fetch) judge(rep reply, token string, key quota.Key, sent time.Time) (refusal, error) {
	api := f.dataset.ID
	ref := classify(rep.code, rep.msg)
	said := scrub(rep.msg, token)
	code := scrub(rep.code, token)
	switch ref.kind {
	case kindOK:
		if rep.missing == "" {
			return ref, nil
		}
		cause := "the reply lacks the field " + rep.missing
		return ref, fault.New(fault.ModuleTestFailed,
			fmt.Sprintf("Tushare answered %s without the field %s, which %s needs.", api, rep.missing, f.dataset.Module),
			f.meta("cause", cause)...)
	case kindRate:
		until := f.c.cfg.Limiter.Refused(key, sent, ref.window, ref.calls)
		if ref.window != quota.Minute {
			return ref, f.exhausted(ref.window, ref.calls, until)
		}
		return ref, f.limited(ref.calls, until, fmt.Sprintf("it was waited for %d times, so something else seems to use the same token", maxWaits))
	case kindPermission:
		return ref, fault.New(fault.PermissionDenied,
			fmt.Sprintf("The token may not call %s: Tushare answered %q (code %s).", api, said, code),
			f.meta("provider_code", code)...)
	case kindToken:
		return ref, fault.New(fault.TokenInvalid,
			fmt.Sprintf("Tushare rejected the token: it answered %q (code %s).", said, code),
			f.meta("provider_code", code)...)
	case kindIPs:
		err := fault.New(fault.TooManyIPs,
			fmt.Sprintf("The token is in use from too many addresses: Tushare answered %q (code %s). It clears in 30 to 60 minutes.", said, code),
			f.meta("provider_code", code)...)
		err.RetryAt = time.Now().Add(ipPause)
		return ref, err
	case kindRequest:
		return ref, fault.New(fault.ProviderRefused,
			fmt.Sprintf("Tushare refused the request for %s: %q (code %s).", api, said, code),
			f.meta("provider_code", code, "provider_message", said)...)
	}
	return ref, &unavailable{cause: fmt.Sprintf("it answered %q (code %s)", said, code)}
}

// limited is a limit per minute that was not waited for, and why.
func (f *fetch) limited(calls int, until time.Time, why string) error {
	err := fault.New(fault.RateLimited,
		fmt.Sprintf("Tushare refuses %s for its limit per minute, and %s.", f.dataset.ID, why),
		"api", f.dataset.ID, "limit", count(calls), "window", quota.Minute.String())
	err.RetryAt = until
	return err
}

// exhausted is a limit per hour or day.
func (f *fetch) exhausted(w quota.Window, calls int, until time.Time) error {
	limit := "The limit"
	if calls > 0 {
		limit = fmt.Sprintf("The limit of %d calls", calls)
	}
	err := fault.New(fault.QuotaExhausted,
		fmt.Sprintf("%s per %s for %s is spent; it is taken to open again at %s.", limit, w, f.dataset.ID, until.In(market.Shanghai).Format(time.RFC3339)),
		f.meta("limit", count(calls), "window", w.String())...)
	err.RetryAt = until
	return err
}

// broken is PROVIDER_UNAVAILABLE after the last attempt.
func (f *fetch) broken(u *unavailable) error {
	return fault.Wrap(u, fault.ProviderUnavailable,
		fmt.Sprintf("Tushare could not be read for %s: %s.", f.dataset.ID, u.cause),
		f.meta("cause", u.cause)...)
}

// meta is the metadata every provider fault carries, and more.
func (f *fetch) meta(more ...string) []string {
	return append([]string{"domain", f.domain, "module", f.dataset.Module, "api", f.dataset.ID}, more...)
}

// count is a number for metadata; empty where unknown.
func count(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}
