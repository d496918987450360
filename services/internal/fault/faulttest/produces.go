// Package faulttest helps tests state which reason a piece of code produces. The parity
// test of the catalog also reads the calls, so name the reason as a constant
// (fault.TokenMissing) in the call or in its table.
package faulttest

import (
	"fmt"
	"testing"

	"github.com/afterbell/afterbell/services/internal/fault"
)

// Produces fails the test unless got has the reason. got is an error, a fault.Issue, a list
// of issues of which one must have it, a fault.Reason, or a reason's text as in the ledger
// and ErrorInfo.
func Produces(t testing.TB, got any, want fault.Reason) {
	t.Helper()
	if problem := check(got, want); problem != "" {
		t.Error(problem)
	}
}

func check(got any, want fault.Reason) string {
	if _, ok := fault.Describe(want); !ok {
		return fmt.Sprintf("%q is not a reason of the catalog", want)
	}
	var reasons []fault.Reason
	switch g := got.(type) {
	case nil:
		return fmt.Sprintf("got nothing, want %s", want)
	case error:
		if _, ok := fault.As(g); !ok {
			return fmt.Sprintf("got an error without a reason (%v), want %s", g, want)
		}
		reasons = append(reasons, fault.ReasonOf(g))
	case fault.Issue:
		reasons = append(reasons, g.Reason)
	case []fault.Issue:
		for _, i := range g {
			reasons = append(reasons, i.Reason)
		}
	case fault.Reason:
		reasons = append(reasons, g)
	case string:
		reasons = append(reasons, fault.Reason(g))
	default:
		return fmt.Sprintf("a %T carries no reason", got)
	}
	for _, r := range reasons {
		if r == want {
			return ""
		}
	}
	return fmt.Sprintf("got %v (%v), want %s", reasons, got, want)
}
