package market

// Verdict is the result of checking the last response for a partition. The zero value is
// none: there was no response.
type Verdict string

// The verdicts. VerdictComplete, VerdictExpectedEmpty and VerdictAcceptedShort are settled:
// the partition is not planned again automatically.
const (
	// VerdictMissing: nothing was ever committed. It is derived, never stored.
	VerdictMissing Verdict = "missing"
	// VerdictComplete: at or above the floor.
	VerdictComplete Verdict = "complete"
	// VerdictExpectedEmpty: no rows, and none were expected.
	VerdictExpectedEmpty Verdict = "expected_empty"
	// VerdictNotPublished: no rows on a date that the provider may still publish.
	VerdictNotPublished Verdict = "not_published"
	// VerdictIncomplete: below the floor.
	VerdictIncomplete Verdict = "incomplete"
	// VerdictEmpty: no rows although rows are expected.
	VerdictEmpty Verdict = "empty"
	// VerdictAcceptedShort: below the floor, and the same on three different days, or on two
	// if only the next row's pre_close shows that a row is missing.
	VerdictAcceptedShort Verdict = "accepted_short"
)

// Verdicts lists every verdict, in the order of their numbers in the file of targets. A new
// one must be added last, and to that file's view of coverage.
func Verdicts() []Verdict {
	return []Verdict{VerdictMissing, VerdictComplete, VerdictExpectedEmpty, VerdictNotPublished, VerdictIncomplete, VerdictEmpty, VerdictAcceptedShort}
}

// Settled reports whether nothing of a partition with the verdict is left to fetch.
func (v Verdict) Settled() bool {
	return v == VerdictComplete || v == VerdictExpectedEmpty || v == VerdictAcceptedShort
}
