// Package scheduler fires the slots of the schedule, once each, and leaves none
// unexplained.
//
// It is level-triggered: at least every 30 s it compares the wall clock with the
// slot table and decides every day up to now that has no row. Nothing depends on
// having been awake at a certain moment, so a restart inside 19:30, a host that
// slept and a clock that was set forward or back end alike: each day and pool has
// one row that says what happened to it. A slot and its run are written in one
// transaction.
//
// It reads the calendar from the ledger only, because the worker may be away at
// 19:30. The dispatcher must have ended the runs of an earlier process before Run
// starts, or they count as in progress.
package scheduler
