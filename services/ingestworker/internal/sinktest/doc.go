// Package sinktest has the conformance tests of ingest.Sink. Both pools run them. It does not
// depend on a store: each pool passes functions that create a sink and read a closed file.
package sinktest
