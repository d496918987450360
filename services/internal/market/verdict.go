package market

// Verdict is what the last response for a partition was found to be. The zero value is
// none: there was no response.
type Verdict string

// The verdicts. VerdictComplete, VerdictExpectedEmpty and VerdictAcceptedShort are
// settled: the partition is not planned again by itself.
const (
	// VerdictMissing is a partition of which nothing was ever committed. It is derived,
	// never stored.
	VerdictMissing Verdict = "missing"
	// VerdictComplete reaches the floor.
	VerdictComplete Verdict = "complete"
	// VerdictExpectedEmpty has no rows, and none were called for.
	VerdictExpectedEmpty Verdict = "expected_empty"
	// VerdictNotPublished had no rows on a date the provider may still publish.
	VerdictNotPublished Verdict = "not_published"
	// VerdictIncomplete is below the floor.
	VerdictIncomplete Verdict = "incomplete"
	// VerdictEmpty had no rows where rows are expected.
	VerdictEmpty Verdict = "empty"
	// VerdictAcceptedShort is below the floor and was the same on three different days,
	// or on two where only the next row's pre_close tells that a row is missing.
	VerdictAcceptedShort Verdict = "accepted_short"
)

// Verdicts lists every verdict, in the order of their numbers in the file of targets: a
// new one comes last, and into that file's view of coverage.
func Verdicts() []Verdict {
	return []Verdict{VerdictMissing, VerdictComplete, VerdictExpectedEmpty, VerdictNotPublished, VerdictIncomplete, VerdictEmpty, VerdictAcceptedShort}
}

// Settled reports whether a partition with the verdict is done: nothing of it is left to
// fetch.
func (v Verdict) Settled() bool {
	return v == VerdictComplete || v == VerdictExpectedEmpty || v == VerdictAcceptedShort
}
