// Package dispatch takes runs from the queue and sees each through its life:
// check, plan, dispatch of partitions to the worker, outcome, follow-up.
//
// One goroutine owns each pool's state (see loop.go); the calls it makes run in
// goroutines of their own that only report back. What a run is allowed to do next
// is decided in package run; what is stored, in the ledger. Nothing here knows the
// wire or SQL.
//
// It holds one run per pool at a time and its partitions in memory, which bounds a
// run at some hundred thousand partitions.
package dispatch
