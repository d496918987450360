// Package dispatch takes runs from the queue and executes them: checks, plan, dispatch of
// partitions to the worker, outcome, follow-up.
//
// One goroutine owns each pool's state (see loop.go). Calls run in goroutines of their own
// that only report back to it. Package run decides what a run may do next; the ledger
// stores it. This package knows neither the wire format nor SQL.
//
// It executes one run per pool at a time and keeps its partitions in memory, which limits a
// run to some hundred thousand partitions.
package dispatch
