// Package sinktest is the contract of ingest.Sink as tests. Both pools run it, so
// that they cannot drift apart. It knows no store: each pool hands it a way to
// make a sink and to read the rows of a closed file.
package sinktest
