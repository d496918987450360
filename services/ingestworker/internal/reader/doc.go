// Package reader reads rows of a published version and writes them as Arrow IPC, CSV,
// NDJSON and Parquet. It decides which rows an answer has and what it says of itself:
// what lacks, and over which links prices could not be adjusted.
//
// Rows come by date and then by symbol. A large answer is read in slices of some days,
// each query on its own, so that a client that takes its time holds no query and
// little memory.
package reader
