// Package tusharesim simulates the provider Tushare Pro: its HTTP protocol, its quirks and its
// failures, with a synthetic market or a directory of recorded data.
//
// New returns a Sim, whose Handler can be mounted anywhere; Start listens on loopback. Faults,
// limits, tokens, publication hours and the clock can be changed while it runs, through Go
// methods or the control endpoint under /_sim/. Rows returns what the provider has, so that a
// store can be compared with it.
//
// It has eight interfaces and no accounts. It is for tests, drills and demos, and must not be
// reachable from other machines, because the control endpoint requires no password. Tokens are
// stored as digests and never printed.
package tusharesim
