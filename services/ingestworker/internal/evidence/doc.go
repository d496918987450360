// Package evidence checks the values of a trade date: against the neighbouring days,
// against the other datasets of the date, and against each other. The number of rows can be
// right while the values are from another day, in another unit or not published yet. All
// thresholds are here, each with the value in recorded data. It does no I/O and reads no
// clock.
package evidence
