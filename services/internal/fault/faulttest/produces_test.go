package faulttest

import (
	"errors"
	"fmt"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

func TestCheck(t *testing.T) {
	wrapped := fmt.Errorf("while asking: %w", fault.New(fault.TokenInvalid, "The token is refused."))
	for name, c := range map[string]struct {
		got  any
		want fault.Reason
		ok   bool
	}{
		"wrapped error":  {wrapped, fault.TokenInvalid, true},
		"other reason":   {wrapped, fault.TokenMissing, false},
		"plain error":    {errors.New("x"), fault.Internal, false},
		"issue":          {fault.NewIssue(fault.Stalled, "s"), fault.Stalled, true},
		"among issues":   {[]fault.Issue{fault.NewIssue(fault.Stalled, "s"), fault.NewIssue(fault.Incomplete, "i")}, fault.Incomplete, true},
		"no issues":      {[]fault.Issue{}, fault.Incomplete, false},
		"reason":         {fault.Stalled, fault.Stalled, true},
		"text":           {"STALLED", fault.Stalled, true},
		"nothing":        {nil, fault.Stalled, false},
		"not a reason":   {fault.Stalled, "NO_SUCH", false},
		"no such a type": {7, fault.Stalled, false},
	} {
		if problem := check(c.got, c.want); (problem == "") != c.ok {
			t.Errorf("%s: %q, want ok = %v", name, problem, c.ok)
		}
	}
}
