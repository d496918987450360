package auth

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	// MaxFailures is how many wrong keys of one address are looked at in a minute.
	MaxFailures = 30
	// maxAddresses bounds how many addresses are remembered.
	maxAddresses = 4096
)

// Failures counts wrong keys by address. It is not safe for use by several
// goroutines.
type Failures struct {
	byAddress map[string]*failures
}

type failures struct {
	since time.Time
	count int
}

// Note counts a wrong key of an address, and returns TOO_MANY_ATTEMPTS once its address has sent too
// many within a minute.
func (f *Failures) Note(address string, now time.Time) error {
	if f.byAddress == nil {
		f.byAddress = map[string]*failures{}
	}
	e := f.byAddress[address]
	if e == nil {
		if len(f.byAddress) >= maxAddresses {
			address = "others" // which share what one address may
			e = f.byAddress[address]
		}
		if e == nil {
			e = &failures{since: now}
			f.byAddress[address] = e
		}
	}
	if now.Sub(e.since) >= time.Minute || now.Before(e.since) {
		e.since, e.count = now, 0
	}
	e.count++
	if e.count <= MaxFailures {
		return nil
	}
	err := fault.New(fault.TooManyAttempts, "This address sent too many invalid API keys; a valid key is still accepted.", "address", address)
	err.RetryAt = e.since.Add(time.Minute)
	return err
}

// Forget drops what is older than a minute and returns how many wrong keys each such
// address had sent.
func (f *Failures) Forget(now time.Time) map[string]int {
	told := map[string]int{}
	for address, e := range f.byAddress {
		if now.Sub(e.since) >= time.Minute || now.Before(e.since) {
			told[address] = e.count
			delete(f.byAddress, address)
		}
	}
	return told
}
