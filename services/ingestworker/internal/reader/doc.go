// Package reader reads rows of a published version and writes them as Arrow IPC, CSV,
// NDJSON and Parquet. It determines the rows of a response and its metadata: what is
// missing, and over which links prices could not be adjusted.
//
// Rows are sorted by date and then by symbol. A large response is read in slices of some
// days, each with its own query, so that a slow client holds no query and little memory.
package reader
