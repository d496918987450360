// Package evidence judges the rows of a trade date by their values: against the
// days beside it, against the other datasets of the date, and against each other.
// A count can be right while the values are those of another day, of another unit
// or not there yet. All thresholds are here, each with what recorded data shows.
// It does no I/O and reads no clock.
package evidence
