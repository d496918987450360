// Package tusharesim is a simulated Tushare Pro provider: its HTTP protocol, its
// quirks and its failures, over a synthetic market or a folder of recorded data.
//
// New gives a Sim whose Handler may be mounted anywhere; Start listens on
// loopback. Faults, limits, tokens, publication hours and the clock can be changed
// while it runs, through Go methods or the control endpoint under /_sim/. Rows
// tells what the provider has, so that a store can be compared with it.
//
// It knows eight interfaces and no accounts: it is for tests, drills and demos and
// must not be reachable from outside the machine, because the control endpoint
// asks for no password. Tokens are kept as digests and never written out.
package tusharesim
