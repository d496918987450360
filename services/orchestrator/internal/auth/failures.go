package auth

import (
	"time"

	"github.com/afterbell/afterbell/services/internal/fault"
)

const (
	// MaxFailures is how many invalid keys an address may send in a minute before it is
	// refused.
	MaxFailures = 30
	// maxAddresses limits how many addresses are remembered.
	maxAddresses = 4096
)

// Failures counts invalid keys by address. It is not safe for concurrent use.
type Failures struct {
	byAddress map[string]*failures
}

type failures struct {
	since time.Time
	count int
}

// Note counts an invalid key of an address. It returns TOO_MANY_ATTEMPTS if the address has
// sent too many within a minute.
func (f *Failures) Note(address string, now time.Time) error {
	if f.byAddress == nil {
		f.byAddress = map[string]*failures{}
	}
	e := f.byAddress[address]
	if e == nil {
		if len(f.byAddress) >= maxAddresses {
			address = "others" // all further addresses share the budget of one
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

// Forget removes counts older than a minute and returns how many invalid keys each of these
// addresses had sent.
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
