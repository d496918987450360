// Package coverage has the rules of completeness: how many rows are expected of a dataset
// and date, which verdict a response gets, and what is fetched next. It does no I/O and
// reads no clock: times are arguments.
//
// Gaps are computed from the records that were committed with the rows. There is no
// high-water mark that could be wrong.
package coverage
