package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestCatalogIsWhole(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range Reasons() {
		d, ok := Describe(r)
		if !ok || seen[r] {
			t.Fatalf("%s: described %v, seen before %v", r, ok, seen[r])
		}
		seen[r] = true
		if !strings.HasSuffix(d.Meaning, ".") || d.Remedy == "" || d.Status == 0 {
			t.Errorf("%s lacks a meaning, a remedy or a status: %+v", r, d)
		}
	}
}

// A remedy that a user must carry out has the command that does it or shows the state. The exceptions
// are errors of calls, which are not issues of runs.
func TestPermanentReasonsEndWithACommand(t *testing.T) {
	calls := map[Reason]bool{
		InvalidArgument: true, NotFound: true, RequestIDReused: true, DataDirLocked: true,
		Unauthenticated: true, RoleRequired: true, TooManyAttempts: true, EtagMismatch: true,
	}
	for _, r := range Reasons() {
		d, _ := Describe(r)
		if d.Class == Permanent && !calls[r] && CommandIn(d.Remedy) == "" {
			t.Errorf("%s: no command in %q", r, d.Remedy)
		}
		if at := strings.Index(d.Remedy, "curl "); at >= 0 && CommandIn(d.Remedy) != d.Remedy[at:] {
			t.Errorf("%s: the command cannot be pasted: %q", r, d.Remedy)
		}
	}
	if got := CommandIn("Read this first: it is long."); got != "" {
		t.Errorf("a sentence was taken for a command: %q", got)
	}
}

func TestWrapKeepsCauseAndReason(t *testing.T) {
	err := fmt.Errorf("outer: %w", Wrap(io.ErrUnexpectedEOF, ProviderUnavailable, "The reply was cut short.", "api", "daily"))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !Is(err, ProviderUnavailable) || ReasonOf(err).Class() != Transient {
		t.Errorf("reason %s, class %s", ReasonOf(err), ReasonOf(err).Class())
	}
	issue := IssueOf(err)
	if issue.Severity != Retry || issue.Meta["api"] != "daily" || issue.Remedy == "" {
		t.Errorf("issue = %+v", issue)
	}
	if strings.Contains(err.(interface{ Unwrap() error }).Unwrap().Error(), io.ErrUnexpectedEOF.Error()) {
		t.Error("the cause's text must not reach the caller")
	}
}

func TestPlainErrorTellsNothing(t *testing.T) {
	issue := IssueOf(errors.New("secret detail"))
	if issue.Reason != Internal || strings.Contains(issue.Message, "secret") {
		t.Errorf("issue = %+v", issue)
	}
}

func TestWorst(t *testing.T) {
	issues := []Issue{NewIssue(ProbeEmpty, "w"), NewIssue(TokenInvalid, "b"), NewIssue(ProviderUnavailable, "r")}
	SortIssues(issues)
	if issues[0].Reason != TokenInvalid || issues[2].Reason != ProbeEmpty {
		t.Errorf("order = %v", issues)
	}
	if w, ok := Worst(issues); !ok || w.Reason != TokenInvalid {
		t.Errorf("worst = %v", w)
	}
	if _, ok := Worst(nil); ok {
		t.Error("nothing has no worst")
	}
}

func TestSeverityIsAWordInJSON(t *testing.T) {
	text, err := json.Marshal(NewIssue(ProviderUnavailable, "m"))
	if err != nil || !strings.Contains(string(text), `"severity":"retry"`) {
		t.Errorf("%s, %v", text, err)
	}
	for in, want := range map[string]Severity{`"warning"`: Warning, `"retry"`: Retry, `"blocking"`: Blocking, `"none"`: 0, `3`: Blocking, `1`: Warning} {
		var s Severity
		if err := json.Unmarshal([]byte(in), &s); err != nil || s != want {
			t.Errorf("%s read as %v, %v", in, s, err)
		}
	}
	var s Severity
	if json.Unmarshal([]byte(`"loud"`), &s) == nil {
		t.Error("an unknown word passed")
	}
}
