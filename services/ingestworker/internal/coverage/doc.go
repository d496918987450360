// Package coverage holds the rules of completeness: what is expected of a
// dataset and date, what an answer is worth against it, and what is to be fetched
// next. It does no I/O and reads no clock: moments are arguments.
//
// Gaps are derived from the records that committed with the rows. There is no
// high-water mark that could get ahead of the truth.
package coverage
