package run

import (
	"slices"

	"github.com/afterbell/afterbell/services/internal/fault"
	"github.com/afterbell/afterbell/services/internal/market"
)

// OutcomeOf is the outcome of a run with these partitions if nobody cancelled or
// interrupted it. A run with data that the provider has yet to publish or complete is
// PARTIAL, never SUCCEEDED and never FAILED, because nothing went wrong. The re-check of an
// old date does not make an evening worse: it counts only if it is complete and nothing
// else was planned.
func OutcomeOf(partitions []Partition, blockedModules []string) Outcome {
	settled, counted, rechecked, later := 0, 0, false, false
	for i := range partitions {
		p := &partitions[i]
		if p.Recheck {
			rechecked = rechecked || p.State == PartitionCompleted
			continue
		}
		counted++
		switch {
		case p.State == PartitionCompleted:
			settled++
		case classes(p)[fault.Later]:
			later = true
		}
	}
	switch {
	case counted == 0 && !rechecked && len(blockedModules) == 0:
		return Unchanged
	case counted == 0 && len(blockedModules) > 0:
		return Partial
	case settled == counted && len(blockedModules) == 0:
		return Succeeded
	case settled == 0 && !later:
		return Failed
	}
	return Partial
}

// IssuesOf merges the issues of incomplete partitions into one issue per reason and
// dataset, worst first, so that thousands of partitions with the same failure become one
// sentence.
func IssuesOf(partitions []Partition) []fault.Issue {
	type key struct {
		reason  fault.Reason
		dataset string
	}
	var keys []key
	groups := map[key][]fault.Issue{}
	of := map[key]map[string]bool{} // ids of the partitions
	for i := range partitions {
		p := &partitions[i]
		for _, issue := range p.Issues {
			if p.State == PartitionCompleted && issue.Severity > fault.Warning {
				continue // a later attempt succeeded
			}
			if p.Recheck && issue.Severity > fault.Warning {
				issue.Severity = fault.Warning // the stored rows stay, and it is checked again later
			}
			k := key{issue.Reason, p.Dataset}
			if groups[k] == nil {
				keys, of[k] = append(keys, k), map[string]bool{}
			}
			of[k][p.ID] = true
			groups[k] = append(groups[k], issue)
		}
	}
	issues := make([]fault.Issue, 0, len(keys))
	for _, k := range keys {
		g := groups[k]
		issue := g[len(g)-1]
		for _, other := range g {
			if other.RetryAt.After(issue.RetryAt) {
				issue.RetryAt = other.RetryAt
			}
		}
		if n := len(of[k]) - 1; n > 0 {
			issue.Message += " " + count(n, otherPartition).En + " of " + k.dataset + " had the same result."
		}
		issues = append(issues, issue)
	}
	fault.SortIssues(issues)
	return issues
}

// ReasonOf is the reason for a verdict of an incomplete partition. Empty for any other
// verdict.
func ReasonOf(v market.Verdict) fault.Reason {
	switch v {
	case market.VerdictNotPublished:
		return fault.NotPublished
	case market.VerdictIncomplete:
		return fault.Incomplete
	case market.VerdictEmpty:
		return fault.EmptyAnswer
	}
	return ""
}

// classes are the classes of the reasons of an incomplete partition.
func classes(p *Partition) map[fault.Class]bool {
	found := map[fault.Class]bool{}
	if p.State == PartitionCompleted || p.State == PartitionCancelled || p.Recheck {
		return found
	}
	switch p.Verdict {
	case market.VerdictNotPublished, market.VerdictIncomplete, market.VerdictEmpty:
		found[fault.Later] = true
	}
	for _, i := range p.Issues {
		if c := i.Reason.Class(); c != fault.Notice {
			found[c] = true
		}
	}
	return found
}

// covers reports whether have includes every module of want. An empty list means all
// modules.
func covers(have, want []string) bool {
	if len(have) == 0 {
		return true
	}
	return len(want) > 0 && !slices.ContainsFunc(want, func(m string) bool { return !slices.Contains(have, m) })
}
