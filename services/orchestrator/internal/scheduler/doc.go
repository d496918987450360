// Package scheduler fires each slot of the schedule at most once, and stores a decision for
// every slot.
//
// It is level-triggered: at least every 30 s it compares the wall clock with the slot table
// and decides every day up to now that has no row. It does not depend on running at a
// certain moment. So a restart at 19:30, a host that was asleep and a clock that was
// changed all end the same way: each day and pool has one row that says what happened to
// its slot. A slot and its run are written in one transaction.
//
// It reads the calendar from the ledger only, because the worker may be unreachable at
// 19:30. The dispatcher must end the runs of an earlier process before Run starts;
// otherwise they count as active.
package scheduler
